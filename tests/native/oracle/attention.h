// Attention of ragged queries over a paged cache, as the header's formula reads: gather, mask, softmax, weigh; and the
// merge of several. Instantiated with double it is the reference, with float the plain two-pass algorithm.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <type_traits>
#include <vector>

#include "oracle/number.h"

namespace oracle {

struct Paging {
    int page_size = 1;
    std::vector<int32_t> qo_indptr{0}, kv_indptr{0}, kv_last_page_len, kv_indices;
    std::vector<int64_t> mask_indptr;  // empty: no sequence has a mask
    std::vector<uint32_t> mask;

    int sequences() const { return static_cast<int>(kv_last_page_len.size()); }
    int64_t tokens() const { return qo_indptr.back(); }
    int64_t qo_len(int s) const { return qo_indptr[s + 1] - qo_indptr[s]; }
    int64_t kv_len(int s) const {
        const int64_t pages = kv_indptr[s + 1] - kv_indptr[s];
        return pages == 0 ? 0 : (pages - 1) * page_size + kv_last_page_len[s];
    }
    /// Position of query i of sequence s.
    int64_t position(int s, int64_t i) const { return kv_len(s) - qo_len(s) + i; }
    /// Page id and slot in it of token t of sequence s.
    std::pair<int64_t, int64_t> find(int s, int64_t t) const {
        return {kv_indices[kv_indptr[s] + t / page_size], t % page_size};
    }
    /// Whether the mask lets query i of sequence s see key t.
    bool unmasked(int s, int64_t i, int64_t t) const {
        if (mask_indptr.empty() || mask_indptr[s] == mask_indptr[s + 1]) return true;
        return mask[mask_indptr[s] + i * ((kv_len(s) + 31) / 32) + t / 32] >> t % 32 & 1;
    }
};

struct AttentionShape {
    int q_heads = 1, kv_heads = 1, dim_qk = 8, dim_v = 8;
    bool causal = true;
    int window = 0;
    double scale = 0;  // 0: 1 / sqrt(dim_qk)
    int sink_tokens = 0;
    double soft_cap = 0;  // 0: none

    bool sees(int64_t position, int64_t key) const {
        return (!causal || key <= position) && (window == 0 || key > position - window || key < sink_tokens);
    }
};

/// What a head brings to its softmax; empty: nothing.
struct AttentionHeads {
    std::vector<double> alibi_slopes, sinks;
    std::vector<double> phi;  // of a unified softmax on trial; the result is the same, the error not
};

struct AttentionResult {
    std::vector<double> o, lse;              // [tokens, q_heads * dim_v], [tokens, q_heads]
    std::vector<double> o_error, lse_error;  // what float32 arithmetic may lose, before o is rounded

