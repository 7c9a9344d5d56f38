// From logits to the next token (definitions in include/adze/sampling.h)
//
// A logit is turned into a key, an unsigned number of the same order (0: forbidden or -inf), and a mass, its weight
// exp((logit - largest) / temperature) in fixed point: integers add up to the same whatever the order, so a draw depends
// on nothing but its row. top_k and top_p select without sorting: the kept tokens are those down to a last one in the
// order (logit falling, id rising), whose key is found from its highest bits down, two at a time, by adding up what lies
// at or above three pivots. A thread holds 16 tokens in registers.
//
// SampleRow         rows of up to 16 tokens a thread: a block a row, everything in registers. Reads V once.
// SampleParts,      longer rows: a block for each part of 8192 tokens notes the largest logit and, as the row's parameters
// SampleMerged      ask, the mass of each warp's tokens (no filter) or its most probable tokens (top_k: k of them; top_p,
//                   min_p: as many as the merging block can hold); then a block a row samples from those notes. Reads V
//                   once, and 256 tokens (512 where warps have 64 lanes) more where nothing filters. Where the last token
//                   is beyond the notes - a top_p that keeps more than some thousand tokens, or a top_k as large - the
//                   merging block goes over the row itself, 16 times and more: right, not fast.
// Floor: V logits, their mask.
#pragma once

#include "device/atomic.h"
#include "device/exp.h"
#include "device/float_matrix.h"
#include "device/reduce.h"
#include "numeric/philox.h"
#include "sampling/sampling.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kTokenVectors = 2;  // of 8 tokens, that a thread holds
constexpr int kThreadTokens = kTokenVectors * kLaneElements;
constexpr int kPartThreads = 512;
constexpr int kPartTokens = kPartThreads * kThreadTokens;
constexpr int kSegments = kPartThreads / kWarpSize * kTokenVectors;  // of a part: a warp's neighbouring tokens
constexpr int kSegmentTokens = kWarpSize * kLaneElements;

// What SampleParts notes of a part. A row of the matrices is a part of a row.
struct SamplingNotes {
    // best: key and complement of the id of the largest logit; kUnusable; or 0, no token is allowed. Then, where tokens
    // are listed, mass: of all tokens, relative to the largest. [rows, parts, 2]
    uint64_t* best_and_mass;
    // count: of tokens listed; cut: every token with a larger key is listed. [rows, parts, 2]
    uint32_t* count_and_cut;
    FloatMatrix segments;  // masses relative to the largest. [rows * parts, kSegments] F32
    FloatMatrix logits;    // of the listed tokens, in the order of their ids. [rows * parts, slots], as the row's
    uint16_t* ids;         // their ids, counted within the part. [rows, parts, slots]
};

struct SamplingKernelParams {
    FloatMatrix logits;
    adze_tensor mask, ids;
    const uint32_t* params;  // NULL: greedy
    int64_t params_stride;   // words
    float mass_of_one;       // a power of two that V times does not overflow 63 bits
    int32_t parts, slots;    // slots 0: no lists, no segments
    SamplingNotes notes;
};

constexpr uint64_t kUnusable = ~uint64_t{0};  // a NaN or +inf among the allowed logits

struct SamplingRequest {
    float temperature = 0.0f, top_p = 0.0f, min_p = 0.0f;
    int32_t top_k = 0;
    uint64_t seed = 0, position = 0;
    bool valid = true, by_count = false, by_mass = false;

    ADZE_DEVICE bool greedy() const { return temperature == 0.0f; }
    ADZE_DEVICE bool filters() const { return by_count || by_mass || min_p > 0.0f; }
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
        r.seed = static_cast<uint64_t>(words_.load(5)) << 32 | words_.load(4);
        r.position = static_cast<uint64_t>(words_.load(7)) << 32 | words_.load(6);
        r.valid = r.temperature > 0.0f && r.temperature < infinity() && r.top_k >= 0 && r.top_p >= 0.0f &&
                  r.top_p <= 1.0f && r.min_p >= 0.0f && r.min_p <= 1.0f;
        r.by_count = r.top_k > 0 && r.top_k < p.logits.tensor.columns;
        r.by_mass = r.top_p > 0.0f && r.top_p < 1.0f;
        return r;
    }

private:
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

// Sums and maxima over the block, for kThreads threads. One barrier each: the scratch is used by turns.
template <int kThreads>
class BlockSums {
public:
    static constexpr int kWarps = kThreads / kWarpSize;
    static constexpr int kScratch = 2 * 4 * kWarps;

