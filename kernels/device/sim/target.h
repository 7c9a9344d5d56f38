#pragma once

#include <source_location>
#include <type_traits>

#include "device/target.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr Arch kArch = Arch::ADZE_SIM_ARCH;
constexpr Target kTarget{
    .arch = kArch,
    .warp_size = kArch == Arch::kGfx90a ? 64 : 32,
    .async_copy = kArch != Arch::kGfx90a,
    .bulk_copy = kArch == Arch::kSm90a,
    .fp8_mma = kArch == Arch::kSm89,
    .named_barriers = kArch != Arch::kGfx90a,
};
constexpr int kWarpSize = kTarget.warp_size;
using LaneMask = std::conditional_t<kWarpSize == 64, uint64_t, uint32_t>;
using Site = std::source_location;

}  // namespace ADZE_TARGET
}  // namespace adze
