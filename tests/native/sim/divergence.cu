// Barriers and collectives that not all reach, blocks that wait for each other, and kernels that may overlap.
#include "device/atomic.h"
#include "device/dependent_launch.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace divergence_tests {

struct LanesReturn : TestKernel<128> {
    static constexpr const char* kName = "lanes_return";
    static void run(const Params& p) {
        if (!p.good && thread_index() == 70) return;
        sync_block();  // @lanes_return
    }
};

SIM_TEST(Divergence, lanes_return_before_the_barrier) {
    expect_detector<LanesReturn>({3, 1, 1}, 0, {},
                                 {"barrier in a divergent branch: thread 70 has returned, thread ",
                                  " is in sync_block (" + PLACE("lanes_return")});
}

struct OtherBarrier : TestKernel<128> {
    static constexpr const char* kName = "other_barrier";
    static void run(const Params& p) {
        if (p.good || thread_index() < 100) {
            sync_block();  // @one
        } else {
            sync_block();  // @other
        }
    }
};

SIM_TEST(Divergence, lanes_at_another_barrier) {
    expect_detector<OtherBarrier>(
        {2, 1, 1}, 0, {},
        {"barrier in a divergent branch: thread ", " is in sync_block at ", PLACE("one"), PLACE("other")});
}

// Only the lower half of the block comes to the barrier; the others wait for their warp.
struct HalfAtBarrier : TestKernel<128> {
    static constexpr const char* kName = "half_at_barrier";
    static void run(const Params& p) {
        if (p.good || lane_index() % 2 == 0) {
            sync_block();  // @half block
        } else {
            sync_warp();  // @half warp
        }
    }
};

SIM_TEST(Divergence, a_deadlock_is_reported_with_where_each_thread_stands) {
    expect_detector<HalfAtBarrier>({2, 1, 1}, 0, {},
                                   {"deadlock: threads ", "wait in sync_block at " + PLACE("half block"),
                                    "wait in sync_warp at " + PLACE("half warp")});
}

struct PartOfWarp : TestKernel<64> {
    static constexpr const char* kName = "part_of_warp";
    static void run(const Params& p) {
        if (!p.good && lane_index() == 3) return;
        shuffle_xor(1.0f, 1);  // @part
    }
};

SIM_TEST(Divergence, a_shuffle_without_all_lanes) {
    // Whether the lane has returned when the others come depends on the order of threads.
    PartOfWarp::Params params;
    expect_ok<PartOfWarp>({2, 1, 1}, 0, params);
    params.good = false;
    expect_caught<PartOfWarp>({2, 1, 1}, 0, params, {"shuffle_xor", PLACE("part")});
}

struct CollectivesApart : TestKernel<64> {
    static constexpr const char* kName = "collectives_apart";
    static void run(const Params& p) {
        if (p.good || lane_index() < 7) {
            ballot(true);  // @apart one
        } else {
            ballot(false);  // @apart other
        }
    }
};

SIM_TEST(Divergence, collectives_at_different_places) {
    expect_detector<CollectivesApart>(
        {2, 1, 1}, 0, {},
        {"ballot, while other lanes of the warp are in ballot at ", PLACE("apart one"), PLACE("apart other")});
}

struct WidthsApart : TestKernel<64> {
    static constexpr const char* kName = "widths_apart";
    static void run(const Params& p) {
        reduce(1.0f, Add{}, p.good || lane_index() < 7 ? 8 : 4);  // @widths
    }
};

SIM_TEST(Divergence, reductions_of_different_widths) {
    expect_detector<WidthsApart>({2, 1, 1}, 0, {}, {"name different widths or strides", PLACE("widths")});
}

