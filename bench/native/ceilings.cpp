#include "ceilings.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#if defined(__x86_64__)
    #include <immintrin.h>
#endif

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

/// Seconds from the common start of `work` in all threads until the last is done.
double time_in_threads(const std::function<void(int)>& work) {
    const int count = num_threads();
    std::barrier start(count);
    std::vector<Clock::time_point> begin(static_cast<size_t>(count)), end(begin);
    std::vector<std::thread> threads;
    const auto run = [&](int t) {
        start.arrive_and_wait();
        begin[static_cast<size_t>(t)] = Clock::now();
        work(t);
        end[static_cast<size_t>(t)] = Clock::now();
    };
    for (int t = 1; t < count; ++t) threads.emplace_back(run, t);
    run(0);
    for (std::thread& thread : threads) thread.join();
    const auto elapsed = *std::max_element(end.begin(), end.end()) - *std::min_element(begin.begin(), begin.end());
    return std::chrono::duration<double>(elapsed).count();
}

constexpr int64_t kSteps = 400'000;
constexpr int kChains = 12;  // latency 4 times two units, and some
// Where each chain begins, unknown to the compiler: chains that it knows to be equal become one.
volatile float chain_starts[kChains] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 0.9f, 1.0f, 1.1f, 1.2f};

// Each returns the FLOP done; `sink` keeps the sums alive.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) double fma_avx512(volatile float* sink) {
    const __m512 seed = _mm512_set1_ps(0.5f);
    __m512 s0 = _mm512_set1_ps(chain_starts[0]), s1 = _mm512_set1_ps(chain_starts[1]),
           s2 = _mm512_set1_ps(chain_starts[2]), s3 = _mm512_set1_ps(chain_starts[3]),
           s4 = _mm512_set1_ps(chain_starts[4]), s5 = _mm512_set1_ps(chain_starts[5]),
           s6 = _mm512_set1_ps(chain_starts[6]), s7 = _mm512_set1_ps(chain_starts[7]),
           s8 = _mm512_set1_ps(chain_starts[8]), s9 = _mm512_set1_ps(chain_starts[9]),
           s10 = _mm512_set1_ps(chain_starts[10]), s11 = _mm512_set1_ps(chain_starts[11]);
    for (int64_t step = 0; step < kSteps; ++step) {
        s0 = _mm512_fmadd_ps(s0, seed, seed), s1 = _mm512_fmadd_ps(s1, seed, seed);
        s2 = _mm512_fmadd_ps(s2, seed, seed), s3 = _mm512_fmadd_ps(s3, seed, seed);
        s4 = _mm512_fmadd_ps(s4, seed, seed), s5 = _mm512_fmadd_ps(s5, seed, seed);
        s6 = _mm512_fmadd_ps(s6, seed, seed), s7 = _mm512_fmadd_ps(s7, seed, seed);
        s8 = _mm512_fmadd_ps(s8, seed, seed), s9 = _mm512_fmadd_ps(s9, seed, seed);
        s10 = _mm512_fmadd_ps(s10, seed, seed), s11 = _mm512_fmadd_ps(s11, seed, seed);
    }
    const __m512 sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
    *sink = _mm512_cvtss_f32(sum);
    return 2.0 * double(kSteps) * kChains * 16;
}

__attribute__((target("avx2,fma"))) double fma_avx2(volatile float* sink) {
    const __m256 seed = _mm256_set1_ps(0.5f);
    __m256 s0 = _mm256_set1_ps(chain_starts[0]), s1 = _mm256_set1_ps(chain_starts[1]),
           s2 = _mm256_set1_ps(chain_starts[2]), s3 = _mm256_set1_ps(chain_starts[3]),
           s4 = _mm256_set1_ps(chain_starts[4]), s5 = _mm256_set1_ps(chain_starts[5]),
           s6 = _mm256_set1_ps(chain_starts[6]), s7 = _mm256_set1_ps(chain_starts[7]),
           s8 = _mm256_set1_ps(chain_starts[8]), s9 = _mm256_set1_ps(chain_starts[9]),
           s10 = _mm256_set1_ps(chain_starts[10]), s11 = _mm256_set1_ps(chain_starts[11]);
    for (int64_t step = 0; step < kSteps; ++step) {
        s0 = _mm256_fmadd_ps(s0, seed, seed), s1 = _mm256_fmadd_ps(s1, seed, seed);
        s2 = _mm256_fmadd_ps(s2, seed, seed), s3 = _mm256_fmadd_ps(s3, seed, seed);
        s4 = _mm256_fmadd_ps(s4, seed, seed), s5 = _mm256_fmadd_ps(s5, seed, seed);
        s6 = _mm256_fmadd_ps(s6, seed, seed), s7 = _mm256_fmadd_ps(s7, seed, seed);
        s8 = _mm256_fmadd_ps(s8, seed, seed), s9 = _mm256_fmadd_ps(s9, seed, seed);
        s10 = _mm256_fmadd_ps(s10, seed, seed), s11 = _mm256_fmadd_ps(s11, seed, seed);
    }
    const __m256 sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
    *sink = _mm256_cvtss_f32(sum);
    return 2.0 * double(kSteps) * kChains * 8;
}
#endif

double fma_portable(volatile float* sink) {
    using Float4 = float __attribute__((vector_size(16)));
    const Float4 seed = {0.5f, 0.5f, 0.5f, 0.5f};
    Float4 sums[kChains];
    for (int i = 0; i < kChains; ++i) sums[i] = seed * chain_starts[i];
    for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * seed + seed;
    }
    Float4 total = seed;
    for (const Float4& sum : sums) total += sum;
    *sink = total[0];
    return 2.0 * double(kSteps) * kChains * 4;
}

double best_recent(const std::function<double()>& measure, double& best, Clock::time_point& when) {
    if (best == 0 || Clock::now() - when > std::chrono::seconds(5)) {
        best = 0;
        for (int i = 0; i < 5; ++i) best = std::max(best, measure());
        when = Clock::now();
    }
    return best;
}

}  // namespace

int num_threads() {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

Measured measure_copy() {
    constexpr size_t kBytes = size_t{128} << 20;
    static const auto source = std::make_unique<char[]>(kBytes), destination = std::make_unique<char[]>(kBytes);
    const size_t share = kBytes / static_cast<size_t>(num_threads());
    const double seconds = time_in_threads([&](int t) {
        const size_t from = share * static_cast<size_t>(t);
        std::memcpy(destination.get() + from, source.get() + from, share);
    });
    return {2.0 * double(share) * num_threads(), seconds};
}

Measured measure_fma(const std::string& architecture) {
    std::atomic<double> flops{0};
    const double seconds = time_in_threads([&](int) {
        volatile float sink;
#if defined(__x86_64__)
        flops += architecture == "avx512" ? fma_avx512(&sink)
                 : architecture == "avx2" ? fma_avx2(&sink)
                                          : fma_portable(&sink);
#else
        flops += fma_portable(&sink);
#endif
    });
    return {flops, seconds};
}

double copy_ceiling() {
    static double best = 0;
    static Clock::time_point when;
    return best_recent([] { return measure_copy().rate(); }, best, when);
}

double fma_ceiling(const std::string& architecture) {
    static std::map<std::string, std::pair<double, Clock::time_point>> known;
    auto& [best, when] = known[architecture];
    return best_recent([&] { return measure_fma(architecture).rate(); }, best, when);
}

}  // namespace bench