    ADZE_DEVICE explicit BlockSums(SharedArena& arena) : scratch_(arena.take<uint64_t>(kScratch)) {}

    // Four sums at once: lanes first share out which they go on with, so that six exchanges do for twenty.
    ADZE_DEVICE void add(uint64_t (&sums)[4]) {
        const bool upper = lane_index() % 2 != 0, odd = lane_index() / 2 % 2 != 0;
        const uint64_t first = (upper ? sums[2] : sums[0]) + shuffle_xor(upper ? sums[0] : sums[2], 1);
        const uint64_t second = (upper ? sums[3] : sums[1]) + shuffle_xor(upper ? sums[1] : sums[3], 1);
        uint64_t sum = (odd ? second : first) + shuffle_xor(odd ? first : second, 2);
        sum = reduce(sum, Add{}, kWarpSize / 4, 4);
        const int base = next_turn();
        if (lane_index() < 4) scratch_.store(base + warp_index() * 4 + (upper ? 2 : 0) + (odd ? 1 : 0), sum);
        sync_block();
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[i] = 0;
        for (int warp = 0; warp < kWarps; ++warp) {
            const auto low = scratch_.template load_vec<2>(base + warp * 4);
            const auto high = scratch_.template load_vec<2>(base + warp * 4 + 2);
            sums[0] += low[0], sums[1] += low[1], sums[2] += high[0], sums[3] += high[1];
        }
    }

    ADZE_DEVICE uint64_t max(uint64_t value) {
        value = reduce(value, Max{});
        const int base = next_turn();
        if (lane_index() == 0) scratch_.store(base + warp_index(), value);
        sync_block();
        for (int warp = 0; warp < kWarps; ++warp) value = Max{}(value, scratch_.load(base + warp));
        return value;
    }

    // A sum for each warp and vector, in the order of the tokens: sum v of warp w is at(v * kWarps + w) until the next
    // call. (They lie so that the two of a warp are in different banks.)
    ADZE_DEVICE void spread(const uint64_t (&of_thread)[kTokenVectors]) {
        const bool odd = lane_index() % 2 != 0;
        uint64_t sum = (odd ? of_thread[1] : of_thread[0]) + shuffle_xor(odd ? of_thread[0] : of_thread[1], 1);
        sum = reduce(sum, Add{}, kWarpSize / 2, 2);
        base_ = next_turn();
        if (lane_index() < 2) scratch_.store(base_ + lane_index() * (kWarps + 1) + warp_index(), sum);
        sync_block();
    }
    ADZE_DEVICE uint64_t at(int segment) const {
        return scratch_.load(base_ + segment + segment / kWarps);
    }

private:
    ADZE_DEVICE int next_turn() {
        return (turn_ ^= 1) * 4 * kWarps;
    }

    Shared<uint64_t> scratch_;
    int turn_ = 0, base_ = 0;
};

// Inclusive sum over the lanes up to this one.
ADZE_DEVICE uint64_t scan_warp(uint64_t value) {
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const uint64_t before = shuffle(value, lane_index() - distance);
        if (lane_index() >= distance) value += before;
    }
    return value;
}

// The largest (key, complement of id), which orders as the filters do.
template <class IdOf>
ADZE_DEVICE uint64_t best_of(const Tokens& tokens, const IdOf& id_of) {
    uint64_t best = 0;
#pragma unroll
    for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            const uint64_t key = tokens.key[v][i];
            if (key != 0) best = Max{}(best, key << 32 | ~id_of(v, i));
        }
    }
    return best;
}

// The last token that a filter keeps, in the order (key falling, id rising), and the least mass.
struct Kept {
    uint32_t last_key = 0, last_id = 0xffffffffu;
    uint64_t least_mass = 1;

    ADZE_DEVICE bool holds(uint32_t key, uint32_t id, uint64_t mass) const {
        return mass >= least_mass && (key > last_key || (key == last_key && id <= last_id));
    }
    // Tokens that are not held have no mass from here on.
    template <class IdOf>
    ADZE_DEVICE void apply(Tokens& tokens, const IdOf& id_of) const {
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (!holds(tokens.key[v][i], id_of(v, i), tokens.mass[v][i])) tokens.mass[v][i] = 0;
            }
        }
    }
};

