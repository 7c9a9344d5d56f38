// The sim backend, a plug-in: the GPU kernels run by the simulator (device/sim), on devices 0 (sm_80), 1 (sm_90a),
// 2 (gfx90a) and 3 (sm_89). Device memory is host memory that the simulator watches.
#include <cinttypes>
#include <cstring>
#include <mutex>

#include "device/sim/device.h"
#include "runtime/gpu_operators.h"
#include "runtime/host_streams.h"
#include "runtime/plugin_fail.h"

namespace adze {

// The operators of each device: the same sources, compiled once for each (kernels/sim.cmake).
#define ADZE_DECLARE_SIM_OPERATORS(target)      \
    inline namespace target {                   \
    extern const GpuOperators gpu_operators;    \
    }
ADZE_DECLARE_SIM_OPERATORS(sim_sm_80)
ADZE_DECLARE_SIM_OPERATORS(sim_sm_90a)
ADZE_DECLARE_SIM_OPERATORS(sim_gfx90a)
ADZE_DECLARE_SIM_OPERATORS(sim_sm_89)
#undef ADZE_DECLARE_SIM_OPERATORS

namespace {

// In the order of the devices. What does not launch (sizes, supported shapes) is asked of the context's own device, or,
// where the call has no context, of the first.
const GpuOperators* const kOperators[sim::kNumDevices] = {&sim_sm_80::gpu_operators, &sim_sm_90a::gpu_operators,
                                                          &sim_gfx90a::gpu_operators, &sim_sm_89::gpu_operators};

