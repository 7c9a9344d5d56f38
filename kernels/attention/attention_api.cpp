#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <memory>
#include <tuple>
#include <utility>

#include "adze/attention.h"
#include "runtime/objects.h"

namespace adze {
namespace {

constexpr int32_t kMaxHeads = 4096;

AttentionShape read_shape(const adze_attention_plan_desc* desc) {
    const adze_attention_plan_desc d = read_desc(desc);
    require_range(d.num_kv_heads, 1, kMaxHeads, "num_kv_heads");
    require_range(d.num_q_heads, 1, kMaxHeads, "num_q_heads");
    require(d.num_q_heads % d.num_kv_heads == 0, "num_q_heads is %d; it must be a multiple of num_kv_heads, %d",
            d.num_q_heads, d.num_kv_heads);
    require_range(d.head_dim_qk, 1, INT32_MAX, "head_dim_qk");
    require_range(d.head_dim_v, 1, INT32_MAX, "head_dim_v");
    require_range(d.page_size, 1, 256, "page_size");
    require_range(d.causal, 0, 1, "causal");
    require_range(d.window, 0, INT32_MAX, "window");
    require(std::isfinite(d.softmax_scale), "softmax_scale is %g; it must be finite",
            static_cast<double>(d.softmax_scale));
    require_range(d.max_sequences, 1, INT32_MAX - 1, "max_sequences");
    require_range(d.max_q_tokens, 1, INT32_MAX, "max_q_tokens");
    require_range(d.max_kv_pages, 1, INT32_MAX, "max_kv_pages");
    const float scale = d.softmax_scale == 0 ? 1.0f / std::sqrt(static_cast<float>(d.head_dim_qk)) : d.softmax_scale;
    return {d.num_q_heads, d.num_kv_heads, d.head_dim_qk,   d.head_dim_v,   d.page_size,   d.causal != 0,
            d.window,      scale,          d.max_sequences, d.max_q_tokens, d.max_kv_pages};
}

void require_indptr(const int32_t* indptr, int32_t entries, int64_t capacity, const char* name,
                    const char* capacity_name) {
    require_pointer(indptr, name);
    require(indptr[0] == 0, "%s[0] is %d; it must be 0", name, indptr[0]);
    for (int32_t i = 0; i < entries; ++i) {
        require(indptr[i + 1] >= indptr[i], "%s[%d] is %d; it must be at least the entry before, %d", name, i + 1,
                indptr[i + 1], indptr[i]);
    }
    require(indptr[entries] <= capacity, "%s[%d] is %d; the plan's %s is %" PRId64, name, entries, indptr[entries],
            capacity_name, capacity);
}

void require_batch(const AttentionShape& shape, const adze_attention_batch& b) {
    require_range(b.num_sequences, 0, shape.max_sequences, "num_sequences");
    if (b.num_sequences == 0) return;
    require_indptr(b.qo_indptr, b.num_sequences, shape.max_q_tokens, "qo_indptr", "max_q_tokens");
    require_indptr(b.kv_indptr, b.num_sequences, shape.max_kv_pages, "kv_indptr", "max_kv_pages");
    require_pointer(b.kv_last_page_len, "kv_last_page_len");
    for (int32_t s = 0; s < b.num_sequences; ++s) {
        const bool empty = b.kv_indptr[s + 1] == b.kv_indptr[s];
        const int32_t last = b.kv_last_page_len[s];
        require(empty ? last == 0 : last >= 1 && last <= shape.page_size,
                "kv_last_page_len[%d] is %d; allowed is %d to %d for this sequence", s, last, empty ? 0 : 1,
                empty ? 0 : shape.page_size);
    }
}

// Bytes from the first to the last element of a cache, with the padding of I4.
uint64_t cache_bytes(const adze_kv_cache& cache, const AttentionShape& shape, int32_t head_dim, const char* name) {
    if (cache.num_pages == 0) return 0;
    int64_t span = cache.dtype == ADZE_DTYPE_I4 ? padded_int4(head_dim) : head_dim;
    bool overflows = false;
    for (const auto& [count, stride] : {std::pair{cache.num_pages, cache.page_stride},
                                        {int64_t{shape.page_size}, cache.token_stride},
                                        {int64_t{shape.num_kv_heads}, cache.head_stride}}) {
        int64_t reach = 0;
        overflows |= count > 1 && __builtin_mul_overflow(count - 1, stride, &reach);
        overflows |= __builtin_add_overflow(span, reach, &span);
    }
    overflows |= __builtin_mul_overflow(span, dtype_bits(cache.dtype), &span);
    require(!overflows, "%s has %" PRId64 " pages at page_stride %" PRId64 "; that exceeds the address space", name,
            cache.num_pages, cache.page_stride);
    return static_cast<uint64_t>(span) / 8;
}

// I4 begins each vector at 16 bytes: strides that are at least the head dim then clear the padding, too.
void require_quantised(const adze_kv_cache& cache, const char* name) {
    require(cache.scales != nullptr, "%s.scales is NULL; a cache of %s needs scales", name, dtype_name(cache.dtype));
    if (cache.dtype != ADZE_DTYPE_I4) return;
    for (const auto& [stride, of] :
         {std::pair{cache.page_stride, "page"}, {cache.token_stride, "token"}, {cache.head_stride, "head"}}) {
        require(stride % kInt4Padding == 0, "%s.%s_stride is %" PRId64 "; of I4 it must be a multiple of %d", name, of,
                stride, kInt4Padding);
    }
}

void require_cache(const adze_kv_cache& cache, uint32_t dtypes, const AttentionShape& shape, int32_t head_dim,
                   const char* name) {
    // Reported like a tensor of its first page; a cache without pages has nothing to point to.
    require_dtype(cache.dtype, dtypes, name);
    require(cache.reserved == 0, "%s.reserved is %d; it must be zero", name, cache.reserved);
    require(cache.num_pages >= 0, "%s.num_pages is %" PRId64 "; it must not be negative", name, cache.num_pages);
    require(cache.page_stride >= 0 && cache.token_stride >= 0 && cache.head_stride >= 0,
            "%s has a negative stride: page %" PRId64 ", token %" PRId64 ", head %" PRId64, name, cache.page_stride,
            cache.token_stride, cache.head_stride);
    require(cache.scale_page_stride >= 0 && cache.scale_token_stride >= 0 && cache.scale_head_stride >= 0,
            "%s has a negative scale stride: page %" PRId64 ", token %" PRId64 ", head %" PRId64, name,
            cache.scale_page_stride, cache.scale_token_stride, cache.scale_head_stride);
    for (const auto& [count, stride, of] : {std::tuple{int64_t{shape.page_size}, cache.token_stride, "token"},
                                            {int64_t{shape.num_kv_heads}, cache.head_stride, "head"},
                                            {cache.num_pages, cache.page_stride, "page"}}) {
        require(count <= 1 || stride >= head_dim, "%s.%s_stride is %" PRId64 "; it must be at least the head dim, %d",
                name, of, stride, head_dim);
    }
    require(reinterpret_cast<uintptr_t>(cache.scales) % sizeof(float) == 0,
            "%s.scales is %p; it must be aligned to 4 bytes", name, static_cast<const void*>(cache.scales));
    cache_bytes(cache, shape, head_dim, name);
    if (cache.num_pages == 0) return;
    if (is_quantised(cache)) require_quantised(cache, name);
    require(cache.data != nullptr, "%s.data is NULL", name);
    const int64_t alignment = cache.dtype == ADZE_DTYPE_I4 ? kInt4Padding / 2 : dtype_bytes(cache.dtype);
    require(reinterpret_cast<uintptr_t>(cache.data) % static_cast<uintptr_t>(alignment) == 0,
            "%s.data is %p; it must be aligned to %" PRId64 " bytes", name, cache.data, alignment);
}

// No two vectors of `extent` elements that are written may share memory: each stride clears what the smaller ones span.
void require_distinct(const AttentionShape& shape, int64_t pages, const std::array<int64_t, 3>& strides, int64_t extent,
                      const char* name, const char* of) {
    std::array<std::pair<int64_t, int64_t>, 3> steps{
        {{strides[0], pages}, {strides[1], shape.page_size}, {strides[2], shape.num_kv_heads}}};
    std::sort(steps.begin(), steps.end());
    for (const auto& [stride, count] : steps) {
        if (count <= 1) continue;
        require(stride >= extent, "%s has a stride of %" PRId64 " where %" PRId64 " %s lie; strides may not overlap",
                name, stride, extent, of);
        extent += (count - 1) * stride;
    }
}

// Of a cache that is appended to.
void require_writable(const adze_kv_cache& cache, const AttentionShape& shape, int32_t head_dim, const char* name) {
    require_distinct(shape, cache.num_pages, {cache.page_stride, cache.token_stride, cache.head_stride}, head_dim, name,
                     "elements");
    if (!has_dynamic_scales(cache)) return;
    require_distinct(shape, cache.num_pages,
                     {cache.scale_page_stride, cache.scale_token_stride, cache.scale_head_stride}, 1, name, "scales");
}

void require_caches(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v, const char* v_name,
                    uint32_t dtypes, const AttentionShape& shape) {
    require_cache(k, dtypes, shape, shape.head_dim_qk, k_name);
    require_cache(v, dtypes, shape, shape.head_dim_v, v_name);
    require(v.dtype == k.dtype, "%s.dtype is %s; it must be %s's, %s", v_name, dtype_name(v.dtype), k_name,
            dtype_name(k.dtype));
    require(v.num_pages == k.num_pages, "%s.num_pages is %" PRId64 "; it must be %s's, %" PRId64, v_name, v.num_pages,
            k_name, k.num_pages);
}

// What attention writes may meet nothing else.
void require_outputs(const adze_attention_desc& d, const AttentionShape& shape, uint64_t workspace_bytes) {
    require_outside(d.q, "q", d.workspace, workspace_bytes, "workspace");
    require_outside(d.kv_indices, "kv_indices", d.workspace, workspace_bytes, "workspace");
    for (const auto& [output, name] : {std::pair{&d.o, "o"}, {&d.lse, "lse"}}) {
        require_outside(*output, name, d.workspace, workspace_bytes, "workspace");
        require_outside(*output, name, d.k.data, cache_bytes(d.k, shape, shape.head_dim_qk, "k"), "keys");
        require_outside(*output, name, d.v.data, cache_bytes(d.v, shape, shape.head_dim_v, "v"), "values");
        require_disjoint(*output, name, d.q, "q", false);
        require_disjoint(*output, name, d.kv_indices, "kv_indices", false);
    }
    require_disjoint(d.lse, "lse", d.o, "o", false);
}

// What a call must bring along: its plan's batch, or in a capture, where batches come later, the plan's capacity.
struct Extent {
    const char* of;
    int64_t tokens, pages;
};

Extent extent_of(const AttentionPlan& plan, const adze_stream& stream) {
    if (stream.is_capturing()) return {"capacity", plan.shape.max_q_tokens, plan.shape.max_kv_pages};
    return {"batch", plan.schedule.qo_indptr.back(), plan.schedule.kv_indptr.back()};
}

void require_pages(const Extent& extent, const adze_tensor& kv_indices) {
    require_tensor(kv_indices, dtype_bit(ADZE_DTYPE_I32), 1, kAny, "kv_indices");
    require(kv_indices.columns >= extent.pages, "kv_indices.columns is %" PRId64 "; the plan's %s is %" PRId64 " pages",
            kv_indices.columns, extent.of, extent.pages);
}

void require_rows(const Extent& extent, const adze_tensor& tensor, uint32_t dtypes, int64_t columns, const char* name) {
    require_tensor(tensor, dtypes, kAny, columns, name);
    require(tensor.rows >= extent.tokens, "%s.rows is %" PRId64 "; the plan's %s is %" PRId64 " tokens", name,
            tensor.rows, extent.of, extent.tokens);
}

const AttentionPlan& require_plan(const adze_attention_plan* plan, const adze_stream& stream) {
    require_pointer(plan, "plan");
    require_same_context(*plan, "plan", stream);
    return plan->plan;
}

// Puts the schedule's image where the runs that follow on the stream read it.
void write_device_plan(adze_attention_plan& plan, DeviceStream* stream) {
    const uint64_t used = write_attention_image(plan.plan.shape, plan.plan.schedule, plan.image.data());
    plan.backend().write(stream, plan.owned, plan.image.data(), used);
}

// Where that fails nobody knows what the device has: the plan has an empty batch until it is updated again.
void replace_device_plan(adze_attention_plan& plan, DeviceStream* stream) {
    try {
        write_device_plan(plan, stream);
    } catch (...) {
        build_schedule(plan.plan.shape, {}, plan.plan.schedule);
        throw;
    }
}

// With an empty batch, so that a run before the first update finds no work.
void make_device_plan(adze_attention_plan& plan) {
    const BackendTable& backend = plan.backend();
    plan.image.resize(attention_image_bytes(plan.plan.shape));
    plan.allocate(plan.image.size());
    plan.plan.device = attention_image_view(plan.plan.shape, plan.owned);
    adze_stream stream(plan.context);
    stream.device = backend.stream_create(plan.context->device, nullptr);
    write_device_plan(plan, stream.device);
    backend.stream_synchronize(stream.device);
}

}  // namespace
}  // namespace adze

