// Sine and cosine for the GPU layers. The vendors' own keep a table in memory for angles of any size, which costs every
// kernel that uses them a stack.
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

// Of |angle| < 2^31, the float64 result to about 1e-14, rounded to float32.
// Cody and Waite, "Software Manual for the Elementary Functions" (1980): the angle less a multiple of pi / 2, itself
// given as the sum of two doubles, then Taylor series on [-pi/4, pi/4].
ADZE_DEVICE void sincos_reduced(double angle, float& sine, float& cosine) {
    const double quarters = rint(angle * 0.63661977236758134308);  // 2 / pi
    double x = ::fma(quarters, -1.5707963267948965580e+00, angle);
    x = ::fma(quarters, -6.1232339957367660359e-17, x);
    x = ::fma(quarters, 1.4973849048591833267e-33, x);
    const double y = x * x;

    double s = 1.0 / 6227020800;
    s = ::fma(s, y, -1.0 / 39916800);
    s = ::fma(s, y, 1.0 / 362880);
    s = ::fma(s, y, -1.0 / 5040);
    s = ::fma(s, y, 1.0 / 120);
    s = ::fma(s, y, -1.0 / 6);
    s = ::fma(s * y, x, x);

    double c = -1.0 / 87178291200;
    c = ::fma(c, y, 1.0 / 479001600);
    c = ::fma(c, y, -1.0 / 3628800);
    c = ::fma(c, y, 1.0 / 40320);
    c = ::fma(c, y, -1.0 / 720);
    c = ::fma(c, y, 1.0 / 24);
    c = ::fma(c, y, -0.5);
    c = ::fma(c, y, 1.0);

    const auto quadrant = static_cast<int64_t>(quarters) & 3;
    const double of_sine = quadrant & 1 ? c : s, of_cosine = quadrant & 1 ? s : c;
    sine = static_cast<float>(quadrant & 2 ? -of_sine : of_sine);
    cosine = static_cast<float>((quadrant + 1) & 2 ? -of_cosine : of_cosine);
}

}  // namespace ADZE_TARGET
}  // namespace adze
