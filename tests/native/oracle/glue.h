// The small operators over one row each. Instantiated with double: the reference; with float: the plain algorithm.
#pragma once
#include <adze/glue.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace oracle {

template <class Real>
std::vector<double> rms_norm(const std::vector<double>& h, const std::vector<double>& weight, double epsilon) {
    Real squares = 0;
    for (double value : h) squares += static_cast<Real>(value) * static_cast<Real>(value);
    const Real scale = 1 / std::sqrt(squares / static_cast<Real>(h.size()) + static_cast<Real>(epsilon));
    std::vector<double> y(h.size());
    for (size_t d = 0; d < h.size(); ++d) y[d] = static_cast<Real>(h[d]) * scale * static_cast<Real>(weight[d]);
    return y;
}

/// One head, in place: elements i and i + R turn by position * inv_freq[i]. The angle is the float32 product's exact
/// value in double, because positions and frequencies are given as int32 and float32.
template <class Real>
void rope(double* head, int32_t position, const std::vector<float>& inv_freq) {
    const size_t R = inv_freq.size();
    for (size_t i = 0; i < R; ++i) {
        const Real angle = static_cast<Real>(position) * static_cast<Real>(inv_freq[i]);
        const Real a = static_cast<Real>(head[i]), b = static_cast<Real>(head[i + R]);
        head[i] = a * std::cos(angle) - b * std::sin(angle);
        head[i + R] = b * std::cos(angle) + a * std::sin(angle);
    }
}

template <class Real>
double silu_gate(double gate, double up) {
    const Real z = static_cast<Real>(gate);
    return z / (1 + std::exp(-z)) * static_cast<Real>(up);
}

inline std::vector<double> rope_frequencies(const adze_rope_frequencies_desc& desc) {
    std::vector<double> out;
    for (int i = 0; i < desc.rotary_dim / 2; ++i) {
        double frequency = std::pow(desc.theta, -2.0 * i / desc.rotary_dim);
        if (desc.scaling == ADZE_ROPE_SCALING_LINEAR) frequency /= desc.factor;
        if (desc.scaling == ADZE_ROPE_SCALING_LLAMA3) {
            const double wavelength = 2 * std::numbers::pi / frequency;
            const double longest = desc.original_context / desc.low_freq_factor;
            const double shortest = desc.original_context / desc.high_freq_factor;
            if (wavelength > longest) {
                frequency /= desc.factor;
            } else if (wavelength >= shortest) {
                const double smooth = (desc.original_context / wavelength - desc.low_freq_factor) /
                                      (desc.high_freq_factor - desc.low_freq_factor);
                frequency = (1 - smooth) * frequency / desc.factor + smooth * frequency;
            }
        }
        out.push_back(frequency);
    }
    return out;
}

}  // namespace oracle
