// What a launch runs on: host code, for the backend that makes it and for launch.h. Compiled by any compiler.
#pragma once

#include <cuda_runtime_api.h>

#include "device/arch.h"

namespace adze {

struct CudaLimits {
    Arch arch;  // of the code that the device runs
    int num_processors;
    int64_t shared_limit;  // bytes that a block may have
};

class LaunchStream {
public:
    LaunchStream(cudaStream_t native, const CudaLimits& limits) : native_(native), limits_(&limits) {}
    Arch arch() const { return limits_->arch; }
    int num_processors() const { return limits_->num_processors; }
    int64_t shared_limit() const { return limits_->shared_limit; }
    // Asks the runtime: the caller's own stream may be captured without our knowing.
    bool capturing() const {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        if (cudaStreamIsCapturing(native_, &status) == cudaSuccess) return status != cudaStreamCaptureStatusNone;
        static_cast<void>(cudaGetLastError());  // else it would be another call's failure
        return false;
    }
    cudaStream_t native() const { return native_; }

private:
    cudaStream_t native_;
    const CudaLimits* limits_;
};

}  // namespace adze
