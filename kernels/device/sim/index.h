#pragma once

#include "device/sim/block.h"

namespace adze {
inline namespace ADZE_TARGET {

inline int thread_index() {
    return sim::current->index;
}
inline int block_threads() {
    return sim::current->block->num_threads;
}
inline Index3 block_index() {
    const sim::Block& block = *sim::current->block;
    return {block.index[0], block.index[1], block.index[2]};
}
inline Index3 grid_blocks() {
    const sim::GridRun& grid = *sim::current->block->grid;
    return {grid.grid[0], grid.grid[1], grid.grid[2]};
}

}  // namespace ADZE_TARGET
}  // namespace adze
