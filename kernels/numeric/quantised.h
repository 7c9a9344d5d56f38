// The formats of quantised KV caches: FP8 E4M3 (fp8.h), int8_t and int4x2. A value is its stored number times a scale.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "numeric/fp8.h"
#include "numeric/host_device.h"

namespace adze {

// Two numbers -8 to 7 in two's complement, the first in the lower half.
struct int4x2 {
    uint8_t bits;
};

// Of a format Q: numbers in a byte, and the largest, which the largest value of a vector becomes.
template <class Q>
constexpr int kPerByte = std::is_same_v<Q, int4x2> ? 2 : 1;
template <class Q>
constexpr float kLargestOf = std::is_same_v<Q, e4m3>     ? 448.0f
                             : std::is_same_v<Q, int8_t> ? 127.0f
                                                         : 7.0f;

// To nearest, ties to even, within kLow to kHigh; NaN is 0.
template <int kLow, int kHigh>
ADZE_HOST_DEVICE int32_t to_integer(float value) {
    if (value >= static_cast<float>(kHigh)) return kHigh;
    if (value <= static_cast<float>(kLow)) return kLow;
    if (value != value) return 0;
    value += 12582912.0f;  // 1.5 * 2^23: its last place is 1
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits - 0x4b400000;
}

// The number of Q nearest to a value, its bits in the lowest ones.
template <class Q>
ADZE_HOST_DEVICE uint32_t quantise(float value) {
    if constexpr (std::is_same_v<Q, e4m3>) {
        return to_e4m3(value).bits;
    } else if constexpr (std::is_same_v<Q, int8_t>) {
        return static_cast<uint32_t>(to_integer<-128, 127>(value)) & 0xffu;
    } else {
        static_assert(std::is_same_v<Q, int4x2>);
        return static_cast<uint32_t>(to_integer<-8, 7>(value)) & 0xfu;
    }
}
// Number i of a word.
template <class Q>
ADZE_HOST_DEVICE float dequantise(uint32_t word, int i) {
    if constexpr (std::is_same_v<Q, e4m3>) {
        return to_float(e4m3{static_cast<uint8_t>(word >> 8 * i)});
    } else if constexpr (std::is_same_v<Q, int8_t>) {
        return static_cast<float>(static_cast<int8_t>(word >> 8 * i));
    } else {
        static_assert(std::is_same_v<Q, int4x2>);
        return static_cast<float>(static_cast<int32_t>(word << (28 - 4 * i)) >> 28);
    }
}

// What the largest magnitude of a vector is found by: as integers they have the order of the numbers, then Inf, then NaN.
ADZE_HOST_DEVICE uint32_t magnitude_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x7fffffffu;
}
// The scale of a vector by its largest magnitude_bits(): NaN where it has an Inf or a NaN, 1 where all of it is zero or nearly.
template <class Q>
ADZE_HOST_DEVICE float scale_for(uint32_t largest_bits) {
    if (largest_bits >= 0x7f800000u) largest_bits = 0x7fc00000u;
    float largest;
    memcpy(&largest, &largest_bits, sizeof largest);
    const float scale = largest / kLargestOf<Q>;
    return scale == 0.0f ? 1.0f : scale;
}

}  // namespace adze
