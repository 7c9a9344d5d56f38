// What runtime/gpu_backend.h makes of a vendor's virtual memory and pinned memory: on the GPU of gpu_plugin.cpp.
#include <dlfcn.h>

#include "gpu_plugin.h"
#include "kit/machine.h"
#include "kit/refusal.h"

namespace {

using kit::refused;

class GpuBackend : public testing::Test {
protected:
    static constexpr uint64_t kGranule = 2 << 20;

    GpuBackend() : context(kit::make_context({ADZE_CPU_ISA_AUTO, 0, ADZE_BACKEND_SIM, 0})) {
        void* plugin = dlopen(ADZE_GPU_PLUGIN, RTLD_NOW | RTLD_NOLOAD);
        gpu = plugin == nullptr ? nullptr : static_cast<FakeGpu*>(dlsym(plugin, "fake_gpu"));
        if (gpu != nullptr) *gpu = {};
    }
    void SetUp() override { ASSERT_NE(gpu, nullptr) << dlerror(); }
    kit::Buffer reserve(uint64_t bytes) {
        return kit::make<kit::Buffer>([&](adze_buffer** out) { return adze_buffer_reserve(context, bytes, out); });
    }

    kit::Context context;
    FakeGpu* gpu;
};

TEST_F(GpuBackend, EachGranuleIsMappedByItself) {
    kit::Buffer buffer = reserve(5 * kGranule);
    EXPECT_EQ(adze_buffer_granularity(buffer), kGranule) << "not the 4096 bytes that the runtime recommends";
    char* data = static_cast<char*>(adze_buffer_data(buffer));
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 1, 3 * kGranule - 1));
    EXPECT_EQ(gpu->mapped, (std::set<const void*>{data, data + kGranule, data + 2 * kGranule}));
    EXPECT_EQ(gpu->accessible, gpu->mapped);
    const kit::Stream stream = kit::make_stream(context);
    ADZE_EXPECT_OK(adze_buffer_unmap(buffer, kGranule, kGranule, stream));
    EXPECT_EQ(gpu->mapped, (std::set<const void*>{data, data + 2 * kGranule}));
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 5 * kGranule));
    EXPECT_EQ(gpu->accessible.size(), 5u);
    ADZE_EXPECT_OK(adze_buffer_destroy(buffer.release()));
    EXPECT_TRUE(gpu->mapped.empty());
    EXPECT_EQ(gpu->reservations, 0);
}

TEST_F(GpuBackend, WhatCannotBeMappedWholeIsNotMapped) {
    const kit::Buffer buffer = reserve(5 * kGranule);
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 2 * kGranule, 1));
    const auto before = gpu->mapped;
    gpu->memory_left = 3;
    EXPECT_TRUE(
        refused(adze_buffer_map(buffer, 0, 5 * kGranule), ADZE_ERROR_OUT_OF_MEMORY, "adze_buffer_map", "bytes"));
    EXPECT_EQ(gpu->mapped, before);
    EXPECT_EQ(gpu->memory_left, 3);
    gpu->refuses_access = true;
    EXPECT_EQ(adze_buffer_map(buffer, 0, 2 * kGranule), ADZE_ERROR_DEVICE);
    EXPECT_EQ(gpu->mapped, before);
    gpu->refuses_access = false;
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 4 * kGranule));
}

TEST_F(GpuBackend, LargerGranulesAreTheDevices) {
    gpu->granularity = 4 * kGranule;
    const kit::Buffer buffer = reserve(9 * kGranule);
    EXPECT_EQ(adze_buffer_granularity(buffer), 4 * kGranule);
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 9 * kGranule));
    EXPECT_EQ(gpu->mapped.size(), 3u);
}

TEST_F(GpuBackend, ADeviceWithoutVirtualMemoryDoesAllElse) {
    gpu->has_virtual_memory = false;
    adze_buffer* none = nullptr;
    EXPECT_EQ(adze_buffer_reserve(context, 1, &none), ADZE_ERROR_NOT_SUPPORTED) << adze_last_error();
    EXPECT_EQ(none, nullptr);
    const kit::Buffer buffer =
        kit::make<kit::Buffer>([&](adze_buffer** out) { return adze_buffer_create(context, 64, out); });
}

TEST_F(GpuBackend, APlanHasTwoPinnedBuffers) {
    adze_attention_plan_desc desc{};
    desc.struct_size = sizeof desc;
    desc.num_q_heads = desc.num_kv_heads = 1;
    desc.head_dim_qk = desc.head_dim_v = 64;
    desc.page_size = 16;
    desc.max_sequences = 1;
    desc.max_q_tokens = desc.max_kv_pages = 4;
    kit::Plan plan = kit::make<kit::Plan>(
        [&](adze_attention_plan** out) { return adze_attention_plan_create(context, &desc, out); });
    EXPECT_EQ(gpu->pinned, 2);
    ADZE_EXPECT_OK(adze_attention_plan_destroy(plan.release()));
    EXPECT_EQ(gpu->pinned, 0);
}

}  // namespace
