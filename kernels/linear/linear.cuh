// y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]
//
// x: [M, K], y: [M, N], bias: [N], f32, f16 or bf16 at run time, rows at any stride. w: packed tiles of kTile x kTile,
// [N / kTile][K / kTile][n][k] in its own format, padded with zeros: no load of a weight needs a guard, all are aligned
// vectors (of 16 bytes; LinearFma's of 16-bit weights of 8), and a block reads one stream.
//
// LinearMma, x in the weight's format: a block owns kTileM rows of y and kTile columns; tiles of x and w pass through a
//   ring of kStages in shared memory; each of its kWarpsM x kWarpsN warps owns a part of the tile as accumulators.
//   Tensor cores shorten sums by truncation, so one tile of K (kTile products) is summed there and added to the total by
//   an ordinary addition: the error stays below that of one f32 sum after another.
// LinearFma, all other mixes (rounding x to the weight's format would cost its accuracy) and f32 weights: the same tiles
//   converted to f32, thread (tm, tn) owns rows tm + 16 i and columns tn + 16 j.
// In both, each sum runs over k in order whatever M and the tile, so a row's result does not depend on other rows.
//
// Floor: M = 1 reads each weight once, 2 N K bytes for 16 bits, at memory bandwidth; large M does 2 M N K operations at
// the peak of the tensor cores.
#pragma once

#include "device/async_copy.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/mma.h"
#include "linear/linear.h"
#include "runtime/gpu_rows.cuh"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kTile = 64;

struct PackParams {
    const void* source;  // [n, k]
    int64_t row_stride;
    WeightView packed;
};

ADZE_HOST_DEVICE int64_t tiles_of(int64_t size) {
    return (size + kTile - 1) / kTile;
}

// Fills the packed tiles from a row-major source of elements of Word's size. A thread fills chunks of 16 bytes.
template <class Word>
struct PackWeight {
    static constexpr const char* kName = sizeof(Word) == 2 ? "pack_weight_16bit" : "pack_weight_f32";
    static constexpr int kThreads = 256;
    using Params = PackParams;
    static constexpr bool runs_on(Arch) { return true; }

    static constexpr int kChunk = 16 / static_cast<int>(sizeof(Word));

    ADZE_DEVICE static void run(const Params& p) {
        const int64_t n = p.packed.n, k = p.packed.k, k_tiles = tiles_of(k);
        const int64_t elements = tiles_of(n) * k_tiles * kTile * kTile;
        const Global<const Word> source(static_cast<const Word*>(p.source), (n - 1) * p.row_stride + k);
        const Global<Word> packed(static_cast<Word*>(const_cast<void*>(p.packed.data)), elements);
        const bool aligned = source.aligned(16, p.row_stride);
        const int64_t step = static_cast<int64_t>(grid_blocks().x) * kThreads * kChunk;
        for (int64_t i = (static_cast<int64_t>(block_index().x) * kThreads + thread_index()) * kChunk; i < elements;
             i += step) {
            const int64_t tile = i / (kTile * kTile), within = i % (kTile * kTile);
            const int64_t row = tile / k_tiles * kTile + within / kTile;
            const int64_t column = tile % k_tiles * kTile + within % kTile;
            packed.template store_vec<kChunk>(i, read(source, p, row, column, aligned));
        }
    }

private:
    ADZE_DEVICE static Vec<Word, kChunk> read(const Global<const Word>& source, const Params& p, int64_t row,
                                              int64_t column, bool aligned) {
        const int64_t index = row * p.row_stride + column;
        if (aligned && row < p.packed.n && column + kChunk <= p.packed.k) {
            return source.template load_vec<kChunk>(index, Cache::kStreamed);
        }
        Vec<Word, kChunk> chunk{};
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            if (guard(row < p.packed.n && column + i < p.packed.k)) chunk[i] = source.load(index + i);
        }
        return chunk;
    }
};

// Where a block's part of y is. Blocks that share weights are neighbours.
struct LinearBlock {
    int64_t row, column;
    int64_t k_tiles;
    int64_t weight;  // first element of the packed weight that it reads

    ADZE_DEVICE LinearBlock(const LinearParams& p, int tile_m) {
        const int64_t row_tiles = (p.x.rows + tile_m - 1) / tile_m, block = block_index().x;
        row = block % row_tiles * tile_m;
        column = block / row_tiles * kTile;
        k_tiles = tiles_of(p.weight.k);
        weight = block / row_tiles * k_tiles * kTile * kTile;
    }
};

