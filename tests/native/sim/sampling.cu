// Sampling's second reading where the ranges that bounds of rounded sums give do not hold the last tokens. No logits
// are known for which they do not: the ranges are set here.
#include "device_kit.h"
#include "sampling/sampling.cu"

namespace adze {
inline namespace ADZE_TARGET {
namespace sampling_tests {

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

SIM_TEST(Sampling, RangesThatDoNotHoldTheLastTokens) {
    using Ids = std::pair<int64_t, int64_t>;  // from the first to before the second; to kVocabulary: to the end
    for (const bool wide : {false, true}) {
        const auto above = [wide](const Ids& ids) { return place(ids.first, wide) + 1; };
        const auto down_to = [wide](const Ids& ids) { return place(ids.second, wide) + 1; };
        for (const adze_sampling_params& request :
             {adze_sampling_params{1, 7000, 0, 0, 1, 0}, adze_sampling_params{1, 0, 0.5f, 0, 1, 0},
              adze_sampling_params{1, 7000, 0.5f, 0, 1, 0}, adze_sampling_params{1, 7000, 0, 0.9f, 1, 0},
              adze_sampling_params{1, 0, 0.5f, 0.9f, 1, 0}, adze_sampling_params{1, 7000, 0.5f, 0.9f, 1, 0}}) {
            Pipeline row(request, wide);
            const int expected = row.sampled();
            const auto expect_same = [&](const Ids& ids, const Ids& of_count) {
                const uint64_t count_above = request.top_k != 0 ? above(of_count) : 0;
                const uint64_t count_down_to = request.top_k != 0 ? down_to(of_count) : 0;
                EXPECT_EQ(row.sampled_of({above(ids), down_to(ids), count_above, count_down_to, place(0, wide)}),
                          expected)
                    << "top_k " << request.top_k << " top_p " << request.top_p << " min_p " << request.min_p << " wide "
                    << wide << " from " << ids.first << " of top_k from " << of_count.first;
            };
            for (const Ids& ids :
                 {Ids{100, 200}, Ids{6000, 6100}, Ids{9300, 9400}, Ids{9300, kVocabulary}, Ids{6990, 6980}})
                expect_same(ids, ids);
            if (request.top_k == 0 || request.top_p == 0) continue;
            // One of the two is wrong, or both are.
            expect_same({100, 200}, {6999, 7000});
            expect_same({6000, 6100}, {6999, 7000});
            expect_same({100, 200}, {6990, kVocabulary});
            expect_same({6950, 7050}, {7020, 7200});
            expect_same({6950, 7050}, {7100, 7200});
        }
    }
}

}  // namespace sampling_tests
}  // namespace ADZE_TARGET
}  // namespace adze
