// A block of threads, each a fiber, run by one thread of the host. Barriers and warp collectives are rendezvous: whoever
// comes early gives way to the next thread that can run; the last to come does the common work and lets the others go on.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <source_location>
#include <string>
#include <vector>

#include "device/sim/async.h"
#include "device/sim/fiber.h"
#include "device/sim/shadow.h"
#include "device/sim/traffic.h"

namespace adze::sim {

using Site = std::source_location;

// "file.cuh:120"
struct Place {
    explicit Place(const Site& site);
    char text[160];
};

constexpr int kMaxThreads = 1024, kMaxWarps = 32, kMaxNamedBarriers = 16;
constexpr int kWarpGroup = 128;  // threads

struct Warp;

struct Thread {
    Fiber fiber;
    Block* block;
    Warp* warp;
    int index, lane;
    bool done, waiting;
    bool must_wait;        // may overlap with the kernel before, and has not waited for it
    const char* waits_in;  // what it stands in, and where, while it waits
    Site site;
    uint32_t cursor;    // of WarpTraffic
    uint64_t trail;     // of the fragments' loads and stores since the warp met, which all its lanes make together
    Clock clock;        // empty: knows no more than its block's and warp's barriers tell
    Stamp proxy_fence;  // its last fence_async_proxy; where none is needed, later than all
    uint64_t slot[2];   // what it brings to a collective; used in turn
    void* offer[4];     // likewise, for matrix instructions
    ThreadCopies copies;
};

// The thread that runs here. constinit: who reads it need not ask whether it was made.
extern constinit thread_local Thread* current __attribute__((tls_model("initial-exec")));

struct Warp {
    int index, first, lanes;  // threads
    int arrived, done;
    const char* meets_in;
    Site site;
    uint32_t meetings;
    Stamp base;  // of the last sync_warp
    bool has_clocks;
    WarpTraffic traffic;
};

// How threads take turns. DESIGN, section 5, rule 2.
enum class Turns { kForward, kReverse, kShuffled };

struct Options {
    Turns turns = Turns::kForward;
    uint32_t seed = 1;        // of kShuffled
    int resident = 1;         // blocks that one thread of the host has under way at a time
    int patience_ms = 20000;  // for blocks that wait for each other, none of which ends
};

// What the blocks of a launch share.
struct GridRun {
    const char* kernel;
    const char* device;  // such as "sim device 0 (sm_80)"
    uint32_t grid[3];
    int block_threads, warp_size;
    uint32_t shared_bytes;
    bool overlaps, async_proxy;  // the target has wgmma and a copy engine, which see no write without a fence
    void (*body)(const void* params);
    const void* params;
    Options options;

    std::atomic<uint64_t> progress{0};  // of blocks that came on by more than a look at a flag
    std::atomic<bool> failed{false};
    std::atomic<bool> has_waited{false};  // a thread, for the previous kernel
    std::mutex mutex;
    std::string failure;  // the first
};

class Block {
public:
    enum class Outcome { kFinished, kYielded, kPolls, kFailed };

    Block();
    ~Block();
    void start(GridRun& run, int64_t index);
    // Makes room for the stacks of `count` threads; false: the host has none.
    bool reserve(int count) { return stacks_.reserve(count); }
    // Runs threads until all are done, a thread failed, other blocks are to take a turn, or none can go on before
    // another block has.
    Outcome run();

    // For the running thread.
    void sync_block(const Site& site);
    void sync_warp(const Site& site);
    void sync_named(int id, int threads, bool wait, const Site& site);
    // All lanes of the warp come here; `work(warp)` is done by the last.
    template <class Work>
    void meet(const char* what, const Site& site, Work&& work) {
        Thread& self = *current;
        if (arrive(self, what, site)) {
            work(*self.warp);
            dismiss(self);
        } else {
            wait(self, what, site);
        }
    }
    // The same for all threads of a warp group, 4 warps; what they brought is in `first` and the 127 threads behind it.
    template <class Work>
    void meet_group(const char* what, const Site& site, Work&& work) {
        Thread& self = *current;
        if (arrive_in_group(self, what, site)) {
            work(threads[static_cast<size_t>(self.index / kWarpGroup * kWarpGroup)]);
            dismiss_group(self);
        } else {
            wait(self, what, site);
        }
    }
    // Lets every other thread, then other blocks, go on: the thread looks for what another block writes.
    void poll(const Site& site);
    // Stands until `ready()` holds, which another thread of the block must bring about.
    template <class Ready>
    void wait_until(const char* what, const Site& site, Ready&& ready) {
        while (!ready()) block_on_event(what, site);
    }
    // Something that wait_until looks at has changed.
    void wake_all();
    // For the host: no thread can go on, and no other block helps.
    void give_up();
    [[noreturn]] __attribute__((format(printf, 3, 4))) void fail(const Site& site, const char* format, ...);

