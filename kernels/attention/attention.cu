// attention: which instances and how many blocks serve a call, and its launches. kv_append is in kv_append.cu.
#include "attention/attention_launch.cuh"
#include "attention/attention_merge.cuh"
#include "attention/attention_tuning.h"
#include "attention/sm90_attention.h"
#include "runtime/check.h"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace {

void require_head_dim(int32_t value, const char* name) {
    for (const int32_t supported : {64, 80, 96, 128, 256}) {
        if (value == supported) return;
    }
    fail(ADZE_ERROR_NOT_SUPPORTED,
         "%s is %d; the GPU kernels support 64, 80, 96, 128, 256, and 192 for q and k with "
         "128 for v",
         name, value);
}

}  // namespace

void gpu_require_attention(const AttentionShape& shape) {
    if (shape.head_dim_qk == 192 && shape.head_dim_v == 128) return;
    require_head_dim(shape.head_dim_qk, "head_dim_qk");
    require_head_dim(shape.head_dim_v, "head_dim_v");
}

// As many blocks as processors run at once, all of a KV head's the same number (blocks_of_head), and the splits of
// deterministic contexts.
AttentionSplit gpu_attention_split(const AttentionShape& shape, Arch arch, int num_processors, bool deterministic) {
    constexpr int64_t kFixedKeys = 1024;
    AttentionSplit split{};
    for (int i = 0; i < kRowTiles; ++i) {
        const int at_once =
            blocks_a_processor(arch, shape.head_dim_qk, shape.head_dim_v, static_cast<int>(kTileRows[i]));
        // Where sm_90a's prefill takes their shares together, its own blocks are what has to fill waves.
        const int together = arch == Arch::kSm90a && i == kRowTiles - 1 ? at_once : 1;
        split.blocks[i] = together * blocks_of_head(at_once / together * num_processors, shape.num_kv_heads);
        if (deterministic) split.fixed_keys[i] = i < kRowTiles - 1 ? kFixedKeys : AttentionSplit::kWhole;
    }
    return split;
}

namespace {

// Parts of q and p: one where nothing but the rounding of what is multiplied is lost.
int q_parts(const AttentionParams& p) {
    const adze_dtype multiplied = p.k.dtype == ADZE_DTYPE_F16 ? ADZE_DTYPE_F16 : ADZE_DTYPE_BF16;
    return p.q.dtype == multiplied ? 1 : p.q.dtype == ADZE_DTYPE_F32 ? 3 : 2;
}
int p_parts(const AttentionKernelParams& p) {
    const bool is_bf16 = p.k.dtype != ADZE_DTYPE_F16;  // as which quantised numbers are multiplied
    if (p.o.dtype == ADZE_DTYPE_F32) return is_bf16 ? 3 : 2;
    // A row's largest weight is 1, which every format has, but for phi and for scales of values; o may then be finer.
    const bool finer = p.o.dtype == ADZE_DTYPE_F16 && is_bf16;
    return finer && (p.unified || scales_vary(p.v)) ? 2 : 1;
}

float bound(float given, float most) {
    return given > 0.0f && given < most ? given : most;
}

AttentionKernelParams kernel_params(const AttentionParams& p) {
    AttentionKernelParams out{};
    out.shape = p.plan->shape;
    out.plan = p.plan->device;
    out.q = p.q, out.o = p.o, out.lse = p.lse, out.kv_indices = p.kv_indices;
    out.k = p.k, out.v = p.v;
    out.workspace = p.workspace;
    out.partials = partial_rows(*p.plan);
    out.mask = p.mask, out.alibi_slopes = p.alibi_slopes, out.sinks = p.sinks, out.phi = p.phi;
    out.phi_below = bound(p.phi_below, kMostBelowPhi);
    out.phi_above = bound(p.phi_above, kMostAbovePhi);
    out.num_work = max_work(*p.plan);
    out.num_merges = max_merges(*p.plan);
    out.q_parts = q_parts(p);
    out.unified = p.softmax == ADZE_SOFTMAX_UNIFIED;
    return out;
}

// The rows of one height: those that the batch has, or in a capture, that any batch may have.
template <class Stored>
void launch_height(LaunchStream& stream, const AttentionPlan& plan, AttentionKernelParams params, bool is_tuned,
                   int height) {
    params.height = height;
    params.tile_rows = static_cast<int32_t>(kTileRows[height]);
    params.blocks = plan.split.blocks[height];
    if (is_tuned) {
        const SoftmaxCase c{stream.arch(), params.k.dtype, plan.shape.head_dim_qk, params.tile_rows};
        params.unified = tuned_softmax(c) == ADZE_SOFTMAX_UNIFIED;
    }
    params.p_parts = p_parts(params);
    const int64_t blocks = stream.capturing() ? params.blocks : plan.schedule.used_blocks[height];
    launch_instance<Stored>(stream, params, blocks);
}

void launch_merges(LaunchStream& stream, const AttentionPlan& plan, const AttentionKernelParams& params) {
    int64_t merges = max_merges(plan), rows = int64_t{plan.shape.max_q_len} * plan.shape.group();
    if (!stream.capturing()) {
        merges = static_cast<int64_t>(plan.schedule.merges.size());
        rows = 1;
        for (const AttentionMerge& m : plan.schedule.merges) {
            if (m.row_end - m.row_begin > rows) rows = m.row_end - m.row_begin;
        }
    }
    if (rows > kTileRows[kRowTiles - 1]) rows = kTileRows[kRowTiles - 1];
    constexpr int64_t kRows = MergeSplits::kWarps;
    launch<MergeSplits>(stream, {merges, plan.shape.num_kv_heads, (rows + kRows - 1) / kRows}, 0, params);
}

template <class Stored>
void launch_attention(LaunchStream& stream, const AttentionParams& p) {
    const AttentionKernelParams params = kernel_params(p);
    const AttentionShape& s = p.plan->shape;
    // A sequence that has queries has a group of rows at least.
    for (int height = row_tile_of(s.group()); height <= highest_row_tile(s); ++height) {
        if (height == kRowTiles - 1 && launch_sm90_prefill(stream, p)) continue;
        launch_height<Stored>(stream, *p.plan, params, p.softmax == ADZE_SOFTMAX_TUNED, height);
    }
    launch_merges(stream, *p.plan, params);
}

}  // namespace

void attention(LaunchStream& stream, const AttentionParams& p) {
    switch (p.k.dtype) {
        case ADZE_DTYPE_F16:
            return launch_attention<f16>(stream, p);
        case ADZE_DTYPE_BF16:
            return launch_attention<bf16>(stream, p);
        case ADZE_DTYPE_F8E4M3:
            return launch_attention<e4m3>(stream, p);
        case ADZE_DTYPE_I8:
            return launch_attention<int8_t>(stream, p);
        case ADZE_DTYPE_I4:
            return launch_attention<int4x2>(stream, p);
        default:
            fail(ADZE_ERROR_NOT_SUPPORTED, "k.dtype is %s; the GPU kernels support F16, BF16, F8E4M3, I8, I4",
                 dtype_name(p.k.dtype));
    }
}

void attention_merge(LaunchStream& stream, const AttentionMergeParams& p) {
    constexpr int64_t kRows = MergeParts::kWarps;
    launch<MergeParts>(stream, {(p.o.rows * p.num_heads + kRows - 1) / kRows, 1, 1}, 0, p);
}

}  // namespace ADZE_TARGET
}  // namespace adze
