// The cpu kernels of one instruction set. Each set's objects define them in a namespace of its own.
#pragma once

#include "attention/attention.h"
#include "glue/glue.h"
#include "linear/linear.h"
#include "runtime/cpu_pool.h"
#include "sampling/sampling.h"

namespace adze {

// Positions whose keys attention sums in one go, from a multiple of it on.
constexpr int64_t kCpuSplitKeys = 2048;

struct CpuKernels {
    void (*linear)(CpuPool& pool, const LinearParams& params);
    void (*attention)(CpuPool& pool, const AttentionParams& params);
    void (*attention_merge)(CpuPool& pool, const AttentionMergeParams& params);
    void (*kv_append)(CpuPool& pool, const KvAppendParams& params);
    void (*embedding)(CpuPool& pool, const EmbeddingParams& params);
    void (*rms_norm)(CpuPool& pool, const RmsNormParams& params);
    void (*rope)(CpuPool& pool, const RopeParams& params);
    void (*silu_gate)(CpuPool& pool, const SiluGateParams& params);
    void (*sampling)(CpuPool& pool, const SamplingParams& params);
};

#define ADZE_DECLARE_CPU_KERNELS(isa)                                        \
    namespace isa {                                                          \
    void linear(CpuPool& pool, const LinearParams& params);                  \
    void attention(CpuPool& pool, const AttentionParams& params);            \
    void attention_merge(CpuPool& pool, const AttentionMergeParams& params); \
    void kv_append(CpuPool& pool, const KvAppendParams& params);             \
    void embedding(CpuPool& pool, const EmbeddingParams& params);            \
    void rms_norm(CpuPool& pool, const RmsNormParams& params);               \
    void rope(CpuPool& pool, const RopeParams& params);                      \
    void silu_gate(CpuPool& pool, const SiluGateParams& params);             \
    void sampling(CpuPool& pool, const SamplingParams& params);              \
    extern const CpuKernels kernels;                                         \
    }
ADZE_DECLARE_CPU_KERNELS(portable)
ADZE_DECLARE_CPU_KERNELS(avx2)
ADZE_DECLARE_CPU_KERNELS(avx512)
#undef ADZE_DECLARE_CPU_KERNELS

}  // namespace adze
