// o = softmax(scale q k^T + mask) v over a paged KV cache
//
// q: [tokens, q heads * head_dim_qk], o: [tokens, q heads * head_dim_v], f32, f16 or bf16 at run time; K and V: pages in
// T (f16, bf16) at any strides, each element times its scale.
// A block owns one piece of the plan's work, one KV head and kRows of its rows: query tokens times the group of query
// heads that share the KV head, so that a key is read once for all of them. Each of its warps owns 16 rows. Keys come in
// tiles of kTileKeys, aligned to the sequence, gathered through kv_indices into shared memory; while K is multiplied, V
// is on its way, and the next K while V is.
//   scores   q k^T on the tensor cores, scaled and masked in f32
//   softmax  online (arXiv 1805.02867; FlashAttention-2, arXiv 2307.08691, algorithm 1), all in f32
//   sums     p v on the tensor cores, p as their operand in registers, a tile's sum added to the rescaled total in f32
// Pieces of split sequences (decode) write partial rows, which MergeAttention merges in order (Flash-Decoding).
//
// Accuracy is that of f32 arithmetic, whatever the formats: p has 24 bits and T has 8 or 11, so p goes as a sum of two
// numbers of T (16 or 22 bits; enough where o is rounded to 16 bits), or three for bf16 and an f32 o; and so does q where
// its format is not T. f16 also lacks f32's range: there rows of q and of p are scaled by powers of two. Products with
// Inf are taken from the first number alone: 0 * Inf of the others says nothing.
// A row's bits depend on its own sequence only, not on the rows beside it or the other sequences, as long as the values
// are finite: a NaN or Inf among those of a tile's keys reaches all rows that see any key of the tile.
//
// Floor: decode reads each K and V once, 2 kv_len (head_dim_qk + head_dim_v) bytes a KV head, at memory bandwidth;
// prefill does 2 (head_dim_qk + head_dim_v) operations a visible pair and head on the tensor cores, of which this does
// 1.5 to 3 times as many.
#pragma once

#include <type_traits>

#include "attention/attention.h"
#include "device/async_copy.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/mma.h"
#include "runtime/gpu_rows.cuh"

