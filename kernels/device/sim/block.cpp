#include "device/sim/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>

#include "device/sim/mutation.h"

namespace adze::sim {

constinit thread_local Thread* current __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

constexpr uint32_t kSharedAlignment = 1024;

}  // namespace

Place::Place(const Site& site) {
    const char* file = site.file_name();
    if (const char* slash = std::strrchr(file, '/')) file = slash + 1;
    std::snprintf(text, sizeof text, "%s:%u", file, static_cast<unsigned>(site.line()));
}

Block::Block() {
    for (int i = 0; i < kMaxThreads; ++i) {
        threads[static_cast<size_t>(i)].block = this;
        threads[static_cast<size_t>(i)].index = i;
    }
}

Block::~Block() {
    for (Thread& thread : threads) forget_fiber(thread.fiber);
    forget_fiber(host_);
}

// Visits 0 .. count - 1 in the order in which threads take turns.
template <class Visit>
void Block::in_turn(int count, Visit&& visit) {
    switch (grid->options.turns) {
        case Turns::kForward:
            for (int i = 0; i < count; ++i) visit(i);
            break;
        case Turns::kReverse:
            for (int i = count; i-- > 0;) visit(i);
            break;
        case Turns::kShuffled: {
            random_ = random_ * 1664525u + 1013904223u;
            const int first = static_cast<int>((random_ >> 8) % static_cast<uint32_t>(count));
            int stride = static_cast<int>((random_ >> 20) | 1u) % count;
            while (stride < 1 || std::gcd(stride, count) != 1) ++stride;
            for (int i = 0, at = first; i < count; ++i, at = (at + stride) % count) visit(at);
            break;
        }
    }
}

void Block::start(GridRun& run, int64_t block) {
    grid = &run;
    index[0] = static_cast<uint32_t>(block % run.grid[0]);
    index[1] = static_cast<uint32_t>(block / run.grid[0] % run.grid[1]);
    index[2] = static_cast<uint32_t>(block / run.grid[0] / run.grid[1]);
    num_threads = live_ = run.block_threads;
    num_warps = num_threads / run.warp_size;
    now = 1, base = 0;
    has_clocks = false;
    at_barrier_ = 0;
    ready_head_ = ready_tail_ = 0;
    polling_.clear(), on_event_.clear();
    random_ = run.options.seed * 2654435761u + static_cast<uint32_t>(block);
    for (Named& named : named_) named = {};
    for (Group& group : groups_) group = {};
    copies.reset();

    if (shared_memory_.size() < run.shared_bytes + kSharedAlignment) {
        shared_memory_.resize(run.shared_bytes + kSharedAlignment);
        const auto address = reinterpret_cast<uintptr_t>(shared_memory_.data());
        shared_ = shared_memory_.data() + (kSharedAlignment - address % kSharedAlignment) % kSharedAlignment;
    }
    std::memset(shared_, 0xff, run.shared_bytes);  // NaN in every float format
    shadow.reset(*this, run.shared_bytes);

    for (int w = 0; w < num_warps; ++w) {
        Warp& warp = warps[static_cast<size_t>(w)];
        warp.index = w;
        warp.first = w * run.warp_size;
        warp.lanes = run.warp_size;
        warp.arrived = warp.done = 0;
        warp.meetings = 0;
        warp.base = 0;
        warp.has_clocks = false;
        warp.traffic.reset(run.warp_size);
    }
    for (int i = 0; i < num_threads; ++i) {
        Thread& thread = threads[static_cast<size_t>(i)];
        thread.warp = &warps[static_cast<size_t>(i / run.warp_size)];
        thread.lane = i % run.warp_size;
        thread.done = thread.waiting = false;
        thread.waits_in = nullptr;
        thread.site = Site();
        thread.cursor = 0;
        thread.trail = 0;
        thread.clock.clear();
        thread.proxy_fence = run.async_proxy ? 0 : UINT32_MAX;
        thread.copies.reset();
        thread.must_wait = run.overlaps;
        stacks_.prepare(thread.fiber, i, &Block::enter);
    }
    in_turn(num_warps, [&](int w) {
        in_turn(run.warp_size, [&](int lane) { make_ready(threads[static_cast<size_t>(w * run.warp_size + lane)]); });
    });
}

