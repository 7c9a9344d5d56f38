// Matrix instructions of a warp group: sm_90a.
#include <cmath>

#include "device/registers.h"
#include "device/wgmma.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace warp_groups_tests {

enum class Defect {
    kNone,
    kNoFence,
    kNoWait,
    kNoProxyFence,
    kNoBarrier,
    kOverwritten,
    kReadEarly,
    kOneUnderWay,
    kPartOfGroup,
};

struct GroupParams {
    float* data = nullptr;
    int64_t count = 0;
    Defect defect = Defect::kNone;
};

template <class T>
T element(int value) {
    if constexpr (std::is_same_v<T, int8_t>) {
        return static_cast<int8_t>(value);
    } else {
        return round_to<T>(static_cast<float>(value));
    }
}
int number_a(int row, int k) {
    return (row * 5 + k * 3 + row * k) % 7 - 3;
}
int number_b(int k, int column) {
    return (k * 11 + column * 2 + k * column) % 5 - 2;
}
int product(int row, int column, int first, int depth) {
    int sum = 0;
    for (int k = first; k < first + depth; ++k) sum += number_a(row, k) * number_b(k, column);
    return sum;
}

// C = A B over two panels of k; A from shared memory or from registers. Checked against PTX ISA, "Register Fragments" of
// wgmma.mma_async.m64nNk16 and m64nNk32: D's element i lies in row 16 warp + lane / 4 + 8 (i / 2 % 2) and column
// 8 (i / 4) + 2 (lane % 4) + i % 2.
template <class T, int kN, bool kRowsB, bool kRegisters>
struct Product : TestKernel<128, GroupParams> {
    static constexpr const char* kName = "group_product";
    using W = Wgmma<T, kN>;
    static constexpr int kPanel = 128 / static_cast<int>(sizeof(T)), kDepth = 2 * kPanel;
    static constexpr int kWide = kRowsB && kN < kPanel ? kPanel : kN;
    using TileA = SharedTile<T, 128, kDepth>;
    using TileB = std::conditional_t<kRowsB, SharedTile<T, kDepth, kWide>, SharedTile<T, kWide, kDepth>>;
    static constexpr int64_t kShared = (TileA::kElements + TileB::kElements) * static_cast<int64_t>(sizeof(T)) + 2048;

    static void multiply(typename W::C& c, const TileA& a, const TileB& b, int k, bool accumulate) {
        if constexpr (kRegisters) {
            const int lane = lane_index(), first = warp_index() * 16;
            typename W::A registers;
            for (int i = 0; i < W::A::kCount; ++i) {
                const int pack = 4 / static_cast<int>(sizeof(T));  // elements of a 32-bit register
                const int row = first + lane / 4 + (i / pack % 2 == 1 ? 8 : 0);
                const int column = lane % 4 * pack + i % pack + (i / pack >= 2 ? 4 * pack : 0);
                if (W::A::row(i) != row || W::A::column(i) != column) c.value[0] = -1000000;
                registers.value[i] = element<T>(number_a(row + 64, k + column));
            }
            wgmma<W, kRowsB>(c, registers, b, 0, k, accumulate);
        } else {
            wgmma<W, kRowsB>(c, a, 64, k, b, 0, k, accumulate);
        }
    }
    static void run(const GroupParams& p) {
        SharedArena arena;
        TileA a;
        a.data = arena.take<T>(TileA::kElements, TileA::kAlignment);
        TileB b;
        b.data = arena.take<T>(TileB::kElements, TileB::kAlignment);
        const int t = thread_index();
        for (int i = t; i < TileA::kElements; i += kThreads)
            a.data.store(TileA::index(i / kDepth, i % kDepth), element<T>(number_a(i / kDepth, i % kDepth)));
        for (int i = t; i < kWide * kDepth; i += kThreads) {
            const int n = i / kDepth, k = i % kDepth;
            b.data.store(kRowsB ? TileB::index(k, n) : TileB::index(n, k), element<T>(number_b(k, n)));
        }
        fence_async_proxy();
        sync_block();
        typename W::C c;
        for (auto& value : c.value) value = 77;  // overwritten by the first instruction
        wgmma_fence();
        for (int k = 0; k < kDepth; k += W::kK) multiply(c, a, b, k, k > 0);
        wgmma_commit();
        wgmma_wait<0>();
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < W::C::kCount; ++i) {
            const int row = t / 32 * 16 + t % 32 / 4 + (i / 2 % 2 == 1 ? 8 : 0);
            const int column = i / 4 * 8 + t % 4 * 2 + i % 2;
            const bool right =
                W::C::row(i) == row && W::C::column(i) == column && c.value[i] == product(row + 64, column, 0, kDepth);
            out.store(t * W::C::kCount + i, right ? 1.0f : 0.0f);
        }
    }
};

