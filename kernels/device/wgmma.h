// Matrix multiply-accumulate of a warp group, 4 warps (sm_90a: kTarget.bulk_copy): C[64, kN] += A[64, kK] B[kK, kN].
// PTX ISA, "Asynchronous warpgroup level matrix multiply-accumulate".
//
//   Wgmma<T, kN>     T: f16, bf16 (C float, kK 16), e4m3, e5m2 (float, 32), int8_t (int32, 32)
//                    kN: 8, 16, 32, 64, 96, 128, 192, 256
//   ::C              this thread's Acc value[kN / 2], zero when made; row(i), column(i) as in Mma's C
//   ::A              register operand: Vec<T, kCount> value; row(i), column(i)
//
// Where the target has none, A and C may be empty, and wgmma() does not compile: kernels that use them are templates over T.
//
// Operands in shared memory are SharedTiles with Swizzle::k128, which wgmma reads until it has been waited for.
// Accumulators are undefined from the call to the wait.
#pragma once

#include "device/mbarrier.h"
#include "device/mma.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kWarpGroup = 128;  // threads

template <class T, int kN>
struct Wgmma;

// Before the first wgmma, and whenever registers that wgmma uses were written since the last one.
ADZE_DEVICE void wgmma_fence(Site site = Site::current());
ADZE_DEVICE void wgmma_commit(Site site = Site::current());
// Until at most the kGroups latest groups of the warp group are under way.
template <int kGroups>
ADZE_DEVICE void wgmma_wait(Site site = Site::current());
// Keeps the compiler from moving what touches the registers of a C or A across: before wgmma_fence for those that were
// written, and after wgmma_wait for those that are read. No instruction.
template <class Fragment>
ADZE_DEVICE void wgmma_pin(Fragment& fragment);

// a: [m][k] tile from (a_row, k) on; b: [n][k] tile from (n, k) on, or, with kRowsB (2-byte T), [k][n]. `k` is a multiple
// of kK, a_row and n of 8 (with kRowsB, n of the columns of a panel). c is overwritten where not `accumulate`.
template <class W, bool kRowsB = false, class TileA, class TileB>
ADZE_DEVICE void wgmma(typename W::C& c, const TileA& a, int a_row, int a_k, const TileB& b, int b_n, int b_k,
                       bool accumulate = true, Site site = Site::current());
template <class W, bool kRowsB = false, class TileB>
ADZE_DEVICE void wgmma(typename W::C& c, const typename W::A& a, const TileB& b, int b_n, int b_k,
                       bool accumulate = true, Site site = Site::current());

// Columns `first` to first + kK of an accumulator, of any width, as an A operand, rounded to W's T: the P of P V.
template <class W, class C>
ADZE_DEVICE typename W::A as_wgmma_operand(const C& c, int first, Site site = Site::current());

// The 64 bits that name an operand (PTX ISA, "Matrix descriptor format"): start address, offsets in bytes between
// repetitions of the 8-row swizzled pattern, and the swizzle, here always 128 bytes. The simulator decodes them again.
ADZE_HOST_DEVICE constexpr uint64_t wgmma_descriptor(uint32_t shared_address, uint32_t leading_bytes,
                                                     uint32_t stride_bytes) {
    return static_cast<uint64_t>((shared_address & 0x3ffffu) >> 4) |
           static_cast<uint64_t>((leading_bytes & 0x3ffffu) >> 4) << 16 |
           static_cast<uint64_t>((stride_bytes & 0x3ffffu) >> 4) << 32 | uint64_t{1} << 62;
}
// One addition of 32 bits, of a number that is mostly a constant: shared memory ends before the field would overflow.
ADZE_HOST_DEVICE constexpr uint64_t moved_descriptor(uint64_t descriptor, int bytes) {
    const uint32_t low = static_cast<uint32_t>(descriptor) + static_cast<uint32_t>(bytes >> 4);
    return (descriptor & ~uint64_t{0xffffffffu}) | low;
}
constexpr uint32_t kPatternBytes = 1024;  // 8 rows of 128 bytes
// Of a tile at `tile_address` whose rows are m or n and whose columns are k, from (row, k) on.
template <class Tile>
ADZE_HOST_DEVICE constexpr uint64_t operand_descriptor(uint32_t tile_address, int row, int k) {
    constexpr int kPanelBytes = Tile::kRows * 128;
    const int offset = k / Tile::kPanel * kPanelBytes + row * 128 + k % Tile::kPanel * 128 / Tile::kPanel;
    return moved_descriptor(wgmma_descriptor(tile_address, 16, kPatternBytes), offset);
}
// Of a tile whose rows are k and whose columns are n; n is a multiple of a panel's columns.
template <class Tile>
ADZE_HOST_DEVICE constexpr uint64_t operand_descriptor_rows(uint32_t tile_address, int k, int n) {
    constexpr int kPanelBytes = Tile::kRows * 128;
    const int offset = n / Tile::kPanel * kPanelBytes + k * 128;
    return moved_descriptor(wgmma_descriptor(tile_address, kPanelBytes, kPatternBytes), offset);
}

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(wgmma.h)
