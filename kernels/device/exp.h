// exp(x) from the target's exp2, within 3 ulp; subnormal results may be 0. Portable.
#pragma once

#include "device/math.h"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE float exp_f32(float x) {
    // x log2(e) loses as many ulp of the result as it has bits before the point; what it lost is put back to first order.
    constexpr float kLog2E = 1.44269502f, kLog2ERest = 1.92596303e-8f, kLn2 = 0.693147181f;
    const float exponent = x * kLog2E;
    const float result = exp2_approx(exponent);
    if (!(exponent > -128.0f && exponent < 128.0f)) return result;  // subnormal or 0, Inf, NaN
    const float lost = fma(x, kLog2ERest, fma(x, kLog2E, -exponent));
    return fma(result, lost * kLn2, result);
}

}  // namespace ADZE_TARGET
}  // namespace adze
