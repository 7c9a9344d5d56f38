// Launches. A kernel is a type:
//
//   struct RmsNorm {
//       static constexpr const char* kName = "rms_norm";
//       static constexpr int kThreads = 256;            threads in a block, a multiple of 64
//       using Params = RmsNormParams;                   passed by value
//       static constexpr int kBlocksPerProcessor = 2;   optional: registers are to suffice for so many
//       static constexpr bool runs_on(Arch arch);       for which targets its body is compiled
//       ADZE_DEVICE static void run(const Params& p);
//   };
//   launch<RmsNorm>(stream, {blocks, 1, 1}, shared_bytes, params);
//
// launch() is host code: it fails (by HostServices::fail) where the target cannot run the kernel, has less shared memory,
// or reports an error. A grid with a zero is no work.
#pragma once

#include "device/index.h"

namespace adze {

// What launch code may ask of the device; each layer defines it, with
//   Arch arch() const;  int num_processors() const;  int64_t shared_limit() const;  // bytes that a block may have
//   bool capturing() const;  // the launch is recorded: what the host knows of sizes may change before it runs
class LaunchStream;

inline namespace ADZE_TARGET {

struct Grid {
    int64_t x = 1, y = 1, z = 1;
};

template <class Kernel>
void launch(LaunchStream& stream, Grid grid, int64_t shared_bytes, const typename Kernel::Params& params);

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(launch.h)