// A step of the search for a pivot: which of the four quarters of the range holds it, and how many tokens lie at or above
// it and the next one. Three counts share a word.
constexpr int kCountBits = 21;
ADZE_DEVICE uint64_t count_field(uint32_t j) {
    return uint64_t{1} << (j - 1) * kCountBits;
}
ADZE_DEVICE uint32_t count_in(uint64_t counts, uint32_t j) {
    return static_cast<uint32_t>(counts >> (j - 1) * kCountBits) & ((1u << kCountBits) - 1);
}

// Filters and draws. Source: for_tiles(body) calls body(tokens, id_of) for all tokens of the row, as often as it is asked,
// until body returns false; keep(kept) takes the mass from the tokens that are not kept; kFew: so few tokens that counts
// fit kCountBits.
template <int kThreads, class Source>
class Sampler {
public:
    ADZE_DEVICE Sampler(Source& source, BlockSums<kThreads>& sums) : source_(source), sums_(sums) {}

    // Applies the filters. `total_mass` is that of all tokens, listed or not; negative: to be found out. False: the last
    // token lies at or below `cut`, where the source has not got all tokens.
    ADZE_DEVICE bool filter(const SamplingRequest& request, double total_mass, float mass_of_one, uint32_t cut) {
        if (request.by_count && !keep_down_to<true>(static_cast<uint64_t>(request.top_k), cut)) return false;
        if (request.by_mass) {
            if (request.by_count || total_mass < 0.0) total_mass = static_cast<double>(mass());
            const double share = static_cast<double>(request.top_p) * total_mass;
            auto goal = static_cast<uint64_t>(share);
            if (static_cast<double>(goal) < share) ++goal;
            if (!keep_down_to<false>(goal, cut)) return false;
        }
        const auto least = static_cast<uint64_t>(request.min_p * mass_of_one);
        if (least > 1) source_.keep({0, 0xffffffffu, least});
        return true;
    }

    // The first token at which the mass exceeds u of itself; one thread gets it, the others -1. `rest` is what of u's
    // share lies within that token's mass.
    ADZE_DEVICE int32_t draw(double u, uint64_t& rest) {
        const uint64_t total = mass();
        auto target = static_cast<uint64_t>(u * static_cast<double>(total));
        if (target >= total) target = total - 1;
        uint64_t before = 0;
        int32_t drawn = -1;
        source_.for_tiles([&](const Tokens& tokens, const auto& id_of) {
            uint64_t of_thread[kTokenVectors] = {};
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) of_thread[v] += tokens.mass[v][i];
            }
            sums_.spread(of_thread);
            for (int segment = 0; segment < kTokenVectors * BlockSums<kThreads>::kWarps; ++segment) {
                const uint64_t of_segment = sums_.at(segment);
                if (before + of_segment > target) {
                    if (segment % BlockSums<kThreads>::kWarps == warp_index()) {
                        drawn = find(tokens, id_of, segment / BlockSums<kThreads>::kWarps, of_thread, target - before,
                                     rest);
                    }
                    return false;
                }
                before += of_segment;
            }
            return true;
        });
        return drawn;
    }

