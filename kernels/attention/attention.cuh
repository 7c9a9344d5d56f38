// o = softmax(scale q k^T + mask) v over a paged KV cache
//
// q: [tokens, q heads * head_dim_qk], o: [tokens, q heads * head_dim_v], f32, f16 or bf16 at run time; K and V: pages in
// f16, bf16, e4m3, int8_t or int4x2 at any strides, each element times its scale. T (attention_types.cuh) is what is
// multiplied: the cache's own format, or bf16, to which quantised numbers are widened exactly when they come to be operands
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

#include "attention/attention_pipeline.cuh"
#include "attention/attention_products.cuh"
#include "attention/attention_queries.cuh"
#include "attention/attention_results.cuh"
#include "attention/attention_softmax.cuh"
#include "device/dependent_launch.h"
#include "device/launch.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct Attention : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::C;
    using typename Types::Limits;
    using typename Types::M;
    using typename Types::Params;
    using typename Types::Rows;
    using typename Types::SharedParts;
    using typename Types::Softmax;
    using typename Types::State;
    using Types::kAhead;
    using Types::kCanUnify;
    using Types::kKeyTiles;
    using Types::kKeyWarps;
    using Types::kRowBlocks;
    using Types::kSlots;
    using Types::kSmallestUnit;
    using Types::kStages;
    using Types::kTileKeys;
    using Types::kWarpKeys;
    using Types::kWarpRows;
    using Weights = AttentionSoftmax<Stored, kDimQk, kDimV, kRowCount>;
    using Products = AttentionProducts<Stored, kDimQk, kDimV, kRowCount>;
    using Results = AttentionResults<Stored, kDimQk, kDimV, kRowCount>;

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
                if (shared.item.word(offsetof(AttentionItem, rows)) > 0) attend(p, shared);
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
            if (thread_index() == 0) shared.softmax.store(Weights::choose_softmax(p, kCanUnify && p.unified && !again));
            State state;
            pass(p, shared, again, state);
            const Softmax softmax = shared.softmax.load();
            Results::publish(shared, softmax, state);
            if (!kCanUnify || !softmax.unified || Results::fits(p, shared, softmax, state))
                return Results::write(p, shared, softmax, state);
            again = true;
        }
    }

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
        if (!again) AttentionQueries<Stored, kDimQk, kDimV, kRowCount>::load_queries(p, item, shared);
        start_rows(item, first_row, state);
        KeyScales scales{};
#pragma unroll
        for (int i = 0; i <= kAhead; ++i) {
            if (i < count) shared.table.store(p, i, place[i], scales);
            if (i < kAhead) shared.table.land(p, i, scales);
        }
        KeyPlace next = find_key(p, all, kAhead + 1);
        sync_block();
        typename AttentionPipeline<Stored, kDimQk, kDimV, kRowCount>::Pipeline pipeline;
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

    // A warp's rows and the keys from `key` on, which begin at `first_key` of the tile; `entry`: the tile's first in the
    // table.
    ADZE_DEVICE static void multiply(const Params& p, const SharedParts& shared, bool sees_all, int32_t key,
                                     int first_row, int first_key, int stage, int entry, State& state) {
        C scores[kRowBlocks][kKeyTiles];
        Products::multiply_keys(p, shared, shared.keys(stage), first_row, first_key, scores);
        const Softmax softmax = shared.softmax.load();
        bool sees[kRowBlocks][kSlots];
#pragma unroll
        for (int r = 0; r < kRowBlocks; ++r) {
            Rows& rows = state.rows[r];
            const int block_row = first_row + r * M::kM;
            if (softmax.transforms)
                Weights::make_logits(p, shared, softmax, key, block_row, entry + first_key, rows, scores[r]);
#pragma unroll
            for (int s = 0; s < kSlots; ++s) sees[r][s] = true;
            if (!sees_all) Weights::hide_keys(p, shared.item.load(), key, rows, scores[r], sees[r]);
            if (!kCanUnify || !softmax.unified) Weights::raise_maximum(softmax, scores[r], rows, state.sums[r]);
            Weights::weigh(softmax, shared, block_row, scores[r], rows);
            if (scales_vary(p.v))
                Weights::apply_value_scales(shared, entry + first_key, scores[r], rows, state.sums[r]);
        }
        Products::multiply_values(p, shared.values(stage), first_key, sees_all, sees, scores, state.sums);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
