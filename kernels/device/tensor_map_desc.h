// What a tensor map is made from, and its rules: host code, compiled by any compiler.
#pragma once

#include <cstdint>

namespace adze {

constexpr int kMaxRank = 5;

struct TensorMapDesc {
    void* data;                 // aligned to 16 bytes
    int32_t element_bytes;      // 1, 2 or 4
    int32_t rank;               // 1 to kMaxRank
    int64_t sizes[kMaxRank];    // elements, 1 to 2^32
    int64_t strides[kMaxRank];  // bytes, multiples of 16 below 2^40; [0] is not read
    int32_t box[kMaxRank];      // elements copied at a time, 1 to 256; box[0] * element_bytes a multiple of 16
    int32_t swizzle_bytes;      // 16 (none), 32, 64 or 128; box[0] * element_bytes is at most that, if not 16
};

struct alignas(64) TensorMap {
    uint8_t opaque[128];
};

// Fails with INVALID_ARGUMENT and the rule that the description breaks: the same rules on every target.
void require_tensor_map(const TensorMapDesc& desc);

}  // namespace adze