template <class T, int kN, bool kRowsB, bool kRegisters>
void check_product() {
    using K = Product<T, kN, kRowsB, kRegisters>;
    const sim_test::Array<float> out(128 * kN / 2, 0.0f);
    for (const sim_test::Way& way : sim_test::every_way()) {
        if (way.options.resident > 1 || way.options.seed > 1) continue;
        for (float& value : out) value = 0;
        sim_test::Machine machine(kTarget.arch, way);
        const auto got = outcome<K>(machine, {1, 1, 1}, K::kShared, {.data = out.data(), .count = 64 * kN});
        ASSERT_EQ(got.status, ADZE_OK) << got.message;
        for (size_t i = 0; i < out.size(); ++i) {
            ASSERT_EQ(out[i], 1.0f) << "n " << kN << ", thread " << i / (kN / 2) << ", element " << i % (kN / 2);
        }
        EXPECT_EQ(machine.counters().matrix_instructions, static_cast<uint64_t>(K::kDepth / K::W::kK));
        EXPECT_EQ(machine.counters().matrix_multiply_adds, static_cast<uint64_t>(64 * kN * K::kDepth));
    }
}

SIM_TEST(WarpGroups, products_are_exact) {
    check_product<bf16, 8, false, false>();
    check_product<bf16, 64, false, true>();
    check_product<bf16, 128, false, false>();
    check_product<bf16, 256, false, true>();
    check_product<f16, 96, false, false>();
    check_product<f16, 192, false, true>();
    check_product<int8_t, 32, false, false>();
    check_product<int8_t, 128, false, true>();
    check_product<e4m3, 64, false, false>();
    check_product<e4m3, 16, false, true>();
    check_product<e5m2, 128, false, false>();
    check_product<e5m2, 96, false, true>();
}

SIM_TEST(WarpGroups, products_with_rows_of_b_are_exact) {
    check_product<bf16, 8, true, false>();
    check_product<bf16, 64, true, true>();
    check_product<f16, 128, true, false>();
    check_product<f16, 192, true, true>();
}

// P V: accumulators become the register operand. 8-bit V is [n][k], its rows 128 bytes of which the first 64 are used.
template <class T>
struct Chained : TestKernel<128, GroupParams> {
    static constexpr const char* kName = "group_chained";
    static constexpr bool kRowsB = sizeof(T) == 2;
    static void run(const GroupParams& p) {
        using W = Wgmma<T, 64>;
        using TileV = SharedTile<T, 64, 128 / static_cast<int>(sizeof(T))>;
        SharedArena arena;
        TileV v;
        v.data = arena.take<T>(TileV::kElements, TileV::kAlignment);
        for (int i = thread_index(); i < 64 * 64; i += 128) {
            const int k = i / 64, n = i % 64;
            v.data.store(kRowsB ? TileV::index(k, n) : TileV::index(n, k), element<T>(number_b(k, n)));
        }
        fence_async_proxy();
        sync_block();
        typename W::C s, o;
        for (int i = 0; i < W::C::kCount; ++i) s.value[i] = static_cast<float>(number_a(W::C::row(i), W::C::column(i)));
        wgmma_fence();
        for (int k = 0; k < 64; k += W::kK) wgmma<W, kRowsB>(o, as_wgmma_operand<W>(s, k), v, 0, k);
        wgmma_commit();
        wgmma_wait<0>();
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < W::C::kCount; ++i) {
            const bool right = o.value[i] == static_cast<float>(product(W::C::row(i), W::C::column(i), 0, 64));
            out.store(thread_index() * W::C::kCount + i, right ? 1.0f : 0.0f);
        }
    }
};

