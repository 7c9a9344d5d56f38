// The warp-wide matrix multiply-accumulate of the target, C[kM, kN] += A[kM, kK] B[kK, kN], and the fragments that the
// lanes hold of A, B and C. Layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16" and "m16n8k32"; AMD CDNA2 ISA, MFMA.
//
//   Mma<T>           T         C        sm_80 on      gfx90a
//   f16, bf16        2 bytes   float    m16n8k16      16x16x16
//   int8_t           1 byte    int32    m16n8k32      16x16x16
//   e4m3, e5m2       1 byte    float    m16n8k32, but the instruction only where kTarget.fp8_mma: sm_89
//   MmaWide<T>       f16, bf16 float    -             32x32x8
//
// gfx90a's take subnormal f16 and bf16 numbers as zero, and give none.
// Fragments may be named on every target; mma() of an instruction that the target lacks does not compile.
//
//   Mma<T>::kM, kN, kK
//   Mma<T>::A, B     this lane's elements: Vec<T, kCount> value; row(i), column(i): place of value[i] in the operand
//   Mma<T>::C        Acc value[kCount], zero when made; row(i), column(i)
//                    kRows distinct rows a lane; slot(i) of them is value[i]'s row; slot_row(s) is that row
//                    reduce_row(x, op): combines x over the lanes that hold the same rows (x is one slot's value)
#pragma once

#include <type_traits>

#include "device/convert.h"
#include "device/swizzle.h"
#include "device/warp.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T>
struct Mma;
template <class T>
struct MmaWide;  // only on gfx90a

// Whether the target has the instruction of Mma<T> or MmaWide<T>, for those that it defines.
template <class M>
constexpr bool kHasMma =
    kTarget.fp8_mma || !(std::is_same_v<typename M::Element, e4m3> || std::is_same_v<typename M::Element, e5m2>);

// c += a b; M is Mma<T> or MmaWide<T>.
template <class M>
ADZE_DEVICE void mma(typename M::C& c, const typename M::A& a, const typename M::B& b, Site site = Site::current());

// The fragment of A whose first element is tile(row, column): ldmatrix where the target has it.
template <class M, class Tile>
ADZE_DEVICE typename M::A load_a(const Tile& tile, int row, int column, Site site = Site::current());
// The fragment of B from a tile that holds B transposed, [n][k] (weights, keys).
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b(const Tile& tile, int n, int k, Site site = Site::current());
// The fragment of B from a tile that holds B as it is, [k][n] (values). 2-byte elements.
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b_rows(const Tile& tile, int k, int n, Site site = Site::current());
// 1-byte elements from a tile that holds B as it is, by twos: of those from `column` on, word 2 u + h has unit u of two rows
// of k, as a lane has them in B's elements 2 h and 2 h + 1 (of 2-byte elements). The lane's units: on NVIDIA, unit
// B::column of each 16 bytes; on gfx90a, its kUnits are neighbours. quantised.h makes operands of them.
template <class M, int kUnits, class Tile>
ADZE_DEVICE Vec<uint32_t, 4> load_b_units(const Tile& tile, int k, int column, Site site = Site::current());
// Stores C, rounded to T, as a tile's elements from (row, column) on: stmatrix where the target has it (sm_90 on).
template <class M, class Tile>
ADZE_DEVICE void store_c(const Tile& tile, int row, int column, const typename M::C& c, Site site = Site::current());

// Neighbouring accumulators (kK / kN of them, left to right) as an A operand, rounded to M's T: the P of P V.
template <class M>
ADZE_DEVICE typename M::A as_operand(const typename M::C* c, Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(mma.h)
