// Prefill on sm_90a: the pieces of 128 rows, by the copy engine and wgmma. FlashAttention-3, arXiv 2407.08608, sections 3.1
// and 3.2: warp specialisation, two consumers that take turns, and two tiles under way in each.
//
// A block takes the pieces of work that the plan dealt it, one after another, for one KV head. Of its producers one warp keeps
// a ring of stages filled with tiles of K and of V, box by box out of the pages, and two bring queries, which lie scattered
// over tokens and heads, while the piece before is still being finished. Two consumers, a warp group each, own 64 of the 128
// rows. Per tile a consumer
//   1. waits for its turn, asks for this tile's q k^T and for the last tile's p v, and gives the turn to the other one;
//   2. waits for the scores only, and makes weights of them while the tensor cores do p v and then the other's products;
//   3. waits for p v, and rescales the sums.
// So the tensor cores have work while one consumer or the other computes exponentials, of which a processor does 16 a cycle
// against 4096 operations of a product: with head dims of 128 half as many cycles as the products take.
//
// p is rounded to T once: u_T relative to each weight, where the portable kernel keeps all 24 bits. For f16 p is scaled to at
// most 2^14, so that small weights keep their 11 bits, too. There is no unified softmax here: it spares maxima and
// rescaling, a tenth of what a consumer does while the tensor cores are the other's.
//
// A row's bits depend on its keys and where its pieces begin and end, not on the rows beside it, as long as values are finite.
//
// Tiles that no row sees the whole of, at a sequence's end, a window's begin and behind the sinks, are copied by the producer's
// lanes, 16 bytes at a time: in a reserved buffer there may be no memory behind what is seen.
//
// Tiles of quantised caches are widened to bf16 on their way into the stages: sm90_widening.cuh.
//
// Floor: 2 (head_dim_qk + head_dim_v) operations a visible pair and head at the tensor cores' peak; the tiles on the diagonal
// are done whole.
#pragma once

#include "attention/attention.cuh"
#include "device/bulk_copy.h"
#include "device/registers.h"
#include "device/wgmma.h"

