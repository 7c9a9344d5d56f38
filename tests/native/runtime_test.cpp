// Contexts, devices, buffers, streams and events, and how they refuse.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <thread>

#include "kit/machine.h"
#include "kit/refusal.h"

namespace {

using kit::Buffer;
using kit::Context;
using kit::Event;
using kit::invalid;
using kit::refused;
using kit::Stream;

class Runtime : public kit::OnMachine {
protected:
    Buffer buffer(uint64_t bytes) {
        return kit::make<Buffer>([&](adze_buffer** out) { return adze_buffer_create(context, bytes, out); });
    }
    Event event() {
        return kit::make<Event>([&](adze_event** out) { return adze_event_create(context, out); });
    }
};
ADZE_ON_EACH_BACKEND(Runtime);

TEST_P(Runtime, VersionsAreTheHeaders) {
    EXPECT_EQ(adze_version(), ADZE_VERSION);
    EXPECT_EQ(adze_abi_version(), uint32_t{ADZE_ABI_VERSION});
    const std::string info = adze_build_info();
    EXPECT_NE(info.find("0.1.0"), std::string::npos) << info;
    EXPECT_NE(info.find("cpu"), std::string::npos) << info;
    EXPECT_EQ(info.find('\n'), std::string::npos) << info;
}

TEST_P(Runtime, EveryStatusHasItsName) {
    std::vector<std::string> names;
    for (int32_t status = 0; status <= 7; ++status) {
        names.push_back(adze_status_name(adze_status(status)));
        EXPECT_FALSE(names.back().empty());
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
    EXPECT_STREQ(adze_status_name(ADZE_ERROR_INVALID_ARGUMENT), "invalid argument");
    for (int32_t unknown : {-1, 8, INT32_MAX, INT32_MIN}) EXPECT_NE(adze_status_name(adze_status(unknown)), nullptr);
}

TEST_P(Runtime, LastErrorIsTheThreadsOwn) {
    ASSERT_NE(adze_context_create(nullptr, nullptr), ADZE_OK);
    const std::string mine = adze_last_error();
    EXPECT_NE(mine, "");
    std::string before = "?", theirs;
    std::thread([&] {
        before = adze_last_error();
        EXPECT_NE(adze_stream_create(nullptr, nullptr), ADZE_OK);
        theirs = adze_last_error();
    }).join();
    EXPECT_EQ(before, "") << "empty before the first failure of a thread";
    EXPECT_NE(theirs, mine);
    EXPECT_EQ(adze_last_error(), mine);
    ADZE_EXPECT_OK(adze_stream_synchronize(stream));
    EXPECT_EQ(adze_last_error(), mine) << "success leaves it";
}

TEST_P(Runtime, Devices) {
    const kit::Machine& machine = GetParam();
    int32_t count = 0;
    ADZE_ASSERT_OK(adze_device_count(machine.backend, &count));
    EXPECT_GT(count, machine.device);
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_device_info_get(machine.backend, machine.device, &info));
    EXPECT_EQ(info.backend, machine.backend);
    EXPECT_EQ(info.device, machine.device);
    EXPECT_GE(info.num_processors, 1);
    EXPECT_GT(info.memory_bytes, 1u << 20);
    EXPECT_EQ(info.shared_memory_per_block != 0, !on_cpu());
    EXPECT_EQ(info.warp_size == 1, on_cpu());
    EXPECT_GT(std::string(info.name).size(), 0u);
    EXPECT_GT(std::string(info.architecture).size(), 0u);

    adze_device_info of_context{};
    of_context.struct_size = sizeof of_context;
    ADZE_ASSERT_OK(adze_context_info(context, &of_context));
    EXPECT_STREQ(of_context.name, info.name);
    ADZE_ASSERT_OK(adze_device_count(ADZE_BACKEND_AUTO, &count));
    EXPECT_GE(count, 1);
}

TEST_P(Runtime, DeviceInfoOfAnOlderClient) {
    // Only what the caller's struct has is written: the struct ends at a fence.
    for (uint32_t size = 4; size < sizeof(adze_device_info); size += 4) {
        const kit::Fenced memory((size + 7) / 8 * 8);
        auto* info = reinterpret_cast<adze_device_info*>(memory.data());
        std::memset(memory.data(), 0x5a, memory.bytes());
        info->struct_size = size;
        const adze_status status = adze_device_info_get(ADZE_BACKEND_CPU, 0, info);
        if (status != ADZE_OK) continue;  // too small to mean anything
        EXPECT_EQ(info->struct_size, size);
        for (size_t i = size; i < memory.bytes(); ++i) EXPECT_EQ(memory.data()[i], std::byte{0x5a}) << size;
    }
    adze_device_info info{};
    EXPECT_TRUE(invalid(adze_device_info_get(ADZE_BACKEND_CPU, 0, &info), "adze_device_info_get", "struct_size", "0"));
    info.struct_size = sizeof info;
    EXPECT_TRUE(invalid(adze_device_info_get(ADZE_BACKEND_CPU, 0, nullptr), "adze_device_info_get", "info"));
    EXPECT_TRUE(refused(adze_device_info_get(ADZE_BACKEND_CPU, 1, &info), ADZE_ERROR_UNAVAILABLE,
                        "adze_device_info_get", "device", "1"));
    EXPECT_NE(adze_device_info_get(ADZE_BACKEND_CPU, -1, &info), ADZE_OK);
    EXPECT_TRUE(invalid(adze_device_info_get(adze_backend(9), 0, &info), "adze_device_info_get", "backend", "9"));
    EXPECT_TRUE(invalid(adze_device_count(adze_backend(-2), &info.device), "adze_device_count", "backend", "-2"));
    EXPECT_TRUE(invalid(adze_device_count(ADZE_BACKEND_CPU, nullptr), "adze_device_count", "count"));
    EXPECT_TRUE(invalid(adze_context_info(nullptr, &info), "adze_context_info", "context"));
    EXPECT_TRUE(invalid(adze_context_info(context, nullptr), "adze_context_info", "info"));
    info.struct_size = 3;
    EXPECT_TRUE(invalid(adze_context_info(context, &info), "adze_context_info", "struct_size", "3"));
}

TEST_P(Runtime, DeviceInfoOfANewerClient) {
    struct Newer {
        adze_device_info info;
        uint64_t more;
    } newer;
    std::memset(&newer, 0xee, sizeof newer);
    newer.info.struct_size = sizeof newer;
    ADZE_ASSERT_OK(adze_context_info(context, &newer.info));
    EXPECT_EQ(newer.info.struct_size, sizeof newer);
    EXPECT_EQ(newer.info.backend, GetParam().backend);
    EXPECT_EQ(newer.more, 0u) << "what this library does not know is zero";
}

// A process that may start no more threads gets an error, not an end.
TEST_P(Runtime, ThreadsThatCannotBeStartedAreAnError) {
    EXPECT_EXIT(
        {
            rlimit limit{};
            getrlimit(RLIMIT_AS, &limit);
            limit.rlim_cur = rlim_t{2} << 30;
            setrlimit(RLIMIT_AS, &limit);
            adze_context_desc desc{};
            desc.struct_size = sizeof desc;
            desc.backend = ADZE_BACKEND_CPU;
            desc.num_threads = 1024;
            adze_context* none = nullptr;
            const adze_status status = adze_context_create(&desc, &none);
            std::fprintf(stderr, "%s\n", adze_last_error());
            std::_Exit(status == ADZE_ERROR_OUT_OF_MEMORY && none == nullptr ? 0 : 1);
        },
        testing::ExitedWithCode(0), "adze_context_create: ");
}

TEST_P(Runtime, BackendsThatAreNotThereSayWhatIsMissing) {
    const auto message = [](adze_backend backend) -> std::string {
        adze_context_desc desc{sizeof desc, backend, 0, 0, ADZE_CPU_ISA_AUTO, 0};
        adze_context* out = nullptr;
        int32_t count = 0;
        const adze_status status = adze_context_create(&desc, &out);
        if (status == ADZE_OK) {
            ADZE_EXPECT_OK(adze_context_destroy(out));
            return "";
        }
        EXPECT_EQ(status, ADZE_ERROR_UNAVAILABLE);
        EXPECT_EQ(out, nullptr);
        const std::string text = adze_last_error();
        EXPECT_EQ(text.rfind("adze_context_create: ", 0), 0u) << text;
        const adze_status counted = adze_device_count(backend, &count);
        EXPECT_TRUE(counted == ADZE_ERROR_UNAVAILABLE || count == 0) << "a context fails, yet there are " << count;
        return text;
    };
    const auto builds = [](const std::string& text, const std::string& preset) {
        return text.find("cmake --preset " + preset + " && cmake --build --preset " + preset) != std::string::npos;
    };
    if (const std::string cuda = message(ADZE_BACKEND_CUDA); !cuda.empty()) {
        EXPECT_TRUE(builds(cuda, "cuda") || cuda.find("no device: cudaGetDeviceCount: cuda") != std::string::npos)
            << cuda;
    }
    setenv("ADZE_PLUGIN_PATH", "/adze/plugins/of/this/test", 1);
    for (auto [backend, name] : {std::pair{ADZE_BACKEND_SIM, "sim"}, {ADZE_BACKEND_HIP, "hip"}}) {
        const std::string text = message(backend);
        if (text.empty() || text.find("no device: hipGetDeviceCount: hip") != std::string::npos) continue;
        EXPECT_TRUE(builds(text, name)) << text;
        if (text.find("not a plug-in of this build") != std::string::npos) continue;  // left over in the checkout
        EXPECT_NE(text.find("looked for libadze_" + std::string(name) + ".so in /"), std::string::npos) << text;
        EXPECT_NE(text.find("/adze/plugins/of/this/test"), std::string::npos) << "ADZE_PLUGIN_PATH: " << text;
    }
}

TEST_P(Runtime, ContextCreateChecksEveryField) {
    const auto refuse = [](adze_status expected, const std::string& argument, const std::string& value, auto spoil) {
        adze_context_desc desc = kit::describe({});
        spoil(desc);
        adze_context* out = nullptr;
        EXPECT_TRUE(refused(adze_context_create(&desc, &out), expected, "adze_context_create", argument, value));
        EXPECT_EQ(out, nullptr);
    };
    constexpr adze_status kInvalid = ADZE_ERROR_INVALID_ARGUMENT;
    refuse(kInvalid, "backend", "17", [](auto& d) { d.backend = adze_backend(17); });
    refuse(kInvalid, "backend", "-1", [](auto& d) { d.backend = adze_backend(-1); });
    refuse(ADZE_ERROR_UNAVAILABLE, "device", "1", [](auto& d) { d.device = 1; });
    refuse(kInvalid, "num_threads", "-1", [](auto& d) { d.num_threads = -1; });
    refuse(kInvalid, "num_threads", "1025", [](auto& d) { d.num_threads = 1025; });
    refuse(kInvalid, "cpu_isa", "4", [](auto& d) { d.cpu_isa = adze_cpu_isa(4); });
    refuse(kInvalid, "cpu_isa", "-1", [](auto& d) { d.cpu_isa = adze_cpu_isa(-1); });
    refuse(kInvalid, "flags", "", [](auto& d) { d.flags = 0x80; });
    EXPECT_TRUE(invalid(adze_context_create(nullptr, nullptr), "adze_context_create", "context"));
    kit::check_struct_size(kit::describe({}), "adze_context_create", [](const adze_context_desc* d) {
        adze_context* raw = nullptr;
        const adze_status status = adze_context_create(d, &raw);
        const Context context(raw);
        return status;
    });
    adze_context* raw = nullptr;
    ADZE_ASSERT_OK(adze_context_create(nullptr, &raw));
    EXPECT_NE(raw, nullptr);
    ADZE_EXPECT_OK(adze_context_destroy(raw));
    adze_context_desc desc = kit::describe({ADZE_CPU_ISA_PORTABLE, 1024});
    desc.flags = ADZE_CONTEXT_DETERMINISTIC | ADZE_CONTEXT_CHECK_INDICES;
    ADZE_ASSERT_OK(adze_context_create(&desc, &raw));
    ADZE_EXPECT_OK(adze_context_destroy(raw));
}

TEST_P(Runtime, DestroyingNullDoesNothing) {
    ADZE_EXPECT_OK(adze_context_destroy(nullptr));
    ADZE_EXPECT_OK(adze_buffer_destroy(nullptr));
    ADZE_EXPECT_OK(adze_stream_destroy(nullptr));
    ADZE_EXPECT_OK(adze_event_destroy(nullptr));
    ADZE_EXPECT_OK(adze_graph_destroy(nullptr));
    ADZE_EXPECT_OK(adze_weight_destroy(nullptr));
    ADZE_EXPECT_OK(adze_attention_plan_destroy(nullptr));
    EXPECT_EQ(adze_buffer_data(nullptr), nullptr);
    EXPECT_EQ(adze_buffer_bytes(nullptr), 0u);
}

TEST_P(Runtime, AContextOutlivesEverythingMadeFromIt) {
    const float one = 1;
    const adze_weight_desc weight{sizeof weight, ADZE_DTYPE_F32, &one, 1, 1, 0};
    const adze_attention_plan_desc plan{sizeof plan, 1, 1, 8, 8, 16, 1, 0, 0, 1, 1, 1};
    const auto child = [](const char* what, auto create, auto destroy) {
        SCOPED_TRACE(what);
        Context parent = kit::make_context();
        auto* raw = create(parent);
        ASSERT_NE(raw, nullptr) << adze_last_error();
        EXPECT_TRUE(refused(adze_context_destroy(parent), ADZE_ERROR_INVALID_STATE, "adze_context_destroy", "context"));
        adze_device_info info{};
        info.struct_size = sizeof info;
        ADZE_EXPECT_OK(adze_context_info(parent, &info));  // still alive
        ADZE_EXPECT_OK(destroy(raw));
        ADZE_EXPECT_OK(adze_context_destroy(parent.release()));
    };
    child(
        "buffer",
        [](adze_context* c) {
            adze_buffer* out = nullptr;
            adze_buffer_create(c, 64, &out);
            return out;
        },
        adze_buffer_destroy);
    child(
        "adopted buffer",
        [&](adze_context* c) {
            static float memory[4];
            adze_buffer* out = nullptr;
            adze_buffer_adopt(c, memory, sizeof memory, &out);
            return out;
        },
        adze_buffer_destroy);
    child(
        "stream",
        [](adze_context* c) {
            adze_stream* out = nullptr;
            adze_stream_create(c, &out);
            return out;
        },
        adze_stream_destroy);
    child(
        "event",
        [](adze_context* c) {
            adze_event* out = nullptr;
            adze_event_create(c, &out);
            return out;
        },
        adze_event_destroy);
    child(
        "weight",
        [&](adze_context* c) {
            adze_weight* out = nullptr;
            adze_weight_create(c, &weight, &out);
            return out;
        },
        adze_weight_destroy);
    child(
        "plan",
        [&](adze_context* c) {
            adze_attention_plan* out = nullptr;
            adze_attention_plan_create(c, &plan, &out);
            return out;
        },
        adze_attention_plan_destroy);
    child(
        "graph",
        [](adze_context* c) {
            adze_stream* stream = nullptr;
            adze_graph* out = nullptr;
            adze_stream_create(c, &stream);
            adze_stream_begin_capture(stream);
            adze_stream_end_capture(stream, &out);
            adze_stream_destroy(stream);
            return out;
        },
        adze_graph_destroy);
}

TEST_P(Runtime, BuffersHoldWhatIsWritten) {
    const Buffer a = buffer(1000), b = buffer(1000), empty = buffer(0);
    EXPECT_EQ(adze_buffer_bytes(a), 1000u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(adze_buffer_data(a)) % 256, 0u);
    EXPECT_EQ(adze_buffer_data(empty), nullptr);
    EXPECT_EQ(adze_buffer_bytes(empty), 0u);
    std::vector<unsigned char> in(1000), out(1000);
    for (auto& byte : in) byte = static_cast<unsigned char>(random.next());
    ADZE_ASSERT_OK(adze_buffer_write(a, 0, in.data(), 1000, stream));
    ADZE_ASSERT_OK(adze_buffer_fill(b, 0, 0x77, 1000, stream));
    ADZE_ASSERT_OK(adze_buffer_copy(b, 13, a, 401, 333, stream));
    ADZE_ASSERT_OK(adze_buffer_read(b, 0, out.data(), 1000, stream));
    ADZE_ASSERT_OK(adze_stream_synchronize(stream));
    for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(out[i], i >= 13 && i < 346 ? in[i - 13 + 401] : 0x77) << i;
    // Within one buffer, ranges side by side.
    ADZE_ASSERT_OK(adze_buffer_copy(a, 0, a, 500, 500, stream));
    ADZE_ASSERT_OK(adze_buffer_read(a, 0, out.data(), 500, stream));
    ADZE_ASSERT_OK(adze_stream_synchronize(stream));
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + 500, in.begin() + 500));
    // Nothing at the very end is legal, and needs no pointer.
    ADZE_EXPECT_OK(adze_buffer_write(a, 1000, nullptr, 0, stream));
    ADZE_EXPECT_OK(adze_buffer_read(empty, 0, nullptr, 0, stream));
    ADZE_EXPECT_OK(adze_buffer_fill(empty, 0, 1, 0, stream));
}

