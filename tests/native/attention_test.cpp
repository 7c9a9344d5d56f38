// attention against the oracle: shapes, layouts, masks, formats and adversarial logits.
#include <array>
#include <numeric>

#include "kit/attention_case.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class Attention : public kit::OnMachine {
protected:
    void check(const AttentionCase& c, const std::function<double()>& value) {
        AttentionCall call(context, stream, c, random, value);
        SCOPED_TRACE(call.c);
        call.run(stream);
        call.expect_close();
    }
    void check(const AttentionCase& c) { check(c, kit::normal(random)); }

    /// A few sequences of every kind: decode, prefill, chunk, empty, no cache, more queries than keys.
    std::vector<Sequence> mixed(int64_t longest) {
        std::vector<Sequence> out{{1, random.integer(1, longest)},
                                  {0, 0},
                                  {random.integer(2, 7), random.integer(7, std::max<int64_t>(8, longest))},
                                  {5, 5},
                                  {0, random.integer(1, longest)},
                                  {1, 1},
                                  {3, 0},
                                  {4, 2}};
        random.shuffle(out);
        return out;
    }
};
ADZE_ON_EACH_MACHINE(Attention);

TEST_P(Attention, EveryHeadRatio) {
    for (int ratio : {1, 2, 3, 4, 5, 6, 7, 8, 16}) {
        for (int kv_heads : {1, 3}) {
            check({.sequences = mixed(40), .shape = {ratio * kv_heads, kv_heads, 64, 64}, .page_size = 16});
        }
    }
}

TEST_P(Attention, EveryHeadDimension) {
    for (auto [qk, v] : {std::pair{8, 8},
                         {24, 24},
                         {64, 64},
                         {80, 80},
                         {96, 96},
                         {128, 128},
                         {256, 256},
                         {192, 128},
                         {8, 136},
                         {1024, 8}}) {
        check({.sequences = mixed(37), .shape = {4, 2, qk, v}, .page_size = 16, .hnd = random.coin()});
    }
}

// Every instance that a GPU may take: head dim, format of the cache, and tiles of few and of many rows.
TEST_P(Attention, PrefillOfEveryHeadDimensionAndFormat) {
    for (int dim : {64, 128, 256}) {
        for (adze_dtype kv : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
            for (adze_dtype q : kit::kFloats) {
                check({.sequences = {{20, 70}, {1, 90}, {33, 33}},
                       .shape = {4, 2, dim, dim == 256 ? 128 : dim, true, random.coin() ? 0 : 40},
                       .q_dtype = q,
                       .kv_dtype = kv,
                       .o_dtype = random.pick(kit::kFloats),
                       .scales = kit::Scales(random.integer(0, 5)),
                       .gap = random.coin() ? 0 : 3});
            }
        }
    }
}

TEST_P(Attention, EveryPageSizeAndItsBorders) {
    for (int page_size : {1, 2, 3, 7, 16, 33, 64, 256, 5000}) {
        std::vector<Sequence> borders;
        for (int64_t kv_len : {1, page_size - 1, page_size, page_size + 1, 2 * page_size, 2 * page_size + 1}) {
            if (kv_len > 0 && kv_len <= 5001)
                borders.push_back({random.integer(1, std::min<int64_t>(3, kv_len)), kv_len});
        }
        for (bool hnd : {false, true}) {
            check({.sequences = borders,
                   .shape = {4, 2, 16, 24},
                   .page_size = page_size,
                   .hnd = hnd,
                   .gap = random.integer(0, 3)});
            if (page_size > 256) break;
        }
    }
}

TEST_P(Attention, EveryMixOfFormats) {
    for (adze_dtype q : kit::kFloats) {
        for (adze_dtype kv : kit::kFloats) {
            for (adze_dtype o : kit::kFloats) {
                check({.sequences = mixed(70),
                       .shape = {4, 2, 40, 32, random.coin()},
                       .page_size = 8,
                       .q_dtype = q,
                       .kv_dtype = kv,
                       .o_dtype = o,
                       .hnd = random.coin(),
                       .lse = random.coin(),
                       .gap = random.integer(0, 5)});
            }
        }
    }
}

TEST_P(Attention, EveryMask) {
    for (bool causal : {true, false}) {
        for (int window : {0, 1, 2, 3, 15, 16, 17, 64, 1000}) {
            check({.sequences = {{1, 33}, {20, 20}, {9, 50}, {3, 1}, {6, 4}, {1, 100}, {70, 130}},
                   .shape = {2, 1, 16, 16, causal, window},
                   .page_size = 16});
        }
    }
}

