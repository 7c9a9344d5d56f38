// What blocks do with a part of a row, 8192 tokens in their registers: SampleParts in the first reading, SampleRanges
// in the second one. sampling.cuh says what for.
#pragma once

#include "sampling/sampling_row.cuh"
#include "sampling/sampling_sort.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// A block's part, and what it notes of it.
class PartNotes {
public:
    static constexpr int kThreads = kPartThreads;
    using Sums = BlockSums<kThreads>;
    static constexpr int64_t kSharedBytes = add_shared(kPartSlots * sizeof(float), kPartSlots * sizeof(uint16_t));

    ADZE_DEVICE PartNotes(const SamplingKernelParams& p, Sums& sums)
        : p(p),
          part(static_cast<int64_t>(block_index().x) % p.parts),
          row(static_cast<int64_t>(block_index().x) / p.parts),
          note(row * p.parts + part),
          notes(p.logits.tensor.rows * p.parts),
          id_of{static_cast<uint32_t>(part * kPartTokens)},
          sums_(sums) {}

    ADZE_DEVICE void store_segments(const Tokens& tokens) const {
        uint64_t of_thread[kTokenVectors] = {};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) of_thread[v] += tokens.mass[v][i];
        }
        sums_.spread(of_thread);
        const Global<float> segments(p.notes.segments.tensor);
        if (guard(thread_index() < kSegments)) {
            segments.store(note * kSegments + thread_index(), static_cast<float>(sums_.at(thread_index())));
        }
    }

    // Lists the tokens whose bits are set in `listed`, in the order of their ids; where `marked`, each segment begins
    // with a mark, whose logit is infinite. Through shared memory, so that the notes are written in order. Returns how
    // many entries there are, or kUnlisted.
    ADZE_DEVICE uint32_t store_list(const Tokens& tokens, uint32_t listed, bool marked, SharedArena& arena) const {
        const Shared<float> logits = arena.take<float>(kPartSlots);
        const Shared<uint16_t> ids = arena.take<uint16_t>(kPartSlots);
        uint64_t of_thread[kTokenVectors];
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            of_thread[v] = static_cast<uint64_t>(count_bits(listed >> v * kLaneElements & 0xffu));
            if (marked && lane_index() == 0) ++of_thread[v];
        }
        sums_.spread(of_thread);
        uint32_t count = 0;
        uint64_t first[kTokenVectors] = {};  // where this warp's tokens go
        for (int segment = 0; segment < kSegments; ++segment) {
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
                if (segment == v * Sums::kWarps + warp_index()) first[v] = count;
            }
            count += static_cast<uint32_t>(sums_.at(segment));
        }
        if (count > kPartSlots) return kUnlisted;
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            auto place = static_cast<int>(first[v] + scan_warp(of_thread[v]) - of_thread[v]);
            const int id = (v * kThreads + thread_index()) * kLaneElements;
            if (marked && lane_index() == 0) {
                logits.store(place, infinity());
                ids.store(place, static_cast<uint16_t>(id));
                ++place;
            }
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if ((listed >> (v * kLaneElements + i) & 1u) == 0) continue;
                logits.store(place, logit_of(tokens.key[v][i]));
                ids.store(place, static_cast<uint16_t>(id + i));
                ++place;
            }
        }
        sync_block();
        write_list(logits, ids, count);
        return count;
    }

    ADZE_DEVICE void store_count(uint32_t count, uint32_t cut) const {
        if (thread_index() != 0) return;
        Global<uint32_t>(p.notes.count_and_cut, 2 * notes).template store_vec<2>(2 * note, {{count, cut}});
    }

    const SamplingKernelParams& p;
    const int64_t part, row, note, notes;
    const IdInRow<kThreads> id_of;

private:
    // Whole vectors: what follows the last token of the list is anything.
    ADZE_DEVICE void write_list(const Shared<float>& logits, const Shared<uint16_t>& ids, uint32_t count) const {
        static_assert(kPartSlots <= kThreads * kLaneElements);
        const uint32_t end = (count + kLaneElements - 1) / kLaneElements * kLaneElements;
        const uint32_t place = static_cast<uint32_t>(thread_index()) * kLaneElements;
        const bool inside = place < end;
        float x[1][kLaneElements] = {};
        if (guard(inside)) {
            const Vec<float, 4> low = logits.load_vec<4>(static_cast<int>(place));
            const Vec<float, 4> high = logits.load_vec<4>(static_cast<int>(place) + 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) x[0][i] = low[i], x[0][4 + i] = high[i];
            Global<uint16_t>(p.notes.ids, notes * kPartSlots)
                .template store_vec<kLaneElements>(note * kPartSlots + place,
                                                   ids.load_vec<kLaneElements>(static_cast<int>(place)));
        }
        store_floats_until<1>(end, p.notes.logits, true, note, place, 0, x);
    }

    Sums& sums_;
};

