// attention's options: every backend has them, and fitted() is to drop none.
#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class AttentionOptions : public kit::OnAttention {};
ADZE_ON_EACH_MACHINE(AttentionOptions);

TEST_P(AttentionOptions, SoftCap) {
    auto shape = kit::kPlain;
    for (double cap : {0.5, 5.0, 50.0, 3e4}) {
        shape.soft_cap = cap;
        ADZE_ASSERT_SUPPORTED({.shape = shape, .kv_dtype = ADZE_DTYPE_BF16});
        check({.sequences = mixed(150), .shape = shape}, kit::normal(random, 2));
        check({.sequences = {{1, 3000}, {20, 60}}, .shape = shape, .kv_dtype = ADZE_DTYPE_BF16},
              kit::normal(random, 2));
    }
}

TEST_P(AttentionOptions, SinkTokensBeforeAWindow) {
    auto shape = kit::kPlain;
    shape.window = shape.sink_tokens = 1;
    ADZE_ASSERT_SUPPORTED({.shape = shape, .kv_dtype = ADZE_DTYPE_BF16});
    for (auto [sinks, window] :
         {std::pair{1, 1}, {4, 1}, {4, 20}, {31, 33}, {33, 64}, {128, 300}, {200, 130}, {5000, 7}}) {
        for (bool causal : {true, false}) {
            shape.sink_tokens = sinks, shape.window = window, shape.causal = causal;
            check({.sequences = {{1, 700}, {3, 1}, {1, 5}, {50, 400}, {6, 4}, {1, sinks + window}}, .shape = shape});
        }
    }
    shape.causal = true, shape.sink_tokens = 100, shape.window = 3000;
    check({.sequences = {{1, 20000}, {3, 6000}}, .shape = shape, .page_size = 64, .kv_dtype = ADZE_DTYPE_BF16});
}

// What lies between the sinks and the window is not even read: its pages are of no sequence.
TEST_P(AttentionOptions, SinkTokensSkipWhatIsBetween) {
    auto shape = kit::kPlain;
    shape.sink_tokens = 10, shape.window = 100;
    ADZE_ASSERT_SUPPORTED({.shape = shape, .kv_dtype = ADZE_DTYPE_BF16});
    AttentionCall call(context, stream, {.sequences = {{1, 5000}}, .shape = shape, .page_size = 128}, random,
                       kit::normal(random));
    for (int64_t t = 128; t < 4864; ++t) {
        const auto [page, slot] = call.paging.find(0, t);
        for (int e = 0; e < call.c.shape.dim_v; ++e)
            call.v.elements.set(0, call.v.offset(page, slot, 0, e), std::nan(""));
    }
    call.v.elements.freeze();
    call.run(stream);
    call.expect_close();
}

TEST_P(AttentionOptions, AlibiSlopes) {
    ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .alibi = true});
    for (int kv_heads : {1, 3}) {
        for (bool causal : {true, false}) {
            check({.sequences = mixed(150), .shape = {5 * kv_heads, kv_heads, 64, 64, causal}, .alibi = true});
        }
    }
    check({.sequences = {{1, 20000}, {140, 150}}, .shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .alibi = true});
}

TEST_P(AttentionOptions, SinksOfHeads) {
    ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .sinks = true});
    for (int ratio : {1, 5, 8}) {
        check({.sequences = mixed(150), .shape = {ratio * 2, 2, 64, 64}, .sinks = true});
        check({.sequences = {{1, 9000}, {140, 150}, {3, 2}},
               .shape = {ratio, 1, 64, 64},
               .kv_dtype = ADZE_DTYPE_BF16,
               .sinks = true});
    }
}

// A sink may be the largest logit by far, as small as nothing, or all that a query sees.
TEST_P(AttentionOptions, SinksOfEveryMagnitude) {
    ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .sinks = true});
    AttentionCall call(context, stream,
                       {.sequences = {{5, 2}, {1, 3000}, {2, 0}, {20, 40}}, .shape = {4, 1, 64, 64}, .sinks = true},
                       random, kit::normal(random));
    for (double sink : {-1e4, 1e4, -200.0, 90.0, 0.0, -HUGE_VAL}) {
        for (int h = 0; h < 3; ++h) call.sinks.set(0, h, sink);  // the last head keeps its own
        call.sinks.freeze();
        call.run(stream);
        call.expect_close();
        for (int h = 0; h < 4; ++h) EXPECT_EQ(call.lse.at(0, h), call.sinks.at(0, h));
        for (int64_t column = 0; column < call.o.columns(); ++column) EXPECT_EQ(call.o.at(0, column), 0);
    }
}

