#include <algorithm>

#include "attention/kv_append.cuh"
#include "device/launch.h"

namespace adze {
inline namespace ADZE_TARGET {

namespace {

KvAppendSide kv_append_side(const adze_tensor& rows, const adze_kv_cache& cache, const AttentionShape& shape,
                            int32_t head_dim) {
    const int64_t last_token = shape.page_size - 1, last_head = shape.num_kv_heads - 1;
    const int64_t page = last_token * cache.token_stride + last_head * cache.head_stride + head_dim;
    const adze_tensor pages{cache.data, cache.num_pages, page, cache.page_stride, cache.dtype, 0};
    KvAppendSide side{};
    side.rows = float_matrix(rows);
    side.cache = float_matrix(pages);
    const int64_t strides_bytes = (cache.token_stride | cache.head_stride) * (cache.dtype == ADZE_DTYPE_F32 ? 4 : 2);
    side.cache.aligned = side.cache.aligned && strides_bytes % 16 == 0 && head_dim % kLaneElements == 0;
    side.rows.aligned = side.rows.aligned && head_dim % kLaneElements == 0;
    side.token_stride = cache.token_stride;
    side.head_stride = cache.head_stride;
    side.scales = cache.scales;
    side.scales_count = (cache.num_pages - 1) * cache.scale_page_stride + last_token * cache.scale_token_stride +
                        last_head * cache.scale_head_stride + 1;
    side.scale_page_stride = cache.scale_page_stride;
    side.scale_token_stride = cache.scale_token_stride;
    side.scale_head_stride = cache.scale_head_stride;
    side.head_dim = head_dim;
    side.head_vectors = (head_dim + 2 * kLaneElements - 1) / (2 * kLaneElements) * 2;
    return side;
}

}  // namespace

void kv_append(LaunchStream& stream, const KvAppendParams& p) {
    const AttentionShape& shape = p.plan->shape;
    const AttentionDevicePlan& plan = p.plan->device;
    // What is recorded must do for every batch that the plan may be given before it runs.
    const int64_t tokens = stream.capturing() ? shape.max_q_tokens : p.plan->schedule.qo_indptr.back();
    // Two blocks for each processor; but where tokens are so small that most threads would idle, fewer.
    const KvAppendSide k = kv_append_side(p.k, p.k_cache, shape, shape.head_dim_qk);
    const KvAppendSide v = kv_append_side(p.v, p.v_cache, shape, shape.head_dim_v);
    const int64_t token_vectors = int64_t{shape.num_kv_heads} * std::max(k.head_vectors, v.head_vectors);
    const int64_t together =
        std::clamp<int64_t>(std::max(tokens / (2 * stream.num_processors()), KvAppend::kThreads / 2 / token_vectors), 1,
                            KvAppend::kMaxTokens);
    launch<KvAppend>(stream, {(tokens + together - 1) / together, 1, 1}, KvAppend::kSharedBytes,
                     {k, v, plan.counts, plan.qo_indptr, plan.kv_indptr, plan.kv_len, p.kv_indices, shape.max_sequences,
                      shape.num_kv_heads, shape.page_size, static_cast<int32_t>(together)});
}

}  // namespace ADZE_TARGET
}  // namespace adze
