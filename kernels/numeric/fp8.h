// The two FP8 formats of Micikevicius et al., "FP8 Formats for Deep Learning" (2022), converted by integer arithmetic so
// that every compiler and device agrees to the bit.
#pragma once

#include <cstdint>
#include <cstring>

#include "numeric/f16.h"
#include "numeric/host_device.h"

namespace adze {

// 4 exponent bits, bias 7, 3 fraction bits; largest 448; no Inf, and one NaN of each sign, 0x7f and 0xff.
struct e4m3 {
    uint8_t bits;
};
// The upper half of an IEEE binary16: 5 exponent bits, 2 fraction bits; largest 57344; Inf and NaN.
struct e5m2 {
    uint8_t bits;
};

ADZE_HOST_DEVICE float to_float(e4m3 value) {
    const uint32_t sign = static_cast<uint32_t>(value.bits & 0x80u) << 24;
    const uint32_t magnitude = static_cast<uint32_t>(value.bits & 0x7fu) << 20;
    // The exponent is rebiased by multiplication, which also normalises the subnormals.
    float result;
    memcpy(&result, &magnitude, sizeof result);
    result *= 1.329227995784915873e36f;  // 2^120
    uint32_t bits;
    memcpy(&bits, &result, sizeof bits);
    if ((value.bits & 0x7fu) == 0x7fu) bits = 0x7fc00000u;
    bits |= sign;
    memcpy(&result, &bits, sizeof result);
    return result;
}

ADZE_HOST_DEVICE float to_float(e5m2 value) {
    return to_float(f16{static_cast<uint16_t>(value.bits << 8)});
}

// To nearest, ties to even, for a format of that many fraction bits and that exponent bias; beyond the code `largest` is
// `largest`; NaN is 0x7f, which is what the instructions of sm_89 and sm_90 make of it.
template <int kFractionBits, int kBias, uint32_t kLargest>
ADZE_HOST_DEVICE uint8_t to_fp8_bits(float value) {
    constexpr int kDropped = 23 - kFractionBits;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = (bits >> 24) & 0x80u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return 0x7f;
    if (bits < static_cast<uint32_t>(128 - kBias) << 23) {
        // Subnormal: a multiple of the format's smallest number, found by adding a power of two with that last place.
        constexpr uint32_t kPower = static_cast<uint32_t>(127 + 24 - kBias - kFractionBits) << 23;
        float magnitude, power;
        memcpy(&magnitude, &bits, sizeof magnitude);
        memcpy(&power, &kPower, sizeof power);
        magnitude += power;
        memcpy(&bits, &magnitude, sizeof bits);
        return static_cast<uint8_t>(sign | (bits - kPower));
    }
    bits += ((1u << (kDropped - 1)) - 1) + ((bits >> kDropped) & 1u);
    const uint32_t code = (bits - (static_cast<uint32_t>(127 - kBias) << 23)) >> kDropped;
    return static_cast<uint8_t>(sign | (code < kLargest ? code : kLargest));
}

ADZE_HOST_DEVICE e4m3 to_e4m3(float value) {
    return {to_fp8_bits<3, 7, 0x7e>(value)};
}
ADZE_HOST_DEVICE e5m2 to_e5m2(float value) {
    return {to_fp8_bits<2, 15, 0x7b>(value)};
}

}  // namespace adze
