// o = softmax(scale q k^T + mask) v over a paged KV cache
//
// q: [tokens, q heads * head_dim_qk], o: [tokens, q heads * head_dim_v], f32, f16 or bf16 at run time; K and V: pages in
// f16, bf16, e4m3, int8_t or int4x2 at any strides, each element times its scale. T below is what is multiplied: the
// cache's own format, or bf16, to which quantised numbers are widened exactly when they come to be operands
// (device/quantised.h); until then tiles are as the cache is.
// A block takes pieces of the plan's work one after another, each for one KV head: rows are query tokens times the group
// of query heads that share the KV head, so that a key is read once for all of them. Its warps share the rows, those of
// 16 rows the keys of each tile instead (attention_tile.h). Tiles of keys come in order, gathered through kv_indices into
// a ring in shared memory by 16-byte copies, several under way at any time.
//   scores   q k^T on the tensor cores, logits in f32
//   softmax  stable: by the running maximum (arXiv 1805.02867; FlashAttention-2, arXiv 2307.08691, algorithm 1); sums are
//            rescaled only where it grew. unified: by phi (FlashDecoding++, arXiv 2311.01282, section 3), with nothing to
//            exchange or rescale; a piece that leaves phi's bounds is done again, stable
//   sums     p v on the tensor cores, p as their operand in registers, summed there in f32
// Pieces of split sequences write partial rows, which attention_merge.cuh merges in order (Flash-Decoding).
//
// Accuracy: p is rounded to T where o has 16 bits, as the plain algorithm in that precision does it. Where o is f32, p
// goes as a sum of two or three numbers of T (22 or 24 bits), and so does q where its format is not T; of two also where
// o is f16, T bf16, and the largest weight not exactly 1 (phi, scales by token). f16 also lacks
// f32's range: there rows of q and of p are scaled by powers of two. Products with Inf are taken from the first number
// alone: 0 * Inf of the others says nothing.
// A row's bits depend on its own sequence and its plan's splits only, not on the rows beside it, as long as the values
// are finite: a NaN or Inf among those of a tile's keys reaches all rows that see any key of the tile.
//
// Floor: decode reads each K and V once, 2 kv_len (head_dim_qk + head_dim_v) bytes a KV head, at memory bandwidth;
// prefill does 2 (head_dim_qk + head_dim_v) operations a visible pair and head on the tensor cores.
#pragma once

#include <type_traits>

#include "attention/attention_item.cuh"
#include "device/async_copy.h"
#include "device/dependent_launch.h"
#include "device/launch.h"
#include "device/quantised.h"
#include "runtime/gpu_rows.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// x as up to three numbers of T that add up to it: exactly for bf16, and for f16 within its range. All have x's sign or
// are zero but where T rounds x to nearest.
template <class T>
ADZE_DEVICE void split_parts(float x, float (&part)[3]) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        if (sizeof(T) == 2 && std::is_same_v<T, bf16> && is_finite(x)) {
            part[i] = float_from_bits(float_bits(x) & 0xffff0000u);  // towards zero: never beyond the largest number
        } else {
            const float one[1] = {x};
            float rounded[1];
            to_floats(from_floats<T, 1>(one), rounded);
            part[i] = rounded[0];
        }
        x = is_finite(part[i]) ? x - part[i] : 0.0f;
    }
}

// Within a few roundings of itself: what is small by its series, which leaves 2^-27 of it at 0.4; elsewhere the 1 is the
// larger term.
ADZE_DEVICE float tanh_of(float x) {
    const float size = float_from_bits(float_bits(x) & 0x7fffffffu), square = x * x;
    if (size < 0.4f) {
        float sum = 21844.0f / 6081075.0f;
        sum = fma(sum, square, -1382.0f / 155925.0f);
        sum = fma(sum, square, 62.0f / 2835.0f);
        sum = fma(sum, square, -17.0f / 315.0f);
        sum = fma(sum, square, 2.0f / 15.0f);
        sum = fma(sum, square, -1.0f / 3.0f);
        return fma(x * square, sum, x);
    }
    return 1.0f - 2.0f * exp2_approx(-log2_approx(1.0f + exp_of(2.0f * x)));  // no division: it costs registers
}

// How far from phi the logits of a unified piece may be, for weights in bf16. Sums of up to 2^31 weights stay below f32's
// 2^128 as long as no weight exceeds 2^96 = e^66, and what f32 flushes, below 2^-126 each, stays below 2^-24 of a row's
// largest weight as long as that is 2^-71 = e^-49 or more. What values do to that is seen in their sums: they are no longer
// finite, or below kLeastSum, where what f32 flushes may be more of them than its rounding is. f16 takes the stable softmax:
// its numbers reach over 2^30 (2^40 with subnormal ones, which gfx90a has not), and 2^22 of that are the precision of p in
// two parts, so that phi could be off by 3 at most.
constexpr float kMostBelowPhi = 49.0f, kMostAbovePhi = 66.0f, kLeastSum = 0x1p-100f;

template <class Stored>
constexpr bool kIsQuantised = sizeof(Stored) == 1;
// What a cache's numbers are multiplied as.
template <class Stored>
using Multiplied = std::conditional_t<kIsQuantised<Stored>, bf16, Stored>;

// What one load serves, as QuantisedKeys and QuantisedValues have it, of tiles that hold operands.
struct PlainKeys {
    static constexpr int kSteps = 1;
};
struct PlainValues {
    static constexpr int kTiles = 1;
};

// f32 results as ResultTile has them, but for lanes that store four neighbours of a row: of 32 lanes, 8 of two rows go
// together, of 64 8 of one row; those of int4x2 are 8 columns apart.
template <int kRowCount, int kColumnCount>
struct ResultRunTile {
    static constexpr int kColumns = kColumnCount, kElements = kRowCount * kColumns;

    Shared<float> data;

    ADZE_DEVICE static constexpr int index(int row, int column) {
        const int chunk = column / 4 ^ column / 32 ^ (kWarpSize == 32 ? (row & 1) * 5 : 0);
        return row * kColumns + chunk * 4 + column % 4;
    }
};

