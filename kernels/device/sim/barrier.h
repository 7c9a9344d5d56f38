#pragma once

#include "device/sim/block.h"
#include "device/sim/mutation.h"

namespace adze {
inline namespace ADZE_TARGET {

inline void sync_block(Site site) {
    sim::current->block->sync_block(site);
}
inline void sync_warp(Site site) {
    sim::current->block->sync_warp(site);
}
inline void sync_named(int id, int threads, Site site) {
    sim::current->block->sync_named(id, threads, true, site);
}
inline void arrive_named(int id, int threads, Site site) {
    sim::current->block->sync_named(id, threads, false, site);
}
inline void fence_device(Site) {}  // the simulator's global memory is never seen out of order
inline bool guard(bool inside, Site site) {
    return inside || sim::is_off(sim::SiteKind::kGuard, site);
}

}  // namespace ADZE_TARGET
}  // namespace adze
