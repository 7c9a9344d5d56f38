// AMD's devices have no matrix instruction of several waves: Wgmma stays incomplete, and kernels that use it do not run
// here.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void wgmma_fence(Site) {
    __builtin_trap();
}
ADZE_DEVICE void wgmma_commit(Site) {
    __builtin_trap();
}
template <int kGroups>
ADZE_DEVICE void wgmma_wait(Site) {
    __builtin_trap();
}

}  // namespace ADZE_TARGET
}  // namespace adze
