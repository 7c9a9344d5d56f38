// Matrix instructions: who holds what, lane by lane, products, and the banks that loads of fragments meet.
#include <array>

#include "device/mma.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace matrices_tests {

struct Position {
    int row, column;
};

// The layouts as the documents give them, not as the simulator computes them.
//
// PTX ISA 8.x, 9.7.14, "Matrix Fragments for mma.m16n8k16 with floating point type", "... for mma.m16n8k32":
// groupID = %laneid >> 2, threadID_in_group = %laneid % 4.
template <int kElementBytes>
struct Documented {  // 2 bytes: m16n8k16
    static Position a(int lane, int i) {
        const int group = lane >> 2, thread = lane % 4;
        return {(i == 0 || i == 1 || i == 4 || i == 5) ? group : group + 8, thread * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
    }
    static Position b(int lane, int i) { return {lane % 4 * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2}; }
    static Position c(int lane, int i) { return {(lane >> 2) + (i < 2 ? 0 : 8), lane % 4 * 2 + (i & 1)}; }
};
template <>
struct Documented<1> {  // m16n8k32
    static Position a(int lane, int i) {
        const int group = lane >> 2, thread = lane % 4;
        return {(i < 4 || (i >= 8 && i < 12)) ? group : group + 8, thread * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
    }
    static Position b(int lane, int i) { return {lane % 4 * 4 + (i & 3) + (i >= 4 ? 16 : 0), lane >> 2}; }
    static Position c(int lane, int i) { return Documented<2>::c(lane, i); }
};
// AMD Instinct MI200 ISA, "Matrix Arithmetic Instructions": blocks of 4 k a lane, accumulators of 4 rows a lane.
struct DocumentedMfma16 {
    static Position a(int lane, int i) { return {lane % 16, 4 * (lane / 16) + i}; }
    static Position b(int lane, int i) { return {4 * (lane / 16) + i, lane % 16}; }
    static Position c(int lane, int i) { return {4 * (lane / 16) + i, lane % 16}; }
};
struct DocumentedMfma32 {
    static Position a(int lane, int i) { return {lane % 32, 4 * (lane / 32) + i}; }
    static Position b(int lane, int i) { return {4 * (lane / 32) + i, lane % 32}; }
    static Position c(int lane, int i) { return {8 * (i / 4) + 4 * (lane / 32) + i % 4, lane % 32}; }
};
template <class T>
using Document = std::conditional_t<kWarpSize == 64, DocumentedMfma16, Documented<sizeof(T)>>;

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
int product(int row, int column, int depth) {
    int sum = 0;
    for (int k = 0; k < depth; ++k) sum += number_a(row, k) * number_b(k, column);
    return sum;
}

// Lanes fill their fragments as documented, and give back what the fragments themselves say of their places.
template <class M, class D>
struct Fragments : TestKernel<64> {
    static constexpr const char* kName = "fragments";
    static void run(const TestParams& p) {
        using T = typename M::Element;
        const int lane = lane_index();
        typename M::A a;
        typename M::B b;
        typename M::C c;
        bool same = true;
        for (int i = 0; i < M::A::kCount; ++i) {
            const Position at = D::a(lane, i);
            a.value[i] = element<T>(number_a(at.row, at.column));
            same &= M::A::row(i) == at.row && M::A::column(i) == at.column;
        }
        for (int i = 0; i < M::B::kCount; ++i) {
            const Position at = D::b(lane, i);
            b.value[i] = element<T>(number_b(at.row, at.column));
            same &= M::B::row(i) == at.row && M::B::column(i) == at.column;
        }
        for (int i = 0; i < M::C::kCount; ++i) {
            const Position at = D::c(lane, i);
            same &= c.value[i] == 0 && M::C::row(i) == at.row && M::C::column(i) == at.column;
            same &= M::C::slot_row(M::C::slot(i)) == at.row;
            c.value[i] = static_cast<typename M::Acc>(100 * at.row + at.column);
        }
        mma<M>(c, a, b);
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < M::C::kCount; ++i) {
            const Position at = D::c(lane, i);
            const bool right = c.value[i] == 100 * at.row + at.column + product(at.row, at.column, M::kK);
            out.store(thread_index() * M::C::kCount + i, same && right ? 1.0f : 0.0f);
        }
        // Sums over rows: what lies in the columns of the row that the slot holds.
        for (int s = 0; s < M::C::kRows; ++s) {
            float sum = 0, expected = 0;
            for (int i = 0; i < M::C::kCount; ++i) {
                if (M::C::slot(i) == s) sum += static_cast<float>(c.value[i]);
            }
            sum = M::C::reduce_row(sum, Add{});
            const int row = M::C::slot_row(s);
            for (int j = 0; j < M::kN; ++j) expected += static_cast<float>(100 * row + j + product(row, j, M::kK));
            if (sum != expected) out.store(thread_index() * M::C::kCount, 0.0f);
        }
    }
};

template <class M, class D>
void check_fragments(std::array<int, 3> shape) {
    EXPECT_EQ((std::array{M::kM, M::kN, M::kK}), shape);
    const sim_test::Array<float> out(64 * M::C::kCount, 0.0f);
    expect_ok<Fragments<M, D>>({1, 1, 1}, 0, {.data = out.data(), .count = static_cast<int64_t>(out.size())});
    for (size_t i = 0; i < out.size(); ++i) {
        ASSERT_EQ(out[i], 1.0f) << "thread " << i / M::C::kCount << ", element " << i % M::C::kCount;
    }
}

SIM_TEST(Matrices, fragments_are_the_documented_ones) {
    constexpr bool kNvidia = kWarpSize == 32;
    const std::array<int, 3> half = kNvidia ? std::array{16, 8, 16} : std::array{16, 16, 16};
    check_fragments<Mma<bf16>, Document<bf16>>(half);
    check_fragments<Mma<f16>, Document<f16>>(half);
    check_fragments<Mma<int8_t>, Document<int8_t>>(kNvidia ? std::array{16, 8, 32} : half);
}

template <class T>
using MmaWideHere = std::conditional_t<kWarpSize == 64, MmaWide<T>, Mma<T>>;

template <class T>
void check_wide() {
    if constexpr (kWarpSize == 64) check_fragments<MmaWide<T>, DocumentedMfma32>({32, 32, 8});
}
template <class T>
void check_fp8() {
    if constexpr (kTarget.fp8_mma) check_fragments<Mma<T>, Document<T>>({16, 8, 32});
}

SIM_TEST(Matrices, wide_and_fp8_fragments_are_the_documented_ones) {
    check_wide<bf16>();
    check_wide<f16>();
    check_fp8<e4m3>();
    check_fp8<e5m2>();
    EXPECT_EQ(kTarget.fp8_mma, kTarget.arch == Arch::kSm89);
}

// C = A B by two warps, which take 2 x 2 instructions' worth each. A wrong layout: accumulators stored with their rows and
// columns taken for each other's.
template <class M, bool kRowsB, Swizzle kSwizzle>
struct Product : TestKernel<128> {
    static constexpr const char* kName = "product";
    using T = typename M::Element;
    static constexpr int kDepth = (kWarpSize == 64 ? 128 : 256) / static_cast<int>(sizeof(T)), kHigh = 2 * M::kM;
    static constexpr int kWide = kRowsB ? 64 : 4 * M::kN;
    using TileA = SharedTile<T, kHigh, kDepth, kSwizzle>;
    using TileB =
        std::conditional_t<kRowsB, SharedTile<T, kDepth, kWide, kSwizzle>, SharedTile<T, kWide, kDepth, kSwizzle>>;
    using TileC = SharedTile<float, kHigh, kWide, Swizzle::k16>;
    static constexpr int64_t kShared =
        (TileA::kElements + TileB::kElements) * static_cast<int64_t>(sizeof(T)) + TileC::kElements * 4 + 3 * 1024;
    static void run(const TestParams& p) {
        SharedArena arena;
        TileA a;
        a.data = arena.take<T>(TileA::kElements, TileA::kAlignment);
        TileB b;
        b.data = arena.take<T>(TileB::kElements, TileB::kAlignment);
        TileC c;
        c.data = arena.take<float>(TileC::kElements, TileC::kAlignment);
        for (int i = thread_index(); i < kHigh * kDepth; i += kThreads)
            a.data.store(TileA::index(i / kDepth, i % kDepth), element<T>(number_a(i / kDepth, i % kDepth)));
        for (int i = thread_index(); i < kWide * kDepth; i += kThreads) {
            const int n = i / kDepth, k = i % kDepth;
            b.data.store(kRowsB ? TileB::index(k, n) : TileB::index(n, k), element<T>(number_b(k, n)));
        }
        sync_block();
        const int warps = kThreads / kWarpSize;
        for (int tile = warp_index(); tile < kHigh / M::kM * (kWide / M::kN); tile += warps) {
            const int row = tile % 2 * M::kM, column = tile / 2 * M::kN;
            typename M::C sum;
            for (int k = 0; k < kDepth; k += M::kK) {
                if constexpr (kRowsB) {
                    mma<M>(sum, load_a<M>(a, row, k), load_b_rows<M>(b, k, column));
                } else {
                    mma<M>(sum, load_a<M>(a, row, k), load_b<M>(b, column, k));
                }
            }
            if (p.good) {
                store_c<M>(c, row, column, sum);
            } else {
                for (int i = 0; i < M::C::kCount; ++i) {
                    c.data.store(TileC::index(row + M::C::column(i), column + M::C::row(i) % M::kN),
                                 static_cast<float>(sum.value[i]));
                    sync_warp();
                }
            }
        }
        sync_block();
        const Global<float> out(p.data, p.count);
        for (int i = thread_index(); i < kHigh * kWide; i += kThreads)
            out.store(i, c.data.load(TileC::index(i / kWide, i % kWide)));
    }
};

template <class K>
int count_wrong(const sim_test::Array<float>& out) {
    int wrong = 0;
    for (int i = 0; i < K::kHigh * K::kWide; ++i) {
        const auto expected = static_cast<float>(product(i / K::kWide, i % K::kWide, K::kDepth));
        wrong += out[static_cast<size_t>(i)] == expected ? 0 : 1;
    }
    return wrong;
}

template <class M, bool kRowsB, Swizzle kSwizzle = Swizzle::k128>
void check_product() {
    using K = Product<M, kRowsB, kSwizzle>;
    const sim_test::Array<float> out(K::kHigh * K::kWide, -1.0f);
    const TestParams params{.data = out.data(), .count = static_cast<int64_t>(out.size())};
    expect_ok<K>({1, 1, 1}, K::kShared, params);
    EXPECT_EQ(count_wrong<K>(out), 0);
}

SIM_TEST(Matrices, products_are_exact) {
    check_product<Mma<bf16>, false>();
    check_product<Mma<bf16>, true>();
    check_product<Mma<f16>, false, Swizzle::k64>();
    check_product<Mma<f16>, true, Swizzle::k16>();
    check_product<Mma<int8_t>, false>();
    if constexpr (kTarget.fp8_mma) {
        check_product<Mma<std::conditional_t<kTarget.fp8_mma, e4m3, bf16>>, false>();
        check_product<Mma<std::conditional_t<kTarget.fp8_mma, e5m2, bf16>>, false, Swizzle::k32>();
    }
    if constexpr (kWarpSize == 64) {
        check_product<MmaWideHere<bf16>, false>();
        check_product<MmaWideHere<f16>, true>();
    }
}

// MIOpen's documentation, "MI200 MFMA behavior specifics": gfx90a takes subnormal 16-bit
// numbers as zero, and gives none.
struct SmallParams {
    float a, b, c;
    float* data;
};

template <class T>
struct SmallNumbers : TestKernel<64, SmallParams> {
    static constexpr const char* kName = "small_numbers";
    static void run(const SmallParams& p) {
        using M = Mma<T>;
        typename M::A a{};
        typename M::B b{};
        typename M::C c;
        for (int i = 0; i < M::A::kCount; ++i) a.value[i] = round_to<T>(M::A::column(i) == 3 ? p.a : 0.0f);
        for (int i = 0; i < M::B::kCount; ++i) b.value[i] = round_to<T>(M::B::row(i) == 3 ? p.b : 0.0f);
        for (auto& x : c.value) x = p.c;
        mma<M>(c, a, b);
        Global<float>(p.data, 64).store(thread_index(), c.value[0]);
    }
};

template <class T>
void check_small_number(float a, float b, float c, float expected_of_mfma) {
    const sim_test::Array<float> out(64, -1.0f);
    expect_ok<SmallNumbers<T>>({1, 1, 1}, 0, {a, b, c, out.data()});
    for (const float value : out) EXPECT_EQ(value, kWarpSize == 64 ? expected_of_mfma : a * b + c) << a << ' ' << b;
}

SIM_TEST(Matrices, small_numbers_are_zero_on_gfx90a) {
    check_small_number<f16>(0x1p-14f, 2, 1, 1 + 0x1p-13f);
    check_small_number<f16>(0x1p-15f, 2, 1, 1);
    check_small_number<f16>(2, -0x1.8p-15f, 1, 1);
    check_small_number<bf16>(0x1p-15f, 2, 1, 1 + 0x1p-14f);
    check_small_number<bf16>(0x1p-127f, 0x1p100f, 0, 0);
    check_small_number<bf16>(0x1p-100f, 0x1p-30f, 0, 0);  // the sum
    check_small_number<bf16>(0x1p-100f, 0x1p-26f, 0, 0x1p-126f);
}

SIM_TEST(Matrices, a_wrong_layout_gives_a_wrong_product) {
    using K = Product<Mma<bf16>, false, Swizzle::k128>;
    const sim_test::Array<float> out(K::kHigh * K::kWide, -1.0f);
    TestParams params{.data = out.data(), .count = static_cast<int64_t>(out.size())};
    for (const sim_test::Way& way : sim_test::every_way()) {
        sim_test::Machine machine(kTarget.arch, way);
        params.good = false;
        const auto got = outcome<K>(machine, {1, 1, 1}, K::kShared, params);
        EXPECT_TRUE(got.status != ADZE_OK || count_wrong<K>(out) > 0) << way.name();
        params.good = true;
        EXPECT_EQ(outcome<K>(machine, {1, 1, 1}, K::kShared, params).status, ADZE_OK);
        EXPECT_EQ(count_wrong<K>(out), 0) << way.name();
    }
}

// (A B) V with A B rounded and handed over in registers.
template <class M>
struct Chained : TestKernel<64> {
    static constexpr const char* kName = "chained";
    static void run(const TestParams& p) {
        using T = typename M::Element;
        constexpr int kParts = M::kK / M::kN;
        SharedArena arena;
        SharedTile<T, M::kK, 64> v;
        v.data = arena.take<T>(M::kK * 64, 1024);
        for (int i = thread_index(); i < M::kK * 64; i += kThreads)
            v.data.store(v.index(i / 64, i % 64), element<T>(number_b(i % 64, i / 64) % 2));
        sync_block();
        typename M::C s[kParts];
        for (int part = 0; part < kParts; ++part) {
            for (int i = 0; i < M::C::kCount; ++i)
                s[part].value[i] = static_cast<float>(number_a(M::C::row(i), part * M::kN + M::C::column(i)));
        }
        const typename M::A a = as_operand<M>(s);
        typename M::C o;
        mma<M>(o, a, load_b_rows<M>(v, 0, M::kN));
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < M::C::kCount; ++i) {
            float expected = 0;
            for (int k = 0; k < M::kK; ++k)
                expected += static_cast<float>(number_a(M::C::row(i), k) * (number_b(M::kN + M::C::column(i), k) % 2));
            out.store(thread_index() * M::C::kCount + i, o.value[i] == expected ? 1.0f : 0.0f);
        }
    }
};

