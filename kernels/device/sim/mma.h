#pragma once

#include <bit>
#include <cmath>
#include <type_traits>

#include "device/sim/block.h"
#include "device/sim/matrix.h"
#include "device/sim/memory_checks.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T, class Layout>
struct MmaOf {
    using L = typename Layout::template Of<T>;
    using Element = T;
    using Acc = sim::AccumulatorOf<T>;
    static constexpr int kM = L::kM, kN = L::kN, kK = L::kK;

    struct A {
        static constexpr int kCount = L::kA;
        Vec<T, kCount> value;
        static int row(int i) { return L::a_row(lane_index(), i); }
        static int column(int i) { return L::a_column(lane_index(), i); }
    };
    struct B {
        static constexpr int kCount = L::kB;
        Vec<T, kCount> value;
        static int row(int i) { return L::b_row(lane_index(), i); }
        static int column(int i) { return L::b_column(lane_index(), i); }
    };
    struct C {
        static constexpr int kCount = L::kC, kRows = L::kRows;
        Acc value[kCount] = {};
        static int row(int i) { return L::c_row(lane_index(), i); }
        static int column(int i) { return L::c_column(lane_index(), i); }
        static constexpr int slot(int i) { return L::slot(i); }
        static int slot_row(int s) {
            for (int i = 0; i < kCount; ++i) {
                if (slot(i) == s) return row(i);
            }
            return -1;
        }
        template <class V, class Op>
        static V reduce_row(V x, Op op, Site site = Site::current()) {
            return reduce(x, op, L::kRowLanes, 1, site);
        }
    };
};

template <class T>
struct Mma : MmaOf<T, std::conditional_t<kWarpSize == 64, sim::MfmaLayout, sim::NvidiaLayout>> {};
template <class T>
struct MmaWide : MmaOf<T, sim::WideMfmaLayout> {
    static_assert(kWarpSize == 64 && sizeof(T) == 2, "the target has no such matrix instruction");
};

template <class M>
inline void mma(typename M::C& c, const typename M::A& a, const typename M::B& b, Site site) {
    static_assert(kHasMma<M>, "the target has no such matrix instruction");
    sim::Thread& self = *sim::current;
    self.offer[0] = &c;
    self.offer[1] = const_cast<typename M::A*>(&a);
    self.offer[2] = const_cast<typename M::B*>(&b);
    self.block->meet("mma", site, [&self](sim::Warp& warp) {
        sim::multiply<typename M::L, typename M::Element>(&self.block->threads[static_cast<size_t>(warp.first)]);
        ++self.block->counters.matrix_instructions;
        self.block->counters.matrix_multiply_adds += M::kM * M::kN * M::kK;
    });
}

// Each lane names the 16-byte row of one 8-row matrix (ldmatrix), which is what the banks see; `rows` of them.
template <class Tile, class Row>
inline void touch_matrix_rows(sim::Access access, const Tile& tile, int rows, Row&& index_of, Site site) {
    using T = std::remove_cvref_t<decltype(tile.data.load(0))>;
    uint64_t& trail = sim::current->trail;
    trail = (trail + reinterpret_cast<uintptr_t>(sim::WarpTraffic::key(site))) * 0x9e3779b97f4a7c15u;
    if (lane_index() >= rows) return;
    const uint32_t offset = tile.data.template at<16 / sizeof(T)>("matrix access", index_of(lane_index()), site);
    sim::touch_shared(access, offset, 16, site);
}
// Neighbouring elements of a tile's row, neither counted nor checked for races: touch_matrix_rows did.
template <class T, int kCount, class Tile>
inline void peek(T* out, const Tile& tile, int row, int column, Site site) {
    const uint32_t offset = tile.data.template at<kCount>("matrix access", Tile::index(row, column), site);
    std::memcpy(out, sim::current->block->shared(offset), sizeof(T) * kCount);
}

