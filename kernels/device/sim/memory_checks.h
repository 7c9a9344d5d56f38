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

// What counts each access and holds it against other threads'. Kernels that are compiled for speed inline it; those that are
// compiled for quick builds call device.cpp's.
#ifdef ADZE_SIM_QUICK
void require_previous_kernel(const Site& site);
void note_global(Access access, const void* address, uint32_t bytes, const Site& site);
std::byte* touch_shared(Access access, uint32_t offset, uint32_t bytes, const Site& site);
std::byte* touch_operand(uint32_t offset, uint32_t bytes, const Site& site);
#else
    #ifndef ADZE_SIM_ACCESS
        #define ADZE_SIM_ACCESS extern inline __attribute__((gnu_inline))
    #endif

ADZE_SIM_ACCESS void require_previous_kernel(const Site& site) {
    if (current->must_wait) current->block->fail(site, "an access to global memory before wait_for_previous_kernel");
}

ADZE_SIM_ACCESS void note_global(Access access, const void* address, uint32_t bytes, const Site& site) {
    Thread& self = *current;
    require_previous_kernel(site);
    self.warp->traffic.note(self.lane, self.cursor, access, reinterpret_cast<uint64_t>(address), bytes, site);
}

// The address of shared memory that the running thread accesses.
ADZE_SIM_ACCESS std::byte* touch_shared(Access access, uint32_t offset, uint32_t bytes, const Site& site) {
    Thread& self = *current;
    self.warp->traffic.note(self.lane, self.cursor, access, offset, bytes, site);
    self.block->shadow.access(self, access == Access::kSharedRead ? Shadowed::kRead : Shadowed::kWrite, offset, bytes,
                              site);
    return self.block->shared(offset);
}

// The same for a part of an operand's row: counted as it is, held against other threads' writes by the 8 bytes around it (as
// ldmatrix takes 16), which need not be told apart then.
ADZE_SIM_ACCESS std::byte* touch_operand(uint32_t offset, uint32_t bytes, const Site& site) {
    Thread& self = *current;
    self.warp->traffic.note(self.lane, self.cursor, Access::kSharedRead, offset, bytes, site);
    self.block->shadow.access(self, Shadowed::kRead, offset & ~7u, 8, site);
    return self.block->shared(offset);
}
#endif

}  // namespace adze::sim
