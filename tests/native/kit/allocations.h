// Counts every allocation of the process, the library's too: this program's malloc comes before libc's.
#pragma once
#include <cstdint>

namespace kit {

/// Allocations so far, on all threads. Stays 0 under sanitizers, which bring an allocator of their own.
uint64_t allocations();
/// False where allocations() cannot count.
bool allocations_counted();

}  // namespace kit
