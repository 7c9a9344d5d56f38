// linear and the packing of weights: which kernel and tile serve a call, and their launches.
#include "linear/linear.cuh"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {

// What a call runs as. The choice decides about speed only: all tiles give the same bits.
struct LinearConfig {
    bool tensor_cores;
    int tile_m;
    int64_t blocks;
};

// Rows of x up to which a tile is taken, smallest first; the last serves all others.
struct LinearTiles {
    int mma[4], fma[2];
};
LinearTiles linear_tiles(Arch arch) {
    // gfx90a: the ring of the tile of 128 would not fit into its 64 KB of shared memory.
    if (arch == Arch::kGfx90a) return {{16, 32, 64, 64}, {16, 64}};
    return {{16, 32, 64, 128}, {16, 64}};
}

LinearConfig choose_linear(Arch arch, int num_processors, const LinearParams& p) {
    const LinearTiles tiles = linear_tiles(arch);
    const int64_t rows = p.x.rows, columns = tiles_of(p.weight.n);
    const auto blocks = [&](int tile_m) { return (rows + tile_m - 1) / tile_m * columns; };
    LinearConfig config{p.x.dtype == p.weight.dtype && p.weight.dtype != ADZE_DTYPE_F32, 0, 0};
    if (config.tensor_cores) {
        config.tile_m = rows <= tiles.mma[0] ? tiles.mma[0] : rows <= tiles.mma[1] ? tiles.mma[1] : tiles.mma[2];
        // The largest only where it still gives every processor a block.
        if (rows > tiles.mma[2] && blocks(tiles.mma[3]) >= num_processors) config.tile_m = tiles.mma[3];
    } else {
        config.tile_m = rows <= tiles.fma[0] ? tiles.fma[0] : tiles.fma[1];
    }
    config.blocks = blocks(config.tile_m);
    return config;
}

uint64_t gpu_weight_bytes(adze_dtype dtype, int64_t n, int64_t k) {
    const int64_t element = dtype == ADZE_DTYPE_F32 ? 4 : 2;
    return static_cast<uint64_t>(tiles_of(n) * tiles_of(k) * kTile * kTile * element);
}

uint64_t gpu_linear_workspace(const WeightView&, int64_t) {
    return 0;
}

template <class Word>
void launch_pack(LaunchStream& stream, const PackParams& params) {
    const int64_t chunks =
        tiles_of(params.packed.n) * tiles_of(params.packed.k) * kTile * kTile / PackWeight<Word>::kChunk;
    const int64_t blocks = (chunks + PackWeight<Word>::kThreads - 1) / PackWeight<Word>::kThreads;
    const int64_t resident = int64_t{stream.num_processors()} * 8;  // threads go on to further chunks
    launch<PackWeight<Word>>(stream, {blocks < resident ? blocks : resident, 1, 1}, 0, params);
}

void pack_weight(LaunchStream& stream, const void* source, int64_t row_stride, const WeightView& packed) {
    const PackParams params{source, row_stride, packed};
    if (packed.dtype == ADZE_DTYPE_F32) return launch_pack<uint32_t>(stream, params);
    launch_pack<uint16_t>(stream, params);
}

template <class Kernel>
void launch_linear(LaunchStream& stream, const LinearConfig& config, const LinearParams& params) {
    launch<Kernel>(stream, {config.blocks, 1, 1}, Kernel::kSharedBytes, params);
}

template <class T>
void launch_mma(LaunchStream& stream, const LinearConfig& config, const LinearParams& params) {
    if (config.tile_m == 16) return launch_linear<LinearMma<T, 16, 1, 4, 6>>(stream, config, params);
    if (config.tile_m == 32) return launch_linear<LinearMma<T, 32, 2, 2, 4>>(stream, config, params);
    if constexpr (kWarpSize == 32) {  // linear_tiles leaves it out elsewhere
        if (config.tile_m == 128) return launch_linear<LinearMma<T, 128, 4, 2, 3>>(stream, config, params);
    }
    launch_linear<LinearMma<T, 64, 2, 2, 3>>(stream, config, params);
}

template <class W>
void launch_fma(LaunchStream& stream, const LinearConfig& config, const LinearParams& params) {
    if (config.tile_m == 16) return launch_linear<LinearFma<W, 16>>(stream, config, params);
    launch_linear<LinearFma<W, 64>>(stream, config, params);
}

void linear(LaunchStream& stream, const LinearParams& params) {
    if (params.x.rows == 0) return;
    const LinearConfig config = choose_linear(stream.arch(), stream.num_processors(), params);
    if (params.weight.dtype == ADZE_DTYPE_F32) return launch_fma<float>(stream, config, params);
    if (params.weight.dtype == ADZE_DTYPE_F16) {
        return config.tensor_cores ? launch_mma<f16>(stream, config, params) : launch_fma<f16>(stream, config, params);
    }
    return config.tensor_cores ? launch_mma<bf16>(stream, config, params) : launch_fma<bf16>(stream, config, params);
}

}  // namespace ADZE_TARGET
}  // namespace adze