namespace adze {
inline namespace ADZE_TARGET {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

struct AttentionKernelParams {
    AttentionShape shape;
    AttentionDevicePlan plan;
    adze_tensor q, o, lse, kv_indices;
    adze_kv_cache k, v;
    float* workspace;
    PartialRows partials;
    int64_t num_work;
    int32_t blocks[kRowTiles];
    int32_t q_parts, p_parts;  // numbers of T that q and p are made of
    bool prefill_done;         // the pieces of the highest row tiles, which are the last
};

// A struct of 64-bit words from an array in global memory.
template <class S>
ADZE_DEVICE S load_struct(const S* data, int64_t count, int64_t index) {
    constexpr int kWords = static_cast<int>(sizeof(S) / 8);
    struct {
        uint64_t word[kWords];
    } raw;
    const Global<const uint64_t> words(reinterpret_cast<const uint64_t*>(data), count * kWords);
#pragma unroll
    for (int i = 0; i < kWords; ++i) raw.word[i] = words.load(index * kWords + i);
    return __builtin_bit_cast(S, raw);
}

ADZE_DEVICE bool is_finite(float x) {
    return (float_bits(x) & 0x7f800000u) != 0x7f800000u;
}
ADZE_DEVICE float exp_of(float x) {
    return exp2_approx(x * kLog2E);
}
ADZE_DEVICE int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
ADZE_DEVICE int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// A piece of work as a block sees it. Row r is query token r / group, query head r % group of the KV head.
struct AttentionItem {
    AttentionWork work;
    int64_t first_token;  // of the sequence, in q
    int64_t kv_len, past;
    int64_t first_page;  // of the sequence, in kv_indices
    int64_t rows;
    int head, group, window;
    bool causal;

    ADZE_DEVICE explicit AttentionItem(const AttentionKernelParams& p) {
        const auto counts = load_struct(p.plan.counts, 1, 0);
        work = load_struct(p.plan.work, p.num_work, block_index().x);
        const Global<const int32_t> qo_indptr(p.plan.qo_indptr, counts.num_sequences + 1);
        first_token = qo_indptr.load(work.sequence);
        kv_len = Global<const int64_t>(p.plan.kv_len, counts.num_sequences).load(work.sequence);
        past = kv_len - (qo_indptr.load(work.sequence + 1) - first_token);
        first_page = Global<const int32_t>(p.plan.kv_indptr, counts.num_sequences + 1).load(work.sequence);
        head = static_cast<int>(block_index().y);
        group = p.shape.num_q_heads / p.shape.num_kv_heads;
        rows = work.row_end - work.row_begin;
        window = p.shape.window;
        causal = p.shape.causal;
    }

    ADZE_DEVICE int64_t token(int64_t row) const { return (work.row_begin + row) / group; }
    ADZE_DEVICE int64_t q_head(int64_t row) const { return int64_t{head} * group + (work.row_begin + row) % group; }
    // The keys that a row sees, as far as this piece goes. Both grow with the row.
    ADZE_DEVICE int64_t visible_begin(int64_t row) const {
        return most(work.kv_begin, window == 0 ? 0 : past + token(row) - window + 1);
    }
    ADZE_DEVICE int64_t visible_end(int64_t row) const {
        return least(work.kv_end, causal ? past + token(row) + 1 : kv_len);
    }
};

// Where the keys of two tiles are, for both caches: thread i makes the entry of a tile's key i for all.
template <int kTileKeys>
struct KeyTable {
    Shared<int64_t> k_offset, v_offset;  // of the token's vector, -1: no row of the block sees it
    Shared<float> k_scale, v_scale;

    static constexpr int kEntries = 2 * kTileKeys;
    static constexpr int64_t kBytes = int64_t{kEntries} * 24;

    ADZE_DEVICE static KeyTable take(SharedArena& arena) {
        return {arena.take<int64_t>(kEntries), arena.take<int64_t>(kEntries), arena.take<float>(kEntries),
                arena.take<float>(kEntries)};
    }

    // A thread's key in the tile that is next to fill.
    struct Cursor {
        int64_t position;
        int32_t page, slot;  // page of the sequence, token in it

        ADZE_DEVICE Cursor(int64_t tile, int32_t page_size)
            : position(tile + thread_index()),
              page(static_cast<int32_t>(position / page_size)),
              slot(static_cast<int32_t>(position % page_size)) {}
        ADZE_DEVICE void advance(int32_t page_size) {
            position += kTileKeys;
            page += kTileKeys / page_size;
            slot += kTileKeys % page_size;
            if (slot >= page_size) ++page, slot -= page_size;
        }
    };

    // Fills the tile whose entries begin at `first`; keys outside [low, high) are left out.
    ADZE_DEVICE void fill(const AttentionKernelParams& p, int first, Cursor& at, int64_t first_page, int64_t low,
                          int64_t high) const {
        if (thread_index() >= kTileKeys) return;
        const int i = first + thread_index(), head = static_cast<int>(block_index().y);
        const bool inside = guard(at.position >= low && at.position < high);
        const int64_t page = inside ? Global<const int32_t>(p.kv_indices).load(first_page + at.page) : 0;
        k_offset.store(i, inside ? offset(p.k, page, at.slot, head) : -1);
        v_offset.store(i, inside ? offset(p.v, page, at.slot, head) : -1);
        if (p.k.scales != nullptr) k_scale.store(i, inside ? scale(p, p.k, page, at.slot, head) : 0.0f);
        if (p.v.scales != nullptr) v_scale.store(i, inside ? scale(p, p.v, page, at.slot, head) : 0.0f);
        at.advance(p.shape.page_size);
    }

private:
    ADZE_DEVICE static int64_t offset(const adze_kv_cache& c, int64_t page, int64_t slot, int64_t head) {
        return page * c.page_stride + slot * c.token_stride + head * c.head_stride;
    }
    ADZE_DEVICE static float scale(const AttentionKernelParams& p, const adze_kv_cache& c, int64_t page, int64_t slot,
                                   int64_t head) {
        const int64_t count = (c.num_pages - 1) * c.scale_page_stride + (p.shape.page_size - 1) * c.scale_token_stride +
                              (p.shape.num_kv_heads - 1) * c.scale_head_stride + 1;
        return Global<const float>(c.scales, count)
            .load(page * c.scale_page_stride + slot * c.scale_token_stride + head * c.scale_head_stride);
    }
};

template <class T>
ADZE_DEVICE Global<const T> cache_memory(const adze_kv_cache& c, const AttentionShape& s, int head_dim) {
    return {static_cast<const T*>(c.data), (c.num_pages - 1) * c.page_stride + (s.page_size - 1) * c.token_stride +
                                               (s.num_kv_heads - 1) * c.head_stride + head_dim};
}

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

//   T       format of the cache
//   kDim    the larger of the head dims, or more
//   kWarps  warps of 16 rows
template <class T, int kDim, int kWarps>
struct Attention {
    static constexpr const char* kName = kDim == 64 ? "attention_64" : kDim == 128 ? "attention_128" : "attention_256";
    static constexpr int kThreads = kWarps * kWarpSize;
    using Params = AttentionKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    using M = Mma<T>;
    using C = typename M::C;
    static constexpr int kWarpRows = M::kM, kRows = kWarps * kWarpRows;
    static constexpr int kTileKeys = kDim > 128 ? 32 : 64;  // registers and shared memory
    static_assert(kThreads >= kTileKeys && kWarpRows == 16);
    using TileQ = SharedTile<T, kRows, kDim>;
    using TileKv = SharedTile<T, kTileKeys, kDim>;
    using Table = KeyTable<kTileKeys>;
    using TileO = ResultTile<kWarpRows, 64>;  // of a warp, at the end

    static constexpr int64_t shared_bytes(int q_parts, int warps) {
        int64_t bytes = add_shared(0, int64_t{2} * TileKv::kElements * 2, TileKv::kAlignment);
        bytes = add_shared(bytes, int64_t{q_parts} * warps * kWarpRows * kDim * 2, TileQ::kAlignment);
        return bytes + Table::kBytes + warps * kWarpRows * 4;
    }
    static_assert(int64_t{kWarps} * TileO::kElements * 4 <= shared_bytes(1, kWarps));

    static constexpr int kChunk = 8, kChunks = kDim / kChunk;  // of 16 bytes; of a row
    static constexpr int kKeyTiles = kTileKeys / M::kN;        // accumulators of a tile's scores
    static constexpr int kKeySteps = kTileKeys / M::kK;        // operands of a tile's weights
    static constexpr int kDimTiles = kDim / M::kN, kDimSteps = kDim / M::kK;
    static constexpr int kSlots = C::kRows;
    // p is at most 1; times this, all of f16's 22 bits are there for p down to 2^-17.
    static constexpr float kWeightUnit = std::is_same_v<T, f16> ? 16384.0f : 1.0f;
    static constexpr bool kHasUnits = std::is_same_v<T, f16>;  // rows of q are scaled
    static constexpr float kSmallestUnit = 1.17549435e-38f;

    // What a lane knows of its rows.
    struct Rows {
        int64_t position[kSlots];  // of the query in its sequence
        float maximum[kSlots], total[kSlots], rescale[kSlots];
        float value_unit[kSlots];  // f16 with scales by token: what the weights were divided by
        bool sees[kSlots];         // a key of the tile at hand
    };

    // The keys that any of a warp's rows sees, and what bounds those of all rows.
    struct Limits {
        int64_t low = 0, high = 0, begin, end;

        ADZE_DEVICE Limits(const AttentionItem& item, int64_t warp_row)
            : begin(item.work.kv_begin), end(least(item.work.kv_end, item.kv_len)) {
            if (warp_row >= item.rows) return;
            low = item.visible_begin(warp_row);
            high = item.visible_end(least(warp_row + kWarpRows, item.rows) - 1);
        }
    };

    ADZE_DEVICE static void run(const Params& p) {
        if (!guard(static_cast<int64_t>(block_index().x) < num_work(p))) return;
        const int64_t first_row = int64_t{block_index().z} * kRows, warp_row = first_row + warp_index() * kWarpRows;
        const AttentionItem item(p);
        if (first_row >= item.rows) return;
        SharedArena arena;
        const TileKv keys{arena.take<T>(TileKv::kElements, TileKv::kAlignment)};
        const TileKv values{arena.take<T>(TileKv::kElements, TileKv::kAlignment)};
        const Shared<T> queries = arena.take<T>(p.q_parts * TileQ::kElements, TileQ::kAlignment);
        const Table table = Table::take(arena);
        const Shared<float> units = arena.take<float>(kRows);

        const int64_t low = item.visible_begin(first_row);
        const int64_t high = item.visible_end(least(first_row + kRows, item.rows) - 1);
        const int64_t first_tile = low / kTileKeys * kTileKeys, first_page = item.first_page;
        typename Table::Cursor cursor(first_tile, p.shape.page_size);
        if (first_tile < high) table.fill(p, 0, cursor, first_page, low, high);
        load_queries(p, item, warp_row, queries, units);
        sync_block();
        Rows rows = start_rows(item, warp_row);
        const Limits limits(item, warp_row);
        if (first_tile < high) load_tile(p, p.k, p.shape.head_dim_qk, table.k_offset, 0, keys);
        commit_copies();

        C sums[kDimTiles];
        int now = 0, next = kTileKeys;  // entries of this tile and of the next one
        for (int64_t tile = first_tile; tile < high; tile += kTileKeys) {
            const bool sees = limits.low < tile + kTileKeys && tile < limits.high;
            wait_copies<0>();
            sync_block();  // K is here, and nobody reads the last V
            load_tile(p, p.v, p.shape.head_dim_v, table.v_offset, now, values);
            commit_copies();
            if (tile + kTileKeys < high) table.fill(p, next, cursor, first_page, low, high);
            C scores[kKeyTiles];
            if (sees) {
                multiply_keys(p, queries, keys, scores);
                mask_scores(p, tile, limits, table, now, units, rows, scores);
                weigh(p, table, now, rows, scores);
            }
            wait_copies<0>();
            sync_block();  // V is here, and nobody reads K
            if (tile + kTileKeys < high) load_tile(p, p.k, p.shape.head_dim_qk, table.k_offset, next, keys);
            commit_copies();
            if (sees) multiply_values(p, values, rows, scores, sums);
            now = kTileKeys - now, next = kTileKeys - next;
        }
        sync_block();
        write(p, AttentionItem(p), warp_row, rows, sums);
    }

private:
    ADZE_DEVICE static int64_t num_work(const Params& p) {
        if (p.prefill_done && p.plan.block_work[2] != nullptr)
            return Global<const int32_t>(p.plan.block_work[2], p.blocks[2] + 1).load(0);
        const int height = p.plan.block_work[2] != nullptr ? 2 : p.plan.block_work[1] != nullptr ? 1 : 0;
        return Global<const int32_t>(p.plan.block_work[height], p.blocks[height] + 1).load(p.blocks[height]);
    }

    // Each warp brings its own rows, as p.q_parts numbers of T.
    ADZE_DEVICE static void load_queries(const Params& p, const AttentionItem& item, int64_t warp_row,
                                         const Shared<T>& queries, const Shared<float>& units) {
        static_assert(kChunks <= kWarpSize);
        constexpr int kRowsAtATime = kWarpSize / kChunks;
        const int column = lane_index() % kChunks * kChunk;
#pragma unroll 1
        for (int i = lane_index() / kChunks; i < kWarpRows; i += kRowsAtATime) {
            const int64_t row = warp_row + i;
            const bool inside = row < item.rows && column < p.shape.head_dim_qk;
            float x[kChunk];
            load_row(p.q, item.first_token + item.token(row), item.q_head(row) * p.shape.head_dim_qk + column, inside,
                     x);
            const float unit = kHasUnits && p.q_parts > 1 ? normalise(x) : 1.0f;
            const int shared_row = warp_index() * kWarpRows + i;
            if (column == 0) units.store(shared_row, unit);
            store_parts(x, p.q_parts, queries, shared_row, column);
        }
    }

    // Divides a row, spread over kChunks lanes, by a power of two that brings its largest number to 2^14 or above.
    ADZE_DEVICE static float normalise(float (&x)[kChunk]) {
        float largest = 0.0f;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            const float size = float_from_bits(float_bits(x[i]) & 0x7fffffffu);
            if (size > largest) largest = size;
        }
        largest = reduce(largest, Max(), kChunks);
        const int exponent = static_cast<int>(float_bits(largest) >> 23);
        if (exponent == 255) return 1.0f;
        const int factor = exponent < 15 ? 253 : 268 - exponent;  // as a number's exponent bits
#pragma unroll
        for (int i = 0; i < kChunk; ++i) x[i] *= float_from_bits(static_cast<uint32_t>(factor) << 23);
        return float_from_bits(static_cast<uint32_t>(254 - factor) << 23);
    }

    ADZE_DEVICE static void store_parts(const float (&x)[kChunk], int count, const Shared<T>& queries, int row,
                                        int column) {
        float parts[3][kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            float part[3] = {x[i], 0.0f, 0.0f};
            if (count > 1) split_parts<T>(x[i], part);
#pragma unroll
            for (int j = 0; j < 3; ++j) parts[j][i] = part[j];
        }
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            if (j < count) {
                const TileQ q{queries.slice(j * TileQ::kElements, TileQ::kElements)};
                q.store_chunk(row, column, from_floats<T, kChunk>(parts[j]));
            }
        }
    }