// ---- options: every backend has them, and fitted() is to drop none ----

#define ADZE_ASSERT_SUPPORTED(...) ASSERT_TRUE(kit::supports(context, __VA_ARGS__)) << adze_last_error()

const oracle::AttentionShape kPlain{2, 1, 64, 64};

TEST_P(Attention, SoftCap) {
    auto shape = kPlain;
    for (double cap : {0.5, 5.0, 50.0, 3e4}) {
        shape.soft_cap = cap;
        ADZE_ASSERT_SUPPORTED({.shape = shape, .kv_dtype = ADZE_DTYPE_BF16});
        check({.sequences = mixed(150), .shape = shape}, kit::normal(random, 2));
        check({.sequences = {{1, 3000}, {20, 60}}, .shape = shape, .kv_dtype = ADZE_DTYPE_BF16},
              kit::normal(random, 2));
    }
}

TEST_P(Attention, SinkTokensBeforeAWindow) {
    auto shape = kPlain;
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
TEST_P(Attention, SinkTokensSkipWhatIsBetween) {
    auto shape = kPlain;
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

TEST_P(Attention, AlibiSlopes) {
    ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .alibi = true});
    for (int kv_heads : {1, 3}) {
        for (bool causal : {true, false}) {
            check({.sequences = mixed(150), .shape = {5 * kv_heads, kv_heads, 64, 64, causal}, .alibi = true});
        }
    }
    check({.sequences = {{1, 20000}, {140, 150}}, .shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .alibi = true});
}

TEST_P(Attention, SinksOfHeads) {
    ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .sinks = true});
    for (int ratio : {1, 5, 8}) {
        check({.sequences = mixed(150), .shape = {ratio * 2, 2, 64, 64}, .sinks = true});
        check({.sequences = {{1, 9000}, {140, 150}, {3, 2}},
               .shape = {ratio, 1, 64, 64},
               .kv_dtype = ADZE_DTYPE_BF16,
               .sinks = true});
    }
}

// A sink may be the largest logit by far, as small as nothing, or all that a query sees.
TEST_P(Attention, SinksOfEveryMagnitude) {
    ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .sinks = true});
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

TEST_P(Attention, CustomMasks) {
    for (kit::Masks masks : {kit::Masks::kRandom, kit::Masks::kTree, kit::Masks::kZero, kit::Masks::kMixed}) {
        auto shape = kPlain;
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
TEST_P(Attention, MasksHideNan) {
    ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .masks = kit::Masks::kRandom});
    AttentionCall call(context, stream, {.sequences = {{4, 700}}, .shape = kPlain, .masks = kit::Masks::kRandom},
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

TEST_P(Attention, AMaskOfOnesChangesNoBit) {
    ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = ADZE_DTYPE_BF16, .masks = kit::Masks::kRandom});
    AttentionCall call(context, stream,
                       {.sequences = {{1, 2500}, {40, 90}, {3, 2}}, .shape = kPlain, .masks = kit::Masks::kRandom},
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

TEST_P(Attention, UnifiedSoftmaxWhateverPhiIs) {
    for (double off : {0.0, 5.0, -5.0, 100.0, -100.0}) {
        SCOPED_TRACE(off);
        AttentionCall call(context, stream,
                           {.sequences = {{1, 3000}, {5, 40}, {0, 9}, {70, 300}, {3, 2}},
                            .shape = {4, 2, 64, 64, true, random.coin() ? 0 : 130},
                            .kv_dtype = random.coin() ? ADZE_DTYPE_F16 : ADZE_DTYPE_BF16,
                            .softmax = ADZE_SOFTMAX_UNIFIED},
                           random, kit::normal(random, 2));
        call.calibrate(off);
        for (float bound : {0.0f, 0.5f, 4.0f}) {  // as wide as can be; left by most rows; by some
            call.phi_below = bound, call.phi_above = random.coin() ? bound : 0;
            call.run(stream);
            call.expect_close();
        }
    }
}

// Weights far below 1 times such values leave f32's range from below, where the stable softmax's do not.
TEST_P(Attention, UnifiedSoftmaxOfTinyValues) {
    for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I4}) {
        for (int exponent : {-40, -60, -80, -100}) {
            AttentionCase c{.sequences = {{1, 700}, {20, 90}},
                            .shape = {4, 2, 64, 64},
                            .kv_dtype = dtype,
                            .softmax = ADZE_SOFTMAX_UNIFIED};
            if (dtype != ADZE_DTYPE_BF16) c.scales = random.coin() ? kit::Scales::kHead : kit::Scales::kAll;
            AttentionCall call(context, stream, c, random, kit::normal(random));
            kit::Tensor& tiny = call.v.scales.rows() == 0 ? call.v.elements : call.v.scales;
            for (int64_t i = 0; i < tiny.columns(); ++i) tiny.set(0, i, std::ldexp(tiny.at(0, i), exponent));
            tiny.freeze();
            for (double off : {20.0, 36.0, 42.0}) {
                SCOPED_TRACE(kit::name_of(dtype) + std::string(", 2^") + std::to_string(exponent) + ", phi off by " +
                             std::to_string(off));
                call.calibrate(off);
                call.run(stream);
                call.expect_close();
            }
        }
    }
}

