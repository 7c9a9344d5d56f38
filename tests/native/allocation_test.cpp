// Run calls allocate nothing: not on the caller's thread, not on the pool's.
#include "kit/allocations.h"
#include "kit/attention_case.h"
#include "kit/glue_case.h"
#include "kit/linear_case.h"
#include "kit/sampling_case.h"

namespace {

class Allocation : public kit::OnMachine {
protected:
    template <class Call>
    void expect_none(const char* what, const Call& call) {
        ADZE_ASSERT_OK(call());  // warm
        const uint64_t before = kit::allocations();
        adze_status status = ADZE_OK;
        for (int i = 0; i < 5 && status == ADZE_OK; ++i) status = call();
        const uint64_t made = kit::allocations() - before;
        EXPECT_EQ(status, ADZE_OK);
        EXPECT_EQ(made, 0u) << what;
    }
};
ADZE_ON_EACH_CPU(Allocation);  // the simulator allocates as it likes

TEST_P(Allocation, TheCounterCounts) {
    if (!kit::allocations_counted()) GTEST_SKIP() << "a sanitizer owns the allocator";
    const uint64_t before = kit::allocations();
    const kit::Stream another = kit::make_stream(context);
    EXPECT_GT(kit::allocations(), before) << "the library's allocations are seen";
}

TEST_P(Allocation, NoneInAnyRun) {
    if (!kit::allocations_counted()) GTEST_SKIP() << "a sanitizer owns the allocator";
    for (int64_t M : {1, 2, 16, 64}) {
        kit::LinearCall linear(context,
                               {M, 200, 300, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_F32},
                               kit::normal(random));
        const adze_linear_desc desc = linear.desc();
        expect_none("linear", [&] { return adze_linear_run(stream, &desc); });
    }
    kit::AttentionCall attention(
        context, stream,
        {.sequences = {{1, 3000}, {40, 60}, {2, 9}}, .shape = {4, 2, 16, 16}, .kv_dtype = ADZE_DTYPE_BF16}, random,
        kit::normal(random));
    const adze_attention_desc run = attention.desc();
    const adze_attention_batch batch = kit::batch_of(attention.paging);
    expect_none("attention_plan_update", [&] { return adze_attention_plan_update(attention.plan, &batch, stream); });
    expect_none("attention", [&] { return adze_attention_run(stream, &run); });
    kit::AttentionCall options(context, stream,
                               {.sequences = {{1, 3000}, {40, 60}, {2, 9}},
                                .shape = {4, 2, 16, 16, true, 50, 0, 9, 30},
                                .masks = kit::Masks::kRandom,
                                .alibi = true,
                                .sinks = true},
                               random, kit::normal(random));
    const adze_attention_desc with_options = options.desc();
    const adze_attention_batch masked = kit::batch_of(options.paging);
    expect_none("attention_plan_update", [&] { return adze_attention_plan_update(options.plan, &masked, stream); });
    expect_none("attention", [&] { return adze_attention_run(stream, &with_options); });
    kit::MergeCall merge(3, 7, 4, 16, ADZE_DTYPE_BF16, ADZE_DTYPE_F32, true, 0);
    merge.parts.fill(kit::normal(random)), merge.parts_lse.fill(kit::normal(random));
    const adze_attention_merge_desc parts = merge.desc();
    expect_none("attention_merge", [&] { return adze_attention_merge_run(stream, &parts); });
    const kit::Tensor k = kit::Tensor(ADZE_DTYPE_F32, 43, 32).fill(kit::normal(random));
    const adze_kv_append_desc append{
        sizeof append,     0, attention.plan, k.view(), k.view(), attention.indices.view(), attention.k.view(),
        attention.v.view()};
    expect_none("kv_append", [&] { return adze_kv_append_run(stream, &append); });

    const kit::Tensor x = kit::Tensor(ADZE_DTYPE_F32, 40, 64).fill(kit::normal(random));
    const kit::Tensor w = kit::Tensor(ADZE_DTYPE_F32, 1, 64).fill(kit::normal(random)), y(ADZE_DTYPE_F32, 40, 64);
    const kit::Tensor ids = kit::vector_i32(std::vector<int32_t>(40, 7)), f = kit::vector_f32({1, 0.5f});
    const adze_rms_norm_desc norm{sizeof norm, 1e-5f, x.view(), w.view(), {}, y.view()};
    expect_none("rms_norm", [&] { return adze_rms_norm_run(stream, &norm); });
    const adze_silu_gate_desc gate{sizeof gate, 0, x.view(), x.view(), y.view()};
    expect_none("silu_gate", [&] { return adze_silu_gate_run(stream, &gate); });
    const adze_embedding_desc embedding{sizeof embedding, 0, ids.view(), x.view(), y.view()};
    expect_none("embedding", [&] { return adze_embedding_run(stream, &embedding); });
    const adze_rope_desc rope{sizeof rope, 8, y.view(), ids.view(), f.view()};
    expect_none("rope", [&] { return adze_rope_run(stream, &rope); });

    kit::SamplingCall sampling(context, kit::Tensor(ADZE_DTYPE_F32, 7, 3000).fill(kit::normal(random)),
                               std::vector<adze_sampling_params>(7, {1, 40, 0.9f, 0.01f, 5, 6}));
    const adze_sampling_desc sample = sampling.desc();
    expect_none("sampling", [&] { return adze_sampling_run(stream, &sample); });
}

// Long sequences without queries are no work, however many there are.
TEST_P(Allocation, NoneInAnUpdateWithoutQueries) {
    if (!kit::allocations_counted()) GTEST_SKIP() << "a sanitizer owns the allocator";
    constexpr int32_t kSequences = 64, kPages = 9;
    adze_attention_plan_desc desc{};
    desc.struct_size = sizeof desc;
    desc.num_q_heads = desc.num_kv_heads = 1;
    desc.head_dim_qk = desc.head_dim_v = 8;
    desc.page_size = 256;
    desc.max_sequences = kSequences;
    desc.max_q_tokens = 1;
    desc.max_kv_pages = kSequences * kPages;
    adze_attention_plan* plan = nullptr;
    ADZE_ASSERT_OK(adze_attention_plan_create(context, &desc, &plan));
    std::vector<int32_t> qo(kSequences + 1, 0), kv, last(kSequences, 256);
    for (int32_t s = 0; s <= kSequences; ++s) kv.push_back(s * kPages);
    const adze_attention_batch batch{sizeof batch, kSequences, qo.data(), kv.data(), last.data()};
    const uint64_t before = kit::allocations();
    ADZE_EXPECT_OK(adze_attention_plan_update(plan, &batch, stream));
    EXPECT_EQ(kit::allocations() - before, 0u);
    ADZE_EXPECT_OK(adze_attention_plan_destroy(plan));
}

TEST_P(Allocation, NoneInALaunch) {
    if (!kit::allocations_counted()) GTEST_SKIP() << "a sanitizer owns the allocator";
    kit::LinearCall linear(context, {3, 20, 30}, kit::normal(random));
    const adze_linear_desc desc = linear.desc();
    adze_graph* raw = nullptr;
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    ADZE_ASSERT_OK(adze_linear_run(stream, &desc));
    ADZE_ASSERT_OK(adze_stream_end_capture(stream, &raw));
    const kit::Graph graph(raw);
    expect_none("graph_launch", [&] { return adze_graph_launch(graph, stream); });
}

}  // namespace
