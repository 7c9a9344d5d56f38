#include "device/launch.h"
#include "sampling/sampling.cuh"

namespace adze {
inline namespace ADZE_TARGET {

namespace {

// How a row is parted, and where its notes are in the workspace; `bytes` 0: it is not parted.
struct SamplingPlan {
    int64_t parts = 1;
    bool noted = false;
    int64_t best_and_mass = 0, ranges = 0;  // bytes from the start
    int64_t count_and_cut = 0, segments = 0, logits = 0, ids = 0, samples = 0, sample_masses = 0, sums = 0;
    int64_t bytes = 0;
};

template <class T>
int64_t take(int64_t& used, int64_t count) {
    const int64_t start = used;
    used += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
    return start;
}

SamplingPlan sampling_plan(int64_t rows, int64_t vocabulary) {
    SamplingPlan plan;
    if (vocabulary <= SampleRow<kPartThreads>::kTokens) return plan;
    plan.parts = (vocabulary + kPartTokens - 1) / kPartTokens;
    plan.noted = plan.parts <= kMaxParts;
    const int64_t notes = rows * plan.parts;
    plan.best_and_mass = take<uint64_t>(plan.bytes, notes * 2);
    plan.ranges = take<uint64_t>(plan.bytes, rows * RowRanges::kWords);
    if (!plan.noted) return plan;
    plan.count_and_cut = take<uint32_t>(plan.bytes, notes * 2);
    plan.segments = take<float>(plan.bytes, notes * kSegments);
    plan.logits = take<float>(plan.bytes, notes * kPartSlots);
    plan.ids = take<uint16_t>(plan.bytes, notes * kPartSlots);
    plan.samples = take<uint64_t>(plan.bytes, notes * kSamples);
    plan.sample_masses = take<float>(plan.bytes, notes * kSamples);
    plan.sums = take<uint64_t>(plan.bytes, notes * 4);
    return plan;
}

template <class T>
T* at(void* workspace, int64_t bytes) {
    return reinterpret_cast<T*>(static_cast<char*>(workspace) + bytes);
}

SamplingNotes notes_in(const SamplingPlan& plan, const SamplingParams& p) {
    const int64_t notes = p.logits.rows * plan.parts;
    return {at<uint64_t>(p.workspace, plan.best_and_mass),
            at<uint32_t>(p.workspace, plan.count_and_cut),
            float_matrix({at<float>(p.workspace, plan.segments), notes, kSegments, kSegments, ADZE_DTYPE_F32, 0}),
            float_matrix({at<float>(p.workspace, plan.logits), notes, kPartSlots, kPartSlots, p.logits.dtype, 0}),
            at<uint16_t>(p.workspace, plan.ids),
            at<uint64_t>(p.workspace, plan.samples),
            at<float>(p.workspace, plan.sample_masses),
            at<uint64_t>(p.workspace, plan.ranges),
            at<uint64_t>(p.workspace, plan.sums)};
}

// The largest power of two that V times stays below 2^62.
float mass_of_one(int64_t vocabulary) {
    uint64_t one = uint64_t{1} << 62;
    for (int64_t tokens = 1; tokens < vocabulary; tokens *= 2) one /= 2;
    return static_cast<float>(one);
}

template <int kThreads>
void launch_rows(LaunchStream& stream, const SamplingKernelParams& params) {
    using Kernel = SampleRow<kThreads>;
    launch<Kernel>(stream, {params.logits.tensor.rows, 1, 1}, Kernel::kSharedBytes, params);
}

}  // namespace

uint64_t gpu_sampling_workspace(int64_t rows, int64_t vocabulary) {
    return static_cast<uint64_t>(sampling_plan(rows, vocabulary).bytes);
}

void sampling(LaunchStream& stream, const SamplingParams& p) {
    const int64_t rows = p.logits.rows, vocabulary = p.logits.columns;
    const SamplingPlan plan = sampling_plan(rows, vocabulary);
    SamplingKernelParams params{float_matrix(p.logits),
                                p.mask,
                                p.ids,
                                reinterpret_cast<const uint32_t*>(p.params),
                                static_cast<int64_t>(p.params_stride / sizeof(uint32_t)),
                                mass_of_one(vocabulary),
                                static_cast<int32_t>(plan.parts),
                                plan.noted,
                                {}};
    if (plan.bytes != 0) {
        params.notes = notes_in(plan, p);
        const Grid rows_grid{rows, 1, 1}, parts_grid{rows * plan.parts, 1, 1};
        launch<SampleParts>(stream, parts_grid, SampleParts::kSharedBytes, params);
        launch<SampleMerged>(stream, rows_grid, SampleMerged::kSharedBytes, params);
        if (p.params == nullptr) return;  // greedy: all rows are settled
        if (plan.noted) {
            launch<SampleSearch>(stream, rows_grid, SampleSearch::shared_bytes(plan.parts), params);
            launch<SampleRanges>(stream, parts_grid, SampleRanges::kSharedBytes, params);
        }
        launch<SampleSettled>(stream, rows_grid, SampleSettled::kSharedBytes, params);
    } else if (vocabulary <= SampleRow<64>::kTokens) {
        launch_rows<64>(stream, params);
    } else if (vocabulary <= SampleRow<256>::kTokens) {
        launch_rows<256>(stream, params);
    } else {
        launch_rows<kPartThreads>(stream, params);
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
