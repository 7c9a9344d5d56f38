// attention's two softmaxes: adversarial logits, and what is no number.
#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class AttentionSoftmax : public kit::OnAttention {};
ADZE_ON_EACH_MACHINE(AttentionSoftmax);

TEST_P(AttentionSoftmax, UnifiedSoftmaxWhateverPhiIs) {
    for (double off : {0.0, 5.0, -5.0, 100.0, -100.0}) {
        SCOPED_TRACE(off);
        AttentionCall call(context, stream,
                           {.sequences = {{1, 3000}, {5, 40}, {0, 9}, {70, 300}, {3, 2}},
                            .shape = {4, 2, 64, 64, true, random.coin() ? 0 : 130},
                            .kv_dtype = random.coin() ? ADZE_DTYPE_F16 : ADZE_DTYPE_BF16,
                            .softmax = ADZE_SOFTMAX_UNIFIED},
                           random, kit::normal(random, 2));
        call.calibrate(off);
        // As wide as can be, in two ways; left by most rows; by some.
        for (float bound : {0.0f, 1e30f, 0.5f, 4.0f}) {
            call.phi_below = bound, call.phi_above = random.coin() ? bound : 0;
            call.run(stream);
            call.expect_close();
        }
    }
}

// Weights far below 1 times such values leave f32's range from below, where the stable softmax's do not.
TEST_P(AttentionSoftmax, UnifiedSoftmaxOfTinyValues) {
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

// Keys at phi that a row does not see, by a mask, a window or causality, in tiles with others that it does see, 200 below
// phi: by phi these would weigh nothing.
TEST_P(AttentionSoftmax, HiddenKeysAreNothingToPhi) {
    enum { kByMask, kByWindow, kByCausality };
    for (const int hidden : {kByMask, kByWindow, kByCausality}) {
        SCOPED_TRACE(hidden);
        AttentionCall call(context, stream,
                           {.sequences = {{20, 120}, {4, 120}, {140, 150}, {3, 3000}},
                            .shape = {2, 1, 64, 64, true, hidden == kByWindow ? 16 : 0, 1.0},
                            .kv_dtype = ADZE_DTYPE_BF16,
                            .masks = hidden == kByMask ? kit::Masks::kRandom : kit::Masks::kNone,
                            .softmax = ADZE_SOFTMAX_UNIFIED},
                           random, kit::normal(random));
        for (int64_t r = 0; r < call.paging.tokens(); ++r) {
            for (int i = 0; i < call.q.columns(); ++i) call.q.set(r, i, i % 64 == 0 ? 1 : 0);
        }
        for (int s = 0; s < call.paging.sequences(); ++s) {
            const int64_t kv_len = call.paging.kv_len(s);
            for (int64_t t = 0; t < kv_len; ++t) {
                const bool high = hidden == kByMask     ? t % 3 == 0
                                  : hidden == kByWindow ? t < kv_len - 18
                                                        : t >= kv_len - 2;
                const auto [page, slot] = call.paging.find(s, t);
                for (int e = 0; e < 64; ++e) {
                    const double logit = high ? 100 : -100 - double(t % 5);
                    call.k.elements.set(0, call.k.offset(page, slot, 0, e), e == 0 ? logit : 0);
                }
                for (int64_t i = 0; hidden == kByMask && i < call.paging.qo_len(s); ++i) {
                    uint32_t& word =
                        call.paging
                            .mask[size_t(call.paging.mask_indptr[size_t(s)] + i * ((kv_len + 31) / 32) + t / 32)];
                    word = (word & ~(1u << t % 32)) | uint32_t{!high} << t % 32;
                }
            }
        }
        call.q.freeze(), call.k.elements.freeze();
        call.upload_mask();
        for (int h = 0; h < 2; ++h) call.phi.set(0, h, 100);
        call.phi.freeze();
        call.run(stream);
        call.expect_close();
    }
}

TEST_P(AttentionSoftmax, AdversarialLogits) {
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

TEST_P(AttentionSoftmax, LargeAndTinyInputs) {
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 30));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 1e-3));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}}, kit::normal(random, 1e-39));
    check({.sequences = mixed(60), .shape = {4, 2, 64, 64}, .kv_dtype = ADZE_DTYPE_F16}, kit::normal(random, 1e-6));
}

TEST_P(AttentionSoftmax, NanOfOneSequenceStaysThere) {
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

// It is among the values of a query's key, though all of a split weigh nothing: in decode, drafts and prefill.
TEST_P(AttentionSoftmax, NanOfAWeightlessKeyIsNotLost) {
    for (adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
        for (int tokens : {1, 4, 40, 140}) {
            SCOPED_TRACE(tokens);
            AttentionCase c{.sequences = {{tokens, 7000}}, .shape = {1, 1, 64, 64}};
            c.q_dtype = c.kv_dtype = c.o_dtype = ADZE_DTYPE_BF16;
            c.softmax = softmax;
            AttentionCall call(context, stream, c, random, kit::normal(random));
            if (softmax == ADZE_SOFTMAX_UNIFIED) call.calibrate(0);
            for (int64_t row = 0; row < tokens; ++row) call.q.set(row, 0, 1);
            for (int64_t t = 2048; t < 4096; ++t) {
                const auto [page, slot] = call.paging.find(0, t);
                call.k.elements.set(0, call.k.offset(page, slot, 0, 0), -HUGE_VAL);
                if (t == 3000) call.v.elements.set(0, call.v.offset(page, slot, 0, 3), NAN);
            }
            call.q.freeze(), call.k.elements.freeze(), call.v.elements.freeze();
            call.run(stream);
            for (int64_t row = 0; row < tokens; ++row) {
                for (int e = 0; e < 64; ++e) EXPECT_EQ(std::isnan(call.o.at(row, e)), e == 3) << row << ' ' << e;
                EXPECT_TRUE(std::isfinite(call.lse.at(row, 0))) << row;
            }
        }
    }
}

// A GPU takes 64 keys at a time (32 of the largest heads): rows that see none of a tile get nothing of its values.
TEST_P(AttentionSoftmax, NanOfAValueStaysInRowsThatSeeItsTile) {
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

}  // namespace
