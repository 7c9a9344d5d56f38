#include "device/sim/fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

// GCC defines macros, Clang has features.
#if defined(__SANITIZE_ADDRESS__)
    #define ADZE_SIM_ASAN 1
#elif defined(__has_feature)
    #if __has_feature(address_sanitizer)
        #define ADZE_SIM_ASAN 1
    #endif
#endif
#if defined(__SANITIZE_THREAD__)
    #define ADZE_SIM_TSAN 1
#elif defined(__has_feature)
    #if __has_feature(thread_sanitizer)
        #define ADZE_SIM_TSAN 1
    #endif
#endif
#if ADZE_SIM_BOOST_CONTEXT
    #include <boost/context/detail/fcontext.hpp>
#else
    #include <ucontext.h>
#endif
#if ADZE_SIM_ASAN
    #include <sanitizer/asan_interface.h>
    #include <sanitizer/common_interface_defs.h>
#endif
#if ADZE_SIM_TSAN
    #include <sanitizer/tsan_interface.h>
#endif

namespace adze::sim {
namespace {

constexpr size_t kStackBytes = 96 << 10;

size_t page_bytes() {
    static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

void leave([[maybe_unused]] Fiber& from, [[maybe_unused]] Fiber& to, [[maybe_unused]] bool last) {
#if ADZE_SIM_ASAN
    __sanitizer_start_switch_fiber(last ? nullptr : &from.shadow_stack, to.stack, to.stack_bytes);
#endif
#if ADZE_SIM_TSAN
    __tsan_switch_to_fiber(to.sanitizer, 0);
#endif
}

void arrive([[maybe_unused]] Fiber& self) {
#if ADZE_SIM_ASAN
    __sanitizer_finish_switch_fiber(self.shadow_stack, nullptr, nullptr);
    self.shadow_stack = nullptr;
#endif
}

struct Switch {
    Fiber *from, *to;
};

#if ADZE_SIM_BOOST_CONTEXT

namespace boost_context = boost::context::detail;

void start(boost_context::transfer_t transfer) {
    const Switch what = *static_cast<Switch*>(transfer.data);
    what.from->context = transfer.fctx;
    arrive(*what.to);
    what.to->entry();
}

#else

thread_local Fiber* starting;

void start() {
    arrive(*starting);
    starting->entry();
}

ucontext_t* saved(const Fiber& fiber) {
    return static_cast<ucontext_t*>(fiber.context);
}

#endif

}  // namespace

bool FiberStacks::reserve(int count) {
    const size_t stride = kStackBytes + page_bytes(), bytes = stride * kSlabStacks;
    while (slabs_.size() * kSlabStacks < static_cast<size_t>(count)) {
        void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        for (size_t at = 0; at < bytes; at += stride) {
            if (mprotect(static_cast<std::byte*>(memory) + at, page_bytes(), PROT_NONE) == 0) continue;
            munmap(memory, bytes);
            return false;
        }
        slabs_.push_back(static_cast<std::byte*>(memory));
    }
    return true;
}

FiberStacks::~FiberStacks() {
    const size_t bytes = (kStackBytes + page_bytes()) * kSlabStacks;
    for (std::byte* slab : slabs_) {
#if ADZE_SIM_ASAN
        __asan_unpoison_memory_region(slab, bytes);  // else it takes what is mapped there next for abandoned frames
#endif
        munmap(slab, bytes);
    }
}

void FiberStacks::prepare(Fiber& fiber, int index, void (*entry)()) const {
    const auto at = static_cast<size_t>(index);
    fiber.entry = entry;
    fiber.stack = slabs_[at / kSlabStacks] + at % kSlabStacks * (kStackBytes + page_bytes()) + page_bytes();
    fiber.stack_bytes = kStackBytes;
#if ADZE_SIM_ASAN
    __asan_unpoison_memory_region(fiber.stack, kStackBytes);
#endif
#if ADZE_SIM_TSAN
    if (fiber.sanitizer == nullptr) fiber.sanitizer = __tsan_create_fiber(0);
#endif
#if ADZE_SIM_BOOST_CONTEXT
    fiber.context = boost_context::make_fcontext(fiber.stack + kStackBytes, kStackBytes, start);
#else
    if (fiber.context == nullptr) fiber.context = new ucontext_t;
    getcontext(saved(fiber));
    saved(fiber)->uc_stack = {fiber.stack, 0, kStackBytes};
    saved(fiber)->uc_link = nullptr;
    makecontext(saved(fiber), start, 0);
#endif
}

void switch_fiber(Fiber& from, Fiber& to, bool last) {
    leave(from, to, last);
#if ADZE_SIM_BOOST_CONTEXT
    Switch what{&from, &to};
    const auto transfer = boost_context::jump_fcontext(to.context, &what);
    static_cast<Switch*>(transfer.data)->from->context = transfer.fctx;
#else
    starting = &to;
    swapcontext(saved(from), saved(to));
#endif
    arrive(from);
}

void adopt_thread(Fiber& fiber) {
    pthread_attr_t attributes;
    if (fiber.stack == nullptr && pthread_getattr_np(pthread_self(), &attributes) == 0) {
        void* stack = nullptr;
        pthread_attr_getstack(&attributes, &stack, &fiber.stack_bytes);
        fiber.stack = static_cast<std::byte*>(stack);
        pthread_attr_destroy(&attributes);
    }
#if ADZE_SIM_TSAN
    fiber.sanitizer = __tsan_get_current_fiber();
#endif
#if !ADZE_SIM_BOOST_CONTEXT
    if (fiber.context == nullptr) fiber.context = new ucontext_t;
#endif
}

void forget_fiber([[maybe_unused]] Fiber& fiber) {
#if ADZE_SIM_TSAN
    if (fiber.sanitizer != nullptr && fiber.entry != nullptr) __tsan_destroy_fiber(fiber.sanitizer);
    fiber.sanitizer = nullptr;
#endif
#if !ADZE_SIM_BOOST_CONTEXT
    delete saved(fiber);
    fiber.context = nullptr;
#endif
}

const char* fiber_implementation() {
#if ADZE_SIM_BOOST_CONTEXT
    return "Boost.Context";
#else
    return "ucontext";
#endif
}

}  // namespace adze::sim
