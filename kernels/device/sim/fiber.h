// Fibers: the threads of a simulated block, each with a stack of its own that ends at a page without access. Switching
// is Boost.Context's where it was found (a few nanoseconds), else ucontext's. The sanitizers are told of every switch.
#pragma once

#include <cstddef>
#include <memory>

namespace adze::sim {

struct Fiber {
    void (*entry)() = nullptr;  // must not return
    void* context = nullptr;    // where it goes on
    std::byte* stack = nullptr;
    size_t stack_bytes = 0;
    void* shadow_stack = nullptr;  // AddressSanitizer's
    void* sanitizer = nullptr;     // ThreadSanitizer's
};

// Stacks of equal size, each behind a guard page, in one mapping.
class FiberStacks {
public:
    explicit FiberStacks(int count);
    ~FiberStacks();
    FiberStacks(const FiberStacks&) = delete;
    FiberStacks& operator=(const FiberStacks&) = delete;

    // `fiber` will start `entry` on stack `index` at the next switch to it. What was on the stack before is abandoned.
    void prepare(Fiber& fiber, int index, void (*entry)()) const;

private:
    std::byte* memory_;
    size_t bytes_;
};

// Leaves `from`, which is running, and goes on in `to`. `last`: nobody will switch back to `from`.
void switch_fiber(Fiber& from, Fiber& to, bool last = false);
// Makes `fiber` stand for the running thread on its own stack.
void adopt_thread(Fiber& fiber);
// Frees what a fiber holds beside its stack.
void forget_fiber(Fiber& fiber);

const char* fiber_implementation();

}  // namespace adze::sim