TEST_P(Attention, OptionsTogether) {
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

TEST_P(Attention, ExactWhenOneKeyIsVisible) {
    // A window of one token makes o the token's own value, to the bit, wherever it lies.
    for (adze_dtype dtype : kit::kFloats) {
        AttentionCall call(context, stream,
                           {.sequences = {{9, 9}, {5, 40}, {1, 17}},
                            .shape = {6, 3, 32, 40, true, 1},
                            .page_size = 4,
                            .q_dtype = dtype,
                            .kv_dtype = dtype,
                            .o_dtype = dtype},
                           random, kit::normal(random));
        call.run(stream);
        for (int s = 0; s < 3; ++s) {
            for (int64_t i = 0; i < call.paging.qo_len(s); ++i) {
                const auto [page, slot] = call.paging.find(s, call.paging.kv_len(s) - call.paging.qo_len(s) + i);
                const int dim = call.c.shape.dim_v;
                for (int c = 0; c < 6 * dim; ++c) {
                    ASSERT_EQ(call.o.at(call.paging.qo_indptr[s] + i, c), call.v.at(page, slot, c / dim / 2, c % dim));
                }
            }
        }
    }
}

TEST_P(Attention, LongSequences) {
    for (int64_t kv_len : {1000, 4097, 20011}) {
        check({.sequences = {{1, kv_len}, {2, 3}, {1, kv_len / 3}},
               .shape = {2, 1, 64, 64},
               .page_size = 16,
               .kv_dtype = ADZE_DTYPE_BF16});
    }
    check({.sequences = {{1, 20000}}, .shape = {8, 1, 16, 16}, .page_size = 1});
    check({.sequences = {{3, 9000}}, .shape = {1, 1, 32, 32, true, 4500}, .page_size = 256});
    check({.sequences = {{150, 2500}}, .shape = {2, 1, 16, 16}, .page_size = 64, .q_dtype = ADZE_DTYPE_BF16});
}

TEST_P(Attention, ManyShortSequences) {
    std::vector<Sequence> sequences;
    for (int i = 0; i < 150; ++i) sequences.push_back({random.integer(0, 2), random.integer(0, 30)});
    check({.sequences = sequences, .shape = {4, 4, 24, 24}, .page_size = 3});
}

TEST_P(Attention, QueriesBeyondTheCacheSeeNothing) {
    // qo_len > kv_len: the first queries have negative positions. Causal, they see no key: o = 0, lse = -inf.
    for (adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
        AttentionCall call(context, stream,
                           {.sequences = {{5, 2}, {2, 0}, {1, 1}}, .shape = {2, 1, 16, 16}, .softmax = softmax}, random,
                           kit::normal(random));
        call.run(stream);
        call.expect_close();
        for (int64_t row : {0, 1, 2, 5, 6}) {
            for (int h = 0; h < 2; ++h) EXPECT_EQ(call.lse.at(row, h), -HUGE_VAL) << row;
            for (int64_t c = 0; c < call.o.columns(); ++c) EXPECT_EQ(call.o.at(row, c), 0) << row;
        }
    }
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, false}});
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, false, 2}});
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, true, 2}});
}

TEST_P(Attention, ScalesOfTheCache) {
    for (kit::Scales scales :
         {kit::Scales::kTensor, kit::Scales::kHead, kit::Scales::kToken, kit::Scales::kPage, kit::Scales::kAll}) {
        for (adze_dtype dtype : kit::kFloats) {
            check({.sequences = mixed(50),
                   .shape = {6, 3, 32, 24},
                   .page_size = 5,
                   .kv_dtype = dtype,
                   .hnd = random.coin(),
                   .scales = scales});
        }
    }
}