template <class T>
ADZE_DEVICE Global<const T> packed_weight(const WeightView& w) {
    return {static_cast<const T*>(w.data), tiles_of(w.n) * tiles_of(w.k) * kTile * kTile};
}

// Sums of N neighbouring outputs, to y.
template <int N>
ADZE_DEVICE void finish(const LinearParams& p, int64_t row, int64_t column, float (&sums)[N]) {
    if (!guard(row < p.y.rows)) return;
    if (p.bias.data != nullptr) {
        float bias[N];
        load_row(p.bias, 0, column, true, bias);
#pragma unroll
        for (int i = 0; i < N; ++i) sums[i] += bias[i];
    }
    store_row(p.y, row, column, sums);
}

//   T        format of x and w
//   kTileM   rows of x
//   kWarpsM, kWarpsN  warps over the rows and columns of the tile
//   kStages  tiles of x and of w in the ring
template <class T, int kTileM, int kWarpsM, int kWarpsN, int kStages>
struct LinearMma {
    static constexpr const char* kName = kTileM == 16   ? "linear_mma_16"
                                         : kTileM == 32 ? "linear_mma_32"
                                         : kTileM == 64 ? "linear_mma_64"
                                                        : "linear_mma_128";
    static constexpr int kThreads = kWarpsM * kWarpsN * kWarpSize;
    using Params = LinearParams;
    static constexpr bool runs_on(Arch) { return true; }

    using M = Mma<T>;
    using TileX = SharedTile<T, kTileM, kTile>;
    using TileW = SharedTile<T, kTile, kTile>;
    using TileY = ResultTile<kTileM, kTile>;
    static constexpr int kStageElements = TileX::kElements + TileW::kElements;
    static constexpr int64_t kSharedBytes =
        add_shared(0, int64_t{kStages} * kStageElements * static_cast<int64_t>(sizeof(T)), TileX::kAlignment);
    static_assert(TileY::kElements * 4 <= kSharedBytes, "the results take the ring's place");

    static constexpr int kWarpRows = kTileM / kWarpsM, kWarpColumns = kTile / kWarpsN;
    static constexpr int kTilesM = kWarpRows / M::kM, kTilesN = kWarpColumns / M::kN, kTilesK = kTile / M::kK;
    static constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
    static constexpr int kChunks = kTile / kChunk;  // of a row
    static constexpr int kLoadsX = (kTileM * kChunks + kThreads - 1) / kThreads, kLoadsW = kTile * kChunks / kThreads;
    static_assert(kTile * kChunks % kThreads == 0);

    ADZE_DEVICE static void run(const Params& p) {
        const LinearBlock block(p, kTileM);
        SharedArena arena;
        const Shared<T> ring = arena.template take<T>(kStages * kStageElements, TileX::kAlignment);
        typename M::C total[kTilesM][kTilesN];

        for (int tile = 0; tile < kStages - 1; ++tile) {
            if (tile < block.k_tiles) load_tiles(p, block, tile, ring, tile);
            commit_copies();
        }
        int stage = 0, next_stage = kStages - 1;
        for (int64_t tile = 0; tile < block.k_tiles; ++tile) {
            wait_copies<kStages - 2>();
            sync_block();
            if (tile + kStages - 1 < block.k_tiles) load_tiles(p, block, tile + kStages - 1, ring, next_stage);
            commit_copies();
            multiply(tile_x(ring, stage), tile_w(ring, stage), total);
            stage = stage + 1 == kStages ? 0 : stage + 1;
            next_stage = next_stage + 1 == kStages ? 0 : next_stage + 1;
        }
        sync_block();
        write(p, block, total);
    }

private:
    ADZE_DEVICE static TileX tile_x(const Shared<T>& ring, int stage) {
        return {ring.slice(stage * kStageElements, TileX::kElements)};
    }
    ADZE_DEVICE static TileW tile_w(const Shared<T>& ring, int stage) {
        return {ring.slice(stage * kStageElements + TileX::kElements, TileW::kElements)};
    }

