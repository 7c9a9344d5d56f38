// What a block does with the notes on the parts of its row: SampleMerged and SampleSearch after the first reading,
// SampleSettled after the second one. sampling.cuh says what for.
#pragma once

#include "sampling/sampling_parts.cuh"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kListedTokens = kPartTokens;  // that the block holds

struct IdListed {
    uint32_t id[kTokenVectors][kLaneElements];

    ADZE_DEVICE uint32_t operator()(int vector, int i) const { return id[vector][i]; }
};
using ListSource = HeldSource<IdListed>;

constexpr uint32_t kKeyOfMark = 0xff800000u;  // of +inf, which no token has

ADZE_DEVICE uint64_t best_of_part(const SamplingKernelParams& p, int64_t row, int part) {
    return Global<const uint64_t>(p.notes.best_and_mass, 2 * p.logits.tensor.rows * p.parts)
        .load(2 * (row * p.parts + part));
}

// A part's masses are relative to its own largest logit: what they are times for the row's.
ADZE_DEVICE double scale_of(uint64_t best, float largest, float temperature) {
    if (best == 0) return 0.0;
    return static_cast<double>(exp_f32(divide(logit_of(key_at(best)) - largest, temperature)));
}

// The lists of a row's parts, one after another. Keys only.
ADZE_DEVICE void load_lists(const SamplingKernelParams& p, int64_t row, const Shared<uint32_t>& counts,
                            ListSource& source) {
    const Global<const uint16_t> ids(p.notes.ids, p.logits.tensor.rows * p.parts * kPartSlots);
#pragma unroll
    for (int v = 0; v < kTokenVectors; ++v) {
        const int place = (v * kPartThreads + thread_index()) * kLaneElements;
        int part = -1, count = 0, begin = 0, end = 0;
        while (end <= place && part + 1 < p.parts) {
            ++part;
            begin = end;
            count = static_cast<int>(counts.load(part));
            end = begin + (count + kListGrain - 1) / kListGrain * kListGrain;
        }
        const int64_t note = row * p.parts + part;
        const int offset = place - begin;  // behind the last list: beyond its count, and not read
        float x[1][kLaneElements];
        const int whole = (count + kLaneElements - 1) / kLaneElements * kLaneElements;
        unpack(p.notes.logits, fetch_floats_until<1>(whole, p.notes.logits, true, note, offset), x);
        Vec<uint16_t, kLaneElements> id{};
        if (offset < count) id = ids.template load_vec<kLaneElements>(note * kPartSlots + offset);
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) {
            source.tokens.key[v][i] = offset + i < count ? key_of(x[0][i]) : 0;
            source.id_of.id[v][i] = static_cast<uint32_t>(part * kPartTokens) + id[i];
        }
    }
}

