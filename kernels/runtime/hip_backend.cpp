// The hip backend, a plug-in: HIP's runtime behind the table of runtime/gpu_backend.h.
#include <hip/hip_runtime_api.h>

#include "device/hip/launch_stream.h"
#include "runtime/gpu_backend.h"
#include "runtime/plugin_fail.h"

namespace adze {

inline namespace target_hip {
const GpuOperators& gpu_operators();  // runtime/gpu_operators.cu
}

namespace {

struct HipApi {
    static constexpr adze_backend kBackend = ADZE_BACKEND_HIP;
    static constexpr const char* kName = "hip";  // also what its calls begin with
    static constexpr const char* kBuiltFor = ADZE_GPU_ARCHITECTURES;
    using Limits = HipLimits;

    using Error = hipError_t;
    static constexpr Error kSuccess = hipSuccess, kOutOfMemory = hipErrorOutOfMemory, kNoDevice = hipErrorNoDevice,
                           kNoDriver = hipErrorInsufficientDriver, kNotReady = hipErrorNotReady,
                           kInvalidHandle = hipErrorInvalidHandle;
    static constexpr auto GetErrorName = hipGetErrorName;
    static constexpr auto GetErrorString = hipGetErrorString;
    static constexpr auto GetLastError = hipGetLastError;

    using Properties = hipDeviceProp_t;
    static constexpr auto GetDeviceCount = hipGetDeviceCount;
    static constexpr auto GetDeviceProperties = hipGetDeviceProperties;
    static constexpr auto GetDevice = hipGetDevice;
    static constexpr auto SetDevice = hipSetDevice;

    using CopyKind = hipMemcpyKind;
    static constexpr CopyKind kHostToDevice = hipMemcpyHostToDevice, kDeviceToHost = hipMemcpyDeviceToHost,
                              kDeviceToDevice = hipMemcpyDeviceToDevice;
    static constexpr hipError_t (*Malloc)(void**, size_t) = hipMalloc;  // of several overloads
    static constexpr auto Free = hipFree;
    static constexpr auto MemGetInfo = hipMemGetInfo;
    static constexpr auto MemcpyAsync = hipMemcpyAsync;
    static constexpr auto Memcpy2DAsync = hipMemcpy2DAsync;
    static constexpr auto MemsetAsync = hipMemsetAsync;

    using Stream = hipStream_t;
    static constexpr unsigned kStreamNonBlocking = hipStreamNonBlocking;
    static constexpr auto StreamCreateWithFlags = hipStreamCreateWithFlags;
    static constexpr auto StreamDestroy = hipStreamDestroy;
    static constexpr auto StreamSynchronize = hipStreamSynchronize;
    static constexpr auto StreamWaitEvent = hipStreamWaitEvent;

    using Event = hipEvent_t;
    static constexpr unsigned kEventDefault = hipEventDefault;
    static constexpr auto EventCreateWithFlags = hipEventCreateWithFlags;
    static constexpr auto EventDestroy = hipEventDestroy;
    static constexpr hipError_t (*EventRecord)(hipEvent_t, hipStream_t) = hipEventRecord;
    static constexpr auto EventSynchronize = hipEventSynchronize;
    static constexpr auto EventElapsedTime = hipEventElapsedTime;

    using Graph = hipGraph_t;
    using GraphExec = hipGraphExec_t;
    using CaptureStatus = hipStreamCaptureStatus;
    static constexpr CaptureStatus kNotCapturing = hipStreamCaptureStatusNone;
    static constexpr hipStreamCaptureMode kCaptureRelaxed = hipStreamCaptureModeRelaxed;
    static constexpr auto StreamIsCapturing = hipStreamIsCapturing;
    static constexpr auto StreamBeginCapture = hipStreamBeginCapture;
    static constexpr auto StreamEndCapture = hipStreamEndCapture;
    static constexpr auto GraphInstantiateWithFlags = hipGraphInstantiateWithFlags;
    static constexpr auto GraphLaunch = hipGraphLaunch;
    static constexpr auto GraphDestroy = hipGraphDestroy;
    static constexpr auto GraphExecDestroy = hipGraphExecDestroy;

    // Events in a graph are recorded and waited for when it runs. A capture has no call for that: the node is put
    // behind what was captured so far by hand.
    template <class AddNode>
    static Error add_event_node(Stream stream, Event event, AddNode add_node) {
        CaptureStatus status;
        Graph graph = nullptr;
        const hipGraphNode_t* before = nullptr;
        size_t count = 0;
        Error error = hipStreamGetCaptureInfo_v2(stream, &status, nullptr, &graph, &before, &count);
        hipGraphNode_t node = nullptr;
        if (error == hipSuccess) error = add_node(&node, graph, before, count, event);
        if (error != hipSuccess) return error;
        return hipStreamUpdateCaptureDependencies(stream, &node, 1, hipStreamSetCaptureDependencies);
    }
    static Error RecordInGraph(Stream stream, Event event) {
        return add_event_node(stream, event, hipGraphAddEventRecordNode);
    }
    static Error WaitInGraph(Stream stream, Event event) {
        return add_event_node(stream, event, hipGraphAddEventWaitNode);
    }

    // Without the features that follow the name, as in "gfx90a:sramecc+:xnack-".
    static std::string architecture(const Properties& p) {
        const std::string name = p.gcnArchName;
        return name.substr(0, name.find(':'));
    }
    static uint64_t shared_bytes(const Properties& p) { return p.sharedMemPerBlock; }
    static const GpuCode* find_code(const Properties& p) { return find_hip_code(kBuiltFor, architecture(p)); }
    static const GpuOperators& operators() { return gpu_operators(); }
};

const BackendTable* open(const HostServices& services) {
    set_host(services);
    return &GpuBackend<HipApi>::table();
}

}  // namespace
}  // namespace adze

extern "C" __attribute__((visibility("default"))) const adze::Plugin adze_plugin;
const adze::Plugin adze_plugin{ADZE_INTERFACE_HASH, adze::open};