Block::Outcome Block::run() {
    for (Thread* thread : polling_) make_ready(*thread);
    polling_.clear();
    adopt_thread(host_);
    if (grid->failed.load(std::memory_order_relaxed)) return Outcome::kFailed;
    Thread* next = ready_[ready_head_++ % kMaxThreads];
    current = next;
    switch_fiber(host_, next->fiber);
    current = nullptr;
    return outcome_;
}

void Block::enter() {
    Thread& self = *current;
    self.block->grid->body(self.block->grid->params);
    self.block->finish(self);
}

void Block::make_ready(Thread& thread) {
    thread.waiting = false;
    ready_[ready_tail_++ % kMaxThreads] = &thread;
}

// Goes on in the next thread that can run; returns when this one's turn has come again.
void Block::give_way(Thread& self, bool last) {
    if (ready_head_ != ready_tail_) {
        Thread* next = ready_[ready_head_++ % kMaxThreads];
        if (next == &self) return;
        current = next;
        switch_fiber(self.fiber, next->fiber, last);
        return;
    }
    if (live_ == 0) {
        outcome_ = Outcome::kFinished;
    } else if (!polling_.empty()) {
        outcome_ = Outcome::kPolls;
    } else {
        fail_in_deadlock(self);
    }
    switch_fiber(self.fiber, host_, last);
}

void Block::wait(Thread& self, const char* what, const Site& site) {
    self.waits_in = what;
    self.site = site;
    self.waiting = true;
    give_way(self);
}

void Block::finish(Thread& self) {
    self.done = true;
    self.waits_in = nullptr;
    --live_;
    Warp& warp = *self.warp;
    if (++warp.done == warp.lanes) settle(warp);
    const ThreadCopies& mine = self.copies;
    if (!mine.copies.empty()) fail(mine.copies.front().site, "the thread returns with an asynchronous copy under way");
    if (!mine.stores.empty()) fail(mine.stores.front().site, "the thread returns with a bulk store under way");
    if (!mine.multiplies.empty()) fail(mine.multiplies.front().site, "the thread returns with a wgmma under way");
    finish_bulk_stores(self);
    if (live_ == 0) {
        for (const auto& [at, loads] : copies.loads) {
            if (!loads.empty()) fail(loads.front().site, "the block ends with a bulk load under way");
        }
    }
    if (at_barrier_ != 0 && at_barrier_ == live_) release_block();
    give_way(self, true);
    __builtin_unreachable();
}

void Block::settle(Warp& warp) {
    warp.traffic.settle(counters);
    const uint64_t trail = threads[static_cast<size_t>(warp.first)].trail;
    for (int i = 0; i < warp.lanes; ++i) {
        Thread& thread = threads[static_cast<size_t>(warp.first + i)];
        if (thread.trail != trail) {
            fail(current->site, "threads %d and %d of one warp have loaded or stored fragments at different places",
                 warp.first, thread.index);
        }
        thread.cursor = 0;
    }
    for (int i = 0; i < warp.lanes; ++i) threads[static_cast<size_t>(warp.first + i)].trail = 0;
}

// True in the last lane of the warp.
bool Block::arrive(Thread& self, const char* what, const Site& site) {
    Warp& warp = *self.warp;
    if (warp.done != 0) fail(site, "%s, but %d lanes of the warp have returned", what, warp.done);
    if (warp.arrived == 0) {
        warp.meets_in = what;
        warp.site = site;
    } else if (WarpTraffic::key(warp.site) != WarpTraffic::key(site)) {
        fail(site, "%s, while other lanes of the warp are in %s at %s", what, warp.meets_in, Place(warp.site).text);
    }
    return ++warp.arrived == warp.lanes;
}

void Block::dismiss(Thread& self) {
    Warp& warp = *self.warp;
    warp.arrived = 0;
    ++warp.meetings;
    settle(warp);
    in_turn(warp.lanes, [&](int lane) {
        Thread& thread = threads[static_cast<size_t>(warp.first + lane)];
        if (&thread != &self) make_ready(thread);
    });
}

bool Block::arrive_in_group(Thread& self, const char* what, const Site& site) {
    Group& group = groups_[static_cast<size_t>(self.index / kWarpGroup)];
    if (group.arrived == 0) {
        group.meets_in = what;
        group.site = site;
    } else if (WarpTraffic::key(group.site) != WarpTraffic::key(site)) {
        fail(site, "%s, while other threads of the warp group are in %s at %s", what, group.meets_in,
             Place(group.site).text);
    }
    return ++group.arrived == kWarpGroup;
}