// Draws from the tokens of a segment, of which the warp's lanes have a vector each.
ADZE_DEVICE void draw_in_segment(const SamplingKernelParams& p, int64_t row, float temperature, uint64_t best,
                                 const Kept& kept, int64_t segment, uint64_t target) {
    const int64_t first = segment * kSegmentTokens + lane_index() * kLaneElements;
    uint32_t key[1][kLaneElements];
    uint64_t mass[kLaneElements], own = 0;
    load_keys<1>(p, row, first, 0, key);
#pragma unroll
    for (int i = 0; i < kLaneElements; ++i) {
        mass[i] = mass_of(key[0][i], logit_of(key_at(best)), temperature, p.mass_of_one);
        if (!kept.holds(key[0][i], static_cast<uint32_t>(first) + i, mass[i])) mass[i] = 0;
        own += mass[i];
    }
    const uint64_t upto = scan_warp(own), total = shuffle(upto, kWarpSize - 1);
    // Sums of segments are rounded: the target may lie behind the last token, or, where the part's masses vanish beside
    // the row's largest, there may be none.
    if (total == 0) {
        if (lane_index() == 0) store_id(p, row, static_cast<int32_t>(id_at(best)));
        return;
    }
    target = Min{}(target, total - 1);
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

// The samples of a row's parts, and bounds of what lies above each: how many tokens, or what mass. The source of a
// Sampler.
class SampleTable {
public:
    static constexpr bool kFew = true;
    static_assert(kMaxParts * kSamples <= kPartThreads * kThreadTokens);
    using Sums = BlockSums<kPartThreads>;
    static constexpr int64_t shared_bytes(int64_t parts) {
        const int64_t samples = parts * kSamples;
        const int64_t floats = add_shared(samples * sizeof(float), samples * sizeof(float));
        return add_shared(add_shared(add_shared(floats, samples * sizeof(uint16_t)), samples),
                          parts * sizeof(uint32_t));
    }

    ADZE_DEVICE SampleTable(const SamplingKernelParams& p, const SamplingRequest& request, int64_t row, uint64_t best,
                            Sums& sums, SharedArena& arena)
        : p_(p),
          request_(request),
          row_(row),
          best_(best),
          sums_(sums),
          amount_(arena.take<float>(p.parts * kSamples)),
          mass_(arena.take<float>(p.parts * kSamples)),
          id_(arena.take<uint16_t>(p.parts * kSamples)),
          tokens_(arena.take<uint8_t>(p.parts * kSamples)),
          samples_(arena.take<uint32_t>(p.parts)) {
        load();
    }

    ADZE_DEVICE RowRanges ranges() {
        RowRanges found{0, 0, 0, 0, best_};
        // One loop, so that the search is compiled once.
        for (int filter = request_.by_count ? 0 : 1; filter < (request_.by_mass ? 2 : 1); ++filter) {
            const bool by_count = filter == 0;
            uint64_t least = static_cast<uint64_t>(request_.top_k), most = least, above = 0, down_to = 0;
            if (!by_count) {
                total_mass(found, least, most);
                least = share_of(request_.top_p, least);
                most = share_of(request_.top_p, most);
            }
            for (int side = 0; side < kSides; ++side) {
                const uint64_t before = weigh(by_count, side == 0), goal = side == 0 ? least : most;
                uint64_t place = ~uint64_t{0};
                if (goal > before)
                    place = Sampler<kPartThreads, SampleTable>(*this, sums_).place_reaching(goal - before);
                if (side == 0) {
                    above = place;
                } else {
                    down_to = place;
                }
            }
            if (by_count) found.count_above = above, found.count_down_to = down_to;
            found.above = Max{}(above, found.above);
            found.down_to = Max{}(down_to, found.down_to);
        }
        return found;
    }

    template <class Body>
    ADZE_DEVICE void for_tiles(const Body& body) const {
        Tokens tokens = {};
#pragma unroll
        for (int n = 0; n < kEntries; ++n) {
            const int v = n / kLaneElements, i = n % kLaneElements, entry = n * kPartThreads + thread_index();
            tokens.key[v][i] = key_[v][i];
            if (key_[v][i] != 0) tokens.mass[v][i] = static_cast<uint64_t>(amount_.load(entry));
        }
        body(tokens, [&](int v, int i) {
            const int entry = (v * kLaneElements + i) * kPartThreads + thread_index();
            return static_cast<uint32_t>(entry / kSamples * kPartTokens) + id_.load(entry);
        });
    }

private:
    // How far a mass may be off that is relative to its part's largest, and scaled. Where it is above 0 the exponents
    // add up to less than 34; each is rounded twice, as is that of the row, and exp_f32 three times: 1e-5 and less,
    // with the rounding of the sums here. SampleSettled verifies what comes of it.
    static constexpr float kRelativeError = 2e-5f;
    static constexpr int kSides = 2;
    static constexpr int kEntries = (kMaxParts * kSamples + kPartThreads - 1) / kPartThreads;  // of a thread, at most

    ADZE_DEVICE double scale(int part) const {
        return scale_of(best_of_part(p_, row_, part), logit_of(key_at(best_)), request_.temperature);
    }

    ADZE_DEVICE void load() {
        const int64_t notes = p_.logits.tensor.rows * p_.parts;
        const Global<const uint32_t> counts(p_.notes.count_and_cut, 2 * notes);
        for (int part = thread_index(); part < p_.parts; part += kPartThreads) {
            samples_.store(part, counts.load(2 * (row_ * p_.parts + part)) >> 16);
        }
        sync_block();
        const Global<const uint64_t> samples(p_.notes.samples, notes * kSamples);
        const Global<const float> masses(p_.notes.sample_masses, notes * kSamples);
#pragma unroll
        for (int n = 0; n < kThreadTokens; ++n) {
            const int v = n / kLaneElements, i = n % kLaneElements, entry = n * kPartThreads + thread_index();
            const int part = entry / kSamples;
            uint32_t key = 0;
            if (n < kEntries && part < p_.parts && static_cast<uint32_t>(entry % kSamples) < samples_.load(part)) {
                const uint64_t packed = samples.load(row_ * p_.parts * kSamples + entry);
                key = key_at(packed);
                id_.store(entry, id_of_sample(packed));
                tokens_.store(entry, static_cast<uint8_t>(tokens_of_sample(packed)));
            }
            key_[v][i] = key;
        }
#pragma unroll 1
        for (int entry = thread_index(); request_.by_mass && entry < p_.parts * kSamples; entry += kPartThreads) {
            if (static_cast<uint32_t>(entry % kSamples) >= samples_.load(entry / kSamples)) continue;
            const auto mass = static_cast<double>(masses.load(row_ * p_.parts * kSamples + entry));
            mass_.store(entry, static_cast<float>(mass * scale(entry / kSamples)));
        }
        sync_block();
    }

    // What the tokens from behind a part's sample j - 1 to sample j are, at most or at least.
    ADZE_DEVICE float amount(bool by_count, bool upper, int part, int j) const {
        if (static_cast<uint32_t>(j) >= samples_.load(part)) return 0.0f;
        const auto tokens = static_cast<float>(tokens_.load(part * kSamples + j));
        return by_count ? tokens : bound(upper, mass_.load(part * kSamples + j), tokens);
    }
    ADZE_DEVICE static float bound(bool upper, float mass, float tokens) {
        const float error = mass * kRelativeError + 2.0f * tokens + 1.0f;
        return upper ? mass + error : mass > error ? mass - error : 0.0f;
    }

    // From here on a sample's mass is: for a lower bound of what lies at or above it, that of the tokens down to it;
    // for an upper bound of what lies above any token behind it, that of those behind it down to the next. Returns what
    // lies before all samples at most.
    ADZE_DEVICE uint64_t weigh(bool by_count, bool upper) {
        for (int entry = thread_index(); entry < p_.parts * kSamples; entry += kPartThreads) {
            const int part = entry / kSamples, j = entry % kSamples;
            amount_.store(entry, amount(by_count, upper, part, upper ? j + 1 : j));
        }
        uint64_t first[4] = {};
        for (int part = thread_index(); upper && part < p_.parts; part += kPartThreads) {
            first[0] += static_cast<uint64_t>(amount(by_count, upper, part, 0));
        }
        sums_.add(first);
        return first[0];
    }

    // Bounds of the mass that top_p shares: of what top_k keeps, or of all.
    ADZE_DEVICE void total_mass(const RowRanges& found, uint64_t& least, uint64_t& most) {
        if (request_.by_count) {
            weigh(false, false);
            least = mass_from(found.count_above);
            most = weigh(false, true);
            most += mass_from(found.count_down_to + 1);
            return;
        }
        const Global<const uint64_t> best_and_mass(p_.notes.best_and_mass, 2 * p_.logits.tensor.rows * p_.parts);
        uint64_t sums[4] = {};
        for (int part = thread_index(); part < p_.parts; part += kPartThreads) {
            const auto of_part = static_cast<double>(best_and_mass.load(2 * (row_ * p_.parts + part) + 1));
            const auto mass = static_cast<float>(of_part * scale(part));
            sums[0] += static_cast<uint64_t>(bound(false, mass, kPartTokens));
            sums[1] += static_cast<uint64_t>(bound(true, mass, kPartTokens));
        }
        sums_.add(sums);
        least = sums[0];
        most = sums[1];
    }

    // Of the samples whose places are `place` or above.
    ADZE_DEVICE uint64_t mass_from(uint64_t place) {
        uint64_t sums[4] = {};
        for_tiles([&](const Tokens& tokens, const auto& id_of) {
#pragma unroll
            for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) {
                    const uint32_t key = tokens.key[v][i];
                    if (key != 0 && place_of(key, id_of(v, i)) >= place) sums[0] += tokens.mass[v][i];
                }
            }
        });
        sums_.add(sums);
        return sums[0];
    }

    const SamplingKernelParams& p_;
    const SamplingRequest& request_;
    const int64_t row_;
    const uint64_t best_;
    Sums& sums_;
    const Shared<float> amount_;  // of each sample, as last weighed
    const Shared<float> mass_;
    const Shared<uint16_t> id_;  // within the part
    const Shared<uint8_t> tokens_;
    const Shared<uint32_t> samples_;
    uint32_t key_[kTokenVectors][kLaneElements];
};

