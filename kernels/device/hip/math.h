// v_exp_f32 and v_log_f32 are what the compiler makes of exp2 and log2 in float32; square roots and divisions are
// correctly rounded unless it is told otherwise.
#pragma once

#include "device/sincos.h"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE float exp2_approx(float x) {
    return __builtin_exp2f(x);
}
ADZE_DEVICE float log2_approx(float x) {
    return __builtin_log2f(x);
}
ADZE_DEVICE float rsqrt(float x) {
    return 1.0f / sqrtf(x);
}
ADZE_DEVICE float divide(float a, float b) {
    return a / b;
}
ADZE_DEVICE float fma(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
ADZE_DEVICE float infinity() {
    return __builtin_inff();
}
ADZE_DEVICE bool is_nan(float x) {
    return x != x;
}
ADZE_DEVICE uint32_t float_bits(float x) {
    return __builtin_bit_cast(uint32_t, x);
}
ADZE_DEVICE float float_from_bits(uint32_t bits) {
    return __builtin_bit_cast(float, bits);
}
ADZE_DEVICE void sincos_f64(double angle, float& sine, float& cosine) {
    sincos_reduced(angle, sine, cosine);
}
ADZE_DEVICE int count_bits(uint32_t x) {
    return __builtin_popcount(x);
}
ADZE_DEVICE int lowest_bit(uint32_t x) {
    return x == 0 ? 32 : __builtin_ctz(x);
}

}  // namespace ADZE_TARGET
}  // namespace adze