TEST_P(AttentionOptions, CustomMasks) {
    for (kit::Masks masks : {kit::Masks::kRandom, kit::Masks::kTree, kit::Masks::kZero, kit::Masks::kMixed}) {
        auto shape = kit::kPlain;
        ADZE_ASSERT_SUPPORTED({.shape = shape, .kv_dtype = ADZE_DTYPE_BF16, .masks = masks});
        for (bool causal : {true, false}) {
            shape.causal = causal, shape.window = random.coin() ? 0 : 40;
            check({.sequences = mixed(200), .shape = shape, .masks = masks});
            check({.sequences = {{9, 3000}, {1, 32}, {70, 100}, {16, 33}, {1, 5000}, {2, 1}},
                   .shape = shape,
                   .kv_dtype = ADZE_DTYPE_BF16,
                   .masks = masks,
                   .spare_mask_words = 5});
        }
    }
}

// A NaN that the mask hides is not there, but for a GPU's tile: whole tiles are hidden.
TEST_P(AttentionOptions, MasksHideNan) {
    ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .masks = kit::Masks::kRandom});
    AttentionCall call(context, stream, {.sequences = {{4, 700}}, .shape = kit::kPlain, .masks = kit::Masks::kRandom},
                       random, kit::normal(random));
    for (size_t w = 0; w < call.paging.mask.size(); ++w) {
        if (w % 22 >= 4 && w % 22 < 16) call.paging.mask[w] = 0;
    }
    call.upload_mask();
    for (int64_t t = 128; t < 512; ++t) {
        const auto [page, slot] = call.paging.find(0, t);
        for (int e = 0; e < call.c.shape.dim_qk; ++e)
            call.k.elements.set(0, call.k.offset(page, slot, 0, e), std::nan(""));
        for (int e = 0; e < call.c.shape.dim_v; ++e)
            call.v.elements.set(0, call.v.offset(page, slot, 0, e), std::nan(""));
    }
    call.k.elements.freeze(), call.v.elements.freeze();
    call.run(stream);
    call.expect_close();
}

TEST_P(AttentionOptions, AMaskOfOnesChangesNoBit) {
    ADZE_ASSERT_SUPPORTED({.shape = kit::kPlain, .kv_dtype = ADZE_DTYPE_BF16, .masks = kit::Masks::kRandom});
    AttentionCall call(context, stream,
                       {.sequences = {{1, 2500}, {40, 90}, {3, 2}}, .shape = kit::kPlain, .masks = kit::Masks::kRandom},
                       random, kit::normal(random));
    std::fill(call.paging.mask.begin(), call.paging.mask.end(), ~0u);
    call.upload_mask();
    call.run(stream);
    const std::vector<double> masked = call.o.values();
    call.paging.mask_indptr.clear(), call.paging.mask.clear();
    call.update(stream);
    call.run(stream);
    for (int64_t r = 0; r < call.paging.tokens(); ++r) {
        for (int64_t i = 0; i < call.o.columns(); ++i)
            ASSERT_EQ(call.o.at(r, i), masked[size_t(r * call.o.columns() + i)]);
    }
}

TEST_P(AttentionOptions, OptionsTogether) {
    for (int round = 0; round < 12; ++round) {
        oracle::AttentionShape shape{6, 2, 64, 80, random.coin()};
        if (random.coin()) shape.window = int(random.integer(1, 100)), shape.sink_tokens = int(random.integer(0, 80));
        if (random.coin()) shape.soft_cap = 20;
        check({.sequences = mixed(400),
               .shape = shape,
               .page_size = int(random.integer(1, 80)),
               .kv_dtype = random.coin() ? ADZE_DTYPE_F16 : ADZE_DTYPE_BF16,
               .scales = kit::Scales(random.integer(0, 5)),
               .masks = random.coin() ? kit::Masks::kMixed : kit::Masks::kNone,
               .alibi = random.coin(),
               .sinks = random.coin(),
               .softmax = adze_softmax(random.integer(0, 2))});
    }
}

}  // namespace