TEST_P(Attention, QuantisedCaches) {
    for (adze_dtype dtype : kit::kQuantised) {
        ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = dtype});
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
TEST_P(Attention, QuantisedCachesOfLongSequences) {
    for (adze_dtype dtype : kit::kQuantised) {
        ADZE_ASSERT_SUPPORTED({.shape = kPlain, .kv_dtype = dtype});
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
TEST_P(Attention, QuantisedCachesOfAnyStride) {
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
TEST_P(Attention, NanOfAScaleIsItsTokens) {
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

TEST_P(Attention, SoftmaxScaleIsTheCallers) {
    for (double scale : {0.0, 1.0, 0.25, 0.01, 3.0, -0.5}) {
        check({.sequences = mixed(40), .shape = {2, 2, 16, 16, true, 0, scale}});
    }
}

TEST_P(Attention, SharedPages) {
    // Three sequences on the same prefix of pages, as a prefix cache makes them; one page may even repeat.
    AttentionCall call(context, stream,
                       {.sequences = {{1, 20}, {2, 24}, {1, 17}}, .shape = {4, 2, 16, 16}, .page_size = 4}, random,
                       kit::normal(random));
    auto& ids = call.paging.kv_indices;
    for (int s : {1, 2}) std::copy_n(ids.begin(), 4, ids.begin() + call.paging.kv_indptr[s]);
    ids[1] = ids[0];
    call.upload_indices();
    call.run(stream);
    call.expect_close();
}

TEST_P(Attention, AdversarialLogits) {
    const auto shape = oracle::AttentionShape{2, 1, 8, 8, true, 0, 1.0};
    const std::vector<Sequence> sequences{{3, 40}, {1, 700}, {1, 3}};
    // With k = e_0 * x the logits are q_0 * x: exact products, so that only softmax itself is on trial.
    const auto with_logits = [&](const std::function<double(int64_t)>& logit, adze_softmax softmax, double off) {
        AttentionCall call(context, stream, {.sequences = sequences, .shape = shape, .softmax = softmax}, random,
                           kit::normal(random));
        for (int64_t r = 0; r < call.paging.tokens(); ++r) {
            for (int i = 0; i < call.q.columns(); ++i) call.q.set(r, i, i % call.c.shape.dim_qk == 0 ? 1 : 0);
        }
        for (int s = 0; s < 3; ++s) {
            for (int64_t t = 0; t < call.paging.kv_len(s); ++t) {
                const auto [page, slot] = call.paging.find(s, t);
                const double value = logit(t);
                for (int e = 0; e < call.c.shape.dim_qk; ++e) {
                    call.k.elements.set(0, call.k.offset(page, slot, 0, e), e ? 0 : value);
                    // A weight of exactly 0 leaves nothing of the largest value.
                    if (value == -HUGE_VAL) call.v.elements.set(0, call.v.offset(page, slot, 0, e), 1e30);
                }
            }
        }
        call.q.freeze(), call.k.elements.freeze(), call.v.elements.freeze();
        if (softmax == ADZE_SOFTMAX_UNIFIED) call.calibrate(off);
        call.run(stream);
        call.expect_close();
    };
    const std::vector<std::pair<const char*, std::function<double(int64_t)>>> kinds{
        {"plus or minus 1e4", [&](int64_t) { return random.coin() ? 1e4 : -1e4; }},
        {"around 1e4", [&](int64_t) { return 1e4 + double(random.integer(-8, 8)); }},
        {"around -1e4", [&](int64_t) { return -1e4 + double(random.integer(-8, 8)); }},
        {"all equal", [](int64_t) { return 7.25; }},
        {"all equal and very low", [](int64_t) { return -5e4; }},
        {"all zero", [](int64_t) { return 0.0; }},
        {"ties", [&](int64_t) { return double(random.integer(0, 1)) * 30; }},
        {"one huge", [](int64_t t) { return t % 37 == 2 ? 3e38 : 0.0; }},
        {"alternating tails", [&](int64_t t) { return (t / 64 % 2 ? 60 : -60) + random.normal(); }},
        {"alternating tails, far",
         [&](int64_t t) { return (t / 128 % 2 ? 9000 : -9000) + double(random.integer(-9, 9)); }},
        {"rising", [](int64_t t) { return double(t) * 2.5; }},
        {"falling", [](int64_t t) { return double(-t) * 2.5; }},
        // 3.4e38 would be Inf in a cache of bf16.
        {"largest and lowest", [&](int64_t) { return (random.coin() ? 1 : -1) * (on_cpu() ? 3.4e38 : 3.38e38); }},
        {"subnormal", [&](int64_t) { return double(random.integer(-9, 9)) * 0x1p-149; }},
        {"some masked by -inf", [&](int64_t t) { return t > 0 && random.coin() ? -HUGE_VAL : random.normal(); }},
        {"all -inf", [](int64_t) { return -HUGE_VAL; }},
        {"all -inf but in one split", [](int64_t t) { return t == 650 || t == 39 || t == 2 ? 0.5 : -HUGE_VAL; }},
        {"just in exp's reach", [&](int64_t) { return -80 - 10 * random.uniform() + (random.coin() ? 85 : 0); }}};
    for (const auto& [name, logit] : kinds) {
        SCOPED_TRACE(name);
        with_logits(logit, ADZE_SOFTMAX_STABLE, 0);
        for (double off : {0.0, 100.0, -100.0}) {
            SCOPED_TRACE(off);
            with_logits(logit, ADZE_SOFTMAX_UNIFIED, off);
        }
    }
}

TEST_P(Attention, LargeAndTinyInputs) {
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 30));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 1e-3));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 1e-39));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}, .kv_dtype = ADZE_DTYPE_F16}, kit::normal(random, 1e-6));
}

