// The search for the last token that a filter keeps, and the draw, over tokens that a source hands out. top_k and top_p
// select without sorting: the last key is found from its highest bits down, two at a time, by adding up what lies at or
// above three pivots; among tokens of equal keys the last id in the same way.
#pragma once

#include "sampling/sampling_sums.cuh"
#include "sampling/sampling_tokens.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// The last token that a filter keeps, in the order (key falling, id rising), and the least mass.
struct Kept {
    uint32_t last_key = 0, last_id = 0xffffffffu;
    uint64_t least_mass = 1;

    ADZE_DEVICE void tighten(const Kept& more) {
        if (more.last_key > last_key || (more.last_key == last_key && more.last_id < last_id)) {
            last_key = more.last_key;
            last_id = more.last_id;
        }
        least_mass = Max{}(least_mass, more.least_mass);
    }
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

// A step of the search for a pivot: which of the four quarters of the range holds it, and how many tokens lie at or
// above it and the next one. Three counts share a word.
constexpr int kCountBits = 21;
ADZE_DEVICE uint64_t count_field(uint32_t j) {
    return uint64_t{1} << (j - 1) * kCountBits;
}
ADZE_DEVICE uint32_t count_in(uint64_t counts, uint32_t j) {
    return static_cast<uint32_t>(counts >> (j - 1) * kCountBits) & ((1u << kCountBits) - 1);
}

struct Min {
    ADZE_DEVICE uint64_t operator()(uint64_t a, uint64_t b) const { return a < b ? a : b; }
};

// The least mass that reaches the share.
ADZE_DEVICE uint64_t share_of(float share, uint64_t total) {
    const double exact = static_cast<double>(share) * static_cast<double>(total);
    const auto below = static_cast<uint64_t>(exact);
    return below + (static_cast<double>(below) < exact ? 1 : 0);
}

// Where in the total u comes to lie.
ADZE_DEVICE uint64_t target_of(double u, uint64_t total) {
    const auto target = static_cast<uint64_t>(u * static_cast<double>(total));
    return target < total ? target : total - 1;
}

// Of a token that min_p keeps.
ADZE_DEVICE uint64_t least_mass(const SamplingRequest& request, float mass_of_one) {
    return Max{}(static_cast<uint64_t>(request.min_p * mass_of_one), uint64_t{1});
}

// Filters and draws. Source: for_tiles(body) calls body(tokens, id_of) for all tokens of the row, as often as it is
// asked, until body returns false; keep(kept) takes the mass from the tokens that are not kept; kFew: so few tokens
// that counts fit kCountBits.
template <int kThreads, class Source>
class Sampler {
public:
    ADZE_DEVICE Sampler(Source& source, BlockSums<kThreads>& sums) : source_(source), sums_(sums) {}

    // Applies the filters, where the source lacks at most the end of the order, of the mass `mass_after`. False: the
    // last token lies at or below `cut`, where the source has not got all tokens.
    ADZE_DEVICE bool filter(const SamplingRequest& request, uint64_t mass_after, float mass_of_one, uint32_t cut) {
        if (request.by_count && !keep_down_to<true>(static_cast<uint64_t>(request.top_k), cut)) return false;
        if (request.by_mass && !keep_down_to<false>(share_of(request.top_p, mass() + mass_after), cut)) return false;
        source_.keep({0, 0xffffffffu, least_mass(request, mass_of_one)});
        return true;
    }

    // Keeps the tokens up to the first, in order, with which they reach `goal`: their number or their mass. False: it
    // lies at or below `cut`.
    template <bool kByCount>
    ADZE_DEVICE bool keep_down_to(uint64_t goal, uint32_t cut) {
        const Pivot found = find_pivot<kByCount, false>(goal, 0, cut);
        if (found.place <= cut && cut != 0) return false;
        if (found.place == 0) return true;  // all of them
        uint32_t last_id = 0xffffffffu;
        if (!found.single && found.above + found.here > goal)
            last_id = ~find_pivot<kByCount, true>(goal - found.above, found.place, 0).place;
        source_.keep({found.place, last_id, 1});
        return true;
    }

    // The place of the token with which the masses reach `goal`; 0 where they do not.
    ADZE_DEVICE uint64_t place_reaching(uint64_t goal) {
        const Pivot by_key = find_pivot<false, false>(goal, 0, kExact);
        if (by_key.place == 0) return 0;
        return uint64_t{by_key.place} << 32 | find_pivot<false, true>(goal - by_key.above, by_key.place, kExact).place;
    }

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

    // The first token at which the mass exceeds `target`; one thread gets it, the others -1. `rest` is what of the
    // target lies within that token's mass.
    ADZE_DEVICE int32_t draw(uint64_t target, uint64_t& rest) {
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

    static constexpr uint32_t kExact = ~0u;  // for `cut`: no other pivot that parts the same tokens

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
    Kept kept = {};

    template <class Body>
    ADZE_DEVICE void for_tiles(const Body& body) {
        body(tokens, id_of);
    }
    ADZE_DEVICE void keep(const Kept& more) {
        kept.tighten(more);
        more.apply(tokens, id_of);
    }
};

// Tokens from id `first` on, as load_tokens() places them.
template <int kThreads>
struct IdInRow {
    uint32_t first;

    ADZE_DEVICE uint32_t operator()(int vector, int i) const {
        return first + static_cast<uint32_t>(vector * kThreads * kLaneElements + thread_index() * kLaneElements + i);
    }
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
    ADZE_DEVICE void keep(const Kept& more) { kept.tighten(more); }
};

}  // namespace ADZE_TARGET
}  // namespace adze
