// Holds the simulator to its floors on one core (exit code 1 below them): 1 G multiply-adds a second through m16n8k16, 4 G
// through wgmma, and, where fibers are Boost.Context's, 20 M threads a second through block barriers.
//
// Made for a shared machine: each is judged by its best turn, by the clock on the wall or, where that does not reach the
// floor, by the processor time of the thread, and the line says so.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "device/launch.h"
#include "device/sim/fiber.h"
#include "device/wgmma.h"
#include "runtime/check.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace {

constexpr int kRounds = 256;

struct Nothing {};

template <int kThreadsOfBlock>
struct BenchKernel {
    static constexpr int kThreads = kThreadsOfBlock;
    using Params = Nothing;
    static constexpr bool runs_on(Arch) { return true; }
};

struct WarpMma : BenchKernel<128> {
    static constexpr const char* kName = "warp_mma";
    static constexpr double kWork = 128 / kWarpSize * kRounds * 16.0 * 8 * 16;
    static constexpr int64_t kShared = 0;
    static void run(const Nothing&) {
        using M = Mma<bf16>;
        M::A a{};
        M::B b{};
        M::C c;
        for (int i = 0; i < kRounds; ++i) mma<M>(c, a, b);
    }
};

template <int kN>
struct GroupMma : BenchKernel<128> {
    static constexpr const char* kName = "group_mma";
    static constexpr double kWork = kRounds * 4.0 * 64 * kN * 16;
    static constexpr int64_t kShared = (64 + kN) * 64 * 2 + 1024;
    static void run(const Nothing&) {
        using W = Wgmma<bf16, kN>;
        SharedArena arena;
        SharedTile<bf16, 64, 64> a;
        SharedTile<bf16, kN, 64> b;
        a.data = arena.take<bf16>(64 * 64, 1024);
        b.data = arena.take<bf16>(kN * 64, 1024);
        for (int i = thread_index(); i < 64 * 64; i += 128) a.data.store(i, bf16{0});
        for (int i = thread_index(); i < kN * 64; i += 128) b.data.store(i, bf16{0});
        fence_async_proxy();
        sync_block();
        typename W::C c;
        for (int i = 0; i < kRounds; ++i) {
            wgmma_fence();
            for (int k = 0; k < 64; k += 16) wgmma<W>(c, a, 0, k, b, 0, k);
            wgmma_commit();
            wgmma_wait<0>();
        }
    }
};

struct Barriers : BenchKernel<256> {
    static constexpr const char* kName = "barriers";
    static constexpr double kWork = 256.0 * kRounds;
    static constexpr int64_t kShared = 0;
    static void run(const Nothing&) {
        for (int i = 0; i < kRounds; ++i) sync_block();
    }
};

double seconds_of(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class Kernel>
bool check(LaunchStream& stream, const char* name, const char* unit, double floor) {
    constexpr int kFewestTurns = 20, kMostTurns = 60;
    double by_wall = 0, by_processor = 0;
    launch<Kernel>(stream, {1, 1, 1}, Kernel::kShared, {});  // touches all memory once
    for (int turn = 0; turn < kMostTurns && (turn < kFewestTurns || by_wall < floor); ++turn) {
        const double wall = seconds_of(CLOCK_MONOTONIC), processor = seconds_of(CLOCK_THREAD_CPUTIME_ID);
        launch<Kernel>(stream, {1, 1, 1}, Kernel::kShared, {});
        by_wall = std::max(by_wall, Kernel::kWork / (seconds_of(CLOCK_MONOTONIC) - wall));
        by_processor = std::max(by_processor, Kernel::kWork / (seconds_of(CLOCK_THREAD_CPUTIME_ID) - processor));
    }
    const bool wall_reached = by_wall >= floor, reached = wall_reached || by_processor >= floor;
    std::printf("%-4s %s: %.0f M %s a second%s; the floor is %.0f M\n", reached ? "ok" : "FAIL", name,
                (wall_reached ? by_wall : by_processor) / 1e6, unit, wall_reached ? "" : " of processor time",
                floor / 1e6);
    return reached;
}

}  // namespace
}  // namespace ADZE_TARGET
}  // namespace adze

int main() {
    using namespace adze;
    sim::SimContext context(sim::sim_device(1), 1);
    LaunchStream stream(context);
    const bool is_boost = std::strcmp(sim::fiber_implementation(), "ucontext") != 0;
    double load = 0;
    getloadavg(&load, 1);
    std::printf("one core, fibers from %s; load average %.1f\n", sim::fiber_implementation(), load);
    if (!is_boost && std::getenv("CI") != nullptr) {
        std::printf("Boost.Context, whose floors count, was not found: see .ci/toolchains\n");
        return 1;
    }
    bool ok = check<WarpMma>(stream, "mma m16n8k16 bf16", "multiply-adds", is_boost ? 1e9 : 0);
    ok &= check<GroupMma<128>>(stream, "wgmma m64n128k16 bf16", "multiply-adds", 4e9);
    ok &= check<GroupMma<256>>(stream, "wgmma m64n256k16 bf16", "multiply-adds", 4e9);
    ok &= check<Barriers>(stream, "block barriers", "threads", is_boost ? 20e6 : 0);
    return ok ? 0 : 1;
}
