// Who a thread is. Blocks are one-dimensional and a multiple of kWarpSize threads; grids have up to three dimensions.
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

struct Index3 {
    uint32_t x, y, z;
};

ADZE_DEVICE int thread_index();   // in the block
ADZE_DEVICE int block_threads();  // threads in a block
ADZE_DEVICE Index3 block_index();
ADZE_DEVICE Index3 grid_blocks();

ADZE_DEVICE int lane_index() {
    return thread_index() % kWarpSize;
}
ADZE_DEVICE int warp_index() {
    return thread_index() / kWarpSize;
}

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(index.h)
