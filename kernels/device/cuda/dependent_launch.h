// PTX ISA, "griddepcontrol".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void wait_for_previous_kernel(Site) {
    if constexpr (kTarget.arch == Arch::kSm90a) asm volatile("griddepcontrol.wait;" ::: "memory");
}
ADZE_DEVICE void allow_next_kernel(Site) {
    if constexpr (kTarget.arch == Arch::kSm90a) asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

}  // namespace ADZE_TARGET
}  // namespace adze
