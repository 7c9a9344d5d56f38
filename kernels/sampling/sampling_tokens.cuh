// What the sampling kernels work on: their parameters and notes, and a thread's tokens as keys and masses.
#pragma once

#include "device/exp.h"
#include "device/float_matrix.h"
#include "device/reduce.h"
#include "numeric/philox.h"
#include "sampling/sampling.h"
#include "sampling/sampling_sums.cuh"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kThreadTokens = kTokenVectors * kLaneElements;
constexpr int kPartThreads = 512;
constexpr int kPartTokens = kPartThreads * kThreadTokens;
constexpr int kSegments = kPartThreads / kWarpSize * kTokenVectors;  // of a part: a warp's neighbouring tokens
constexpr int kSegmentTokens = kWarpSize * kLaneElements;

// A token's place in the order of the filters (logit falling, id rising): the larger, the earlier.
ADZE_DEVICE uint64_t place_of(uint32_t key, uint32_t id) {
    return uint64_t{key} << 32 | ~id;
}
ADZE_DEVICE uint32_t key_at(uint64_t place) {
    return static_cast<uint32_t>(place >> 32);
}
ADZE_DEVICE uint32_t id_at(uint64_t place) {
    return ~static_cast<uint32_t>(place);
}

constexpr int kMaxParts = 34;     // of a row of which notes are taken
constexpr int kSamples = 168;     // of a part, at most
constexpr int kSampleGap = 128;   // tokens between them, at most; half, where two filters add up what they leave open
constexpr int kPartSlots = 2048;  // of a part's list
constexpr int kListGrain = 2 * kLaneElements;  // lists are held in multiples
constexpr int kMostProbable = 64;              // tokens of a part that are listed for top_p and min_p
constexpr uint32_t kUnlisted = ~0u;  // for a count: the list would exceed its slots; for a cut: nothing is listed

// What is noted of a part. A row of the matrices is a part of a row.
struct SamplingNotes {
    // best: place of the largest logit; kUnusable; or 0, no token is allowed. Then, where the row filters, mass: of all
    // tokens, relative to the part's largest. [rows, parts, 2]
    uint64_t* best_and_mass;
    // count: of tokens listed, and in the upper half of samples; cut: every token with a larger key is listed.
    // [rows, parts, 2]
    uint32_t* count_and_cut;
    FloatMatrix segments;  // masses of a warp's neighbouring tokens. [rows * parts, kSegments] F32
    FloatMatrix logits;    // of the listed tokens, in the order of their ids. [rows * parts, kPartSlots], as the row's
    uint16_t* ids;         // their ids, counted within the part. [rows, parts, kPartSlots]
    // Of the sorted part, a token each and what lies between it and the one before: pack_sample(), and the mass of
    // those tokens and itself, relative to the part's largest. [rows, parts, kSamples]
    uint64_t* samples;
    float* sample_masses;
    uint64_t* ranges;  // RowRanges. [rows, RowRanges::kWords]
    uint64_t* sums;    // of the second reading: PartSum. [rows, parts, 4]
};

struct SamplingKernelParams {
    FloatMatrix logits;
    adze_tensor mask, ids;
    const uint32_t* params;  // NULL: greedy
    int64_t params_stride;   // words
    float mass_of_one;       // a power of two that V times does not overflow 63 bits
    int32_t parts;
    bool noted;  // more than the best of each part
    SamplingNotes notes;
};

constexpr uint64_t kUnusable = ~uint64_t{0};  // a NaN or +inf among the allowed logits

struct SamplingRequest {
    float temperature = 0.0f, top_p = 0.0f, min_p = 0.0f;
    int32_t top_k = 0;
    bool valid = true, by_count = false, by_mass = false;

    ADZE_DEVICE bool greedy() const { return temperature == 0.0f; }
    ADZE_DEVICE bool filters() const { return by_count || by_mass || min_p > 0.0f; }
    // The merging block can hold the top k of each part.
    ADZE_DEVICE bool lists_top_k(int parts) const {
        return by_count && top_k <= kPartSlots &&
               (top_k + kListGrain - 1) / kListGrain * kListGrain <= kPartTokens / parts;
    }
};

// The row's parameters on their way: fetched by one warp, in one access, and seen by all after a barrier.
class RequestInbox {
public:
    static constexpr int kWords = sizeof(adze_sampling_params) / sizeof(uint32_t);

    ADZE_DEVICE explicit RequestInbox(SharedArena& arena) : words_(arena.take<uint32_t>(kWords)) {}

    ADZE_DEVICE void fetch(const SamplingKernelParams& p, int64_t row) const {
        if (p.params == nullptr || !guard(thread_index() < kWords)) return;
        const Global<const uint32_t> words(p.params, (p.logits.tensor.rows - 1) * p.params_stride + kWords);
        words_.store(thread_index(), words.load(row * p.params_stride + thread_index()));
    }

