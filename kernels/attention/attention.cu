// attention: which instances and how many blocks serve a call, and its launches. kv_append is in kv_append.cu.
#include "attention/attention.cuh"
#include "attention/attention_merge.cuh"
#include "attention/attention_tuning.h"
#include "attention/sm90_attention.h"
#include "runtime/check.h"
#include "runtime/gpu_operators.h"

namespace adze {
inline namespace ADZE_TARGET {

void require_head_dim(int32_t value, const char* name) {
    for (const int32_t supported : {64, 80, 96, 128, 256}) {
        if (value == supported) return;
    }
    fail(ADZE_ERROR_NOT_SUPPORTED,
         "%s is %d; the GPU kernels support 64, 80, 96, 128, 256, and 192 for q and k with "
         "128 for v",
         name, value);
}

void gpu_require_attention(const AttentionShape& shape) {
    if (shape.head_dim_qk == 192 && shape.head_dim_v == 128) return;
    require_head_dim(shape.head_dim_qk, "head_dim_qk");
    require_head_dim(shape.head_dim_v, "head_dim_v");
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

// Parts of q and p: one where nothing but T's own rounding is lost.
int q_parts(const AttentionParams& p) {
    return p.q.dtype == p.k.dtype ? 1 : p.q.dtype == ADZE_DTYPE_F32 ? 3 : 2;
}
int p_parts(const AttentionParams& p) {
    const bool is_bf16 = p.k.dtype == ADZE_DTYPE_BF16;
    if (p.o.dtype == ADZE_DTYPE_F32) return is_bf16 ? 3 : 2;
    // A row's largest weight is 1, which every format has, but for phi and for scales of values; o may then be finer.
    const bool has_token_scales = p.v.scales != nullptr && (p.v.scale_page_stride != 0 || p.v.scale_token_stride != 0);
    const bool finer = p.o.dtype == ADZE_DTYPE_F16 && is_bf16;
    return finer && (p.phi.data != nullptr || has_token_scales) ? 2 : 1;
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
    out.p_parts = p_parts(p);
    out.unified = p.softmax == ADZE_SOFTMAX_UNIFIED;
    return out;
}

// Launches the instance of kRowCount rows, if it can serve the call.
template <class T, int kDimQk, int kDimV, int kRowCount>
bool launch_rows(LaunchStream& stream, const AttentionKernelParams& params, int64_t blocks) {
    using Kernel = Attention<T, kDimQk, kDimV, kRowCount>;
    const bool has_token_scales = params.v.scale_page_stride != 0 || params.v.scale_token_stride != 0;
    const bool needs_units = std::is_same_v<T, f16> && params.v.scales != nullptr && has_token_scales;
    if (!Kernel::kHasParts && (params.q_parts > 1 || params.p_parts > 1 || needs_units)) return false;
    const AttentionTile shape = attention_tile(stream.arch(), kDimQk, kDimV, kRowCount, sizeof(T));
    const int64_t bytes = Kernel::shared_bytes(shape, stream.arch() != Arch::kGfx90a, params.q_parts);
    if (bytes > stream.shared_limit()) return false;
    launch<Kernel>(stream, {blocks, params.shape.num_kv_heads, 1}, bytes, params);
    return true;
}

// A piece has more rows than an instance takes at a time where shared memory is too small for more.
template <class T, int kDimQk, int kDimV>
void launch_dims(LaunchStream& stream, const AttentionKernelParams& params, int64_t blocks) {
    if (params.height == 2 && launch_rows<T, kDimQk, kDimV, 128>(stream, params, blocks)) return;
    if (params.height >= 1 && launch_rows<T, kDimQk, kDimV, 64>(stream, params, blocks)) return;
    if (launch_rows<T, kDimQk, kDimV, 16>(stream, params, blocks)) return;
    fail(ADZE_ERROR_NOT_SUPPORTED, "head_dim is %d; the device has %lld bytes of shared memory a block, too few",
         kDimQk, static_cast<long long>(stream.shared_limit()));
}

// The rows of one height: those that the batch has, or in a capture, that any batch may have.
template <class T>
void launch_height(LaunchStream& stream, const AttentionPlan& plan, AttentionKernelParams params, bool is_tuned,
                   int height) {
    params.height = height;
    params.tile_rows = static_cast<int32_t>(kTileRows[height]);
    params.blocks = plan.split.blocks[height];
    if (is_tuned) {
        const SoftmaxCase c{stream.arch(), params.k.dtype, plan.shape.head_dim_qk, params.tile_rows};
        params.unified = tuned_softmax(c) == ADZE_SOFTMAX_UNIFIED;
    }
    const int64_t blocks = stream.capturing() ? params.blocks : plan.schedule.used_blocks[height];
    const AttentionShape& s = plan.shape;
    if (s.head_dim_qk == 192) return launch_dims<T, 192, 128>(stream, params, blocks);
    const int32_t dim = s.head_dim_qk > s.head_dim_v ? s.head_dim_qk : s.head_dim_v;
    if (dim <= 64) return launch_dims<T, 64, 64>(stream, params, blocks);
    if (dim <= 128) return launch_dims<T, 128, 128>(stream, params, blocks);
    launch_dims<T, 256, 256>(stream, params, blocks);
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

template <class T>
void launch_attention(LaunchStream& stream, const AttentionParams& p) {
    const AttentionKernelParams params = kernel_params(p);
    const AttentionShape& s = p.plan->shape;
    // A sequence that has queries has a group of rows at least.
    for (int height = row_tile_of(s.group()); height <= highest_row_tile(s); ++height) {
        if (height == kRowTiles - 1 && launch_sm90_prefill(stream, p)) continue;
        launch_height<T>(stream, *p.plan, params, p.softmax == ADZE_SOFTMAX_TUNED, height);
    }
    launch_merges(stream, *p.plan, params);
}

// Positions in the kernels have 32 bits, and tiles may end beyond the last.
void require_lengths(const AttentionSchedule& schedule) {
    constexpr int64_t kLongest = INT32_MAX - kKeyUnit;
    for (const int64_t kv_len : schedule.kv_len) {
        if (kv_len > kLongest) {
            fail(ADZE_ERROR_NOT_SUPPORTED, "a sequence has %lld keys; the GPU kernels support %lld",
                 static_cast<long long>(kv_len), static_cast<long long>(kLongest));
        }
    }
}

void attention(LaunchStream& stream, const AttentionParams& p) {
    require_lengths(p.plan->schedule);
    if (p.k.dtype != ADZE_DTYPE_F16 && p.k.dtype != ADZE_DTYPE_BF16) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "k.dtype is %s; the GPU kernels support F16, BF16", dtype_name(p.k.dtype));
    }
    if (p.k.dtype == ADZE_DTYPE_F16) {
        launch_attention<f16>(stream, p);
    } else {
        launch_attention<bf16>(stream, p);
    }
}

void attention_merge(LaunchStream& stream, const AttentionMergeParams& p) {
    constexpr int64_t kRows = MergeParts::kWarps;
    launch<MergeParts>(stream, {(p.o.rows * p.num_heads + kRows - 1) / kRows, 1, 1}, 0, p);
}

}  // namespace ADZE_TARGET
}  // namespace adze
