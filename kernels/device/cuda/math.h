// CUDA Math API, and PTX ISA, "ex2" and "lg2".
#pragma once

#include "device/sincos.h"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE float exp2_approx(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
ADZE_DEVICE float log2_approx(float x) {
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
ADZE_DEVICE float rsqrt(float x) {
    return __frcp_rn(__fsqrt_rn(x));
}
ADZE_DEVICE float divide(float a, float b) {
    return __fdiv_rn(a, b);
}
ADZE_DEVICE float fma(float a, float b, float c) {
    return __fmaf_rn(a, b, c);
}
ADZE_DEVICE float infinity() {
    return __uint_as_float(0x7f800000u);
}
ADZE_DEVICE bool is_nan(float x) {
    return x != x;
}
ADZE_DEVICE uint32_t float_bits(float x) {
    return __float_as_uint(x);
}
ADZE_DEVICE float float_from_bits(uint32_t bits) {
    return __uint_as_float(bits);
}
ADZE_DEVICE void sincos_f64(double angle, float& sine, float& cosine) {
    sincos_reduced(angle, sine, cosine);
}
ADZE_DEVICE int count_bits(uint32_t x) {
    return __popc(x);
}
ADZE_DEVICE int lowest_bit(uint32_t x) {
    return x == 0 ? 32 : __ffs(static_cast<int>(x)) - 1;
}

}  // namespace ADZE_TARGET
}  // namespace adze
