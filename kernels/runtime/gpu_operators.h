// What the GPU sources offer to the backends that run them: one table a target, defined in runtime/gpu_operators.cu.
#pragma once

#include "attention/attention.h"
#include "device/arch.h"
#include "glue/glue.h"
#include "linear/linear.h"
#include "sampling/sampling.h"

namespace adze {

class LaunchStream;  // device/launch.h

struct GpuOperators {
    uint64_t (*weight_bytes)(adze_dtype dtype, int64_t n, int64_t k);
    uint64_t (*linear_workspace)(const WeightView& weight, int64_t rows);
    uint64_t (*sampling_workspace)(int64_t rows, int64_t vocabulary);
    void (*require_attention)(const AttentionShape& shape);
    AttentionSplit (*attention_split)(const AttentionShape& shape, Arch arch, int num_processors, bool deterministic);

    void (*pack_weight)(LaunchStream& stream, const void* source, int64_t row_stride, const WeightView& packed);
    void (*linear)(LaunchStream& stream, const LinearParams& params);
    void (*attention)(LaunchStream& stream, const AttentionParams& params);
    void (*attention_merge)(LaunchStream& stream, const AttentionMergeParams& params);
    void (*kv_append)(LaunchStream& stream, const KvAppendParams& params);
    void (*embedding)(LaunchStream& stream, const EmbeddingParams& params);
    void (*rms_norm)(LaunchStream& stream, const RmsNormParams& params);
    void (*rope)(LaunchStream& stream, const RopeParams& params);
    void (*silu_gate)(LaunchStream& stream, const SiluGateParams& params);
    void (*sampling)(LaunchStream& stream, const SamplingParams& params);
};

}  // namespace adze