    // Rows beyond the item's are computed as its last one, and not written.
    ADZE_DEVICE static Rows start_rows(const AttentionItem& item, int64_t warp_row) {
        Rows rows;
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            rows.position[s] = item.past + item.token(least(warp_row + C::slot_row(s), item.rows - 1));
            rows.maximum[s] = -infinity();
            rows.total[s] = 0.0f;
            rows.rescale[s] = 1.0f;
            rows.value_unit[s] = kSmallestUnit;
        }
        return rows;
    }

    // The vectors of a tile's tokens; zeros where no row sees them, so that nothing but numbers is multiplied.
    ADZE_DEVICE static void load_tile(const Params& p, const adze_kv_cache& cache, int head_dim,
                                      const Shared<int64_t>& offsets, int first, const TileKv& tile) {
        const Global<const T> memory = cache_memory<T>(cache, p.shape, head_dim);
        const bool aligned = memory.aligned(16, cache.page_stride) && memory.aligned(16, cache.token_stride) &&
                             memory.aligned(16, cache.head_stride);
#pragma unroll 4
        for (int i = thread_index(); i < kTileKeys * kChunks; i += kThreads) {
            const int row = i / kChunks, column = i % kChunks * kChunk;
            if (column >= head_dim) continue;
            const int64_t offset = offsets.load(first + row);
            const bool inside = guard(offset >= 0);
            const int64_t index = inside ? offset + column : 0;
            if (aligned) {
                copy_chunk_async(tile, row, column, memory, index, inside);
                continue;
            }
            Vec<T, kChunk> chunk{};
#pragma unroll
            for (int j = 0; j < kChunk; ++j) {
                if (inside) chunk[j] = memory.load(index + j);
            }
            tile.store_chunk(row, column, chunk);
        }
    }

    ADZE_DEVICE static void multiply_keys(const Params& p, const Shared<T>& queries, const TileKv& keys,
                                          C (&scores)[kKeyTiles]) {
        const int row = warp_index() * kWarpRows;
        if (p.q_parts == 1) {
            const TileQ q{queries.slice(0, TileQ::kElements)};
            for (int step = 0; step * M::kK < p.shape.head_dim_qk; ++step) {
                const auto a = load_a<M>(q, row, step * M::kK);
#pragma unroll
                for (int n = 0; n < kKeyTiles; ++n) mma<M>(scores[n], a, load_b<M>(keys, n * M::kN, step * M::kK));
            }
            return;
        }
        C rest[kKeyTiles];  // of q's other parts
        for (int step = 0; step * M::kK < p.shape.head_dim_qk; ++step) {
            const auto a = load_a<M>(TileQ{queries.slice(0, TileQ::kElements)}, row, step * M::kK);
#pragma unroll
            for (int n = 0; n < kKeyTiles; ++n) mma<M>(scores[n], a, load_b<M>(keys, n * M::kN, step * M::kK));
            for (int part = 1; part < p.q_parts; ++part) {
                const TileQ q{queries.slice(part * TileQ::kElements, TileQ::kElements)};
                const auto b = load_a<M>(q, row, step * M::kK);
#pragma unroll
                for (int n = 0; n < kKeyTiles; ++n) mma<M>(rest[n], b, load_b<M>(keys, n * M::kN, step * M::kK));
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

    // Sums of products to logits; -inf where a row does not see the key.
    ADZE_DEVICE static void mask_scores(const Params& p, int64_t tile, const Limits& limits, const Table& table,
                                        int first, const Shared<float>& units, Rows& rows, C (&scores)[kKeyTiles]) {
        int begin[kSlots], end[kSlots];  // keys of the tile
        float unit[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            const int64_t position = rows.position[s];
            const int64_t seen_from =
                p.shape.window == 0 ? limits.begin : most(limits.begin, position - p.shape.window + 1);
            const int64_t seen_to = p.shape.causal ? least(limits.end, position + 1) : limits.end;
            begin[s] = static_cast<int>(least(most(seen_from - tile, 0), kTileKeys));
            end[s] = static_cast<int>(most(least(seen_to - tile, kTileKeys), 0));
            rows.sees[s] = begin[s] < end[s];
            if constexpr (kHasUnits) unit[s] = units.load(warp_index() * kWarpRows + C::slot_row(s));
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int key = n * M::kN + C::column(i), s = C::slot(i);
                float& score = scores[n].value[i];
                if constexpr (kHasUnits) score *= unit[s];
                if (p.k.scales != nullptr) score *= table.k_scale.load(first + key);
                score *= p.shape.softmax_scale;
                if (key < begin[s] || key >= end[s]) score = -infinity();
            }
        }
    }

    // Logits to weights, exp(logit - maximum) times the value's scale; the rows' maxima and totals follow.
    ADZE_DEVICE static void weigh(const Params& p, const Table& table, int first, Rows& rows, C (&scores)[kKeyTiles]) {
        float shift[kSlots], tile_total[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            float largest = -infinity();  // no NaN: a comparison with it is false
#pragma unroll
            for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
                for (int i = 0; i < C::kCount; ++i) {
                    if (C::slot(i) == s && scores[n].value[i] > largest) largest = scores[n].value[i];
                }
            }
            largest = Max()(C::reduce_row(largest, Max()), rows.maximum[s]);
            // No finite logit yet: exp(-inf - -inf) would be NaN, exp(-inf - 0) is the 0 that is meant.
            shift[s] = largest == -infinity() ? 0.0f : largest;
            rows.rescale[s] = exp_of(rows.maximum[s] - shift[s]);
            rows.maximum[s] = largest;
            tile_total[s] = 0.0f;
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int s = C::slot(i);
                const float weight = exp_of(scores[n].value[i] - shift[s]);
                tile_total[s] += weight;
                scores[n].value[i] = weight * kWeightUnit;
            }
        }
#pragma unroll
        for (int s = 0; s < kSlots; ++s) rows.total[s] = fma(rows.total[s], rows.rescale[s], tile_total[s]);
        if (has_token_scales(p.v)) apply_value_scales(table, first, rows, scores);
    }

    ADZE_DEVICE static bool has_token_scales(const adze_kv_cache& v) {
        return v.scales != nullptr && (v.scale_page_stride != 0 || v.scale_token_stride != 0);
    }

    ADZE_DEVICE static void apply_value_scales(const Table& table, int first, Rows& rows, C (&scores)[kKeyTiles]) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                // A key that is not seen has no weight, whatever its scale.
                if (scores[n].value[i] != 0.0f)
                    scores[n].value[i] *= table.v_scale.load(first + n * M::kN + C::column(i));
            }
        }
        if constexpr (std::is_same_v<T, f16>) {
#pragma unroll
            for (int s = 0; s < kSlots; ++s) rescale_weights(s, rows, scores);
        }
    }

    // f16: brings a row's largest weight so far to at most 2^14, by a power of two that only grows.
    ADZE_DEVICE static void rescale_weights(int s, Rows& rows, C (&scores)[kKeyTiles]) {
        float largest = 0.0f;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const float size = float_from_bits(float_bits(scores[n].value[i]) & 0x7fffffffu);
                if (C::slot(i) == s && size > largest) largest = size;
            }
        }
        largest = C::reduce_row(largest, Max());
        const uint32_t exponent = float_bits(largest) >> 23;
        float unit = float_from_bits((exponent < 15 ? 1 : exponent - 13) << 23);
        if (exponent == 255 || unit < rows.value_unit[s]) unit = rows.value_unit[s];
        rows.rescale[s] *= divide(rows.value_unit[s], unit);
        rows.value_unit[s] = unit;
        const float factor = divide(1.0f, unit);
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                if (C::slot(i) == s) scores[n].value[i] *= factor;
            }
        }
    }

    // sums = sums * rescale + weights * values; of rows that see none of the keys, 0 * NaN would be NaN.
    ADZE_DEVICE static void multiply_values(const Params& p, const TileKv& values, const Rows& rows,
                                            C (&weights)[kKeyTiles], C (&sums)[kDimTiles]) {
        typename M::A part[3][kKeySteps];
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            if (j == 2 && p.p_parts < 3) break;
#pragma unroll
            for (int k = 0; k < kKeySteps; ++k) part[j][k] = as_operand<M>(&weights[k * (M::kK / M::kN)]);
            subtract_rounded(weights);
        }
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
            if (n * M::kN >= p.shape.head_dim_v) continue;
            C sum, rest;
            typename M::B b[kKeySteps];