// A sample as it is noted: its key, and in the lower half the complement of its id within the part and, less one, how
// many tokens it and those between it and the sample before are.
ADZE_DEVICE uint64_t pack_sample(uint64_t place, uint32_t first_id, uint32_t tokens) {
    return uint64_t{key_at(place)} << 32 | (0xffffu - (id_at(place) - first_id)) << 16 | (tokens - 1);
}
ADZE_DEVICE uint16_t id_of_sample(uint64_t packed) {
    return static_cast<uint16_t>(0xffffu - (static_cast<uint32_t>(packed) >> 16 & 0xffffu));
}
ADZE_DEVICE uint32_t tokens_of_sample(uint64_t packed) {
    return (static_cast<uint32_t>(packed) & 0xffffu) + 1;
}

struct SampleParts {
    static constexpr const char* kName = "sample_parts";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    using Sums = BlockSums<kThreads>;
    using Sort = BlockSort<kThreads, kThreadTokens>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes =
        add_shared(add_shared(add_shared(SampleShared<kThreads>::kBytes, Sort::kSharedBytes), PartNotes::kSharedBytes),
                   kSamples*(2 * sizeof(uint64_t) + sizeof(uint32_t)));

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const PartNotes notes(p, shared.sums);
        shared.inbox.fetch(p, notes.row);
        Tokens tokens;
        const bool usable = load_tokens<kThreads>(p, notes.row, notes.part * kPartTokens, tokens);
        const uint64_t best = shared.sums.max(usable ? best_of(tokens, notes.id_of) : kUnusable);
        const SamplingRequest request = shared.inbox.read(p);
        uint64_t mass = 0;
        if (request.valid && !request.greedy() && best != kUnusable && p.noted) {
            tokens.weigh(logit_of(key_at(best)), request.temperature, p.mass_of_one);
            if (request.filters()) {
                mass = list_and_sample(notes, request, tokens, best, shared.sums, arena);
            } else {
                notes.store_segments(tokens);
            }
        }
        if (thread_index() == 0) {
            Global<uint64_t>(p.notes.best_and_mass, 2 * notes.notes)
                .template store_vec<2>(2 * notes.note, {{best, mass}});
        }
    }

