// CDNA2 ISA, "Matrix Arithmetic Instructions": MFMA. With s = 16 or 32 as the side of C, and the lane as s * part + i,
// a lane holds of A row i, columns 4 part to 4 part + 3, of B the transposed, and of C column i and rows 4 part to
// 4 part + 3 out of each 256 / s.
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

template <class T, int kSide>
struct MfmaFragments {
    using Element = T;
    using Acc = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;
    static constexpr int kParts = kWarpSize / kSide;
    static constexpr int kM = kSide, kN = kSide, kK = 4 * kParts;

    ADZE_DEVICE static int part() { return lane_index() / kSide; }
    ADZE_DEVICE static int place() { return lane_index() % kSide; }

    struct A {
        static constexpr int kCount = 4;
        Vec<T, kCount> value;
        ADZE_DEVICE static int row(int) { return place(); }
        ADZE_DEVICE static int column(int i) { return part() * 4 + i; }
    };
    struct B {
        static constexpr int kCount = 4;
        Vec<T, kCount> value;
        ADZE_DEVICE static int row(int i) { return part() * 4 + i; }
        ADZE_DEVICE static int column(int) { return place(); }
    };
    struct C {
        static constexpr int kCount = kSide * kSide / kWarpSize, kRows = kCount;
        Acc value[kCount] = {};
        ADZE_DEVICE static int row(int i) { return slot_row(i); }
        ADZE_DEVICE static int column(int) { return place(); }
        ADZE_DEVICE static constexpr int slot(int i) { return i; }
        ADZE_DEVICE static int slot_row(int s) { return s / 4 * kK + part() * 4 + s % 4; }
        template <class X, class Op>
        ADZE_DEVICE static X reduce_row(X x, Op op) {
            return reduce(x, op, kSide);
        }
    };
};

template <>
struct Mma<f16> : MfmaFragments<f16, 16> {};
template <>
struct Mma<bf16> : MfmaFragments<bf16, 16> {};
template <>
struct Mma<int8_t> : MfmaFragments<int8_t, 16> {};
template <>
struct Mma<e4m3> : MfmaFragments<e4m3, 16> {};
template <>
struct Mma<e5m2> : MfmaFragments<e5m2, 16> {};
template <>
struct MmaWide<f16> : MfmaFragments<f16, 32> {};
template <>
struct MmaWide<bf16> : MfmaFragments<bf16, 32> {};

template <class T, int kCount>
using Register = T __attribute__((ext_vector_type(kCount)));

template <class M>
ADZE_DEVICE void mma(typename M::C& c, const typename M::A& a, const typename M::B& b, Site) {
    static_assert(kHasMma<M>, "the target has no such matrix instruction");
    using T = typename M::Element;
    using Acc = Register<typename M::Acc, M::C::kCount>;
    const auto in = __builtin_bit_cast(Acc, c);
    Acc out;
    if constexpr (std::is_same_v<T, int8_t>) {
        const auto ra = __builtin_bit_cast(int, lanes_of(a.value)), rb = __builtin_bit_cast(int, lanes_of(b.value));
        out = __builtin_amdgcn_mfma_i32_16x16x16i8(ra, rb, in, 0, 0, 0);
    } else if constexpr (std::is_same_v<T, f16>) {
        using Half4 = Register<_Float16, 4>;
        const auto ra = __builtin_bit_cast(Half4, lanes_of(a.value)), rb = __builtin_bit_cast(Half4, lanes_of(b.value));
        if constexpr (M::kN == 16) {
            out = __builtin_amdgcn_mfma_f32_16x16x16f16(ra, rb, in, 0, 0, 0);
        } else {
            out = __builtin_amdgcn_mfma_f32_32x32x8f16(ra, rb, in, 0, 0, 0);
        }
    } else {
        static_assert(std::is_same_v<T, bf16>);
        using Short4 = Register<short, 4>;
        const auto ra = __builtin_bit_cast(Short4, lanes_of(a.value)),
                   rb = __builtin_bit_cast(Short4, lanes_of(b.value));
        if constexpr (M::kN == 16) {
            out = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(ra, rb, in, 0, 0, 0);
        } else {
            out = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(ra, rb, in, 0, 0, 0);
        }
    }
    c = __builtin_bit_cast(typename M::C, out);
}

