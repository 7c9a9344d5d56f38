// Prefill on sm_90a: which calls it takes, and its launches.
#include <algorithm>
#include <numeric>

#include "attention/sm90_attention.cuh"
#include "attention/sm90_attention.h"
#include "attention/sm90_widening.cuh"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kPrefillTile = kRowTiles - 1;

bool is_aligned(const void* data) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

bool fits_copy_engine(const adze_kv_cache& cache) {
    constexpr int64_t kMostElements = int64_t{1} << 38;
    if (!is_aligned(cache.data) || cache.num_pages == 0 || cache.scales != nullptr) return false;
    for (const int64_t stride : {cache.page_stride, cache.token_stride, cache.head_stride}) {
        if (stride % 8 != 0 || stride < 0 || stride > kMostElements) return false;
    }
    return true;
}

bool may_take_sm90_prefill(Arch arch, const AttentionShape& s) {
    const bool scale = s.softmax_scale > 0 && s.softmax_scale * kLog2E <= 1;  // else maxima may leave f32's range
    return arch == Arch::kSm90a && scale && s.logits_soft_cap == 0 && s.page_size % 8 == 0;
}

// Whose tiles are widened to bf16. The largest heads leave the consumers too few registers.
bool fits_widening(const AttentionShape& s, const adze_kv_cache& cache) {
    const int64_t unit = cache.dtype == ADZE_DTYPE_I4 ? 32 : 16;  // elements
    if (s.head_dim_qk > 192 || s.head_dim_v > 128 || !is_aligned(cache.data) || cache.num_pages == 0) return false;
    return cache.page_stride % unit == 0 && cache.token_stride % unit == 0 && cache.head_stride % unit == 0 &&
           (unit == 32 || (s.head_dim_qk % 16 == 0 && s.head_dim_v % 16 == 0));
}

bool fits_sm90_prefill(const AttentionParams& p) {
    const adze_dtype multiplied = is_quantised(p.k) ? ADZE_DTYPE_BF16 : p.k.dtype;
    const bool formats = p.q.dtype == multiplied && p.o.dtype == multiplied;
    // A deterministic context's other sequences do not decide by the masks that they bring or not.
    const AttentionShape& s = p.plan->shape;
    const bool masks = p.plan->split.fixed_keys[kPrefillTile] == 0 ? p.mask.data != nullptr : s.max_mask_words > 0;
    const bool plain = !masks && p.alibi_slopes.data == nullptr && p.sinks.data == nullptr;
    const bool caches = is_quantised(p.k) ? fits_widening(s, p.k) && fits_widening(s, p.v)
                                          : fits_copy_engine(p.k) && fits_copy_engine(p.v);
    return formats && plain && caches && is_aligned(p.q.data) && p.q.row_stride % 8 == 0;
}

TensorMap make_cache_map(LaunchStream& stream, const AttentionShape& shape, const adze_kv_cache& cache, int head_dim,
                         int box_tokens) {
    TensorMapDesc desc{};
    desc.data = cache.data;
    desc.element_bytes = 2;
    desc.rank = 4;
    constexpr int64_t kMostPages = int64_t{1} << 31;  // page ids have 32 bits
    const int64_t sizes[] = {head_dim, shape.num_kv_heads, shape.page_size, std::min(cache.num_pages, kMostPages)};
    const int64_t strides[] = {1, cache.head_stride, cache.token_stride, cache.page_stride};
    const int32_t box[] = {64, 1, box_tokens, 1};
    for (int i = 0; i < desc.rank; ++i) {
        desc.sizes[i] = sizes[i];
        desc.strides[i] = strides[i] * desc.element_bytes;
        desc.box[i] = box[i];
    }
    desc.swizzle_bytes = 128;
    return make_tensor_map(stream, desc);
}

template <class Kernel>
void launch_prefill(LaunchStream& stream, const AttentionParams& p) {
    const AttentionPlan& plan = *p.plan;
    const int box_tokens = std::gcd(plan.shape.page_size, Kernel::kTileKeys);
    const int32_t blocks =
        stream.capturing() ? plan.split.blocks[kPrefillTile] : plan.schedule.used_blocks[kPrefillTile];
    if (blocks == 0) return;
    // One of this kernel's blocks fills a processor, for which the plan has as many as the other kernel's.
    const int32_t taken = blocks_a_processor(stream.arch(), plan.shape.head_dim_qk, plan.shape.head_dim_v,
                                             static_cast<int>(kTileRows[kPrefillTile]));
    const auto map = [&](const adze_kv_cache& cache, int head_dim) {
        return Kernel::kQuantised ? TensorMap{} : make_cache_map(stream, plan.shape, cache, head_dim, box_tokens);
    };
    const Sm90PrefillParams params{map(p.k, plan.shape.head_dim_qk),
                                   map(p.v, plan.shape.head_dim_v),
                                   p.k,
                                   p.v,
                                   plan.shape,
                                   plan.device,
                                   p.q,
                                   p.o,
                                   p.lse,
                                   p.kv_indices,
                                   p.workspace,
                                   partial_rows(plan),
                                   plan.split.blocks[kPrefillTile],
                                   taken,
                                   box_tokens};
    launch<Kernel>(stream, {(blocks + taken - 1) / taken, plan.shape.num_kv_heads, 1}, Kernel::kSharedBytes, params);
}

template <class T, class Stored = T>
void launch_prefill_of(LaunchStream& stream, const AttentionParams& p) {
    const int qk = p.plan->shape.head_dim_qk, v = p.plan->shape.head_dim_v;
    if (qk <= 64 && v <= 64) return launch_prefill<Sm90Prefill<T, 64, 64, Stored>>(stream, p);
    if (qk <= 128 && v <= 128) return launch_prefill<Sm90Prefill<T, 128, 128, Stored>>(stream, p);
    if (qk <= 192 && v <= 128) return launch_prefill<Sm90Prefill<T, 192, 128, Stored>>(stream, p);
    if constexpr (std::is_same_v<T, Stored>) launch_prefill<Sm90Prefill<T, 256, 256>>(stream, p);
}

bool launch_sm90_prefill(LaunchStream& stream, const AttentionParams& p) {
    if (!may_take_sm90_prefill(stream.arch(), p.plan->shape) || !fits_sm90_prefill(p)) return false;
    if (p.plan->device.block_work[kPrefillTile] == nullptr) return true;
    switch (p.k.dtype) {
        case ADZE_DTYPE_F16:
            launch_prefill_of<f16>(stream, p);
            break;
        case ADZE_DTYPE_F8E4M3:
            launch_prefill_of<bf16, e4m3>(stream, p);
            break;
        case ADZE_DTYPE_I8:
            launch_prefill_of<bf16, int8_t>(stream, p);
            break;
        case ADZE_DTYPE_I4:
            launch_prefill_of<bf16, int4x2>(stream, p);
            break;
        default:
            launch_prefill_of<bf16>(stream, p);
    }
    return true;
}

}  // namespace ADZE_TARGET
}  // namespace adze