private:
    ADZE_DEVICE uint64_t mass() {
        uint64_t sum[4] = {};
        source_.for_tiles([&](const Tokens& tokens, const auto&) {
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) sum[0] += tokens.mass[v][i];
            }
            return true;
        });
        sums_.add(sum);
        return sum[0];
    }

    // Among vector `vector` of a warp's lanes.
    template <class IdOf>
    ADZE_DEVICE int32_t find(const Tokens& tokens, const IdOf& id_of, int vector,
                             const uint64_t (&of_thread)[kTokenVectors], uint64_t target, uint64_t& rest) const {
        const uint64_t own = vector == 0 ? of_thread[0] : of_thread[1];
        const uint64_t upto = scan_warp(own);
        uint64_t before = upto - own;
        int32_t drawn = -1;
        if (before > target || upto <= target) return drawn;
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (v != vector || drawn >= 0) continue;
                if (before + tokens.mass[v][i] > target) {
                    drawn = static_cast<int32_t>(id_of(v, i));
                    rest = target - before;
                }
                before += tokens.mass[v][i];
            }
        }
        return drawn;
    }

    // Keeps the tokens up to the first, in order, with which they reach `goal`: their number or their mass.
    template <bool kByCount>
    ADZE_DEVICE bool keep_down_to(uint64_t goal, uint32_t cut) {
        const Pivot found = find_pivot<kByCount, false>(goal, 0, cut);
        if (found.place <= cut && cut != 0) return false;
        if (found.place == 0) return true;  // all of them
        uint32_t last_id = 0xffffffffu;
        if (!found.single) {
            // Tokens of equal keys have equal masses: of these, the lowest ids that are needed.
            const uint64_t of_one = kByCount ? 1 : mass_at(found.place);
            const uint64_t needed = (goal - found.above + of_one - 1) / of_one;
            if (needed * of_one < found.here) last_id = ~find_pivot<true, true>(needed, found.place, 0).place;
        }
        source_.keep({found.place, last_id, 1});
        return true;
    }

    ADZE_DEVICE uint64_t mass_at(uint32_t key) {
        uint64_t found = 0;
        source_.for_tiles([&](const Tokens& tokens, const auto&) {
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) {
                    if (tokens.key[v][i] == key) found = Max{}(found, tokens.mass[v][i]);
                }
            }
            return true;
        });
        return sums_.max(found);
    }

    struct Pivot {
        uint32_t place;
        bool single;           // one token alone lies between it and what is `above`
        uint64_t above, here;  // amounts
    };

    // The largest pivot such that the tokens at or above it reach `goal`, 0 if they do not; or one that parts the same
    // tokens, above `cut`. Places are keys, or, among the tokens with key `of_key`, complements of ids.
    template <bool kByCount, bool kById>
    ADZE_DEVICE Pivot find_pivot(uint64_t goal, uint32_t of_key, uint32_t cut) {
        uint32_t pivot = 0, count_reached = ~0u, count_next = 0;
        uint64_t reached = 0, next = 0;  // at or above the pivot; at or above the next one of the present width
        for (int shift = 30; shift >= 0; shift -= 2) {
            uint64_t sums[4] = {};
            source_.for_tiles([&](const Tokens& tokens, const auto& id_of) {
#pragma unroll
                for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                    for (int i = 0; i < kLaneElements; ++i) {
                        const uint64_t mass = tokens.mass[v][i];
                        if (mass == 0 || (kById && tokens.key[v][i] != of_key)) continue;
                        const uint32_t place = kById ? ~id_of(v, i) : tokens.key[v][i];
#pragma unroll
                        for (uint32_t j = 1; j < 4; ++j) {
                            if (place < (pivot | j << shift)) continue;
                            if (Source::kFew) sums[0] += count_field(j);
                            if (!kByCount || !Source::kFew) sums[j] += kByCount ? 1 : mass;
                        }
                    }
                }
                return true;
            });
            sums_.add(sums);
            uint32_t chosen = 0;
#pragma unroll
            for (uint32_t j = 3; j > 0; --j) {
                if (kByCount && Source::kFew) sums[j] = count_in(sums[0], j);
                if (chosen != 0) continue;
                if (sums[j] < goal) {
                    next = sums[j];
                    count_next = count_in(sums[0], j);
                } else {
                    chosen = j;
                    reached = sums[j];
                    count_reached = count_in(sums[0], j);
                }
            }
            pivot |= chosen << shift;
            if (Source::kFew && count_reached - count_next == 1 && pivot > cut)
                return {pivot, true, next, reached - next};
        }
        return {pivot, false, next, reached - next};
    }

    Source& source_;
    BlockSums<kThreads>& sums_;
};

// All tokens of a row, or of what is listed of it, in the block's registers.
template <class IdOf>
struct HeldSource {
    static constexpr bool kFew = true;
    Tokens tokens;
    IdOf id_of;

    template <class Body>
    ADZE_DEVICE void for_tiles(const Body& body) {
        body(tokens, id_of);
    }
    ADZE_DEVICE void keep(const Kept& kept) { kept.apply(tokens, id_of); }
};

// Tokens from id `first` on, as load_tokens() places them.
template <int kThreads>
struct IdInRow {
    uint32_t first;

    ADZE_DEVICE uint32_t operator()(int vector, int i) const {
        return first + static_cast<uint32_t>(vector * kThreads * kLaneElements + thread_index() * kLaneElements + i);
    }
};

struct IdListed {
    uint32_t id[kTokenVectors][kLaneElements];

    ADZE_DEVICE uint32_t operator()(int vector, int i) const { return id[vector][i]; }
};

// The row itself, read again each time.
template <int kThreads>
struct RowSource {
    static constexpr bool kFew = false;
    const SamplingKernelParams& p;
    int64_t row;
    float largest, temperature;
    Kept kept;