private:
    // Returns the mass of all tokens.
    ADZE_DEVICE static uint64_t list_and_sample(const PartNotes& notes, const SamplingRequest& request, Tokens& tokens,
                                                uint64_t best, Sums& sums, SharedArena& arena) {
        const Params& p = notes.p;
        // What is less probable than min_p times the part's largest will not be kept. (Unless top_p shares what top_k
        // keeps, it need not be looked at: there it counts.)
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
        const auto left = static_cast<uint32_t>(totals[1]);
        const bool counted = request.lists_top_k(p.parts);
        // For a large top_k no list would do, but that of a part that has few tokens.
        const uint32_t most = counted                                    ? static_cast<uint32_t>(request.top_k)
                              : request.by_count && left > kMostProbable ? 0
                                                                         : kMostProbable;
        uint64_t last = 0;  // place of the last listed
        uint32_t samples = 0;
        if (left > most || !counted) {
            uint64_t place[kThreadTokens];
#pragma unroll
            for (int n = 0; n < kThreadTokens; ++n) {
                const int v = n / kLaneElements, i = n % kLaneElements;
                place[n] = tokens.key[v][i] != 0 ? place_of(tokens.key[v][i], notes.id_of(v, i)) : 0;
            }
            Sort(arena).falling(place);
            last = sums.max(place_at_rank(place, most));
            if (!counted) samples = store_samples(notes, request, place, best, left, sums, arena);
        }
        uint32_t listed = 0;
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            const int v = n / kLaneElements, i = n % kLaneElements;
            const uint32_t key = tokens.key[v][i];
            if (key != 0 && most != 0 && place_of(key, notes.id_of(v, i)) >= last) listed |= 1u << n;
        }
        const uint32_t count = notes.store_list(tokens, listed, false, arena);
        const uint32_t cut = counted || left <= most ? 0 : most == 0 ? kUnlisted : key_at(last);
        notes.store_count(count | samples << 16, cut);
        return totals[0];
    }

    // Of the thread that has it; the others, 0. Ranks are counted from 1.
    ADZE_DEVICE static uint64_t place_at_rank(const uint64_t (&place)[kThreadTokens], uint32_t rank) {
        uint64_t found = 0;
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            if (static_cast<uint32_t>(thread_index() * kThreadTokens + n + 1) == rank) found = place[n];
        }
        return found;
    }

    // The first token, then a sample every kSampleGap tokens and where masses shrink to a quarter, and the last token.
    // Returns how many.
    ADZE_DEVICE static uint32_t store_samples(const PartNotes& notes, const SamplingRequest& request,
                                              const uint64_t (&place)[kThreadTokens], uint64_t best, uint32_t left,
                                              Sums& sums, SharedArena& arena) {
        static_assert(kPartTokens / (kSampleGap / 2) + 32 + 2 <= kSamples);
        static_assert(kWarpSize * kThreadTokens % kSampleGap == 0);
        const Params& p = notes.p;
        const Shared<uint64_t> places = arena.take<uint64_t>(kSamples), masses = arena.take<uint64_t>(kSamples);
        const Shared<uint32_t> ranks = arena.take<uint32_t>(kSamples);
        const float largest = logit_of(key_at(best));
        const auto first_rank = static_cast<uint32_t>(thread_index() * kThreadTokens);
        const uint32_t gap = request.by_count && request.by_mass ? kSampleGap / 2 : kSampleGap;
        uint64_t mass = 0;
        uint32_t shrinks = 0, first_scale = 0, scale = 0;
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            const uint64_t own = mass_of(key_at(place[n]), largest, request.temperature, p.mass_of_one);
            const uint32_t own_scale = float_bits(static_cast<float>(own)) >> 24;  // half of the exponent
            if (n == 0) first_scale = own_scale;
            if (n > 0 && own_scale != scale) shrinks |= 1u << (n - 1);
            scale = own_scale;
            mass += own;
        }
        // (The last token of a warp is sampled in any case.)
        if (shuffle(first_scale, (lane_index() + 1) % kWarpSize) != scale) shrinks |= 1u << (kThreadTokens - 1);
        if (!request.by_mass) shrinks = 0;
        uint32_t sampled = 0;
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            const uint32_t rank = first_rank + n + 1;
            const bool asked = rank % gap == 0 || rank == 1 || rank == left || (shrinks >> n & 1u) != 0;
            if (rank <= left && asked) sampled |= 1u << n;
        }
        uint64_t before = sums.scan(mass);
        const auto first = static_cast<int>(sums.scan(static_cast<uint64_t>(count_bits(sampled))));
        int slot = first;
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            before += mass_of(key_at(place[n]), largest, request.temperature, p.mass_of_one);
            if ((sampled >> n & 1u) == 0) continue;
            places.store(slot, place[n]);
            masses.store(slot, before);
            ranks.store(slot, first_rank + n + 1);
            ++slot;
        }
        const auto samples = static_cast<uint32_t>(sums.max(static_cast<uint64_t>(slot)));
        const int j = thread_index();
        if (guard(static_cast<uint32_t>(j) < samples)) {
            const uint32_t tokens = ranks.load(j) - (j > 0 ? ranks.load(j - 1) : 0);
            const uint64_t of_these = masses.load(j) - (j > 0 ? masses.load(j - 1) : 0);
            Global<uint64_t>(p.notes.samples, notes.notes * kSamples)
                .store(notes.note * kSamples + j, pack_sample(places.load(j), notes.id_of.first, tokens));
            if (request.by_mass) {
                Global<float>(p.notes.sample_masses, notes.notes * kSamples)
                    .store(notes.note * kSamples + j, static_cast<float>(of_these));
            }
        }
        return samples;
    }
};

// Where in a row the last tokens of its filters are, after the first reading. Words of notes.ranges.
struct RowRanges {
    static constexpr int kWords = 6;
    // The last token that is kept has its place in [down_to, above), that of top_k in [count_down_to, count_above):
    // where both filter; else the latter is that range or, without top_k, empty at 0. best: of the row; 0: the row is
    // settled.
    uint64_t above = 0, down_to = 0, count_above = 0, count_down_to = 0, best = 0;

    ADZE_DEVICE bool settled() const { return best == 0; }
    ADZE_DEVICE bool holds(uint64_t place) const {
        return (place < above && place >= down_to) || (place < count_above && place >= count_down_to);
    }