TEST_P(Attention, NanOfOneSequenceStaysThere) {
    AttentionCall call(context, stream, {.sequences = {{2, 30}, {3, 40}, {1, 9}}, .shape = {4, 2, 16, 16}}, random,
                       kit::normal(random));
    const auto [page, slot] = call.paging.find(1, 5);
    call.k.elements.set(0, call.k.offset(page, slot, 1, 3), NAN);
    call.k.elements.freeze();
    call.run(stream);
    for (int64_t row = 0; row < 6; ++row) {
        for (int h = 0; h < 4; ++h) {
            const bool bad = row >= 2 && row < 5 && h >= 2;
            EXPECT_EQ(std::isnan(call.o.at(row, h * call.c.shape.dim_v)), bad) << row << ' ' << h;
            EXPECT_EQ(std::isnan(call.lse.at(row, h)), bad) << row << ' ' << h;
        }
    }
}

// A GPU takes 64 keys at a time (32 of the largest heads): rows that see none of a tile get nothing of its values.
TEST_P(Attention, NanOfAValueStaysInRowsThatSeeItsTile) {
    for (int dim : {64, 256}) {
        AttentionCall call(context, stream, {.sequences = {{72, 80}}, .shape = {1, 1, dim, dim}}, random,
                           kit::normal(random));
        const auto [page, slot] = call.paging.find(0, 70);
        call.v.elements.set(0, call.v.offset(page, slot, 0, 3), NAN);
        call.v.elements.freeze();
        call.run(stream);
        for (int64_t row = 0; row < 72; ++row) {
            const int64_t position = row + 8;
            if (position < 64 || position >= 70) {
                EXPECT_EQ(std::isnan(call.o.at(row, 3)), position >= 70) << row;
            }
            EXPECT_FALSE(std::isnan(call.o.at(row, 4))) << row;
        }
    }
}

TEST_P(Attention, CapacitiesMayBeExactlyFullOrLoose) {
    check({.sequences = {{1, 16}, {3, 16}}, .shape = {2, 1, 16, 16}, .page_size = 16});
    check({.sequences = mixed(50),
           .shape = {2, 1, 16, 16},
           .extra_rows = 0,
           .spare_sequences = 40,
           .spare_tokens = 1000,
           .spare_pages = 5000});
    check({.sequences = {}, .shape = {2, 1, 16, 16}, .spare_sequences = 3});
    check({.sequences = {{0, 0}}, .shape = {2, 1, 16, 16}, .extra_rows = 0});
}

