// Copies from global to shared memory that must be waited for.
#include <cmath>

#include "device/async_copy.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace async_copies_tests {

constexpr int64_t kShared = 8192;

struct MissingWait : TestKernel<128> {
    static constexpr const char* kName = "missing_wait";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(512);
        const Global<const float> in(p.data, p.count);
        const int at = 4 * thread_index();
        copy_async<4>(s, at, in, at);  // @missing_wait copy
        commit_copies();
        if (p.good) wait_copies<0>();
        const float got = s.load(at);  // @missing_wait read
        if (p.good && got != 3.0f) in.load(-1);
        wait_copies<0>();
    }
};

SIM_TEST(AsyncCopies, missing_wait) {
    const sim_test::Array<float> data(512, 3.0f);
    expect_detector<MissingWait>({3, 1, 1}, kShared, {.data = data.data(), .count = 512},
                                 {"race: read of shared memory", "the asynchronous copy by thread ",
                                  "has not been waited for", PLACE("missing_wait copy"), PLACE("missing_wait read")});
}

// Waiting is each thread's own affair: others need a barrier behind it.
struct MissingBarrier : TestKernel<128> {
    static constexpr const char* kName = "missing_barrier";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(512);
        const Global<const float> in(p.data, p.count);
        copy_async<4>(s, 4 * thread_index(), in, 4 * thread_index());  // @missing_barrier copy
        commit_copies();
        wait_copies<0>();
        if (p.good) sync_block();
        s.load((4 * thread_index() + 64) % 512);  // @missing_barrier read
    }
};

SIM_TEST(AsyncCopies, missing_barrier_behind_the_wait) {
    const sim_test::Array<float> data(512, 3.0f);
    expect_detector<MissingBarrier>(
        {3, 1, 1}, kShared, {.data = data.data(), .count = 512},
        {"race: ", "no barrier between them", PLACE("missing_barrier copy"), PLACE("missing_barrier read")});
}

// Three stages; one group too many left under way is one stage too early.
struct WrongGroups : TestKernel<64> {
    static constexpr const char* kName = "wrong_groups";
    static void run(const Params& p) {
        constexpr int kStages = 3, kTile = 64 * 4, kRounds = 8;
        SharedArena arena;
        const auto s = arena.take<float>(kStages * kTile);
        const Global<const float> in(p.data, p.count);
        const int at = 4 * thread_index();
        const auto fetch = [&](int round) {
            if (round < kRounds) copy_async<4>(s, round % kStages * kTile + at, in, round * kTile + at);
            commit_copies();
        };
        for (int round = 0; round < kStages - 1; ++round) fetch(round);
        for (int round = 0; round < kRounds; ++round) {
            if (p.good) {
                wait_copies<kStages - 2>();
            } else {
                wait_copies<kStages - 1>();
            }
            sync_block();
            const float got = s.load(round % kStages * kTile + (at + 4) % kTile);  // @wrong_groups
            if (got != static_cast<float>(round)) in.load(-1);
            fetch(round + kStages - 1);
        }
        wait_copies<0>();
    }
};

SIM_TEST(AsyncCopies, one_group_too_many_under_way) {
    const sim_test::Array<float> data(8 * 256);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i / 256);
    expect_detector<WrongGroups>({3, 1, 1}, kShared, {.data = data.data(), .count = 8 * 256},
                                 {"has not been waited for", PLACE("wrong_groups")});
}

// A stage is filled again while others still read it.
struct NoBarrierBeforeRefill : TestKernel<64> {
    static constexpr const char* kName = "no_barrier_before_refill";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(256);
        const Global<const float> in(p.data, p.count);
        for (int round = 0; round < 3; ++round) {
            copy_async<4>(s, 4 * thread_index(), in, 4 * thread_index());  // @refill copy
            commit_copies();
            wait_copies<0>();
            sync_block();
            s.load((4 * thread_index() + 128) % 256);  // @refill read
            if (p.good) sync_block();
        }
    }
};

SIM_TEST(AsyncCopies, missing_barrier_before_the_next_copy) {
    const sim_test::Array<float> data(256, 1.0f);
    expect_detector<NoBarrierBeforeRefill>({2, 1, 1}, kShared, {.data = data.data(), .count = 256},
                                           {"race: ", PLACE("refill copy"), PLACE("refill read")});
}

struct NeverWaits : TestKernel<64> {
    static constexpr const char* kName = "never_waits";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(256);
        copy_async<1>(s, thread_index(), Global<const float>(p.data, p.count), thread_index());  // @never
        commit_copies();
        if (p.good) wait_copies<0>();
    }
};

SIM_TEST(AsyncCopies, never_waited_for) {
    const sim_test::Array<float> data(64, 1.0f);
    expect_detector<NeverWaits>({2, 1, 1}, kShared, {.data = data.data(), .count = 64},
                                {"the thread returns with an asynchronous copy under way", PLACE("never")});
}

struct PastTheEnd : TestKernel<64> {
    static constexpr const char* kName = "past_the_end";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(256);
        const Global<const float> in(p.data, p.count);
        const int at = 4 * thread_index();
        copy_async<4>(s, at, in, at, p.good ? at < p.count : true);  // @past
        commit_copies();
        wait_copies<0>();
        const float expected = at < p.count ? 1.0f : 0.0f;
        if (s.load(at) != expected) in.load(-1);
    }
};

SIM_TEST(AsyncCopies, past_the_end) {
    const sim_test::Array<float> data(100, 1.0f);
    expect_detector<PastTheEnd>({2, 1, 1}, kShared, {.data = data.data(), .count = 100},
                                {"asynchronous copy of 16 bytes", "out of bounds", PLACE("past")});
}

// Nothing is read outside, and yet the instruction takes only an aligned address.
struct MisalignedOutside : TestKernel<64> {
    static constexpr const char* kName = "misaligned_outside";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(256);
        const Global<const float> in(p.data, p.count);
        copy_async<4>(s, 4 * thread_index(), in, p.good ? 0 : 1, false);  // @misaligned_outside
        commit_copies();
        wait_copies<0>();
    }
};

SIM_TEST(AsyncCopies, misaligned_outside) {
    const sim_test::Array<float> data(64, 1.0f);
    expect_detector<MisalignedOutside>({2, 1, 1}, kShared, {.data = data.data(), .count = 64},
                                       {"asynchronous copy of 16 bytes", "misaligned", PLACE("misaligned_outside")});
}

// A copy is as late as it may be: what it reads changes until the wait.
struct Late : TestKernel<64> {
    static constexpr const char* kName = "late";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(64);
        const Global<float> data(p.data, p.count);
        const int t = thread_index();
        copy_async<1>(s, t, Global<const float>(p.data, p.count), t);
        commit_copies();
        data.store(t, 2.0f);
        wait_copies<0>();
        data.store(t, s.load(t));
    }
};

SIM_TEST(AsyncCopies, read_their_source_at_the_wait) {
    const sim_test::Array<float> data(64, 1.0f);
    expect_ok<Late>({1, 1, 1}, kShared, {.data = data.data(), .count = 64});
    for (const float value : data) EXPECT_EQ(value, 2.0f);
}

}  // namespace async_copies_tests
}  // namespace ADZE_TARGET
}  // namespace adze
