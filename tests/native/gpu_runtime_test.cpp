// The runtime of the GPU backends that are here, the simulator among them: devices, memory, streams, counters, and how
// they refuse. What is the same on every backend is in runtime_test.cpp.
#include <dlfcn.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "kit/machine.h"
#include "kit/refusal.h"
#include "runtime/gpu_code.h"

namespace {

using kit::Buffer;
using kit::Event;
using kit::invalid;
using kit::refused;
using kit::Weight;

class GpuRuntime : public kit::OnMachine {
protected:
    Buffer buffer(uint64_t bytes) {
        return kit::make<Buffer>([&](adze_buffer** out) { return adze_buffer_create(context, bytes, out); });
    }
    Event event() {
        return kit::make<Event>([&](adze_event** out) { return adze_event_create(context, out); });
    }
    std::vector<float> read(const Buffer& from, size_t count) {
        std::vector<float> out(count, std::numeric_limits<float>::quiet_NaN());
        ADZE_EXPECT_OK(adze_buffer_read(from, 0, out.data(), count * sizeof(float), stream));
        ADZE_EXPECT_OK(adze_stream_synchronize(stream));
        return out;
    }
    bool on_sim() const { return GetParam().backend == ADZE_BACKEND_SIM; }
};
INSTANTIATE_TEST_SUITE_P(Gpu, GpuRuntime, testing::ValuesIn(kit::gpu_machines()),
                         [](const auto& info) { return kit::name_of(info.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GpuRuntime);

// The suites that run on GPUs are empty where no device is: that must not go unseen.
TEST(Simulator, IsHere) {
    int32_t count = 0;
    if (adze_device_count(ADZE_BACKEND_SIM, &count) == ADZE_OK) {
        EXPECT_EQ(count, 4);
    } else if (std::getenv("CI") != nullptr) {
        FAIL() << adze_last_error();
    } else {
        GTEST_SKIP() << adze_last_error();
    }
}

TEST(GpuCode, IsTheBestThatRunsOnTheDevice) {
    const auto cuda = [](const char* built, int major, int minor) {
        const adze::GpuCode* code = adze::find_cuda_code(built, major, minor);
        return std::string(code == nullptr ? "none" : code->name);
    };
    const char* all = "80, 89, 90a";
    EXPECT_EQ(cuda(all, 8, 0), "80");
    EXPECT_EQ(cuda(all, 8, 6), "80");
    EXPECT_EQ(cuda(all, 8, 7), "80");
    EXPECT_EQ(cuda(all, 8, 9), "89");
    EXPECT_EQ(cuda(all, 9, 0), "90a");
    for (auto [major, minor] : {std::pair{7, 5}, {10, 0}, {12, 0}}) EXPECT_EQ(cuda(all, major, minor), "none") << major;
    EXPECT_EQ(cuda("80", 8, 9), "80");
    EXPECT_EQ(cuda("89", 8, 0), "none") << "code does not run on what came before it";
    EXPECT_EQ(cuda("80, 89", 9, 0), "none");
    EXPECT_EQ(cuda("90a", 8, 0), "none");
    EXPECT_EQ(cuda("", 8, 0), "none");
    EXPECT_NE(adze::find_hip_code("gfx90a", "gfx90a"), nullptr);
    EXPECT_EQ(adze::find_hip_code("gfx90a", "gfx942"), nullptr);
    EXPECT_EQ(adze::find_hip_code("", "gfx90a"), nullptr);
}

TEST_P(GpuRuntime, DevicesSayWhatTheyAre) {
    adze_device_info info{}, of_context{};
    info.struct_size = of_context.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_device_info_get(GetParam().backend, GetParam().device, &info));
    ADZE_ASSERT_OK(adze_context_info(context, &of_context));
    EXPECT_EQ(std::memcmp(&info, &of_context, sizeof info), 0);
    EXPECT_EQ(info.backend, GetParam().backend);
    EXPECT_EQ(info.device, GetParam().device);
    EXPECT_GT(info.num_processors, 0);
    EXPECT_GE(info.memory_bytes, uint64_t{1} << 30);
    EXPECT_GE(info.shared_memory_per_block, 48u << 10);
    const std::string architecture = info.architecture;
    EXPECT_EQ(info.warp_size, architecture.rfind("gfx9", 0) == 0 ? 64 : 32) << architecture;
    EXPECT_NE(std::string(info.name), "");
}

TEST_P(GpuRuntime, SimulatedDevicesAreTheFourOfTheDocumentation) {
    if (!on_sim()) GTEST_SKIP() << "of the simulator";
    struct Expected {
        const char* architecture;
        int32_t warp_size;
        uint64_t shared_kib;
    };
    constexpr Expected kExpected[] = {{"sm_80", 32, 163}, {"sm_90a", 32, 227}, {"gfx90a", 64, 64}, {"sm_89", 32, 99}};
    int32_t count = 0;
    ADZE_ASSERT_OK(adze_device_count(ADZE_BACKEND_SIM, &count));
    ASSERT_EQ(count, 4);
    for (int32_t device = 0; device < count; ++device) {
        adze_device_info info{};
        info.struct_size = sizeof info;
        ADZE_ASSERT_OK(adze_device_info_get(ADZE_BACKEND_SIM, device, &info));
        EXPECT_STREQ(info.architecture, kExpected[device].architecture);
        EXPECT_EQ(info.warp_size, kExpected[device].warp_size);
        EXPECT_EQ(info.shared_memory_per_block, kExpected[device].shared_kib << 10);
    }
}

TEST_P(GpuRuntime, ADeviceThatDoesNotExistIsRefused) {
    int32_t count = 0;
    ADZE_ASSERT_OK(adze_device_count(GetParam().backend, &count));
    adze_context_desc desc = kit::describe(GetParam());
    desc.device = count;
    adze_context* none = nullptr;
    EXPECT_TRUE(refused(adze_context_create(&desc, &none), ADZE_ERROR_UNAVAILABLE, "adze_context_create", "device",
                        std::to_string(count)));
    EXPECT_EQ(none, nullptr);
}

TEST_P(GpuRuntime, AnAllocationThatFailsSaysHowMuchAndHarmsNothing) {
    for (const uint64_t bytes : {uint64_t{1} << 48, UINT64_MAX - 100}) {
        adze_buffer* none = nullptr;
        EXPECT_TRUE(refused(adze_buffer_create(context, bytes, &none), ADZE_ERROR_OUT_OF_MEMORY, "adze_buffer_create",
                            "bytes", std::to_string(bytes)));
        EXPECT_EQ(none, nullptr);
    }
    const Buffer small = buffer(64);
    ADZE_EXPECT_OK(adze_buffer_fill(small, 0, 0, 64, stream));
    EXPECT_EQ(read(small, 16), std::vector<float>(16, 0.0f));
}

TEST_P(GpuRuntime, AStreamKeepsItsOrder) {
    const Buffer a = buffer(4096), b = buffer(4096);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(adze_buffer_data(a)) % 256, 0u);
    std::vector<float> in(1024);
    for (float& value : in) value = static_cast<float>(random.uniform());
    ADZE_ASSERT_OK(adze_buffer_fill(a, 0, 0xff, 4096, stream));
    ADZE_ASSERT_OK(adze_buffer_write(a, 0, in.data(), 4096, stream));
    ADZE_ASSERT_OK(adze_buffer_copy(b, 0, a, 0, 4096, stream));
    ADZE_ASSERT_OK(adze_buffer_fill(a, 0, 0, 4096, stream));
    EXPECT_EQ(read(b, 1024), in);
    EXPECT_EQ(read(a, 1024), std::vector<float>(1024, 0.0f));
}

TEST_P(GpuRuntime, EventsTimeWhatLiesBetween) {
    const Event start = event(), end = event();
    double us = -1;
    EXPECT_TRUE(refused(adze_event_elapsed(start, end, &us), ADZE_ERROR_INVALID_STATE, "adze_event_elapsed", "start"));
    const Buffer memory = buffer(1 << 20);
    ADZE_ASSERT_OK(adze_event_record(start, stream));
    ADZE_ASSERT_OK(adze_buffer_fill(memory, 0, 1, 1 << 20, stream));
    ADZE_ASSERT_OK(adze_event_record(end, stream));
    ADZE_ASSERT_OK(adze_event_synchronize(end));
    ADZE_ASSERT_OK(adze_event_elapsed(start, end, &us));
    EXPECT_GE(us, 0);
    EXPECT_LT(us, 1e6);
}

TEST_P(GpuRuntime, AGraphRecordsItsEventsWhenItRuns) {
    const Buffer memory = buffer(64);
    const Event start = event(), end = event();
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    ADZE_ASSERT_OK(adze_event_record(start, stream));
    ADZE_ASSERT_OK(adze_buffer_fill(memory, 0, 0, 64, stream));
    ADZE_ASSERT_OK(adze_event_record(end, stream));
    const Buffer meanwhile = buffer(1 << 20);  // memory may be allocated in the midst of a capture
    const auto graph = kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    double us = -1;
    EXPECT_TRUE(refused(adze_event_elapsed(start, end, &us), ADZE_ERROR_INVALID_STATE, "adze_event_elapsed", "start"));
    for (int i = 0; i < 2; ++i) {
        ADZE_ASSERT_OK(adze_buffer_fill(memory, 0, 0xff, 64, stream));
        ADZE_ASSERT_OK(adze_graph_launch(graph, stream));
        EXPECT_EQ(read(memory, 16), std::vector<float>(16, 0.0f));
        ADZE_ASSERT_OK(adze_event_elapsed(start, end, &us));
        EXPECT_GE(us, 0);
    }
}

TEST_P(GpuRuntime, OnlyTheSimulatorCounts) {
    adze_sim_launch launch{};
    launch.struct_size = sizeof launch;
    if (!on_sim()) {
        EXPECT_TRUE(
            refused(adze_sim_counters(context, 0, &launch), ADZE_ERROR_NOT_SUPPORTED, "adze_sim_counters", "sim"));
        return;
    }
    EXPECT_TRUE(invalid(adze_sim_counters(context, 0, &launch), "adze_sim_counters", "back", "0"));  // none so far
    const std::vector<float> source(64 * 64, 1.0f);
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_F32, source.data(), 64, 64, 0};
    const auto pack = [&] {
        return kit::make<Weight>([&](adze_weight** out) { return adze_weight_create(context, &desc, out); });
    };
    const Weight weight = pack();
    ADZE_ASSERT_OK(adze_sim_counters(context, 0, &launch));
    EXPECT_NE(std::string(launch.kernel), "");
    EXPECT_GE(launch.grid_x * launch.grid_y * launch.grid_z, 1);
    EXPECT_GE(launch.block_threads, 64u);
    EXPECT_GE(launch.global_write_bytes, 64u * 64 * 4);
    EXPECT_GE(launch.global_write_sectors, 64u * 64 * 4 / 32);
    EXPECT_GE(launch.global_requests, 1u);

