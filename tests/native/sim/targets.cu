// Each simulated device runs a body of its own, though they lie in one program.
#include <cstring>

#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {

// Not in a nameless namespace: without the target's own, the linker would keep one body of the four.
template <class T>
struct WriteTarget : TestKernel<64> {
    static constexpr const char* kName = "write_target";
    static void run(const TestParams& p) {
        const Global<T> out(p.data, p.count);
        if (thread_index() == 0) out.store(0, static_cast<T>(kTarget.arch));
        if (thread_index() == 1) out.store(1, static_cast<T>(kWarpSize));
        if (thread_index() == 2) out.store(2, static_cast<T>(block_threads() / kWarpSize));
    }
};

template struct WriteTarget<float>;

SIM_TEST(Targets, run_bodies_of_their_own) {
    const sim_test::Array<float> out(3, 0.0f);
    expect_ok<WriteTarget<float>>({2, 1, 1}, 0, {.data = out.data(), .count = 3});
    EXPECT_EQ(out[0], static_cast<float>(Arch::ADZE_SIM_ARCH));
    EXPECT_EQ(out[1], kArch == Arch::kGfx90a ? 64.0f : 32.0f);
    EXPECT_EQ(out[2], kArch == Arch::kGfx90a ? 1.0f : 2.0f);
    const sim_test::Machine machine(kTarget.arch);
    EXPECT_EQ(machine.device().warp_size, kWarpSize);
    EXPECT_NE(std::strstr(ADZE_QUOTE(ADZE_SIM_TARGET), machine.device().architecture), nullptr);
}

struct OnlyElsewhere : TestKernel<64> {
    static constexpr const char* kName = "only_elsewhere";
    static constexpr bool runs_on(Arch arch) { return arch != kTarget.arch; }
    static void run(const TestParams&) {}
};

SIM_TEST(Targets, without_code_are_refused) {
    sim_test::Machine machine(kTarget.arch);
    const auto got = outcome<OnlyElsewhere>(machine, {1, 1, 1}, 0, {});
    EXPECT_EQ(got.status, ADZE_ERROR_NOT_SUPPORTED);
    sim_test::expect_in(got.message, {"kernel only_elsewhere has no code for ", machine.device().architecture}, "");
}

struct Anything : TestKernel<1024> {
    static constexpr const char* kName = "anything";
    static void run(const TestParams&) { sync_block(); }
};

SIM_TEST(Targets, refuse_grids_beyond_the_limits) {
    sim_test::Machine machine(kTarget.arch);
    EXPECT_EQ(outcome<Anything>(machine, {0, 1, 1}, 0, {}).status, ADZE_OK);
    EXPECT_EQ(outcome<Anything>(machine, {1, 3, 2}, 0, {}).status, ADZE_OK);
    EXPECT_EQ(machine.counters().block_barriers, 6u);
    const auto got = outcome<Anything>(machine, {1, 65536, 1}, 0, {});
    EXPECT_EQ(got.status, ADZE_ERROR_NOT_SUPPORTED);
    sim_test::expect_in(got.message, {"kernel anything: a grid of 1 x 65536 x 1 blocks"}, "");
    // 2^32 threads and more, which HIP refuses, and CUDA does not.
    const int64_t most = kWarpSize == 64 ? (int64_t{1} << 32) / Anything::kThreads : int64_t{1} << 31;
    const auto wide = outcome<Anything>(machine, {most, 1, 1}, 0, {});
    EXPECT_EQ(wide.status, ADZE_ERROR_NOT_SUPPORTED);
    sim_test::expect_in(wide.message, {"a grid of " + std::to_string(most) + " x 1 x 1 blocks; allowed is "}, "");
}

}  // namespace ADZE_TARGET
}  // namespace adze
