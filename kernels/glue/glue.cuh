// The small operators between the large ones (formulas in include/adze/glue.h). All are bound by memory: a lane moves 8
// elements at a time (device/float_matrix.h), each byte once.
//
// embedding, silu_gate   y[m] = table[ids[m]]; y = silu(gate) * up
//     A row's columns are shared by a power of two of neighbouring threads, kVectors vectors each; small matrices put
//     several rows into a block. Floor: what the rows of the tensors hold (and 32 bytes a warp for its ids).
// rms_norm               y = h / sqrt(mean h^2 + epsilon) * weight, h = residual + x (arXiv 1910.07467, section 3)
//     RmsNorm: up to 16384 columns. A power of two of neighbouring threads hold a row's h in registers, and the weights
//     too: blocks stay for many rows, so the weights come once a block, to the rows of a block through shared memory.
//     Floor: x, y and twice the residual, once.
//     RmsNormLong: up to 131072 columns. A block a row, h in shared memory as far as that goes; columns beyond it are
//     read twice. (gfx90a keeps 15872 columns, sm_89 25088, sm_80 41472, sm_90a 57856.) The weights come once a row.
//     Sums: each thread its own columns in ascending order, then butterflies over lanes, then warps in order: what a row
//     gives depends on its length alone.
// rope                   x[i], x[i + R] turned by position * inv_freq[i] (arXiv 2104.09864, section 3.4.2)
//     Sines and cosines of a row in f64, once, by all threads, to shared memory; then each thread keeps those of one
//     vector of 4 (f32) or 8 pairs and turns it in one head after the other. Floor: the turned part of x, read and
//     written. (Where R elements are no whole sectors, the one in the middle of a head moves twice.)
#pragma once

#include "device/exp.h"
#include "device/float_matrix.h"
#include "device/reduce.h"
#include "glue/glue.h"

namespace adze {
inline namespace ADZE_TARGET {

// How rows are dealt out: `threads` neighbouring threads of a block have a row, a power of two from 2 to the block's;
// `tiles` blocks side by side have it where those threads' vectors are fewer than the row's.
struct RowTiling {
    int32_t threads;
    int32_t tiles;
};

// The vectors of one thread.
struct RowPlace {
    bool inside;
    int64_t row, column, step;
};

template <int kThreads, int kVectors>
ADZE_DEVICE RowPlace row_place(const RowTiling& tiling, int64_t rows) {
    const auto block = static_cast<int64_t>(block_index().x);
    const int thread = thread_index(), step = tiling.threads * kLaneElements;
    RowPlace place;
    place.row = block / tiling.tiles * (kThreads / tiling.threads) + thread / tiling.threads;
    place.column = block % tiling.tiles * (step * kVectors) + thread % tiling.threads * kLaneElements;
    place.step = step;
    place.inside = place.row < rows;
    return place;
}

struct EmbeddingKernelParams {
    FloatMatrix table, y;
    adze_tensor ids;
    RowTiling tiling;
};

struct Embedding {
    static constexpr const char* kName = "embedding";
    static constexpr int kThreads = 128, kVectors = 4;
    using Params = EmbeddingKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        const RowPlace at = row_place<kThreads, kVectors>(p.tiling, p.y.tensor.rows);
        int64_t id = -1;
        if (guard(at.inside)) id = Global<const int32_t>(p.ids).load(at.row);
        const bool known = id >= 0 && id < p.table.tensor.rows;
        float x[kVectors][kLaneElements];
        load_floats<kVectors>(p.table, guard(known), known ? id : 0, at.column, at.step, x);
        if (!known) {
#pragma unroll
            for (int v = 0; v < kVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) x[v][i] = float_from_bits(0x7fc00000u);
            }
        }
        store_floats<kVectors>(p.y, at.inside, at.row, at.column, at.step, x);
    }
};

struct SiluGateKernelParams {
    FloatMatrix gate, up, y;
    RowTiling tiling;
};