// Collectives in a branch that whole warps take are fine, and give what they should.
struct BranchOfWarps : TestKernel<128> {
    static constexpr const char* kName = "branch_of_warps";
    static void run(const Params& p) {
        float value = 0;
        if (warp_index() == 1) {
            value = reduce(static_cast<float>(lane_index()), Add{});
        } else {
            value = static_cast<float>(shuffle(thread_index(), 5));
        }
        const LaneMask odd = ballot(lane_index() % 2 == 1);
        if (odd != static_cast<LaneMask>(0xaaaaaaaaaaaaaaaaull)) value = -1;
        const uint64_t wide = shuffle_xor(uint64_t{1} << lane_index(), 3);
        if (wide != uint64_t{1} << (lane_index() ^ 3)) value = -2;
        const float quarters = reduce(1.0f, Add{}, 4, kWarpSize / 4);
        if (quarters != 4.0f) value = -3;
        Global<float>(p.data, p.count).store(thread_index(), value);
    }
};

SIM_TEST(Divergence, none_in_branches_of_whole_warps) {
    const sim_test::Array<float> out(128);
    expect_ok<BranchOfWarps>({2, 1, 1}, 0, {.data = out.data(), .count = 128});
    for (int i = 0; i < 128; ++i) {
        const int warp = i / kWarpSize;
        const int expected = warp == 1 ? kWarpSize * (kWarpSize - 1) / 2 : warp * kWarpSize + 5;
        EXPECT_EQ(out[static_cast<size_t>(i)], static_cast<float>(expected));
    }
}

// What GPUs run, exchange after exchange, gives the bits of the simulator's one meeting.
struct BothWaysToReduce : TestKernel<128> {
    static constexpr const char* kName = "both_ways_to_reduce";
    static void run(const Params& p) {
        const float x = (thread_index() % 3 == 0 ? -1.0f : 1.0f) / static_cast<float>(1 + thread_index() * 7 % 128);
        float wrong = 0;
        const auto compare = [&wrong](auto value, auto op, int width, int stride) {
            const auto one = reduce(value, op, width, stride), other = reduce_by_exchanges(value, op, width, stride);
            if (std::memcmp(&one, &other, sizeof one) != 0) ++wrong;
        };
        for (int stride = 1; stride <= kWarpSize; stride *= 2) {
            for (int width = 1; width * stride <= kWarpSize; width *= 2) {
                compare(x, Add{}, width, stride);
                compare(x, Max{}, width, stride);
                compare(uint64_t{1} << thread_index() % 64, Add{}, width, stride);
            }
        }
        Global<float>(p.data, p.count).store(thread_index(), wrong);
    }
};

SIM_TEST(Divergence, both_ways_to_reduce_agree) {
    const sim_test::Array<float> out(128);
    for (int i = 0; i < 128; ++i) out.data()[i] = -1;
    expect_ok<BothWaysToReduce>({1, 1, 1}, 0, {.data = out.data(), .count = 128});
    for (size_t i = 0; i < 128; ++i) EXPECT_EQ(out[i], 0) << i;
}

// Flags between blocks.

struct FlagParams {
    bool good = true;
    uint32_t* flags = nullptr;
    int64_t count = 0;
    bool backwards = false;  // block i waits for block i + 1, not i - 1
};

struct Chain : TestKernel<64, FlagParams> {
    static constexpr const char* kName = "chain";
    static void run(const Params& p) {
        const Global<uint32_t> flags(p.flags, p.count);
        const int64_t block = block_index().x, before = p.backwards ? block + 1 : block - 1;
        if (thread_index() == 0 && before >= 0 && before < p.count) {
            while (true) {
                if (load_acquire(flags, before) != 0) break;  // @chain
            }
        }
        sync_block();
        if (thread_index() == 0 && p.good) store_release(flags, block, 1);
    }
};

