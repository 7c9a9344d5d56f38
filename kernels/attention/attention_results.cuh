// A piece's end: whether phi did, and results or partial results by way of shared memory.
#pragma once

#include "attention/attention_softmax.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionResults : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::C;
    using typename Types::M;
    using typename Types::Params;
    using typename Types::Rows;
    using typename Types::SharedParts;
    using typename Types::Softmax;
    using typename Types::State;
    using typename Types::TileK;
    using typename Types::TileO;
    using typename Types::Values;
    using Types::kDimTiles;
    using Types::kHasUnits;
    using Types::kKeyWarps;
    using Types::kQuantised;
    using Types::kRowBlocks;
    using Types::kSlots;
    using Types::kThreads;
    using Types::kWarpRows;
    using Types::kWarps;
    using Types::kWeightUnit;
    using Weights = AttentionSoftmax<Stored, kDimQk, kDimV, kRowCount>;

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
        const int rows = shared.item.word(offsetof(AttentionItem, rows));
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
                const float smaller = scaled < size ? scaled : size;
                good = good && is_finite(scaled) && (smaller >= least || (zeros_fit && sum == 0.0f));
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
            Weights::rescale_sums(unit, state.sums[r]);
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