struct SiluGate {
    static constexpr const char* kName = "silu_gate";
    static constexpr int kThreads = 128, kVectors = 2;
    using Params = SiluGateKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        const RowPlace at = row_place<kThreads, kVectors>(p.tiling, p.y.tensor.rows);
        const auto gate = fetch_floats<kVectors>(p.gate, at.inside, at.row, at.column, at.step);
        const auto up = fetch_floats<kVectors>(p.up, at.inside, at.row, at.column, at.step);
        float y[kVectors][kLaneElements], factor[kVectors][kLaneElements];
        unpack(p.gate, gate, y);
        unpack(p.up, up, factor);
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                y[v][i] = divide(y[v][i], 1.0f + exp_f32(-y[v][i])) * factor[v][i];
            }
        }
        store_floats<kVectors>(p.y, at.inside, at.row, at.column, at.step, y);
    }
};

struct RmsNormKernelParams {
    FloatMatrix x, weight, residual, y;
    float epsilon;
    int32_t threads;  // a row: a power of two from 2 to the block's
    bool has_residual;
};

// The sum over a row's threads, whole warps or parts of one. `scratch` holds a value a warp; it may be used again after
// the block's next barrier but one, or never where the row is part of a warp.
ADZE_DEVICE float reduce_row(float value, int threads, const Shared<float>& scratch) {
    if (threads <= kWarpSize) return reduce(value, Add{}, threads);
    const float of_warp = reduce(value, Add{});
    if (lane_index() == 0) scratch.store(warp_index(), of_warp);
    sync_block();
    const int warps = threads / kWarpSize, first = warp_index() / warps * warps;
    float sum = 0.0f;
    for (int warp = 0; warp < warps; ++warp) sum += scratch.load(first + warp);
    return sum;
}

ADZE_DEVICE float norm_scale(float squares, const RmsNormKernelParams& p) {
    return rsqrt(divide(squares, static_cast<float>(p.x.tensor.columns)) + p.epsilon);
}

// h of the thread's vectors: x, or residual + x.
template <int kVectors>
ADZE_DEVICE void load_h(const RmsNormKernelParams& p, bool inside, int64_t row, int64_t column, int64_t step,
                        float (&h)[kVectors][kLaneElements]) {
    const auto x = fetch_floats<kVectors>(p.x, inside, row, column, step);
    if (!p.has_residual) return unpack(p.x, x, h);
    const auto residual = fetch_floats<kVectors>(p.residual, inside, row, column, step);
    float added[kVectors][kLaneElements];
    unpack(p.x, x, added);
    unpack(p.residual, residual, h);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) h[v][i] += added[v][i];
    }
}

template <int kVectors>
ADZE_DEVICE float add_squares(const float (&h)[kVectors][kLaneElements], float sum) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) sum = fma(h[v][i], h[v][i], sum);
    }
    return sum;
}

// Vectors of 8 elements in shared memory, as two halves apart, each beside its neighbours': no two lanes meet in a bank.
struct SharedVectors {
    Shared<float> floats;
    int count;

    ADZE_DEVICE SharedVectors(SharedArena& arena, int vectors)
        : floats(arena.take<float>(vectors * kLaneElements)), count(vectors) {}
    ADZE_DEVICE void store(int vector, const float (&x)[kLaneElements]) const {
        floats.store_vec<4>(vector * 4, {{x[0], x[1], x[2], x[3]}});
        floats.store_vec<4>((count + vector) * 4, {{x[4], x[5], x[6], x[7]}});
    }
    ADZE_DEVICE void load(int vector, float (&x)[kLaneElements]) const {
        const Vec<float, 4> low = floats.load_vec<4>(vector * 4), high = floats.load_vec<4>((count + vector) * 4);
#pragma unroll
        for (int i = 0; i < 4; ++i) x[i] = low[i], x[4 + i] = high[i];
    }
};

