#include "runtime/cpu_pool.h"

#include <cstdlib>
#include <new>
#include <system_error>

#include "runtime/check.h"

namespace adze {
namespace {

// A decode step is many jobs of some microseconds: a waiter spins for some 50 of them before it sleeps.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`.
template <class T>
void wait_while(const std::atomic<T>& value, T old) {
    for (int spin = 0; spin < kSpins; ++spin) {
        if (value.load(std::memory_order_acquire) != old) return;
        pause();
    }
    value.wait(old, std::memory_order_acquire);
}

}  // namespace

void CpuPool::Free::operator()(float* data) const {
    std::free(data);
}

CpuPool::CpuPool(int threads) {
    for (int i = 0; i < threads; ++i) {
        auto* memory = static_cast<float*>(std::aligned_alloc(64, kScratchFloats * sizeof(float)));
        if (memory == nullptr) throw std::bad_alloc();
        scratch_.emplace_back(memory);
    }
    workers_.reserve(static_cast<size_t>(threads - 1));
    try {
        for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
    } catch (const std::system_error&) {
        stop();
        fail(ADZE_ERROR_OUT_OF_MEMORY, "num_threads is %d; the system started %d", threads, this->threads());
    }
}

CpuPool::~CpuPool() {
    stop();
}

void CpuPool::stop() {
    stopping_ = true;
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void CpuPool::run(int64_t tasks, Body body, void* context) {
    if (tasks <= 1 || workers_.empty()) {
        for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
        return;
    }
    body_ = body;
    context_ = context;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    drain(0);
    for (int busy = busy_.load(std::memory_order_acquire); busy != 0; busy = busy_.load(std::memory_order_acquire)) {
        wait_while(busy_, busy);
    }
}

void CpuPool::drain(int worker) {
    for (int64_t task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) body_(context_, task, worker);
}

void CpuPool::work(int worker) {
    for (uint32_t seen = 0;; ++seen) {
        wait_while(generation_, seen);
        if (stopping_) return;
        drain(worker);
        if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
}

}  // namespace adze
