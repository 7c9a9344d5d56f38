// CUDA runtime API, "Execution Control".
#pragma once

#include <cuda_runtime.h>

#include "device/cuda/launch_stream.h"
#include "device/launch_check.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Kernel>
constexpr int min_blocks() {
    if constexpr (requires { Kernel::kBlocksPerProcessor; }) {
        return Kernel::kBlocksPerProcessor;
    } else {
        return 1;
    }
}
template <class Kernel>
constexpr bool overlaps() {
    if constexpr (requires { Kernel::kOverlaps; }) {
        return Kernel::kOverlaps;
    } else {
        return false;
    }
}

// Outside of device code, which must not call host functions even in constants.
template <class Kernel>
constexpr bool kRunsHere = Kernel::runs_on(kTarget.arch);

// __grid_constant__: tensor maps among the parameters are used where they are, not copied to a stack.
template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, min_blocks<Kernel>())
    kernel_entry(const __grid_constant__ typename Kernel::Params params) {
    if constexpr (kRunsHere<Kernel>) Kernel::run(params);
}

inline void check_launch(cudaError_t error, const char* kernel, const char* call) {
    if (error == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());                      // else it would be another call's failure
    const bool no_memory = error == cudaErrorMemoryAllocation;  // for its code
    fail(no_memory ? ADZE_ERROR_OUT_OF_MEMORY : ADZE_ERROR_DEVICE, "kernel %s: %s: %s", kernel, call,
         cudaGetErrorString(error));
}

template <class Kernel>
void launch(LaunchStream& stream, Grid grid, int64_t shared_bytes, const typename Kernel::Params& params) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    require_launch<Kernel>(stream, grid, shared_bytes);
    const auto* entry = reinterpret_cast<const void*>(&kernel_entry<Kernel>);
    constexpr int64_t kUnasked = 48 << 10;  // what every kernel may have
    if (shared_bytes > kUnasked) {
        // The same for every launch: other threads may be launching this kernel with another size.
        check_launch(cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(stream.shared_limit())),
                     Kernel::kName, "cudaFuncSetAttribute");
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
    config.blockDim = dim3(Kernel::kThreads);
    config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
    config.stream = stream.native();
    config.attrs = &overlap;
    config.numAttrs = overlaps<Kernel>() && stream.arch() == Arch::kSm90a ? 1 : 0;
    void* arguments[] = {const_cast<typename Kernel::Params*>(&params)};
    check_launch(cudaLaunchKernelExC(&config, entry, arguments), Kernel::kName, "cudaLaunchKernelExC");
}

}  // namespace ADZE_TARGET
}  // namespace adze
