// The shapes in which attention's kernel takes rows and keys, by architecture: for the kernel and for who launches it.
#pragma once

#include <cstdint>

#include "device/arch.h"
#include "numeric/host_device.h"

namespace adze {

constexpr int kRowBlock = 16;  // rows of a matrix instruction

struct AttentionTile {
    int row_warps, row_blocks;  // warps over the rows, and kRowBlock rows each of them so many times
    int key_warps;              // warps over the keys of a tile
    int keys;                   // of a tile
    int stages;                 // tiles of K and V in shared memory
    constexpr int warps() const { return row_warps * key_warps; }
};

// For 16, 64 or 128 rows. Threads do not depend on which of NVIDIA's architectures it is: one launch serves all.
//   16   decode: four warps share the rows, each takes 16 keys of every tile: no key is read twice, none waits
//   64   a warp has 16 rows
//   128  a warp has 32 rows, so that what it reads of K and V is multiplied twice: with 16, shared memory is the bound.
//        With NVIDIA's 255 registers that is for small heads; others have 16
// Tiles are small enough for two stages; more stages, where two blocks still fit a processor's shared memory: up to 4, and
// as many as bring 16 KB of small tiles under way.
ADZE_HOST_DEVICE constexpr AttentionTile attention_tile(Arch arch, int dim_qk, int dim_v, int rows, int element_bits) {
    const bool wide = dim_qk + dim_v > 256;
    AttentionTile tile{1, 1, 1, 0, 1};
    if (rows == 16) {
        tile.key_warps = wide ? 2 : 4;
        tile.keys = tile.key_warps * 16;
    } else if (rows == 64) {
        tile.row_warps = 4;
        tile.keys = wide ? 16 : 32;
    } else {
        const bool paired = arch == Arch::kGfx90a || dim_qk + dim_v <= 128;
        tile.row_warps = paired ? 4 : 8;
        tile.row_blocks = paired ? 2 : 1;
        tile.keys = 32;
    }
    if (arch == Arch::kGfx90a) return tile;  // the next tile is in registers
    const int64_t stage_bytes = int64_t{tile.keys} * (dim_qk + dim_v) * element_bits / 8;
    // Of 164, 228, 100 KB a processor two blocks get half each, of which the first is the system's.
    const int64_t half = (arch == Arch::kSm90a ? 113 : arch == Arch::kSm80 ? 81 : 49) * int64_t{1024};
    const int64_t queries = int64_t{rows} * dim_qk * 2, key_table = 4096;
    const int64_t fitting = (half - queries - key_table) / stage_bytes;
    const int64_t most = 3 * stage_bytes < (16 << 10) ? 1 + (16 << 10) / stage_bytes : 4;
    tile.stages = fitting < 2 ? 2 : static_cast<int>(fitting > most ? most : fitting);
    return tile;
}

// A processor's registers are for two blocks of four warps or one of eight. What shared memory holds depends on the cache's
// format, which a plan does not know.
constexpr int blocks_a_processor(Arch arch, int dim_qk, int dim_v, int rows) {
    return attention_tile(arch, dim_qk, dim_v, rows, 16).warps() > 4 ? 1 : 2;
}

}  // namespace adze
