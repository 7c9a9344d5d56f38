// HIP API, "Execution Control".
#pragma once

#include "device/hip/launch_stream.h"
#include "device/launch_check.h"

namespace adze {
inline namespace ADZE_TARGET {

// HIP's second launch bound is in waves for each of a processor's four units.
template <class Kernel>
constexpr int min_waves() {
    if constexpr (requires { Kernel::kBlocksPerProcessor; }) {
        return (Kernel::kBlocksPerProcessor * Kernel::kThreads / kWarpSize + 3) / 4;
    } else {
        return 1;
    }
}

// Outside of device code, which must not call host functions even in constants.
template <class Kernel>
constexpr bool kRunsHere = Kernel::runs_on(kTarget.arch);

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, min_waves<Kernel>())
    kernel_entry(const typename Kernel::Params params) {
    if constexpr (kRunsHere<Kernel>) Kernel::run(params);
}

inline void check_launch(hipError_t error, const char* kernel, const char* call) {
    if (error == hipSuccess) return;
    static_cast<void>(hipGetLastError());                 // else it would be another call's failure
    const bool no_memory = error == hipErrorOutOfMemory;  // for its code
    fail(no_memory ? ADZE_ERROR_OUT_OF_MEMORY : ADZE_ERROR_DEVICE, "kernel %s: %s: %s", kernel, call,
         hipGetErrorString(error));
}

template <class Kernel>
void launch(LaunchStream& stream, Grid grid, int64_t shared_bytes, const typename Kernel::Params& params) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    require_launch<Kernel>(stream, grid, shared_bytes);
    void* arguments[] = {const_cast<typename Kernel::Params*>(&params)};
    const dim3 blocks(static_cast<uint32_t>(grid.x), static_cast<uint32_t>(grid.y), static_cast<uint32_t>(grid.z));
    check_launch(hipLaunchKernel(reinterpret_cast<const void*>(&kernel_entry<Kernel>), blocks, dim3(Kernel::kThreads),
                                 arguments, static_cast<size_t>(shared_bytes), stream.native()),
                 Kernel::kName, "hipLaunchKernel");
}

}  // namespace ADZE_TARGET
}  // namespace adze
