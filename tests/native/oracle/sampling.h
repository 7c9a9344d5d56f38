// The distribution that a row is drawn from, filter by filter in the header's order.
#pragma once
#include <adze/sampling.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace oracle {

inline bool in_range(const adze_sampling_params& p) {
    if (p.temperature == 0) return true;
    return p.temperature > 0 && std::isfinite(p.temperature) && p.top_k >= 0 && p.top_p >= 0 && p.top_p <= 1 &&
           p.min_p >= 0 && p.min_p <= 1;
}

/// Probability of each token, or nothing where the id is -1. `allowed` is empty for no mask.
/// `margin`, if given, receives how far the nearest token is from being kept or dropped the other way by top_p or
/// min_p: where it is large, float32 arithmetic keeps the same tokens.
inline std::vector<double> distribution(const std::vector<double>& logits, const adze_sampling_params& params,
                                        const std::vector<bool>& allowed, double* margin = nullptr) {
    const auto near = [&](double distance) {
        if (margin) *margin = std::min(*margin, std::fabs(distance));
    };
    if (margin) *margin = 1;
    if (!in_range(params)) return {};
    std::vector<size_t> kept;
    for (size_t i = 0; i < logits.size(); ++i) {
        if (!allowed.empty() && !allowed[i]) continue;
        if (std::isnan(logits[i]) || logits[i] == HUGE_VAL) return {};
        if (logits[i] != -HUGE_VAL) kept.push_back(i);
    }
    if (kept.empty()) return {};
    std::stable_sort(kept.begin(), kept.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });

    std::vector<double> p(logits.size(), 0.0);
    if (params.temperature == 0) {
        p[kept[0]] = 1;
        return p;
    }
    const double largest = logits[kept[0]];
    for (size_t i : kept) p[i] = std::exp((logits[i] - largest) / double(params.temperature));
    const auto total = [&] {
        return std::accumulate(kept.begin(), kept.end(), 0.0, [&](double sum, size_t i) { return sum + p[i]; });
    };
    const auto keep = [&](size_t count) {
        for (size_t j = count; j < kept.size(); ++j) p[kept[j]] = 0;
        kept.resize(count);
    };
    if (params.top_k > 0 && size_t(params.top_k) < kept.size()) keep(size_t(params.top_k));
    if (params.top_p > 0 && params.top_p < 1) {
        const double whole = total(), goal = double(params.top_p) * whole;
        double share = 0;
        size_t count = 0;
        while (count < kept.size() && share < goal) {
            share += p[kept[count++]];
            near((share - goal) / whole);
        }
        keep(count);
    }
    if (params.min_p > 0) {
        for (size_t i : kept) near(p[i] / double(params.min_p) - 1);
        size_t count = 0;
        while (count < kept.size() && p[kept[count]] >= double(params.min_p)) ++count;
        keep(count);
    }
    const double sum = total();
    for (double& value : p) value /= sum;
    return p;
}

}  // namespace oracle