template <int kBlockThreads, int kVectors>
struct RmsNorm {
    static constexpr const char* kName = "rms_norm";
    static constexpr int kThreads = kBlockThreads;
    // Of a processor: as many as its registers hold. More would only fetch the weights more often.
    static constexpr int kResident = (kVectors == 1 ? 1024 : 512) / kThreads;
    using Params = RmsNormKernelParams;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int kScratch = 2 * kMaxWarps;  // floats
    // Of shared memory, for the weights: none where a row has the whole block.
    static constexpr int shared_vectors(int threads) { return threads < kThreads ? threads : 0; }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<float> scratch = arena.take<float>(kScratch);
        const SharedVectors shared(arena, shared_vectors(p.threads));
        const int64_t column = thread_index() % p.threads * kLaneElements, step = p.threads * kLaneElements;
        const int64_t rows = p.x.tensor.rows, rows_at_once = kThreads / p.threads;
        auto weight = fetch_floats<kVectors>(p.weight, thread_index() < p.threads, 0, column, step);
        int turn = 0;
        for (int64_t first = block_index().x * rows_at_once; first < rows; first += grid_blocks().x * rows_at_once) {
            const int64_t row = first + thread_index() / p.threads;
            const bool inside = row < rows;
            float h[kVectors][kLaneElements];
            load_all(p, inside, row, column, step, h);
            // Not sooner: the first row is fetched while the weights are on their way.
            if (turn == 0) unpack_weights(p, shared, weight);
            if (p.has_residual) store_floats<kVectors>(p.residual, inside, row, column, step, h);
            const Shared<float> sums =
                scratch.slice(turn % 2 * kMaxWarps, kMaxWarps);  // so one barrier a row is enough
            const float squares = reduce_row(add_squares<kVectors>(h, 0.0f), p.threads, sums);
            ++turn;
            const float scale = norm_scale(squares, p);
#pragma unroll
            for (int v = 0; v < kVectors; ++v) {
#pragma unroll
                for (int i = 0; i < kLaneElements; ++i) h[v][i] = h[v][i] * scale * float_from_bits(weight.words[v][i]);
            }
            store_floats<kVectors>(p.y, inside, row, column, step, h);
        }
    }

private:
    // To numbers, in place, since there are no registers for both; and to all rows of the block from its first, whose
    // threads fetched them.
    ADZE_DEVICE static void unpack_weights(const Params& p, const SharedVectors& shared, FloatFetch<kVectors>& weight) {
        float numbers[kVectors][kLaneElements];
        unpack(p.weight, weight, numbers);
        if constexpr (kVectors == 1) {  // of more vectors, a row has the whole block
            if (p.threads < kThreads) {
                if (thread_index() < p.threads) shared.store(thread_index(), numbers[0]);
                sync_block();
                shared.load(thread_index() % p.threads, numbers[0]);
            }
        }
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) weight.words[v][i] = float_bits(numbers[v][i]);
        }
    }

    // Two vectors at a time: of more, what is fetched and not yet added would take the registers of other blocks.
    ADZE_DEVICE static void load_all(const Params& p, bool inside, int64_t row, int64_t column, int64_t step,
                                     float (&h)[kVectors][kLaneElements]) {
        constexpr int kTogether = kVectors < 2 ? kVectors : 2;
#pragma unroll
        for (int v = 0; v < kVectors; v += kTogether) {
            float part[kTogether][kLaneElements];
            load_h<kTogether>(p, inside, row, column + v * step, step, part);
#pragma unroll
            for (int i = 0; i < kTogether; ++i) {
#pragma unroll
                for (int j = 0; j < kLaneElements; ++j) h[v + i][j] = part[i][j];
            }
        }
    }
};

struct RmsNormLongParams {
    RmsNormKernelParams norm;
    int32_t kept;  // vectors of the row's first columns whose h is in shared memory: a multiple of a warp's
};

