// What every access of simulated threads to memory goes through.
#pragma once

#include "device/sim/block.h"

namespace adze::sim {

// Refuse an access before it happens, with what the running thread was about to do.
[[noreturn]] void fail_outside(const char* does, const void* data, int64_t count, int64_t index, int64_t elements,
                               uint32_t bytes, const Site& site);
[[noreturn]] void fail_misaligned(const char* does, const void* address, uint32_t bytes, const Site& site);
[[noreturn]] void fail_shared(const char* does, uint32_t offset, int64_t index, int64_t count, uint32_t bytes,
                              const Site& site);
// Which granules of a reserved buffer have memory: each access asks.
class Granules;
// Checks a view of memory that the simulator allocated; memory that it did not is the caller's affair. NULL: there is memory
// all over.
const Granules* require_accessible(const void* data, uint64_t bytes, const Site& site);
void require_mapped(const Granules& granules, const char* does, const void* data, uint64_t bytes, const Site& site);
void forget_checked_ranges();  // before a launch
uint32_t take_shared(uint32_t& used, uint64_t bytes, int alignment_bytes, const Site& site);

void require_previous_kernel(const Site& site);

// Every access of the running thread comes here, to be counted and, in shared memory, to be held against those of other
// threads. Not inline: kernels are compiled for quick builds, this for speed.
void note_global(Access access, const void* address, uint32_t bytes, const Site& site);
// The address of shared memory that the running thread accesses.
std::byte* touch_shared(Access access, uint32_t offset, uint32_t bytes, const Site& site);
// A read of a part of an operand's row: counted as it is, held against other threads' writes by the 8 bytes around it (as
// ldmatrix takes 16), which need not be told apart then.
std::byte* touch_operand(uint32_t offset, uint32_t bytes, const Site& site);

}  // namespace adze::sim