TEST_P(Attention, PlanFollowsItsUpdates) {
    AttentionCall call(context, stream,
                       {.sequences = {{4, 40}, {1, 90}, {1, 3}}, .shape = {4, 2, 16, 16}, .spare_pages = 3}, random,
                       kit::normal(random));
    for (int step = 0; step < 20; ++step) {
        std::vector<Sequence> sequences;
        for (int i = int(random.integer(0, 3)); i > 0; --i) {
            const int64_t kv_len = random.integer(0, 48);
            sequences.push_back({random.integer(0, 2), kv_len});
        }
        auto all = call.paging.kv_indices;
        std::sort(all.begin(), all.end());
        // Any page will do: those without tokens hold NaN, so keep to the ones that the first batch filled fully.
        oracle::Paging next = kit::make_paging(sequences, 16, int64_t(all.size()), random);
        const auto first = call.paging;
        std::vector<int32_t> full{first.kv_indices[0], first.kv_indices[1], first.kv_indices[3], first.kv_indices[4]};
        for (int32_t& id : next.kv_indices) id = random.pick(full);
        std::swap(call.paging, next);
        const auto indices = call.indices;
        call.upload_indices();
        call.update(stream);
        call.run(stream);
        call.expect_close();
        std::swap(call.paging, next);
        call.indices = indices;
    }
}

TEST_P(Attention, ASequenceIsTheSameAloneAndAmongOthers) {
    adze_context_desc fixed = kit::describe(GetParam());
    fixed.flags = ADZE_CONTEXT_DETERMINISTIC;
    const kit::Context context =
        kit::make<kit::Context>([&](adze_context** out) { return adze_context_create(&fixed, out); });
    const kit::Stream stream = kit::make_stream(context);
    for (auto [window, dtype] :
         {std::pair{0, ADZE_DTYPE_BF16}, {700, ADZE_DTYPE_BF16}, {0, random.pick(kit::kQuantised)}}) {
        const std::vector<Sequence> sequences{{1, 3000}, {3, 77}, {1, 1}, {40, 90}, {2, 1000}, {1, 513}, {1, 9000}};
        AttentionCase c{.sequences = sequences, .shape = {4, 2, 32, 32, true, window}, .kv_dtype = dtype};
        if (dtype != ADZE_DTYPE_BF16) c.scales = kit::Scales::kAll;
        if (window > 0) {  // and with every option that there is
            c.shape.sink_tokens = 200, c.shape.soft_cap = 30;
            c.masks = kit::Masks::kMixed, c.alibi = c.sinks = true;
        }
        AttentionCall all(context, stream, c, random, kit::normal(random));
        all.run(stream);
        for (size_t s = 0; s < sequences.size(); ++s) {
            // Alone, in a plan of its own with other capacities, and with its queries split in two where there are two.
            for (int64_t skip : {int64_t{0}, sequences[s].qo_len / 2}) {
                AttentionCase single = all.c;
                single.sequences = {{sequences[s].qo_len - skip, sequences[s].kv_len}};
                single.spare_pages = random.integer(0, 300);
                AttentionCall alone(context, stream, single, random, kit::normal(random));
                adze_attention_desc desc = all.desc();
                const int64_t first = all.paging.qo_indptr[s] + skip;
                desc.plan = alone.plan;
                desc.q.data = all.q.data() + size_t(first * all.q.stride()) * 4;
                desc.q.rows = single.sequences[0].qo_len;
                desc.o = alone.o.poison().view();
                desc.lse = alone.lse.poison().view();
                alone.paging.kv_indices.assign(all.paging.kv_indices.begin() + all.paging.kv_indptr[s],
                                               all.paging.kv_indices.begin() + all.paging.kv_indptr[s + 1]);
                alone.upload_indices();
                desc.kv_indices = alone.indices.view();
                if (all.c.masks != kit::Masks::kNone) {
                    const int64_t words = (all.paging.kv_len(int(s)) + 31) / 32, begin = all.paging.mask_indptr[s];
                    const bool masked = all.paging.mask_indptr[s + 1] > begin;
                    alone.paging.mask_indptr = {0, masked ? single.sequences[0].qo_len * words : 0};
                    const auto row = all.paging.mask.begin() + begin + (masked ? skip * words : 0);
                    alone.paging.mask.assign(row, row + alone.paging.mask_indptr[1]);
                    alone.upload_mask(), alone.update(stream);
                    desc.mask = alone.mask.view();
                }
                desc.workspace = alone.workspace.data(), desc.workspace_bytes = alone.workspace.bytes();
                ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
                for (int64_t i = 0; i < single.sequences[0].qo_len; ++i) {
                    ASSERT_EQ(alone.o.row_bytes(i), all.o.row_bytes(first + i)) << "sequence " << s << " query " << i;
                    ASSERT_EQ(alone.lse.row_bytes(i), all.lse.row_bytes(first + i)) << s << ' ' << i;
                }
            }
        }
    }
}