SIM_TEST(Divergence, a_flag_that_nobody_sets) {
    const sim_test::Array<uint32_t> flags(3, 0);
    for (const sim_test::Way& way : sim_test::every_way()) {
        for (uint32_t& flag : flags) flag = 0;
        sim_test::Machine machine(kTarget.arch, way);
        FlagParams params{.good = true, .flags = flags.data(), .count = 3};
        auto got = outcome<Chain>(machine, {3, 1, 1}, 0, params);
        EXPECT_EQ(got.status, ADZE_OK) << way.name() << ": " << got.message;
        for (uint32_t& flag : flags) flag = 0;
        params.good = false;
        got = outcome<Chain>(machine, {3, 1, 1}, 0, params);
        EXPECT_EQ(got.status, ADZE_ERROR_DEVICE);
        sim_test::expect_in(got.message,
                            {"chain on sim device ", "block (1, 0, 0)", "wait for another block for too long",
                             "0 wait in load_acquire at " + PLACE("chain"), "wait in sync_block at"},
                            way.name());
    }
}

// Whoever waits for a later block needs it resident.
SIM_TEST(Divergence, few_and_many_resident_blocks_differ) {
    const sim_test::Array<uint32_t> flags(4, 0);
    for (const sim_test::Way& way : sim_test::every_way()) {
        for (uint32_t& flag : flags) flag = 0;
        sim_test::Machine machine(kTarget.arch, way);
        const auto got = outcome<Chain>(machine, {4, 1, 1}, 0, {.flags = flags.data(), .count = 4, .backwards = true});
        EXPECT_EQ(got.status, way.options.resident >= 4 ? ADZE_OK : ADZE_ERROR_DEVICE) << way.name() << got.message;
    }
}

// Kernels that may overlap with the one before.

struct Overlapping : TestKernel<64> {
    static constexpr const char* kName = "overlapping";
    static constexpr bool kOverlaps = true;
    static void run(const Params& p) {
        const Global<float> data(p.data, p.count);
        if (p.good) wait_for_previous_kernel();
        data.store(thread_index(), 1.0f);  // @overlapping
        wait_for_previous_kernel();
        allow_next_kernel();
    }
};

SIM_TEST(Divergence, an_access_before_the_previous_kernel_has_ended) {
    const sim_test::Array<float> data(64);
    expect_detector<Overlapping>({2, 1, 1}, 0, {.data = data.data(), .count = 64},
                                 {"an access to global memory before wait_for_previous_kernel", PLACE("overlapping")});
}

struct NeverWaits : TestKernel<64> {
    static constexpr const char* kName = "never_waits";
    static constexpr bool kOverlaps = true;
    static void run(const Params& p) {
        if (p.good && block_index().x == 1 && thread_index() == 0) wait_for_previous_kernel();
    }
};

SIM_TEST(Divergence, a_kernel_that_may_end_before_the_previous_one) {
    expect_ok<NeverWaits>({2, 1, 1}, 0, {});
    for (const sim_test::Way& way : sim_test::every_way()) {
        sim_test::Machine machine(kTarget.arch, way);
        const auto got = outcome<NeverWaits>(machine, {2, 1, 1}, 0, {.good = false});
        EXPECT_EQ(got.status, ADZE_ERROR_DEVICE) << way.name();
        sim_test::expect_in(
            got.message, {"never_waits on sim device ", "no thread has called wait_for_previous_kernel"}, way.name());
    }
}

struct OverlappingAcquire : TestKernel<64, FlagParams> {
    static constexpr const char* kName = "overlapping_acquire";
    static constexpr bool kOverlaps = true;
    static void run(const Params& p) {
        const Global<uint32_t> flags(p.flags, p.count);
        if (p.good) wait_for_previous_kernel();
        load_acquire(flags, 0);  // @acquire
        wait_for_previous_kernel();
    }
};

SIM_TEST(Divergence, a_flag_read_before_the_previous_kernel_has_ended) {
    const sim_test::Array<uint32_t> flags(1, 0);
    expect_detector<OverlappingAcquire>({2, 1, 1}, 0, {.flags = flags.data(), .count = 1},
                                        {"before wait_for_previous_kernel", PLACE("acquire")});
}

}  // namespace divergence_tests
}  // namespace ADZE_TARGET
}  // namespace adze