//   Stored         format of the cache
//   kDimQk, kDimV  the head dims, or more
//   kRowCount      rows that a block takes at a time
template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct Attention {
    using T = Multiplied<Stored>;
    static constexpr bool kQuantised = kIsQuantised<Stored>;
    static constexpr int kStoredBits = static_cast<int>(sizeof(Stored)) * 8 / kPerByte<Stored>;
    static constexpr const char* kName = kRowCount == 16   ? "attention_16"
                                         : kRowCount == 64 ? "attention_64"
                                                           : "attention_128";
    static constexpr AttentionTile kShape = attention_tile(kTarget.arch, kDimQk, kDimV, kRowCount, kStoredBits);
    static constexpr int kThreads = kShape.warps() * kWarpSize;
    using Params = AttentionKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    using M = Mma<T>;
    using C = typename M::C;
    static constexpr int kWarps = kShape.warps(), kKeyWarps = kShape.key_warps, kRowBlocks = kShape.row_blocks;
    static constexpr int kWarpRows = kRowBlocks * M::kM;
    static constexpr int kTileKeys = kShape.keys, kWarpKeys = kTileKeys / kKeyWarps, kStages = kShape.stages;
    static_assert(M::kM == kRowBlock && kShape.row_warps * kWarpRows == kRowCount);
    static_assert(kThreads >= kTileKeys && (kShape.row_warps == 1 || kKeyWarps == 1));
    static_assert(kKeyUnit % kTileKeys == 0 &&
                  32 % kWarpKeys == 0);  // a piece begins a tile; a warp's keys are in one word
    // Copies under way while a tile is multiplied: without asynchronous ones, those that registers hold.
    static constexpr int kAhead = kTarget.async_copy ? kStages - 1 : 1;
    // Several parts of p and q, and f16's units of values, cost registers that two blocks of rows a warp do not leave, nor
    // the most rows of the largest head, nor many whose values are widened.
    static constexpr bool kHasParts = kRowBlocks == 1 && !(kDimV > 128 && kRowCount > (kQuantised ? 16 : 64)),
                          kHasUnits = kHasParts && std::is_same_v<T, f16>;

    using TileQ = SharedTile<T, kRowCount, kDimQk>;
    template <int kDims>
    using StoredTile =
        std::conditional_t<kQuantised, QuantisedTile<Stored, kTileKeys, kDims>, SharedTile<Stored, kTileKeys, kDims>>;
    using TileK = StoredTile<kDimQk>;
    using TileV = StoredTile<kDimV>;
    using Keys = std::conditional_t<kQuantised, QuantisedKeys<M, TileK>, PlainKeys>;
    using Values = std::conditional_t<kQuantised, QuantisedValues<M, TileV>, PlainValues>;
    // Columns of queries that are multiplied together: a panel, or what one load of keys serves.
    static constexpr int kPanel = Keys::kSteps * M::kK > TileQ::kPanel ? Keys::kSteps* M::kK : TileQ::kPanel;
    using PanelQ = SharedTile<T, kRowCount, kPanel>;
    using PanelK = SharedTile<T, kTileKeys, kPanel>;
    // Of a warp, at the end.
    using TileO = std::conditional_t<kQuantised, ResultRunTile<M::kM, 64>, ResultTile<M::kM, 64>>;
    using Table = KeyTable<kTileKeys, kAhead + 2>;

    static constexpr int kChunk = 8;                     // elements of 16 bytes
    static constexpr int kKeyTiles = kWarpKeys / M::kN;  // accumulators of a warp's scores
    static constexpr int kKeySteps = kWarpKeys / M::kK;  // operands of its weights
    static constexpr int kDimTiles = kDimV / M::kN, kDimSteps = kDimQk / M::kK;
    // The largest head leaves no registers for the queries of several steps: they come anew for each tile of keys.
    static constexpr bool kHoldsQueries = kPerByte<Stored> == 1 || kKeyTiles > 2 || kDimV <= 128;
    static constexpr int kSlots = C::kRows;
    static constexpr bool kIsF16 = std::is_same_v<T, f16>;
    // p is at most 1; times this power of two, all of f16's 11 bits are there for p down to 2^-28, and 22 to 2^-17.
    static constexpr float kWeightExponent = kIsF16 ? 14.0f : 0.0f, kWeightUnit = kIsF16 ? 0x1p-14f : 1.0f;
    // The widest instances for 8 bits, whose addresses take more registers on sm_80 and sm_89, have none left for phi there.
    static constexpr bool kCanUnify = !kIsF16 && !((kTarget.arch == Arch::kSm80 || kTarget.arch == Arch::kSm89) &&
                                                   kStoredBits == 8 && kDimQk == 256 && kRowCount == 16);
    static constexpr float kSmallestUnit = 1.17549435e-38f;

    // The host's kTarget is not the device's.
    static constexpr int64_t shared_bytes(Arch arch, int q_parts) {
        const AttentionTile shape = attention_tile(arch, kDimQk, kDimV, kRowCount, kStoredBits);
        const int slots = arch == Arch::kGfx90a ? 3 : shape.stages + 1;
        int64_t bytes = add_shared(0, int64_t{slots} * shape.keys * Table::kEntryBytes);
        bytes = add_shared(bytes, kRowCount * 12);
        bytes = add_shared(bytes, kWarps * kWarpRows * 8);
        bytes = add_shared(bytes, kWarps * 4);
        bytes = add_shared(bytes, 8);
        bytes = add_shared(bytes, sizeof(AttentionItem));
        bytes = add_shared(bytes, sizeof(Softmax));
        bytes = add_shared(bytes, sizeof(KeyTiles<kTileKeys>));
        bytes = add_shared(bytes, kWarps * int64_t{sizeof(Limits)});
        const int64_t stage = int64_t{shape.keys} * (kDimQk + kDimV) * kStoredBits / 8;
        const int64_t results = add_shared(bytes, kWarps * int64_t{TileO::kElements} * 4, TileK::kAlignment);
        bytes = add_shared(bytes, shape.stages * stage, TileK::kAlignment);
        bytes = add_shared(bytes, int64_t{q_parts} * TileQ::kElements * 2, TileQ::kAlignment);
        return results > bytes ? results : bytes;  // they take the place of tiles and queries
    }

    // The keys that some of a warp's rows see, and those that all do: between them masks are needed.
    struct Limits {
        int32_t some_begin = 0, some_end = 0, all_begin = 0, all_end = 0, sink_end;

        Limits() = default;
        ADZE_DEVICE Limits(const AttentionShape& s, const AttentionItem& item, int first_row)
            : sink_end(item.sink_end(s)) {
            if (first_row >= item.rows) return;
            const int32_t first = item.token(first_row);
            const int32_t last =
                item.token(first_row + kWarpRows < item.rows ? first_row + kWarpRows - 1 : item.rows - 1);
            some_begin = item.seen_begin(s, first);
            some_end = item.seen_end(s, last);
            if (item.mask_begin >= 0) return;
            all_begin = item.seen_begin(s, last);
            all_end = item.seen_end(s, first);
        }
        ADZE_DEVICE bool none(int32_t key) const {
            return key >= some_end || (key + kWarpKeys <= some_begin && key >= sink_end);
        }
        ADZE_DEVICE bool all(int32_t key) const {
            return key + kWarpKeys <= all_end && (key >= all_begin || key + kWarpKeys <= sink_end);
        }
    };

    // How a piece's logits become weights: exp2((score * multiplier - shift) * scale), for f16 times a power of two.
    struct Softmax {
        bool unified;
        bool transforms;    // scores are made logits before, not by the multiplier
        float factor;       // of scores, in all
        float value_scale;  // of sums

        ADZE_DEVICE float score_factor() const { return transforms ? 1.0f : factor; }
        ADZE_DEVICE float multiplier() const { return unified ? score_factor() : 1.0f; }
        ADZE_DEVICE float scale() const { return unified ? kLog2E : score_factor() * kLog2E; }
    };

    struct SharedParts {
        SharedArena arena;
        Table table = Table::take(arena);
        Shared<float> units = arena.template take<float>(kRowCount), slopes = arena.template take<float>(kRowCount),
                      phis = arena.template take<float>(kRowCount);                     // of rows
        Shared<float> statistics = arena.template take<float>(kWarps * kWarpRows * 2);  // of each warp's rows
        Shared<int32_t> fits = arena.template take<int32_t>(kWarps);
        Shared<int32_t> works = arena.template take<int32_t>(2);  // of the block: the first, and the one after the last
        SharedStruct<AttentionItem> item = SharedStruct<AttentionItem>::take(arena);
        SharedStruct<Softmax> softmax = SharedStruct<Softmax>::take(arena);
        SharedStruct<KeyTiles<kTileKeys>> tiles = SharedStruct<KeyTiles<kTileKeys>>::take(arena);
        SharedStruct<Limits> limits = SharedStruct<Limits>::take(arena, kWarps);
        SharedArena before_ring = arena;
        Shared<Stored> ring;
        Shared<T> queries;  // how many is known at run time: last

        ADZE_DEVICE explicit SharedParts(int q_parts)
            : ring(arena.template take<Stored>(kStages * (TileK::kElements + TileV::kElements), TileK::kAlignment)),
              queries(arena.template take<T>(q_parts * TileQ::kElements, TileQ::kAlignment)) {}

        ADZE_DEVICE TileK keys(int stage) const {
            return {ring.slice(stage * (TileK::kElements + TileV::kElements), TileK::kElements)};
        }
        ADZE_DEVICE TileV values(int stage) const {
            return {ring.slice(stage * (TileK::kElements + TileV::kElements) + TileK::kElements, TileV::kElements)};
        }
        ADZE_DEVICE TileQ query_part(int part) const {
            return {queries.slice(part * TileQ::kElements, TileQ::kElements)};
        }
    };

    // What a lane knows of its rows of a block of 16. The maximum is of scores before the factor; unified, of the lane's
    // own.
    struct Rows {
        int32_t token[kSlots];
        float maximum[kSlots], total[kSlots];
        float value_unit[kSlots];  // f16 with scales by token: what the weights were divided by
    };
    struct State {
        Rows rows[kRowBlocks];
        C sums[kRowBlocks][kDimTiles];
    };

    ADZE_DEVICE static void run(const Params& p) {
        const SharedParts shared(p.q_parts);
        // Of the plan, one thread reads all.
        if (thread_index() == 0) {
            const Global<const int32_t> block_work(p.plan.block_work[p.height], p.blocks + 1);
            shared.works.store(0, block_work.load(block_index().x));
            shared.works.store(1, block_work.load(block_index().x + 1));
        }
        sync_block();
        for (int32_t work = shared.works.load(0); work < shared.works.load(1); ++work) {
            for (int row = 0; row < p.tile_rows; row += kRowCount) {
                if (thread_index() == 0) shared.item.store(AttentionItem(p, work, row, kRowCount));
                sync_block();
                if (shared.item.load().rows > 0) attend(p, shared);
                sync_block();
            }
        }
        allow_next_kernel();
    }

private:
    // What the loop over keys does not need is in shared memory meanwhile: registers are for sums.
    ADZE_DEVICE static void attend(const Params& p, const SharedParts& shared) {
        bool again = false;
        while (true) {
            if (thread_index() == 0) shared.softmax.store(choose_softmax(p, kCanUnify && p.unified && !again));
            State state;
            pass(p, shared, again, state);
            const Softmax softmax = shared.softmax.load();
            publish(shared, softmax, state);
            if (!kCanUnify || !softmax.unified || fits(p, shared, softmax, state))
                return write(p, shared, softmax, state);
            again = true;
        }
    }

    ADZE_DEVICE static Softmax choose_softmax(const Params& p, bool unified) {
        const int head = static_cast<int>(block_index().y);
        const float factor = p.shape.softmax_scale * head_scale(p.k, p.shape, head);
        // A negative factor turns the maximum round, and 0 * -inf is no logit.
        const bool transforms = !(factor > 0.0f) || scales_vary(p.k) || (kIsF16 && p.q_parts > 1) ||
                                p.shape.logits_soft_cap > 0.0f || p.alibi_slopes.data != nullptr;
        return {unified, transforms, factor, head_scale(p.v, p.shape, head)};
    }

    // ---- queries ----

    // All warps bring the rows, as p.q_parts numbers of T, and what belongs to a row.
    ADZE_DEVICE static void load_queries(const Params& p, const AttentionItem& item, const SharedParts& shared) {
        constexpr int kChunks = kDimQk / kChunk, kLanes = kChunks <= 8 ? 8 : kChunks <= 16 ? 16 : 32;
        static_assert(kLanes <= kWarpSize);
        constexpr int kRowsAtATime = kThreads / kLanes;
        const int column = thread_index() % kLanes * kChunk;
#pragma unroll 1
        for (int row = thread_index() / kLanes; row < kRowCount; row += kRowsAtATime) {
            const bool inside = row < item.rows && column < p.shape.head_dim_qk;
            const int known = row < item.rows ? row : item.rows - 1;
            const int q_head = item.q_head(known);
            float x[kChunk];
            load_row(p.q, item.first_token + item.token(known), int64_t{q_head} * p.shape.head_dim_qk + column, inside,
                     x);
            if constexpr (kQuantised) reorder(x, kLanes, column);
            const float unit = kIsF16 && p.q_parts > 1 ? normalise(x, kLanes) : 1.0f;
            if (column == 0) {
                shared.units.store(row, unit);
                if (p.alibi_slopes.data != nullptr)
                    shared.slopes.store(row, Global<const float>(p.alibi_slopes).load(q_head));
                if (p.phi.data != nullptr) shared.phis.store(row, Global<const float>(p.phi).load(q_head));
            }
            if (column < kDimQk) store_parts(x, p.q_parts, shared, row, column);
        }
    }

    // A row, spread over `lanes` lanes: from the order of its numbers to that of quantised keys.
    ADZE_DEVICE static void reorder(float (&x)[kChunk], int lanes, int column) {
        const int first_lane = lane_index() / lanes * lanes;
        float from[kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) from[i] = x[i];
#pragma unroll
        for (int j = 0; j < kChunk; ++j) {
            const int dim = Keys::dim(column < kDimQk ? column + j : j);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
                const float number = shuffle(from[i], first_lane + dim / kChunk);
                if (dim % kChunk == i) x[j] = number;
            }
        }
    }

    // Divides a row, spread over `lanes` lanes, by a power of two that brings its largest number to 2^14 or above.
    ADZE_DEVICE static float normalise(float (&x)[kChunk], int lanes) {
        float largest = 0.0f;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            const float size = float_from_bits(float_bits(x[i]) & 0x7fffffffu);
            if (size > largest) largest = size;
        }
        largest = reduce(largest, Max(), lanes);
        const int exponent = static_cast<int>(float_bits(largest) >> 23);
        if (exponent == 255) return 1.0f;
        const int factor = exponent < 15 ? 253 : 268 - exponent;  // as a number's exponent bits