class AttentionMerge : public Attention {};
ADZE_ON_EACH_MACHINE(AttentionMerge);

TEST_P(AttentionMerge, OfEveryShapeAndFormat) {
    for (adze_dtype from : kit::kFloats) {
        for (adze_dtype to : kit::kFloats) {
            for (auto [parts, tokens, heads, dim] : {std::array{1, 3, 2, 64},
                                                     {2, 1, 1, 8},
                                                     {3, 5, 7, 80},
                                                     {9, 2, 4, 128},
                                                     {100, 1, 3, 24},
                                                     {2, 40, 2, 256},
                                                     {2, 1, 1, 1024},
                                                     {4, 0, 2, 16}}) {
                kit::MergeCall merge(parts, tokens, heads, dim, from, to, random.coin(), random.integer(0, 3));
                merge.parts.fill(kit::normal(random)), merge.parts_lse.fill(kit::normal(random, 3));
                merge.run(stream);
                merge.expect_close();
            }
        }
    }
}

TEST_P(AttentionMerge, OfPartsThatSawNothingOrAlmostAll) {
    constexpr int kParts = 4, kTokens = 12, kHeads = 3, kDim = 64;
    kit::MergeCall merge(kParts, kTokens, kHeads, kDim, ADZE_DTYPE_F32, ADZE_DTYPE_F32, true, 1);
    for (int64_t row = 0; row < kParts * kTokens; ++row) {
        for (int h = 0; h < kHeads; ++h) {
            const int64_t token = row % kTokens;
            const bool blind = token == 0 || random.integer(0, 2) == 0;  // token 0 saw no key in any part
            const double far = token % 3 == 1 ? 1e4 : token % 3 == 2 ? -3e38 : 0;
            merge.parts_lse.set(row, h, blind ? -HUGE_VAL : far * double(random.integer(0, 1)) + random.normal());
            for (int e = 0; e < kDim; ++e) merge.parts.set(row, h * kDim + e, blind ? std::nan("") : random.normal());
        }
    }
    merge.run(stream);
    merge.expect_close();
    for (int h = 0; h < kHeads; ++h) EXPECT_EQ(merge.lse.at(0, h), -HUGE_VAL);
    for (int i = 0; i < kHeads * kDim; ++i) EXPECT_EQ(merge.o.at(0, i), 0);
}

// A sequence's pages dealt to sequences of their own, in any order, some without a page: merged, they are the sequence.
TEST_P(AttentionMerge, OfASequencesPagesIsTheSequence) {
    for (int round = 0; round < 6; ++round) {
        const int64_t qo_len = random.pick<int64_t>({1, 1, 5, 20}), page = random.pick<int64_t>({1, 16, 33});
        const int parts = int(random.integer(1, 6));
        AttentionCase c{
            .shape = {6, 2, 64, 80, false}, .page_size = int(page), .kv_dtype = ADZE_DTYPE_BF16, .extra_rows = 0};
        for (int i = 0; i < parts; ++i) c.sequences.push_back({qo_len, random.integer(0, 30) * page});
        c.sequences.push_back({qo_len, random.integer(1, 3 * page)});  // ends within a page
        AttentionCall call(context, stream, c, random, kit::normal(random));
        for (int64_t r = qo_len; r < call.paging.tokens(); ++r) {
            for (int64_t i = 0; i < call.q.columns(); ++i) call.q.set(r, i, call.q.at(r % qo_len, i));
        }
        call.q.freeze();
        call.run(stream);
        const int dim = call.c.shape.dim_v;
        kit::MergeCall merge(parts + 1, qo_len, 6, dim, ADZE_DTYPE_F32, ADZE_DTYPE_F32, true, 0);
        std::vector<int> order(size_t(parts) + 1);
        std::iota(order.begin(), order.end(), 0);
        random.shuffle(order);
        for (int64_t row = 0; row < (parts + 1) * qo_len; ++row) {
            const int64_t from = order[size_t(row / qo_len)] * qo_len + row % qo_len;
            for (int64_t i = 0; i < merge.parts.columns(); ++i) merge.parts.set(row, i, call.o.at(from, i));
            for (int h = 0; h < 6; ++h) merge.parts_lse.set(row, h, call.lse.at(from, h));
        }
        merge.run(stream);
        oracle::Paging whole = call.paging;
        whole.qo_indptr = {0, int32_t(qo_len)}, whole.kv_indptr = {0, whole.kv_indptr.back()};
        whole.kv_last_page_len = {whole.kv_last_page_len.back()};
        std::vector<double> q = call.q.values();
        q.resize(size_t(qo_len * call.q.columns()));
        auto exact = oracle::attention<double>(whole, call.c.shape, q, call.k.reader(), call.v.reader());
        auto plain = oracle::attention<float>(whole, call.c.shape, q, call.k.reader(), call.v.reader());
        // The parts may err as much as the whole; their log-sum-exps, below 16, and the merge by some roundings more.
        const double more = 2 + double(2 * 16 + parts + 32) / 32;
        for (double& error : exact.o_error) error *= more;
        for (double& error : exact.lse_error) error *= more;
        EXPECT_TRUE(kit::close(merge.o, {exact.o, plain.o, exact.o_error}));
        EXPECT_TRUE(kit::close(merge.lse, {exact.lse, plain.lse, exact.lse_error}));
    }
}