    // The same launch counts the same, and lies one launch back after another.
    const Weight again = pack();
    adze_sim_launch latest{}, before{};
    latest.struct_size = before.struct_size = sizeof latest;
    ADZE_ASSERT_OK(adze_sim_counters(context, 0, &latest));
    ADZE_ASSERT_OK(adze_sim_counters(context, 1, &before));
    EXPECT_EQ(std::memcmp(&latest, &launch, sizeof launch), 0);
    EXPECT_EQ(std::memcmp(&before, &launch, sizeof launch), 0);
}

TEST_P(GpuRuntime, CountersFillWhatTheCallerKnows) {
    if (!on_sim()) GTEST_SKIP() << "of the simulator";
    const float source = 1;
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_F32, &source, 1, 1, 0};
    const Weight weight = kit::make<Weight>([&](adze_weight** out) { return adze_weight_create(context, &desc, out); });
    adze_sim_launch full{};
    full.struct_size = sizeof full;
    ADZE_ASSERT_OK(adze_sim_counters(context, 0, &full));
    EXPECT_GT(full.global_write_bytes, 0u);
    // Callers of an older header, of this one, and of newer ones: nothing is written behind their end.
    for (uint32_t size = 8; size <= sizeof full + 64; size += 8) {
        SCOPED_TRACE(size);
        const kit::AtEdge<adze_sim_launch> caller(full, size, std::byte{0xee});
        auto* launch = const_cast<adze_sim_launch*>(caller.get());
        std::memset(reinterpret_cast<std::byte*>(launch) + sizeof size, 0xee, size - sizeof size);
        ADZE_ASSERT_OK(adze_sim_counters(context, 0, launch));
        adze_sim_launch expected = full;
        expected.struct_size = size;
        const size_t known = std::min<size_t>(size, sizeof full);
        EXPECT_EQ(std::memcmp(launch, &expected, known), 0);
        for (size_t i = known; i < size; ++i) EXPECT_EQ(reinterpret_cast<std::byte*>(launch)[i], std::byte{0}) << i;
    }
}

