// Tiles of quantised keys and values: filled and read as operands without meeting a bank twice. What the operands hold is
// the device layer's test.
#include "device/async_copy.h"
#include "device/quantised.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace quantised_tests {

template <class Q, int kDims>
struct QuantisedBanks : TestKernel<64> {
    static constexpr const char* kName = "quantised_banks";
    using Tile = QuantisedTile<Q, 64, kDims>;
    using M = Mma<bf16>;
    using Keys = QuantisedKeys<M, Tile>;
    using Values = QuantisedValues<M, Tile>;
    static void run(const TestParams& p) {
        SharedArena arena;
        const Tile tile{arena.take<Q>(Tile::kElements, Tile::kAlignment)};
        const Global<const Q> rows(reinterpret_cast<const Q*>(p.data), Tile::kElements);
        for (int i = thread_index(); i < Tile::kChunks; i += kThreads) {
            const int row = Tile::chunk_row(i), column = Tile::chunk_column(i);
            copy_chunk_async(tile, row, column, rows, row * Tile::kColumns + column);
        }
        commit_copies();
        wait_copies<0>();
        if (p.good) sync_block();
        for (int n = 0; n < Tile::kRows; n += M::kN) {
            typename M::B b[Keys::kSteps];
            for (int i = 0; i < Keys::kLoads; ++i) Keys::load(tile, n, i, b);
        }
        for (int k = 0; k < Tile::kRows; k += M::kK) {
            typename M::B b[Values::kTiles];
            for (int i = 0; i < Values::kLoads; ++i) Values::load(tile, k, i, b);
        }
    }
};

template <class Q, int kDims>
void check_banks() {
    using K = QuantisedBanks<Q, kDims>;
    const sim_test::Array<float> data(K::Tile::kElements / sizeof(float), 0.0f);
    sim_test::Machine machine(kTarget.arch);
    const TestParams params{.data = data.data(), .count = static_cast<int64_t>(data.size())};
    ASSERT_EQ(outcome<K>(machine, {1, 1, 1}, K::Tile::kElements, params).status, ADZE_OK);
    EXPECT_EQ(machine.counters().shared_bank_conflicts, 0u) << "head_dim " << kDims << ": " << machine.counters();
    // Written once by the block, read once by each warp as keys and once as values, by loads of the widest that fit.
    constexpr uint64_t kTileBytes = K::Tile::kElements;
    constexpr uint64_t kKeyReads = kTileBytes / (kWarpSize * K::Keys::kLoadBytes);
    constexpr uint64_t kValueReads = kTileBytes / (kWarpSize == 64 ? 64 * 2 * K::Values::kUnits : 512);
    constexpr uint64_t kWarps = 64 / kWarpSize;
    EXPECT_EQ(machine.counters().shared_requests, kTileBytes / (kWarpSize * 16) + kWarps * (kKeyReads + kValueReads));
}

template <class Q>
void check_dims() {
    check_banks<Q, 64>();
    check_banks<Q, 128>();
    check_banks<Q, 192>();
    check_banks<Q, 256>();
}

SIM_TEST(Quantised, tiles_meet_no_bank_twice) {
    check_dims<e4m3>();
    check_dims<int8_t>();
    check_dims<int4x2>();
}

// Reads of operands are seen as any others.
template <class Q>
void check_barrier() {
    using K = QuantisedBanks<Q, 128>;
    const sim_test::Array<float> data(K::Tile::kElements / sizeof(float), 0.0f);
    expect_detector<K>({1, 1, 1}, K::Tile::kElements, {.data = data.data(), .count = static_cast<int64_t>(data.size())},
                       {"race", "quantised.cu"});
}

SIM_TEST(Quantised, reads_need_the_barrier) {
    if constexpr (kWarpSize == 32) {  // one wave of 64 lanes goes in step, but is not known to
        check_barrier<e4m3>();
        check_barrier<int4x2>();
    }
}

}  // namespace quantised_tests
}  // namespace ADZE_TARGET
}  // namespace adze
