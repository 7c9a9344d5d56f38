// Sampling's second reading where the ranges that bounds of rounded sums give do not hold the last tokens. No logits are
// known for which they do not: the ranges are set here.
#include "device_kit.h"
#include "sampling/sampling.cu"

namespace adze {
inline namespace ADZE_TARGET {
namespace {

constexpr int64_t kVocabulary = 9500;

// Logits fall by tenths of a thousandth, some of them equal; where they are `wide`, by a hundredth.
float logit(int64_t id, bool wide) {
    return static_cast<float>(-(id / 3)) * (wide ? 1e-2f : 1e-4f);
}

class Pipeline {
public:
    Pipeline(const adze_sampling_params& request, bool wide)
        : logits_(kVocabulary), ids_(1), request_(1, request), workspace_(gpu_sampling_workspace(1, kVocabulary)) {
        for (int64_t id = 0; id < kVocabulary; ++id) logits_[static_cast<size_t>(id)] = logit(id, wide);
    }

    // The id that all kernels together come to.
    int sampled() {
        sampling(machine_.stream(), params());
        return ids_[0];
    }

    // Where the second reading is given `ranges`.
    int sampled_of(RowRanges ranges) {
        const SamplingPlan plan = sampling_plan(1, kVocabulary);
        uint64_t* const words = notes_in(plan, params()).ranges;
        words[0] = ranges.above, words[1] = ranges.down_to;
        words[2] = ranges.count_above, words[3] = ranges.count_down_to;
        words[4] = ranges.best;
        const SamplingKernelParams all{float_matrix(params().logits),
                                       {},
                                       params().ids,
                                       reinterpret_cast<const uint32_t*>(request_.data()),
                                       sizeof(adze_sampling_params) / sizeof(uint32_t),
                                       mass_of_one(kVocabulary),
                                       static_cast<int32_t>(plan.parts),
                                       plan.noted,
                                       notes_in(plan, params())};
        ids_[0] = -2;
        launch<SampleRanges>(machine_.stream(), {plan.parts, 1, 1}, SampleRanges::kSharedBytes, all);
        launch<SampleSettled>(machine_.stream(), {1, 1, 1}, SampleSettled::kSharedBytes, all);
        return ids_[0];
    }

private:
    SamplingParams params() const {
        return {{logits_.data(), 1, kVocabulary, kVocabulary, ADZE_DTYPE_F32, 0},
                {},
                {ids_.data(), 1, 1, 1, ADZE_DTYPE_I32, 0},
                request_.data(),
                sizeof(adze_sampling_params),
                workspace_.data()};
    }

    sim_test::Machine machine_{kTarget.arch};
    const sim_test::Array<float> logits_;
    const sim_test::Array<int32_t> ids_;
    const sim_test::Array<adze_sampling_params> request_;
    const sim_test::Array<char> workspace_;
};

uint64_t place(int64_t id, bool wide) {
    return place_of(key_of(logit(id, wide)), static_cast<uint32_t>(id));
}

}  // namespace

SIM_TEST(Sampling, RangesThatDoNotHoldTheLastTokens) {
    for (const bool wide : {false, true}) {
        for (const adze_sampling_params& request :
             {adze_sampling_params{1, 7000, 0, 0, 1, 0}, adze_sampling_params{1, 0, 0.5f, 0, 1, 0},
              adze_sampling_params{1, 7000, 0.5f, 0, 1, 0}, adze_sampling_params{1, 7000, 0, 0.9f, 1, 0},
              adze_sampling_params{1, 0, 0.5f, 0.9f, 1, 0}, adze_sampling_params{1, 7000, 0.5f, 0.9f, 1, 0}}) {
            Pipeline row(request, wide);
            const int expected = row.sampled();
            const bool by_count = request.top_k != 0, both = by_count && request.top_p != 0;
            // Places from the id `first` to before the id `end`.
            for (const auto& [first, end] : {std::pair{100, 200}, std::pair{6000, 6100}, std::pair{9300, 9400}}) {
                const uint64_t above = place(first, wide) + 1, down_to = place(end, wide) + 1;
                RowRanges ranges{above, down_to, by_count ? above : 0, by_count ? down_to : 0, place(0, wide)};
                EXPECT_EQ(row.sampled_of(ranges), expected)
                    << "top_k " << request.top_k << " top_p " << request.top_p << " min_p " << request.min_p << " wide "
                    << wide << " from " << first << " to " << end;
                if (!both || first > 6999) continue;
                // That of top_p alone.
                ranges.count_above = place(6999, wide) + 1, ranges.count_down_to = place(7000, wide) + 1;
                EXPECT_EQ(row.sampled_of(ranges), expected) << "top_p's from " << first << " wide " << wide;
            }
        }
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