TEST_P(Attention, OffsetsBeyondTwoToThe31) {
    // Few pages, far apart: the last one begins beyond 2^31 elements and 2^33 bytes.
    AttentionCase c{.sequences = {{2, 11}, {1, 8}}, .shape = {2, 1, 16, 16}, .page_size = 4};
    AttentionCall call(context, stream, c, random, kit::normal(random));
    constexpr int64_t stride = (int64_t{1} << 29) + 8;
    const int64_t pages = call.k.num_pages;
    ASSERT_GT((pages - 1) * stride, int64_t{1} << 31);
    const size_t size = kit::size_of(call.c.kv_dtype);
    const kit::Sparse k(size_t(pages * stride) * size), v(size_t(pages * stride) * size);
    adze_attention_desc desc = call.desc();
    const auto spread = [&](const kit::Cache& cache, int dim, std::byte* to) {
        for (int64_t p = 0; p < pages; ++p) {
            std::memcpy(to + size_t(p * stride) * size, cache.elements.data() + size_t(cache.offset(p, 0, 0, 0)) * size,
                        size_t(4 * dim) * size);  // a page of one head
        }
    };
    spread(call.k, call.c.shape.dim_qk, k.data());
    spread(call.v, call.c.shape.dim_v, v.data());
    const auto adopt = [&](const kit::Sparse& memory) {
        return kit::make<kit::Buffer>([&](adze_buffer** out) {
            return adze_buffer_adopt(context, memory.data(), uint64_t(pages * stride) * size, out);
        });
    };
    const kit::Buffer k_buffer = adopt(k), v_buffer = adopt(v);
    desc.k.data = adze_buffer_data(k_buffer), desc.k.page_stride = stride;
    desc.v.data = adze_buffer_data(v_buffer), desc.v.page_stride = stride;
    call.o.poison(), call.lse.poison();
    ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
    call.expect_close();
}

TEST_P(Attention, DISABLED_FullSweep) {
    for (int round = 0; round < 600; ++round) {
        const int kv_heads = int(random.integer(1, 4));
        oracle::AttentionShape shape{kv_heads * int(random.integer(1, 8)), kv_heads, int(random.integer(1, 20)) * 8,
                                     int(random.integer(1, 20)) * 8, random.coin()};
        if (random.coin()) shape.window = int(random.integer(1, 300)), shape.sink_tokens = int(random.integer(0, 200));
        if (random.coin()) shape.soft_cap = std::exp2(random.uniform() * 8);
        check({.sequences = mixed(random.integer(9, 600)),
               .shape = shape,
               .page_size = int(random.integer(1, random.coin() ? 256 : 5000)),
               .q_dtype = random.pick(kit::kFloats),
               .kv_dtype = random.pick(kit::kFloats),
               .o_dtype = random.pick(kit::kFloats),
               .hnd = random.coin(),
               .lse = random.coin(),
               .scales = kit::Scales(random.integer(0, 5)),
               .gap = random.integer(0, 9),
               .masks = random.coin() ? kit::Masks(random.integer(0, 4)) : kit::Masks::kNone,
               .alibi = random.coin(),
               .sinks = random.coin(),
               .softmax = adze_softmax(random.integer(0, 2))});
    }
}

}  // namespace