template <class T>
void check_chained() {
    const sim_test::Array<float> out(128 * 32, 0.0f);
    expect_ok<Chained<T>>({1, 1, 1}, 8192, {.data = out.data(), .count = 128 * 32});
    for (const float value : out) ASSERT_EQ(value, 1.0f);
}

SIM_TEST(WarpGroups, accumulators_become_operands) {
    check_chained<bf16>();
    check_chained<f16>();
    check_chained<e4m3>();
    check_chained<e5m2>();
}

// Two rounds over the same operands, with what can be forgotten; the fence and the barrier behind the writes in the second,
// when all the block knew the operands before.
struct Rounds : TestKernel<128, GroupParams> {
    static constexpr const char* kName = "rounds";
    using W = Wgmma<bf16, 16>;
    static void fill(const SharedTile<bf16, 64, 64>& tile, int value) {
        for (int i = thread_index(); i < 64 * 64; i += 128) tile.data.store(i, element<bf16>(value));  // @fill
    }
    static void run(const GroupParams& p) {
        SharedArena arena;
        SharedTile<bf16, 64, 64> a, b;
        a.data = arena.take<bf16>(64 * 64, 1024);
        b.data = arena.take<bf16>(64 * 64, 1024);
        const Defect d = p.defect;
        const Global<float> out(p.data, p.count);
        W::C c, second;
        for (int round = 0; round < 2; ++round) {
            fill(a, 1 + round);
            fill(b, 1);
            if (d != Defect::kNoProxyFence || round == 0) fence_async_proxy();
            if (d != Defect::kNoBarrier || round == 0) sync_block();
            if (d != Defect::kNoFence) wgmma_fence();
            for (int k = 0; k < 64; k += 16) wgmma<W>(c, a, 0, k, b, 0, k, k > 0);  // @multiply
            wgmma_commit();
            wgmma<W>(second, a, 0, 0, b, 0, 0, false);
            wgmma_commit();
            if (d == Defect::kPartOfGroup && warp_index() == 3) wgmma<W>(second, a, 0, 0, b, 0, 0, false);
            if (d == Defect::kOverwritten && thread_index() == 9) a.data.store(0, element<bf16>(5));  // @overwrite
            if (d == Defect::kReadEarly) out.store(thread_index(), c.value[3]);
            wgmma_wait<1>();
            const float got = d == Defect::kOneUnderWay ? second.value[3] : c.value[3];
            if (d != Defect::kReadEarly) out.store(thread_index(), got);
            if (d != Defect::kNoWait) wgmma_wait<0>();
            if (second.value[5] != static_cast<float>(16 * (1 + round)) && d == Defect::kNone) out.load(-1);
            sync_block();
        }
    }
};

void expect_defect(Defect defect, const std::vector<std::string>& parts, bool is_caught = true) {
    const sim_test::Array<float> out(128, 0.0f);
    GroupParams params{.data = out.data(), .count = 128};
    expect_ok<Rounds>({2, 1, 1}, 16384, params);
    for (const float value : out) EXPECT_EQ(value, 128.0f);
    params.defect = defect;
    if (is_caught) return expect_caught<Rounds>({2, 1, 1}, 16384, params, parts);
    expect_ok<Rounds>({2, 1, 1}, 16384, params);
    for (const float value : out) EXPECT_TRUE(std::isnan(value));
}

