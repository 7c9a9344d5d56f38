// The cuda backend: CUDA's runtime behind the table of runtime/gpu_backend.h.
#include <cuda_runtime_api.h>

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

    using Error = cudaError_t;
    static constexpr Error kSuccess = cudaSuccess, kOutOfMemory = cudaErrorMemoryAllocation,
                           kNoDevice = cudaErrorNoDevice, kNoDriver = cudaErrorInsufficientDriver,
                           kNotReady = cudaErrorNotReady, kInvalidHandle = cudaErrorInvalidResourceHandle;
    static constexpr auto GetErrorName = cudaGetErrorName;
    static constexpr auto GetErrorString = cudaGetErrorString;
    static constexpr auto GetLastError = cudaGetLastError;

    using Properties = cudaDeviceProp;
    static constexpr auto GetDeviceCount = cudaGetDeviceCount;
    static constexpr auto GetDeviceProperties = cudaGetDeviceProperties;
    static constexpr auto GetDevice = cudaGetDevice;
    static constexpr auto SetDevice = cudaSetDevice;

    using CopyKind = cudaMemcpyKind;
    static constexpr CopyKind kHostToDevice = cudaMemcpyHostToDevice, kDeviceToHost = cudaMemcpyDeviceToHost,
                              kDeviceToDevice = cudaMemcpyDeviceToDevice;
    static constexpr auto Malloc = cudaMalloc;
    static constexpr auto Free = cudaFree;
    static constexpr auto MemGetInfo = cudaMemGetInfo;
    static constexpr auto MemcpyAsync = cudaMemcpyAsync;
    static constexpr auto Memcpy2DAsync = cudaMemcpy2DAsync;
    static constexpr auto MemsetAsync = cudaMemsetAsync;

    using Stream = cudaStream_t;
    static constexpr unsigned kStreamNonBlocking = cudaStreamNonBlocking;
    static constexpr auto StreamCreateWithFlags = cudaStreamCreateWithFlags;
    static constexpr auto StreamDestroy = cudaStreamDestroy;
    static constexpr auto StreamSynchronize = cudaStreamSynchronize;
    static constexpr auto StreamWaitEvent = cudaStreamWaitEvent;

    using Event = cudaEvent_t;
    static constexpr unsigned kEventDefault = cudaEventDefault;
    static constexpr auto EventCreateWithFlags = cudaEventCreateWithFlags;
    static constexpr auto EventDestroy = cudaEventDestroy;
    static constexpr auto EventRecord = cudaEventRecord;
    static constexpr auto EventSynchronize = cudaEventSynchronize;
    static constexpr auto EventElapsedTime = cudaEventElapsedTime;

    using Graph = cudaGraph_t;
    using GraphExec = cudaGraphExec_t;
    using CaptureStatus = cudaStreamCaptureStatus;
    static constexpr CaptureStatus kNotCapturing = cudaStreamCaptureStatusNone;
    static constexpr cudaStreamCaptureMode kCaptureRelaxed = cudaStreamCaptureModeRelaxed;
    static constexpr auto StreamIsCapturing = cudaStreamIsCapturing;
    static constexpr auto StreamBeginCapture = cudaStreamBeginCapture;
    static constexpr auto StreamEndCapture = cudaStreamEndCapture;
    static constexpr auto GraphInstantiateWithFlags = cudaGraphInstantiateWithFlags;
    static constexpr auto GraphLaunch = cudaGraphLaunch;
    static constexpr auto GraphDestroy = cudaGraphDestroy;
    static constexpr auto GraphExecDestroy = cudaGraphExecDestroy;
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
