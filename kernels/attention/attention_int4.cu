// attention's instances for caches in INT4.
#include "attention/attention_launch.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template void launch_instance<int4x2>(LaunchStream&, const AttentionKernelParams&, int64_t);

}  // namespace ADZE_TARGET
}  // namespace adze