template <class M, class Tile>
inline typename M::A load_a(const Tile& tile, int row, int column, Site site) {
    using T = typename M::Element;
    typename M::A a;
    if constexpr (kWarpSize == 32) {
        constexpr int kChunk = 16 / sizeof(T);
        touch_matrix_rows(
            sim::Access::kSharedRead, tile, 32,
            [&](int l) { return Tile::index(row + l % 16, column + l / 16 * kChunk); }, site);
        constexpr int kPack = M::L::kPack;
        for (int i = 0; i < M::A::kCount; i += kPack) {
            peek<T, kPack>(&a.value[i], tile, row + M::A::row(i), column + M::A::column(i), site);
        }
    } else {
        a.value =
            tile.data.template load_vec<M::A::kCount>(Tile::index(row + M::A::row(0), column + M::A::column(0)), site);
    }
    return a;
}

template <class M, class Tile>
inline typename M::B load_b(const Tile& tile, int n, int k, Site site) {
    using T = typename M::Element;
    typename M::B b;
    if constexpr (kWarpSize == 32) {
        constexpr int kChunk = 16 / sizeof(T);
        touch_matrix_rows(
            sim::Access::kSharedRead, tile, 16, [&](int l) { return Tile::index(n + l % 8, k + l / 8 * kChunk); },
            site);
        constexpr int kPack = M::L::kPack;
        for (int i = 0; i < M::B::kCount; i += kPack) {
            peek<T, kPack>(&b.value[i], tile, n + M::B::column(i), k + M::B::row(i), site);
        }
    } else {
        b.value = tile.data.template load_vec<M::B::kCount>(Tile::index(n + M::B::column(0), k + M::B::row(0)), site);
    }
    return b;
}

template <class M, class Tile>
inline typename M::B load_b_rows(const Tile& tile, int k, int n, Site site) {
    static_assert(sizeof(typename M::Element) == 2);
    typename M::B b;
    if constexpr (kWarpSize == 32) {
        touch_matrix_rows(
            sim::Access::kSharedRead, tile, 16, [&](int l) { return Tile::index(k + l, n); }, site);
        for (int i = 0; i < M::B::kCount; ++i) {
            peek<typename M::Element, 1>(&b.value[i], tile, k + M::B::row(i), n + M::B::column(i), site);
        }
    } else {
        for (int i = 0; i < M::B::kCount; ++i) {
            const uint32_t at =
                tile.data.template at<1>("read", Tile::index(k + M::B::row(i), n + M::B::column(i)), site);
            std::memcpy(&b.value[i], sim::touch_operand(at, 2, site), 2);
        }
    }
    return b;
}

template <class M, int kUnits, class Tile>
inline Vec<uint32_t, 4> load_b_units(const Tile& tile, int k, int column, Site site) {
    using Unit = Vec<typename Tile::Element, 2>;
    Vec<uint32_t, 4> words{};
    if constexpr (kWarpSize == 32) {
        touch_matrix_rows(
            sim::Access::kSharedRead, tile, 32, [&](int l) { return Tile::index(k + l % 16, column + l / 16 * 16); },
            site);
        for (int i = 0; i < 8; ++i) {  // unit i / 4, the i % 4-th of the rows
            Unit unit;
            peek<typename Tile::Element, 2>(&unit[0], tile, k + M::B::row(i % 4),
                                            column + i / 4 * 16 + M::B::column(0) * 2, site);
            words[i / 2] |= static_cast<uint32_t>(std::bit_cast<uint16_t>(unit)) << i % 2 * 16;
        }
    } else {
        constexpr int kBytes = 2 * kUnits;
        const int odd = M::B::row(0) / 4 % 2;  // see hip
        for (int i = 0; i < 4; ++i) {
            const int row = k + M::B::row(i ^ odd);
            const auto read =
                tile.data.template load_vec<kBytes>(Tile::index(row, column + M::B::column(0) * kBytes), site);
            uint32_t word = 0;
            std::memcpy(&word, &read, sizeof read);
            for (int u = 0; u < kUnits; ++u) {
                words[2 * u + i / 2] |= (word >> 16 * u & 0xffffu) << (i ^ odd) % 2 * 16;
            }
        }
    }
    return words;
}

