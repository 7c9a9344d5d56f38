// Tensor maps: what the bulk copy engine knows of a tensor in global memory (CUDA driver API, cuTensorMapEncodeTiled).
// Dimension 0 is the innermost and dense. Host code makes them; kernels take them by value in their Params.
#pragma once

#include <cstdint>

#include "numeric/host_device.h"

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

// What cuTensorMapEncodeTiled is called with for a description. Of that the driver makes its 128 bytes, whose format it
// keeps to itself, and the simulator's copy engine goes by it. Enumerations are the numbers in cuda.h.
struct TensorMapArguments {
    uint32_t
        type;  // CUtensorMapDataType: UINT8, UINT16 or UINT32, since outside the tensor every format reads zero bits
    uint32_t rank;
    void* data;
    uint64_t sizes[kMaxRank];
    uint64_t strides[kMaxRank - 1];  // bytes, from dimension 1 on
    uint32_t box[kMaxRank];
    uint32_t swizzle;  // CUtensorMapSwizzle

    static constexpr uint32_t kSteps[kMaxRank] = {1, 1, 1, 1, 1};          // the box takes every element
    static constexpr uint32_t kInterleave = 0, kPromotion = 2, kFill = 0;  // NONE, L2_128B, NONE

    constexpr uint32_t element_bytes() const { return 1u << type; }
    constexpr uint32_t swizzle_bytes() const { return 16u << swizzle; }
};

// Fails with INVALID_ARGUMENT and the rule that the description breaks: the same rules on every target.
TensorMapArguments tensor_map_arguments(const TensorMapDesc& desc);
// Checks and encodes. Fails also where the target has no bulk copies.
TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc);

// Where byte `byte_offset` of a box lies: bits 4.. are XORed with bits 7.., as many as permute the 16-byte chunks of
// `swizzle_bytes`.
ADZE_HOST_DEVICE constexpr uint32_t swizzled(uint32_t swizzle_bytes, uint32_t byte_offset) {
    const uint32_t chunks = swizzle_bytes / 16 - 1;  // 0, 1, 3 or 7
    return byte_offset ^ ((byte_offset >> 3) & (chunks << 4));
}

}  // namespace adze