template <class M, class Tile>
ADZE_DEVICE typename M::A load_a(const Tile& tile, int row, int column, Site) {
    return {tile.data.template load_vec<4>(Tile::index(row + M::A::row(0), column + M::A::column(0)))};
}
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b(const Tile& tile, int n, int k, Site) {
    return {tile.data.template load_vec<4>(Tile::index(n + M::B::column(0), k + M::B::row(0)))};
}
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b_rows(const Tile& tile, int k, int n, Site) {
    typename M::B b;
#pragma unroll
    for (int i = 0; i < 4; ++i) b.value[i] = tile.data.load(Tile::index(k + M::B::row(i), n + M::B::column(i)));
    return b;
}
// 32 lanes are served together, 16 of which read a part of one row. In rows of less than 128 bytes rows i and 4 + i may
// share banks, rows i and 4 + (i ^ 1) do not: odd parts of the wave read the rows of a pair the other way around.
template <class M, int kUnits, class Tile>
ADZE_DEVICE Vec<uint32_t, 4> load_b_units(const Tile& tile, int k, int column, Site) {
    using Read = typename Unsigned<2 * kUnits>::Type;
    const bool odd = M::part() % 2 != 0;
    uint32_t rows[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int index = Tile::index(k + M::B::row(odd ? i ^ 1 : i), column + M::place() * 2 * kUnits);
        rows[i] = *reinterpret_cast<const Read*>(tile.data.at(index));
    }
    Vec<uint32_t, 4> words{};
    const uint32_t lower = odd ? 0x01000504u : 0x05040100u, upper = odd ? 0x03020706u : 0x07060302u;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        words[h] = select_bytes(rows[2 * h], rows[2 * h + 1], lower);
        if constexpr (kUnits == 2) words[2 + h] = select_bytes(rows[2 * h], rows[2 * h + 1], upper);
    }
    return words;
}

template <class M, class Tile>
ADZE_DEVICE void store_c(const Tile& tile, int row, int column, const typename M::C& c, Site) {
    using T = typename Tile::Element;
#pragma unroll
    for (int i = 0; i < M::C::kCount; ++i) {
        const int index = Tile::index(row + M::C::row(i), column + M::C::column(i));
        if constexpr (std::is_same_v<T, typename M::Acc>) {
            tile.data.store(index, c.value[i]);
        } else {
            tile.data.store(index, from_float<T>(static_cast<float>(c.value[i])));
        }
    }
}

// Of a 16 x 16 C, lane 16 q + 4 p + j holds rows 4 q to 4 q + 3 of column 4 p + j; as A it is to hold columns 4 q to
// 4 q + 3 of row 4 p + j. First each four lanes transpose their 4 x 4 elements, by exchanges with lanes ^ 2 and ^ 1, then
// p and q change places.
template <class M>
ADZE_DEVICE typename M::A as_operand(const typename M::C* c, Site) {
    static_assert(M::kN == 16 && sizeof(typename M::Element) == 2, "one accumulator is one operand of 2-byte elements");
    using Words = Vec<uint32_t, 2>;
    const auto rows = __builtin_bit_cast(Words, from_floats<typename M::Element, 4>(c->value));
    const int lane = lane_index();
    const bool odd = lane & 1, upper = lane & 2;
    const uint32_t other = move_dpp<kDppXor2>(upper ? rows[0] : rows[1]);
    const uint32_t left = upper ? other : rows[0], right = upper ? rows[1] : other;
    const uint32_t selector = odd ? 0x03020706u : 0x05040100u;
    const uint32_t first = select_bytes(left, move_dpp<kDppXor1>(left), selector);
    const uint32_t second = select_bytes(right, move_dpp<kDppXor1>(right), selector);
    const int source = (lane >> 2 & 3) * 16 + (lane >> 4) * 4 + (lane & 3);
    const Words words{{shuffle_word(first, source), shuffle_word(second, source)}};
    return {__builtin_bit_cast(decltype(M::A::value), words)};
}

}  // namespace ADZE_TARGET
}  // namespace adze