TEST_P(GpuRuntime, CountersCheckTheirArguments) {
    if (!on_sim()) GTEST_SKIP() << "of the simulator";
    adze_sim_launch launch{};
    launch.struct_size = sizeof launch;
    EXPECT_TRUE(invalid(adze_sim_counters(nullptr, 0, &launch), "adze_sim_counters", "context"));
    EXPECT_TRUE(invalid(adze_sim_counters(context, 0, nullptr), "adze_sim_counters", "launch"));
    EXPECT_TRUE(invalid(adze_sim_counters(context, -1, &launch), "adze_sim_counters", "back", "-1"));
    EXPECT_TRUE(invalid(adze_sim_counters(context, 256, &launch), "adze_sim_counters", "back", "256"));
    launch.struct_size = 3;
    EXPECT_TRUE(invalid(adze_sim_counters(context, 0, &launch), "adze_sim_counters", "struct_size", "3"));
}

/// What a program that uses CUDA's driver does beside adze; the calls as cuda.h declares them, all return 0.
class CudaCaller {
public:
    template <class... Arguments>
    void call(const char* name, Arguments... arguments) {
        auto* function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
        ASSERT_NE(function, nullptr) << name;
        EXPECT_EQ(function(arguments...), 0) << name;
    }
    void* current_context() {
        void* context = nullptr;
        call("cuCtxGetCurrent", &context);
        return context;
    }

private:
    void* library_ = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
};

