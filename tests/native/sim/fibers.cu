// Stacks of simulated threads.
#include <errno.h>

#include <cstdlib>
#include <cstring>

#include "device/sim/fiber.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace fibers_tests {

// Depths in steps of 1 KiB.
[[gnu::noinline]] int descend(int depth, int mark) {
    volatile char frame[1024];
    frame[0] = static_cast<char>(mark);
    frame[sizeof frame - 1] = static_cast<char>(depth);
    const int below = depth == 0 ? 0 : descend(depth - 1, mark);
    return below + (frame[0] == static_cast<char>(mark) && frame[sizeof frame - 1] == static_cast<char>(depth) ? 1 : 0);
}

struct DeepParams {
    int depth = 0;
    float* data = nullptr;
};

struct Deep : TestKernel<128, DeepParams> {
    static constexpr const char* kName = "deep";
    static void run(const Params& p) {
        volatile char marks[16 << 10];
        for (size_t i = 0; i < sizeof marks; i += 64) marks[i] = static_cast<char>(thread_index());
        sync_block();  // the neighbours use their stacks, too
        const int found = descend(p.depth, thread_index());
        sync_block();
        bool same = found == p.depth + 1;
        for (size_t i = 0; i < sizeof marks; i += 64) same &= marks[i] == static_cast<char>(thread_index());
        Global<float>(p.data, 128).store(thread_index(), same ? 1.0f : 0.0f);
    }
};

SIM_TEST(Fibers, have_stacks_of_their_own) {
    const sim_test::Array<float> out(128, 0.0f);
    expect_ok<Deep>({2, 1, 1}, 0, {.depth = 40, .data = out.data()});
    for (const float value : out) EXPECT_EQ(value, 1.0f);
}

SIM_TEST(Fibers, meet_a_guard_page_beyond_their_stacks) {
    const sim_test::Array<float> out(128, 0.0f);
    EXPECT_DEATH(
        {
            sim_test::Machine machine(kTarget.arch);
            outcome<Deep>(machine, {1, 1, 1}, 0, {.depth = 110, .data = out.data()});
        },
        "");
}

#if defined(__SANITIZE_ADDRESS__)

[[gnu::noinline]] void write_at(volatile char* frame, int index) {
    frame[index] = 1;
}

struct WritesBeyond : TestKernel<64, DeepParams> {
    static constexpr const char* kName = "writes_beyond";
    static void run(const Params& p) {
        volatile char frame[16] = {};
        sync_block();  // so that others ran meanwhile
        if (thread_index() == 40) write_at(frame, p.depth);
    }
};

// Unless it is told of each switch, it takes a fiber's stack for wild memory.
SIM_TEST(Fibers, show_the_address_sanitizer_their_stacks) {
    if (std::strcmp(sim::fiber_implementation(), "ucontext") == 0)
        GTEST_SKIP() << "its swapcontext() forgets red zones";
    expect_ok<WritesBeyond>({2, 1, 1}, 0, {.depth = 15});
    EXPECT_DEATH(expect_ok<WritesBeyond>({1, 1, 1}, 0, {.depth = 16}),
                 "stack-buffer-overflow.*is located in stack of thread.*'frame'.*<== Memory access");
}

#endif

SIM_TEST(Fibers, are_those_of_the_executable) {
    const bool is_ucontext = std::strstr(program_invocation_short_name, "ucontext") != nullptr;
    if (is_ucontext) {
        EXPECT_STREQ(sim::fiber_implementation(), "ucontext");
    } else if (std::getenv("CI") != nullptr) {  // where .ci/toolchains has seen to it
        EXPECT_STREQ(sim::fiber_implementation(), "Boost.Context");
    }
}

}  // namespace fibers_tests
}  // namespace ADZE_TARGET
}  // namespace adze
