// IEEE binary16, converted by integer arithmetic so that every compiler and device agrees to the bit.
#pragma once

#include <cstdint>
#include <cstring>

#include "numeric/host_device.h"

namespace adze {

struct f16 {
    uint16_t bits;
};

ADZE_HOST_DEVICE float to_float(f16 value) {
    const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
    const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7fffu) << 13;
    float result;
    if (magnitude >= 0x0f800000u) {  // Inf, and NaN made quiet as the processor's own conversion does
        const uint32_t quiet = magnitude > 0x0f800000u ? 0x00400000u : 0u;
        const uint32_t bits = sign | 0x70000000u | magnitude | quiet;
        memcpy(&result, &bits, sizeof result);
        return result;
    }
    // The exponent is rebiased by multiplication, which also normalises the subnormals.
    memcpy(&result, &magnitude, sizeof result);
    result *= 5.192296858534828e33f;  // 2^112
    uint32_t bits;
    memcpy(&bits, &result, sizeof bits);
    bits |= sign;
    memcpy(&result, &bits, sizeof result);
    return result;
}

// To nearest, ties to even; beyond 65504 + half a step is Inf; NaN stays a NaN (quiet, sign and upper payload kept).
ADZE_HOST_DEVICE f16 to_f16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u | ((bits >> 13) & 0x1ffu))};
    if (bits >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
    if (bits <
        0x38800000u) {  // below 2^-14: the result is a multiple of 2^-24, found by adding 0.5 with that last place
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return {static_cast<uint16_t>(sign | (bits - 0x3f000000u))};
    }
    bits += 0xc8000fffu + ((bits >> 13) & 1u);  // exponent - 112, rounded to 10 bits
    return {static_cast<uint16_t>(sign | (bits >> 13))};
}

}  // namespace adze