    template <class Body>
    ADZE_DEVICE void for_tiles(const Body& body) {
        for (int64_t first = 0; first < p.logits.tensor.columns; first += kThreads * kThreadTokens) {
            Tokens tokens;
            load_tokens<kThreads>(p, row, first, tokens);
            tokens.weigh(largest, temperature, p.mass_of_one);
            const IdInRow<kThreads> id_of{static_cast<uint32_t>(first)};
            kept.apply(tokens, id_of);
            if (!body(tokens, id_of)) return;
        }
    }
    ADZE_DEVICE void keep(const Kept& more) {
        if (more.last_key > kept.last_key || (more.last_key == kept.last_key && more.last_id < kept.last_id)) {
            kept.last_key = more.last_key;
            kept.last_id = more.last_id;
        }
        kept.least_mass = Max{}(kept.least_mass, more.least_mass);
    }
};

ADZE_DEVICE void store_id(const SamplingKernelParams& p, int64_t row, int32_t id) {
    Global<int32_t>(p.ids).store(row, id);
}

// Writes the row's id where no draw is needed: greedy or not to be sampled. Whether that was so.
ADZE_DEVICE bool settle(const SamplingKernelParams& p, int64_t row, const SamplingRequest& request, uint64_t best) {
    const bool usable = request.valid && best != kUnusable && best != 0;
    if (usable && !request.greedy()) return false;
    if (thread_index() == 0) store_id(p, row, usable ? static_cast<int32_t>(~static_cast<uint32_t>(best)) : -1);
    return true;
}

template <int kThreads, class Source>
ADZE_DEVICE bool filter_and_draw(const SamplingKernelParams& p, int64_t row, const SamplingRequest& request,
                                 Source& source, BlockSums<kThreads>& sums, double total_mass, uint32_t cut) {
    Sampler<kThreads, Source> sampler(source, sums);
    if (!sampler.filter(request, total_mass, p.mass_of_one, cut)) return false;
    uint64_t rest = 0;
    const int32_t id = sampler.draw(philox_uniform(request.seed, request.position), rest);
    if (id >= 0) store_id(p, row, id);
    return true;
}

template <int kThreads>
struct SampleShared {
    static constexpr int64_t kBytes =
        add_shared(sizeof(adze_sampling_params), BlockSums<kThreads>::kScratch * sizeof(uint64_t));

    ADZE_DEVICE explicit SampleShared(SharedArena& arena) : inbox(arena), sums(arena) {}

    RequestInbox inbox;
    BlockSums<kThreads> sums;
};

template <int kBlockThreads>
struct SampleRow {
    static constexpr const char* kName = "sample_row";
    static constexpr int kThreads = kBlockThreads;
    static constexpr int kTokens = kThreads * kThreadTokens;
    using Params = SamplingKernelParams;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes = SampleShared<kThreads>::kBytes;

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const auto row = static_cast<int64_t>(block_index().x);
        shared.inbox.fetch(p, row);
        HeldSource<IdInRow<kThreads>> source{{}, {0}};
        const bool usable = load_tokens<kThreads>(p, row, 0, source.tokens);
        const uint64_t best = shared.sums.max(usable ? best_of(source.tokens, source.id_of) : kUnusable);
        const SamplingRequest request = shared.inbox.read(p);
        if (settle(p, row, request, best)) return;
        source.tokens.weigh(logit_of(static_cast<uint32_t>(best >> 32)), request.temperature, p.mass_of_one);
        filter_and_draw<kThreads>(p, row, request, source, shared.sums, -1.0, 0);
    }
};

struct SampleParts {
    static constexpr const char* kName = "sample_parts";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    using Sums = BlockSums<kThreads>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t shared_bytes(int64_t slots) {
        return add_shared(add_shared(SampleShared<kThreads>::kBytes, slots * static_cast<int64_t>(sizeof(float))),
                          slots * static_cast<int64_t>(sizeof(uint16_t)));
    }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const auto part = static_cast<int64_t>(block_index().x) % p.parts;
        const auto row = static_cast<int64_t>(block_index().x) / p.parts;
        const int64_t note = row * p.parts + part, notes = p.logits.tensor.rows * p.parts;
        shared.inbox.fetch(p, row);
        const IdInRow<kThreads> id_of{static_cast<uint32_t>(part * kPartTokens)};
        Tokens tokens;
        const bool usable = load_tokens<kThreads>(p, row, part * kPartTokens, tokens);
        const uint64_t best = shared.sums.max(usable ? best_of(tokens, id_of) : kUnusable);
        const SamplingRequest request = shared.inbox.read(p);
        uint64_t mass = 0;
        if (request.valid && !request.greedy() && best != kUnusable && p.slots != 0) {
            tokens.weigh(logit_of(static_cast<uint32_t>(best >> 32)), request.temperature, p.mass_of_one);
            if (request.filters()) {
                mass = list(p, request, tokens, note, notes, shared.sums, arena);
            } else {
                note_segments(p, tokens, note, shared.sums);
            }
        }
        if (thread_index() == 0) {
            Global<uint64_t>(p.notes.best_and_mass, 2 * notes).template store_vec<2>(2 * note, {{best, mass}});
        }
    }