#pragma unroll
        for (int i = 0; i < kChunk; ++i) x[i] *= float_from_bits(static_cast<uint32_t>(factor) << 23);
        return float_from_bits(static_cast<uint32_t>(254 - factor) << 23);
    }

    ADZE_DEVICE static void store_parts(const float (&x)[kChunk], int count, const SharedParts& shared, int row,
                                        int column) {
        if (count == 1) {
            shared.query_part(0).store_chunk(row, column, from_floats<T, kChunk>(x));
            return;
        }
        float parts[3][kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            float part[3];
            split_parts<T>(x[i], part);
#pragma unroll
            for (int j = 0; j < 3; ++j) parts[j][i] = part[j];
        }
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            if (j < count) shared.query_part(j).store_chunk(row, column, from_floats<T, kChunk>(parts[j]));
        }
    }

    // ---- tiles of keys ----

    // A tile's vectors on their way to shared memory; zeros where no row sees them, so that nothing but numbers is
    // multiplied, and beyond the head in quantised tiles, whose operands have numbers from all of a panel. Where copies are
    // not asynchronous the tile waits in registers for its place.
    template <class Tile>
    struct TileLoader {
        static constexpr int kVector = Tile::kChunk;  // elements of 16 bytes
        static constexpr int kChunks = Tile::kColumns / kVector, kCount = Tile::kChunks;
        static constexpr int kLoads = (kCount + kThreads - 1) / kThreads;
        // Loops in which a tile waits in registers are unrolled. Else addresses that are kept for the next tile cost
        // registers, of which the largest head's widened values leave none; and few caches are not aligned.
        static constexpr int kTogether = !kTarget.async_copy ? kLoads : kPerByte<Stored> == 2 && kDimV > 128 ? 1 : 4;
        static constexpr int kUnaligned = kTarget.async_copy ? 1 : kLoads;
        Vec<Stored, kVector> waiting[kTarget.async_copy ? 1 : kLoads];

        ADZE_DEVICE void load(const adze_kv_cache& cache, const AttentionShape& s, int head_dim,
                              const Shared<int64_t>& offsets, int slot, const Tile& tile) {
            const Global<const Stored> memory = cache_memory<Stored>(cache, s, head_dim);
            const int columns = stored_elements<Stored>(head_dim);
            const bool aligned = memory.aligned(16, cache.page_stride) && memory.aligned(16, cache.token_stride) &&
                                 memory.aligned(16, cache.head_stride);
            if (aligned) {
#pragma unroll kTogether
                for (int i = 0; i < kLoads; ++i) {
                    const int row = row_of(i), column = column_of(i);
                    if (!takes_part(i, columns)) continue;
                    const int64_t offset = offsets.load(slot * kTileKeys + row);
                    const bool inside = guard(offset >= 0) && (!kQuantised || column < columns);
                    const int64_t index = inside ? offset / kPerByte<Stored> + column : 0;
                    if constexpr (kTarget.async_copy) {
                        copy_chunk_async(tile, row, column, memory, index, inside);
                    } else {
                        waiting[i] = {};
                        if (inside) waiting[i] = memory.template load_vec<kVector>(index);
                    }
                }
                return;
            }
#pragma unroll kUnaligned
            for (int i = 0; i < kLoads; ++i) {
                if (!takes_part(i, columns)) continue;
                const int64_t offset = offsets.load(slot * kTileKeys + row_of(i));
                Vec<Stored, kVector> chunk{};
#pragma unroll
                for (int j = 0; j < kVector; ++j) {
                    if (guard(offset >= 0) && (!kQuantised || column_of(i) < columns))
                        chunk[j] = memory.load(offset + column_of(i) + j);
                }
                if constexpr (kTarget.async_copy) {
                    tile.store_chunk(row_of(i), column_of(i), chunk);
                } else {
                    waiting[i] = chunk;
                }
            }
        }
        ADZE_DEVICE void land(int head_dim, const Tile& tile) const {
#pragma unroll
            for (int i = 0; i < kLoads; ++i) {
                if (takes_part(i, stored_elements<Stored>(head_dim)))
                    tile.store_chunk(row_of(i), column_of(i), waiting[i]);
            }
        }

    private:
        ADZE_DEVICE static int row_of(int i) {
            const int at = thread_index() + i * kThreads;
            return kQuantised ? Tile::chunk_row(at) : at / kChunks;
        }
        ADZE_DEVICE static int column_of(int i) {
            const int at = thread_index() + i * kThreads;
            return kQuantised ? Tile::chunk_column(at) : at % kChunks * kVector;
        }
        ADZE_DEVICE static bool takes_part(int i, int columns) {
            const bool exists = kCount % kThreads == 0 || thread_index() + i * kThreads < kCount;
            return exists && (kQuantised || column_of(i) < columns);
        }
    };

    // The tiles that are under way.
    struct Pipeline {
        TileLoader<TileK> keys;
        TileLoader<TileV> values;

        ADZE_DEVICE void load(const Params& p, const SharedParts& shared, int slot, int stage) {
            keys.load(p.k, p.shape, p.shape.head_dim_qk, shared.table.k_offset, slot, shared.keys(stage));
            values.load(p.v, p.shape, p.shape.head_dim_v, shared.table.v_offset, slot, shared.values(stage));
        }
        // When it returns the oldest tile is in its place, and all warps are done with the one before.
        ADZE_DEVICE void wait(const Params& p, const SharedParts& shared) {
            if constexpr (kTarget.async_copy) {
                wait_copies<kStages - 2>();
                sync_block();
            } else {
                sync_block();
                keys.land(p.shape.head_dim_qk, shared.keys(0));
                values.land(p.shape.head_dim_v, shared.values(0));
                sync_block();
            }
        }
    };

    // All keys of the piece, tile after tile; `again`: the queries are there.
    ADZE_DEVICE static void pass(const Params& p, const SharedParts& shared, bool again, State& state) {
        const AttentionItem item = shared.item.load();
        const int first_row = kKeyWarps > 1 ? 0 : warp_index() * kWarpRows;
        const int first_key = kKeyWarps > 1 ? warp_index() * kWarpKeys : 0;
        const KeyTiles<kTileKeys> all(p.shape, item);
        const int count = all.count;
        if (thread_index() == 0) shared.tiles.store(all);
        if (lane_index() == 0) shared.limits.store(Limits(p.shape, item, first_row), warp_index());
        // The first pages' ids are under way while the queries come.
        KeyPlace place[kAhead + 1];
#pragma unroll
        for (int i = 0; i <= kAhead; ++i) place[i] = find_key(p, all, i);
        if (!again) load_queries(p, item, shared);
        start_rows(item, first_row, state);
        KeyScales scales{};
#pragma unroll
        for (int i = 0; i <= kAhead; ++i) {
            if (i < count) shared.table.store(p, i, place[i], scales);
            if (i < kAhead) shared.table.land(p, i, scales);
        }
        KeyPlace next = find_key(p, all, kAhead + 1);
        sync_block();
        Pipeline pipeline;
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
            if (i < count) pipeline.load(p, shared, i, i % kStages);
            commit_copies();
        }
        constexpr int kTableSlots = kAhead + 2;
        for (int tile = 0; tile < count; ++tile) {
            pipeline.wait(p, shared);
            const int ahead = tile + kAhead;
            shared.table.land(p, ahead % kTableSlots, scales);
            if (ahead < count) pipeline.load(p, shared, ahead % kTableSlots, ahead % kStages);
            commit_copies();
            // With the scales of the tile after those begins the next group of copies, its own.
            if (ahead + 1 < count) shared.table.store(p, (ahead + 1) % kTableSlots, next, scales);
            const auto tiles = shared.tiles.load();
            next = find_key(p, tiles, ahead + 2);
            const int32_t key = tiles.position(tile) + first_key;
            const Limits limits = shared.limits.load(warp_index());
            if (!limits.none(key)) {
                multiply(p, shared, limits.all(key), key, first_row, first_key, tile % kStages,
                         tile % kTableSlots * kTileKeys, state);
            }
        }
    }

    // Rows beyond the item's are computed as its last one, and not written.
    ADZE_DEVICE static void start_rows(const AttentionItem& item, int first_row, State& state) {
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
            for (int s = 0; s < kSlots; ++s) {
                const int row = first_row + r * M::kM + C::slot_row(s);
                state.rows[r].token[s] = item.token(row < item.rows ? row : item.rows - 1);
                state.rows[r].maximum[s] = -infinity();
                state.rows[r].total[s] = 0.0f;
                state.rows[r].value_unit[s] = kSmallestUnit;
            }
        }
    }

    // ---- a tile ----

    // A warp's rows and the keys from `key` on, which begin at `first_key` of the tile; `entry`: the tile's first in the
    // table.
    ADZE_DEVICE static void multiply(const Params& p, const SharedParts& shared, bool sees_all, int32_t key,
                                     int first_row, int first_key, int stage, int entry, State& state) {
        C scores[kRowBlocks][kKeyTiles];
        multiply_keys(p, shared, shared.keys(stage), first_row, first_key, scores);
        const Softmax softmax = shared.softmax.load();
        bool sees[kRowBlocks][kSlots];
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
            Rows& rows = state.rows[r];
            const int block_row = first_row + r * M::kM;
            if (softmax.transforms) make_logits(p, shared, softmax, key, block_row, entry + first_key, rows, scores[r]);
#pragma unroll
            for (int s = 0; s < kSlots; ++s) sees[r][s] = true;
            if (!sees_all) hide_keys(p, shared.item.load(), key, rows, scores[r], sees[r]);
            if (!kCanUnify || !softmax.unified) raise_maximum(softmax, scores[r], rows, state.sums[r]);
            weigh(softmax, shared, block_row, scores[r], rows);
            if (scales_vary(p.v)) apply_value_scales(shared, entry + first_key, scores[r], rows, state.sums[r]);
        }
        multiply_values(p, shared.values(stage), first_key, sees_all, sees, scores, state.sums);
    }

    template <class Panel, class Tile>
    ADZE_DEVICE static Panel panel_of(const Tile& tile, int column) {
        return {tile.data.slice(column * Tile::kRows, Panel::kElements)};
    }

    ADZE_DEVICE static void multiply_keys(const Params& p, const SharedParts& shared, const TileK& keys, int first_row,
                                          int first_key, C (&scores)[kRowBlocks][kKeyTiles]) {
        // Panel after panel: unrolled over all of them, each place in the queries would have an address of its own.
#pragma unroll 1
        for (int column = 0; column < columns(p.shape.head_dim_qk); column += kPanel) {
            const PanelQ q = panel_of<PanelQ>(shared.query_part(0), column);
#pragma unroll
            for (int step = 0; step < kPanel; step += Keys::kSteps * M::kK) {
                if (column + step >= columns(p.shape.head_dim_qk)) continue;
                typename M::A a[kRowBlocks][Keys::kSteps];
#pragma unroll
                for (int r = 0; r < kRowBlocks && kHoldsQueries; ++r)
                    load_query_operands(q, first_row + r * M::kM, step, a[r]);
#pragma unroll
                for (int n = 0; n < kKeyTiles; ++n) {
                    typename M::B b[Keys::kSteps];
                    load_keys(keys, first_key + n * M::kN, column, step, b);
#pragma unroll
                    for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
                        for (int i = 0; i < Keys::kSteps; ++i) {
                            if constexpr (!kHoldsQueries)
                                a[r][i] = load_a<M>(q, first_row + r * M::kM, step + i * M::kK);
                            mma<M>(scores[r][n], a[r][i], b[i]);
                        }
                    }
                }
            }
        }
        if constexpr (kHasParts) {
            if (p.q_parts > 1) add_parts(p, shared, keys, first_row, first_key, scores[0]);
        }
    }

    // Of queries or keys that are multiplied.
    ADZE_DEVICE static int columns(int head_dim) {
        return kQuantised ? kDimQk : head_dim;
    }
    // The operands of the keys from n on, from `step` of the panel at `column` on.
    ADZE_DEVICE static void load_keys(const TileK& keys, int n, int column, int step,
                                      typename M::B (&b)[Keys::kSteps]) {
        if constexpr (kQuantised) {
            Keys::load(keys, n, (column + step) / (Keys::kSteps * M::kK), b);
        } else {
            b[0] = load_b<M>(panel_of<PanelK>(keys, column), n, step);
        }
    }
    ADZE_DEVICE static void load_query_operands(const PanelQ& q, int row, int step, typename M::A (&a)[Keys::kSteps]) {
#pragma unroll
        for (int i = 0; i < Keys::kSteps; ++i) a[i] = load_a<M>(q, row, step + i * M::kK);
    }
    // Of q's other parts.
    ADZE_DEVICE static void add_parts(const Params& p, const SharedParts& shared, const TileK& keys, int first_row,
                                      int first_key, C (&scores)[kKeyTiles]) {
        C rest[kKeyTiles];
#pragma unroll 1
        for (int column = 0; column < columns(p.shape.head_dim_qk); column += Keys::kSteps * M::kK) {
#pragma unroll 1
            for (int part = 1; part < p.q_parts; ++part) {
                const TileQ q = shared.query_part(part);
                typename M::A a[Keys::kSteps];
#pragma unroll
                for (int i = 0; i < Keys::kSteps && kHoldsQueries; ++i)
                    a[i] = load_a<M>(q, first_row, column + i * M::kK);
#pragma unroll
                for (int n = 0; n < kKeyTiles; ++n) {
                    typename M::B b[Keys::kSteps];
                    load_keys(keys, first_key + n * M::kN, column / kPanel * kPanel, column % kPanel, b);
#pragma unroll
                    for (int i = 0; i < Keys::kSteps; ++i) {
                        if constexpr (!kHoldsQueries) a[i] = load_a<M>(q, first_row, column + i * M::kK);
                        mma<M>(rest[n], a[i], b[i]);
                    }
                }
            }
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) add_rest(scores[n].value[i], rest[n].value[i]);
        }
    }

    ADZE_DEVICE static void add_rest(float& sum, float rest) {
        if (is_finite(sum)) sum += rest;
    }

    // Sums of products to logits, where that is more than a positive factor.
    ADZE_DEVICE static void make_logits(const Params& p, const SharedParts& shared, const Softmax& softmax, int32_t key,
                                        int block_row, int entry, const Rows& rows, C (&scores)[kKeyTiles]) {
        const bool has_scales = scales_vary(p.k);
        const int32_t past = shared.item.load().past;
        const float cap = p.shape.logits_soft_cap, per_cap = divide(1.0f, cap);
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int at = n * M::kN + C::column(i), s = C::slot(i), row = block_row + C::slot_row(s);
                float& score = scores[n].value[i];
                if constexpr (kIsF16) score *= shared.units.load(row);
                if (has_scales) score *= shared.table.k_scale.load(entry + at);
                score *= softmax.factor;
                if (cap > 0.0f) score = cap * tanh_of(score * per_cap);
                if (p.alibi_slopes.data != nullptr)
                    score += shared.slopes.load(row) * static_cast<float>(key + at - past - rows.token[s]);
            }
        }
    }

    // -inf where a row does not see the key; whether it sees any.
    ADZE_DEVICE static void hide_keys(const Params& p, const AttentionItem& item, int32_t key, const Rows& rows,
                                      C (&scores)[kKeyTiles], bool (&sees)[kSlots]) {
        uint32_t seen[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            seen[s] = seen_keys(p, item, key, rows.token[s]);
            sees[s] = seen[s] != 0;
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int at = n * M::kN + C::column(i);
                if ((seen[C::slot(i)] >> at & 1) == 0) scores[n].value[i] = -infinity();
            }
        }
    }

    // Bit i: whether the query sees key + i.
    ADZE_DEVICE static uint32_t seen_keys(const Params& p, const AttentionItem& item, int32_t key, int32_t token) {
        const uint32_t hidden = below(item.seen_begin(p.shape, token) - key) & ~below(item.sink_end(p.shape) - key);
        uint32_t seen = below(item.seen_end(p.shape, token) - key) & ~hidden;
        if (item.mask_begin >= 0 && seen != 0) seen &= mask_bits(p, item, key, token);
        return seen;
    }
    ADZE_DEVICE static uint32_t below(int32_t count) {
        constexpr uint32_t kAll = ~0u >> (32 - kWarpKeys);
        return count <= 0 ? 0 : count >= kWarpKeys ? kAll : (1u << count) - 1;
    }
    ADZE_DEVICE static uint32_t mask_bits(const Params& p, const AttentionItem& item, int32_t key, int32_t token) {
        const Global<const int32_t> words(p.mask);
        const int64_t row_words = (int64_t{item.kv_len} + 31) / 32;
        return static_cast<uint32_t>(words.load(item.mask_begin + token * row_words + key / 32)) >> (key % 32);
    }

    // The maximum so far; where it grew, what was summed is brought down to it.
    ADZE_DEVICE static void raise_maximum(const Softmax& softmax, const C (&scores)[kKeyTiles], Rows& rows,
                                          C (&sums)[kDimTiles]) {
        float largest[kSlots];
        bool grew = false;
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            largest[s] = largest_of(s, scores, rows.maximum[s]);
            grew = grew || largest[s] > rows.maximum[s];
        }
        if (ballot(grew) == 0) return;
        float rescale[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            largest[s] = C::reduce_row(largest[s], Max());
            rescale[s] = exp2_approx((rows.maximum[s] - shift_of(largest[s])) * softmax.scale());
            rows.maximum[s] = largest[s];
            rows.total[s] *= rescale[s];
        }
        rescale_sums(rescale, sums);
    }

    ADZE_DEVICE static void rescale_sums(const float (&factor)[kSlots], C (&sums)[kDimTiles]) {
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) sums[n].value[i] *= factor[C::slot(i)];
        }
    }

    // No NaN: a comparison with it is false.
    ADZE_DEVICE static float largest_of(int slot, const C (&scores)[kKeyTiles], float largest) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                if (C::slot(i) == slot && scores[n].value[i] > largest) largest = scores[n].value[i];
            }
        }
        return largest;
    }

    // No finite score yet: exp(-inf - -inf) would be NaN, exp(-inf - 0) is the 0 that is meant.
    ADZE_DEVICE static float shift_of(float maximum) {
        return maximum == -infinity() ? 0.0f : maximum;
    }

    // Scores to weights; the rows' totals follow. The difference comes first, so that the largest weight is exactly 1.
    ADZE_DEVICE static void weigh(const Softmax& softmax, const SharedParts& shared, int block_row,
                                  C (&scores)[kKeyTiles], Rows& rows) {
        float shift[kSlots], total[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            shift[s] = shift_of(rows.maximum[s]);
            if (kCanUnify && softmax.unified) {
                shift[s] = shared.phis.load(block_row + C::slot_row(s));
                rows.maximum[s] = largest_of(s, scores, rows.maximum[s]);
            }
            total[s] = 0.0f;
        }
        const float multiplier = softmax.multiplier(), scale = softmax.scale();
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int s = C::slot(i);
                const float difference = fma(scores[n].value[i], multiplier, -shift[s]);
                const float weight = exp2_approx(kIsF16 ? fma(difference, scale, kWeightExponent) : difference * scale);
                total[s] += weight;
                scores[n].value[i] = weight;
            }
        }
