// Barriers. Each also orders the memory accesses of the threads that meet at it.
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

// All threads of the block that have not returned.
ADZE_DEVICE void sync_block(Site site = Site::current());
// All lanes of the warp.
ADZE_DEVICE void sync_warp(Site site = Site::current());
// `threads` threads (whole warps) of the block that call sync_named or arrive_named with this id, 1 to 15. Only where
// kTarget.named_barriers.
ADZE_DEVICE void sync_named(int id, int threads, Site site = Site::current());
// Counts as arrived at, without waiting.
ADZE_DEVICE void arrive_named(int id, int threads, Site site = Site::current());
// Orders this thread's accesses to global memory before its later ones, for all threads of the device.
ADZE_DEVICE void fence_device(Site site = Site::current());

// `inside`, said of an index. Guards keep accesses within their tensors; a marked guard can be switched off in the
// simulator, to see that the tests would notice.
ADZE_DEVICE bool guard(bool inside, Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(barrier.h)