private:
    ADZE_DEVICE static void note_segments(const Params& p, const Tokens& tokens, int64_t note, Sums& sums) {
        uint64_t of_thread[kTokenVectors] = {};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) of_thread[v] += tokens.mass[v][i];
        }
        sums.spread(of_thread);
        const Global<float> segments(p.notes.segments.tensor);
        if (guard(thread_index() < kSegments)) {
            segments.store(note * kSegments + thread_index(), static_cast<float>(sums.at(thread_index())));
        }
    }

    // Lists the tokens at or above a key that is chosen so that they are enough for top_k and fit the slots.
    // Returns the mass of all tokens, listed or not.
    ADZE_DEVICE static uint64_t list(const Params& p, const SamplingRequest& request, Tokens& tokens, int64_t note,
                                     int64_t notes, Sums& sums, SharedArena& arena) {
        // What is less probable than min_p times the part's largest need not be listed: it will not be kept. (Unless
        // top_p shares what top_k keeps: that takes them in.)
        const bool only_probable = !(request.by_count && request.by_mass);
        const auto least = only_probable ? static_cast<uint64_t>(request.min_p * 0.9999f * p.mass_of_one) : uint64_t{0};
        uint64_t totals[4] = {};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                totals[0] += tokens.mass[v][i];
                if (tokens.mass[v][i] == 0 || tokens.mass[v][i] < least) tokens.key[v][i] = 0;
                totals[1] += tokens.key[v][i] != 0 ? 1 : 0;
            }
        }
        sums.add(totals);
        const auto slots = static_cast<uint32_t>(p.slots), tokens_left = static_cast<uint32_t>(totals[1]);
        // For top_k just that many, but for a few that spare steps of the search; else nearly as many as there is room for.
        const auto top_k = static_cast<uint32_t>(request.top_k);
        const bool counted = request.by_count && top_k < slots;
        const uint32_t wanted = counted ? top_k : slots - slots / 8;
        const uint32_t most = counted ? wanted + wanted / 32 < slots ? wanted + wanted / 32 : slots : slots;
        const uint32_t lowest = tokens_left <= most ? 1 : choose_lowest(tokens, wanted, most, slots, sums);
        const uint32_t count = store_list(p, tokens, lowest, note, notes, sums, arena);
        if (thread_index() == 0) {
            Global<uint32_t>(p.notes.count_and_cut, 2 * notes).template store_vec<2>(2 * note, {{count, lowest - 1}});
        }
        return totals[0];
    }

    // A key that from `wanted` to `most` tokens reach; if there is none, the largest that more do, or the next one where
    // those would exceed the slots.
    ADZE_DEVICE static uint32_t choose_lowest(const Tokens& tokens, uint32_t wanted, uint32_t most, uint32_t slots,
                                              Sums& sums) {
        uint32_t lowest = 0, reached = ~0u;
        for (int shift = 30; shift >= 0 && reached > most; shift -= 2) {
            uint64_t counts[4] = {};
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) {
#pragma unroll
                    for (uint32_t j = 1; j < 4; ++j) {
                        if (tokens.key[v][i] >= (lowest | j << shift)) counts[0] += count_field(j);
                    }
                }
            }
            sums.add(counts);
            uint32_t chosen = 0;
