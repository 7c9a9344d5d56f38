// The merge of several attentions.
#include <array>
#include <numeric>

#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class AttentionMerge : public kit::OnAttention {};
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

// A part that saw keys counts, though f32 has no number for its weight.
TEST_P(AttentionMerge, NanOfAWeightlessPartIsNotLost) {
    kit::MergeCall merge(2, 1, 1, 64, ADZE_DTYPE_F32, ADZE_DTYPE_F32, true, 0);
    merge.parts.fill(kit::normal(random));
    merge.parts.set(1, 5, NAN);
    merge.parts_lse.set(0, 0, 0), merge.parts_lse.set(1, 0, -200);
    merge.run(stream);
    for (int e = 0; e < 64; ++e) EXPECT_EQ(std::isnan(merge.o.at(0, e)), e == 5) << e;
    EXPECT_EQ(merge.lse.at(0, 0), 0);
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

}  // namespace
