// bfloat16: the upper half of an IEEE binary32.
#pragma once

#include <cstdint>
#include <cstring>

#include "numeric/host_device.h"

namespace adze {

struct bf16 {
    uint16_t bits;
};

ADZE_HOST_DEVICE float to_float(bf16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

// To nearest, ties to even; NaN stays a NaN (quiet, sign and upper payload kept).
ADZE_HOST_DEVICE bf16 to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
    return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

}  // namespace adze
