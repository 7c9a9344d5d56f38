// The cpu backend's threads: one pool a context, the calling thread included.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace adze {

class CpuPool {
public:
    explicit CpuPool(int threads);
    ~CpuPool();
    CpuPool(const CpuPool&) = delete;
    CpuPool& operator=(const CpuPool&) = delete;

    int threads() const { return static_cast<int>(workers_.size()) + 1; }

    // Calls body(task, worker) once for each task in [0, tasks), in any order, on any worker in [0, threads()). The
    // body must not throw.
    template <class Body>
    void for_each(int64_t tasks, Body&& body) {
        run(
            tasks, [](void* context, int64_t task, int worker) { (*static_cast<Body*>(context))(task, worker); },
            &body);
    }

    // Memory of one worker that lasts for a call; aligned to 64 bytes.
    static constexpr int64_t kScratchFloats = 1 << 18;
    float* scratch(int worker) const { return scratch_[static_cast<size_t>(worker)].get(); }

private:
    using Body = void (*)(void* context, int64_t task, int worker);
    struct Free {
        void operator()(float* data) const;
    };

    void stop();
    void run(int64_t tasks, Body body, void* context);
    void drain(int worker);
    void work(int worker);

    std::vector<std::unique_ptr<float, Free>> scratch_;
    Body body_ = nullptr;
    void* context_ = nullptr;
    int64_t tasks_ = 0;
    std::atomic<int64_t> next_{0};
    std::atomic<uint32_t> generation_{0};  // of the job that workers wait for
    std::atomic<int> busy_{0};             // workers that have not finished the current job
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> workers_;  // last: they use everything above
};

}  // namespace adze