using namespace adze;

extern "C" {

adze_status adze_attention_plan_create(adze_context* context, const adze_attention_plan_desc* desc,
                                       adze_attention_plan** plan) {
    return guarded(__func__, [&] {
        require_pointer(plan, "plan");
        *plan = nullptr;
        require_pointer(context, "context");
        auto made = std::make_unique<adze_attention_plan>(context);
        made->plan.shape = read_shape(desc);
        context->backend->require_attention(context->device, made->plan.shape);
        reserve_schedule(made->plan.shape, made->plan.schedule);
        if (context->backend->device_plans) make_device_plan(*made);
        *plan = made.release();
    });
}

adze_status adze_attention_plan_destroy(adze_attention_plan* plan) {
    return guarded(__func__, [&] { destroy(plan); });
}

adze_status adze_attention_plan_update(adze_attention_plan* plan, const adze_attention_batch* batch,
                                       adze_stream* stream) {
    return guarded(__func__, [&] {
        require_pointer(plan, "plan");
        require_pointer(stream, "stream");
        require_same_context(*plan, "plan", *stream);
        require_not_capturing(*stream);
        const adze_attention_batch b = read_desc(batch, "batch");
        require_batch(plan->plan.shape, b);
        build_schedule(plan->plan.shape, b, plan->plan.schedule);
        if (plan->owned != nullptr) replace_device_plan(*plan, stream->device);
    });
}

adze_status adze_attention_workspace_size(const adze_attention_plan* plan, uint64_t* bytes) {
    return guarded(__func__, [&] {
        require_pointer(plan, "plan");
        require_pointer(bytes, "bytes");
        *bytes = plan->backend().attention_workspace(plan->context->device, plan->plan.shape);
    });
}

adze_status adze_attention_run(adze_stream* stream, const adze_attention_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_attention_desc d = read_desc(desc);
        require_zero(d.reserved, "reserved");
        const AttentionPlan& plan = require_plan(d.plan, *stream);
        const AttentionShape& shape = plan.shape;
        const Extent extent = extent_of(plan, *stream);
        require_rows(extent, d.q, kFloatTypes, int64_t{shape.num_q_heads} * shape.head_dim_qk, "q");
        require_rows(extent, d.o, kFloatTypes, int64_t{shape.num_q_heads} * shape.head_dim_v, "o");
        if (!is_absent(d.lse)) require_rows(extent, d.lse, dtype_bit(ADZE_DTYPE_F32), shape.num_q_heads, "lse");
        require_caches(d.k, "k", d.v, "v", kFloatTypes, shape);
        require_pages(extent, d.kv_indices);
        const uint64_t needed = stream->backend().attention_workspace(stream->context->device, shape);
        require_workspace(d.workspace, d.workspace_bytes, needed);
        require_outputs(d, shape, needed);
        stream->backend().attention(stream->device, {&plan, d.q, d.o, d.lse, d.kv_indices, d.k, d.v, d.workspace});
    });
}

