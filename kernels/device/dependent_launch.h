// Programmatic dependent launch (sm_90): a kernel whose type says `static constexpr bool kOverlaps = true` may start
// while the kernel before it on the stream still runs. It must wait before it touches what that kernel wrote or still
// reads, and one thread of it in any case: else it may end first, and whoever waits for its end believes that both have
// ended. On other targets it starts afterwards, and both functions do nothing.
#pragma once

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void wait_for_previous_kernel(Site site = Site::current());
// From here on the next kernel on the stream may start, once all blocks have come here or returned.
ADZE_DEVICE void allow_next_kernel(Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(dependent_launch.h)