    ADZE_DEVICE static void load_tiles(const Params& p, const LinearBlock& block, int64_t k_tile, const Shared<T>& ring,
                                       int stage) {
        const Global<const T> weight = packed_weight<T>(p.weight);
        const TileW w = tile_w(ring, stage);
#pragma unroll
        for (int load = 0; load < kLoadsW; ++load) {
            const int i = thread_index() + load * kThreads;
            copy_chunk_async(w, i / kChunks, i % kChunks * kChunk, weight,
                             block.weight + k_tile * kTile * kTile + i * kChunk);
        }
        const Global<const T> memory(p.x);
        const bool aligned = memory.aligned(16, p.x.row_stride);
        const TileX x = tile_x(ring, stage);
#pragma unroll
        for (int load = 0; load < kLoadsX; ++load) {
            const int i = thread_index() + load * kThreads;
            const int row = i / kChunks, column = i % kChunks * kChunk;
            if (kTileM * kChunks % kThreads != 0 && row >= kTileM) break;
            load_chunk(memory, p.x, block.row + row, k_tile * kTile + column, aligned, x, row, column);
        }
    }

    // Zeros beyond x's rows and columns.
    ADZE_DEVICE static void load_chunk(const Global<const T>& memory, const adze_tensor& x, int64_t row, int64_t column,
                                       bool aligned, const TileX& to, int to_row, int to_column) {
        const bool inside = guard(row < x.rows && column < x.columns);
        const int64_t index = inside ? row * x.row_stride + column : 0;
        if (aligned && (!inside || column + kChunk <= x.columns)) {
            copy_chunk_async(to, to_row, to_column, memory, index, inside);
            return;
        }
        Vec<T, kChunk> chunk{};
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            if (inside && guard(column + i < x.columns)) chunk[i] = memory.load(index + i);
        }
        to.store_chunk(to_row, to_column, chunk);
    }

    ADZE_DEVICE static void multiply(const TileX& x, const TileW& w, typename M::C (&total)[kTilesM][kTilesN]) {
        const int row = warp_index() / kWarpsN * kWarpRows, column = warp_index() % kWarpsN * kWarpColumns;
        typename M::A a[kTilesM][kTilesK];
#pragma unroll
        for (int m = 0; m < kTilesM; ++m) {
#pragma unroll
            for (int k = 0; k < kTilesK; ++k) a[m][k] = load_a<M>(x, row + m * M::kM, k * M::kK);
        }
#pragma unroll
        for (int n = 0; n < kTilesN; ++n) {
            typename M::B b[kTilesK];
#pragma unroll
            for (int k = 0; k < kTilesK; ++k) b[k] = load_b<M>(w, column + n * M::kN, k * M::kK);
#pragma unroll
            for (int m = 0; m < kTilesM; ++m) {
                typename M::C sum;
#pragma unroll
                for (int k = 0; k < kTilesK; ++k) mma<M>(sum, a[m][k], b[k]);
#pragma unroll
                for (int i = 0; i < M::C::kCount; ++i) total[m][n].value[i] += sum.value[i];
            }
        }
    }

    // By way of shared memory, where the ring was, so that rows of y are written in vectors.
    ADZE_DEVICE static void write(const Params& p, const LinearBlock& block,
                                  const typename M::C (&total)[kTilesM][kTilesN]) {
        SharedArena again;
        const TileY results{again.template take<float>(TileY::kElements)};
        const int row = warp_index() / kWarpsN * kWarpRows, column = warp_index() % kWarpsN * kWarpColumns;
#pragma unroll
        for (int m = 0; m < kTilesM; ++m) {
#pragma unroll
            for (int n = 0; n < kTilesN; ++n) {
                store_c<M>(results, row + m * M::kM, column + n * M::kN, total[m][n]);
            }
        }
        sync_block();
        constexpr int kStep = 4;
        for (int i = thread_index(); i < kTileM * (kTile / kStep); i += kThreads) {
            const int m = i / (kTile / kStep), n = i % (kTile / kStep) * kStep;
            float sums[kStep];
            to_floats(results.data.template load_vec<kStep>(TileY::index(m, n)), sums);
            finish(p, block.row + m, block.column + n, sums);
        }
    }
};

//   W       the weight's format
//   kTileM  rows of x
template <class W, int kTileM>
struct LinearFma {
    static constexpr const char* kName = kTileM == 16 ? "linear_fma_16" : "linear_fma_64";
    static constexpr int kThreads = 256;
    using Params = LinearParams;
    static constexpr bool runs_on(Arch) { return true; }

    static constexpr int kDepth = 32;     // k of a tile
    static constexpr int kVectorK = 4;    // k that a thread reads at a time
    static constexpr int kThreadsN = 16;  // threads side by side
    static constexpr int kRows = kTileM / (kThreads / kThreadsN), kColumns = kTile / kThreadsN;  // of a thread
    using TileX = SharedTile<float, kTileM, kDepth>;
    using TileW = SharedTile<float, kTile, kDepth>;
    static constexpr int64_t kSharedBytes = (TileX::kElements + TileW::kElements) * 4;
    // What a thread brings of each tile: chunks of kVectorK.
    static constexpr int kChunks = kDepth / kVectorK;
    static constexpr int kLoadsX = (kTileM * kChunks + kThreads - 1) / kThreads, kLoadsW = kTile * kChunks / kThreads;