SIM_TEST(Matrices, accumulators_become_operands) {
    const auto check = [&]<class M>(M) {
        const sim_test::Array<float> out(64 * M::C::kCount, 0.0f);
        expect_ok<Chained<M>>({1, 1, 1}, 16384, {.data = out.data(), .count = static_cast<int64_t>(out.size())});
        for (const float value : out) ASSERT_EQ(value, 1.0f);
    };
    check(Mma<bf16>{});
    check(Mma<f16>{});
}

// What the banks see of loading fragments.
template <class M, Swizzle kSwizzle, int kWhich>
struct Banks : TestKernel<64> {
    static constexpr const char* kName = "banks";
    using T = typename M::Element;
    using Tile = SharedTile<T, 64, 128 / static_cast<int>(sizeof(T)), kSwizzle>;
    static void run(const TestParams&) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<T>(Tile::kElements, Tile::kAlignment);
        for (int at = 0; at < Tile::kColumns; at += M::kK) {
            if constexpr (kWhich == 0) load_a<M>(tile, 16, at);
            if constexpr (kWhich == 1) load_b<M>(tile, 8, at);
            if constexpr (kWhich == 2) load_b_rows<M>(tile, 16, at);
        }
    }
};

template <class K>
sim::Counters count_banks() {
    sim_test::Machine machine(kTarget.arch);
    EXPECT_EQ(
        outcome<K>(machine, {1, 1, 1}, K::Tile::kElements * static_cast<int64_t>(sizeof(typename K::T)), {}).status,
        ADZE_OK);
    return machine.counters();
}