#pragma unroll
            for (int k = 0; k < kKeySteps; ++k) b[k] = load_b_rows<M>(values, k * M::kK, n * M::kN);
#pragma unroll
            for (int k = 0; k < kKeySteps; ++k) {
                mma<M>(sum, part[0][k], b[k]);
                mma<M>(rest, part[1][k], b[k]);
            }
            if (p.p_parts > 2) {
#pragma unroll
                for (int k = 0; k < kKeySteps; ++k) mma<M>(rest, part[2][k], b[k]);
            }
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                add_rest(sum.value[i], rest.value[i]);
                const int s = C::slot(i);
                if (rows.sees[s]) sums[n].value[i] = fma(sums[n].value[i], rows.rescale[s], sum.value[i]);
            }
        }
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

    // Results, or partial results, by way of shared memory, where the tiles were: a warp's rows in blocks of 64 columns.
    ADZE_DEVICE static void write(const Params& p, const AttentionItem& item, int64_t warp_row, Rows& rows,
                                  C (&sums)[kDimTiles]) {
        if (warp_row >= item.rows) return;
        const bool partial = item.work.partial >= 0;
        finish_rows(p, item, partial, rows, sums);
        SharedArena again;
        const Shared<float> all = again.take<float>(kWarps * TileO::kElements);
        const TileO tile{all.slice(warp_index() * TileO::kElements, TileO::kElements)};
        constexpr int kTilesAtATime = TileO::kColumns / M::kN;
#pragma unroll
        for (int n = 0; n < kDimTiles; n += kTilesAtATime) {
            if (n * M::kN >= p.shape.head_dim_v) continue;
            sync_warp();
#pragma unroll
            for (int i = 0; i < kTilesAtATime; ++i) store_c<M>(tile, 0, i * M::kN, sums[n + i]);
            sync_warp();
            write_columns(p, item, warp_row, n * M::kN, partial, tile);
        }
        write_statistics(p, item, warp_row, partial, rows);
    }

    // Sums over lanes; sums to results.
    ADZE_DEVICE static void finish_rows(const Params& p, const AttentionItem& item, bool partial, Rows& rows,
                                        C (&sums)[kDimTiles]) {
        float scale = 1.0f;
        if (p.v.scales != nullptr && !has_token_scales(p.v)) {
            const int64_t count = (p.shape.num_kv_heads - 1) * p.v.scale_head_stride + 1;
            scale = Global<const float>(p.v.scales, count).load(item.head * p.v.scale_head_stride);
        }
        float unit[kSlots], divisor[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            rows.total[s] = C::reduce_row(rows.total[s], Add());
            divisor[s] = partial || rows.total[s] == 0.0f ? 1.0f : rows.total[s];
            unit[s] = 1.0f / kWeightUnit;
            if (std::is_same_v<T, f16> && has_token_scales(p.v)) unit[s] *= rows.value_unit[s];
        }
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int s = C::slot(i);
                sums[n].value[i] = divide(sums[n].value[i] * unit[s] * scale, divisor[s]);
            }
        }
    }

    ADZE_DEVICE static void write_columns(const Params& p, const AttentionItem& item, int64_t warp_row, int column,
                                          bool partial, const TileO& tile) {
        constexpr int kStep = 4, kSteps = TileO::kColumns / kStep;
#pragma unroll 1
        for (int i = lane_index(); i < kWarpRows * kSteps; i += kWarpSize) {
            const int64_t row = warp_row + i / kSteps;
            const int at = column + i % kSteps * kStep;
            if (!guard(row < item.rows && at < p.shape.head_dim_v)) continue;
            const Vec<float, kStep> x = tile.data.template load_vec<kStep>(TileO::index(i / kSteps, at - column));
            if (partial) {
                const Global<float> out(p.workspace, p.partials.floats());
                const int64_t index = p.partials.sums(item.head, item.work.partial + row) + at;
                out.template store_vec<2>(index, {x[0], x[1]});
                out.template store_vec<2>(index + 2, {x[2], x[3]});
            } else {
                const float result[kStep] = {x[0], x[1], x[2], x[3]};
                store_row(p.o, item.first_token + item.token(row), item.q_head(row) * p.shape.head_dim_v + at, result);
            }
        }
    }

    ADZE_DEVICE static void write_statistics(const Params& p, const AttentionItem& item, int64_t warp_row, bool partial,
                                             const Rows& rows) {
#pragma unroll
        for (int i = 0; i < C::kCount; ++i) {
            const int64_t row = warp_row + C::row(i);
            if (C::column(i) != 0 || !guard(row < item.rows)) continue;
            const float maximum = rows.maximum[C::slot(i)], total = rows.total[C::slot(i)];
            if (partial) {
                const Global<float> out(p.workspace, p.partials.floats());
                out.template store_vec<2>(p.partials.statistics(item.head, item.work.partial + row), {maximum, total});
            } else {
                write_lse(p, item.first_token + item.token(row), item.q_head(row), maximum, total);
            }
        }
    }

