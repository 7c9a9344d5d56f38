// y = x W^T + b, one sum after another. Instantiated with double it is the reference, with float the plain algorithm.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

namespace oracle {

/// `x` is [M, K], `w` [N, K], `bias` [N] or empty, all dense. Returns [M, N].
template <class Real>
std::vector<double> linear(int64_t M, int64_t N, int64_t K, const std::vector<double>& x, const std::vector<double>& w,
                           const std::vector<double>& bias) {
    std::vector<double> y(static_cast<size_t>(M * N));
    for (int64_t m = 0; m < M; ++m) {
        for (int64_t n = 0; n < N; ++n) {
            Real sum = 0;
            for (int64_t k = 0; k < K; ++k) sum += static_cast<Real>(x[m * K + k]) * static_cast<Real>(w[n * K + k]);
            if (!bias.empty()) sum += static_cast<Real>(bias[n]);
            y[m * N + n] = sum;
        }
    }
    return y;
}

/// Sum of the magnitudes of what linear() adds up: rounding errors scale with it.
inline std::vector<double> linear_magnitude(int64_t M, int64_t N, int64_t K, std::vector<double> x,
                                            std::vector<double> w, std::vector<double> bias) {
    for (auto* values : {&x, &w, &bias}) {
        for (double& value : *values) value = std::fabs(value);
    }
    return linear<double>(M, N, K, x, w, bias);
}

}  // namespace oracle
