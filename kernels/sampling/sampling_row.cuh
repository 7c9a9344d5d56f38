// SampleRow: a row in the registers of one block. Filters and draw as all kernels of sampling end with them.
#pragma once

#include "sampling/sampling_search.cuh"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void store_id(const SamplingKernelParams& p, int64_t row, int32_t id) {
    Global<int32_t>(p.ids).store(row, id);
}

// Writes the row's id where no draw is needed: greedy or not to be sampled. Whether that was so.
ADZE_DEVICE bool settle(const SamplingKernelParams& p, int64_t row, const SamplingRequest& request, uint64_t best) {
    const bool usable = request.valid && best != kUnusable && best != 0;
    if (usable && !request.greedy()) return false;
    if (thread_index() == 0) store_id(p, row, usable ? static_cast<int32_t>(id_at(best)) : -1);
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

template <int kThreads, class Source>
ADZE_DEVICE bool filter_and_draw(const SamplingKernelParams& p, int64_t row, const SamplingRequest& request,
                                 Source& source, SampleShared<kThreads>& shared, uint64_t mass_after, uint32_t cut) {
    Sampler<kThreads, Source> sampler(source, shared.sums);
    if (!sampler.filter(request, mass_after, p.mass_of_one, cut)) return false;
    uint64_t rest = 0;
    const uint64_t target = target_of(shared.inbox.uniform(), sampler.mass());
    const int32_t id = sampler.draw(target, rest);
    if (id >= 0) store_id(p, row, id);
    return true;
}

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
        source.tokens.weigh(logit_of(key_at(best)), request.temperature, p.mass_of_one);
        filter_and_draw<kThreads>(p, row, request, source, shared, 0, 0);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
