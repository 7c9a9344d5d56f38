// Operands B of Mma<bf16> and Mma<f16> from tiles of quantised keys and values (numeric/quantised.h) that are as they were in
// the cache: a row a token. They are widened in registers, without scales: these belong to tokens, so that the logits and
// the weights can take them.
//
// A lane reads whole words, which hold several numbers of one token, where the instruction wants those in as many lanes or
// operands. So columns come in an order of their own, which dim() tells:
//
//   QuantisedKeys      B[k][n] is number dim(k) of key n. A sum may go in any order: column k of Q's tile has Q's number
//                      dim(k), and its fragments are loaded as usual.
//   QuantisedValues    B[k][n] is number dim(n) of value k: neighbouring accumulators hold the columns of O in that order.
//                      What a lane has of a row in the accumulators of one load are runs of neighbouring numbers: on NVIDIA
//                      two of 4 (int4x2: 8), 16 (32) apart; on gfx90a one of 4 (int4x2: 4 or 8).
//
// Neither these reads meet a bank twice, nor do 16-byte writes in the order of chunk_row() and chunk_column().
#pragma once

#include "device/mma.h"

namespace adze {
inline namespace ADZE_TARGET {

// kTokens, a multiple of 8, by kDims numbers of Q, a multiple of 64. Its columns are bytes. What a shorter head leaves must be
// zeros, as in Q's tile: each step of k takes numbers from all of a panel (values: from its own 32 bytes).
template <class Q, int kTokens, int kDims>
using QuantisedTile = SharedTile<Q, kTokens, kDims / kPerByte<Q>,
                                 kDims / kPerByte<Q> % 128 == 0  ? Swizzle::k128
                                 : kDims / kPerByte<Q> % 64 == 0 ? Swizzle::k64
                                                                 : Swizzle::k32>;

// What both operands go by: with h numbers in half a word, widen_pairs() makes of it pairs of numbers i and h + i.
template <class M, class Tile>
struct QuantisedOperand {
    using Q = typename Tile::Element;
    using T = typename M::Element;
    using B = typename M::B;
    static_assert(sizeof(Q) == 1 && sizeof(T) == 2 && M::kK == 16);
    static constexpr int kHalf = 2 * kPerByte<Q>;
    static constexpr int kDims = Tile::kColumns * kPerByte<Q>;

    ADZE_DEVICE static B operand(uint32_t first, uint32_t second) {
        return {__builtin_bit_cast(decltype(B::value), Vec<uint32_t, 2>{{first, second}})};
    }
};

// Of the lanes that hold one column of B, member m of four reads the m-th quarter of a panel's row; its next words are its
// numbers of the next steps of k.
template <class M, class Tile>
struct QuantisedKeys : QuantisedOperand<M, Tile> {
    using Base = QuantisedOperand<M, Tile>;
    using Base::kDims, Base::kHalf;
    using typename Base::B;
    static constexpr int kQuarter = Tile::kPanel / 4;  // bytes
    static constexpr int kLoadBytes = kWarpSize == 64 || kQuarter == 8 ? 8 : 16;
    static constexpr int kSteps = kLoadBytes * kPerByte<typename Base::Q> / 4;  // of k, that one load serves
    static constexpr int kLoads = kDims / (kSteps * M::kK);

    // The operands of steps index * kSteps on for tokens n to n + M::kN - 1; index is 0 to kLoads - 1.
    ADZE_DEVICE static void load(const Tile& tile, int n, int index, B (&b)[kSteps], Site site = Site::current()) {
        constexpr int kPanelLoads = kQuarter / kLoadBytes;
        const int member = B::row(0) / (kWarpSize == 64 ? 4 : 2);
        const int column = index / kPanelLoads * Tile::kPanel + member * kQuarter + index % kPanelLoads * kLoadBytes;
        // n last, which no permutation depends on: fewer registers than an address for each.
        const int at = Tile::index(B::column(0), column) + n * Tile::kPanel;
        const auto words = load_words<kLoadBytes / 4>(tile.data, at, site);
#pragma unroll
        for (int w = 0; w < kLoadBytes / 4; ++w) {
            const auto pairs = widen_pairs<typename Base::T, typename Base::Q>(words[w]);
#pragma unroll
            for (int i = 0; i < kHalf; i += 2) b[(w * kHalf + i) / 2] = Base::operand(pairs[i], pairs[i + 1]);
        }
    }

    // For k of all steps, 0 to kDims - 1.
    ADZE_HOST_DEVICE static constexpr int dim(int k) {
        const int row = k % M::kK, member = kWarpSize == 64 ? row / 4 : row % 8 / 2;
        const int element = kWarpSize == 64 ? row % 4 : row / 8 * 2 + row % 2;  // of the lane's four in B
        const int pair = k % kPanelDims / M::kK * 2 + element / 2;              // of the lane's quarter
        return k / kPanelDims * kPanelDims + member * (kPanelDims / 4) + pair / kHalf * 2 * kHalf + pair % kHalf +
               element % 2 * kHalf;
    }

private:
    static constexpr int kPanelDims = Tile::kPanel * kPerByte<typename Base::Q>;
};

// Pairs of neighbouring tokens come as halves of words, with kHalf numbers of each, which belong to as many operands.
template <class M, class Tile>
struct QuantisedValues : QuantisedOperand<M, Tile> {
    using Base = QuantisedOperand<M, Tile>;
    using Base::kDims, Base::kHalf;
    using typename Base::B;
    // Halves of words that a lane reads of a token.
    static constexpr int kUnits = kWarpSize == 64 && Tile::kPanel == 32 ? 1 : 2;
    static constexpr int kTiles = kUnits * kHalf;  // neighbouring accumulators, that one load serves
    static constexpr int kLoads = kDims / (kTiles * M::kN);

    // The operands of accumulators index * kTiles on for tokens k to k + M::kK - 1; index is 0 to kLoads - 1.
    ADZE_DEVICE static void load(const Tile& tile, int k, int index, B (&b)[kTiles], Site site = Site::current()) {
        const auto words = load_b_units<M, kUnits>(tile, k, index * (Tile::kColumns / kLoads), site);
#pragma unroll
        for (int u = 0; u < kUnits; ++u) {
            const auto first = widen_pairs<typename Base::T, typename Base::Q>(words[2 * u]);
            const auto second = widen_pairs<typename Base::T, typename Base::Q>(words[2 * u + 1]);
#pragma unroll
            for (int i = 0; i < kHalf; ++i) b[u * kHalf + i] = Base::operand(first[i], second[i]);
        }
    }

    // For n of all accumulators, 0 to kDims - 1.
    ADZE_HOST_DEVICE static constexpr int dim(int n) {
        const int tile = n / M::kN % kTiles, column = n % M::kN, first = n / (kTiles * M::kN) * (kTiles * M::kN);
        if (kWarpSize == 64) return first + column * kTiles + tile;
        return first + tile / kHalf * M::kN * kHalf + column * kHalf + tile % kHalf;
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