// Rows of 128 bytes: 8 of them in a bank each time, unless swizzled. Loads of A read 32 such rows, of B 16.
SIM_TEST(Matrices, swizzled_tiles_meet_no_bank_twice) {
    if constexpr (kWarpSize == 32) {
        const auto check = [&]<class M>(M, uint64_t loads) {
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k128, 0>>().shared_bank_conflicts), 0u);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k128, 1>>().shared_bank_conflicts), 0u);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k128, 0>>().shared_requests), 2 * loads);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k16, 0>>().shared_bank_conflicts), 2 * loads * 4 * 7);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k16, 1>>().shared_bank_conflicts), 2 * loads * 2 * 7);
        };
        check(Mma<bf16>{}, 4);
        check(Mma<f16>{}, 4);
        check(Mma<int8_t>{}, 4);
        EXPECT_EQ((count_banks<Banks<Mma<bf16>, Swizzle::k128, 2>>().shared_bank_conflicts), 0u);
        EXPECT_EQ((count_banks<Banks<Mma<bf16>, Swizzle::k16, 2>>().shared_bank_conflicts), 2u * 4 * 2 * 7);
    } else {
        // 16 lanes at a time stand in one column of 16 rows.
        const auto check = [&]<class M>(M) {
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k128, 0>>().shared_bank_conflicts), 0u);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k128, 1>>().shared_bank_conflicts), 0u);
            EXPECT_EQ((count_banks<Banks<M, Swizzle::k64, 0>>().shared_bank_conflicts), 0u);
            EXPECT_GT((count_banks<Banks<M, Swizzle::k16, 0>>().shared_bank_conflicts), 0u);
        };
        check(Mma<bf16>{});
        check(Mma<f16>{});
        check(Mma<int8_t>{});
        check(MmaWideHere<bf16>{});
        EXPECT_EQ((count_banks<Banks<Mma<bf16>, Swizzle::k128, 2>>().shared_bank_conflicts), 0u);
        // 8 bytes of 16 rows, 128 bytes apart: 15 too many in each of 4 passes, of two warps and 4 loads.
        EXPECT_EQ((count_banks<Banks<Mma<bf16>, Swizzle::k16, 0>>().shared_bank_conflicts), 4u * 15 * 4);
    }
}