void Block::dismiss_group(Thread& self) {
    const int first = self.index / kWarpGroup * kWarpGroup;
    groups_[static_cast<size_t>(self.index / kWarpGroup)].arrived = 0;
    for (int w = 0; w < kWarpGroup / self.warp->lanes; ++w)
        settle(warps[static_cast<size_t>(first / self.warp->lanes + w)]);
    in_turn(kWarpGroup, [&](int i) {
        Thread& thread = threads[static_cast<size_t>(first + i)];
        if (&thread != &self) make_ready(thread);
    });
}

void Block::sync_warp(const Site& site) {
    if (is_off(SiteKind::kBarrier, site)) return;
    meet("sync_warp", site, [&](Warp& warp) {
        ++counters.warp_barriers;
        if (warp.has_clocks) {
            Clock all;
            for (int i = 0; i < warp.lanes; ++i) join(all, threads[static_cast<size_t>(warp.first + i)].clock);
            for (int i = 0; i < warp.lanes; ++i) threads[static_cast<size_t>(warp.first + i)].clock = all;
        }
        warp.base = now++;
    });
}

// A barrier is met by whole warps: the lanes of one at one place, or all returned.
void Block::check_whole_warps() {
    for (int w = 0; w < num_warps; ++w) {
        const Warp& warp = warps[static_cast<size_t>(w)];
        const Thread *first = nullptr, *other = nullptr, *gone = nullptr;
        for (int i = 0; i < warp.lanes; ++i) {
            const Thread& thread = threads[static_cast<size_t>(warp.first + i)];
            if (thread.done) {
                gone = &thread;
            } else if (first == nullptr) {
                first = &thread;
            } else if (WarpTraffic::key(first->site) != WarpTraffic::key(thread.site)) {
                other = &thread;
            }
        }
        if (first != nullptr && gone != nullptr) {
            fail(first->site, "barrier in a divergent branch: thread %d has returned, thread %d is in sync_block",
                 gone->index, first->index);
        }
        if (other != nullptr) {
            fail(first->site, "barrier in a divergent branch: thread %d is in sync_block at %s, thread %d at %s",
                 first->index, Place(first->site).text, other->index, Place(other->site).text);
        }
    }
}

void Block::sync_block(const Site& site) {
    if (is_off(SiteKind::kBarrier, site)) return;
    Thread& self = *current;
    self.waits_in = "sync_block";
    self.site = site;
    self.waiting = true;
    if (++at_barrier_ == live_) {
        release_block();
        if (grid->options.resident > 1)
            return yield(self);  // blocks that share this thread of the host take turns here
    }
    give_way(self);
}

void Block::yield(Thread& self) {
    outcome_ = Outcome::kYielded;
    switch_fiber(self.fiber, host_);
}

// All live threads are at the barrier: they become ready.
void Block::release_block() {
    check_whole_warps();
    at_barrier_ = 0;
    ++counters.block_barriers;
    base = now++;
    for (int w = 0; w < num_warps; ++w) {
        Warp& warp = warps[static_cast<size_t>(w)];
        if (warp.done == warp.lanes) continue;
        settle(warp);
        if (warp.has_clocks) {
            for (int i = 0; i < warp.lanes; ++i) threads[static_cast<size_t>(warp.first + i)].clock.clear();
            warp.has_clocks = false;
        }
    }
    in_turn(num_warps, [&](int w) {
        const Warp& warp = warps[static_cast<size_t>(w)];
        in_turn(warp.lanes, [&](int lane) {
            Thread& thread = threads[static_cast<size_t>(warp.first + lane)];
            if (!thread.done) make_ready(thread);
        });
    });
}

void Block::sync_named(int id, int expected, bool waits, const Site& site) {
    if (is_off(SiteKind::kBarrier, site)) return;
    Thread& self = *current;
    const char* what = waits ? "sync_named" : "arrive_named";
    if (id < 1 || id >= kMaxNamedBarriers)
        fail(site, "%s: id is %d; allowed is 1 to %d", what, id, kMaxNamedBarriers - 1);
    if (expected < 1 || expected % self.warp->lanes != 0 || expected > num_threads) {
        fail(site, "%s: threads is %d; it must be whole warps of the block", what, expected);
    }
    Named& named = named_[static_cast<size_t>(id)];
    if (named.arrived == 0) named.expected = expected;
    if (named.expected != expected) fail(site, "%s: threads is %d, others said %d", what, expected, named.expected);
    publish(self, named.clock);
    if (waits) named.waiting.push_back(&self);
    if (++named.arrived < expected) {
        if (waits) wait(self, what, site);
        return;
    }
    ++counters.block_barriers;
    Named met;
    std::swap(met, named);
    for (Thread* thread : met.waiting) {
        learn(*thread, met.clock);
        if (thread != &self) make_ready(*thread);
    }
}

