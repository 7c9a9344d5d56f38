// Number formats from first principles: any sign-exponent-fraction format of IEEE 754's shape, or of e4m3's, decoded and
// encoded (round to nearest, ties to even) with ldexp and nearbyint alone. Shares no line with kernels/numeric, which it
// checks.
#pragma once
#include <adze/base.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace oracle {

struct Format {
    int exponent_bits;
    int fraction_bits;
    bool finite = false;  // the top exponent holds numbers too, but for the last code, which is NaN; there is no Inf

    constexpr int bias() const { return (1 << (exponent_bits - 1)) - 1; }
    constexpr uint32_t exponents() const { return ((1u << exponent_bits) - 1) << fraction_bits; }
    /// The code after the largest number's.
    constexpr uint32_t infinity() const { return finite ? sign() - 1 : exponents(); }
    constexpr uint32_t sign() const { return 1u << (exponent_bits + fraction_bits); }
    /// Half a unit in the last place of a number in [1, 2): the relative error of one rounding.
    double unit_roundoff() const { return std::ldexp(1.0, -fraction_bits - 1); }
    /// The spacing of subnormals.
    double smallest() const { return std::ldexp(1.0, 1 - bias() - fraction_bits); }
    double largest() const {
        return finite ? std::ldexp(2.0 - std::ldexp(2.0, -fraction_bits), bias() + 1)
                      : std::ldexp(2.0 - std::ldexp(1.0, -fraction_bits), bias());
    }
};

inline constexpr Format kF32{8, 23};
inline constexpr Format kF16{5, 10};
inline constexpr Format kBf16{8, 7};
inline constexpr Format kE4m3{4, 3, true};
inline constexpr Format kE5m2{5, 2};

inline constexpr Format format_of(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F16 ? kF16 : dtype == ADZE_DTYPE_BF16 ? kBf16 : kF32;
}

inline double decode(uint32_t bits, Format format) {
    const double sign = bits & format.sign() ? -1.0 : 1.0;
    const int exponent = static_cast<int>((bits & format.exponents()) >> format.fraction_bits);
    const uint32_t fraction = bits & ((1u << format.fraction_bits) - 1);
    if (format.finite) {
        if ((bits & ~format.sign()) == format.infinity()) return std::numeric_limits<double>::quiet_NaN();
    } else if (exponent == (1 << format.exponent_bits) - 1) {
        return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    }
    if (exponent == 0) return sign * fraction * format.smallest();
    return sign * std::ldexp(fraction | (1u << format.fraction_bits), exponent - format.bias() - format.fraction_bits);
}

inline uint32_t encode(double value, Format format) {
    const uint32_t sign = std::signbit(value) ? format.sign() : 0;
    if (std::isnan(value)) return sign | format.infinity() | (1u << (format.fraction_bits - 1));  // e4m3's has all bits
    const double magnitude = std::fabs(value);
    if (magnitude == 0) return sign;
    if (magnitude > 2 * format.largest()) return sign | format.infinity();
    const int exponent = std::max(std::ilogb(magnitude), 1 - format.bias());
    // The hidden bit of a normal number carries into the exponent, as does a fraction that rounds up to 2.
    const double fraction = std::nearbyint(std::ldexp(magnitude, format.fraction_bits - exponent));
    const uint32_t bits =
        (static_cast<uint32_t>(exponent + format.bias() - 1) << format.fraction_bits) + static_cast<uint32_t>(fraction);
    return sign | std::min(bits, format.infinity());
}

inline double round_to(double value, Format format) {
    return decode(encode(value, format), format);
}

}  // namespace oracle
