// Quantised KV caches from their contract: scales and codes by float64 and nearbyint.
#pragma once
#include <algorithm>

#include "oracle/number.h"

namespace oracle {

inline bool is_quantised(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F8E4M3 || dtype == ADZE_DTYPE_I8 || dtype == ADZE_DTYPE_I4;
}
/// What the largest value of a vector becomes.
inline double largest_of(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F8E4M3 ? 448 : dtype == ADZE_DTYPE_I8 ? 127 : 7;
}

/// The code nearest to a value that is divided by a scale; saturates.
inline uint32_t quantise(float value, float scale, adze_dtype dtype) {
    const double quotient = float(double(value) / double(scale));  // rounded to f32 as one division is
    if (dtype == ADZE_DTYPE_F8E4M3) {
        if (std::isnan(quotient)) return 0x7f;
        return encode(std::clamp(quotient, -448.0, 448.0), kE4m3);
    }
    if (std::isnan(quotient)) return 0;
    const double limit = dtype == ADZE_DTYPE_I8 ? 128 : 8;
    const int code = int(std::nearbyint(std::clamp(quotient, -limit, limit - 1)));
    return uint32_t(code) & (dtype == ADZE_DTYPE_I8 ? 0xffu : 0xfu);
}

inline double dequantise(uint32_t code, adze_dtype dtype) {
    if (dtype == ADZE_DTYPE_F8E4M3) return decode(code, kE4m3);
    const int limit = dtype == ADZE_DTYPE_I8 ? 128 : 8;
    return int(code) < limit ? int(code) : int(code) - 2 * limit;
}

/// The scale of a vector whose largest magnitude is `largest`, or NaN or Inf.
inline float dynamic_scale(double largest, adze_dtype dtype) {
    if (!std::isfinite(largest)) return std::numeric_limits<float>::quiet_NaN();
    const auto scale = float(largest / largest_of(dtype));
    return scale == 0 ? 1 : scale;
}

}  // namespace oracle