#pragma unroll
            for (uint32_t j = 1; j < 4; ++j) {
                if (count_in(counts[0], j) >= wanted) chosen = j, reached = count_in(counts[0], j);
            }
            lowest |= chosen << shift;
        }
        return reached <= slots ? lowest : lowest + 1;
    }

    // Through shared memory, so that the notes are written in order. Returns how many tokens there are.
    ADZE_DEVICE static uint32_t store_list(const Params& p, const Tokens& tokens, uint32_t lowest, int64_t note,
                                           int64_t notes, Sums& sums, SharedArena& arena) {
        const Shared<float> logits = arena.take<float>(p.slots);
        const Shared<uint16_t> ids = arena.take<uint16_t>(p.slots);
        uint64_t of_thread[kTokenVectors] = {};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) of_thread[v] += tokens.key[v][i] >= lowest ? 1 : 0;
        }
        sums.spread(of_thread);
        uint32_t count = 0;
        uint64_t first[kTokenVectors] = {};  // where this warp's tokens go
        for (int segment = 0; segment < kSegments; ++segment) {
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
                if (segment == v * Sums::kWarps + warp_index()) first[v] = count;
            }
            count += static_cast<uint32_t>(sums.at(segment));
        }
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            auto place = static_cast<int>(first[v] + scan_warp(of_thread[v]) - of_thread[v]);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (tokens.key[v][i] < lowest) continue;
                logits.store(place, logit_of(tokens.key[v][i]));
                ids.store(place, static_cast<uint16_t>((v * kThreads + thread_index()) * kLaneElements + i));
                ++place;
            }
        }
        sync_block();
        // Whole vectors: what follows the last token of the list is anything.
        const uint32_t end = (count + kLaneElements - 1) / kLaneElements * kLaneElements;
        const uint32_t place = static_cast<uint32_t>(thread_index()) * kLaneElements;
        const bool inside = place < end;
        float x[1][kLaneElements] = {};
        if (guard(inside)) {
            const Vec<float, 4> low = logits.load_vec<4>(static_cast<int>(place));
            const Vec<float, 4> high = logits.load_vec<4>(static_cast<int>(place) + 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) x[0][i] = low[i], x[0][4 + i] = high[i];
            Global<uint16_t>(p.notes.ids, notes * p.slots)
                .template store_vec<kLaneElements>(note * p.slots + place,
                                                   ids.load_vec<kLaneElements>(static_cast<int>(place)));
        }
        store_floats_until<1>(end, p.notes.logits, true, note, place, 0, x);
        return count;
    }
};

struct SampleMerged {
    static constexpr const char* kName = "sample_merged";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    using Sums = BlockSums<kThreads>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int kMaxListedParts = 128;
    static constexpr int64_t kSharedBytes =
        add_shared(SampleShared<kThreads>::kBytes, kMaxListedParts * sizeof(uint32_t));

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        Sums& sums = shared.sums;
        const auto row = static_cast<int64_t>(block_index().x);
        shared.inbox.fetch(p, row);
        uint64_t best = 0;
        for (int part = thread_index(); part < p.parts; part += kThreads)
            best = Max{}(best, best_of_part(p, row, part));
        best = sums.max(best);
        const SamplingRequest request = shared.inbox.read(p);
        if (settle(p, row, request, best)) return;
        const float largest = logit_of(static_cast<uint32_t>(best >> 32));
        if (p.slots != 0) {
            if (!request.filters()) return draw_segment(p, row, request, largest, sums);
            if (sample_listed(p, row, request, largest, sums, arena)) return;
        }
        RowSource<kThreads> source{p, row, largest, request.temperature, {}};
        filter_and_draw<kThreads>(p, row, request, source, sums, -1.0, 0);
    }

