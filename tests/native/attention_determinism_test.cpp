// attention in deterministic contexts: the same bits whatever else is in the batch; on cpu, whatever is in the call.
#include <tuple>

#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class AttentionDeterminism : public kit::OnAttention {
protected:
    AttentionDeterminism() {
        adze_context_desc desc = kit::describe(GetParam());
        desc.flags = on_cpu() ? 0 : ADZE_CONTEXT_DETERMINISTIC;  // cpu needs no asking
        fixed = kit::make<kit::Context>([&](adze_context** out) { return adze_context_create(&desc, out); });
        fixed_stream = kit::make_stream(fixed);
    }

    AttentionCall make(const AttentionCase& c) {
        return AttentionCall(fixed, fixed_stream, c, random, kit::normal(random));
    }

    /// Queries [first, first + count) of a sequence of `all`, in a batch and a plan of their own with other capacities, must
    /// be what they were. Those after them are not there yet: the last query is the sequence's last key.
    void expect_same_alone(const AttentionCall& all, int s, int64_t first, int64_t count) {
        SCOPED_TRACE(testing::Message() << "sequence " << s << ", queries " << first << " to " << first + count);
        const int64_t row = all.paging.qo_indptr[size_t(s)] + first;
        const int64_t words = (all.paging.kv_len(s) + 31) / 32;
        const bool masked = !all.paging.mask_indptr.empty() &&
                            all.paging.mask_indptr[size_t(s) + 1] > all.paging.mask_indptr[size_t(s)];
        AttentionCase c = all.c;
        c.sequences = {{count, all.paging.kv_len(s) - (all.paging.qo_len(s) - first - count)}};
        c.spare_pages = random.integer(0, 300), c.spare_tokens = random.integer(0, 300);
        c.masks = kit::Masks::kNone;
        c.spare_mask_words = all.c.masks == kit::Masks::kNone ? 0 : count * words + random.integer(1, 9);
        AttentionCall alone = make(c);
        const auto pages = all.paging.kv_indices.begin() + all.paging.kv_indptr[size_t(s)];
        std::copy_n(pages, alone.paging.kv_indices.size(), alone.paging.kv_indices.begin());
        alone.upload_indices();
        if (masked) {
            const auto from = all.paging.mask.begin() + all.paging.mask_indptr[size_t(s)] + first * words;
            alone.paging.mask_indptr = {0, count * words};
            alone.paging.mask.assign(from, from + count * words);
            alone.upload_mask(), alone.update(fixed_stream);
        }
        adze_attention_desc desc = all.desc();
        desc.plan = alone.plan;
        desc.q.data = all.q.data() + size_t(row * all.q.stride()) * kit::size_of(all.c.q_dtype);
        desc.q.rows = count;
        desc.o = alone.o.poison().view(), desc.lse = alone.lse.poison().view();
        desc.kv_indices = alone.indices.view();
        desc.mask = alone.mask.view();
        desc.workspace = alone.workspace.data(), desc.workspace_bytes = alone.workspace.bytes();
        ADZE_ASSERT_OK(adze_attention_run(fixed_stream, &desc));
        for (int64_t i = 0; i < count; ++i) {
            ASSERT_EQ(alone.o.row_bytes(i), all.o.row_bytes(row + i)) << "query " << first + i;
            ASSERT_EQ(alone.lse.row_bytes(i), all.lse.row_bytes(row + i)) << "query " << first + i;
        }
    }

    kit::Context fixed;
    kit::Stream fixed_stream;
};
ADZE_ON_EACH_MACHINE(AttentionDeterminism);

/// With two query heads a KV head: rows up to 16, 64 and beyond, on contexts that are split and not, decode and prompts.
const std::vector<Sequence> kSequences{{1, 3000}, {8, 3000}, {9, 3000}, {32, 3000}, {33, 3000}, {3, 77},
                                       {1, 1},    {40, 90},  {2, 1000}, {1, 513},   {1, 9000},  {150, 200}};

TEST_P(AttentionDeterminism, ASequenceIsTheSameAloneAndAmongOthers) {
    const adze_softmax any = random.coin() ? ADZE_SOFTMAX_STABLE : ADZE_SOFTMAX_UNIFIED;
    for (const auto& [window, dtype, softmax] : {std::tuple{0, ADZE_DTYPE_BF16, ADZE_SOFTMAX_STABLE},
                                                 {0, ADZE_DTYPE_BF16, ADZE_SOFTMAX_UNIFIED},
                                                 {700, ADZE_DTYPE_BF16, any},
                                                 {0, random.pick(kit::kQuantised), any}}) {
        AttentionCase c{
            .sequences = kSequences, .shape = {4, 2, 32, 32, true, window}, .kv_dtype = dtype, .softmax = softmax};
        random.shuffle(c.sequences);
        if (dtype != ADZE_DTYPE_BF16) c.scales = kit::Scales::kAll;
        if (window > 0) {  // and with every option that there is
            c.shape.sink_tokens = 200, c.shape.soft_cap = 30;
            c.masks = kit::Masks::kMixed, c.alibi = c.sinks = true;
        }
        AttentionCall all = make(c);
        all.run(fixed_stream);
        for (int s = 0; s < all.paging.sequences(); ++s) expect_same_alone(all, s, 0, all.paging.qo_len(s));
    }
}

