// Attention of ragged queries over a paged cache, as the header's formula reads: gather, mask, softmax, weigh.
// Instantiated with double it is the reference, with float the plain two-pass algorithm.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

namespace oracle {

struct Paging {
    int page_size = 1;
    std::vector<int32_t> qo_indptr{0}, kv_indptr{0}, kv_last_page_len, kv_indices;

    int sequences() const { return static_cast<int>(kv_last_page_len.size()); }
    int64_t tokens() const { return qo_indptr.back(); }
    int64_t qo_len(int s) const { return qo_indptr[s + 1] - qo_indptr[s]; }
    int64_t kv_len(int s) const {
        const int64_t pages = kv_indptr[s + 1] - kv_indptr[s];
        return pages == 0 ? 0 : (pages - 1) * page_size + kv_last_page_len[s];
    }
    /// Page id and slot in it of token t of sequence s.
    std::pair<int64_t, int64_t> find(int s, int64_t t) const {
        return {kv_indices[kv_indptr[s] + t / page_size], t % page_size};
    }
};

struct AttentionShape {
    int q_heads = 1, kv_heads = 1, dim_qk = 8, dim_v = 8;
    bool causal = true;
    int window = 0;
    double scale = 0;  // 0: 1 / sqrt(dim_qk)
};

struct AttentionResult {
    std::vector<double> o, lse;              // [tokens, q_heads * dim_v], [tokens, q_heads]
    std::vector<double> o_error, lse_error;  // what float32 arithmetic may lose, before o is rounded
    std::vector<double> o_size;              // the sum of |p v| that o is: a relative error of every p counts so often
};

/// An element of the cache, its scale applied: (page, slot, head, element).
using CacheElement = std::function<double(int64_t, int64_t, int64_t, int64_t)>;

template <class Real>
AttentionResult attention(const Paging& batch, const AttentionShape& shape, const std::vector<double>& q,
                          const CacheElement& k_cache, const CacheElement& v_cache) {
    constexpr double u = 0x1p-24;
    const int group = shape.q_heads / shape.kv_heads;
    const Real scale = static_cast<Real>(shape.scale == 0 ? 1 / std::sqrt(double(shape.dim_qk)) : shape.scale);
    AttentionResult out;
    out.o.assign(static_cast<size_t>(batch.tokens() * shape.q_heads * shape.dim_v), 0.0);
    out.lse.assign(static_cast<size_t>(batch.tokens() * shape.q_heads), -std::numeric_limits<double>::infinity());
    out.o_error.assign(out.o.size(), 0.0);
    out.o_size.assign(out.o.size(), 0.0);
    out.lse_error.assign(out.lse.size(), 0.0);

    for (int s = 0; s < batch.sequences(); ++s) {
        const int64_t kv_len = batch.kv_len(s);
        for (int h = 0; h < shape.kv_heads; ++h) {
            std::vector<Real> k, v;
            for (int64_t t = 0; t < kv_len; ++t) {
                const auto [page, slot] = batch.find(s, t);
                for (int e = 0; e < shape.dim_qk; ++e) k.push_back(static_cast<Real>(k_cache(page, slot, h, e)));
                for (int e = 0; e < shape.dim_v; ++e) v.push_back(static_cast<Real>(v_cache(page, slot, h, e)));
            }
            for (int64_t i = 0; i < batch.qo_len(s); ++i) {
                const int64_t position = kv_len - batch.qo_len(s) + i;
                const int64_t end = shape.causal ? std::min(kv_len, position + 1) : kv_len;
                const int64_t begin = shape.window ? std::max<int64_t>(0, position - shape.window + 1) : 0;
                if (begin >= end) continue;
                for (int head = h * group; head < (h + 1) * group; ++head) {
                    const int64_t row = batch.qo_indptr[s] + i;
                    const double* q_row = &q[(row * shape.q_heads + head) * shape.dim_qk];
                    std::vector<Real> p;
                    double logit_error = 0;
                    for (int64_t t = begin; t < end; ++t) {
                        Real dot = 0;
                        double magnitude = 0;
                        int terms = 0;
                        for (int e = 0; e < shape.dim_qk; ++e) {
                            const Real product = static_cast<Real>(q_row[e]) * k[t * shape.dim_qk + e];
                            dot += product;
                            magnitude += std::fabs(double(product));
                            terms += product != 0;
                        }
                        p.push_back(dot * scale);
                        // One term and a scale of one leave nothing to round: then only softmax itself may err.
                        const double roundings = std::max(0, terms - 1) + (scale == 1 ? 0 : terms + 2);
                        const double error = roundings * u * magnitude * std::fabs(double(scale));
                        if (std::isfinite(error)) logit_error = std::max(logit_error, error);
                    }
                    constexpr Real kMinusInfinity = -std::numeric_limits<Real>::infinity();
                    if (std::count(p.begin(), p.end(), kMinusInfinity) == end - begin) continue;  // as if masked
                    const Real largest = *std::max_element(p.begin(), p.end());
                    Real sum = 0;
                    for (Real& logit : p) sum += logit = std::exp(logit - largest);
                    out.lse[row * shape.q_heads + head] = largest + std::log(sum);
                    // A relative error of every p, and of the sums over them.
                    const double loss = 2 * std::expm1(logit_error) + u * double(end - begin + 32);
                    out.lse_error[row * shape.q_heads + head] = loss + 2 * u * std::fabs(double(largest));
                    for (int e = 0; e < shape.dim_v; ++e) {
                        Real value = 0;
                        double magnitude = 0;
                        for (int64_t t = begin; t < end; ++t) {
                            const Real term = p[t - begin] * v[t * shape.dim_v + e];
                            value += term;
                            magnitude += std::fabs(double(term));
                        }
                        const size_t at = static_cast<size_t>((row * shape.q_heads + head) * shape.dim_v + e);
                        out.o[at] = value / sum;
                        out.o_size[at] = magnitude / double(sum);
                        out.o_error[at] = loss * out.o_size[at] + double(end - begin) * 0x1p-149;
                    }
                }
            }
        }
    }
    return out;
}

}  // namespace oracle