namespace adze {
inline namespace ADZE_TARGET {

struct Sm90PrefillParams {
    TensorMap k_map, v_map;  // elements, heads, tokens of a page, pages
    adze_kv_cache k, v;
    AttentionShape shape;
    AttentionDevicePlan plan;
    adze_tensor q, o, lse, kv_indices;
    float* workspace;
    PartialRows partials;
    int32_t blocks;      // of the plan for each KV head
    int32_t taken;       // of them by one of this kernel
    int32_t box_tokens;  // of the copy engine's boxes: 8 or more, a divisor of the page size and of the tile
};

// A piece of work as the threads of a block see it: rows of one sequence, and the tiles of keys that they go through.
template <int kTileKeys>
struct Sm90Piece {
    int row_begin, rows, group;  // row r is query token (row_begin + r) / group
    int kv_begin, kv_end, kv_len, past;
    int window, sinks, window_begin;  // tiles between the sinks and window_begin are of no row
    bool causal;
    int64_t first_token, first_page, partial;

    ADZE_DEVICE Sm90Piece(const Sm90PrefillParams& p, int64_t index, int64_t num_work) {
        const auto counts = load_struct(p.plan.counts, 1, 0);
        const AttentionWork work = load_struct(p.plan.work, num_work, index);
        const Global<const int32_t> qo_indptr(p.plan.qo_indptr, counts.num_sequences + 1);
        first_token = qo_indptr.load(work.sequence);
        first_page = Global<const int32_t>(p.plan.kv_indptr, counts.num_sequences + 1).load(work.sequence);
        kv_len = static_cast<int>(Global<const int64_t>(p.plan.kv_len, counts.num_sequences).load(work.sequence));
        past = kv_len - static_cast<int>(qo_indptr.load(work.sequence + 1) - first_token);
        row_begin = static_cast<int>(work.row_begin);
        rows = static_cast<int>(work.row_end - work.row_begin);
        kv_begin = static_cast<int>(work.kv_begin);
        kv_end = static_cast<int>(work.kv_end);
        partial = work.partial;
        group = p.shape.group();
        window = p.shape.window;
        sinks = p.shape.sink_tokens;
        causal = p.shape.causal;
        window_begin = visible_begin(0) / kTileKeys * kTileKeys;
    }

    ADZE_DEVICE bool is_empty() const { return kv_begin >= kv_end; }
    ADZE_DEVICE int token(int row) const { return (row_begin + row) / group; }
    // Keys that a row sees, besides the sinks. Both grow with the row.
    ADZE_DEVICE int visible_begin(int row) const {
        const int begin = window == 0 ? 0 : past + token(row) - window + 1;
        return begin > 0 ? begin : 0;
    }
    ADZE_DEVICE int visible_end(int row) const { return causal ? past + token(row) + 1 : kv_len; }
    // Whether some row may see the key. Others may be where no memory is.
    ADZE_DEVICE bool sees(int key) const { return key < kv_len && (key >= visible_begin(0) || key < sinks); }
    ADZE_DEVICE bool sees_tile(int tile) const {
        return tile + kTileKeys <= kv_len && (tile >= visible_begin(0) || tile + kTileKeys <= sinks);
    }
    ADZE_DEVICE int next_tile(int tile) const {
        tile += kTileKeys;
        return tile >= sinks && tile < window_begin ? window_begin : tile;
    }
};

template <class Prefill>
struct Sm90Widening;  // sm90_widening.cuh

//   T             format of q, p and o, and of what is multiplied
//   kDimQk, kDimV  the head dims or more; what is beyond them is read as zeros
//   Stored         the caches' format
template <class T, int kDimQk, int kDimV, class Stored = T>
struct Sm90Prefill {
    using StoredElement = Stored;
    static constexpr bool kQuantised = !std::is_same_v<T, Stored>;
    static constexpr const char* kName = kDimQk == 64    ? "sm90_prefill_64"
                                         : kDimQk == 128 ? "sm90_prefill_128"
                                         : kDimQk == 192 ? "sm90_prefill_192"
                                                         : "sm90_prefill_256";
    static constexpr int kConsumers = 2, kThreads = (1 + kConsumers) * kWarpGroup;
    using Params = Sm90PrefillParams;
    static constexpr bool runs_on(Arch arch) { return arch == Arch::kSm90a; }

    static constexpr int kGroupRows = 64, kRows = kConsumers * kGroupRows;
    static_assert(kRows == kTileRows[kRowTiles - 1]);
    // Of the accumulators, scores and sums take kTileKeys / 2 + kDimV / 2 registers, weights kTileKeys / 4.
    // Quantised tiles also take room while they are as in the cache.
    static constexpr int kTileKeys = kDimV > 128 || (kQuantised && kDimQk > 128) ? 64 : 128;
    static_assert(!kQuantised || kDimV <= 128, "spills");
    static_assert(kKeyUnit % kTileKeys == 0);
    // Three groups start with 168 registers a thread.
    static constexpr int kProducerRegisters = kQuantised ? 72 : 40, kConsumerRegisters = kQuantised ? 216 : 232;
    static_assert((kProducerRegisters + kConsumers * kConsumerRegisters) * kWarpGroup <= 65536);

    using TileQ = SharedTile<T, kRows, kDimQk>;
    using TileK = SharedTile<T, kTileKeys, kDimQk>;
    using TileV = SharedTile<T, kTileKeys, kDimV>;
    using Piece = Sm90Piece<kTileKeys>;
    using Scores = Wgmma<T, kTileKeys>;
    using Sums = Wgmma<T, kDimV>;
    static constexpr int kPanel = TileK::kPanel, kChunk = TileQ::kChunk;
    static constexpr int kSteps = kTileKeys / Scores::kK;  // of p v

    // Of a quantised tile of K or V on its way, 16 bytes of it belong to a thread; and the scales of K's and V's tokens.
    static constexpr int kRawBytes = kQuantised ? kTileKeys * (kDimQk > kDimV ? kDimQk : kDimV) / kPerByte<Stored> : 0;
    static constexpr int kTileScales = kQuantised ? 2 * kTileKeys : 0;

    // Tiles whose scales are kept: those asked for ahead and in stages, and those of which weights are being made.
    static constexpr int scale_slots(int stages) { return stages + 3; }

    static constexpr int64_t shared_bytes(int stages, int raw) {
        return (TileQ::kElements + int64_t{stages} * (TileK::kElements + TileV::kElements)) * 2 + raw * kRawBytes +
               scale_slots(stages) * kTileScales * 4 + (4 * stages + 2 * kConsumers) * 8;
    }
    static constexpr bool fits(int stages, int raw) { return shared_bytes(stages, raw) <= 227 << 10; }
    static constexpr int kStages = fits(4, 2) ? 4 : fits(3, 2) ? 3 : 2;
    static constexpr int kRaw = fits(kStages, 4) ? 4 : fits(kStages, 3) ? 3 : 2;  // tiles of K or V on their way
    static constexpr int kScaleSlots = scale_slots(kStages);
    static constexpr int64_t kSharedBytes = shared_bytes(kStages, kRaw);
    static_assert(fits(kStages, kRaw));

    // p is at most 2^kUnit.
    static constexpr float kUnit = std::is_same_v<T, f16> ? 14.0f : 0.0f;
    // A maximum up to this far from 0, in units of exp2, can be added rounded: that moves a weight by 2^-14 of itself at
    // most, and all of a row alike.
    static constexpr float kNear = 1024.0f;

    static constexpr int kTurn = 1;  // a named barrier of each consumer
    // Warps of the producers' group.
    static constexpr int kGroupWarps = kWarpGroup / kWarpSize;
    static constexpr int kKeyWarp = kConsumers * kGroupWarps, kQueryWarp = kKeyWarp + 1;  // one for each consumer
    // Where tiles are widened each does everything, for as many keys and rows.
    static constexpr int kFillers = kQuantised ? kGroupWarps : 1, kQueryFillers = kQuantised ? kGroupWarps / 2 : 1;
    static constexpr int kFilledRows = kGroupRows / kQueryFillers;

    struct Storage {
        TileQ q;
        Shared<T> k, v;
        Shared<uint64_t> k_full, k_free, v_full, v_free;  // of each stage
        Shared<uint64_t> q_full, q_free;                  // of each consumer
        Shared<Stored> raw;                               // quantised tiles as they are in the cache
        Shared<float> scales;

        ADZE_DEVICE TileK k_tile(int stage) const { return {k.slice(stage * TileK::kElements, TileK::kElements)}; }
        ADZE_DEVICE TileV v_tile(int stage) const { return {v.slice(stage * TileV::kElements, TileV::kElements)}; }
    };

    // A place in the ring, and the parity of the phase in which it is filled.
    struct Place {
        int stage = 0;
        uint32_t parity = 0;
        int scales = 0;  // where the scales are
        ADZE_DEVICE void advance() {
            if (++stage == kStages) stage = 0, parity ^= 1;
            if (kQuantised) scales = next_scales(scales);
        }
    };

    ADZE_DEVICE static int next_scales(int at) {
        return at + kTileScales == kScaleSlots * kTileScales ? 0 : at + kTileScales;
    }

    // The pieces of the block.
    struct Share {
        int begin, end, num_work;
        ADZE_DEVICE explicit Share(const Params& p) {
            const Global<const int32_t> block_work(p.plan.block_work[kRowTiles - 1], p.blocks + 1);
            const int first = static_cast<int>(block_index().x) * p.taken;
            begin = block_work.load(first);
            end = block_work.load(least(first + p.taken, p.blocks));
            num_work = block_work.load(p.blocks);
        }
    };

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const TileQ q{arena.take<T>(TileQ::kElements, TileQ::kAlignment)};
        const Shared<T> k = arena.take<T>(kStages * TileK::kElements, TileK::kAlignment);
        const Shared<T> v = arena.take<T>(kStages * TileV::kElements, TileV::kAlignment);
        const Shared<Stored> raw = arena.take<Stored>(kRaw * kRawBytes, 16);
        const Shared<float> scales = arena.take<float>(kScaleSlots * kTileScales, 16);
        const Shared<uint64_t> barriers = arena.take<uint64_t>(4 * kStages + 2 * kConsumers);
        const Storage s{q,
                        k,
                        v,
                        barriers.slice(0, kStages),
                        barriers.slice(kStages, kStages),
                        barriers.slice(2 * kStages, kStages),
                        barriers.slice(3 * kStages, kStages),
                        barriers.slice(4 * kStages, kConsumers),
                        barriers.slice(4 * kStages + kConsumers, kConsumers),
                        raw,
                        scales};
        if (thread_index() == 0) make_barriers(s);
        sync_block();
        const int group = shuffle(thread_index() / kWarpGroup, 0);  // which the compiler so knows to be the warp's
        if (group == kConsumers) {
            give_up_registers<kProducerRegisters>();
            const int warp = shuffle(warp_index(), 0);
            if constexpr (kQuantised) {
                Sm90Widening<Sm90Prefill>::run(p, s, warp - kKeyWarp);
            } else {
                if (warp == kKeyWarp) bring_keys(p, s);
                if (warp >= kQueryWarp && warp < kQueryWarp + kConsumers) bring_queries(p, s, warp - kQueryWarp);
            }
        } else {
            take_registers<kConsumerRegisters>();
            consume(p, s, group);
        }
    }

private:
    friend struct Sm90Widening<Sm90Prefill>;

    ADZE_DEVICE static void make_barriers(const Storage& s) {
        for (int i = 0; i < kStages; ++i) {
            mbarrier_init(s.k_full, i, kFillers);
            mbarrier_init(s.v_full, i, kFillers);
            mbarrier_init(s.k_free, i, kConsumers * kGroupWarps);
            mbarrier_init(s.v_free, i, kConsumers * kGroupWarps);
        }
        for (int i = 0; i < kConsumers; ++i) {
            mbarrier_init(s.q_full, i, kQueryFillers);
            mbarrier_init(s.q_free, i, kGroupWarps);
        }
        fence_mbarrier_init();
    }

    // ---- producers ----

    // Where a lane's share of a tile is: some panels of the box of tokens that begins with the tile's token `token`.
    struct Box {
        int32_t slot, page;
        int token, first_panel, panel_step;
    };

    ADZE_DEVICE static Box find_box(const Params& p, const Piece& piece, int tile) {
        const int boxes = kTileKeys / p.box_tokens;
        Box b;
        b.token = lane_index() % boxes * p.box_tokens;
        b.first_panel = lane_index() / boxes;
        b.panel_step = kWarpSize / boxes;
        const int position = tile + b.token, page = position / p.shape.page_size;
        b.slot = position - page * p.shape.page_size;
        const bool inside = guard(position < piece.kv_len);
        b.page = inside ? Global<const int32_t>(p.kv_indices).load(piece.first_page + page) : 0;
        return b;
    }

    // By the copy engine, whose boxes know no end of a sequence. Their bytes count on `full`.
    template <class Tile>
    ADZE_DEVICE static void load_tile(const TensorMap& map, const Box& b, const Tile& to, const Shared<uint64_t>& full,
                                      int index) {
        if (lane_index() == 0) mbarrier_arrive_expect(full, index, Tile::kElements * sizeof(T));
        const auto head = static_cast<int32_t>(block_index().y);
        for (int panel = b.first_panel; panel < Tile::kColumns / kPanel; panel += b.panel_step) {
            bulk_load<4>(to.data, Tile::index(b.token, panel * kPanel), map, {panel * kPanel, head, b.slot, b.page},
                         full, index);
        }
    }

    // What rows see of a tile, and zeros: what lies beyond a sequence's end or before a window may be NaN, and 0 * NaN
    // would be one, or may have no memory.
    template <class Tile>
    ADZE_DEVICE static void copy_tile(const Params& p, const adze_kv_cache& cache, int head_dim, const Piece& piece,
                                      int tile, const Box& b, const Tile& to, const Shared<uint64_t>& full, int index) {
        constexpr int kChunks = Tile::kColumns / kChunk;
        const Global<const T> memory = cache_memory<T>(cache, p.shape, head_dim);
#pragma unroll 1
        for (int box = 0; box < kTileKeys / p.box_tokens; ++box) {
            const int64_t first = shuffle(b.page, box) * cache.page_stride + shuffle(b.slot, box) * cache.token_stride +
                                  int64_t{block_index().y} * cache.head_stride;
#pragma unroll 1
            for (int i = lane_index(); i < p.box_tokens * kChunks; i += kWarpSize) {
                const int token = i / kChunks, column = i % kChunks * kChunk, row = box * p.box_tokens + token;
                const bool inside = guard(piece.sees(tile + row) && column < head_dim);
                copy_chunk_async(to, row, column, memory, inside ? first + token * cache.token_stride + column : 0,
                                 inside);
            }
        }
        land_copies(full, index);
    }
    // Of the warp.
    ADZE_DEVICE static void land_copies(const Shared<uint64_t>& full, int index) {
        commit_copies();
        wait_copies<0>();
        fence_async_proxy();
        sync_warp();
        if (lane_index() == 0) mbarrier_arrive(full, index);
    }

    ADZE_DEVICE static void bring_keys(const Params& p, const Storage& s) {
        Place place;
        const Share share(p);
#pragma unroll 1
        for (int work = share.begin; work < share.end; ++work) {
            const Piece piece(p, work, share.num_work);
#pragma unroll 1
            for (int tile = piece.kv_begin; tile < piece.kv_end; tile = piece.next_tile(tile)) {
                const Box box = find_box(p, piece, tile);
                const bool whole = guard(piece.sees_tile(tile));
                const TileK k = s.k_tile(place.stage);
                mbarrier_wait(s.k_free, place.stage, place.parity ^ 1);
                if (whole) {
                    load_tile(p.k_map, box, k, s.k_full, place.stage);
                } else {
                    copy_tile(p, p.k, p.shape.head_dim_qk, piece, tile, box, k, s.k_full, place.stage);
                }
                const TileV v = s.v_tile(place.stage);
                mbarrier_wait(s.v_free, place.stage, place.parity ^ 1);
                if (whole) {
                    load_tile(p.v_map, box, v, s.v_full, place.stage);
                } else {
                    copy_tile(p, p.v, p.shape.head_dim_v, piece, tile, box, v, s.v_full, place.stage);
                }
                place.advance();
            }
        }
    }

    // For one consumer.
    ADZE_DEVICE static void bring_queries(const Params& p, const Storage& s, int group) {
        const Share share(p);
        uint32_t parity = 0;
#pragma unroll 1
        for (int work = share.begin; work < share.end; ++work) {
            const Piece piece(p, work, share.num_work);
            if (!piece.is_empty()) bring_rows(p, piece, s, group, 0, parity);
        }
    }
    // kFilledRows rows of it from `first` on; zeros beyond the piece's.
    ADZE_DEVICE static void bring_rows(const Params& p, const Piece& piece, const Storage& s, int group, int first,
                                       uint32_t& parity) {
        constexpr int kChunks = kDimQk / kChunk;
        const Global<const T> memory(p.q);
        mbarrier_wait(s.q_free, group, parity ^ 1);
#pragma unroll 1
        for (int i = lane_index(); i < kFilledRows * kChunks; i += kWarpSize) {
            const int row = group * kGroupRows + first + i / kChunks, column = i % kChunks * kChunk;
            const bool inside = guard(row < piece.rows && column < p.shape.head_dim_qk);
            const int64_t token = inside ? piece.first_token + piece.token(row) : 0;
            const int64_t index = token * p.q.row_stride + q_head(piece, row) * p.shape.head_dim_qk + column;
            copy_chunk_async(s.q, row, column, memory, inside ? index : 0, inside);
        }
        land_copies(s.q_full, group);
        parity ^= 1;
    }

    // ---- consumers ----

    static constexpr int kSlots = 2;  // rows of a thread

    struct Rows {
        int begin[kSlots], end[kSlots];        // keys that each sees
        int most_begin, least_end;             // keys that all rows of the group see
        float maximum[kSlots], bias[kSlots];   // of the products; kUnit - maximum in units of exp2, rounded
        float total[kSlots], rescale[kSlots];  // of the thread's own columns; of the sums since the last tile
    };

    ADZE_DEVICE static void consume(const Params& p, const Storage& s, int group) {
        if (group == 1) arrive_named(kTurn, kConsumers * kWarpGroup);  // 0 begins
        Place place;
        uint32_t q_parity = 0;
        const Share share(p);
#pragma unroll 1
        for (int work = share.begin; work < share.end; ++work) {
            typename Sums::C sums;
            Rows rows;
            if (const Piece piece(p, work, share.num_work); true) {
                rows = start_rows(piece, group);
                if (!piece.is_empty()) {
                    mbarrier_wait(s.q_full, group, q_parity);
                    q_parity ^= 1;
                    attend(p, piece, s, group, place, rows, sums);
                }
            }
            write(p, Piece(p, work, share.num_work), group, rows, sums);
        }
    }

    ADZE_DEVICE static int64_t q_head(const Piece& piece, int row) {
        return int64_t{block_index().y} * piece.group + (piece.row_begin + row) % piece.group;
    }

    // Rows beyond the piece's are computed as its last one, and not written.
    ADZE_DEVICE static Rows start_rows(const Piece& piece, int group) {
        const int last = piece.rows - 1, group_last = group * kGroupRows + kGroupRows - 1;
        Rows rows;
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            const int row = piece_row(group, s) < last ? piece_row(group, s) : last;
            rows.begin[s] = piece.visible_begin(row);
            rows.end[s] = piece.visible_end(row);
            rows.maximum[s] = -infinity();
            rows.bias[s] = kUnit;
            rows.total[s] = 0.0f;
        }
        rows.most_begin = piece.visible_begin(group_last < last ? group_last : last);
        rows.least_end = piece.visible_end(group * kGroupRows < last ? group * kGroupRows : last);
        return rows;
    }
    ADZE_DEVICE static int piece_row(int group, int slot) {
        return group * kGroupRows + Sums::C::slot_row(slot) % kGroupRows;
    }

