#pragma once

#include "device/sim/device.h"
#include "runtime/check.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Kernel>
void launch(LaunchStream& stream, Grid grid, int64_t shared_bytes, const typename Kernel::Params& params) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    static_assert(Kernel::kThreads % 64 == 0 && Kernel::kThreads <= sim::kMaxThreads);
    if constexpr (!Kernel::runs_on(kTarget.arch)) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "kernel %s has no code for %s", Kernel::kName, stream.device().architecture);
    } else {
        sim::LaunchConfig config{Kernel::kName, {grid.x, grid.y, grid.z}, Kernel::kThreads, shared_bytes, false};
        if constexpr (requires { Kernel::kOverlaps; }) config.overlaps = Kernel::kOverlaps;
        stream.launch({config, [](const void* p) { Kernel::run(*static_cast<const typename Kernel::Params*>(p)); },
                       std::make_shared<const typename Kernel::Params>(params)});
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
