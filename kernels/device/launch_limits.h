// What every device refuses of a launch, in one sentence for all of them. Host code.
#pragma once

#include <cstdint>

#include "runtime/check.h"

namespace adze {

inline void require_launch_limits(const char* kernel, int64_t x, int64_t y, int64_t z, int threads, int warp_size,
                                  int64_t shared_bytes, int64_t shared_limit) {
    // HIP counts threads in 32 bits ("Execution Control", hipLaunchKernel).
    const int64_t most_x = warp_size == 64 ? int64_t{UINT32_MAX} / threads : INT32_MAX;
    if (x > most_x || y > UINT16_MAX || z > UINT16_MAX) {
        fail(ADZE_ERROR_NOT_SUPPORTED,
             "kernel %s: a grid of %lld x %lld x %lld blocks; allowed is %lld x 65535 x 65535", kernel,
             static_cast<long long>(x), static_cast<long long>(y), static_cast<long long>(z),
             static_cast<long long>(most_x));
    }
    if (shared_bytes > shared_limit) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s needs %lld bytes of shared memory a block; the device has %lld",
             kernel, static_cast<long long>(shared_bytes), static_cast<long long>(shared_limit));
    }
}

}  // namespace adze
