// Capture: nothing runs until the launch, parameters are copies, plans are followed.
#include "kit/attention_case.h"
#include "kit/glue_case.h"
#include "kit/linear_case.h"
#include "kit/refusal.h"
#include "kit/sampling_case.h"

namespace {

using kit::refused;
using kit::Tensor;

class Graph : public kit::OnMachine {
protected:
    /// Captures what `record` puts on the stream.
    template <class Record>
    kit::Graph capture(const Record& record) {
        ADZE_EXPECT_OK(adze_stream_begin_capture(stream));
        record();
        return kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    }

    void launch(adze_graph* graph) {
        ADZE_ASSERT_OK(adze_graph_launch(graph, stream));
        ADZE_ASSERT_OK(adze_stream_synchronize(stream));
    }

    /// `run` fills `out` with a descriptor of its own, which it destroys before it returns.
    template <class Run>
    void check(const char* what, Tensor& out, const Run& run) {
        SCOPED_TRACE(what);
        run();
        const auto expected = out.values();
        out.poison();
        const kit::Graph graph = capture([&] {
            run();
            EXPECT_TRUE(out.unchanged()) << "captured calls do not run";
        });
        EXPECT_TRUE(out.unchanged());
        for (int round = 0; round < 3; ++round) {
            out.poison();
            launch(graph);
            EXPECT_TRUE(kit::equal(out, expected)) << "launch " << round;
        }
    }
};
ADZE_ON_EACH_BACKEND(Graph);

/// A descriptor that is spoilt as soon as the call is back: the capture keeps copies.
template <class Desc>
adze_status once(adze_stream* stream, Desc desc, adze_status (*run)(adze_stream*, const Desc*)) {
    const adze_status status = run(stream, &desc);
    std::memset(static_cast<void*>(&desc), 0xee, sizeof desc);
    return status;
}

TEST_P(Graph, EveryOperatorReplays) {
    kit::LinearCall linear(context, {3, 20, 30, ADZE_DTYPE_F32, ADZE_DTYPE_BF16, ADZE_DTYPE_F32, ADZE_DTYPE_F32},
                           kit::normal(random));
    check("linear", linear.y, [&] { ADZE_EXPECT_OK(once(stream, linear.desc(), adze_linear_run)); });

    kit::AttentionCall attention(context, stream,
                                 {.sequences = {{1, 40}, {3, 10}}, .shape = {4, 2, 64, 64}, .extra_rows = 0}, random,
                                 kit::normal(random));
    check("attention", attention.o, [&] { ADZE_EXPECT_OK(once(stream, attention.desc(), adze_attention_run)); });

    Tensor x = Tensor(ADZE_DTYPE_F32, 4, 16).fill(kit::normal(random));
    Tensor w = Tensor(ADZE_DTYPE_F32, 1, 16).fill(kit::normal(random));
    Tensor y(ADZE_DTYPE_F32, 4, 16);
    check("rms_norm", y, [&] {
        const adze_rms_norm_desc desc{sizeof desc, 1e-5f, x.view(), w.view(), {}, y.view()};
        ADZE_EXPECT_OK(once(stream, desc, adze_rms_norm_run));
    });
    check("silu_gate", y, [&] {
        const adze_silu_gate_desc desc{sizeof desc, 0, x.view(), x.view(), y.view()};
        ADZE_EXPECT_OK(once(stream, desc, adze_silu_gate_run));
    });
    const Tensor ids = kit::vector_i32({3, 0, 2, 1}), frequencies = kit::vector_f32({1, 0.5f, 0.25f});
    check("embedding", y, [&] {
        const adze_embedding_desc desc{sizeof desc, 0, ids.view(), x.view(), y.view()};
        ADZE_EXPECT_OK(once(stream, desc, adze_embedding_run));
    });
    check("rope", y, [&] {
        const adze_embedding_desc fetch{sizeof fetch, 0, ids.view(), x.view(), y.view()};
        ADZE_EXPECT_OK(once(stream, fetch, adze_embedding_run));
        const adze_rope_desc desc{sizeof desc, 8, y.view(), ids.view(), frequencies.view()};
        ADZE_EXPECT_OK(once(stream, desc, adze_rope_run));
    });

    kit::SamplingCall sampling(context, Tensor(ADZE_DTYPE_F32, 5, 40).fill(kit::normal(random)),
                               std::vector<adze_sampling_params>(5, {1, 9, 0.9f, 0, 6, 7}));
    check("sampling", sampling.ids, [&] { ADZE_EXPECT_OK(once(stream, sampling.desc(), adze_sampling_run)); });

    const Tensor k = Tensor(ADZE_DTYPE_F32, 4, 128).fill(kit::normal(random));
    Tensor& cache = attention.k.elements;
    const kit::Buffer adopted = kit::make<kit::Buffer>([&](adze_buffer** out) {
        return adze_buffer_adopt(context, cache.data(), uint64_t(cache.columns()) * kit::size_of(cache.dtype()), out);
    });
    check("kv_append", cache, [&] {
        ADZE_EXPECT_OK(adze_buffer_fill(adopted, 0, 0, adze_buffer_bytes(adopted), stream));
        const adze_kv_append_desc desc{
            sizeof desc,       0, attention.plan, k.view(), k.view(), attention.indices.view(), attention.k.view(),
            attention.v.view()};
        ADZE_EXPECT_OK(once(stream, desc, adze_kv_append_run));
    });
}

TEST_P(Graph, BufferCallsReplayInOrder) {
    Tensor host(ADZE_DTYPE_F32, 1, 8), back(ADZE_DTYPE_F32, 1, 8), memory(ADZE_DTYPE_F32, 2, 8);
    const kit::Buffer buffer =
        kit::make<kit::Buffer>([&](adze_buffer** out) { return adze_buffer_adopt(context, memory.data(), 64, out); });
    memory.poison(), back.poison();
    const kit::Graph graph = capture([&] {
        ADZE_EXPECT_OK(adze_buffer_write(buffer, 0, host.data(), 32, stream));
        ADZE_EXPECT_OK(adze_buffer_copy(buffer, 32, buffer, 0, 32, stream));
        ADZE_EXPECT_OK(adze_buffer_fill(buffer, 0, 0, 4, stream));
        ADZE_EXPECT_OK(adze_buffer_read(buffer, 32, back.data(), 32, stream));
    });
    EXPECT_TRUE(memory.unchanged() && back.unchanged());
    for (double round : {1.0, 2.0}) {
        // The host memory that a capture names is read at each launch.
        host.fill([&] { return round; });
        launch(graph);
        EXPECT_TRUE(kit::equal(back, host.values()));
        EXPECT_EQ(memory.at(0, 0), 0);
        EXPECT_EQ(memory.at(0, 1), round);
    }
}

TEST_P(Graph, FollowsThePlansNextBatch) {
    // Captured with one batch, launched with others: shorter, longer, none.
    kit::AttentionCase c{.sequences = {{1, 16}, {1, 400}}, .shape = {4, 2, 64, 64}};
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    call.o.poison(), call.lse.poison();
    const kit::Graph graph = capture([&] { ADZE_EXPECT_OK(once(stream, call.desc(), adze_attention_run)); });
    EXPECT_TRUE(call.o.unchanged());
    const oracle::Paging first = call.paging;
    for (int64_t kv_len : {400, 17, 1, 256, 0, 399}) {
        SCOPED_TRACE(kv_len);
        call.paging = first;
        const int64_t pages = (kv_len + 15) / 16;
        call.paging.kv_indptr[2] = int32_t(call.paging.kv_indptr[1] + pages);
        call.paging.kv_last_page_len[1] = int32_t(pages ? kv_len - (pages - 1) * 16 : 0);
        call.update(stream);
        call.o.poison(), call.lse.poison();
        launch(graph);
        call.expect_close();
    }
    // Fewer sequences: the rows of the others stay as they are.
    call.paging = first;
    call.paging.qo_indptr.pop_back(), call.paging.kv_indptr.pop_back(), call.paging.kv_last_page_len.pop_back();
    call.update(stream);
    call.o.poison(), call.lse.poison();
    launch(graph);
    call.expect_close();
    EXPECT_TRUE(call.o.framed(1));
}

TEST_P(Graph, AppendFollowsThePlansNextBatch) {
    kit::AttentionCase c{.sequences = {{1, 5}}, .shape = {1, 1, 64, 64}, .page_size = 4};
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    const Tensor k = Tensor(ADZE_DTYPE_F32, 1, 64).fill(kit::normal(random));
    const adze_kv_append_desc desc{sizeof desc,  0, call.plan, k.view(), k.view(), call.indices.view(), call.k.view(),
                                   call.v.view()};
    const kit::Graph graph = capture([&] { ADZE_EXPECT_OK(once(stream, desc, adze_kv_append_run)); });
    for (int64_t kv_len : {5, 8, 6}) {
        call.paging.kv_last_page_len[0] = int32_t(kv_len - 4);
        call.update(stream);
        auto expected = call.k.elements.values();
        const auto [page, slot] = call.paging.find(0, kv_len - 1);
        for (int e = 0; e < 64; ++e) expected[size_t(call.k.offset(page, slot, 0, e))] = k.at(0, e);
        launch(graph);
        EXPECT_TRUE(kit::equal(call.k.elements, expected));
    }
}

TEST_P(Graph, CapturedAttentionWantsRoomForTheCapacities) {
    kit::AttentionCase c{.sequences = {{1, 16}}, .shape = {2, 1, 64, 64}, .extra_rows = 0, .spare_tokens = 1};
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    const adze_attention_desc desc = call.desc();
    EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", "q.rows", "1"));
    adze_graph* raw = nullptr;
    ADZE_ASSERT_OK(adze_stream_end_capture(stream, &raw));
    ADZE_EXPECT_OK(adze_graph_destroy(raw));
}

TEST_P(Graph, WhatALaunchRefusesIsRefusedWhenCaptured) {
    if (on_cpu()) GTEST_SKIP() << "of GPU kernels and their grids";
    kit::AttentionCase c{.sequences = {{1, 16}}, .shape = {2, 1, 64, 64}, .extra_rows = 0};
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    adze_attention_desc attention = call.desc();
    attention.k.dtype = attention.v.dtype = ADZE_DTYPE_F32;
    // Far more blocks than a grid has; nothing is there, and nothing is touched.
    constexpr int64_t kRows = int64_t{1} << 31, kColumns = 131072;
    const adze_tensor x{reinterpret_cast<void*>(int64_t{1} << 48), kRows, kColumns, kColumns, ADZE_DTYPE_F16, 0};
    const Tensor weight(ADZE_DTYPE_F16, 1, kColumns);
    const adze_rms_norm_desc norm{sizeof norm, 1e-5f, x, weight.view(), {}, x};
    const kit::Graph graph = capture([&] {
        EXPECT_TRUE(refused(adze_attention_run(stream, &attention), ADZE_ERROR_NOT_SUPPORTED, "adze_attention_run",
                            "k.dtype", "F32"));
        EXPECT_TRUE(
            refused(adze_rms_norm_run(stream, &norm), ADZE_ERROR_NOT_SUPPORTED, "adze_rms_norm_run", "a grid of"));
    });
    launch(graph);  // empty
}

TEST_P(Graph, WrongStates) {
    constexpr adze_status kState = ADZE_ERROR_INVALID_STATE;
    adze_graph* raw = nullptr;
    EXPECT_TRUE(refused(adze_stream_end_capture(stream, &raw), kState, "adze_stream_end_capture", "stream"));
    EXPECT_EQ(raw, nullptr);
    const kit::Event event = kit::make<kit::Event>([&](adze_event** out) { return adze_event_create(context, out); });
    ADZE_ASSERT_OK(adze_event_record(event, stream));
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    EXPECT_TRUE(refused(adze_stream_begin_capture(stream), kState, "adze_stream_begin_capture", "stream"));
    EXPECT_TRUE(refused(adze_stream_synchronize(stream), kState, "adze_stream_synchronize", "stream"));
    EXPECT_TRUE(refused(adze_stream_destroy(stream), kState, "adze_stream_destroy", "stream"));
    EXPECT_TRUE(kit::invalid(adze_stream_end_capture(stream, nullptr), "adze_stream_end_capture", "graph"));
    // Checked when captured, and not recorded when wrong.
    const adze_silu_gate_desc wrong{sizeof wrong, 0, {}, {}, {}};
    EXPECT_TRUE(kit::invalid(adze_silu_gate_run(stream, &wrong), "adze_silu_gate_run", "gate"));
    // A plan's update belongs between launches.
    const kit::Plan plan = kit::make_plan(context, kit::plan_desc({.sequences = {{1, 1}}, .shape = {1, 1, 64, 64}}));
    const oracle::Paging paging = kit::make_paging({{1, 1}}, 16, 1, random);
    const adze_attention_batch batch = kit::batch_of(paging);
    EXPECT_TRUE(
        refused(adze_attention_plan_update(plan, &batch, stream), kState, "adze_attention_plan_update", "stream"));
    ADZE_ASSERT_OK(adze_stream_end_capture(stream, &raw));
    const kit::Graph graph(raw);
    ADZE_EXPECT_OK(adze_graph_launch(graph, stream));  // empty
    ADZE_EXPECT_OK(adze_stream_synchronize(stream));
    EXPECT_TRUE(kit::invalid(adze_graph_launch(nullptr, stream), "adze_graph_launch", "graph"));
    EXPECT_TRUE(kit::invalid(adze_graph_launch(graph, nullptr), "adze_graph_launch", "stream"));
    EXPECT_TRUE(kit::invalid(adze_stream_begin_capture(nullptr), "adze_stream_begin_capture", "stream"));
    const kit::Context other = kit::make_context();
    const kit::Stream foreign = kit::make_stream(other);
    EXPECT_TRUE(kit::invalid(adze_graph_launch(graph, foreign), "adze_graph_launch", "graph"));
}

TEST_P(Graph, OtherStreamsRunWhileOneCaptures) {
    const kit::Stream second = kit::make_stream(context);
    const Tensor x = Tensor(ADZE_DTYPE_F32, 2, 9).fill(kit::integers(random)),
                 y = Tensor(ADZE_DTYPE_F32, 2, 9).poison();
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    const adze_silu_gate_desc desc{sizeof desc, 0, x.view(), x.view(), y.view()};
    ADZE_EXPECT_OK(adze_silu_gate_run(second, &desc));
    ADZE_EXPECT_OK(adze_stream_synchronize(second));
    EXPECT_FALSE(std::isnan(y.at(1, 8)));
    adze_graph* raw = nullptr;
    ADZE_ASSERT_OK(adze_stream_end_capture(stream, &raw));
    ADZE_EXPECT_OK(adze_graph_destroy(raw));
}

}  // namespace