adze_status adze_kv_append_run(adze_stream* stream, const adze_kv_append_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_kv_append_desc d = read_desc(desc);
        require_zero(d.reserved, "reserved");
        const AttentionPlan& plan = require_plan(d.plan, *stream);
        const AttentionShape& shape = plan.shape;
        const Extent extent = extent_of(plan, *stream);
        require_rows(extent, d.k, kFloatTypes, int64_t{shape.num_kv_heads} * shape.head_dim_qk, "k");
        require_rows(extent, d.v, kFloatTypes, int64_t{shape.num_kv_heads} * shape.head_dim_v, "v");
        require(d.v.dtype == d.k.dtype, "v.dtype is %s; it must be k's, %s", dtype_name(d.v.dtype),
                dtype_name(d.k.dtype));
        require_caches(d.k_cache, "k_cache", d.v_cache, "v_cache", kFloatTypes | kQuantisedTypes, shape);
        require_writable(d.k_cache, shape, shape.head_dim_qk, "k_cache");
        require_writable(d.v_cache, shape, shape.head_dim_v, "v_cache");
        require_pages(extent, d.kv_indices);
        stream->backend().kv_append(stream->device, {&plan, d.k, d.v, d.kv_indices, d.k_cache, d.v_cache});
    });
}

}  // extern "C"
