// Tiles in shared memory whose 16-byte chunks are permuted, so that the same chunk of consecutive rows lies in different
// banks. The permutations are those of tensor maps and of wgmma's descriptors (tensor_map.h).
#pragma once

#include "device/memory.h"
#include "device/tensor_map.h"

namespace adze {
inline namespace ADZE_TARGET {

// Bytes of a row that are permuted together: 16 permutes nothing.
enum class Swizzle : int { k16 = 16, k32 = 32, k64 = 64, k128 = 128 };

// kRows x kColumns elements as panels of kSwizzle bytes' columns, [kColumns / panel][kRows][panel], each panel a
// multiple of 8 rows and aligned to 1024 bytes.
template <class T, int kRowCount, int kColumnCount, Swizzle kSwizzle = Swizzle::k128>
struct SharedTile {
    using Element = T;
    static constexpr int kRows = kRowCount, kColumns = kColumnCount;
    static constexpr int kPanel =
        kSwizzle == Swizzle::k16 ? kColumns : static_cast<int>(kSwizzle) / static_cast<int>(sizeof(T));
    static constexpr int kElements = kRows * kColumns;
    static constexpr int kAlignment = 1024;  // bytes
    static_assert(kColumns % kPanel == 0, "columns are whole panels");
    // 16 of 64 lanes are served together, which read operands of at most 8 bytes from as many rows: so that rows r and
    // r + 8 do not meet, the halves of their chunks change places.
    static constexpr bool kSwapsHalves = kWarpSize == 64 && sizeof(T) <= 2 && kSwizzle != Swizzle::k16;
    static constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
    using Chunk = Vec<T, kChunk>;

    Shared<T> data;

    // Where element (row, column) is, and with it what lies in the same 8 bytes.
    ADZE_DEVICE static constexpr int index(int row, int column) {
        const auto offset = static_cast<uint32_t>((row * kPanel + column % kPanel) * static_cast<int>(sizeof(T)));
        const uint32_t half = kSwapsHalves ? static_cast<uint32_t>(row) & 8 : 0;
        return column / kPanel * kRows * kPanel +
               static_cast<int>((swizzled(static_cast<uint32_t>(kSwizzle), offset) ^ half) / sizeof(T));
    }

    // Row and column of the tile's i-th chunk of kChunks, along a panel's rows: when consecutive lanes write these, they
    // meet no bank twice.
    static constexpr int kChunks = kElements / kChunk;
    ADZE_DEVICE static constexpr int chunk_row(int i) { return i * kChunk / kPanel % kRows; }
    ADZE_DEVICE static constexpr int chunk_column(int i) {
        return i * kChunk / (kRows * kPanel) * kPanel + i * kChunk % kPanel;
    }

    // The 16 bytes from (row, column) on; `column` is a multiple of kChunk.
    ADZE_DEVICE Chunk load_chunk(int row, int column, Site site = Site::current()) const {
        return in_order(row, data.template load_vec<kChunk>(first_of(row, column), site));
    }
    ADZE_DEVICE void store_chunk(int row, int column, const Chunk& chunk, Site site = Site::current()) const {
        data.template store_vec<kChunk>(first_of(row, column), in_order(row, chunk), site);
    }

private:
    ADZE_DEVICE static int first_of(int row, int column) { return index(row, column) / kChunk * kChunk; }
    ADZE_DEVICE static Chunk in_order(int row, const Chunk& chunk) {
        if constexpr (kSwapsHalves) {
            const auto words = __builtin_bit_cast(Vec<uint32_t, 4>, chunk);
            Vec<uint32_t, 4> ordered;
#pragma unroll
            for (int i = 0; i < 4; ++i) ordered[i] = (row & 8) != 0 ? words[i ^ 2] : words[i];
            return __builtin_bit_cast(Chunk, ordered);
        } else {
            return chunk;
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