SIM_TEST(WarpGroups, missing_fence) {
    expect_defect(Defect::kNoFence, {"wgmma: no wgmma_fence since the last wait", PLACE("multiply")});
}
SIM_TEST(WarpGroups, missing_wait) {
    // The next round overwrites the operands; the last one's would be left under way.
    expect_defect(Defect::kNoWait,
                  {"race: write of shared memory", "the asynchronous read", "has not been waited for", PLACE("fill")});
}
SIM_TEST(WarpGroups, operand_written_while_it_is_read) {
    expect_defect(Defect::kOverwritten, {"race: ", "thread 9", "asynchronous read", PLACE("overwrite")});
}
SIM_TEST(WarpGroups, missing_proxy_fence) {
    expect_defect(Defect::kNoProxyFence, {"race: asynchronous read of shared memory",
                                          "no fence_async_proxy between them", PLACE("fill"), PLACE("multiply")});
}
SIM_TEST(WarpGroups, missing_block_barrier) {
    expect_defect(Defect::kNoBarrier, {"race: ", "asynchronous read", PLACE("fill")});
}
SIM_TEST(WarpGroups, threads_with_different_instructions) {
    expect_defect(Defect::kPartOfGroup, {"wgmma: threads of the warp group have issued different instructions"});
}
SIM_TEST(WarpGroups, accumulators_are_undefined_before_the_wait) {
    expect_defect(Defect::kReadEarly, {}, false);
    expect_defect(Defect::kOneUnderWay, {}, false);
}

// Warp groups hand each other registers: each as a whole.
struct HandsRegistersOver : TestKernel<2 * kWarpGroup> {
    static constexpr const char* kName = "hands_registers_over";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(kThreads);
        s.store(thread_index(), 1.0f);
        if (thread_index() < kWarpGroup) {
            if (p.good || warp_index() != 2) give_up_registers<40>();  // @give
        } else {
            take_registers<208>();
        }
        s.store(thread_index(), 2.0f);
        sync_block();
        s.load(thread_index() ^ kWarpGroup);
    }
};
SIM_TEST(WarpGroups, registers_are_handed_over_by_whole_groups) {
    expect_detector<HandsRegistersOver>({2, 1, 1}, 4096, {}, {"give_up_registers", PLACE("give")});
}

struct LeftUnderWay : TestKernel<128, GroupParams> {
    static constexpr const char* kName = "left_under_way";
    static void run(const GroupParams& p) {
        using W = Wgmma<bf16, 16>;
        SharedArena arena;
        SharedTile<bf16, 64, 64> a;
        a.data = arena.take<bf16>(64 * 64, 1024);
        W::C c;
        wgmma_fence();
        wgmma<W>(c, a, 0, 0, a, 0, 0);  // @left
        wgmma_commit();
        if (p.defect == Defect::kNone) wgmma_wait<0>();
    }
};

SIM_TEST(WarpGroups, left_under_way) {
    expect_ok<LeftUnderWay>({1, 1, 1}, 8192, {});
    expect_caught<LeftUnderWay>({1, 1, 1}, 8192, {.defect = Defect::kNoWait},
                                {"the thread returns with a wgmma under way", PLACE("left")});
}

// One group of two only: the other does something else meanwhile.
struct OneGroup : TestKernel<256, GroupParams> {
    static constexpr const char* kName = "one_group";
    static void run(const GroupParams& p) {
        using W = Wgmma<bf16, 16>;
        SharedArena arena;
        SharedTile<bf16, 64, 64> a;
        a.data = arena.take<bf16>(64 * 64, 1024);
        for (int i = thread_index(); i < 64 * 64; i += 256) a.data.store(i, element<bf16>(1));
        fence_async_proxy();
        sync_block();
        if (thread_index() >= 128) {
            W::C c;
            wgmma_fence();
            wgmma<W>(c, a, 0, 0, a, 0, 0);
            wgmma_commit();
            wgmma_wait<0>();
            if (c.value[0] != 16.0f) Global<float>(p.data, 0).load(0);
        } else {
            for (int i = 0; i < 3; ++i) sync_warp();
        }
        sync_block();
    }
};

SIM_TEST(WarpGroups, one_group_of_two) {
    expect_ok<OneGroup>({3, 1, 1}, 8192, {});
}

}  // namespace warp_groups_tests
}  // namespace ADZE_TARGET
}  // namespace adze
