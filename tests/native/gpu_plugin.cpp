// A plug-in over runtime/gpu_backend.h with a vendor's runtime of the test's own: memory is the host's, virtual memory is kept
// account of, and there are no kernels.
#include "gpu_plugin.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace adze {

class LaunchStream {  // what nothing is launched on
public:
    LaunchStream(int*, int) {}
    bool capturing() const { return false; }
};

}  // namespace adze

#include "runtime/gpu_backend.h"
#include "runtime/plugin_fail.h"

extern "C" __attribute__((visibility("default"))) FakeGpu fake_gpu;
FakeGpu fake_gpu;

namespace adze {

namespace {

enum Error { kOk, kOutOfMemory, kNoDevice, kNoDriver, kNotReady, kInvalid, kNotSupported };

constexpr auto kSucceeds = [](auto&&...) { return kOk; };
constexpr auto kSays = [](Error) { return "as the test wants it"; };

constexpr auto fakeGetErrorName = kSays, fakeGetErrorString = kSays;
constexpr auto fakeGetLastError = kSucceeds, fakeMemGetInfo = kSucceeds, fakeMemcpy2DAsync = kSucceeds,
               fakeStreamSynchronize = kSucceeds, fakeStreamWaitEvent = kSucceeds, fakeEventDestroy = kSucceeds,
               fakeEventSynchronize = kSucceeds, fakeEventElapsedTime = kSucceeds,
               fakeThreadExchangeStreamCaptureMode = kSucceeds, fakeStreamBeginCapture = kSucceeds,
               fakeStreamEndCapture = kSucceeds, fakeGraphInstantiateWithFlags = kSucceeds, fakeGraphLaunch = kSucceeds,
               fakeGraphDestroy = kSucceeds, fakeGraphExecDestroy = kSucceeds;
constexpr auto fakeGetDeviceCount = [](int* count) { return *count = 1, kOk; };
constexpr auto fakeFree = [](void* data) { return std::free(data), kOk; };
constexpr auto fakeMemcpyAsync = [](void* to, const void* from, size_t bytes, auto&&...) {
    return std::memcpy(to, from, bytes), kOk;
};
constexpr auto fakeMemsetAsync = [](void* data, int value, size_t bytes, auto&&...) {
    return std::memset(data, value, bytes), kOk;
};
constexpr auto fakeStreamCreateWithFlags = [](int** stream, auto&&...) { return *stream = nullptr, kOk; };
constexpr auto fakeEventCreateWithFlags = [](int** event, auto&&...) { return *event = nullptr, kOk; };

struct FakeApi {
    static constexpr adze_backend kBackend = ADZE_BACKEND_SIM;
    static constexpr const char *kName = "fake", *kBuiltFor = "gfx90a";
    struct Limits {
        Arch arch;
        int num_processors;
        int64_t shared_limit;
        operator int() const { return 0; }
    };

    ADZE_GPU_CALLS(fake);

    using Error = adze::Error;
    static constexpr Error kSuccess = kOk, kOutOfMemory = adze::kOutOfMemory, kNoDevice = adze::kNoDevice,
                           kNoDriver = adze::kNoDriver, kNotReady = adze::kNotReady, kInvalidHandle = kInvalid,
                           kNotSupported = adze::kNotSupported;

    struct Properties {
        const char* name = "fake";
        uint64_t totalGlobalMem = 1 << 30;
        int multiProcessorCount = 1, warpSize = 32;
    };
    static Error GetDeviceProperties(Properties* out, int) { return *out = {}, kOk; }

    using DeviceHandle = int;
    static constexpr auto KeepDevice = kSucceeds, EnterDevice = kSucceeds, LeaveDevice = kSucceeds;

    enum CopyKind { kHostToDevice, kDeviceToHost, kDeviceToDevice };
    static Error Malloc(void** data, size_t bytes) {
        *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
        return kOk;
    }
    static Error MallocHost(void** data, size_t bytes) {
        *data = std::malloc(bytes);
        return ++fake_gpu.pinned, kOk;
    }
    static Error FreeHost(void* data) {
        std::free(data);
        return --fake_gpu.pinned, kOk;
    }

    static Error GetGranularity(size_t* bytes, int) {
        *bytes = fake_gpu.granularity;
        return fake_gpu.has_virtual_memory ? kOk : kNotSupported;
    }
    static Error ReserveAddresses(void** data, size_t bytes, size_t alignment) {
        *data = std::aligned_alloc(alignment, bytes);
        return ++fake_gpu.reservations, kOk;
    }
    // What is mapped keeps its addresses.
    static Error FreeAddresses(void* data, size_t) {
        if (!fake_gpu.mapped.empty()) return kInvalid;
        std::free(data);
        return --fake_gpu.reservations, kOk;
    }
    static Error MapMemory(void* data, size_t, int) {
        if (fake_gpu.memory_left == 0) return kOutOfMemory;
        if (!fake_gpu.mapped.insert(data).second) return kInvalid;
        return --fake_gpu.memory_left, kOk;
    }
    static Error AllowAccess(void* data, size_t bytes, int) {
        if (fake_gpu.refuses_access) return kInvalid;
        const auto* end = static_cast<const char*>(data) + bytes;
        for (const void* granule : fake_gpu.mapped) {
            if (granule >= data && granule < end) fake_gpu.accessible.insert(granule);
        }
        return kOk;
    }
    // Of what was mapped at once, and of no part of it.
    static Error UnmapMemory(void* data, size_t bytes) {
        if (bytes != std::max<size_t>(fake_gpu.granularity, 2 << 20) || fake_gpu.mapped.erase(data) == 0)
            return kInvalid;
        fake_gpu.accessible.erase(data);
        return ++fake_gpu.memory_left, kOk;
    }

    using Stream = int*;
    static constexpr auto StreamDestroy = kSucceeds;
    static constexpr unsigned kStreamNonBlocking = 0;
    using Event = int*;
    static constexpr unsigned kEventDefault = 0;
    static constexpr auto EventRecord = kSucceeds;
    using Graph = int*;
    using GraphExec = int*;
    using CaptureMode = int;
    static constexpr CaptureMode kCaptureRelaxed = 0;
    static constexpr auto RecordInGraph = kSucceeds, WaitInGraph = kSucceeds;

    static std::string architecture(const Properties&) { return kBuiltFor; }
    static uint64_t shared_bytes(const Properties&) { return 65536; }
    static const GpuCode* find_code(const Properties&) { return find_hip_code(kBuiltFor, kBuiltFor); }
    static const GpuOperators& operators() {
        static const GpuOperators kOperators = [] {
            GpuOperators none{};
            none.attention_split = [](const AttentionShape&, Arch, int, bool) { return AttentionSplit{}; };
            none.require_attention = [](const AttentionShape&) {};
            return none;
        }();
        return kOperators;
    }
};

const BackendTable* open(const HostServices& services) {
    set_host(services);
    return &GpuBackend<FakeApi>::table();
}

}  // namespace
}  // namespace adze

extern "C" __attribute__((visibility("default"))) const adze::Plugin adze_plugin;
const adze::Plugin adze_plugin{ADZE_INTERFACE_HASH, adze::open};
