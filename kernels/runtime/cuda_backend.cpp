// The cuda backend: CUDA's runtime behind the table of runtime/gpu_backend.h.
#include <cuda_runtime_api.h>

#include "device/cuda/driver.h"
#include "device/cuda/launch_stream.h"
#include "runtime/gpu_backend.h"

namespace adze {

inline namespace target_cuda {
const GpuOperators& gpu_operators();  // runtime/gpu_operators.cu
}

namespace {

struct CudaApi {
    static constexpr adze_backend kBackend = ADZE_BACKEND_CUDA;
    static constexpr const char* kName = "cuda";  // also what its calls begin with
    static constexpr const char* kBuiltFor = ADZE_GPU_ARCHITECTURES;
    using Limits = CudaLimits;

    ADZE_GPU_CALLS(cuda);

    using Error = cudaError_t;
    static constexpr Error kSuccess = cudaSuccess, kOutOfMemory = cudaErrorMemoryAllocation,
                           kNoDevice = cudaErrorNoDevice, kNoDriver = cudaErrorInsufficientDriver,
                           kNotReady = cudaErrorNotReady, kInvalidHandle = cudaErrorInvalidResourceHandle,
                           kNotSupported = cudaErrorNotSupported;

    using Properties = cudaDeviceProp;
    static constexpr auto GetDeviceProperties = cudaGetDeviceProperties;

    // The thread's context and not its device: to restore device 0 of a thread that has used none, the runtime would
    // ready that device. Of a device it is the primary context, which the runtime's calls use, too.
    using DeviceHandle = CUcontext;
    // For as long as the process runs, as the runtime does: whoever lets go last resets the device.
    static Error KeepDevice(int index, DeviceHandle* handle) {
        CUdevice device = 0;
        const Error error = of(cuda_driver().device_get(&device, index));
        return error != kSuccess ? error : of(cuda_driver().device_primary_ctx_retain(handle, device));
    }
    static Error EnterDevice(DeviceHandle handle, DeviceHandle* before) {
        const Error error = of(cuda_driver().ctx_get_current(before));
        return error != kSuccess ? error : of(cuda_driver().ctx_set_current(handle));
    }
    static Error LeaveDevice(DeviceHandle before) { return of(cuda_driver().ctx_set_current(before)); }
    // The runtime and the driver number their errors alike.
    static Error of(CUresult result) { return static_cast<Error>(result); }
    static_assert(static_cast<int>(CUDA_ERROR_OUT_OF_MEMORY) == cudaErrorMemoryAllocation &&
                  static_cast<int>(CUDA_ERROR_INVALID_CONTEXT) == cudaErrorDeviceUninitialized &&
                  static_cast<int>(CUDA_ERROR_ILLEGAL_ADDRESS) == cudaErrorIllegalAddress &&
                  static_cast<int>(CUDA_ERROR_NOT_SUPPORTED) == cudaErrorNotSupported);

    using CopyKind = cudaMemcpyKind;
    static constexpr CopyKind kHostToDevice = cudaMemcpyHostToDevice, kDeviceToHost = cudaMemcpyDeviceToHost,
                              kDeviceToDevice = cudaMemcpyDeviceToDevice;
    static constexpr auto Malloc = cudaMalloc;
    static Error MallocHost(void** data, size_t bytes) { return cudaMallocHost(data, bytes); }
    static constexpr auto FreeHost = cudaFreeHost;

    static CUmemLocation location(int device) { return {CU_MEM_LOCATION_TYPE_DEVICE, device}; }
    static CUmemAllocationProp on_device(int device) {
        CUmemAllocationProp properties{};
        properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
        properties.location = location(device);
        return properties;
    }
    static CUdeviceptr address(void* data) { return reinterpret_cast<CUdeviceptr>(data); }
    static Error GetGranularity(size_t* bytes, int device) {
        const CUmemAllocationProp properties = on_device(device);
        return of(
            cuda_virtual_memory().get_allocation_granularity(bytes, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    }
    static Error ReserveAddresses(void** data, size_t bytes, size_t alignment) {
        return of(cuda_virtual_memory().address_reserve(reinterpret_cast<CUdeviceptr*>(data), bytes, alignment, 0, 0));
    }
    static Error FreeAddresses(void* data, size_t bytes) {
        return of(cuda_virtual_memory().address_free(address(data), bytes));
    }
    // The memory goes when it is unmapped: its handle is given up at once.
    static Error MapMemory(void* data, size_t bytes, int device) {
        const CudaVirtualMemory& memory = cuda_virtual_memory();
        const CUmemAllocationProp properties = on_device(device);
        CUmemGenericAllocationHandle handle = 0;
        const CUresult created = memory.create(&handle, bytes, &properties, 0);
        if (created != CUDA_SUCCESS) return of(created);
        const CUresult mapped = memory.map(address(data), bytes, 0, handle, 0);
        memory.release(handle);
        return of(mapped);
    }
    static Error AllowAccess(void* data, size_t bytes, int device) {
        const CUmemAccessDesc access{location(device), CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
        return of(cuda_virtual_memory().set_access(address(data), bytes, &access, 1));
    }
    static Error UnmapMemory(void* data, size_t bytes) { return of(cuda_virtual_memory().unmap(address(data), bytes)); }

    using Stream = cudaStream_t;
    static constexpr auto StreamDestroy = cudaStreamDestroy;
    static constexpr unsigned kStreamNonBlocking = cudaStreamNonBlocking;

    using Event = cudaEvent_t;
    static constexpr unsigned kEventDefault = cudaEventDefault;
    static constexpr auto EventRecord = cudaEventRecord;

    using Graph = cudaGraph_t;
    using GraphExec = cudaGraphExec_t;
    using CaptureMode = cudaStreamCaptureMode;
    static constexpr CaptureMode kCaptureRelaxed = cudaStreamCaptureModeRelaxed;
    // Events in a graph are recorded and waited for when it runs.
    static Error RecordInGraph(Stream stream, Event event) {
        return cudaEventRecordWithFlags(event, stream, cudaEventRecordExternal);
    }
    static Error WaitInGraph(Stream stream, Event event) {
        return cudaStreamWaitEvent(stream, event, cudaEventWaitExternal);
    }

    static std::string architecture(const Properties& p) {
        const std::string name = "sm_" + std::to_string(p.major) + std::to_string(p.minor);
        return name == "sm_90" ? "sm_90a" : name;
    }
    static uint64_t shared_bytes(const Properties& p) { return p.sharedMemPerBlockOptin; }
    static const GpuCode* find_code(const Properties& p) { return find_cuda_code(kBuiltFor, p.major, p.minor); }
    static const GpuOperators& operators() { return gpu_operators(); }
};

}  // namespace

const BackendTable& cuda_backend() {
    return GpuBackend<CudaApi>::table();
}

}  // namespace adze
