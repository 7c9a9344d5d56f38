#pragma once

#include "device/sim/block.h"
#include "device/sim/mutation.h"

namespace adze {
inline namespace ADZE_TARGET {

// Kernels run one after another here; until a kernel that may overlap has waited, its accesses to global memory are
// errors.
inline void wait_for_previous_kernel(Site site) {
    if (sim::is_off(sim::SiteKind::kWait, site)) return;
    sim::current->must_wait = false;
    sim::current->block->grid->has_waited = true;
}
inline void allow_next_kernel(Site) {}

}  // namespace ADZE_TARGET
}  // namespace adze
