// What a launch runs on: host code, for the backend that makes it and for launch.h.
#pragma once

#include <hip/hip_runtime_api.h>

#include "device/arch.h"

namespace adze {

struct HipLimits {
    Arch arch;
    int num_processors;
    int64_t shared_limit;  // bytes that a block may have
};

class LaunchStream {
public:
    LaunchStream(hipStream_t native, const HipLimits& limits) : native_(native), limits_(&limits) {}
    Arch arch() const { return limits_->arch; }
    int num_processors() const { return limits_->num_processors; }
    int64_t shared_limit() const { return limits_->shared_limit; }
    // Asks the runtime: the caller's own stream may be captured without our knowing.
    bool capturing() const {
        hipStreamCaptureStatus status = hipStreamCaptureStatusNone;
        if (hipStreamIsCapturing(native_, &status) == hipSuccess) return status != hipStreamCaptureStatusNone;
        static_cast<void>(hipGetLastError());  // else it would be another call's failure
        return false;
    }
    hipStream_t native() const { return native_; }

private:
    hipStream_t native_;
    const HipLimits* limits_;
};

}  // namespace adze