struct RmsNormLong {
    static constexpr const char* kName = "rms_norm_long";
    static constexpr int kThreads = 512;
    static constexpr int kBlocksPerProcessor = 2;  // where a row leaves shared memory for another
    static constexpr int kStep = kThreads * kLaneElements;
    using Params = RmsNormLongParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& params) {
        const RmsNormKernelParams& p = params.norm;
        SharedArena arena;
        const Shared<float> scratch = arena.take<float>(kMaxWarps);
        const SharedVectors kept(arena, params.kept);
        const auto row = static_cast<int64_t>(block_index().x);
        const auto vectors = static_cast<int>((p.x.tensor.columns + kStep - 1) / kStep * kThreads);
        float squares = 0.0f, h[1][kLaneElements], weight[1][kLaneElements];
        for (int vector = thread_index(); vector < vectors; vector += kThreads) {
            load_h<1>(p, true, row, int64_t{vector} * kLaneElements, 0, h);
            squares = add_squares<1>(h, squares);
            if (vector < params.kept) kept.store(vector, h[0]);
        }
        const float scale = norm_scale(reduce_row(squares, kThreads, scratch), p);
        for (int vector = thread_index(); vector < vectors; vector += kThreads) {
            const int64_t column = int64_t{vector} * kLaneElements;
            if (vector < params.kept) {
                kept.load(vector, h[0]);
            } else {
                load_h<1>(p, true, row, column, 0, h);
            }
            load_floats<1>(p.weight, true, 0, column, 0, weight);
            if (p.has_residual) store_floats<1>(p.residual, true, row, column, 0, h);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) h[0][i] = h[0][i] * scale * weight[0][i];
            store_floats<1>(p.y, true, row, column, 0, h);
        }
    }
};

struct RopeKernelParams {
    adze_tensor x, positions, inv_freq;
    int32_t head_dim;
    int32_t rows;          // of a block
    int32_t angles;        // of a row in a block, a multiple of 8 where blocks share a row
    int32_t angle_lanes;   // threads that a row's angles are dealt out to: whole warps, at least the angles
    int32_t vector_lanes;  // threads that a head's vectors of pairs are dealt out to: as many, or a multiple of 8 above
    int32_t half, table;   // floats in shared memory, see RopeTable
    bool aligned;          // every vector of x
};

// The cosines, or the sines, of a row in shared memory, so that no two lanes meet in a bank. A vector of kElements pairs
// is read in accesses of 4: with 8 pairs their elements are in two halves, which are half a line of banks more than a
// multiple of it apart, as are the words of a warp that writes one by one. Rows are so far apart that neighbouring lanes
// read neighbouring banks from one row to the next.
template <int kElements>
struct RopeTable {
    int32_t half, table;

    static constexpr RopeTable of(int64_t angles, int64_t vector_lanes) {
        const auto vectors = static_cast<int32_t>((angles + kElements - 1) / kElements);
        RopeTable result{};
        if (kElements == 8) result.half = (vectors * 4 + 31) / 32 * 32 + 16;
        result.table = result.half + vectors * 4;
        while (result.table % 32 != vector_lanes * 4 % 32) ++result.table;
        return result;
    }
    ADZE_DEVICE static int index(int angle, int half) {
        return kElements == 4 ? angle : angle / 8 * 4 + angle % 4 + (angle % 8 / 4) * half;
    }
};

// T is x's element type; a vector is 16 bytes of it.
template <class T>
struct Rope {
    static constexpr const char* kName = "rope";
    static constexpr int kThreads = 256;
    static constexpr int kElements = 16 / sizeof(T);
    static constexpr int kMaxRows = 16, kMaxAngles = 1024;  // of a block
    using Params = RopeKernelParams;
    using Table = RopeTable<kElements>;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t shared_bytes(int64_t angles, int64_t rows, int64_t table) {
        const auto word = static_cast<int64_t>(sizeof(float));
        const int64_t inputs = add_shared(add_shared(0, kMaxRows * word), angles * word);
        return add_shared(add_shared(inputs, rows * table * word), rows * table * word);
    }

