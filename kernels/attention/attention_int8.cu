// attention's instances for caches in INT8.
#include "attention/attention_launch.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template void launch_instance<int8_t>(LaunchStream&, const AttentionKernelParams&, int64_t);

}  // namespace ADZE_TARGET
}  // namespace adze
