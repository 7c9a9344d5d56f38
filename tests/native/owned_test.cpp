// Streams whose owner captures, and devices that complain when memory goes: on the device of owned_plugin.cpp.
#include <cstring>

#include "kit/machine.h"
#include "kit/refusal.h"
#include "owned_plugin.h"

namespace {

using kit::invalid;
using kit::refused;

class Owned : public testing::Test {
protected:
    explicit Owned(int32_t device = 0, uint32_t flags = 0)
        : context(kit::make<kit::Context>([&](adze_context** out) {
              const adze_context_desc desc{sizeof desc, ADZE_BACKEND_SIM, device, 0, ADZE_CPU_ISA_AUTO, flags};
              return adze_context_create(&desc, out);
          })) {}

    kit::Plan make_plan() {
        adze_attention_plan_desc desc{};
        desc.struct_size = sizeof desc;
        desc.num_q_heads = desc.num_kv_heads = 1;
        desc.head_dim_qk = desc.head_dim_v = 64;
        desc.page_size = 16;
        desc.max_sequences = 1;
        desc.max_q_tokens = desc.max_kv_pages = 4;
        return kit::make<kit::Plan>(
            [&](adze_attention_plan** out) { return adze_attention_plan_create(context, &desc, out); });
    }

    kit::Context context;
};

/// A stream that another library owns, and a plan for up to 4 tokens and pages whose batch has 1 of each.
class OwnedStreams : public Owned {
protected:
    explicit OwnedStreams(uint32_t flags = 0) : Owned(0, flags) {
        stream = kit::make<kit::Stream>([&](adze_stream** out) { return adze_stream_adopt(context, &native, out); });
        plan = make_plan();
        ADZE_EXPECT_OK(update());
    }

    adze_status update() {
        const int32_t indptr[] = {0, 1}, last = 1;
        const adze_attention_batch batch{sizeof batch, 1, indptr, indptr, &last};
        return adze_attention_plan_update(plan, &batch, stream);
    }
    adze_tensor tensor(int64_t rows, int64_t columns, adze_dtype dtype = ADZE_DTYPE_F32) {
        return {memory, rows, columns, columns, dtype, 0};
    }
    adze_status attend(int64_t tokens, int64_t pages) {
        adze_attention_desc desc{};
        desc.struct_size = sizeof desc;
        desc.plan = plan;
        desc.q = tensor(tokens, 64);
        desc.o = {memory + 256, tokens, 64, 64, ADZE_DTYPE_F32, 0};
        desc.kv_indices = {memory + 512, 1, pages, pages, ADZE_DTYPE_I32, 0};
        desc.k = desc.v = {memory + 768, 1, 1024, 64, 64, nullptr, 0, 0, 0, ADZE_DTYPE_F32, 0};
        return adze_attention_run(stream, &desc);
    }
    adze_status append(int64_t tokens, int64_t pages) {
        adze_kv_append_desc desc{};
        desc.struct_size = sizeof desc;
        desc.plan = plan;
        desc.k = desc.v = tensor(tokens, 64);
        desc.kv_indices = tensor(1, pages, ADZE_DTYPE_I32);
        desc.k_cache = desc.v_cache = {memory + 1024, 1, 1024, 64, 64, nullptr, 0, 0, 0, ADZE_DTYPE_F32, 0};
        desc.v_cache.data = memory + 2048;
        return adze_kv_append_run(stream, &desc);
    }

    void put(int index, int32_t value) { std::memcpy(&memory[index], &value, sizeof value); }

