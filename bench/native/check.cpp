// Holds linear to its floors (exit code 1 below them): at M = 1 with bf16 weights of 4096 x 14336 at least 70 % of the
// bandwidth of a plain multi-threaded copy, at M = 64 at least 40 % of the f32 multiply-add peak.
//
// Made for a shared machine: operator and ceiling take turns, each is judged by its best turn, and a machine that is
// busy just now gets more turns before it fails. Where others hold the cores throughout (load average far above the
// core count) a turn of many milliseconds never gets them undisturbed; then both sides are judged by the processor
// time of all threads instead of the clock on the wall, and the line says so.
#include <time.h>

#include <algorithm>

#include "linear_work.h"

namespace {

constexpr int kFewestTurns = 12, kMostTurns = 60;

double seconds_of(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

bool machine_is_busy() {
    double load = 0;
    return getloadavg(&load, 1) == 1 && load > 1.5 * bench::num_threads();
}

/// The best of several turns, in units of work a second.
struct Best {
    double by_wall = 0, by_processor = 0;

    template <class Work>
    void take_turn(const Work& work) {
        const double wall = seconds_of(CLOCK_MONOTONIC), processor = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        const bench::Measured done = work();
        by_wall =
            std::max(by_wall, done.amount / (done.seconds > 0 ? done.seconds : seconds_of(CLOCK_MONOTONIC) - wall));
        const double used = (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - processor) / bench::num_threads();
        by_processor = std::max(by_processor, done.amount / used);
    }
};

/// Runs `work` and `ceiling` in turn. True if the best of the one reaches `share` of the best of the other.
template <class Work, class Ceiling>
bool check(const char* name, const char* unit, double share, const Work& work, const Ceiling& ceiling) {
    Best best, top;
    int turn = 0;
    work();  // touches all memory once
    for (; turn < kMostTurns && (turn < kFewestTurns || best.by_wall < share * top.by_wall); ++turn) {
        top.take_turn(ceiling);
        best.take_turn(work);
    }
    bool reached = best.by_wall >= share * top.by_wall;
    const bool by_processor = !reached && machine_is_busy();
    if (by_processor) reached = best.by_processor >= share * top.by_processor;
    const double rate = by_processor ? best.by_processor : best.by_wall;
    const double limit = by_processor ? top.by_processor : top.by_wall;
    std::printf("%-4s %s: %.1f G%s, %.0f %% of the ceiling of %.1f G%s in %d turns%s; the floor is %.0f %%\n",
                reached ? "ok" : "FAIL", name, rate / 1e9, unit, 100 * rate / limit, limit / 1e9, unit, turn,
                by_processor ? ", by processor time because the machine is busy" : "", 100 * share);
    return reached;
}

}  // namespace

int main() {
    const std::string& isa = bench::Session::get().architecture();
    std::printf("%s; %s, %d threads\n", adze_build_info(), isa.c_str(), bench::num_threads());
    bench::LinearWork one(1, 4096, 14336, ADZE_DTYPE_BF16), many(64, 4096, 14336, ADZE_DTYPE_BF16);
    const auto run = [](bench::LinearWork& work, double amount) {
        return [&work, amount] {
            work.run();
            return bench::Measured{amount, 0};
        };
    };
    const bool bandwidth =
        check("linear M=1 bf16 4096x14336", "B/s", 0.70, run(one, one.bytes), [] { return bench::measure_copy(); });
    const bool compute = check("linear M=64 bf16 4096x14336", "FLOP/s", 0.40, run(many, many.flops),
                               [&] { return bench::measure_fma(isa); });
    return bandwidth && compute ? 0 : 1;
}
