// Device addresses that get memory by granules, on backends whose device is the host.
#pragma once

#include <sys/mman.h>

#include <cstdint>

namespace adze {

constexpr uint64_t kHugePage = 2 << 20;  // bytes: the granule, as large as GPUs'

// Addresses without memory, at a multiple of the granule: the kernel accounts for memory when it is given. NULL: there are
// not so many.
inline void* reserve_addresses(uint64_t bytes) {
    const uint64_t all = bytes + kHugePage;
    if (all < bytes) return nullptr;
    void* mapping = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    const uint64_t before = -reinterpret_cast<uintptr_t>(mapping) % kHugePage;
    char* data = static_cast<char*>(mapping) + before;
    if (before != 0) munmap(mapping, before);
    munmap(data + bytes, kHugePage - before);
    return data;
}

// Both false: the host has no such memory, and where there is some has not changed.
inline bool give_memory(void* data, uint64_t bytes) {
    return mprotect(data, bytes, PROT_READ | PROT_WRITE) == 0;
}
// What it held is gone, also if it fails.
inline bool take_memory(void* data, uint64_t bytes) {
    return madvise(data, bytes, MADV_DONTNEED) == 0 && mprotect(data, bytes, PROT_NONE) == 0;
}

}  // namespace adze
