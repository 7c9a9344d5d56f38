// PTX ISA, "mma", "ldmatrix" and "stmatrix". A register of a fragment holds kPack elements, 4 bytes, of one row of A or
// one column of B: with the lane as 4 * group + member, register r of A starts at row group + 8 * (r & 1) and column
// kPack * (member + 4 * (r >> 1)); of B, at row kPack * (member + 4 * r) and column group; element i of C is at row
// group + 8 * (i >> 1), column 2 * member + (i & 1).
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE int lane_group() {
    return lane_index() >> 2;
}
ADZE_DEVICE int lane_member() {
    return lane_index() & 3;
}

template <class T>
struct MmaFragments {
    using Element = T;
    using Acc = std::conditional_t<std::is_same_v<T, int8_t>, int32_t, float>;
    static constexpr int kPack = 4 / static_cast<int>(sizeof(T));
    static constexpr int kM = 16, kN = 8, kK = 8 * kPack;

    struct A {
        static constexpr int kCount = 4 * kPack;
        Vec<T, kCount> value;
        ADZE_DEVICE static int row(int i) { return lane_group() + (i / kPack & 1) * 8; }
        ADZE_DEVICE static int column(int i) { return lane_member() * kPack + i % kPack + i / (2 * kPack) * 4 * kPack; }
    };
    struct B {
        static constexpr int kCount = 2 * kPack;
        Vec<T, kCount> value;
        ADZE_DEVICE static int row(int i) { return lane_member() * kPack + i % kPack + i / kPack * 4 * kPack; }
        ADZE_DEVICE static int column(int) { return lane_group(); }
    };
    struct C {
        static constexpr int kCount = 4, kRows = 2;
        Acc value[kCount] = {};
        ADZE_DEVICE static int row(int i) { return slot_row(slot(i)); }
        ADZE_DEVICE static int column(int i) { return lane_member() * 2 + (i & 1); }
        ADZE_DEVICE static constexpr int slot(int i) { return i >> 1; }
        ADZE_DEVICE static int slot_row(int s) { return lane_group() + s * 8; }
        template <class X, class Op>
        ADZE_DEVICE static X reduce_row(X x, Op op) {
            return reduce(x, op, 4);
        }
    };
};

template <>
struct Mma<f16> : MmaFragments<f16> {};
template <>
struct Mma<bf16> : MmaFragments<bf16> {};
template <>
struct Mma<int8_t> : MmaFragments<int8_t> {};
template <>
struct Mma<e4m3> : MmaFragments<e4m3> {};
template <>
struct Mma<e5m2> : MmaFragments<e5m2> {};
template <class T>
struct MmaWide {
    static_assert(sizeof(T) == 0, "the target has no such matrix instruction");
};

#define ADZE_MMA(instruction, kind)                                                                        \
    asm("mma.sync.aligned." instruction " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
        : kind(c.value[0]), kind(c.value[1]), kind(c.value[2]), kind(c.value[3])                           \
        : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]))

template <class M>
ADZE_DEVICE void mma(typename M::C& c, const typename M::A& a, const typename M::B& b, Site) {
    static_assert(kHasMma<M>, "the target has no such matrix instruction");  // it would be made of conversions
    using T = typename M::Element;
    const auto ra = __builtin_bit_cast(Vec<uint32_t, 4>, a.value);
    const auto rb = __builtin_bit_cast(Vec<uint32_t, 2>, b.value);
    if constexpr (std::is_same_v<T, f16>) {
        ADZE_MMA("m16n8k16.row.col.f32.f16.f16.f32", "+f");
    } else if constexpr (std::is_same_v<T, bf16>) {
        ADZE_MMA("m16n8k16.row.col.f32.bf16.bf16.f32", "+f");
    } else if constexpr (std::is_same_v<T, int8_t>) {
        ADZE_MMA("m16n8k32.row.col.s32.s8.s8.s32", "+r");
    } else if constexpr (std::is_same_v<T, e4m3>) {
        ADZE_MMA("m16n8k32.row.col.f32.e4m3.e4m3.f32", "+f");
    } else {
        static_assert(std::is_same_v<T, e5m2>);
        ADZE_MMA("m16n8k32.row.col.f32.e5m2.e5m2.f32", "+f");
    }
}
#undef ADZE_MMA

// Two or four 8 x 16-byte matrices; lane i says where row i % 8 of matrix i / 8 is.
template <bool kTransposed>
ADZE_DEVICE Vec<uint32_t, 4> load_matrices4(uint32_t address) {
    Vec<uint32_t, 4> r;
    if constexpr (kTransposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address)
                     : "memory");
    }
    return r;
}
template <bool kTransposed>
ADZE_DEVICE Vec<uint32_t, 2> load_matrices2(uint32_t address) {
    Vec<uint32_t, 2> r;
    if constexpr (kTransposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(address)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(address)
                     : "memory");
    }
    return r;
}

