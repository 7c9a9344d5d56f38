#include <algorithm>

#include "device/launch.h"
#include "glue/glue.cuh"

namespace adze {
inline namespace ADZE_TARGET {

namespace {

int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// The threads that share a row of `columns`, kVectors vectors each: a power of two from 2 to `limit`.
int32_t threads_of_row(int64_t columns, int vectors, int32_t limit) {
    int32_t threads = 2;
    while (threads < limit && int64_t{threads} * vectors * kLaneElements < columns) threads *= 2;
    return threads;
}

template <class Kernel>
RowTiling row_tiling(int64_t columns) {
    const int32_t threads = threads_of_row(columns, 1, Kernel::kThreads);
    return {threads, static_cast<int32_t>(divide_up(columns, int64_t{threads} * Kernel::kVectors * kLaneElements))};
}

template <class Kernel>
Grid row_grid(const RowTiling& tiling, int64_t rows) {
    return {divide_up(rows, Kernel::kThreads / tiling.threads) * tiling.tiles, 1, 1};
}

// Of `tasks` equal ones, to be shared by persistent blocks: as few as need no more turns than all that are resident,
// since each of them fetches the weights; but enough for every processor.
int64_t persistent_blocks(int64_t tasks, int64_t processors, int64_t resident) {
    const int64_t turns = std::max<int64_t>(divide_up(tasks, processors * resident), 1);
    return std::max(divide_up(tasks, turns), std::min(tasks, processors));
}

int64_t bytes_of_vectors(int64_t vectors) {
    return vectors * kLaneElements * static_cast<int64_t>(sizeof(float));
}

template <class Kernel>
void launch_rms_norm(LaunchStream& stream, RmsNormKernelParams params, int vectors) {
    params.threads = threads_of_row(params.x.tensor.columns, vectors, Kernel::kThreads);
    const int64_t tasks = divide_up(params.x.tensor.rows, Kernel::kThreads / params.threads);
    const int64_t blocks = persistent_blocks(tasks, stream.num_processors(), Kernel::kResident);
    const int64_t scratch = add_shared(0, Kernel::kScratch * static_cast<int64_t>(sizeof(float)));
    launch<Kernel>(stream, {blocks, 1, 1},
                   add_shared(scratch, bytes_of_vectors(Kernel::shared_vectors(params.threads))), params);
}

void launch_rms_norm_long(LaunchStream& stream, const RmsNormKernelParams& params) {
    const int64_t scratch = add_shared(0, kMaxWarps * static_cast<int64_t>(sizeof(float)));
    // Whole warps' vectors, so that lanes agree on what is kept.
    const int64_t vectors = divide_up(params.x.tensor.columns, kWarpSize * kLaneElements) * kWarpSize;
    const int64_t fitting = (stream.shared_limit() - scratch) / bytes_of_vectors(kWarpSize) * kWarpSize;
    const int64_t kept = std::min(vectors, fitting);
    launch<RmsNormLong>(stream, {params.x.tensor.rows, 1, 1}, add_shared(scratch, bytes_of_vectors(kept)),
                        {params, static_cast<int32_t>(kept)});
}

template <class T>
void launch_rope(LaunchStream& stream, const RopeParams& p) {
    using Kernel = Rope<T>;
    const int64_t angles = std::min<int64_t>(p.inv_freq.columns, Kernel::kMaxAngles);
    const int64_t vectors = divide_up(angles, Kernel::kElements);
    const int64_t vector_lanes = vectors <= 8 ? vectors : divide_up(vectors, 8) * 8;
    const auto table = Kernel::Table::of(angles, vector_lanes);
    // Many rows to a block, so that it seldom fetches the frequencies; but enough blocks, and 32 KiB.
    const int64_t spare = (int64_t{32} << 10) - Kernel::shared_bytes(angles, 0, table.table);
    const int64_t fitting = spare / (2 * table.table * static_cast<int64_t>(sizeof(float)));
    const int64_t most = std::min<int64_t>(Kernel::kMaxRows, fitting);
    const int64_t rows = std::clamp<int64_t>(p.x.rows / (2 * stream.num_processors()), 1, most);
    const int64_t row_stride = p.x.rows > 1 ? p.x.row_stride : 0;
    const int64_t strides_bytes = (row_stride | p.head_dim | p.inv_freq.columns) * static_cast<int64_t>(sizeof(T));
    const bool aligned = reinterpret_cast<uintptr_t>(p.x.data) % 16 == 0 && strides_bytes % 16 == 0;
    launch<Kernel>(stream, {divide_up(p.x.rows, rows), divide_up(p.inv_freq.columns, angles), 1},
                   Kernel::shared_bytes(angles, rows, table.table),
                   {p.x, p.positions, p.inv_freq, p.head_dim, static_cast<int32_t>(rows), static_cast<int32_t>(angles),
                    static_cast<int32_t>(divide_up(angles, 64) * 64), static_cast<int32_t>(vector_lanes), table.half,
                    table.table, aligned});
}

}  // namespace

void embedding(LaunchStream& stream, const EmbeddingParams& p) {
    const RowTiling tiling = row_tiling<Embedding>(p.y.columns);
    launch<Embedding>(stream, row_grid<Embedding>(tiling, p.y.rows), 0,
                      {float_matrix(p.table), float_matrix(p.y), p.ids, tiling});
}

void rms_norm(LaunchStream& stream, const RmsNormParams& p) {
    const int64_t columns = p.x.columns;
    const RmsNormKernelParams params{
        float_matrix(p.x),         float_matrix(p.weight), float_matrix(p.residual), float_matrix(p.y), p.epsilon, 0,
        p.residual.data != nullptr};
    if (columns <= 256 * kLaneElements) {
        launch_rms_norm<RmsNorm<256, 1>>(stream, params, 1);
    } else if (columns <= 256 * 2 * kLaneElements) {
        launch_rms_norm<RmsNorm<256, 2>>(stream, params, 2);
    } else if (columns <= 256 * 4 * kLaneElements) {
        launch_rms_norm<RmsNorm<256, 4>>(stream, params, 4);
    } else if (columns <= 512 * 4 * kLaneElements) {
        launch_rms_norm<RmsNorm<512, 4>>(stream, params, 4);
    } else {
        launch_rms_norm_long(stream, params);
    }
}

void rope(LaunchStream& stream, const RopeParams& p) {
    if (p.x.dtype == ADZE_DTYPE_F32) {
        launch_rope<float>(stream, p);
    } else if (p.x.dtype == ADZE_DTYPE_F16) {
        launch_rope<f16>(stream, p);
    } else {
        launch_rope<bf16>(stream, p);
    }
}

void silu_gate(LaunchStream& stream, const SiluGateParams& p) {
    const RowTiling tiling = row_tiling<SiluGate>(p.y.columns);
    launch<SiluGate>(stream, row_grid<SiluGate>(tiling, p.y.rows), 0,
                     {float_matrix(p.gate), float_matrix(p.up), float_matrix(p.y), tiling});
}

}  // namespace ADZE_TARGET
}  // namespace adze
