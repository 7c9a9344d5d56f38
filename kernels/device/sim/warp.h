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
// The steps of the GPUs' exchanges, in their order.
template <class T, class Op>
inline T reduce(T value, Op op, int width, int stride, Site site) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    if (width == 1) return value;
    sim::Thread& self = *sim::current;
    sim::Block& block = *self.block;
    const uint32_t turn = self.warp->meetings & 1;
    std::memcpy(&self.slot[turn], &value, sizeof value);
    self.offer[0] = &width;
    self.offer[1] = &stride;
    block.meet("reduce", site, [&](sim::Warp& warp) {
        sim::Thread* lanes = &block.threads[static_cast<size_t>(warp.first)];
        T values[kWarpSize];
        for (int i = 0; i < kWarpSize; ++i) {
            std::memcpy(&values[i], &lanes[i].slot[turn], sizeof(T));
            if (*static_cast<int*>(lanes[i].offer[0]) != width || *static_cast<int*>(lanes[i].offer[1]) != stride)
                block.fail(site, "reduce: the lanes of a warp name different widths or strides");
        }
        for (int mask = stride; mask < width * stride; mask *= 2) {
            T others[kWarpSize];
            for (int i = 0; i < kWarpSize; ++i) others[i] = values[(i ^ mask) & (kWarpSize - 1)];
            for (int i = 0; i < kWarpSize; ++i) values[i] = op(values[i], others[i]);
        }
        for (int i = 0; i < kWarpSize; ++i) std::memcpy(&lanes[i].slot[turn], &values[i], sizeof(T));
    });
    std::memcpy(&value, &self.slot[turn], sizeof value);
    return value;
}

}  // namespace ADZE_TARGET
}  // namespace adze