    OwnedStream native{};
    kit::Stream stream;
    kit::Plan plan;
    float memory[3072]{};
};

TEST_F(OwnedStreams, ACapturedCallWantsRoomForTheCapacities) {
    ADZE_EXPECT_OK(attend(1, 1));
    ADZE_EXPECT_OK(append(1, 1));
    native.capturing = true;
    const int calls = native.calls;
    EXPECT_TRUE(invalid(attend(1, 4), "adze_attention_run", "q.rows", "1"));
    EXPECT_TRUE(invalid(attend(4, 1), "adze_attention_run", "kv_indices.columns", "1"));
    EXPECT_TRUE(invalid(append(1, 4), "adze_kv_append_run", "k.rows", "1"));
    EXPECT_TRUE(invalid(append(4, 1), "adze_kv_append_run", "kv_indices.columns", "1"));
    EXPECT_EQ(native.calls, calls);
    ADZE_EXPECT_OK(attend(4, 4));
    ADZE_EXPECT_OK(append(4, 4));
    EXPECT_EQ(native.calls, calls + 2);
}

TEST_F(OwnedStreams, WhatCannotBeCapturedIsRefused) {
    constexpr adze_status kState = ADZE_ERROR_INVALID_STATE;
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    const kit::Graph graph =
        kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    native.capturing = true;
    const int calls = native.calls;
    EXPECT_TRUE(refused(update(), kState, "adze_attention_plan_update", "stream"));
    EXPECT_TRUE(refused(adze_stream_synchronize(stream), kState, "adze_stream_synchronize", "stream"));
    EXPECT_TRUE(refused(adze_graph_launch(graph, stream), kState, "adze_graph_launch", "stream"));
    EXPECT_TRUE(refused(adze_stream_begin_capture(stream), kState, "adze_stream_begin_capture", "stream"));
    EXPECT_EQ(native.calls, calls);
    native.capturing = false;
    ADZE_EXPECT_OK(update());
    ADZE_EXPECT_OK(adze_stream_synchronize(stream));
    ADZE_EXPECT_OK(adze_graph_launch(graph, stream));
}

TEST_F(OwnedStreams, TheOwnersEndOfACaptureIsSeen) {
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    native.capturing = false;
    adze_graph* none = nullptr;
    EXPECT_TRUE(
        refused(adze_stream_end_capture(stream, &none), ADZE_ERROR_INVALID_STATE, "adze_stream_end_capture", "stream"));
    ADZE_EXPECT_OK(adze_stream_synchronize(stream));
}

TEST_F(OwnedStreams, AnAdoptedStreamMayGoInTheMidstOfItsOwnersCapture) {
    native.capturing = true;
    ADZE_EXPECT_OK(adze_stream_destroy(stream.release()));
    EXPECT_TRUE(native.capturing);
}

// Each image stays as it is until it was copied; the host waits for the one whose memory it needs, and no longer.
TEST_F(OwnedStreams, AnUpdateWaitsForTheOneBeforeTheLast) {
    native.done = native.calls;
    ADZE_EXPECT_OK(update());
    const void* first = native.source;
    const int first_copied = native.calls;
    ADZE_EXPECT_OK(attend(1, 1));
    ADZE_EXPECT_OK(update());
    EXPECT_NE(native.source, first);
    EXPECT_EQ(native.waits, 0);
    ADZE_EXPECT_OK(attend(1, 1));
    ADZE_EXPECT_OK(update());
    EXPECT_EQ(native.source, first);
    EXPECT_EQ(native.waits, 1);
    EXPECT_EQ(native.done, first_copied) << "not for what followed the copy";
    native.done = native.calls;
    for (int i = 0; i < 5; ++i) {
        ADZE_EXPECT_OK(update());
        native.done = native.calls - 1;  // one is on its way
    }
    EXPECT_EQ(native.waits, 1);
}

TEST_F(OwnedStreams, AnUpdateThatFailsLeavesAnEmptyBatch) {
    EXPECT_TRUE(invalid(attend(0, 0), "adze_attention_run", "q.rows", "0"));
    native.fails = true;
    EXPECT_TRUE(refused(update(), ADZE_ERROR_DEVICE, "adze_attention_plan_update", "nothing can be written"));
    ADZE_EXPECT_OK(attend(0, 0));
    native.fails = false;
    ADZE_EXPECT_OK(update());
    EXPECT_TRUE(invalid(attend(0, 0), "adze_attention_run", "q.rows", "0"));
}

TEST_F(OwnedStreams, MemoryGoesOnlyAfterAWait) {
    adze_buffer* buffer = nullptr;
    ADZE_ASSERT_OK(adze_buffer_reserve(context, 100, &buffer));
    const auto& memory = *static_cast<const OwnedRange*>(adze_buffer_data(buffer));
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 100));
    EXPECT_EQ(memory.granules, 1);
    int waits = memory.waits;
    const int calls = native.calls;
    ADZE_EXPECT_OK(adze_buffer_unmap(buffer, 0, 100, stream));
    EXPECT_EQ(memory.granules, 0);
    EXPECT_EQ(memory.waits, waits + 1);
    EXPECT_EQ(native.calls, calls + 1) << "the stream's";
    native.capturing = true;
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 100));
    EXPECT_TRUE(
        refused(adze_buffer_unmap(buffer, 0, 100, stream), ADZE_ERROR_INVALID_STATE, "adze_buffer_unmap", "stream"));
    EXPECT_EQ(memory.granules, 1);
    waits = memory.waits;
    ADZE_EXPECT_OK(adze_buffer_destroy(buffer));  // for the device, whatever captures
    EXPECT_EQ(memory.waits, waits + 1);
    EXPECT_EQ(memory.granules, 0);
    EXPECT_FALSE(memory.reserved);
}