public:
    ADZE_DEVICE static void write_lse(const Params& p, int64_t row, int64_t q_head, float maximum, float total) {
        if (p.lse.data == nullptr) return;
        const float lse = total == 0.0f ? -infinity() : maximum + log2_approx(total) * kLn2;
        Global<float>(p.lse).store(row * p.lse.row_stride + q_head, lse);
    }
};

// Partials (sum_i, m_i, l_i) to one row: with m = max m_i, sum = sum_i exp(m_i - m) sum_i, l likewise. A warp owns a row.
struct MergeAttention {
    static constexpr const char* kName = "merge_attention";
    static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
    using Params = AttentionKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        const auto counts = load_struct(p.plan.counts, 1, 0);
        if (!guard(static_cast<int64_t>(block_index().x) < counts.num_merges)) return;
        const AttentionMerge m = load_struct(p.plan.merges, counts.num_merges, block_index().x);
        const int64_t row = m.row_begin + int64_t{block_index().z} * kWarps + warp_index();
        if (!guard(row < m.row_end)) return;
        const int head = static_cast<int>(block_index().y), d = p.shape.head_dim_v, group = p.shape.group();
        const Global<const float> partials(p.workspace, p.partials.floats());
        const int64_t first = m.partial + row - m.row_begin, step = m.row_end - m.row_begin;