    ADZE_DEVICE static void run(const Params& p) {
        const int first_angle = static_cast<int>(block_index().y) * p.angles;
        const int left_angles = static_cast<int>(p.inv_freq.columns) - first_angle;
        const int angles = left_angles < p.angles ? left_angles : p.angles;
        const int64_t first = static_cast<int64_t>(block_index().x) * p.rows;
        const int64_t left_rows = p.x.rows - first;
        const int rows = left_rows < p.rows ? static_cast<int>(left_rows) : p.rows;
        SharedArena arena;
        const Shared<int32_t> positions = arena.take<int32_t>(kMaxRows);
        const Shared<float> inv_freq = arena.take<float>(p.angles);
        const Shared<float> cosines = arena.take<float>(p.rows * p.table), sines = arena.take<float>(p.rows * p.table);
        // Once a block, not once a warp.
        if (guard(thread_index() < rows)) {
            positions.store(thread_index(), Global<const int32_t>(p.positions).load(first + thread_index()));
        }
        for (int angle = thread_index(); guard(angle < angles); angle += kThreads) {
            inv_freq.store(angle, Global<const float>(p.inv_freq).load(first_angle + angle));
        }
        sync_block();
        compute_angles(p, rows, angles, positions, inv_freq, cosines, sines);
        sync_block();
        const int vectors = (angles + kElements - 1) / kElements;
        const auto heads = static_cast<int>(p.x.columns / p.head_dim);
        // A task is a vector of a row in every `sharers`-th head; where there are fewer tasks than threads, they share.
        const int tasks = (p.rows * p.vector_lanes + 7) / 8 * 8;
        const int sharers = kThreads / tasks > 1 ? kThreads / tasks : 1;
        for (int task = thread_index(); task < tasks * sharers; task += kThreads) {
            const int vector = task % tasks % p.vector_lanes, row = task % tasks / p.vector_lanes;
            if (vector >= vectors || !guard(row < rows)) continue;  // the first only spares work
            float cosine[kElements], sine[kElements];
            read_table(cosines, row * p.table, vector, p.half, cosine);
            read_table(sines, row * p.table, vector, p.half, sine);
            const int64_t start = (first + row) * p.x.row_stride + first_angle + vector * kElements;
            for (int head = task / tasks; head < heads; head += sharers) {
                turn(p, start + int64_t{head} * p.head_dim, angles - vector * kElements, cosine, sine);
            }
        }
    }

private:
    ADZE_DEVICE static void compute_angles(const Params& p, int rows, int angles, const Shared<int32_t>& positions,
                                           const Shared<float>& inv_freq, const Shared<float>& cosines,
                                           const Shared<float>& sines) {
        const int together = kThreads / p.angle_lanes > 1 ? kThreads / p.angle_lanes : 1;  // rows
        for (int lane = thread_index(); lane < p.angle_lanes * together; lane += kThreads) {
            const int angle = lane % p.angle_lanes;
            if (!guard(angle < angles)) continue;
            const auto frequency = static_cast<double>(inv_freq.load(angle));
            for (int row = lane / p.angle_lanes; guard(row < rows); row += together) {
                float sine, cosine;
                sincos_f64(static_cast<double>(positions.load(row)) * frequency, sine, cosine);
                const int place = row * p.table + Table::index(angle, p.half);
                cosines.store(place, cosine);
                sines.store(place, sine);
            }
        }
    }

    ADZE_DEVICE static void read_table(const Shared<float>& from, int base, int vector, int half,
                                       float (&out)[kElements]) {
#pragma unroll
        for (int part = 0; part < kElements / 4; ++part) {
            const Vec<float, 4> values = from.load_vec<4>(base + part * half + vector * 4);
#pragma unroll
            for (int i = 0; i < 4; ++i) out[part * 4 + i] = values[i];
        }
    }

    // Turns the first `left` of kElements pairs, whose lower elements start at `low_index`.
    ADZE_DEVICE static void turn(const Params& p, int64_t low_index, int left, const float (&cosine)[kElements],
                                 const float (&sine)[kElements]) {
        const Global<T> x(p.x);
        const Global<const T> in(p.x);
        const int64_t high_index = low_index + p.inv_freq.columns;
        float low[kElements], high[kElements], turned_low[kElements], turned_high[kElements];
        const auto low_chunk = load_chunk<T>(in, p.aligned, low_index, left);
        const auto high_chunk = load_chunk<T>(in, p.aligned, high_index, left);
        to_floats(low_chunk, low);
        to_floats(high_chunk, high);
#pragma unroll
        for (int i = 0; i < kElements; ++i) {
            turned_low[i] = low[i] * cosine[i] - high[i] * sine[i];
            turned_high[i] = high[i] * cosine[i] + low[i] * sine[i];
        }
        store_chunk<T>(x, p.aligned, low_index, left, from_floats<T, kElements>(turned_low));
        store_chunk<T>(x, p.aligned, high_index, left, from_floats<T, kElements>(turned_high));
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