    ADZE_DEVICE static void attend(const Params& p, const Piece& piece, const Storage& s, int group, Place& place,
                                   Rows& rows, typename Sums::C& sums) {
        typename Scores::C scores;
        typename Sums::A weights[kSteps];
        Place last = place;

        int tile = piece.kv_begin, next = piece.next_tile(tile);
        mbarrier_wait(s.k_full, place.stage, place.parity);
        take_turn(group);
        multiply_keys(s.q, s.k_tile(place.stage), group, scores);
        pass_turn(group);
        wgmma_wait<0>();
        wgmma_pin(scores);
        leave(s.k_free, place.stage);
        if (next >= piece.kv_end) leave(s.q_free, group);
        weigh(p, piece, s, place, tile, rows, scores);
        place.advance();
        if (next < piece.kv_end) mbarrier_wait(s.k_full, place.stage, place.parity);
        make_weights(scores, weights);

#pragma unroll 1
        while (next < piece.kv_end) {
            tile = next, next = piece.next_tile(tile);
            const Place now = place;
            take_turn(group);
            multiply_keys(s.q, s.k_tile(now.stage), group, scores);
            mbarrier_wait(s.v_full, last.stage, last.parity);
            multiply_values(s.v_tile(last.stage), weights, sums);
            pass_turn(group);
            wgmma_wait<1>();
            wgmma_pin(scores);
            leave(s.k_free, now.stage);
            if (next >= piece.kv_end) leave(s.q_free, group);
            weigh(p, piece, s, place, tile, rows, scores);
            place.advance();
            // Here, and pinned, since the compiler moves the wait for p v before the exponentials, but not before a loop.
            wgmma_pin(scores);
            if (next < piece.kv_end) mbarrier_wait(s.k_full, place.stage, place.parity);
            wgmma_wait<0>();
            wgmma_pin(sums);
            leave(s.v_free, last.stage);
            rescale(rows, sums);
            make_weights(scores, weights);
            last = now;
        }

        mbarrier_wait(s.v_full, last.stage, last.parity);
        multiply_values(s.v_tile(last.stage), weights, sums);
        wgmma_wait<0>();
        wgmma_pin(sums);
        leave(s.v_free, last.stage);
    }