template <class M, class Tile>
inline void store_c(const Tile& tile, int row, int column, const typename M::C& c, Site site) {
    using T = std::remove_cvref_t<decltype(tile.data.load(0))>;
    if constexpr (kArch == Arch::kSm90a && sizeof(T) == 2) {  // stmatrix
        touch_matrix_rows(
            sim::Access::kSharedWrite, tile, 16, [&](int l) { return Tile::index(row + l, column); }, site);
        for (int i = 0; i < M::C::kCount; i += 2) {
            const float pair[2] = {static_cast<float>(c.value[i]), static_cast<float>(c.value[i + 1])};
            const Vec<T, 2> stored = from_floats<T>(pair);
            const int index = Tile::index(row + M::C::row(i), column + M::C::column(i));
            std::memcpy(sim::current->block->shared(tile.data.template at<2>("matrix access", index, site)), &stored,
                        sizeof stored);
        }
    } else if constexpr (kWarpSize == 32) {
        for (int i = 0; i < M::C::kCount; i += 2) {
            const float pair[2] = {static_cast<float>(c.value[i]), static_cast<float>(c.value[i + 1])};
            tile.data.template store_vec<2>(Tile::index(row + M::C::row(i), column + M::C::column(i)),
                                            from_floats<T>(pair), site);
        }
    } else {
        for (int i = 0; i < M::C::kCount; ++i) {
            const float one[1] = {static_cast<float>(c.value[i])};
            tile.data.store(Tile::index(row + M::C::row(i), column + M::C::column(i)), from_floats<T>(one)[0], site);
        }
    }
}

template <class M>
inline typename M::A as_operand(const typename M::C* c, Site site) {
    using T = typename M::Element;
    typename M::A a;
    if constexpr (sizeof(T) == 1) {  // FP8: two other lanes hold a lane's four columns
        using L = typename M::L;
        sim::Thread& self = *sim::current;
        self.offer[0] = const_cast<typename M::C*>(c);
        self.offer[1] = &a;
        self.block->meet("as_operand", site, [&self](sim::Warp& warp) {
            const sim::Thread* lanes = &self.block->threads[static_cast<size_t>(warp.first)];
            for (int lane = 0; lane < kWarpSize; ++lane) {
                for (int i = 0; i < M::A::kCount; ++i) {
                    const int row = L::a_row(lane, i), column = L::a_column(lane, i);
                    const auto* from = static_cast<const typename M::C*>(lanes[row % 8 * 4 + column % 8 / 2].offer[0]);
                    static_cast<typename M::A*>(lanes[lane].offer[1])->value[i] =
                        round_to<T>(from[column / 8].value[row / 8 * 2 + column % 2]);
                }
            }
        });
    } else if constexpr (kWarpSize == 32) {  // the same lane holds them
        for (int i = 0; i < M::A::kCount; ++i) a.value[i] = round_to<T>(c[i / 4].value[i % 4]);
    } else {
        using L = typename M::L;
        static_assert(M::kK == M::kN && M::C::kCount == 4, "only 16 x 16 x 16");
        sim::Thread& self = *sim::current;
        self.offer[0] = const_cast<typename M::C*>(c);
        self.offer[1] = &a;
        self.block->meet("as_operand", site, [&self](sim::Warp& warp) {
            const sim::Thread* lanes = &self.block->threads[static_cast<size_t>(warp.first)];
            for (int lane = 0; lane < kWarpSize; ++lane) {
                for (int i = 0; i < M::A::kCount; ++i) {
                    const int row = L::a_row(lane, i), column = L::a_column(lane, i);
                    const auto& from = *static_cast<const typename M::C*>(lanes[row / 4 * 16 + column].offer[0]);
                    static_cast<typename M::A*>(lanes[lane].offer[1])->value[i] = round_to<T>(from.value[row % 4]);
                }
            }
        });
    }
    return a;
}

}  // namespace ADZE_TARGET
}  // namespace adze