    ADZE_DEVICE SamplingRequest read(const SamplingKernelParams& p) const {
        SamplingRequest r;
        if (p.params == nullptr) return r;
        r.temperature = float_from_bits(words_.load(0));
        if (r.greedy()) return r;
        r.top_k = static_cast<int32_t>(words_.load(1));
        r.top_p = float_from_bits(words_.load(2));
        r.min_p = float_from_bits(words_.load(3));
        r.valid = r.temperature > 0.0f && r.temperature < infinity() && r.top_k >= 0 && r.top_p >= 0.0f &&
                  r.top_p <= 1.0f && r.min_p >= 0.0f && r.min_p <= 1.0f;
        r.by_count = r.top_k > 0 && r.top_k < p.logits.tensor.columns;
        r.by_mass = r.top_p > 0.0f && r.top_p < 1.0f;
        return r;
    }
    // What decides the draw: read when it is due, not held in registers until then.
    ADZE_DEVICE double uniform() const { return philox_uniform(word_pair(4), word_pair(6)); }

private:
    ADZE_DEVICE uint64_t word_pair(int first) const {
        return static_cast<uint64_t>(words_.load(first + 1)) << 32 | words_.load(first);
    }

    Shared<uint32_t> words_;
};

ADZE_DEVICE uint32_t key_of(float logit) {
    const uint32_t bits = float_bits(logit + 0.0f);  // -0 is 0
    return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
ADZE_DEVICE float logit_of(uint32_t key) {
    return float_from_bits(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}
constexpr uint32_t kKeyOfMinusInfinity = 0x007fffffu;

ADZE_DEVICE uint64_t mass_of(uint32_t key, float largest, float temperature, float mass_of_one) {
    if (key == 0) return 0;
    return static_cast<uint64_t>(exp_f32(divide(logit_of(key) - largest, temperature)) * mass_of_one);
}

// The tokens of a thread. Over the block, ids rise from vector to vector and within it from thread to thread.
struct Tokens {
    uint32_t key[kTokenVectors][kLaneElements];
    uint64_t mass[kTokenVectors][kLaneElements];

    ADZE_DEVICE void weigh(float largest, float temperature, float mass_of_one) {
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) mass[v][i] = mass_of(key[v][i], largest, temperature, mass_of_one);
        }
    }
};

// Keys of the lane's vectors of tokens at ids id, id + step, ... False if one of them makes the row unusable.
template <int kVectors>
ADZE_DEVICE bool load_keys(const SamplingKernelParams& p, int64_t row, int64_t id, int64_t step,
                           uint32_t (&key)[kVectors][kLaneElements]) {
    const int64_t vocabulary = p.logits.tensor.columns;
    float x[kVectors][kLaneElements];
    uint32_t allowed[kVectors];
    const auto fetched = fetch_floats<kVectors>(p.logits, true, row, id, step);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
        const int64_t left = vocabulary - id - v * step;
        allowed[v] = left >= kLaneElements ? 0xffu : left > 0 ? 0xffu >> (kLaneElements - left) : 0u;
        if (p.mask.data != nullptr && guard(left > 0)) {
            const int64_t word = row * p.mask.row_stride + (id + v * step) / 32;
            const auto bits = static_cast<uint32_t>(Global<const int32_t>(p.mask).load(word));
            allowed[v] &= bits >> (id % 32);
        }
    }
    unpack(p.logits, fetched, x);
    bool usable = true;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            const bool is_allowed = (allowed[v] >> i & 1u) != 0;
            const uint32_t of_logit = key_of(x[v][i]);
            if (is_allowed && !(x[v][i] < infinity())) usable = false;
            key[v][i] = is_allowed && of_logit > kKeyOfMinusInfinity ? of_logit : 0;
        }
    }
    return usable;
}

// The block's kThreads * 16 tokens from id `first` on, as ids are dealt out by IdInRow.
template <int kThreads>
ADZE_DEVICE bool load_tokens(const SamplingKernelParams& p, int64_t row, int64_t first, Tokens& tokens) {
    return load_keys<kTokenVectors>(p, row, first + thread_index() * kLaneElements, kThreads * kLaneElements,
                                    tokens.key);
}

// The place of the first in order; 0 where there is none.
template <class IdOf>
ADZE_DEVICE uint64_t best_of(const Tokens& tokens, const IdOf& id_of) {
    uint64_t best = 0;
#pragma unroll
    for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            if (tokens.key[v][i] != 0) best = Max{}(best, place_of(tokens.key[v][i], id_of(v, i)));
        }
    }
    return best;
}

}  // namespace ADZE_TARGET
}  // namespace adze