// Reads of operands are held against another warp's stores.
template <int kWhich>
struct OperandsNeedTheBarrier : TestKernel<2 * kWarpSize> {
    static constexpr const char* kName = "operands_need_the_barrier";
    using M = Mma<bf16>;
    using Tile = SharedTile<bf16, 64, 64>;
    static void run(const TestParams& p) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<bf16>(Tile::kElements, Tile::kAlignment);
        if (warp_index() == 1) {
            for (int i = lane_index() * Tile::kChunk; i < Tile::kElements; i += kWarpSize * Tile::kChunk)
                tile.store_chunk(i / Tile::kColumns, i % Tile::kColumns, {});
        }
        if (p.good) sync_block();
        if (warp_index() == 1) return;
        if constexpr (kWhich == 0) load_a<M>(tile, 16, 16);       // @operand a
        if constexpr (kWhich == 1) load_b<M>(tile, 16, 16);       // @operand b
        if constexpr (kWhich == 2) load_b_rows<M>(tile, 16, 16);  // @operand rows
    }
};

SIM_TEST(Matrices, operands_need_the_barrier) {
    constexpr int64_t kBytes = OperandsNeedTheBarrier<0>::Tile::kElements * 2;
    expect_detector<OperandsNeedTheBarrier<0>>({2, 1, 1}, kBytes, {}, {"race: ", PLACE("operand a")});
    expect_detector<OperandsNeedTheBarrier<1>>({2, 1, 1}, kBytes, {}, {"race: ", PLACE("operand b")});
    expect_detector<OperandsNeedTheBarrier<2>>({2, 1, 1}, kBytes, {}, {"race: ", PLACE("operand rows")});
}

