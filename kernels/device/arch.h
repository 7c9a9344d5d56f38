// The architectures that kernels are compiled for, and what their instructions can do.
#pragma once

#include <cstdint>

namespace adze {

enum class Arch : int32_t { kSm80 = 80, kSm89 = 89, kSm90a = 90, kGfx90a = 910 };

// Kernels choose by `if constexpr (kTarget.async_copy)`.
struct Target {
    Arch arch;
    int warp_size;
    bool async_copy;      // async_copy.h copies while the warp goes on; else at once, through registers
    bool bulk_copy;       // mbarrier.h, bulk_copy.h, wgmma.h, dependent_launch.h
    bool fp8_mma;         // Mma<e4m3>, Mma<e5m2>
    bool named_barriers;  // sync_named, arrive_named
};

}  // namespace adze
