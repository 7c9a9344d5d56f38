// attention: which instance and how many blocks serve a call, and its launches. kv_append is in kv_append.cu.
#include "attention/attention.cuh"
#include "attention/sm90_attention.h"
#include "runtime/check.h"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {

// What a call runs as. The choice decides about speed only: all instances give the same bits.
struct AttentionConfig {
    int dim;    // template argument
    int warps;  // of 16 rows
    int q_parts, p_parts;
    int64_t work, kv_heads, rows, row_tiles, merges;
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

// Rows of the highest tile; of any that a batch may bring while the launch is recorded.
int64_t most_rows(const AttentionPlan& plan, bool capturing) {
    const int64_t most = int64_t{plan.shape.max_q_len} * plan.shape.group();
    if (capturing) return most < kTileRows[kRowTiles - 1] ? most : kTileRows[kRowTiles - 1];
    int64_t rows = 0;
    for (const AttentionWork& work : plan.schedule.work) {
        if (work.row_end - work.row_begin > rows) rows = work.row_end - work.row_begin;
    }
    return rows;
}

AttentionConfig choose_attention(const LaunchStream& stream, const AttentionParams& p) {
    const AttentionPlan& plan = *p.plan;
    const adze_dtype cache = p.k.dtype;
    AttentionConfig c{};
    c.dim = padded_dim(plan.shape);
    c.q_parts = p.q.dtype == cache ? 1 : p.q.dtype == ADZE_DTYPE_F32 ? 3 : 2;
    c.p_parts = cache == ADZE_DTYPE_BF16 && p.o.dtype == ADZE_DTYPE_F32 ? 3 : 2;
    const bool capturing = stream.capturing();
    const int64_t rows = most_rows(plan, capturing);
    c.warps = rows <= 32 ? 2 : kMostWarps;
    while (c.warps > 1 && attention_shared_bytes(c.dim, c.warps, c.q_parts) > stream.shared_limit()) c.warps /= 2;
    c.rows = rows;
    c.work = capturing ? max_work(plan) : static_cast<int64_t>(plan.schedule.work.size());
    c.kv_heads = plan.shape.num_kv_heads;
    c.row_tiles = (rows + 16 * c.warps - 1) / (16 * c.warps);
    c.merges = capturing ? max_merges(plan) : static_cast<int64_t>(plan.schedule.merges.size());
    return c;
}

void require_head_dim(int32_t value, const char* name) {
    for (const int32_t supported : {64, 80, 96, 128, 256}) {
        if (value == supported) return;
    }
    fail(ADZE_ERROR_NOT_SUPPORTED, "%s is %d; the GPU kernels support 64, 80, 96, 128, 256", name, value);
}

// Options that the kernels do not have yet.
void require_none(bool given, const char* name) {
    if (given) fail(ADZE_ERROR_NOT_SUPPORTED, "%s is given; the GPU kernels do not support it yet", name);
}

void gpu_require_attention(const AttentionShape& shape) {
    require_head_dim(shape.head_dim_qk, "head_dim_qk");
    require_head_dim(shape.head_dim_v, "head_dim_v");
    require_none(shape.logits_soft_cap != 0, "logits_soft_cap");
    require_none(shape.sink_tokens != 0, "sink_tokens");
    require_none(shape.max_mask_words != 0, "max_mask_words");
}

// Blocks that a processor runs at once, and the splits of deterministic contexts.
AttentionSplit gpu_attention_split(const AttentionShape& shape, int num_processors, bool deterministic) {
    constexpr int kBlocksPerProcessor = 2;
    constexpr int64_t kFixedKeys = 1024;
    AttentionSplit split{};
    for (int i = 0; i < kRowTiles; ++i) {
        const int blocks = kBlocksPerProcessor * num_processors / shape.num_kv_heads;
        split.blocks[i] = blocks < 1 ? 1 : blocks;
        if (deterministic) split.fixed_keys[i] = i < kRowTiles - 1 ? kFixedKeys : AttentionSplit::kWhole;
    }
    return split;
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
    if (p.k.dtype != ADZE_DTYPE_F16 && p.k.dtype != ADZE_DTYPE_BF16) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "k.dtype is %s; the GPU kernels support F16, BF16", dtype_name(p.k.dtype));
    }
    require_none(p.alibi_slopes.data != nullptr, "alibi_slopes");
    require_none(p.sinks.data != nullptr, "sinks");
    AttentionConfig c = choose_attention(stream, p);
    const bool prefill_done = launch_sm90_prefill(stream, p);
    if (prefill_done && !stream.capturing()) c.work = p.plan->schedule.block_work[kRowTiles - 1].front();
    const AttentionKernelParams params{
        p.plan->shape, p.plan->device,
        p.q,           p.o,
        p.lse,         p.kv_indices,
        p.k,           p.v,
        p.workspace,   partial_rows(*p.plan),
        c.work,        {p.plan->split.blocks[0], p.plan->split.blocks[1], p.plan->split.blocks[2]},
        c.q_parts,     c.p_parts,
        prefill_done};
    if (p.k.dtype == ADZE_DTYPE_F16) {
        launch_format<f16>(stream, c, params);
    } else {
        launch_format<bf16>(stream, c, params);
    }
    constexpr int64_t kRows = MergeAttention::kWarps;
    launch<MergeAttention>(stream, {c.merges, c.kv_heads, (c.rows + kRows - 1) / kRows}, 0, params);
}

void attention_merge(LaunchStream&, const AttentionMergeParams&) {
    fail(ADZE_ERROR_NOT_SUPPORTED, "the GPU kernels do not merge yet");
}

}  // namespace ADZE_TARGET
}  // namespace adze
