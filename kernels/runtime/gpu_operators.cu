// The table of a target's operators, defined in <op>.cu.
#include "device/target.h"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {

uint64_t gpu_weight_bytes(adze_dtype dtype, int64_t n, int64_t k);
uint64_t gpu_linear_workspace(const WeightView& weight, int64_t rows);
uint64_t gpu_sampling_workspace(int64_t rows, int64_t vocabulary);
void gpu_require_attention(const AttentionShape& shape);
AttentionSplit gpu_attention_split(const AttentionShape& shape, Arch arch, int num_processors, bool deterministic);
void pack_weight(LaunchStream& stream, const void* source, int64_t row_stride, const WeightView& packed);
void linear(LaunchStream& stream, const LinearParams& params);
void attention(LaunchStream& stream, const AttentionParams& params);
void attention_merge(LaunchStream& stream, const AttentionMergeParams& params);
void kv_append(LaunchStream& stream, const KvAppendParams& params);
void embedding(LaunchStream& stream, const EmbeddingParams& params);
void rms_norm(LaunchStream& stream, const RmsNormParams& params);
void rope(LaunchStream& stream, const RopeParams& params);
void silu_gate(LaunchStream& stream, const SiluGateParams& params);
void sampling(LaunchStream& stream, const SamplingParams& params);

// A function: a constant would be the device's, too, for Clang, which then misses the host's functions there.
const GpuOperators& gpu_operators();
const GpuOperators& gpu_operators() {
    static constexpr GpuOperators kOperators{
        .weight_bytes = gpu_weight_bytes,
        .linear_workspace = gpu_linear_workspace,
        .sampling_workspace = gpu_sampling_workspace,
        .require_attention = gpu_require_attention,
        .attention_split = gpu_attention_split,
        .pack_weight = pack_weight,
        .linear = linear,
        .attention = attention,
        .attention_merge = attention_merge,
        .kv_append = kv_append,
        .embedding = embedding,
        .rms_norm = rms_norm,
        .rope = rope,
        .silu_gate = silu_gate,
        .sampling = sampling,
    };
    return kOperators;
}

}  // namespace ADZE_TARGET
}  // namespace adze
