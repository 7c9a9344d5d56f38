// LLVM, "User Guide for AMDGPU Backend", memory model for gfx90a.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void sync_block(Site) {
    __syncthreads();
}
// The lanes of a wave go in step and its memory accesses in order: only the compiler must not move them.
ADZE_DEVICE void sync_warp(Site) {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
// There are no named barriers: kernels that use them do not run here.
ADZE_DEVICE void sync_named(int, int, Site) {
    __builtin_trap();
}
ADZE_DEVICE void arrive_named(int, int, Site) {
    __builtin_trap();
}
ADZE_DEVICE void fence_device(Site) {
    __threadfence();
}
ADZE_DEVICE bool guard(bool inside, Site) {
    return inside;
}

}  // namespace ADZE_TARGET
}  // namespace adze
