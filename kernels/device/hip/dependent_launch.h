// Kernels do not overlap on AMD's devices.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void wait_for_previous_kernel(Site) {}
ADZE_DEVICE void allow_next_kernel(Site) {}

}  // namespace ADZE_TARGET
}  // namespace adze
