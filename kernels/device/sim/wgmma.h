#pragma once

#include "device/sim/block.h"
#include "device/sim/matrix.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T, int kColumns>
struct Wgmma {
    using Element = T;
    using Acc = sim::AccumulatorOf<T>;
    using L = sim::NvidiaLayout::Of<T>;  // of a warp's 16 rows
    static_assert(kColumns % 8 == 0 && kColumns >= 8 && kColumns <= 256);
    static constexpr int kM = 64, kN = kColumns, kK = 32 / sizeof(T);

    static int first_row() { return thread_index() % kWarpGroup / kWarpSize * 16; }
    struct A {
        static constexpr int kCount = L::kA;
        Vec<T, kCount> value;
        static int row(int i) { return first_row() + L::a_row(lane_index(), i); }
        static int column(int i) { return L::a_column(lane_index(), i); }
    };
    struct C {
        static constexpr int kCount = kN / 2, kRows = L::kRows;
        Acc value[kCount] = {};
        static int row(int i) { return first_row() + L::c_row(lane_index(), i % 4); }
        static int column(int i) { return i / 4 * 8 + L::c_column(lane_index(), i % 4); }
        static constexpr int slot(int i) { return L::slot(i % 4); }
        static int slot_row(int s) { return row(s * 2); }
        template <class V, class Op>
        static V reduce_row(V x, Op op, Site site = Site::current()) {
            return reduce(x, op, L::kRowLanes, L::kRowStride, site);
        }
    };
};

inline void wgmma_fence(Site site) {
    sim::current->block->wgmma_fence(site);
}
inline void wgmma_commit(Site) {
    ++sim::current->copies.multiply_groups;
}
template <int kGroups>
inline void wgmma_wait(Site site) {
    sim::current->block->wgmma_wait(kGroups, site);
}

template <class Fragment>
inline void wgmma_pin(Fragment&) {}

template <class W, class TileB>
inline sim::GroupMultiply describe_wgmma(typename W::C& c, const TileB& b, int n, int k, bool rows_b, bool accumulate,
                                         const Site& site) {
    static_assert(kTarget.bulk_copy || sizeof(W) == 0, "the target has no such matrix instruction");
    const uint32_t address = b.data.template at<1>("wgmma", 0, site);
    if (n % (rows_b ? TileB::kPanel : 8) != 0) {
        sim::current->block->fail(site, "wgmma: b_n is %d; it must be a multiple of %d", n, rows_b ? TileB::kPanel : 8);
    }
    sim::GroupMultiply what;
    what.c = c.value;
    what.c_bytes = sizeof c.value;
    what.b = rows_b ? operand_descriptor_rows<TileB>(address, k, n) : operand_descriptor<TileB>(address, n, k);
    what.rows_b = rows_b;
    what.accumulate = accumulate;
    what.m = W::kM, what.n = W::kN, what.k = W::kK;
    what.element_bytes = sizeof(typename W::Element);
    what.compute = &sim::multiply_group<typename W::Element>;
    return what;
}

template <class W, bool kRowsB, class TileA, class TileB>
inline void wgmma(typename W::C& c, const TileA& a, int a_row, int a_k, const TileB& b, int b_n, int b_k,
                  bool accumulate, Site site) {
    static_assert(!kRowsB || sizeof(typename W::Element) == 2, "8-bit operands are K-major only");
    sim::GroupMultiply what = describe_wgmma<W>(c, b, b_n, b_k, kRowsB, accumulate, site);
    if (a_row % 8 != 0) sim::current->block->fail(site, "wgmma: a_row is %d; it must be a multiple of 8", a_row);
    what.a = operand_descriptor<TileA>(a.data.template at<1>("wgmma", 0, site), a_row, a_k);
    sim::current->block->wgmma_issue(std::move(what), site);
}
template <class W, bool kRowsB, class TileB>
inline void wgmma(typename W::C& c, const typename W::A& a, const TileB& b, int b_n, int b_k, bool accumulate,
                  Site site) {
    static_assert(!kRowsB || sizeof(typename W::Element) == 2, "8-bit operands are K-major only");
    sim::GroupMultiply what = describe_wgmma<W>(c, b, b_n, b_k, kRowsB, accumulate, site);
    const auto* bytes = reinterpret_cast<const std::byte*>(&a.value);
    what.a_registers.assign(bytes, bytes + sizeof a.value);
    sim::current->block->wgmma_issue(std::move(what), site);
}

// A warp's share of the accumulators is Mma's.
template <class W, class C>
inline typename W::A as_wgmma_operand(const C& c, int first, Site site) {
    using M = Mma<typename W::Element>;
    typename M::C parts[M::kK / M::kN];
    for (int i = 0; i < M::kK / M::kN * 4; ++i) parts[i / 4].value[i % 4] = c.value[first / 2 + i];
    return {as_operand<M>(parts, site).value};
}

}  // namespace ADZE_TARGET
}  // namespace adze