// sm_90a's prefill takes no masks: those of another sequence do not send this one to the other kernel.
TEST_P(AttentionDeterminism, MasksAreAMatterOfTheirSequences) {
    AttentionCase c{.sequences = {{130, 300}, {70, 200}}, .shape = {2, 1, 64, 64}, .masks = kit::Masks::kRandom};
    c.q_dtype = c.kv_dtype = c.o_dtype = ADZE_DTYPE_BF16;
    AttentionCall all = make(c);
    auto& indptr = all.paging.mask_indptr;
    all.paging.mask.erase(all.paging.mask.begin(), all.paging.mask.begin() + indptr[1]);
    indptr = {0, 0, indptr[2] - indptr[1]};
    all.upload_mask(), all.update(fixed_stream);
    all.run(fixed_stream);
    all.expect_close();
    expect_same_alone(all, 0, 0, 130);
    expect_same_alone(all, 1, 0, 70);
}

// A query whose logits leave phi's bounds has its tile done again: the rows beside it are none the wiser.
TEST_P(AttentionDeterminism, AQueryDoesNotMatterToThoseBesideIt) {
    for (adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
        AttentionCall call = make({.sequences = {{8, 60}, {20, 3000}, {90, 90}},
                                   .shape = {4, 2, 64, 64},
                                   .kv_dtype = ADZE_DTYPE_BF16,
                                   .softmax = softmax});
        call.run(fixed_stream);
        const std::vector<double> before = call.o.values();
        for (int s = 0; s < 3; ++s) {
            const int64_t row = call.paging.qo_indptr[size_t(s)];
            for (int64_t i = 0; i < call.q.columns(); ++i) call.q.set(row, i, call.q.at(row, i) * 200);
        }
        call.q.freeze();
        call.run(fixed_stream);
        for (int s = 0; s < 3; ++s) {
            for (int64_t row = call.paging.qo_indptr[size_t(s)] + 1; row < call.paging.qo_indptr[size_t(s) + 1];
                 ++row) {
                for (int64_t i = 0; i < call.o.columns(); ++i)
                    ASSERT_EQ(call.o.at(row, i), before[size_t(row * call.o.columns() + i)]) << row << ' ' << i;
            }
        }
    }
}

// What cpu promises more: a prompt's chunks, and its last tokens by themselves, are what the whole is.
TEST_P(AttentionDeterminism, OnCpuQueriesAreTheSameInAnyChunks) {
    if (!on_cpu()) GTEST_SKIP() << "of cpu: on GPUs what shares a tile depends on how many rows there are";
    for (auto [window, sinks] : {std::pair{0, false}, {2500, true}}) {
        AttentionCase c{.sequences = {{40, 90}, {40, 3000}, {70, 5000}},
                        .shape = {4, 2, 32, 40, true, window},
                        .kv_dtype = random.coin() ? ADZE_DTYPE_BF16 : ADZE_DTYPE_F32,
                        .sinks = sinks};
        if (window > 0) c.shape.sink_tokens = 100;
        AttentionCall all = make(c);
        all.run(fixed_stream);
        for (int s = 0; s < all.paging.sequences(); ++s) {
            const int64_t last = all.paging.qo_len(s) - 1, cut = random.integer(1, last);
            expect_same_alone(all, s, 0, cut);
            expect_same_alone(all, s, cut, last + 1 - cut);
            expect_same_alone(all, s, last, 1);
        }
    }
}

// More pieces than a plan of cpu has room for: tiles that find none are whole, and nothing changes.
TEST_P(AttentionDeterminism, OnCpuWholeTilesAreAsSplitOnes) {
    if (!on_cpu()) GTEST_SKIP() << "of cpu";
    constexpr int64_t kPieces = 1024, kLong = 3 * 2048 + 500;
    AttentionCase c{.sequences = {}, .shape = {1, 1, 8, 8}, .page_size = 512, .max_q_len = 1};
    for (int64_t i = 0; i < kPieces / 4 + 3; ++i) c.sequences.push_back({1, kLong});
    AttentionCall all = make(c);
    // One sequence, as often as there are others.
    for (int s = 1; s < all.paging.sequences(); ++s) {
        std::copy_n(all.paging.kv_indices.begin(), all.paging.kv_indptr[1],
                    all.paging.kv_indices.begin() + all.paging.kv_indptr[size_t(s)]);
        for (int64_t i = 0; i < all.q.columns(); ++i) all.q.set(s, i, all.q.at(0, i));
    }
    all.q.freeze();
    all.upload_indices();
    all.run(fixed_stream);
    for (int s = 1; s < all.paging.sequences(); ++s) {
        ASSERT_EQ(all.o.row_bytes(s), all.o.row_bytes(0)) << s;
        ASSERT_EQ(all.lse.row_bytes(s), all.lse.row_bytes(0)) << s;
    }
    const uint64_t of_split = uint64_t(kPieces) * (8 + 2) * 4;
    EXPECT_GT(all.workspace.bytes(), of_split / 2);
    EXPECT_LE(all.workspace.bytes(), of_split + 256);
}

}  // namespace