struct SampleMerged {
    static constexpr const char* kName = "sample_merged";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    using Sums = BlockSums<kThreads>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes = add_shared(SampleShared<kThreads>::kBytes, kMaxParts * sizeof(uint32_t));

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
        if (settle(p, row, request, best)) {
            if (p.params != nullptr) RowRanges{}.store(p, row);
            return;
        }
        RowRanges{0, 0, 0, 0, best}.store(p, row);  // the last token may be anywhere
        if (p.noted && !request.filters()) {
            draw_segment(p, row, request, best, shared);
        } else if (!p.noted || !sample_listed(p, row, request, logit_of(key_at(best)), shared, arena)) {
            return;
        }
        RowRanges{}.store(p, row);
    }

private:
    // Draws a segment first, then one of its tokens.
    ADZE_DEVICE static void draw_segment(const Params& p, int64_t row, const SamplingRequest& request, uint64_t best,
                                         SampleShared<kThreads>& shared) {
        Sums& sums = shared.sums;
        HeldSource<IdInRow<kThreads>> source{{}, {0}};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
            const int first = static_cast<int>(source.id_of(v, 0)), part = first / kSegments;
            const bool inside = part < p.parts;
            double scale = 0.0;
            if (guard(inside))
                scale = scale_of(best_of_part(p, row, part), logit_of(key_at(best)), request.temperature);
            float mass[1][kLaneElements];
            // Beyond the parts there is nothing to read; what would be read has the scale 0.
            load_floats<1>(p.notes.segments, inside, inside ? row * p.parts + part : 0, first % kSegments, 0, mass);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                source.tokens.key[v][i] = 1;
                source.tokens.mass[v][i] = static_cast<uint64_t>(static_cast<double>(mass[0][i]) * scale);
            }
        }
        uint64_t rest = 0;
        Sampler<kThreads, HeldSource<IdInRow<kThreads>>> sampler(source, sums);
        const uint64_t target = target_of(shared.inbox.uniform(), sampler.mass());
        const int32_t drawn = sampler.draw(target, rest);
        // Who drew tells all.
        const uint64_t told = sums.max(drawn >= 0 ? static_cast<uint64_t>(drawn) + 1 : 0);
        rest = sums.max(drawn >= 0 ? rest : 0);
        if (warp_index() == 0)
            draw_in_segment(p, row, request.temperature, best, {}, static_cast<int64_t>(told - 1), rest);
    }

    ADZE_DEVICE static bool sample_listed(const Params& p, int64_t row, const SamplingRequest& request, float largest,
                                          SampleShared<kThreads>& shared, SharedArena& arena) {
        Sums& sums = shared.sums;
        const int64_t notes = p.logits.tensor.rows * p.parts;
        const Global<const uint64_t> best_and_mass(p.notes.best_and_mass, 2 * notes);
        const Global<const uint32_t> count_and_cut(p.notes.count_and_cut, 2 * notes);
        uint64_t total[4] = {}, of_cut = 0;
        const Shared<uint32_t> counts = arena.take<uint32_t>(kMaxParts);
        for (int part = thread_index(); part < p.parts; part += kThreads) {
            const auto of_part = best_and_mass.template load_vec<2>(2 * (row * p.parts + part));
            const double scale = scale_of(of_part[0], largest, request.temperature);
            total[0] += static_cast<uint64_t>(static_cast<double>(of_part[1]) * scale);
            const auto list = count_and_cut.template load_vec<2>(2 * (row * p.parts + part));
            counts.store(part, list[0] & 0xffffu);
            of_cut = Max{}(of_cut, uint64_t{list[1]});
        }
        sums.add(total);
        const auto cut = static_cast<uint32_t>(sums.max(of_cut));
        if (cut == kUnlisted) return false;
        if (!request.by_count && !request.by_mass) {
            const uint64_t unlisted = mass_of(cut, largest, request.temperature, p.mass_of_one);
            if (static_cast<float>(unlisted) >= request.min_p * p.mass_of_one) return false;
        }
        ListSource source;
        load_lists(p, row, counts, source);
        source.tokens.weigh(largest, request.temperature, p.mass_of_one);
        uint64_t mass_after = 0;
        if (!request.by_count) {
            const uint64_t listed = Sampler<kThreads, ListSource>(source, sums).mass();
            mass_after = total[0] - Min{}(total[0], listed);
        }
        return filter_and_draw<kThreads>(p, row, request, source, shared, mass_after, cut);
    }
};

