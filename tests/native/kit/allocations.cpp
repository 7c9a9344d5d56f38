#include "kit/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {
std::atomic<uint64_t> count{0};
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

bool kit::allocations_counted() {
    return false;
}

#else

bool kit::allocations_counted() {
    return true;
}

// operator new of libstdc++ ends here as well.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
    count.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(bytes);
}
void* calloc(size_t items, size_t bytes) {
    count.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(items, bytes);
}
void* realloc(void* old, size_t bytes) {
    count.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(old, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
    count.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
    return memalign(alignment, bytes);
}
int posix_memalign(void** out, size_t alignment, size_t bytes) {
    *out = memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
}

#endif

uint64_t kit::allocations() {
    return count.load();
}
