// attention over caches in FP8, INT8 and INT4.
#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class AttentionQuantised : public kit::OnAttention {};
ADZE_ON_EACH_MACHINE(AttentionQuantised);

TEST_P(AttentionQuantised, OfEveryHeadDimension) {
    for (adze_dtype dtype : kit::kQuantised) {
        ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = dtype});
        std::vector<kit::Scales> scales{kit::Scales::kTensor, kit::Scales::kHead, kit::Scales::kToken,
                                        kit::Scales::kAll, kit::Scales::kAll};
        random.shuffle(scales);  // every run has every kind
        for (auto [dim_qk, dim_v] : {std::pair{64, 64}, {128, 128}, {80, 96}, {192, 128}, {256, 256}}) {
            const adze_dtype io = random.coin() ? ADZE_DTYPE_BF16 : kit::kFloats[random.integer(0, 2)];
            check({.sequences = mixed(150),
                   .shape = {8, 2, dim_qk, dim_v},
                   .page_size = int(random.integer(1, 40)),
                   .q_dtype = io,
                   .kv_dtype = dtype,
                   .o_dtype = io,
                   .hnd = random.coin(),
                   .scales = scales.back()});
            scales.pop_back();
        }
    }
}

// Decode of splits, with both softmaxes and whatever a quantised cache meets besides.
TEST_P(AttentionQuantised, OfLongSequences) {
    for (adze_dtype dtype : kit::kQuantised) {
        ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = dtype});
        for (adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
            for (int ratio : {5, 7}) {
                oracle::AttentionShape shape{ratio * 2, 2, random.coin() ? 64 : 128, random.coin() ? 64 : 128};
                if (random.coin()) shape.window = 700, shape.sink_tokens = 40;
                check({.sequences = {{1, 5000}, {2, 3}, {3, 1700}, {30, 400}, {1, 64}},
                       .shape = shape,
                       .page_size = random.coin() ? 16 : 48,
                       .q_dtype = ADZE_DTYPE_BF16,
                       .kv_dtype = dtype,
                       .o_dtype = random.coin() ? ADZE_DTYPE_BF16 : ADZE_DTYPE_F32,
                       .hnd = random.coin(),
                       .scales = random.coin() ? kit::Scales::kHead : kit::Scales::kAll,
                       .gap = random.coin() ? 0 : 16,
                       .softmax = softmax});
            }
        }
    }
}

// Vectors that are not aligned to 16 bytes; and all rows that a GPU takes at a time, with every format of queries.
TEST_P(AttentionQuantised, OfAnyStride) {
    for (adze_dtype dtype : kit::kQuantised) {
        for (adze_dtype q : kit::kFloats) {
            check({.sequences = {{1, 70}, {5, 90}, {40, 40}},
                   .shape = {8, 2, 96, 64},
                   .q_dtype = q,
                   .kv_dtype = dtype,
                   .o_dtype = random.pick(kit::kFloats),
                   .hnd = random.coin(),
                   .scales = random.coin() ? kit::Scales::kHead : kit::Scales::kToken,
                   .gap = random.integer(1, 7)});
        }
    }
}

// A token that was appended with an Inf or a NaN has a NaN for its scale: whoever sees it has no result.
TEST_P(AttentionQuantised, NanOfAScaleIsItsTokens) {
    for (adze_dtype dtype : kit::kQuantised) {
        for (bool of_key : {false, true}) {
            AttentionCall call(context, stream,
                               {.sequences = {{20, 30}, {1, 40}},
                                .shape = {2, 2, 64, 64},
                                .kv_dtype = dtype,
                                .scales = kit::Scales::kAll},
                               random, kit::normal(random));
            const auto [page, slot] = call.paging.find(0, 17);
            kit::Cache& cache = of_key ? call.k : call.v;
            cache.scales.set(0, cache.scale_offset(page, slot, 1), NAN);
            call.run(stream);
            for (int64_t row = 0; row < 21; ++row) {
                for (int e = 0; e < 128; ++e)
                    EXPECT_EQ(std::isnan(call.o.at(row, e)), row >= 7 && row < 20 && e >= 64) << row << ' ' << e;
            }
        }
    }
}

}  // namespace
