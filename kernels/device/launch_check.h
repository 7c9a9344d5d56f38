// What a launch is checked for before the vendor's runtime sees it.
#pragma once

#include "device/launch.h"
#include "device/launch_limits.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Kernel>
void require_launch(const LaunchStream& stream, const Grid& grid, int64_t shared_bytes) {
    static_assert(Kernel::kThreads % 64 == 0 && Kernel::kThreads <= 1024);
    if (!Kernel::runs_on(stream.arch())) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s has no code for this device's architecture", Kernel::kName);
    }
    require_launch_limits(Kernel::kName, grid.x, grid.y, grid.z, Kernel::kThreads, kWarpSize, shared_bytes,
                          stream.shared_limit());
}

}  // namespace ADZE_TARGET
}  // namespace adze