    ADZE_DEVICE static void run(const Params& p) {
        const LinearBlock block(p, kTileM);
        SharedArena arena;
        const TileX x{arena.template take<float>(TileX::kElements, TileX::kAlignment)};
        const TileW w{arena.template take<float>(TileW::kElements, TileW::kAlignment)};
        float sums[kRows][kColumns] = {};
        float next_x[kLoadsX][kVectorK], next_w[kLoadsW][kVectorK];
        load(p, block, 0, next_x, next_w);
        for (int64_t k = 0; k < p.weight.k; k += kDepth) {
            sync_block();
            store(x, w, next_x, next_w);
            sync_block();
            if (k + kDepth < p.weight.k) load(p, block, k + kDepth, next_x, next_w);
            multiply(x, w, sums);
        }
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
            for (int j = 0; j < kColumns; ++j) {
                const int64_t column = block.column + thread_index() % kThreadsN + j * kThreadsN;
                float one[1] = {sums[i][j]};
                finish(p, block.row + row_of(i), column, one);
            }
        }
    }

private:
    ADZE_DEVICE static int row_of(int i) {
        return thread_index() / kThreadsN + i * (kThreads / kThreadsN);
    }

    ADZE_DEVICE static void load(const Params& p, const LinearBlock& block, int64_t k,
                                 float (&next_x)[kLoadsX][kVectorK], float (&next_w)[kLoadsW][kVectorK]) {
        const Global<const W> weight = packed_weight<W>(p.weight);
        const int64_t first = block.weight + k / kTile * kTile * kTile + k % kTile;
#pragma unroll
        for (int i = 0; i < kLoadsW; ++i) {
            const int chunk = thread_index() + i * kThreads;
            to_floats(weight.template load_vec<kVectorK>(first + chunk / kChunks * kTile + chunk % kChunks * kVectorK),
                      next_w[i]);
        }
#pragma unroll
        for (int i = 0; i < kLoadsX; ++i) {
            const int chunk = thread_index() + i * kThreads;
            const int64_t row = block.row + chunk / kChunks;
            load_row(p.x, row, k + chunk % kChunks * kVectorK, row < p.x.rows && chunk < kTileM * kChunks, next_x[i]);
        }
    }

    ADZE_DEVICE static void store(const TileX& x, const TileW& w, const float (&next_x)[kLoadsX][kVectorK],
                                  const float (&next_w)[kLoadsW][kVectorK]) {
#pragma unroll
        for (int i = 0; i < kLoadsW; ++i) {
            const int chunk = thread_index() + i * kThreads;
            w.data.template store_vec<kVectorK>(TileW::index(chunk / kChunks, chunk % kChunks * kVectorK),
                                                from_floats<float, kVectorK>(next_w[i]));
        }
#pragma unroll
        for (int i = 0; i < kLoadsX; ++i) {
            const int chunk = thread_index() + i * kThreads;
            if (!guard(chunk < kTileM * kChunks)) continue;
            x.data.template store_vec<kVectorK>(TileX::index(chunk / kChunks, chunk % kChunks * kVectorK),
                                                from_floats<float, kVectorK>(next_x[i]));
        }
    }

    ADZE_DEVICE static void multiply(const TileX& x, const TileW& w, float (&sums)[kRows][kColumns]) {
#pragma unroll 1  // 100 registers, so that a processor holds two blocks; unrolled, it is 190
        for (int k = 0; k < kDepth; k += kVectorK) {
            Vec<float, kVectorK> a[kRows], b[kColumns];
#pragma unroll
            for (int i = 0; i < kRows; ++i) a[i] = x.data.template load_vec<kVectorK>(TileX::index(row_of(i), k));
#pragma unroll
            for (int j = 0; j < kColumns; ++j) {
                b[j] = w.data.template load_vec<kVectorK>(TileW::index(thread_index() % kThreadsN + j * kThreadsN, k));
            }
#pragma unroll
            for (int v = 0; v < kVectorK; ++v) {
#pragma unroll
                for (int i = 0; i < kRows; ++i) {
#pragma unroll
                    for (int j = 0; j < kColumns; ++j) sums[i][j] = fma(a[i][v], b[j][v], sums[i][j]);
                }
            }
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
