// attention's instances for quantised caches.
#include "attention/attention_launch.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template void launch_instance<e4m3>(LaunchStream&, const AttentionKernelParams&, int64_t);
template void launch_instance<int8_t>(LaunchStream&, const AttentionKernelParams&, int64_t);
template void launch_instance<int4x2>(LaunchStream&, const AttentionKernelParams&, int64_t);

}  // namespace ADZE_TARGET
}  // namespace adze