TEST_P(Runtime, BufferCallsCheckTheirRanges) {
    const Buffer a = buffer(100), b = buffer(100);
    char host[128] = {};
    adze_buffer* out = nullptr;
    EXPECT_TRUE(invalid(adze_buffer_write(a, 60, host, 41, stream), "adze_buffer_write", "bytes", "41"));
    EXPECT_TRUE(invalid(adze_buffer_write(a, UINT64_MAX, host, 2, stream), "adze_buffer_write", "offset"));
    EXPECT_TRUE(invalid(adze_buffer_write(a, 8, host, UINT64_MAX - 4, stream), "adze_buffer_write", "bytes"));
    EXPECT_TRUE(invalid(adze_buffer_write(a, 0, nullptr, 4, stream), "adze_buffer_write", "source"));
    EXPECT_TRUE(invalid(adze_buffer_write(nullptr, 0, host, 4, stream), "adze_buffer_write", "buffer"));
    EXPECT_TRUE(invalid(adze_buffer_write(a, 0, host, 4, nullptr), "adze_buffer_write", "stream"));
    EXPECT_TRUE(invalid(adze_buffer_read(a, 101, host, 0, stream), "adze_buffer_read", "offset", "101"));
    EXPECT_TRUE(invalid(adze_buffer_read(a, 0, nullptr, 4, stream), "adze_buffer_read", "destination"));
    EXPECT_TRUE(invalid(adze_buffer_read(nullptr, 0, host, 4, stream), "adze_buffer_read", "buffer"));
    EXPECT_TRUE(invalid(adze_buffer_fill(a, 99, 0, 2, stream), "adze_buffer_fill", "bytes", "2"));
    EXPECT_TRUE(invalid(adze_buffer_copy(a, 0, b, 90, 11, stream), "adze_buffer_copy", "source", "90"));
    EXPECT_TRUE(invalid(adze_buffer_copy(a, 90, b, 0, 11, stream), "adze_buffer_copy", "destination", "90"));
    EXPECT_TRUE(invalid(adze_buffer_copy(a, 0, a, 5, 10, stream), "adze_buffer_copy", "overlap"));
    EXPECT_TRUE(invalid(adze_buffer_copy(a, 0, nullptr, 5, 10, stream), "adze_buffer_copy", "source"));
    EXPECT_TRUE(invalid(adze_buffer_adopt(context, nullptr, 10, &out), "adze_buffer_adopt", "data"));
    EXPECT_TRUE(invalid(adze_buffer_adopt(context, host, 10, nullptr), "adze_buffer_adopt", "buffer"));
    EXPECT_TRUE(invalid(adze_buffer_create(nullptr, 10, &out), "adze_buffer_create", "context"));
    EXPECT_TRUE(invalid(adze_buffer_create(context, 10, nullptr), "adze_buffer_create", "buffer"));
    for (uint64_t bytes : {uint64_t{1} << 60, UINT64_MAX, UINT64_MAX - 100}) {
        const adze_status status = adze_buffer_create(context, bytes, &out);
        EXPECT_TRUE(refused(status, ADZE_ERROR_OUT_OF_MEMORY, "adze_buffer_create", "bytes", std::to_string(bytes)));
    }
    EXPECT_EQ(out, nullptr);
    const Context other = kit::make_context();
    const Stream foreign = kit::make_stream(other);
    EXPECT_TRUE(invalid(adze_buffer_write(a, 0, host, 4, foreign), "adze_buffer_write", "stream"));
    const Buffer theirs = kit::make<Buffer>([&](adze_buffer** raw) { return adze_buffer_create(other, 100, raw); });
    EXPECT_TRUE(invalid(adze_buffer_copy(a, 0, theirs, 0, 4, stream), "adze_buffer_copy", "source"));
}

