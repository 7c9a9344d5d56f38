// Prefill on sm_90a, as attention.cu sees it; compiled for every target.
#pragma once

#include "attention/attention.h"
#include "device/arch.h"
#include "device/target.h"

namespace adze {

class LaunchStream;

inline namespace ADZE_TARGET {

// Runs the pieces of the highest row tiles. False, and nothing is launched, where the device or the call is not one for it:
// another kernel must serve them. Its conditions, apart from sm_90a:
//   - q, the caches and o have one 16-bit format, the caches no scales; p, as one number of that format, would waste an f32 o.
//     Or the caches are quantised, q and o bf16, and head dims at most 192 and 128
//   - no mask (in deterministic contexts, no room for one in the plan), ALiBi, learned sinks or soft cap; softmax_scale is
//     positive and at most 1 / log2(e)
//   - pages of a multiple of 8 tokens, which is what the copy engine can put together to swizzled tiles; the caches' data and
//     strides, and q's, are multiples of 16 bytes
bool launch_sm90_prefill(LaunchStream& stream, const AttentionParams& p);

}  // namespace ADZE_TARGET
}  // namespace adze