    ADZE_DEVICE static void take_turn(int group) {
        sync_named(kTurn + group, kConsumers * kWarpGroup);
    }
    ADZE_DEVICE static void pass_turn(int group) {
        arrive_named(kTurn + 1 - group, kConsumers * kWarpGroup);
    }
    // The warp will not read it again.
    ADZE_DEVICE static void leave(const Shared<uint64_t>& free, int index) {
        if (lane_index() == 0) mbarrier_arrive(free, index);
    }

    ADZE_DEVICE static void multiply_keys(const TileQ& q, const TileK& k, int group, typename Scores::C& scores) {
        wgmma_pin(scores);
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < kDimQk; i += Scores::kK) wgmma<Scores>(scores, q, group * kGroupRows, i, k, 0, i, i != 0);
        wgmma_commit();
    }
    ADZE_DEVICE static void multiply_values(const TileV& v, typename Sums::A (&weights)[kSteps],
                                            typename Sums::C& sums) {
        wgmma_pin(sums);
#pragma unroll
        for (int i = 0; i < kSteps; ++i) wgmma_pin(weights[i]);
        wgmma_fence();
#pragma unroll
        for (int i = 0; i < kSteps; ++i) wgmma<Sums, true>(sums, weights[i], v, 0, i * Sums::kK);
        wgmma_commit();
    }
    ADZE_DEVICE static void make_weights(const typename Scores::C& scores, typename Sums::A (&weights)[kSteps]) {
#pragma unroll
        for (int i = 0; i < kSteps; ++i) weights[i] = as_wgmma_operand<Sums>(scores, i * Sums::kK);
    }
    ADZE_DEVICE static void rescale(const Rows& rows, typename Sums::C& sums) {
#pragma unroll
        for (int i = 0; i < kDimV / 2; ++i) sums.value[i] *= rows.rescale[Sums::C::slot(i)];
    }

    // Products to weights 2^((product - maximum) * scale + kUnit), by one fma where the maximum is near; maxima and totals
    // follow.
    ADZE_DEVICE static void weigh(const Params& p, const Piece& piece, const Storage& s, const Place& place, int tile,
                                  Rows& rows, typename Scores::C& scores) {
        if constexpr (kQuantised) apply_scales(s, place.scales, scores);
        if (tile < rows.most_begin || tile + kTileKeys > rows.least_end) mask(piece, tile, rows, scores);
        const float scale = p.shape.softmax_scale * kLog2E;
        float largest[kSlots], tile_total[kSlots], bias[kSlots];
        bool far[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) largest[s] = rows.maximum[s], tile_total[s] = 0.0f;
#pragma unroll
        for (int i = 0; i < kTileKeys / 2; ++i) {
            float& most = largest[Scores::C::slot(i)];
            most = Max()(scores.value[i], most);
        }
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            const float before = rows.maximum[s], maximum = Scores::C::reduce_row(largest[s], Max());
            const bool none = maximum == -infinity();
            // No finite product yet: 2^(-inf - -inf) would be NaN, 2^(-inf - 0) is the 0 that is meant.
            const float sum_bias = none ? kUnit : fma(-maximum, scale, kUnit);
            far[s] = !none && (sum_bias < -kNear || sum_bias > kNear);
            const float change = far[s] ? (before - maximum) * scale : sum_bias - rows.bias[s];
            rows.rescale[s] = exp2_approx(change < 0.0f ? change : 0.0f);  // it grows only where nothing was summed yet
            rows.maximum[s] = maximum;
            rows.bias[s] = sum_bias;
            bias[s] = far[s] ? kUnit : sum_bias;
        }
        if (ballot(far[0] || far[1]) != 0) subtract_maxima(rows, far, scores);
