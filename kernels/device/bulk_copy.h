// Bulk tensor copies (TMA; sm_90: kTarget.bulk_copy): one thread asks, the copy engine moves a box between global and
// shared memory, swizzled as the tensor map says. Elements outside the tensor are read as zero and not written.
#pragma once

#include "device/mbarrier.h"
#include "device/tensor_map.h"

namespace adze {
inline namespace ADZE_TARGET {

// Copies the box whose lowest corner is `at` (innermost first) to `to` from element to_index on, aligned to 128 bytes,
// or to 1024 if swizzled, and completes its bytes, box and all, on the barrier.
template <int kRank, class T>
ADZE_DEVICE void bulk_load(const Shared<T>& to, int to_index, const TensorMap& map, const int32_t (&at)[kRank],
                           const Shared<uint64_t>& barriers, int barrier, Site site = Site::current());
// The other way. The source is read until wait_bulk_stores; ordinary writes to it need a fence_async_proxy by their
// threads and a barrier before.
template <int kRank, class T>
ADZE_DEVICE void bulk_store(const TensorMap& map, const int32_t (&at)[kRank], const Shared<T>& from, int from_index,
                            Site site = Site::current());
ADZE_DEVICE void commit_bulk_stores(Site site = Site::current());
// Until the sources of all but the kGroups latest groups of this thread have been read.
template <int kGroups>
ADZE_DEVICE void wait_bulk_stores(Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(bulk_copy.h)