struct SampleSearch {
    static constexpr const char* kName = "sample_search";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t shared_bytes(int64_t parts) {
        return add_shared(add_shared(SampleShared<kThreads>::kBytes, RangesInbox::kSharedBytes),
                          SampleTable::shared_bytes(parts));
    }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const RangesInbox inbox(arena);
        const auto row = static_cast<int64_t>(block_index().x);
        shared.inbox.fetch(p, row);
        inbox.fetch(p, row);
        sync_block();
        const RowRanges ranges = inbox.read();
        if (ranges.settled()) return;
        const SamplingRequest request = shared.inbox.read(p);
        SampleTable(p, request, row, ranges.best, shared.sums, arena).ranges().store(p, row);
    }
};

struct SampleSettled {
    static constexpr const char* kName = "sample_settled";
    static constexpr int kThreads = kPartThreads;
    using Params = SamplingKernelParams;
    using Sums = BlockSums<kThreads>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes = add_shared(
        add_shared(add_shared(SampleShared<kThreads>::kBytes, RangesInbox::kSharedBytes), kMaxParts * sizeof(uint32_t)),
        kMaxParts* kSegments * sizeof(float));

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        SampleShared<kThreads> shared(arena);
        const RangesInbox inbox(arena);
        const auto row = static_cast<int64_t>(block_index().x);
        shared.inbox.fetch(p, row);
        inbox.fetch(p, row);
        sync_block();
        const RowRanges ranges = inbox.read();
        if (ranges.settled()) return;
        const SamplingRequest request = shared.inbox.read(p);
        if (p.noted && sample_listed(p, row, request, ranges, shared, arena)) return;
        RowSource<kThreads> source{p, row, logit_of(key_at(ranges.best)), request.temperature, {}};
        filter_and_draw<kThreads>(p, row, request, source, shared, 0, 0);
    }