TEST_F(OwnedStreams, IndicesAreLeftAlone) {
    put(512, 7);
    ADZE_EXPECT_OK(attend(1, 1));
    ADZE_EXPECT_OK(append(1, 1));
    EXPECT_EQ(native.reads, 0);
}

/// The same in a context that checks indices.
class OwnedIndices : public OwnedStreams {
protected:
    OwnedIndices() : OwnedStreams(ADZE_CONTEXT_CHECK_INDICES) {}
    adze_status attend_page(int32_t id) {
        put(512, id);
        return attend(1, 1);
    }
    adze_status append_page(int32_t id) {
        put(0, id);
        return append(1, 1);
    }
};

TEST_F(OwnedIndices, AreFetchedAndCheckedBeforeARun) {
    const int calls = native.calls;
    for (const int32_t id : {-1, 1, INT32_MAX}) {
        const std::string value = std::to_string(id) + "; the cache has 1 pages";
        EXPECT_TRUE(invalid(attend_page(id), "adze_attention_run", "kv_indices[0]", value));
        EXPECT_TRUE(invalid(append_page(id), "adze_kv_append_run", "kv_indices[0]", value));
    }
    EXPECT_EQ(native.reads, 6);
    EXPECT_EQ(native.calls, calls + 6) << "to wait for the indices, and nothing was run";
    ADZE_EXPECT_OK(attend_page(0));
    ADZE_EXPECT_OK(append_page(0));
    EXPECT_EQ(native.calls, calls + 10);
}

TEST_F(OwnedIndices, CannotBeFetchedInACapture) {
    native.capturing = true;
    const int calls = native.calls;
    EXPECT_TRUE(refused(attend(4, 4), ADZE_ERROR_INVALID_STATE, "adze_attention_run", "ADZE_CONTEXT_CHECK_INDICES"));
    EXPECT_TRUE(refused(append(4, 4), ADZE_ERROR_INVALID_STATE, "adze_kv_append_run", "ADZE_CONTEXT_CHECK_INDICES"));
    EXPECT_EQ(native.calls, calls);
    EXPECT_EQ(native.reads, 0);
}

class OwnedMemory : public Owned {
protected:
    OwnedMemory() : Owned(1) {}
};

TEST_F(OwnedMemory, AnObjectIsGoneThoughTheDeviceComplains) {
    const auto complaint = [](adze_status status, const char* function) {
        return refused(status, ADZE_ERROR_DEVICE, function, "an earlier kernel failed");
    };
    adze_buffer* buffer = nullptr;
    ADZE_ASSERT_OK(adze_buffer_create(context, 64, &buffer));
    EXPECT_TRUE(complaint(adze_buffer_destroy(buffer), "adze_buffer_destroy"));
    const float source = 1;
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_F32, &source, 1, 1, 0};
    adze_weight* weight = nullptr;
    ADZE_ASSERT_OK(adze_weight_create(context, &desc, &weight));
    EXPECT_TRUE(complaint(adze_weight_destroy(weight), "adze_weight_destroy"));
    EXPECT_TRUE(complaint(adze_attention_plan_destroy(make_plan().release()), "adze_attention_plan_destroy"));
    ADZE_ASSERT_OK(adze_buffer_reserve(context, 1, &buffer));
    const auto& memory = *static_cast<const OwnedRange*>(adze_buffer_data(buffer));
    ADZE_ASSERT_OK(adze_buffer_map(buffer, 0, 1));
    EXPECT_TRUE(complaint(adze_buffer_destroy(buffer), "adze_buffer_destroy"));
    EXPECT_EQ(memory.granules, 0);
    EXPECT_FALSE(memory.reserved);
    // An empty or an adopted one has nothing to give back. The context goes at the end, or says that objects are left.
    ADZE_ASSERT_OK(adze_buffer_create(context, 0, &buffer));
    ADZE_EXPECT_OK(adze_buffer_destroy(buffer));
    ADZE_ASSERT_OK(adze_buffer_adopt(context, &buffer, sizeof buffer, &buffer));
    ADZE_EXPECT_OK(adze_buffer_destroy(buffer));
}

}  // namespace