#pragma unroll
        for (int i = 0; i < kTileKeys / 2; ++i) {
            const int s = Scores::C::slot(i);
            scores.value[i] = exp2_approx(fma(scores.value[i], scale, bias[s]));
            tile_total[s] += scores.value[i];
        }
#pragma unroll
        for (int s = 0; s < kSlots; ++s) rows.total[s] = fma(rows.total[s], rows.rescale[s], tile_total[s]);
        if constexpr (kQuantised) apply_scales(s, place.scales + kTileKeys, scores);
    }
    ADZE_DEVICE static void apply_scales(const Storage& s, int first, typename Scores::C& scores) {
#pragma unroll
        for (int i = 0; i < kTileKeys / 2; i += 4) {
            const auto scales = s.scales.template load_vec<2>(first + Scores::C::column(i));
#pragma unroll
            for (int j = 0; j < 4; ++j) scores.value[i + j] *= scales[j % 2];
        }
    }
    ADZE_DEVICE static void subtract_maxima(const Rows& rows, const bool (&far)[kSlots], typename Scores::C& scores) {
#pragma unroll
        for (int i = 0; i < kTileKeys / 2; ++i) {
            const int s = Scores::C::slot(i);
            scores.value[i] -= far[s] ? rows.maximum[s] : 0.0f;
        }
    }

    // -inf where a row does not see the key.
    ADZE_DEVICE static void mask(const Piece& piece, int tile, const Rows& rows, typename Scores::C& scores) {
        int begin[kSlots], end[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) begin[s] = rows.begin[s] - tile, end[s] = rows.end[s] - tile;
        const int sinks = piece.sinks - tile;
#pragma unroll
        for (int i = 0; i < kTileKeys / 2; ++i) {
            const int key = Scores::C::column(i), s = Scores::C::slot(i);
            if (key >= end[s] || (key < begin[s] && key >= sinks)) scores.value[i] = -infinity();
        }
    }

    // ---- results ----

    // The sums of a row that sees no key are 0 times what its neighbours see, which may be NaN.
    ADZE_DEVICE static bool sees_any(const Piece& piece, int begin, int end) {
        const int last = least(end, piece.kv_end);
        return piece.kv_begin < last && (begin < last || piece.kv_begin < piece.sinks);
    }

    ADZE_DEVICE static void write(const Params& p, const Piece& piece, int group, Rows& rows, typename Sums::C& sums) {
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            const float total = Sums::C::reduce_row(rows.total[s], Add());
            const int row = piece_row(group, s);
            const bool inside = guard(row < piece.rows), partial = piece.partial >= 0;
            const float factor = partial || total == 0.0f ? 1.0f : divide(1.0f, total);
            const bool sees = sees_any(piece, rows.begin[s], rows.end[s]);
#pragma unroll
            for (int i = 0; i < kDimV / 2; ++i) {
                if (Sums::C::slot(i) == s) sums.value[i] = sees ? sums.value[i] * factor : 0.0f;
            }
            if (partial) {
                if (inside) write_partial(p, piece.partial + row, s, total, rows.bias[s], sums);
            } else {
                write_row(p, piece, row, s, inside, sums);
                if (inside && Sums::C::column(0) == 0) write_lse(p, piece, row, total, rows.bias[s]);
            }
        }
    }

    // Four lanes hold a row: 8 columns in turn, 2 of them each. In f32 they fill a sector as they are.
    ADZE_DEVICE static void write_partial(const Params& p, int64_t row, int slot, float total, float bias,
                                          const typename Sums::C& sums) {
        const Global<float> out(p.workspace, p.partials.floats());
        const int head = static_cast<int>(block_index().y);
#pragma unroll
        for (int i = slot * 2; i < kDimV / 2; i += 4) {
            const int column = Sums::C::column(i);
            if (guard(column < p.shape.head_dim_v))
                out.template store_vec<2>(p.partials.sums(head, row) + column, {sums.value[i], sums.value[i + 1]});
        }
        if (Sums::C::column(0) == 0) {
            const float maximum = total == 0.0f ? -infinity() : -bias * kLn2;
            out.template store_vec<2>(p.partials.statistics(head, row), {maximum, total});
        }
    }

    ADZE_DEVICE static void write_lse(const Params& p, const Piece& piece, int row, float total, float bias) {
        if (p.lse.data == nullptr) return;
        const float lse = total == 0.0f ? -infinity() : (log2_approx(total) - bias) * kLn2;
        Global<float>(p.lse).store((piece.first_token + piece.token(row)) * p.lse.row_stride + q_head(piece, row), lse);
    }

    // In 16 bits they would fill half of one: of 32 columns each lane gets 8 that lie together.
    ADZE_DEVICE static void write_row(const Params& p, const Piece& piece, int row, int slot, bool inside,
                                      const typename Sums::C& sums) {
        const Global<T> out(p.o);
        const int64_t first =
            inside ? (piece.first_token + piece.token(row)) * p.o.row_stride + q_head(piece, row) * p.shape.head_dim_v
                   : 0;
        const bool aligned = out.aligned(16, p.o.row_stride);
#pragma unroll
        for (int i = slot * 2; i < kDimV / 2; i += 16) {
            Vec<uint32_t, 4> words;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float pair[2] = {sums.value[i + 4 * j], sums.value[i + 4 * j + 1]};
                words[j] = __builtin_bit_cast(uint32_t, from_floats<T, 2>(pair));
            }
            transpose(words);
            const auto chunk = __builtin_bit_cast(Vec<T, 8>, words);
            const int column = i * 2 - slot * 4 + lane_index() % 4 * 8;
            if (!guard(inside && column < p.shape.head_dim_v)) continue;
            if (aligned) {
                out.template store_vec<8>(first + column, chunk);
            } else {
#pragma unroll
                for (int j = 0; j < 8; ++j) out.store(first + column + j, chunk[j]);
            }
        }
    }

    // Lane i of four gets word i of all four, in their order.
    ADZE_DEVICE static void transpose(Vec<uint32_t, 4>& words) {
        swap_words<2>(words[0], words[2]);
        swap_words<2>(words[1], words[3]);
        swap_words<1>(words[0], words[1]);
        swap_words<1>(words[2], words[3]);
    }
    // With the lane that differs in kBit: who has that bit gives `low` for its `high`.
    template <int kBit>
    ADZE_DEVICE static void swap_words(uint32_t& low, uint32_t& high) {
        const bool upper = (lane_index() & kBit) != 0;
        const uint32_t got = shuffle_xor(upper ? low : high, kBit);
        (upper ? low : high) = got;
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
