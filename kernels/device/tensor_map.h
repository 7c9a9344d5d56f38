// Tensor maps: what the bulk copy engine knows of a tensor in global memory (CUDA driver API, cuTensorMapEncodeTiled).
// Dimension 0 is the innermost and dense. Host code makes them; kernels take them by value in their Params.
#pragma once

#include <cstdint>

namespace adze {

class LaunchStream;

constexpr int kMaxRank = 5;

struct TensorMapDesc {
    void* data;                 // aligned to 16 bytes
    int32_t element_bytes;      // 1, 2 or 4
    int32_t rank;               // 1 to kMaxRank
    int64_t sizes[kMaxRank];    // elements, 1 to 2^32
    int64_t strides[kMaxRank];  // bytes, multiples of 16 below 2^40; [0] is not read
    int32_t box[kMaxRank];      // elements copied at a time, 1 to 256; box[0] * element_bytes a multiple of 16
    int32_t swizzle_bytes;      // 16 (none), 32, 64 or 128; if not 16, box[0] * element_bytes is at most that
};

struct alignas(64) TensorMap {
    uint8_t opaque[128];
};

// Fails with INVALID_ARGUMENT and the rule that the description breaks: the same rules on every target.
void require_tensor_map(const TensorMapDesc& desc);
// Checks and encodes. Fails also where the target has no bulk copies.
TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc);

}  // namespace adze