#pragma unroll
        for (int s = 0; s < kSlots; ++s) rows.total[s] += total[s];
    }

    ADZE_DEVICE static void apply_value_scales(const SharedParts& shared, int entry, C (&weights)[kKeyTiles],
                                               Rows& rows, C (&sums)[kDimTiles]) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                // A key that is not seen has no weight, whatever its scale.
                if (weights[n].value[i] != 0.0f)
                    weights[n].value[i] *= shared.table.v_scale.load(entry + n * M::kN + C::column(i));
            }
        }
        if constexpr (kHasUnits) rescale_weights(weights, rows, sums);
    }

    // f16: brings a row's largest weight so far to at most 2^14, by a power of two that only grows.
    ADZE_DEVICE static void rescale_weights(C (&weights)[kKeyTiles], Rows& rows, C (&sums)[kDimTiles]) {
        float rescale[kSlots], factor[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            float largest = 0.0f;
#pragma unroll
            for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
                for (int i = 0; i < C::kCount; ++i) {
                    const float size = float_from_bits(float_bits(weights[n].value[i]) & 0x7fffffffu);
                    if (C::slot(i) == s && size > largest) largest = size;
                }
            }
            largest = C::reduce_row(largest, Max());
            const uint32_t exponent = float_bits(largest) >> 23;
            float unit = float_from_bits((exponent < 15 ? 1 : exponent - 13) << 23);
            if (exponent == 255 || unit < rows.value_unit[s]) unit = rows.value_unit[s];
            rescale[s] = divide(rows.value_unit[s], unit);
            factor[s] = divide(1.0f, unit);
            rows.value_unit[s] = unit;
        }
        rescale_sums(rescale, sums);
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) weights[n].value[i] *= factor[C::slot(i)];
        }
    }

    // sums += weights * values; but for rows that see none of the keys, where 0 * NaN would be NaN.
    ADZE_DEVICE static void multiply_values(const Params& p, const TileV& values, int first_key, bool sees_all,
                                            const bool (&sees)[kRowBlocks][kSlots], C (&weights)[kRowBlocks][kKeyTiles],
                                            C (&sums)[kRowBlocks][kDimTiles]) {
        typename M::A part[kRowBlocks][kKeySteps];
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) take_part(weights[r], part[r]);
        const bool has_rest = kHasParts && p.p_parts > 1;
        typename M::A rest[2][kKeySteps];
        if (has_rest) {
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                subtract_rounded(weights[0]);
                take_part(weights[0], rest[j]);
            }
        }
