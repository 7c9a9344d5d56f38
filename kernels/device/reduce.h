// Reductions over a block.
#pragma once

#include "device/barrier.h"
#include "device/memory.h"
#include "device/warp.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kMaxWarps = 32;  // in a block: what a reduction's scratch must hold

// Combines the values of all threads; each gets the result, in an order that depends on nothing but the number of
// threads. `scratch` holds kMaxWarps values and may be used again at once.
template <class T, class Op>
ADZE_DEVICE T reduce_block(T value, Op op, T identity, const Shared<T>& scratch) {
    const T of_warp = reduce(value, op);
    if (lane_index() == 0) scratch.store(warp_index(), of_warp);
    sync_block();
    const int warps = block_threads() / kWarpSize;
    const T result = reduce(lane_index() < warps ? scratch.load(lane_index()) : identity, op);
    sync_block();
    return result;
}

}  // namespace ADZE_TARGET
}  // namespace adze
