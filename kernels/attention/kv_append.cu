#include <algorithm>
#include <bit>

#include "attention/kv_append.cuh"
#include "device/launch.h"
#include "runtime/check.h"

namespace adze {
inline namespace ADZE_TARGET {

namespace {

// Whether a lane's vectors of kLaneElements are aligned to their size, or to 16 bytes, wherever they begin.
bool takes_vectors(const adze_kv_cache& cache) {
    const int64_t strides = cache.page_stride | cache.token_stride | cache.head_stride, bits = dtype_bits(cache.dtype);
    const int64_t vector_bytes = std::min<int64_t>(16, kLaneElements * bits / 8);
    return (reinterpret_cast<intptr_t>(cache.data) | strides * bits / 8) % vector_bytes == 0;
}

KvAppendSide kv_append_side(const adze_tensor& rows, const adze_kv_cache& cache, const AttentionShape& shape,
                            int32_t head_dim) {
    const int64_t last_token = shape.page_size - 1, last_head = shape.num_kv_heads - 1;
    KvAppendSide side{};
    side.head_dim = head_dim;
    side.stored_dim = cache.dtype == ADZE_DTYPE_I4 ? static_cast<int32_t>(padded_int4(head_dim)) : head_dim;
    const int64_t page = last_token * cache.token_stride + last_head * cache.head_stride + side.stored_dim;
    side.rows = float_matrix(rows);
    side.rows.aligned = side.rows.aligned && head_dim % kLaneElements == 0;
    side.cache = {{cache.data, cache.num_pages, page, cache.page_stride, cache.dtype, 0}, false};
    side.cache.aligned = takes_vectors(cache) && side.stored_dim % kLaneElements == 0;
    side.token_stride = cache.token_stride;
    side.head_stride = cache.head_stride;
    side.scales = cache.scales;
    side.scales_count = (cache.num_pages - 1) * cache.scale_page_stride + last_token * cache.scale_token_stride +
                        last_head * cache.scale_head_stride + 1;
    side.scale_page_stride = cache.scale_page_stride;
    side.scale_token_stride = cache.scale_token_stride;
    side.scale_head_stride = cache.scale_head_stride;
    side.dynamic = has_dynamic_scales(cache);
    side.head_vectors = (side.stored_dim + 2 * kLaneElements - 1) / (2 * kLaneElements) * 2;
    if (side.dynamic) side.head_vectors = static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(side.head_vectors)));
    if (side.dynamic && side.head_vectors > kWarpSize) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "the head dim is %d; with scales by token the GPU kernels support up to %d",
             head_dim, kWarpSize * kLaneElements);
    }
    return side;
}

template <class Q>
void launch_kv_append(LaunchStream& stream, const KvAppendParams& p) {
    using Kernel = KvAppend<Q>;
    const AttentionShape& shape = p.plan->shape;
    const AttentionDevicePlan& plan = p.plan->device;
    // What is recorded must do for every batch that the plan may be given before it runs.
    const int64_t tokens = stream.capturing() ? shape.max_q_tokens : p.plan->schedule.qo_indptr.back();
    // Two blocks for each processor; but where tokens are so small that most threads would idle, fewer.
    const KvAppendSide k = kv_append_side(p.k, p.k_cache, shape, shape.head_dim_qk);
    const KvAppendSide v = kv_append_side(p.v, p.v_cache, shape, shape.head_dim_v);
    const int64_t token_vectors = int64_t{shape.num_kv_heads} * std::max(k.head_vectors, v.head_vectors);
    const int64_t together = std::clamp<int64_t>(
        std::max(tokens / (2 * stream.num_processors()), Kernel::kThreads / 2 / token_vectors), 1, Kernel::kMaxTokens);
    launch<Kernel>(stream, {(tokens + together - 1) / together, 1, 1}, Kernel::kSharedBytes,
                   {k, v, plan.counts, plan.qo_indptr, plan.kv_indptr, plan.kv_len, p.kv_indices, shape.max_sequences,
                    shape.num_kv_heads, shape.page_size, static_cast<int32_t>(together)});
}

}  // namespace

void kv_append(LaunchStream& stream, const KvAppendParams& p) {
    if (p.k_cache.dtype == ADZE_DTYPE_F8E4M3) return launch_kv_append<e4m3>(stream, p);
    if (p.k_cache.dtype == ADZE_DTYPE_I8) return launch_kv_append<int8_t>(stream, p);
    if (p.k_cache.dtype == ADZE_DTYPE_I4) return launch_kv_append<int4x2>(stream, p);
    launch_kv_append<void>(stream, p);
}

}  // namespace ADZE_TARGET
}  // namespace adze
