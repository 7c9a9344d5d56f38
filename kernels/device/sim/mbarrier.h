#pragma once

#include "device/sim/block.h"

namespace adze {
inline namespace ADZE_TARGET {

inline void mbarrier_init(const Shared<uint64_t>& barriers, int index, int arrivals, Site site) {
    sim::current->block->mbarrier_init(barriers.at<1>("mbarrier_init", index, site), arrivals, site);
}
inline void fence_mbarrier_init(Site site) {
    sim::current->block->fence_mbarrier_init(site);
}
inline void mbarrier_arrive(const Shared<uint64_t>& barriers, int index, Site site) {
    sim::current->block->mbarrier_arrive(barriers.at<1>("mbarrier_arrive", index, site), 0, site);
}
inline void mbarrier_arrive_expect(const Shared<uint64_t>& barriers, int index, uint32_t bytes, Site site) {
    sim::current->block->mbarrier_arrive(barriers.at<1>("mbarrier_arrive_expect", index, site), bytes, site);
}
inline void mbarrier_wait(const Shared<uint64_t>& barriers, int index, uint32_t parity, Site site) {
    sim::current->block->mbarrier_wait(barriers.at<1>("mbarrier_wait", index, site), parity, site);
}
inline void fence_async_proxy(Site site) {
    sim::current->block->fence_async_proxy(site);
}

}  // namespace ADZE_TARGET
}  // namespace adze
