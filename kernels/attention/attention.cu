// attention: which instance and how many blocks serve a call, and its launches. kv_append is in kv_append.cu.
#include "attention/attention.cuh"
#include "runtime/check.h"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {

// What a call runs as. The choice decides about speed only: all instances give the same bits.
struct AttentionConfig {
    int dim;    // template argument
    int warps;  // of 16 rows
    int q_parts, p_parts;
    int64_t work, kv_heads, row_tiles, merges;
};

constexpr int kMostWarps = 4;

int64_t attention_shared_bytes(int dim, int warps, int q_parts) {
    if (dim == 64) return Attention<bf16, 64, kMostWarps>::shared_bytes(q_parts, warps);
    if (dim == 128) return Attention<bf16, 128, kMostWarps>::shared_bytes(q_parts, warps);
    return Attention<bf16, 256, kMostWarps>::shared_bytes(q_parts, warps);
}

int padded_dim(const AttentionShape& s) {
    const int32_t dim = s.head_dim_qk > s.head_dim_v ? s.head_dim_qk : s.head_dim_v;
    return dim <= 64 ? 64 : dim <= 128 ? 128 : 256;
}

// Query tokens of the longest piece of work; of any that a batch may bring while the launch is recorded.
int64_t longest_piece(const AttentionPlan& plan, bool capturing) {
    const int64_t most = plan.shape.max_q_tokens < kTileQueryTokens ? plan.shape.max_q_tokens : kTileQueryTokens;
    if (capturing) return most;
    int64_t longest = 0;
    for (const AttentionWork& work : plan.schedule.work) {
        if (work.q_end - work.q_begin > longest) longest = work.q_end - work.q_begin;
    }
    return longest;
}

AttentionConfig choose_attention(const LaunchStream& stream, const AttentionParams& p) {
    const AttentionPlan& plan = *p.plan;
    const adze_dtype cache = p.k.dtype;
    AttentionConfig c{};
    c.dim = padded_dim(plan.shape);
    c.q_parts = p.q.dtype == cache ? 1 : p.q.dtype == ADZE_DTYPE_F32 ? 3 : 2;
    c.p_parts = cache == ADZE_DTYPE_BF16 && p.o.dtype == ADZE_DTYPE_F32 ? 3 : 2;
    const bool capturing = stream.capturing();
    const int64_t rows = longest_piece(plan, capturing) * plan.shape.group();
    c.warps = rows <= 32 ? 2 : kMostWarps;
    while (c.warps > 1 && attention_shared_bytes(c.dim, c.warps, c.q_parts) > stream.shared_limit()) c.warps /= 2;
    c.work = capturing ? max_work(plan.shape) : static_cast<int64_t>(plan.schedule.work.size());
    c.kv_heads = plan.shape.num_kv_heads;
    c.row_tiles = (rows + 16 * c.warps - 1) / (16 * c.warps);
    c.merges = capturing ? max_merges(plan.shape) : static_cast<int64_t>(plan.schedule.merges.size());
    return c;
}

void require_head_dim(int32_t value, const char* name) {
    for (const int32_t supported : {64, 80, 96, 128, 256}) {
        if (value == supported) return;
    }
    fail(ADZE_ERROR_NOT_SUPPORTED, "%s is %d; the GPU kernels support 64, 80, 96, 128, 256", name, value);
}

void gpu_require_attention(const AttentionShape& shape) {
    require_head_dim(shape.head_dim_qk, "head_dim_qk");
    require_head_dim(shape.head_dim_v, "head_dim_v");
}

uint64_t gpu_attention_workspace(const AttentionShape& shape) {
    return attention_workspace_bytes(shape);
}

template <class T, int kDim, int kWarps>
void launch_instance(LaunchStream& stream, const AttentionConfig& c, const AttentionKernelParams& params) {
    using Kernel = Attention<T, kDim, kWarps>;
    launch<Kernel>(stream, {c.work, c.kv_heads, c.row_tiles}, Kernel::shared_bytes(c.q_parts, kWarps), params);
}

template <class T, int kDim>
void launch_dim(LaunchStream& stream, const AttentionConfig& c, const AttentionKernelParams& params) {
    if (c.warps == kMostWarps) return launch_instance<T, kDim, kMostWarps>(stream, c, params);
    if (c.warps == 2) return launch_instance<T, kDim, 2>(stream, c, params);
    // Large heads in the 64 KB of gfx90a, whose one warp has 64 threads.
    if constexpr (kDim == 256 && kWarpSize == 64) return launch_instance<T, kDim, 1>(stream, c, params);
    fail(ADZE_ERROR_NOT_SUPPORTED, "head_dim is %d; the device has %lld bytes of shared memory a block, too few", kDim,
         static_cast<long long>(stream.shared_limit()));
}

template <class T>
void launch_format(LaunchStream& stream, const AttentionConfig& c, const AttentionKernelParams& params) {
    if (c.dim == 64) return launch_dim<T, 64>(stream, c, params);
    if (c.dim == 128) return launch_dim<T, 128>(stream, c, params);
    launch_dim<T, 256>(stream, c, params);
}

void attention(LaunchStream& stream, const AttentionParams& p) {
    if (p.k.dtype == ADZE_DTYPE_F32) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "k.dtype is f32; the GPU kernels support f16, bf16");
    }
    const AttentionConfig c = choose_attention(stream, p);
    const AttentionKernelParams params{p.plan->shape,
                                       p.plan->device,
                                       p.q,
                                       p.o,
                                       p.lse,
                                       p.kv_indices,
                                       p.k,
                                       p.v,
                                       static_cast<float*>(p.workspace),
                                       static_cast<int64_t>(attention_workspace_bytes(p.plan->shape) / sizeof(float)),
                                       c.q_parts,
                                       c.p_parts};
    if (p.k.dtype == ADZE_DTYPE_F16) {
        launch_format<f16>(stream, c, params);
    } else {
        launch_format<bf16>(stream, c, params);
    }
    constexpr int64_t kHeads = MergeAttention::kWarps;
    launch<MergeAttention>(stream, {c.merges, (p.plan->shape.num_q_heads + kHeads - 1) / kHeads, 1}, 0, params);
}

}  // namespace ADZE_TARGET
}  // namespace adze
