// HIP for gfx90a.
#pragma once

#include <hip/hip_runtime.h>

namespace adze {
inline namespace ADZE_TARGET {

constexpr Target kTarget{Arch::kGfx90a, 64, false, false, false, false};
constexpr int kWarpSize = 64;
using LaneMask = uint64_t;

struct Site {
    ADZE_DEVICE static constexpr Site current() { return {}; }
};

}  // namespace ADZE_TARGET
}  // namespace adze
