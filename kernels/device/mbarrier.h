// Barriers in shared memory that count arrivals and bytes (sm_90: kTarget.bulk_copy), and the fences between ordinary
// accesses and those of the copy engine and of wgmma (the async proxy). PTX ISA, "mbarrier" and "Async proxy".
//
// A barrier is an element of a Shared<uint64_t>. It is in phase 0 when made; a phase ends when all arrivals and all bytes
// that were announced have come. Waiting for parity p returns once the phase of that parity (0, 1, 0, ...) has ended.
#pragma once

#include "device/barrier.h"
#include "device/memory.h"

namespace adze {
inline namespace ADZE_TARGET {

// By one thread; others may use the barrier after fence_mbarrier_init() by that thread and a block barrier.
ADZE_DEVICE void mbarrier_init(const Shared<uint64_t>& barriers, int index, int arrivals, Site site = Site::current());
ADZE_DEVICE void fence_mbarrier_init(Site site = Site::current());
ADZE_DEVICE void mbarrier_arrive(const Shared<uint64_t>& barriers, int index, Site site = Site::current());
// Arrives, and announces bytes that copies will bring in this phase.
ADZE_DEVICE void mbarrier_arrive_expect(const Shared<uint64_t>& barriers, int index, uint32_t bytes,
                                        Site site = Site::current());
ADZE_DEVICE void mbarrier_wait(const Shared<uint64_t>& barriers, int index, uint32_t parity,
                               Site site = Site::current());
// This thread's ordinary accesses to shared memory before it come before async-proxy accesses that are ordered after it.
ADZE_DEVICE void fence_async_proxy(Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(mbarrier.h)
