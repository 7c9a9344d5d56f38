// Fibers: the threads of a simulated block, each with a stack of its own that ends at a page without access. Switching
// is Boost.Context's where it was found (a few nanoseconds), else ucontext's. The sanitizers are told of every switch.
#pragma once

#include <cstddef>
#include <vector>

namespace adze::sim {

struct Fiber {
    void (*entry)() = nullptr;  // must not return
    void* context = nullptr;    // where it goes on
    std::byte* stack = nullptr;
    size_t stack_bytes = 0;
    void* shadow_stack = nullptr;  // AddressSanitizer's
    void* sanitizer = nullptr;     // ThreadSanitizer's
};

// Stacks of equal size, each behind a guard page.
class FiberStacks {
public:
    FiberStacks() = default;
    ~FiberStacks();
    FiberStacks(const FiberStacks&) = delete;
    FiberStacks& operator=(const FiberStacks&) = delete;

    // Makes room for `count` stacks; false: the host has none.
    bool reserve(int count);
    // `fiber` will start `entry` on stack `index` at the next switch to it. What was on the stack before is abandoned.
    void prepare(Fiber& fiber, int index, void (*entry)()) const;

private:
    // A stack with its guard page takes two of the mappings that a process may have (65530 on Linux): only those are made
    // that are needed, some at a time.
    static constexpr size_t kSlabStacks = 128;
    std::vector<std::byte*> slabs_;
};

// Leaves `from`, which is running, and goes on in `to`. `last`: nobody will switch back to `from`.
void switch_fiber(Fiber& from, Fiber& to, bool last = false);
// Makes `fiber` stand for the running thread on its own stack.
void adopt_thread(Fiber& fiber);
// Frees what a fiber holds beside its stack.
void forget_fiber(Fiber& fiber);

const char* fiber_implementation();

}  // namespace adze::sim