// Where a lane's 16 bytes are: at (lane_row, lane_column) from (row, column) on, which is a multiple of 8 rows and does not
// leave its panel. Constants come last: the compiler would else keep an address for each of them.
template <class Tile>
ADZE_DEVICE uint32_t chunk_address(const Tile& tile, int row, int column, int lane_row, int lane_column) {
    const int panel = column / Tile::kPanel * Tile::kPanel;
    const int index = Tile::index(lane_row, column - panel + lane_column);
    return address_of(tile.data, index) +
           static_cast<uint32_t>(panel * Tile::kRows + row * Tile::kPanel) * uint32_t{sizeof(typename Tile::Element)};
}

template <class M, class Tile>
ADZE_DEVICE typename M::A load_a(const Tile& tile, int row, int column, Site) {
    constexpr int kChunk = 4 * M::kPack;  // elements of 16 bytes
    const int lane = lane_index();
    const uint32_t address = chunk_address(tile, row, column, lane % 16, lane / 16 * kChunk);
    return {__builtin_bit_cast(decltype(M::A::value), load_matrices4<false>(address))};
}
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b(const Tile& tile, int n, int k, Site) {
    constexpr int kChunk = 4 * M::kPack;
    const int lane = lane_index() % 16;  // the addresses of the others are not used
    const uint32_t address = chunk_address(tile, n, k, lane % 8, lane / 8 * kChunk);
    return {__builtin_bit_cast(decltype(M::B::value), load_matrices2<false>(address))};
}
template <class M, class Tile>
ADZE_DEVICE typename M::B load_b_rows(const Tile& tile, int k, int n, Site) {
    static_assert(M::kPack == 2, "of 2-byte elements");
    const uint32_t address = chunk_address(tile, k, n, lane_index() % 16, 0);
    return {__builtin_bit_cast(decltype(M::B::value), load_matrices2<true>(address))};
}

template <class M, int kUnits, class Tile>
ADZE_DEVICE Vec<uint32_t, 4> load_b_units(const Tile& tile, int k, int column, Site) {
    static_assert(kUnits == 2 && sizeof(typename Tile::Element) == 1);
    const int lane = lane_index();
    return load_matrices4<true>(chunk_address(tile, k, column, lane % 16, lane / 16 * 16));
}

template <class M, class Tile>
ADZE_DEVICE void store_c(const Tile& tile, int row, int column, const typename M::C& c, Site) {
    using T = typename Tile::Element;
    if constexpr (sizeof(T) == 2 && kTarget.arch == Arch::kSm90a) {
        const int index = Tile::index(row + lane_index() % 16, column);
        asm volatile("stmatrix.sync.aligned.m8n8.x2.shared.b16 [%0], {%1, %2};" ::"r"(address_of(tile.data, index)),
                     "r"(pack_halves<T>(c.value[0], c.value[1])), "r"(pack_halves<T>(c.value[2], c.value[3]))
                     : "memory");
    } else {
#pragma unroll
        for (int i = 0; i < M::C::kCount; i += 2) {
            const int index = Tile::index(row + M::C::row(i), column + M::C::column(i));
            if constexpr (std::is_same_v<T, typename M::Acc>) {
                tile.data.template store_vec<2>(index, {{c.value[i], c.value[i + 1]}});
            } else {
                const float pair[2] = {static_cast<float>(c.value[i]), static_cast<float>(c.value[i + 1])};
                tile.data.template store_vec<2>(index, from_floats<T, 2>(pair));
            }
        }
    }
}

// Four registers of an A operand of 1-byte elements from registers that hold, for two neighbouring accumulators each, a
// row's pairs of columns: accumulator 0's in the lower half, 1's in the upper. A's member m wants columns 4 m to 4 m + 3
// of the 16, which members 2 (m % 2) and 2 (m % 2) + 1 have, of accumulator m / 2.
ADZE_DEVICE uint32_t gather_quads(uint32_t pairs) {
    const int first = (lane_index() & ~3) + (lane_member() & 1) * 2;
    const uint32_t low = __shfl_sync(kAllLanes, pairs, first), high = __shfl_sync(kAllLanes, pairs, first + 1);
    return __byte_perm(low, high, lane_member() < 2 ? 0x5410 : 0x7632);
}

template <class M>
ADZE_DEVICE typename M::A as_operand(const typename M::C* c, Site) {
    static_assert(std::is_same_v<typename M::Acc, float>, "an int32 accumulator is not an int8 operand");
    using T = typename M::Element;
    Vec<uint32_t, 4> words;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
        const int row = (r & 1) * 2;  // of an accumulator's values
        if constexpr (M::kPack == 2) {
            const float* pair = c[r >> 1].value + row;
            words[r] = pack_halves<T>(pair[0], pair[1]);
        } else {
            const float* low = c[r >> 1 << 1].value + row;
            const float* high = c[(r >> 1 << 1) + 1].value + row;
            words[r] = gather_quads(pack_fp8x4<T>({low[0], low[1], high[0], high[1]}));
        }
    }
    return {__builtin_bit_cast(decltype(M::A::value), words)};
}

}  // namespace ADZE_TARGET
}  // namespace adze
