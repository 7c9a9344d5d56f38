// Atomic operations on global memory, relaxed, device-wide, unless said otherwise.
#pragma once

#include "device/memory.h"

namespace adze {
inline namespace ADZE_TARGET {

// T is int32_t, uint32_t, uint64_t or float (add only). Return what was there before.
template <class T>
ADZE_DEVICE T atomic_add(const Global<T>& memory, int64_t index, T value, Site site = Site::current());
template <class T>
ADZE_DEVICE T atomic_max(const Global<T>& memory, int64_t index, T value, Site site = Site::current());
// The same in the block's shared memory; T is int32_t, uint32_t or float (add only).
template <class T>
ADZE_DEVICE T atomic_add(const Shared<T>& memory, int index, T value, Site site = Site::current());
template <class T>
ADZE_DEVICE T atomic_max(const Shared<T>& memory, int index, T value, Site site = Site::current());

// For flags between blocks: a load that sees a released value also sees what this thread wrote before it, and what other
// threads of the block wrote, each followed by fence_device and a barrier that this thread was at.
ADZE_DEVICE uint32_t load_acquire(const Global<uint32_t>& memory, int64_t index, Site site = Site::current());
ADZE_DEVICE void store_release(const Global<uint32_t>& memory, int64_t index, uint32_t value,
                               Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(atomic.h)
