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

    ADZE_GPU_CALLS(hip);

    using Error = hipError_t;
    static constexpr Error kSuccess = hipSuccess, kOutOfMemory = hipErrorOutOfMemory, kNoDevice = hipErrorNoDevice,
                           kNoDriver = hipErrorInsufficientDriver, kNotReady = hipErrorNotReady,
                           kInvalidHandle = hipErrorInvalidHandle, kNotSupported = hipErrorNotSupported;

    using Properties = hipDeviceProp_t;
    static constexpr auto GetDeviceProperties = hipGetDeviceProperties;

    using DeviceHandle = int;
    static Error KeepDevice(int index, DeviceHandle* handle) {
        *handle = index;
        return kSuccess;
    }
    static Error EnterDevice(DeviceHandle handle, DeviceHandle* before) {
        const Error error = hipGetDevice(before);
        return error != kSuccess || *before == handle ? error : hipSetDevice(handle);
    }
    static Error LeaveDevice(DeviceHandle before) { return hipSetDevice(before); }

    using CopyKind = hipMemcpyKind;
    static constexpr CopyKind kHostToDevice = hipMemcpyHostToDevice, kDeviceToHost = hipMemcpyDeviceToHost,
                              kDeviceToDevice = hipMemcpyDeviceToDevice;
    static constexpr hipError_t (*Malloc)(void**, size_t) = hipMalloc;  // of several overloads
    static Error MallocHost(void** data, size_t bytes) { return hipHostMalloc(data, bytes, hipHostMallocDefault); }
    static constexpr auto FreeHost = hipHostFree;

    static hipMemLocation location(int device) { return {hipMemLocationTypeDevice, device}; }
    static hipMemAllocationProp on_device(int device) {
        hipMemAllocationProp properties{};
        properties.type = hipMemAllocationTypePinned;
        properties.location = location(device);
        return properties;
    }
    static Error GetGranularity(size_t* bytes, int device) {
        const hipMemAllocationProp properties = on_device(device);
        return hipMemGetAllocationGranularity(bytes, &properties, hipMemAllocationGranularityRecommended);
    }
    static Error ReserveAddresses(void** data, size_t bytes, size_t alignment) {
        return hipMemAddressReserve(data, bytes, alignment, nullptr, 0);
    }
    static constexpr auto FreeAddresses = hipMemAddressFree;
    // The memory goes when it is unmapped: its handle is given up at once.
    static Error MapMemory(void* data, size_t bytes, int device) {
        const hipMemAllocationProp properties = on_device(device);
        hipMemGenericAllocationHandle_t handle = nullptr;
        const Error created = hipMemCreate(&handle, bytes, &properties, 0);
        if (created != kSuccess) return created;
        const Error mapped = hipMemMap(data, bytes, 0, handle, 0);
        static_cast<void>(hipMemRelease(handle));
        return mapped;
    }
    static Error AllowAccess(void* data, size_t bytes, int device) {
        const hipMemAccessDesc access{location(device), hipMemAccessFlagsProtReadWrite};
        return hipMemSetAccess(data, bytes, &access, 1);
    }
    static constexpr auto UnmapMemory = hipMemUnmap;

    using Stream = hipStream_t;
    // hipStreamDestroy may drop what the stream still has to do.
    static Error StreamDestroy(Stream stream) {
        const Error error = hipStreamSynchronize(stream);
        const Error destroyed = hipStreamDestroy(stream);
        return error != kSuccess ? error : destroyed;
    }
    static constexpr unsigned kStreamNonBlocking = hipStreamNonBlocking;

    using Event = hipEvent_t;
    static constexpr unsigned kEventDefault = hipEventDefault;
    static constexpr hipError_t (*EventRecord)(hipEvent_t, hipStream_t) = hipEventRecord;

    using Graph = hipGraph_t;
    using GraphExec = hipGraphExec_t;
    using CaptureMode = hipStreamCaptureMode;
    static constexpr CaptureMode kCaptureRelaxed = hipStreamCaptureModeRelaxed;

    // Events in a graph are recorded and waited for when it runs. A capture has no call for that: the node is put
    // behind what was captured so far by hand.
    template <class AddNode>
    static Error add_event_node(Stream stream, Event event, AddNode add_node) {
        hipStreamCaptureStatus status;
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