TEST_P(Runtime, AdoptedMemoryStaysTheCallers) {
    const kit::Fenced memory(64);
    std::memset(memory.data(), 1, 64);
    {
        const Buffer adopted = kit::make<Buffer>(
            [&](adze_buffer** out) { return adze_buffer_adopt(context, memory.data() + 3, 50, out); });
        EXPECT_EQ(adze_buffer_data(adopted), memory.data() + 3);
        EXPECT_EQ(adze_buffer_bytes(adopted), 50u);
        ADZE_EXPECT_OK(adze_buffer_fill(adopted, 0, 9, 50, stream));
        ADZE_EXPECT_OK(adze_stream_synchronize(stream));
    }
    EXPECT_EQ(std::count(memory.data(), memory.end(), std::byte{9}), 50);
    EXPECT_TRUE(memory.data()[2] == std::byte{1} && memory.data()[53] == std::byte{1});
}

TEST_P(Runtime, StreamsAndEvents) {
    adze_stream* raw = nullptr;
    if (on_cpu() || GetParam().backend == ADZE_BACKEND_SIM) {
        EXPECT_TRUE(refused(adze_stream_adopt(context, &raw, &raw), ADZE_ERROR_NOT_SUPPORTED, "adze_stream_adopt",
                            on_cpu() ? "cpu" : "sim"));
    }
    EXPECT_TRUE(invalid(adze_stream_create(nullptr, &raw), "adze_stream_create", "context"));
    EXPECT_TRUE(invalid(adze_stream_create(context, nullptr), "adze_stream_create", "stream"));
    EXPECT_TRUE(invalid(adze_stream_synchronize(nullptr), "adze_stream_synchronize", "stream"));

    Event start = event(), end = event();
    ADZE_EXPECT_OK(adze_event_synchronize(start));  // never recorded: at once
    double us = -1;
    EXPECT_TRUE(refused(adze_event_elapsed(start, end, &us), ADZE_ERROR_INVALID_STATE, "adze_event_elapsed", "start"));
    ADZE_ASSERT_OK(adze_event_record(start, stream));
    EXPECT_TRUE(refused(adze_event_elapsed(start, end, &us), ADZE_ERROR_INVALID_STATE, "adze_event_elapsed", "end"));
    EXPECT_EQ(us, -1);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ADZE_ASSERT_OK(adze_event_record(end, stream));
    ADZE_ASSERT_OK(adze_event_synchronize(end));
    ADZE_ASSERT_OK(adze_event_elapsed(start, end, &us));
    EXPECT_GT(us, 19'000);
    EXPECT_LT(us, 5e6);
    ADZE_ASSERT_OK(adze_event_record(start, stream));  // recorded again: the last one counts
    ADZE_ASSERT_OK(adze_event_synchronize(start));
    ADZE_ASSERT_OK(adze_event_elapsed(end, start, &us));
    EXPECT_GE(us, 0);
    const Stream second = kit::make_stream(context);
    ADZE_EXPECT_OK(adze_stream_wait_event(second, end));
    EXPECT_TRUE(invalid(adze_stream_wait_event(nullptr, end), "adze_stream_wait_event", "stream"));
    EXPECT_TRUE(invalid(adze_stream_wait_event(second, nullptr), "adze_stream_wait_event", "event"));
    EXPECT_TRUE(invalid(adze_event_record(nullptr, stream), "adze_event_record", "event"));
    EXPECT_TRUE(invalid(adze_event_record(start, nullptr), "adze_event_record", "stream"));
    EXPECT_TRUE(invalid(adze_event_elapsed(nullptr, end, &us), "adze_event_elapsed", "start"));
    EXPECT_TRUE(invalid(adze_event_elapsed(start, nullptr, &us), "adze_event_elapsed", "end"));
    EXPECT_TRUE(invalid(adze_event_elapsed(start, end, nullptr), "adze_event_elapsed", "microseconds"));
    EXPECT_TRUE(invalid(adze_event_synchronize(nullptr), "adze_event_synchronize", "event"));
    EXPECT_TRUE(invalid(adze_event_create(context, nullptr), "adze_event_create", "event"));
    const Context other = kit::make_context();
    const Stream foreign = kit::make_stream(other);
    EXPECT_TRUE(invalid(adze_event_record(start, foreign), "adze_event_record", "event"));
}

}  // namespace