private:
    ADZE_DEVICE static uint64_t best_of_part(const Params& p, int64_t row, int part) {
        return Global<const uint64_t>(p.notes.best_and_mass, 2 * p.logits.tensor.rows * p.parts)
            .load(2 * (row * p.parts + part));
    }

    // A part's masses are relative to its own largest logit: what they are times for the row's.
    ADZE_DEVICE static double scale_of(uint64_t best, float largest, float temperature) {
        if (best == 0) return 0.0;
        return static_cast<double>(exp_f32(divide(logit_of(static_cast<uint32_t>(best >> 32)) - largest, temperature)));
    }

    // Draws a segment first, then one of its tokens.
    ADZE_DEVICE static void draw_segment(const Params& p, int64_t row, const SamplingRequest& request, float largest,
                                         Sums& sums) {
        HeldSource<IdInRow<kThreads>> source{{}, {0}};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            const int first = static_cast<int>(source.id_of(v, 0)), part = first / kSegments;
            const bool inside = part < p.parts;
            double scale = 0.0;
            if (guard(inside)) scale = scale_of(best_of_part(p, row, part), largest, request.temperature);
            float mass[1][kLaneElements];
            load_floats<1>(p.notes.segments, guard(inside), inside ? row * p.parts + part : 0, first % kSegments, 0,
                           mass);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                source.tokens.key[v][i] = 1;
                source.tokens.mass[v][i] = static_cast<uint64_t>(static_cast<double>(mass[0][i]) * scale);
            }
        }
        uint64_t rest = 0;
        Sampler<kThreads, HeldSource<IdInRow<kThreads>>> sampler(source, sums);
        const int32_t drawn = sampler.draw(philox_uniform(request.seed, request.position), rest);
        // Who drew tells all.
        const uint64_t told = sums.max(drawn >= 0 ? static_cast<uint64_t>(drawn) + 1 : 0);
        rest = sums.max(drawn >= 0 ? rest : 0);
        if (warp_index() == 0) draw_token(p, row, request, largest, static_cast<int64_t>(told - 1), rest);
    }

    // The warp's lanes have a vector of the segment each.
    ADZE_DEVICE static void draw_token(const Params& p, int64_t row, const SamplingRequest& request, float largest,
                                       int64_t segment, uint64_t target) {
        const int64_t first = segment * kSegmentTokens + lane_index() * kLaneElements;
        uint32_t key[1][kLaneElements];
        uint64_t mass[kLaneElements], own = 0;
        load_keys<1>(p, row, first, 0, key);
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            mass[i] = mass_of(key[0][i], largest, request.temperature, p.mass_of_one);
            own += mass[i];
        }
        const uint64_t upto = scan_warp(own), total = shuffle(upto, kWarpSize - 1);
        if (target >= total) target = total - 1;  // the segment's sum was rounded
        uint64_t before = upto - own;
        if (before > target || upto <= target) return;
        int32_t id = -1;
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            before += mass[i];
            if (id < 0 && before > target) id = static_cast<int32_t>(first) + i;
        }
        store_id(p, row, id);
    }

    ADZE_DEVICE static bool sample_listed(const Params& p, int64_t row, const SamplingRequest& request, float largest,
                                          Sums& sums, SharedArena& arena) {
        const int64_t notes = p.logits.tensor.rows * p.parts;
        const Global<const uint64_t> best_and_mass(p.notes.best_and_mass, 2 * notes);
        const Global<const uint32_t> count_and_cut(p.notes.count_and_cut, 2 * notes);
        uint64_t total[4] = {}, of_cut = 0;
        const Shared<uint32_t> counts = arena.take<uint32_t>(kMaxListedParts);
        for (int part = thread_index(); part < p.parts; part += kThreads) {
            const auto of_part = best_and_mass.template load_vec<2>(2 * (row * p.parts + part));
            const double scale = scale_of(of_part[0], largest, request.temperature);
            total[0] += static_cast<uint64_t>(static_cast<double>(of_part[1]) * scale);
            const auto list = count_and_cut.template load_vec<2>(2 * (row * p.parts + part));
            counts.store(part, list[0]);
            of_cut = Max{}(of_cut, uint64_t{list[1]});
        }
        sums.add(total);
        const auto cut = static_cast<uint32_t>(sums.max(of_cut));
        if (!request.by_count && !request.by_mass) {
            const uint64_t unlisted = mass_of(cut, largest, request.temperature, p.mass_of_one);
            if (static_cast<float>(unlisted) >= request.min_p * p.mass_of_one) return false;
        }
        HeldSource<IdListed> source;
        load_list(p, row, counts, source);
        source.tokens.weigh(largest, request.temperature, p.mass_of_one);
        return filter_and_draw<kThreads>(p, row, request, source, sums, static_cast<double>(total[0]), cut);
    }

    ADZE_DEVICE static void load_list(const Params& p, int64_t row, const Shared<uint32_t>& counts,
                                      HeldSource<IdListed>& source) {
        const Global<const uint16_t> ids(p.notes.ids, p.logits.tensor.rows * p.parts * p.slots);
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            const int place = (v * kThreads + thread_index()) * kLaneElements, part = place / p.slots;
            const int offset = place % p.slots;
            const bool inside = part < p.parts;
            const int64_t note = inside ? row * p.parts + part : 0;
            int count = 0;
            if (guard(inside)) count = static_cast<int>(counts.load(part));
            float x[1][kLaneElements];
            const int end = (count + kLaneElements - 1) / kLaneElements * kLaneElements;
            unpack(p.notes.logits, fetch_floats_until<1>(end, p.notes.logits, guard(inside), note, offset), x);
            Vec<uint16_t, kLaneElements> id{};
            if (guard(offset < end)) id = ids.template load_vec<kLaneElements>(note * p.slots + offset);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                source.tokens.key[v][i] = offset + i < count ? key_of(x[0][i]) : 0;
                source.id_of.id[v][i] = static_cast<uint32_t>(part * kPartTokens) + id[i];
            }
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
