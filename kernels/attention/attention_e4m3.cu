// attention's instances for caches in FP8 E4M3.
#include "attention/attention_launch.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template void launch_instance<e4m3>(LaunchStream&, const AttentionKernelParams&, int64_t);

}  // namespace ADZE_TARGET
}  // namespace adze