    AttentionResult(int64_t tokens, int heads, int dim)
        : o(static_cast<size_t>(tokens * heads * dim)),
          lse(static_cast<size_t>(tokens * heads), -std::numeric_limits<double>::infinity()),
          o_error(o.size()),
          lse_error(lse.size()) {}
};

/// An element of the cache, its scale applied: (page, slot, head, element).
using CacheElement = std::function<double(int64_t, int64_t, int64_t, int64_t)>;

constexpr double kRoundoff = 0x1p-24;

template <class Real>
struct Logit {
    Real value;
    double error;
};

/// Of a key at `distance` from its query (key's position less query's).
template <class Real>
Logit<Real> logit(const AttentionShape& shape, const double* q, const Real* k, double slope, int64_t distance) {
    const Real scale = static_cast<Real>(shape.scale == 0 ? 1 / std::sqrt(double(shape.dim_qk)) : shape.scale);
    Real dot = 0;
    double magnitude = 0;
    int terms = 0;
    for (int e = 0; e < shape.dim_qk; ++e) {
        const Real product = static_cast<Real>(q[e]) * k[e];
        dot += product;
        magnitude += std::fabs(double(product));
        terms += product != 0;
    }
    // One term and a scale that is a power of two leave nothing to round: then only softmax itself may err.
    const bool exact = scale == 1 || (terms <= 1 && scale != 0 && std::exp2(std::ilogb(scale)) == scale);
    const double roundings = std::max(0, terms - 1) + (exact ? 0 : terms + 2);
    Logit<Real> out{dot * scale, roundings * kRoundoff * magnitude * std::fabs(double(scale))};
    if (shape.soft_cap > 0) {  // of slope 1 at most; exponentials give tanh some roundings of 1
        const Real cap = static_cast<Real>(shape.soft_cap);
        out = {cap * std::tanh(out.value / cap), out.error + 8 * kRoundoff * shape.soft_cap};
    }
    if (slope != 0) {
        const Real bias = static_cast<Real>(slope) * static_cast<Real>(distance);
        out.value += bias;
        out.error += 2 * kRoundoff * (std::fabs(double(bias)) + std::fabs(double(out.value)));
    }
    return out;
}

/// What exp(x - phi) in f32 loses more than exp(x - largest) does, of itself: the difference, log2(e) and their product
/// round an exponent of |x - phi|. Weights below e^-17 of the largest do not show; a row further than 80 from phi is not done
/// by it.
inline double phi_error(double largest_minus_phi) {
    const double off = std::fabs(largest_minus_phi);
    return off > 80 ? 0 : 3 * kRoundoff * (off + 17);
}

/// weight_bits: fraction bits of the format that the algorithm on trial rounds a softmax's weights to before it multiplies
/// them with values, while their sum takes them as they are; 0: none. Each product p v then errs by 2^-(weight_bits + 1) of
/// itself, so o by as much of sum |p v| / sum p; the plain algorithm does it too.
template <class Real>
AttentionResult attention(const Paging& batch, const AttentionShape& shape, const std::vector<double>& q,
                          const CacheElement& k_cache, const CacheElement& v_cache, const AttentionHeads& heads = {},
                          int weight_bits = 0) {
    constexpr Real kMinusInfinity = -std::numeric_limits<Real>::infinity();
    const int group = shape.q_heads / shape.kv_heads;
    AttentionResult out(batch.tokens(), shape.q_heads, shape.dim_v);
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
                const int64_t position = batch.position(s, i);
                std::vector<int64_t> keys;
                for (int64_t t = 0; t < kv_len; ++t) {
                    if (shape.sees(position, t) && batch.unmasked(s, i, t)) keys.push_back(t);
                }
                for (int head = h * group; head < (h + 1) * group; ++head) {
                    const size_t at = static_cast<size_t>((batch.qo_indptr[s] + i) * shape.q_heads + head);
                    std::vector<Real> p;
                    double logit_error = 0;
                    for (const int64_t t : keys) {
                        const double slope = heads.alibi_slopes.empty() ? 0 : heads.alibi_slopes[head];
                        const auto [value, error] =
                            logit(shape, &q[at * shape.dim_qk], &k[t * shape.dim_qk], slope, t - position);
                        p.push_back(value);
                        if (std::isfinite(error)) logit_error = std::max(logit_error, error);
                    }
                    const Real sink = heads.sinks.empty() ? kMinusInfinity : static_cast<Real>(heads.sinks[head]);
                    if (std::count(p.begin(), p.end(), kMinusInfinity) == std::ssize(p) && sink == kMinusInfinity)
                        continue;  // as if it saw none
                    const Real largest_key = p.empty() ? kMinusInfinity : *std::max_element(p.begin(), p.end());
                    const Real largest = std::max(sink, largest_key);
                    Real sum = std::exp(sink - largest);
                    for (Real& value : p) sum += value = std::exp(value - largest);
                    out.lse[at] = largest + std::log(sum);
                    if (weight_bits > 0 && !std::is_same_v<Real, double>) {
                        for (Real& value : p) value = static_cast<Real>(round_to(value, {8, weight_bits}));
                    }
                    const double weight_error = weight_bits > 0 ? std::ldexp(1.0, -weight_bits - 1) : 0;
                    // A relative error of every p, and of the sums over them.
                    const double loss = 2 * std::expm1(logit_error) + kRoundoff * double(keys.size() + 32) +
                                        (heads.phi.empty() ? 0 : phi_error(double(largest_key) - heads.phi[head]));
                    out.lse_error[at] = loss + 2 * kRoundoff * std::fabs(double(largest));
                    for (int e = 0; e < shape.dim_v; ++e) {
                        Real value = 0;
                        double magnitude = 0;
                        for (size_t n = 0; n < keys.size(); ++n) {
                            const Real term = p[n] * v[keys[n] * shape.dim_v + e];
                            value += term;
                            magnitude += std::fabs(double(term));
                        }
                        out.o[at * shape.dim_v + e] = value / sum;
                        out.o_error[at * shape.dim_v + e] =
                            (loss + weight_error) * magnitude / double(sum) + double(keys.size()) * 0x1p-149;
                    }
                }
            }
        }
    }
    return out;
}

/// o [parts * tokens, heads * dim] and lse [parts * tokens, heads], part after part.
template <class Real>
AttentionResult merge(int parts, int heads, int dim, const std::vector<double>& o, const std::vector<double>& lse) {
    const int64_t tokens = std::ssize(lse) / parts / heads;
    AttentionResult out(tokens, heads, dim);
    for (int64_t at = 0; at < tokens * heads; ++at) {
        std::vector<int64_t> seen;  // parts that saw a key
        for (int64_t i = at; i < parts * tokens * heads; i += tokens * heads) {
            if (lse[i] != -std::numeric_limits<double>::infinity()) seen.push_back(i);
        }
        if (seen.empty()) continue;
        Real largest = static_cast<Real>(lse[seen[0]]), sum = 0;
        for (const int64_t i : seen) largest = std::max(largest, static_cast<Real>(lse[i]));
        for (const int64_t i : seen) sum += std::exp(static_cast<Real>(lse[i]) - largest);
        out.lse[at] = largest + std::log(sum);
        const double loss = kRoundoff * double(parts + 32);
        out.lse_error[at] = loss + 2 * kRoundoff * std::fabs(double(largest));
        for (int e = 0; e < dim; ++e) {
            Real value = 0;
            double magnitude = 0;
            for (const int64_t i : seen) {
                const Real term = std::exp(static_cast<Real>(lse[i]) - largest) * static_cast<Real>(o[i * dim + e]);
                value += term;
                magnitude += std::fabs(double(term));
            }
            out.o[at * dim + e] = value / sum;
            out.o_error[at * dim + e] = loss * magnitude / double(sum) + parts * 0x1p-149;
        }
    }
    return out;
}

}  // namespace oracle
