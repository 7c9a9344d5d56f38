// The rules of tensor maps: CUDA driver API, cuTensorMapEncodeTiled.
#include "device/tensor_map.h"

#include <cinttypes>
#include <cstdint>

#include "runtime/check.h"

namespace adze {

void require_tensor_map(const TensorMapDesc& d) {
    require(reinterpret_cast<uintptr_t>(d.data) % 16 == 0 && d.data != nullptr,
            "tensor map: data is %p; it must be aligned to 16 bytes", d.data);
    require(d.element_bytes == 1 || d.element_bytes == 2 || d.element_bytes == 4,
            "tensor map: element_bytes is %d; allowed is 1, 2 and 4", d.element_bytes);
    require_range(d.rank, 1, kMaxRank, "tensor map: rank");
    const int32_t inner = d.box[0] * d.element_bytes;
    require(d.swizzle_bytes == 16 || d.swizzle_bytes == 32 || d.swizzle_bytes == 64 || d.swizzle_bytes == 128,
            "tensor map: swizzle_bytes is %d; allowed is 16, 32, 64 and 128", d.swizzle_bytes);
    for (int i = 0; i < d.rank; ++i) {
        require(d.sizes[i] >= 1 && d.sizes[i] <= int64_t{1} << 32,
                "tensor map: sizes[%d] is %" PRId64 "; allowed is 1 to 2^32", i, d.sizes[i]);
        require(d.box[i] >= 1 && d.box[i] <= 256, "tensor map: box[%d] is %d; allowed is 1 to 256", i, d.box[i]);
        require(i == 0 || (d.strides[i] % 16 == 0 && d.strides[i] > 0 && d.strides[i] < int64_t{1} << 40),
                "tensor map: strides[%d] is %" PRId64 " bytes; it must be a multiple of 16 below 2^40", i, d.strides[i]);
    }
    require(inner % 16 == 0, "tensor map: a row of the box has %d bytes; it must be a multiple of 16", inner);
    require(d.swizzle_bytes == 16 || inner <= d.swizzle_bytes,
            "tensor map: a row of the box has %d bytes; swizzled by %d it may have no more", inner, d.swizzle_bytes);
}

}  // namespace adze