TEST_P(GpuRuntime, AThreadWithoutAContextIsLeftWithoutOne) {
    if (GetParam().backend != ADZE_BACKEND_CUDA) GTEST_SKIP() << "of CUDA";
    std::thread([&] {
        const Buffer memory = buffer(64);
        ADZE_EXPECT_OK(adze_buffer_fill(memory, 0, 0, 64, stream));
        ADZE_EXPECT_OK(adze_stream_synchronize(stream));
        EXPECT_EQ(CudaCaller().current_context(), nullptr);
    }).join();
}

// In the mode in which CUDA forbids most: whatever takes or frees memory invalidates the capture.
TEST_P(GpuRuntime, AStreamsOwnerMayCapture) {
    if (GetParam().backend != ADZE_BACKEND_CUDA) GTEST_SKIP() << "of CUDA";
    CudaCaller cuda;
    int device = 0;
    void *primary = nullptr, *native = nullptr, *graph = nullptr, *popped = nullptr;
    cuda.call("cuDeviceGet", &device, int{GetParam().device});
    cuda.call("cuDevicePrimaryCtxRetain", &primary, device);
    cuda.call("cuCtxPushCurrent_v2", primary);
    constexpr unsigned kNonBlocking = 1;
    constexpr int kGlobal = 0;
    cuda.call("cuStreamCreate", &native, kNonBlocking);
    kit::Stream adopted =
        kit::make<kit::Stream>([&](adze_stream** out) { return adze_stream_adopt(context, native, out); });
    const Buffer memory = buffer(64);
    cuda.call("cuStreamBeginCapture_v2", native, kGlobal);
    ADZE_EXPECT_OK(adze_buffer_fill(memory, 0, 0, 64, adopted));
    EXPECT_TRUE(
        refused(adze_stream_synchronize(adopted), ADZE_ERROR_INVALID_STATE, "adze_stream_synchronize", "stream"));
    ADZE_EXPECT_OK(adze_buffer_destroy(buffer(1 << 20).release()));
    const float source = 1;
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_F32, &source, 1, 1, 0};
    const Weight weight = kit::make<Weight>([&](adze_weight** out) { return adze_weight_create(context, &desc, out); });
    cuda.call("cuStreamEndCapture", native, &graph);
    EXPECT_NE(graph, nullptr);
    EXPECT_EQ(cuda.current_context(), primary);
    ADZE_EXPECT_OK(adze_stream_synchronize(adopted));
    ADZE_EXPECT_OK(adze_stream_destroy(adopted.release()));
    cuda.call("cuGraphDestroy", graph);
    cuda.call("cuStreamDestroy_v2", native);
    cuda.call("cuCtxPopCurrent_v2", &popped);
}

TEST_P(GpuRuntime, OnlyGpusHaveNativeStreams) {
    if (!on_sim()) GTEST_SKIP() << "of the simulator";
    adze_stream* none = nullptr;
    EXPECT_TRUE(refused(adze_stream_adopt(context, &none, &none), ADZE_ERROR_NOT_SUPPORTED, "adze_stream_adopt",
                        "the sim backend has no native streams"));
}

}  // namespace