#pragma unroll
        for (int first = 0; first < kDimTiles; first += Values::kTiles) {
            if (first * M::kN >= p.shape.head_dim_v) continue;
            typename M::B b[Values::kTiles][kKeySteps];
#pragma unroll
            for (int k = 0; k < kKeySteps; ++k) load_values(values, first_key + k * M::kK, first, k, b);
#pragma unroll
            for (int t = 0; t < Values::kTiles; ++t) {
#pragma unroll
                for (int r = 0; r < kRowBlocks; ++r) {
                    C sum = sums[r][first + t];
#pragma unroll
                    for (int k = 0; k < kKeySteps; ++k) mma<M>(sum, part[r][k], b[t][k]);
                    if (has_rest) add_products(rest, p.p_parts, b[t], sum);
#pragma unroll
                    for (int i = 0; i < C::kCount; ++i) {
                        if (sees_all || sees[r][C::slot(i)]) sums[r][first + t].value[i] = sum.value[i];
                    }
                }
            }
        }
    }

    // The operands of accumulators `first` on and of the step that begins with value k.
    ADZE_DEVICE static void load_values(const TileV& values, int k, int first, int step,
                                        typename M::B (&b)[Values::kTiles][kKeySteps]) {
        if constexpr (kQuantised) {
            typename M::B of_step[Values::kTiles];
            Values::load(values, k, first / Values::kTiles, of_step);
#pragma unroll
            for (int t = 0; t < Values::kTiles; ++t) b[t][step] = of_step[t];
        } else {
            b[0][step] = load_b_rows<M>(values, k, first * M::kN);
        }
    }

    ADZE_DEVICE static void take_part(const C (&weights)[kKeyTiles], typename M::A (&part)[kKeySteps]) {
#pragma unroll
        for (int k = 0; k < kKeySteps; ++k) part[k] = as_operand<M>(&weights[k * (M::kK / M::kN)]);
    }

    ADZE_DEVICE static void add_products(const typename M::A (&parts)[2][kKeySteps], int count,
                                         const typename M::B (&b)[kKeySteps], C& sum) {
        C rest;
#pragma unroll
        for (int k = 0; k < kKeySteps; ++k) mma<M>(rest, parts[0][k], b[k]);
        if (count > 2) {
#pragma unroll
            for (int k = 0; k < kKeySteps; ++k) mma<M>(rest, parts[1][k], b[k]);
        }
#pragma unroll
        for (int i = 0; i < C::kCount; ++i) add_rest(sum.value[i], rest.value[i]);
    }

    // What as_operand left out.
    ADZE_DEVICE static void subtract_rounded(C (&weights)[kKeyTiles]) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; i += 2) {
                const float pair[2] = {weights[n].value[i], weights[n].value[i + 1]};
                float rounded[2];
                to_floats(from_floats<T, 2>(pair), rounded);
                weights[n].value[i] = pair[0] - rounded[0];
                weights[n].value[i + 1] = pair[1] - rounded[1];
            }
        }
    }

    // ---- the piece's end ----

    // Each warp's maxima, of logits, and totals.
    ADZE_DEVICE static void publish(const SharedParts& shared, const Softmax& softmax, State& state) {
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
            Rows& rows = state.rows[r];
#pragma unroll
            for (int s = 0; s < kSlots; ++s) {
                rows.total[s] = C::reduce_row(rows.total[s], Add()) * kWeightUnit;
                if (softmax.unified) rows.maximum[s] = C::reduce_row(rows.maximum[s], Max());
            }
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                if (C::column(i) != 0) continue;
                const int row = warp_index() * kWarpRows + r * M::kM + C::row(i), s = C::slot(i);
                shared.statistics.template store_vec<2>(row * 2,
                                                        {rows.maximum[s] * softmax.score_factor(), rows.total[s]});
            }
        }
        sync_block();
    }

    // Whether phi did for all rows of the block; if so it becomes their maximum.
    ADZE_DEVICE static bool fits(const Params& p, const SharedParts& shared, const Softmax& softmax,
                                 const State& state) {
        const int rows = shared.item.load().rows;
        const int first_row = kKeyWarps > 1 ? 0 : warp_index() * kWarpRows;
        bool good = true;
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
#pragma unroll
            for (int s = 0; s < kSlots; ++s) {
                if (first_row + r * M::kM + C::slot_row(s) < rows)
                    good = good && sums_fit(p, softmax, s, state.rows[r], state.sums[r]);
            }
        }
        for (int row = thread_index(); row < rows; row += kThreads) {
            float largest = -infinity();
#pragma unroll
            for (int k = 0; k < kKeyWarps; ++k)
                largest = Max()(largest, shared.statistics.load((k * kWarpRows + row) * 2));
            const float phi = shared.phis.load(row);
            if (largest > phi + p.phi_above || (largest < phi - p.phi_below && largest != -infinity())) good = false;
        }
        const bool of_warp = ballot(!good) == 0;
        if (lane_index() == 0) shared.fits.store(warp_index(), of_warp ? 1 : 0);
        sync_block();
        bool of_all = true;
