// q k^T and p v of a warp's rows and a tile of keys.
#pragma once

#include "attention/attention_types.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionProducts : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::C;
    using typename Types::Keys;
    using typename Types::M;
    using typename Types::PanelK;
    using typename Types::PanelQ;
    using typename Types::Params;
    using typename Types::SharedParts;
    using typename Types::T;
    using typename Types::TileK;
    using typename Types::TileQ;
    using typename Types::TileV;
    using typename Types::Values;
    using Types::kDimTiles;
    using Types::kHasParts;
    using Types::kHoldsQueries;
    using Types::kKeySteps;
    using Types::kKeyTiles;
    using Types::kPanel;
    using Types::kQuantised;
    using Types::kRowBlocks;
    using Types::kSlots;

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
};

}  // namespace ADZE_TARGET
}  // namespace adze
