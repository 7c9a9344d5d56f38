// Rotary frequencies and their scalings, in f64 on the host.
#include <cmath>
#include <limits>
#include <numbers>

#include "adze/glue.h"
#include "runtime/check.h"

namespace adze {
namespace {

void require_positive(double value, const char* name) {
    require(value > 0 && std::isfinite(value), "%s is %g; it must be positive and finite", name, value);
}

// Long wavelengths are stretched by `factor`, short ones kept, those between blended linearly in original_context /
// wavelength.
double llama3_scaled(const adze_rope_frequencies_desc& d, double frequency) {
    const double turns = d.original_context * frequency / (2 * std::numbers::pi);  // within the original context
    if (turns < d.low_freq_factor) return frequency / d.factor;
    if (turns > d.high_freq_factor) return frequency;
    const double kept = (turns - d.low_freq_factor) / (d.high_freq_factor - d.low_freq_factor);
    return (1 - kept) * frequency / d.factor + kept * frequency;
}

double scaled(const adze_rope_frequencies_desc& d, double frequency) {
    switch (d.scaling) {
        case ADZE_ROPE_SCALING_LINEAR:
            return frequency / d.factor;
        case ADZE_ROPE_SCALING_LLAMA3:
            return llama3_scaled(d, frequency);
        default:
            return frequency;
    }
}

void require_scaling(const adze_rope_frequencies_desc& d) {
    require_range(d.scaling, ADZE_ROPE_SCALING_NONE, ADZE_ROPE_SCALING_LLAMA3, "scaling");
    if (d.scaling == ADZE_ROPE_SCALING_NONE) return;
    require_positive(d.factor, "factor");
    if (d.scaling == ADZE_ROPE_SCALING_LINEAR) return;
    require_positive(d.low_freq_factor, "low_freq_factor");
    require_positive(d.high_freq_factor, "high_freq_factor");
    require_positive(d.original_context, "original_context");
    require(d.high_freq_factor > d.low_freq_factor, "high_freq_factor is %g; it must exceed low_freq_factor, %g",
            d.high_freq_factor, d.low_freq_factor);
}

}  // namespace
}  // namespace adze

using namespace adze;

extern "C" adze_status adze_rope_frequencies(const adze_rope_frequencies_desc* desc, float* inv_freq) {
    return guarded(__func__, [&] {
        const adze_rope_frequencies_desc d = read_desc(desc);
        require_pointer(inv_freq, "inv_freq");
        require(d.rotary_dim >= 2 && d.rotary_dim % 2 == 0, "rotary_dim is %d; it must be even and at least 2",
                d.rotary_dim);
        require(d.reserved == 0, "reserved is %d; it must be zero", d.reserved);
        require_positive(d.theta, "theta");
        require_scaling(d);
        for (int32_t i = 0; i < d.rotary_dim / 2; ++i) {
            const double frequency = scaled(d, std::pow(d.theta, -2.0 * i / d.rotary_dim));
            require(frequency <= std::numeric_limits<float>::max(), "theta is %g; frequency %d would be %g, beyond f32",
                    d.theta, i, frequency);
            inv_freq[i] = static_cast<float>(frequency);
        }
    });
}
