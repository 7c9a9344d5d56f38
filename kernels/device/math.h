// Arithmetic that targets have instructions for. In the simulator f32 arithmetic is the host's, rounded to nearest.
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE float exp2_approx(float x);  // within 2 ulp; 0 for -inf; subnormal results may be 0
ADZE_DEVICE float log2_approx(
    float x);                      // of a positive normal number: within 2^-22 of it from 0.5 to 2, else within 2 ulp
ADZE_DEVICE float rsqrt(float x);  // 1 / sqrt(x), correctly rounded steps
ADZE_DEVICE float divide(float a, float b);  // correctly rounded
ADZE_DEVICE float fma(float a, float b, float c);
ADZE_DEVICE float infinity();
ADZE_DEVICE bool is_nan(float x);
ADZE_DEVICE uint32_t float_bits(float x);
ADZE_DEVICE float float_from_bits(uint32_t bits);
ADZE_DEVICE void sincos_f64(double angle, float& sine, float& cosine);
ADZE_DEVICE int count_bits(uint32_t x);
ADZE_DEVICE int lowest_bit(uint32_t x);  // index; 32 for 0

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(math.h)