#pragma unroll
        for (int w = 0; w < kWarps; ++w) of_all = of_all && shared.fits.load(w) != 0;
        return of_all;
    }

    // Whether f32 holds a row's sums, and held what they are sums of: the largest weight may be far below the stable
    // softmax's 1, and no products would show it. Products with numbers of a cache are 0 only where those are.
    ADZE_DEVICE static bool sums_fit(const Params& p, const Softmax& softmax, int slot, const Rows& rows,
                                     const C (&sums)[kDimTiles]) {
        const bool sees_any = rows.maximum[slot] != -infinity(), zeros_fit = kQuantised && !scales_vary(p.v);
        const float least = sees_any && rows.total[slot] < 1.0f ? kLeastSum : 0.0f;
        bool good = true;
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                if (C::slot(i) != slot || dim_of(n * M::kN + C::column(i)) >= p.shape.head_dim_v) continue;
                const float sum = sums[n].value[i];
                const float size = float_from_bits(float_bits(sum) & 0x7fffffffu);
                const float scaled = float_from_bits(float_bits(sum * softmax.value_scale) & 0x7fffffffu);
                const bool large = size >= least && scaled >= least;
                good = good && is_finite(scaled) && (large || (zeros_fit && sum == 0.0f));
            }
        }
        return good;
    }
    // Of the values' accumulators' column `column`.
    ADZE_DEVICE static int dim_of(int column) {
        if constexpr (kQuantised) {
            return Values::dim(column);
        } else {
            return column;
        }
    }

    // Results, or partial results, by way of shared memory, where the tiles were: 16 rows of each warp at a time, in
    // blocks of 64 columns. Warps that shared the rows are merged on the way.
    ADZE_DEVICE static void write(const Params& p, const SharedParts& shared, const Softmax& softmax, State& state) {
        const AttentionItem item = shared.item.load();
        SharedArena arena = shared.before_ring;
        const Shared<float> all = arena.template take<float>(kWarps * TileO::kElements, TileK::kAlignment);
        const TileO tile{all.slice(warp_index() * TileO::kElements, TileO::kElements)};
        const float scale = kWeightUnit * softmax.value_scale;
        constexpr int kTilesAtATime = TileO::kColumns / M::kN;
        const int first_row = kKeyWarps > 1 ? 0 : warp_index() * kWarpRows;
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
            float unit[kSlots];
#pragma unroll
            for (int s = 0; s < kSlots; ++s)
                unit[s] = kHasUnits && scales_vary(p.v) ? scale * state.rows[r].value_unit[s] : scale;
            rescale_sums(unit, state.sums[r]);
#pragma unroll
            for (int n = 0; n < kDimTiles; n += kTilesAtATime) {
                if (n * M::kN >= p.shape.head_dim_v) continue;
                sync_sharing();
#pragma unroll
                for (int i = 0; i < kTilesAtATime; ++i) {
                    if constexpr (!kQuantised) store_c<M>(tile, 0, i * M::kN, state.sums[r][n + i]);
                }
                if constexpr (kQuantised) store_numbers(tile, n * M::kN, state.sums[r]);
                sync_sharing();
                write_columns(p, item, shared, softmax, first_row + r * M::kM, n * M::kN,
                              kKeyWarps > 1 ? all : tile.data);
            }
        }
    }

    // Columns `first` on of quantised values' sums, each in its place: a lane has runs of neighbours.
    ADZE_DEVICE static void store_numbers(const TileO& tile, int first, const C (&sums)[kDimTiles]) {
        constexpr int kRun = 4, kHalf = Values::kHalf;
        constexpr int kOfRow = C::kCount / kSlots;      // elements that an accumulator has of a row
        constexpr int kGroup = Values::kTiles * M::kN;  // columns of one load
#pragma unroll
        for (int group = 0; group < kDimTiles; group += Values::kTiles) {
            if ((group + Values::kTiles) * M::kN <= first || group * M::kN >= first + TileO::kColumns) continue;
#pragma unroll
            for (int run = 0; run < Values::kTiles * kOfRow; run += kRun) {
                const int t = run / (kHalf * kOfRow) * kHalf + run % kHalf;
                const int column = Values::dim((group + t) * M::kN + C::column(run / kHalf % kOfRow)) - first;
                if (kGroup > TileO::kColumns && !guard(column >= 0 && column < TileO::kColumns)) continue;
#pragma unroll
                for (int s = 0; s < kSlots; ++s) {
                    Vec<float, kRun> numbers;
#pragma unroll
                    for (int j = 0; j < kRun; ++j) {
                        const int at = run + j, of_row = at / kHalf % kOfRow;
                        numbers[j] =
                            sums[group + at / (kHalf * kOfRow) * kHalf + at % kHalf].value[s * kOfRow + of_row];
                    }
                    tile.data.template store_vec<kRun>(TileO::index(C::slot_row(s), column), numbers);
                }
            }
        }
    }

    // The warps that have the same rows.
    ADZE_DEVICE static void sync_sharing() {
        if constexpr (kKeyWarps > 1) {
            sync_block();
        } else {
            sync_warp();
        }
    }

    ADZE_DEVICE static void write_columns(const Params& p, const AttentionItem& item, const SharedParts& shared,
                                          const Softmax& softmax, int first_row, int column,
                                          const Shared<float>& tiles) {
        constexpr int kStep = 4, kSteps = TileO::kColumns / kStep;
        constexpr int kSharing = kKeyWarps * kWarpSize;
#pragma unroll 1
        for (int i = thread_index() % kSharing; i < M::kM * kSteps; i += kSharing) {
            const int row = first_row + i / kSteps, at = column + i % kSteps * kStep;
            if (!guard(row < item.rows && at < p.shape.head_dim_v)) continue;
            RowStatistics of_warp[kKeyWarps], all{-infinity(), 0.0f};
#pragma unroll
            for (int k = 0; k < kKeyWarps; ++k) {
                of_warp[k] = statistics_of(shared, softmax, k, row);
                if (of_warp[k].total != 0.0f) all.maximum = Max()(all.maximum, of_warp[k].maximum);
            }
            float x[kStep] = {};
#pragma unroll
            for (int k = 0; k < kKeyWarps; ++k) {
                const float weight = of_warp[k].weight(all.maximum);
                all.total = fma(weight, of_warp[k].total, all.total);
                const auto part =
                    tiles.template load_vec<kStep>(k * TileO::kElements + TileO::index(i / kSteps, at - column));
#pragma unroll
                for (int j = 0; j < kStep; ++j) x[j] = fma(weight, part[j], x[j]);
            }
            if (item.partial >= 0) {
                write_partial(p, item, row, at, all, x);
            } else {
                write_result(p, item, row, at, all, x);
            }
        }
    }

    ADZE_DEVICE static RowStatistics statistics_of(const SharedParts& shared, const Softmax& softmax, int key_warp,
                                                   int row) {
        const auto pair = shared.statistics.template load_vec<2>((key_warp * kWarpRows + row) * 2);
        return {softmax.unified ? shared.phis.load(row) : pair[0], pair[1]};
    }

    ADZE_DEVICE static void write_partial(const Params& p, const AttentionItem& item, int row, int column,
                                          const RowStatistics& all, const float (&x)[4]) {
        const Global<float> out(p.workspace, p.partials.floats());
        const int64_t index = p.partials.sums(item.head, item.partial + row) + column;
        out.template store_vec<4>(index, {x[0], x[1], x[2], x[3]});
        if (column == 0)
            out.template store_vec<2>(p.partials.statistics(item.head, item.partial + row), {all.maximum, all.total});
    }

    ADZE_DEVICE static void write_result(const Params& p, const AttentionItem& item, int row, int column,
                                         const RowStatistics& keys, const float (&x)[4]) {
        const int64_t q_row = item.first_token + item.token(row), q_head = item.q_head(row);
        const RowStatistics all = keys.with(sink_logit(p, q_head));
        const float weight = keys.weight(all.maximum), divisor = all.total == 0.0f ? 1.0f : all.total;
        float result[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) result[j] = divide(x[j] * weight, divisor);
        store_row(p.o, q_row, q_head * p.shape.head_dim_v + column, result);
        if (column == 0) write_lse(p, q_row, q_head, all);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