void Block::publish(Thread& thread, Clock& into) {
    has_clocks = true;
    into.resize(kMaxThreads + 1);
    if (!thread.clock.empty()) join(into, thread.clock);
    for (int i = 0; i < num_threads; ++i) into[static_cast<size_t>(i)] = std::max(into[static_cast<size_t>(i)], base);
    for (int i = 0; i < thread.warp->lanes; ++i) {
        Stamp& stamp = into[static_cast<size_t>(thread.warp->first + i)];
        stamp = std::max(stamp, thread.warp->base);
    }
    into[static_cast<size_t>(thread.index)] = now++;
}

void Block::learn(Thread& thread, const Clock& from) {
    join(thread.clock, from);
    thread.warp->has_clocks = true;
}

void Block::poll(const Site& site) {
    Thread& self = *current;
    self.waits_in = "load_acquire";
    self.site = site;
    polling_.push_back(&self);
    give_way(self);
}

void Block::block_on_event(const char* what, const Site& site) {
    on_event_.push_back(current);
    wait(*current, what, site);
}

void Block::wake_all() {
    for (Thread* thread : on_event_) make_ready(*thread);
    on_event_.clear();
}

// "threads 0-31 in sync_warp at glue.cuh:40; threads 32-63 have returned"
std::string Block::describe_stand() const {
    std::map<std::string, std::string> threads_in;
    for (int i = 0; i < num_threads; ++i) {
        const auto stand = [&](int t) {
            const Thread& thread = threads[static_cast<size_t>(t)];
            return thread.done ? "have returned"
                               : "wait in " + std::string(thread.waits_in) + " at " + Place(thread.site).text;
        };
        const std::string here = stand(i);
        int last = i;
        while (last + 1 < num_threads && stand(last + 1) == here) ++last;
        std::string& list = threads_in[here];
        list += (list.empty() ? "" : ", ") + std::to_string(i) + (last > i ? "-" + std::to_string(last) : "");
        i = last;
    }
    std::string out;
    for (const auto& [what, which] : threads_in) out += (out.empty() ? "threads " : "; threads ") + which + " " + what;
    for (const auto& [at, barrier] : copies.barriers) {
        if (barrier.pending == barrier.expected && barrier.bytes == 0) continue;
        out += "; mbarrier at byte " + std::to_string(at) + ", phase " + std::to_string(barrier.phase) + ": " +
               std::to_string(barrier.pending) + " arrivals and " + std::to_string(barrier.bytes) + " bytes to come";
    }
    return out;
}

void Block::fail(const Site& site, const char* format, ...) {
    char what[2048];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    record_failure(std::string("thread ").append(std::to_string(current->index)), what, site);
    stop(Outcome::kFailed);
}

void Block::fail_in_deadlock(const Thread& self) {
    char stand[1536];  // fail() does not come back to free a string
    std::snprintf(stand, sizeof stand, "%s", describe_stand().c_str());
    fail(self.site, "deadlock: %s", stand);
}

void Block::give_up() {
    record_failure("all threads", ("wait for another block for too long: " + describe_stand()).c_str(),
                   polling_.front()->site);
}

void Block::record_failure(const std::string& thread, const char* what, const Site& site) {
    char message[2560];
    std::snprintf(message, sizeof message, "%s on %s, block (%u, %u, %u), %s: %s (%s)", grid->kernel, grid->device,
                  index[0], index[1], index[2], thread.c_str(), what, Place(site).text);
    const std::scoped_lock lock(grid->mutex);
    if (!grid->failed.exchange(true)) grid->failure = message;
}

// Leaves the block for good: its fibers are abandoned where they stand.
void Block::stop(Outcome outcome) {
    outcome_ = outcome;
    switch_fiber(current->fiber, host_, true);
    __builtin_unreachable();
}

}  // namespace adze::sim
