// CUDA: one compilation for several architectures, so kTarget differs from pass to pass. Host code gets the least of
// them and asks LaunchStream::arch() instead.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 890
constexpr Target kTarget{Arch::kSm80, 32, true, false, false, true};
#elif __CUDA_ARCH__ < 900
constexpr Target kTarget{Arch::kSm89, 32, true, false, true, true};
#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr Target kTarget{Arch::kSm90a, 32, true, true, false, true};
#else
    #error "of architecture 9.0 only 90a is supported"
#endif

constexpr int kWarpSize = 32;
using LaneMask = uint32_t;

struct Site {
    ADZE_DEVICE static constexpr Site current() { return {}; }
};

}  // namespace ADZE_TARGET
}  // namespace adze