// Chunks of 16 bytes go where their elements are looked for, and come back.
template <class T, Swizzle kSwizzle>
struct Chunks : TestKernel<64> {
    static constexpr const char* kName = "chunks";
    using Tile = SharedTile<T, 32, 128 / static_cast<int>(sizeof(T)), kSwizzle>;
    static void run(const TestParams& p) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<T>(Tile::kElements, Tile::kAlignment);
        typename Tile::Chunk chunk;
        bool same = true;
        for (int i = thread_index() * Tile::kChunk; i < Tile::kElements; i += kThreads * Tile::kChunk) {
            for (int j = 0; j < Tile::kChunk; ++j) chunk[j] = element<T>((i + j) % 61);
            tile.store_chunk(i / Tile::kColumns, i % Tile::kColumns, chunk);
        }
        sync_block();
        for (int i = thread_index() * Tile::kChunk; i < Tile::kElements; i += kThreads * Tile::kChunk) {
            chunk = tile.load_chunk(i / Tile::kColumns, i % Tile::kColumns);
            for (int j = 0; j < Tile::kChunk; ++j) {
                const T alone = tile.data.load(Tile::index((i + j) / Tile::kColumns, (i + j) % Tile::kColumns));
                same &= sim::widen(alone) == (i + j) % 61 && sim::widen(chunk[j]) == (i + j) % 61;
            }
        }
        Global<float>(p.data, 64).store(thread_index(), same ? 1.0f : 0.0f);
    }
};