    // Whether `thread` has synchronised with `other` since `stamp`.
    bool knows(const Thread& thread, int other, Stamp stamp) const {
        if (other == thread.index || stamp <= base ||
            (stamp <= thread.warp->base && other < kMaxThreads && threads[other].warp == thread.warp))
            return true;
        return !thread.clock.empty() && stamp <= thread.clock[static_cast<size_t>(other)];
    }
    // `thread` publishes what it knows, and takes over what was published.
    void publish(Thread& thread, Clock& into);
    void learn(Thread& thread, const Clock& from);

    // async.cpp: asynchronous copies of the running thread.
    void copy_async(uint32_t to, const void* from, uint32_t bytes, const Site& site);
    void wait_copies(uint32_t groups_left, const Site& site);
    void mbarrier_init(uint32_t at, int arrivals, const Site& site);
    void fence_mbarrier_init(const Site& site);
    void mbarrier_arrive(uint32_t at, uint32_t bytes, const Site& site);
    void mbarrier_wait(uint32_t at, uint32_t parity, const Site& site);
    void fence_async_proxy(const Site& site);
    void bulk_load(uint32_t to, const TensorMap& map, const int32_t* at, int rank, uint32_t barrier, const Site& site);
    void bulk_store(const TensorMap& map, const int32_t* at, int rank, uint32_t from, const Site& site);
    void wait_bulk_stores(uint32_t groups_left, const Site& site);
    void wgmma_fence(const Site& site);
    void wgmma_issue(GroupMultiply operation, const Site& site);
    void wgmma_wait(uint32_t groups_left, const Site& site);
    // An element of wgmma's operand that a descriptor names.
    const std::byte* operand(uint64_t descriptor, int row, int k, uint32_t element_bytes, bool rows) const;

    std::byte* shared(uint32_t offset) { return shared_ + offset; }

    std::array<Thread, kMaxThreads> threads;
    std::array<Warp, kMaxWarps> warps;
    GridRun* grid = nullptr;
    uint32_t index[3];
    int num_threads = 0, num_warps = 0;
    Stamp now = 1, base = 0;  // of the last block barrier
    bool has_clocks = false;  // somebody has published what it knows
    Shadow shadow;
    Counters counters;
    BlockCopies copies;

private:
    struct Named {
        int expected = 0, arrived = 0;
        Clock clock;
        std::vector<Thread*> waiting;
    };

    struct Group {
        int arrived = 0;
        const char* meets_in = nullptr;
        Site site;
        uint32_t held = 0;      // wgmma of which some warp has asked for the operands
        uint32_t uncommon = 0;  // the last of them whose operands not all threads of the block knew then
    };

    static void enter();
    bool arrive_in_group(Thread& self, const char* what, const Site& site);
    void dismiss_group(Thread& self);
    Mbarrier& mbarrier(uint32_t at, const char* does, const Site& site);
    void settle_phase(Mbarrier& barrier);
    void require_box(const TensorMapArguments& map, int rank, uint32_t shared_at, const char* does, const Site& site);
    void land_load(uint32_t barrier_at, Mbarrier& barrier);
    template <class Visit>
    void for_operands(const GroupMultiply& what, Visit&& visit);
    void hold_operands(const GroupMultiply& what, const Site& site);
    void finish_bulk_stores(Thread& thread);
    static void hand_over(ThreadCopies& mine, size_t done);
    bool arrive(Thread& self, const char* what, const Site& site);
    void dismiss(Thread& self);
    void wait(Thread& self, const char* what, const Site& site);
    void block_on_event(const char* what, const Site& site);
    void make_ready(Thread& thread);
    void release_block();
    void finish(Thread& self);
    void give_way(Thread& self, bool last = false);
    void yield(Thread& self);
    void settle(Warp& warp);
    void check_whole_warps();
    [[noreturn]] void fail_in_deadlock(const Thread& self);
    [[noreturn]] void stop(Outcome outcome);
    std::string describe_stand() const;
    void record_failure(const std::string& thread, const char* what, const Site& site);
    template <class Visit>
    void in_turn(int count, Visit&& visit);

    FiberStacks stacks_;
    Fiber host_;
    Outcome outcome_ = Outcome::kFinished;
    std::array<Thread*, kMaxThreads> ready_;
    uint32_t ready_head_ = 0, ready_tail_ = 0;  // ready_ is a ring
    std::vector<Thread*> polling_, on_event_;
    int live_ = 0, at_barrier_ = 0;
    uint32_t random_ = 1;
    std::array<Named, kMaxNamedBarriers> named_;
    std::array<Group, kMaxThreads / kWarpGroup> groups_;
    std::vector<std::byte> shared_memory_;
    std::byte* shared_ = nullptr;
};

}  // namespace adze::sim
