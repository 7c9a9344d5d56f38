#pragma once

#include <cstring>

#include "device/sim/block.h"

namespace adze {
inline namespace ADZE_TARGET {

// Brings a value to the warp's meeting; what lane i brought is then in the slot of thread first + i.
template <class T>
inline T exchange(const char* what, T value, int from_lane, const Site& site) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    sim::Thread& self = *sim::current;
    sim::Block& block = *self.block;
    const uint32_t turn = self.warp->meetings & 1;
    std::memcpy(&self.slot[turn], &value, sizeof value);
    block.meet(what, site, [](sim::Warp&) {});
    const int from = self.warp->first + (from_lane & (kWarpSize - 1));
    std::memcpy(&value, &block.threads[static_cast<size_t>(from)].slot[turn], sizeof value);
    return value;
}

template <class T>
inline T shuffle(T value, int lane, Site site) {
    return exchange("shuffle", value, lane, site);
}
template <class T>
inline T shuffle_xor(T value, int mask, Site site) {
    return exchange("shuffle_xor", value, sim::current->lane ^ mask, site);
}
inline LaneMask ballot(bool predicate, Site site) {
    sim::Thread& self = *sim::current;
    const uint32_t turn = self.warp->meetings & 1;
    self.slot[turn] = predicate ? 1 : 0;
    self.block->meet("ballot", site, [](sim::Warp&) {});
    LaneMask mask = 0;
    for (int i = 0; i < kWarpSize; ++i) {
        mask |= static_cast<LaneMask>(self.block->threads[static_cast<size_t>(self.warp->first + i)].slot[turn]) << i;
    }
    return mask;
}

}  // namespace ADZE_TARGET
}  // namespace adze
