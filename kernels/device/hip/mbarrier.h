// AMD's devices have no such barriers: kernels that use them do not run here.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void mbarrier_init(const Shared<uint64_t>&, int, int, Site) {
    __builtin_trap();
}
ADZE_DEVICE void fence_mbarrier_init(Site) {
    __builtin_trap();
}
ADZE_DEVICE void mbarrier_arrive(const Shared<uint64_t>&, int, Site) {
    __builtin_trap();
}
ADZE_DEVICE void mbarrier_arrive_expect(const Shared<uint64_t>&, int, uint32_t, Site) {
    __builtin_trap();
}
ADZE_DEVICE void mbarrier_wait(const Shared<uint64_t>&, int, uint32_t, Site) {
    __builtin_trap();
}
ADZE_DEVICE void fence_async_proxy(Site) {
    __builtin_trap();
}

}  // namespace ADZE_TARGET
}  // namespace adze