private:
    // False: more tokens came into question than the block holds, or the ranges do not hold the last ones.
    ADZE_DEVICE static bool sample_listed(const Params& p, int64_t row, const SamplingRequest& request,
                                          const RowRanges& ranges, SampleShared<kThreads>& shared, SharedArena& arena) {
        const Shared<uint32_t> counts = arena.take<uint32_t>(kMaxParts);
        const Shared<float> segments = arena.take<float>(kMaxParts * kSegments);
        uint64_t unlisted[4] = {};
        if (!load_notes(p, row, counts, segments, unlisted, shared.sums)) return false;
        ListSource source;
        load_lists(p, row, counts, source);
        source.tokens.weigh(logit_of(key_at(ranges.best)), request.temperature, p.mass_of_one);
        put_marks(source, segments, false);
        Sampler<kThreads, ListSource> sampler(source, shared.sums);
        if (!filter(request, ranges, unlisted, source, sampler)) return false;
        source.keep({0, 0xffffffffu, least_mass(request, p.mass_of_one)});
        put_marks(source, segments, true);
        draw(p, row, request, ranges, source, sampler, shared);
        return true;
    }

    // False: a last token lies outside its range. Ranges come of bounds of rounded sums; these sums are exact.
    ADZE_DEVICE static bool filter(const SamplingRequest& request, const RowRanges& ranges,
                                   const uint64_t (&unlisted)[4], ListSource& source,
                                   Sampler<kThreads, ListSource>& sampler) {
        const uint64_t counts = unlisted[kPartCounts], mass_before = unlisted[kMassBefore];
        const uint32_t cut = count_in(counts, kCountBelow) != 0 ? 1 : 0;
        if (request.by_count) {
            const auto top_k = static_cast<uint32_t>(request.top_k);
            if (count_in(counts, kCountUpTo) >= top_k) return false;
            if (!sampler.template keep_down_to<true>(top_k - count_in(counts, kCountUnlisted), cut)) return false;
        }
        uint64_t goal = 0;
        if (request.by_mass) goal = share_of(request.top_p, mass_before + sampler.mass() + unlisted[kMassBetween]);
        // What lies between is not listed, and not to be kept either.
        source.keep({key_at(ranges.down_to), id_at(ranges.down_to), 1});
        if (!request.by_mass) return true;
        // Of what top_k keeps, all is probable: there the goal is reached.
        return goal > mass_before &&
               sampler.template keep_down_to<false>(goal - mass_before, request.by_count ? 1 : cut);
    }

    ADZE_DEVICE static bool load_notes(const Params& p, int64_t row, const Shared<uint32_t>& counts,
                                       const Shared<float>& segments, uint64_t (&unlisted)[4], Sums& sums) {
        const int64_t notes = p.logits.tensor.rows * p.parts;
        const Global<const uint32_t> count_and_cut(p.notes.count_and_cut, 2 * notes);
        const Global<const uint64_t> of_parts(p.notes.sums, 4 * notes);
        uint64_t held[4] = {};
        for (int part = thread_index(); part < p.parts; part += kThreads) {
            const uint32_t count = count_and_cut.load(2 * (row * p.parts + part));
            counts.store(part, count);
            held[0] += (uint64_t{count} + kListGrain - 1) / kListGrain * kListGrain;
            const auto masses = of_parts.template load_vec<2>(4 * (row * p.parts + part));
            unlisted[kMassBefore] += masses[0], unlisted[kMassBetween] += masses[1];
            unlisted[kPartCounts] += of_parts.load(4 * (row * p.parts + part) + kPartCounts);
        }
        const Global<const float> of_segments(p.notes.segments.tensor);
        for (int segment = thread_index(); segment < p.parts * kSegments; segment += kThreads) {
            segments.store(segment, of_segments.load(row * p.parts * kSegments + segment));
        }
        sums.add(held);
        sums.add(unlisted);
        return held[0] <= kListedTokens;
    }

    // Gives the marks the masses of what their segments surely keep, or none.
    ADZE_DEVICE static void put_marks(ListSource& source, const Shared<float>& segments, bool masses) {
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (source.tokens.key[v][i] != kKeyOfMark) continue;
                const int segment = static_cast<int>(source.id_of(v, i)) / kSegmentTokens;
                source.tokens.mass[v][i] = masses ? static_cast<uint64_t>(segments.load(segment)) : 0;
            }
        }
    }

    // Draws a segment, of which the marks tell, then one of its tokens.
    ADZE_DEVICE static void draw(const Params& p, int64_t row, const SamplingRequest& request, const RowRanges& ranges,
                                 const ListSource& source, Sampler<kThreads, ListSource>& sampler,
                                 SampleShared<kThreads>& shared) {
        Sums& sums = shared.sums;
        const uint64_t target = target_of(shared.inbox.uniform(), sampler.mass());
        uint64_t rest = 0;
        const int32_t drawn = sampler.draw(target, rest);
        const uint64_t told = sums.max(drawn >= 0 ? static_cast<uint64_t>(drawn) + 1 : 0);
        const auto segment = static_cast<uint32_t>(told - 1) / kSegmentTokens;
        uint64_t before[4] = {};
#pragma unroll
        for (int v = 0; v < kTokenVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (source.id_of(v, i) / kSegmentTokens < segment) before[0] += source.tokens.mass[v][i];
            }
        }
        sums.add(before);
        if (warp_index() == 0)
            draw_in_segment(p, row, request.temperature, ranges.best, source.kept, segment, target - before[0]);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