        float maximum = -infinity(), total = 0.0f;
        for (int i = 0; i < m.count; ++i) {
            const float of_part = partials.load(p.partials.statistics(head, first + i * step));
            if (of_part > maximum) maximum = of_part;
        }
        for (int i = 0; i < m.count; ++i) {
            const int64_t index = p.partials.statistics(head, first + i * step);
            total += weight(partials, index, maximum) * partials.load(index + 1);
        }
        const float divisor = total == 0.0f ? 1.0f : total;
        const int64_t token =
            Global<const int32_t>(p.plan.qo_indptr, counts.num_sequences + 1).load(m.sequence) + row / group;
        const int64_t q_head = int64_t{head} * group + row % group;
        for (int e = lane_index() * 2; e < d; e += kWarpSize * 2) {
            float sum[2] = {0.0f, 0.0f};
            for (int i = 0; i < m.count; ++i) {
                const Vec<float, 2> x = partials.load_vec<2>(p.partials.sums(head, first + i * step) + e);
                const float w = weight(partials, p.partials.statistics(head, first + i * step), maximum);
                sum[0] = fma(w, x[0], sum[0]);
                sum[1] = fma(w, x[1], sum[1]);
            }
            const float result[2] = {divide(sum[0], divisor), divide(sum[1], divisor)};
            store_row(p.o, token, q_head * d + e, result);
        }
        if (lane_index() == 0) Attention<bf16, 64, 4>::write_lse(p, token, q_head, maximum, total);
    }

private:
    // Of the partial whose maximum and total are at `index`; 0 where it saw no key.
    ADZE_DEVICE static float weight(const Global<const float>& partials, int64_t index, float maximum) {
        const Vec<float, 2> statistics = partials.load_vec<2>(index);
        return statistics[1] == 0.0f ? 0.0f : exp_of(statistics[0] - maximum);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