    ADZE_DEVICE void store(const SamplingKernelParams& p, int64_t row) const {
        if (thread_index() != 0) return;
        const Global<uint64_t> words(p.notes.ranges, p.logits.tensor.rows * kWords);
        words.template store_vec<2>(row * kWords, {{above, down_to}});
        words.template store_vec<2>(row * kWords + 2, {{count_above, count_down_to}});
        words.template store_vec<2>(row * kWords + 4, {{best, 0}});
    }
};

// Ranges on their way, as RequestInbox.
class RangesInbox {
public:
    static constexpr int64_t kSharedBytes = RowRanges::kWords * sizeof(uint64_t);

    ADZE_DEVICE explicit RangesInbox(SharedArena& arena) : words_(arena.take<uint64_t>(RowRanges::kWords)) {}

    ADZE_DEVICE void fetch(const SamplingKernelParams& p, int64_t row) const {
        if (!guard(thread_index() < RowRanges::kWords)) return;
        const Global<const uint64_t> words(p.notes.ranges, p.logits.tensor.rows * RowRanges::kWords);
        words_.store(thread_index(), words.load(row * RowRanges::kWords + thread_index()));
    }
    ADZE_DEVICE RowRanges read() const {
        return {words_.load(0), words_.load(1), words_.load(2), words_.load(3), words_.load(4)};
    }

private:
    Shared<uint64_t> words_;
};

// What a part has outside the ranges, exactly: words of notes.sums. Tokens that are less probable than any that is
// listed lie between, wherever they are in order.
enum PartSum { kMassBefore, kMassBetween, kPartCounts };
// Of the probable: those at or above count_above, those of them that are not listed, and those below all that are
// listed.
enum PartCount { kCountUpTo = 1, kCountUnlisted, kCountBelow };
static_assert(kMaxParts * kPartTokens >> kCountBits == 0);

struct SampleRanges {
    static constexpr const char* kName = "sample_ranges";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes =
        add_shared(add_shared(SampleShared<kThreads>::kBytes, RangesInbox::kSharedBytes), PartNotes::kSharedBytes);

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const RangesInbox inbox(arena);
        const PartNotes notes(p, shared.sums);
        shared.inbox.fetch(p, notes.row);
        inbox.fetch(p, notes.row);
        sync_block();
        const RowRanges ranges = inbox.read();
        if (ranges.settled()) return;
        const SamplingRequest request = shared.inbox.read(p);
        Tokens tokens;
        load_tokens<kThreads>(p, notes.row, notes.part * kPartTokens, tokens);
        tokens.weigh(logit_of(key_at(ranges.best)), request.temperature, p.mass_of_one);
        // Less probable tokens end the order: nothing is lost if they are not listed, but where top_p shares what top_k
        // keeps.
        const uint64_t least = least_mass(request, p.mass_of_one);
        const uint64_t least_listed = request.by_count && request.by_mass ? 1 : least;
        const uint64_t lowest = request.by_count ? ranges.count_down_to : ranges.down_to;
        uint64_t sums[4] = {};
        uint32_t listed = 0, upto = 0, below = 0;  // bits, of the probable
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            const int v = n / kLaneElements, i = n % kLaneElements;
            const uint64_t mass = tokens.mass[v][i], place = place_of(tokens.key[v][i], notes.id_of(v, i));
            const bool probable = mass >= least_listed, before = probable && place >= ranges.above;
            const bool is_listed = probable && !before && ranges.holds(place);
            if (before) sums[kMassBefore] += mass;
            if (place >= ranges.count_above && !before && !is_listed) sums[kMassBetween] += mass;
            if (is_listed) listed |= 1u << n;
            if (probable && place >= ranges.count_above) upto |= 1u << n;
            if (probable && place < lowest) below |= 1u << n;
            if (!before || mass < least) tokens.mass[v][i] = 0;
        }
        sums[kPartCounts] = count_field(kCountUpTo) * count_bits(upto) +
                            count_field(kCountUnlisted) * count_bits(upto & ~listed) +
                            count_field(kCountBelow) * count_bits(below);
        shared.sums.add(sums);
        notes.store_segments(tokens);
        notes.store_count(notes.store_list(tokens, listed, true, arena), 0);
        if (thread_index() == 0) {
            const Global<uint64_t> words(p.notes.sums, 4 * notes.notes);
            words.template store_vec<2>(4 * notes.note, {{sums[0], sums[1]}});
            words.template store_vec<2>(4 * notes.note + 2, {{sums[2], sums[3]}});
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
