// Compiled once per instruction set.
#include "runtime/cpu_kernels.h"

namespace adze::ADZE_ISA {

const CpuKernels kernels{linear, attention, attention_merge, kv_append, embedding, rms_norm, rope, silu_gate, sampling};

}  // namespace adze::ADZE_ISA
