// What a launch is checked for before the vendor's runtime sees it.
#pragma once

#include "device/launch.h"
#include "runtime/check.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Kernel>
void require_launch(const LaunchStream& stream, const Grid& grid, int64_t shared_bytes) {
    static_assert(Kernel::kThreads % 64 == 0 && Kernel::kThreads <= 1024);
    if (!Kernel::runs_on(stream.arch())) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s does not run on architecture %d", Kernel::kName,
             static_cast<int>(stream.arch()));
    }
    if (shared_bytes > stream.shared_limit()) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s needs %lld bytes of shared memory a block; the device has %lld",
             Kernel::kName, static_cast<long long>(shared_bytes), static_cast<long long>(stream.shared_limit()));
    }
    if (grid.x > INT32_MAX || grid.y > UINT16_MAX || grid.z > UINT16_MAX) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s: a grid of %lld x %lld x %lld blocks is too large", Kernel::kName,
             static_cast<long long>(grid.x), static_cast<long long>(grid.y), static_cast<long long>(grid.z));
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
