#pragma once

#include "device/sim/block.h"

namespace adze {
inline namespace ADZE_TARGET {

template <int kRank, class T>
inline void bulk_load(const Shared<T>& to, int to_index, const TensorMap& map, const int32_t (&at)[kRank],
                      const Shared<uint64_t>& barriers, int barrier, Site site) {
    sim::current->block->bulk_load(to.template at<1>("bulk_load", to_index, site), map, at, kRank,
                                   barriers.at<1>("bulk_load", barrier, site), site);
}
template <int kRank, class T>
inline void bulk_store(const TensorMap& map, const int32_t (&at)[kRank], const Shared<T>& from, int from_index,
                       Site site) {
    sim::current->block->bulk_store(map, at, kRank, from.template at<1>("bulk_store", from_index, site), site);
}
inline void commit_bulk_stores(Site) {
    ++sim::current->copies.store_groups;
}
template <int kGroups>
inline void wait_bulk_stores(Site site) {
    sim::current->block->wait_bulk_stores(kGroups, site);
}

}  // namespace ADZE_TARGET
}  // namespace adze
