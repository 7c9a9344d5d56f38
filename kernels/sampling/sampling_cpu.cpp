// From logits to the next token (definitions in include/adze/sampling.h)              compiled once per instruction set
// A row is one task. Logits are read in chunks as f32, forbidden ones as -inf: once for the largest (and the greedy
// answer), once for the weights exp((logit - largest) / temperature), and once more for the draw. top_k and top_p
// select without sorting: the kept tokens are those down to a last one in the order (logit falling, id rising), found
// by quickselect in O(V). Floor: V logits read three times, from cache after the first.
#include <algorithm>
#include <cmath>

#include "numeric/philox.h"
#include "runtime/cpu_kernels.h"
#include "runtime/cpu_rows.h"

namespace adze::ADZE_ISA {
namespace {

constexpr int64_t kChunk = 512;
static_assert(kChunk % 32 == 0);

struct Largest {
    float logit = -kInfinity;
    int32_t id = -1;
    bool valid = true;  // no allowed logit is NaN or +inf
};

// The order in which filters keep tokens.
struct Before {
    bool operator()(const Candidate& a, const Candidate& b) const {
        return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    }
};

class Row {
public:
    Row(const SamplingParams& p, int64_t row) : p_(p), row_(row), vocabulary_(p.logits.columns) {
        candidates_ = static_cast<Candidate*>(p.workspace) + row * vocabulary_;
    }

    int32_t sample() {
        adze_sampling_params params{};
        if (p_.params != nullptr) {
            memcpy(&params, reinterpret_cast<const char*>(p_.params) + row_ * p_.params_stride, sizeof params);
        }
        if (!in_range(params)) return -1;
        largest_ = find_largest();
        if (!largest_.valid) return -1;
        if (params.temperature == 0.0f || largest_.id < 0) return largest_.id;
        temperature_ = params.temperature;
        keep(params);
        return draw(philox_uniform(params.seed, params.position));
    }

private:
    static bool in_range(const adze_sampling_params& p) {
        if (!(p.temperature >= 0.0f) || p.temperature == kInfinity) return false;
        return p.temperature == 0.0f ||
               (p.top_k >= 0 && p.top_p >= 0.0f && p.top_p <= 1.0f && p.min_p >= 0.0f && p.min_p <= 1.0f);
    }

    // Calls body(first id, count, logits) with forbidden logits at -inf.
    template <class Body>
    void for_chunks(Body&& body) const {
        float copy[kChunk];
        for (int64_t at = 0; at < vocabulary_; at += kChunk) {
            const int64_t count = std::min(kChunk, vocabulary_ - at);
            const float* logits = read_row(p_.logits, row_, at, count, copy);
            if (p_.mask.data != nullptr) {
                const auto* words = static_cast<const uint32_t*>(p_.mask.data) + row_ * p_.mask.row_stride + at / 32;
                for (int64_t i = 0; i < count; ++i)
                    copy[i] = (words[i / 32] >> (i % 32) & 1u) != 0 ? logits[i] : -kInfinity;
                logits = copy;
            }
            body(at, count, logits);
        }
    }

    Largest find_largest() const {
        Largest best;
        for_chunks([&](int64_t at, int64_t count, const float* logits) {
            F32 largest = broadcast(-kInfinity), poison = zero();
            for (int64_t i = 0; i < count; i += kLanes) {
                const F32 x = count - i >= kLanes ? load(logits + i) : load_n(logits + i, count - i, -kInfinity);
                largest = max(x, largest);
                const F32 y = max(broadcast(-1.0f), x);
                poison = poison + (y - y);  // NaN if x is NaN or +inf
            }
            if (!(reduce_add(poison) == 0.0f)) best.valid = false;
            const float chunk_largest = reduce_max(largest);
            if (!(chunk_largest > best.logit)) return;
            best.logit = chunk_largest;
            int64_t i = 0;
            while (logits[i] != chunk_largest) ++i;
            best.id = static_cast<int32_t>(at + i);
        });
        return best;
    }

    // Calls body(candidate) for every token; weights are the same in every pass.
    template <class Body>
    void for_weights(Body&& body) const {
        for_chunks([&](int64_t at, int64_t count, const float* logits) {
            float weight[kChunk + kLanes];
            for (int64_t i = 0; i < count; i += kLanes) {
                const F32 x = count - i >= kLanes ? load(logits + i) : load_n(logits + i, count - i, -kInfinity);
                store(weight + i, exp((x - broadcast(largest_.logit)) / broadcast(temperature_)));
            }
            for (int64_t i = 0; i < count; ++i) body(Candidate{logits[i], weight[i], static_cast<int32_t>(at + i)});
        });
    }

    // Finds the last token that the filters keep, and the smallest weight.
    void keep(const adze_sampling_params& params) {
        min_weight_ = params.min_p;  // the largest weight is 1
        const bool by_mass = params.top_p > 0.0f && params.top_p < 1.0f;
        const bool by_count = params.top_k > 0 && params.top_k < vocabulary_;
        if (!by_mass && !by_count) return;
        int64_t count = 0;
        for_weights([&](const Candidate& token) {
            if (token.weight > 0.0f) candidates_[count++] = token;
        });
        if (by_count && params.top_k < count) {
            std::nth_element(candidates_, candidates_ + params.top_k - 1, candidates_ + count, Before{});
            count = params.top_k;
            last_ = candidates_[count - 1];
        }
        if (by_mass) last_ = last_of_mass(count, static_cast<double>(params.top_p));
    }

    // The candidate at which the mass of the `count` first reaches `share` of theirs: quickselect, halving the range in
    // O(count).
    Candidate last_of_mass(int64_t count, double share) {
        const double target = share * mass(0, count);
        double before = 0.0;
        int64_t low = 0, high = count;
        while (high - low > 1) {
            const int64_t middle = low + (high - low) / 2;
            std::nth_element(candidates_ + low, candidates_ + middle, candidates_ + high, Before{});
            const double lower = before + mass(low, middle);
            if (lower >= target) {
                high = middle;
            } else {
                before = lower;
                low = middle;
            }
        }
        return candidates_[low];
    }

    double mass(int64_t begin, int64_t end) const {
        double sum = 0.0;
        for (int64_t i = begin; i < end; ++i) sum += static_cast<double>(candidates_[i].weight);
        return sum;
    }

    bool is_kept(const Candidate& token) const {
        return token.weight > 0.0f && token.weight >= min_weight_ && !Before{}(last_, token);
    }

    int32_t draw(double u) const {
        double total = 0.0;
        for_weights([&](const Candidate& token) {
            if (is_kept(token)) total += static_cast<double>(token.weight);
        });
        double cumulative = 0.0;
        int32_t chosen = -1, last_kept = -1;
        for_weights([&](const Candidate& token) {
            if (chosen >= 0 || !is_kept(token)) return;
            last_kept = token.id;
            cumulative += static_cast<double>(token.weight);
            if (cumulative > u * total) chosen = token.id;
        });
        return chosen >= 0 ? chosen : last_kept;
    }

    const SamplingParams& p_;
    const int64_t row_, vocabulary_;
    Candidate* candidates_;
    Largest largest_;
    float temperature_ = 1.0f, min_weight_ = 0.0f;
    Candidate last_{-kInfinity, 0.0f, INT32_MAX};  // of those kept: all
};

}  // namespace

void sampling(CpuPool& pool, const SamplingParams& p) {
    pool.for_each(p.logits.rows,
                  [&](int64_t row, int) { static_cast<int32_t*>(p.ids.data)[row] = Row(p, row).sample(); });
}

}  // namespace adze::ADZE_ISA
