// Tiles in shared memory whose 16-byte chunks are permuted, so that the same chunk of consecutive rows lies in different
// banks. The permutations are those of tensor maps and of wgmma's descriptors: of a byte's offset, bits 4.. are XORed with
// bits 7..
#pragma once

#include "device/memory.h"
#include "numeric/host_device.h"

namespace adze {
inline namespace ADZE_TARGET {

// Bytes of a row that are permuted together: 16 permutes nothing.
enum class Swizzle : int { k16 = 16, k32 = 32, k64 = 64, k128 = 128 };

ADZE_HOST_DEVICE constexpr uint32_t swizzled(Swizzle swizzle, uint32_t byte_offset) {
    const uint32_t chunks = static_cast<uint32_t>(swizzle) / 16 - 1;  // 0, 1, 3 or 7
    return byte_offset ^ ((byte_offset >> 3) & (chunks << 4));
}

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

    Shared<T> data;

    // Where element (row, column) is; 16-byte chunks stay whole.
    ADZE_DEVICE static constexpr int index(int row, int column) {
        const uint32_t offset = static_cast<uint32_t>((row * kPanel + column % kPanel) * static_cast<int>(sizeof(T)));
        return column / kPanel * kRows * kPanel + static_cast<int>(swizzled(kSwizzle, offset) / sizeof(T));
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
