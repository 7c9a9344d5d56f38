#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "device/sincos.h"

namespace adze {
inline namespace ADZE_TARGET {

inline float exp2_approx(float x) {
    return std::exp2(x);
}
inline float log2_approx(float x) {
    return std::log2(x);
}
inline float rsqrt(float x) {
    return 1.0f / std::sqrt(x);
}
inline float divide(float a, float b) {
    return a / b;
}
inline float fma(float a, float b, float c) {
    return std::fma(a, b, c);
}
inline float infinity() {
    return std::numeric_limits<float>::infinity();
}
inline bool is_nan(float x) {
    return x != x;
}
inline uint32_t float_bits(float x) {
    return std::bit_cast<uint32_t>(x);
}
inline float float_from_bits(uint32_t bits) {
    return std::bit_cast<float>(bits);
}
inline void sincos_f64(double angle, float& sine, float& cosine) {
    sincos_reduced(angle, sine, cosine);  // what the GPUs compute
}
inline int count_bits(uint32_t x) {
    return std::popcount(x);
}
inline int lowest_bit(uint32_t x) {
    return std::countr_zero(x);
}

}  // namespace ADZE_TARGET
}  // namespace adze