template <class T, Swizzle kSwizzle>
void check_chunks() {
    const sim_test::Array<float> out(64, 0.0f);
    expect_ok<Chunks<T, kSwizzle>>({1, 1, 1}, 8192, {.data = out.data(), .count = 64});
    for (const float value : out) ASSERT_EQ(value, 1.0f);
}

SIM_TEST(Matrices, chunks_lie_where_their_elements_do) {
    check_chunks<bf16, Swizzle::k128>();
    check_chunks<bf16, Swizzle::k16>();
    check_chunks<int8_t, Swizzle::k128>();
    check_chunks<int8_t, Swizzle::k64>();
}

SIM_TEST(Matrices, instructions_are_counted) {
    using K = Product<Mma<bf16>, false, Swizzle::k128>;
    const sim_test::Array<float> out(K::kHigh * K::kWide, -1.0f);
    const TestParams params{.data = out.data(), .count = static_cast<int64_t>(out.size())};
    for (const sim_test::Way& way : sim_test::every_way_and_threads()) {
        sim_test::Machine machine(kTarget.arch, way);
        ASSERT_EQ(outcome<K>(machine, {7, 1, 1}, K::kShared, params).status, ADZE_OK);
        EXPECT_EQ(machine.counters().matrix_multiply_adds, 7u * K::kHigh * K::kWide * K::kDepth);
        EXPECT_EQ(machine.counters().matrix_instructions, 7u * 2 * 4 * K::kDepth / Mma<bf16>::kK);
    }
}

}  // namespace matrices_tests
}  // namespace ADZE_TARGET
}  // namespace adze
