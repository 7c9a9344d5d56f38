#include <cinttypes>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "adze/attention.h"
#include "attention/kv_cache.h"
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
    require_range(d.page_size, 1, INT32_MAX, "page_size");
    require_range(d.causal, 0, 1, "causal");
    require_range(d.window, 0, INT32_MAX, "window");
    require_range(d.sink_tokens, 0, d.window == 0 ? 0 : INT32_MAX, "sink_tokens");
    require(std::isfinite(d.softmax_scale), "softmax_scale is %g; it must be finite",
            static_cast<double>(d.softmax_scale));
    require(std::isfinite(d.logits_soft_cap) && d.logits_soft_cap >= 0,
            "logits_soft_cap is %g; it must be finite and not negative", static_cast<double>(d.logits_soft_cap));
    require_range(d.max_sequences, 1, INT32_MAX - 1, "max_sequences");
    require_range(d.max_q_tokens, 1, INT32_MAX, "max_q_tokens");
    require_range(d.max_q_len, 0, d.max_q_tokens, "max_q_len");
    require_range(d.max_kv_pages, 1, INT32_MAX, "max_kv_pages");
    require_range(d.max_mask_words, 0, INT64_MAX / 4, "max_mask_words");
    require_zero(static_cast<uint32_t>(d.reserved), "reserved");
    AttentionShape shape{};
    shape.num_q_heads = d.num_q_heads;
    shape.num_kv_heads = d.num_kv_heads;
    shape.head_dim_qk = d.head_dim_qk;
    shape.head_dim_v = d.head_dim_v;
    shape.page_size = d.page_size;
    shape.causal = d.causal != 0;
    shape.window = d.window;
    shape.sink_tokens = d.sink_tokens;
    shape.softmax_scale = d.softmax_scale == 0 ? 1.0f / std::sqrt(static_cast<float>(d.head_dim_qk)) : d.softmax_scale;
    shape.logits_soft_cap = d.logits_soft_cap;
    shape.max_sequences = d.max_sequences;
    shape.max_q_len = d.max_q_len == 0 ? static_cast<int32_t>(d.max_q_tokens) : d.max_q_len;
    shape.max_q_tokens = d.max_q_tokens;
    shape.max_kv_pages = d.max_kv_pages;
    shape.max_mask_words = d.max_mask_words;
    return shape;
}

int64_t kv_len_of(const AttentionShape& shape, const adze_attention_batch& b, int32_t s) {
    const int64_t pages = b.kv_indptr[s + 1] - b.kv_indptr[s];
    return pages == 0 ? 0 : (pages - 1) * shape.page_size + b.kv_last_page_len[s];
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

void require_masks(const AttentionShape& shape, const adze_attention_batch& b) {
    require(b.mask_indptr[0] == 0, "mask_indptr[0] is %" PRId64 "; it must be 0", b.mask_indptr[0]);
    for (int32_t s = 0; s < b.num_sequences; ++s) {
        const int64_t begin = b.mask_indptr[s], end = b.mask_indptr[s + 1];
        int64_t needed = 0;
        const bool overflows = __builtin_mul_overflow((kv_len_of(shape, b, s) + 31) / 32,
                                                      int64_t{b.qo_indptr[s + 1]} - b.qo_indptr[s], &needed);
        if (overflows) needed = INT64_MAX;  // more than any mask has
        require(end == begin || (end > begin && end - begin == needed),
                "mask_indptr[%d] is %" PRId64 "; allowed is %" PRId64 ", for no mask, or %" PRId64
                " words more for this sequence",
                s + 1, end, begin, needed);
        require(end <= shape.max_mask_words, "mask_indptr[%d] is %" PRId64 "; the plan's max_mask_words is %" PRId64,
                s + 1, end, shape.max_mask_words);
    }
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
        const int32_t q_len = b.qo_indptr[s + 1] - b.qo_indptr[s];
        require(q_len <= shape.max_q_len, "qo_indptr[%d] - qo_indptr[%d] is %d; the plan's max_q_len is %d", s + 1, s,
                q_len, shape.max_q_len);
    }
    if (b.mask_indptr != nullptr) require_masks(shape, b);
}

void require_device_lengths(const AttentionShape& shape, const adze_attention_batch& b) {
    for (int32_t s = 0; s < b.num_sequences; ++s) {
        if (const int64_t kv_len = kv_len_of(shape, b, s); kv_len > kMostDeviceKeys) {
            fail(ADZE_ERROR_NOT_SUPPORTED, "sequence %d has %" PRId64 " keys; the GPU kernels support %" PRId64, s,
                 kv_len, kMostDeviceKeys);
        }
    }
}

// What attention writes may meet nothing else.
void require_outputs(const adze_attention_desc& d, const AttentionShape& shape, uint64_t workspace_bytes) {
    const Memory workspace{"the ", "workspace", d.workspace, workspace_bytes};
    const std::pair<const adze_tensor*, const char*> inputs[] = {{&d.q, "q"},         {&d.kv_indices, "kv_indices"},
                                                                 {&d.mask, "mask"},   {&d.alibi_slopes, "alibi_slopes"},
                                                                 {&d.sinks, "sinks"}, {&d.phi, "phi"}};
    const auto caches = cache_memory(d.k, "k", d.v, "v", shape);
    for (const auto& [input, name] : inputs) require_apart(memory_of(*input, name), workspace);
    for (const Memory& cache : caches) require_apart(cache, workspace);
    for (const auto& [output, name] : {std::pair{&d.o, "o"}, {&d.lse, "lse"}}) {
        require_apart(memory_of(*output, name), workspace);
        for (const Memory& cache : caches) require_apart(memory_of(*output, name), cache);
        for (const auto& [input, input_name] : inputs) require_disjoint(*output, name, *input, input_name, false);
    }
    require_disjoint(d.lse, "lse", d.o, "o", false);
}

// What a call must bring along: its plan's batch, or in a capture, where batches come later, the plan's capacity.
struct Extent {
    const char* of;
    int64_t tokens, pages, mask_words;
};

Extent extent_of(const AttentionPlan& plan, const adze_stream& stream) {
    if (stream.is_capturing())
        return {"capacity", plan.shape.max_q_tokens, plan.shape.max_kv_pages, plan.shape.max_mask_words};
    return {"batch", plan.schedule.qo_indptr.back(), plan.schedule.kv_indptr.back(), plan.schedule.mask_words};
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

void require_mask(const Extent& extent, const adze_tensor& mask) {
    if (is_absent(mask) && extent.mask_words == 0) return;
    require(!is_absent(mask), "mask is absent; the plan's %s is %" PRId64 " words", extent.of, extent.mask_words);
    require_tensor(mask, dtype_bit(ADZE_DTYPE_I32), 1, kAny, "mask");
    require(mask.columns >= extent.mask_words, "mask.columns is %" PRId64 "; the plan's %s is %" PRId64 " words",
            mask.columns, extent.of, extent.mask_words);
}

void require_bound(float bound, const char* name) {
    require(bound >= 0, "%s is %g; it must not be negative", name, static_cast<double>(bound));
}

// What append writes meets nothing else. Between the caches' vectors other things may lie, but no tensor of the call's.
void require_appendable(const adze_kv_append_desc& d, const AttentionShape& shape) {
    require_writable(d.k_cache, "k_cache", d.v_cache, "v_cache", shape);
    const auto caches = cache_memory(d.k_cache, "k_cache", d.v_cache, "v_cache", shape);
    for (const auto& [input, name] : {std::pair{&d.k, "k"}, {&d.v, "v"}, {&d.kv_indices, "kv_indices"}}) {
        for (const Memory& cache : caches) require_apart(memory_of(*input, name), cache);
    }
}

// What the softmax takes of the heads.
void require_softmax(const adze_attention_desc& d, const AttentionShape& shape) {
    require_range(d.softmax, ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_TUNED, "softmax");
    for (const auto& [tensor, name] : {std::pair{&d.alibi_slopes, "alibi_slopes"}, {&d.sinks, "sinks"}}) {
        if (!is_absent(*tensor)) require_tensor(*tensor, dtype_bit(ADZE_DTYPE_F32), 1, shape.num_q_heads, name);
    }
    require_bound(d.phi_below, "phi_below");
    require_bound(d.phi_above, "phi_above");
    if (d.softmax != ADZE_SOFTMAX_STABLE) {
        require(!is_absent(d.phi), "phi is absent; every softmax but ADZE_SOFTMAX_STABLE needs it");
        require_tensor(d.phi, dtype_bit(ADZE_DTYPE_F32), 1, shape.num_q_heads, "phi");
    } else {
        require(is_absent(d.phi), "phi is given; softmax is ADZE_SOFTMAX_STABLE, which has none");
    }
}

void require_merge(const adze_attention_merge_desc& d) {
    require_range(d.num_parts, 1, INT32_MAX, "num_parts");
    require_range(d.num_heads, 1, kMaxHeads, "num_heads");
    require_zero(static_cast<uint32_t>(d.reserved), "reserved");
    require_tensor(d.o, kFloatTypes, kAny, kAny, "o");
    require(d.o.columns % d.num_heads == 0, "o.columns is %" PRId64 "; it must be a multiple of num_heads, %d",
            d.o.columns, d.num_heads);
    require_range(d.o.columns / d.num_heads, 0, 1024, "o.columns / num_heads");
    require(d.o.rows <= INT64_MAX / d.num_parts, "o.rows is %" PRId64 "; that exceeds the address space", d.o.rows);
    const int64_t rows = d.o.rows * d.num_parts;
    require_tensor(d.parts, kFloatTypes, rows, d.o.columns, "parts");
    require_tensor(d.parts_lse, dtype_bit(ADZE_DTYPE_F32), rows, d.num_heads, "parts_lse");
    if (!is_absent(d.lse)) require_tensor(d.lse, dtype_bit(ADZE_DTYPE_F32), d.o.rows, d.num_heads, "lse");
    for (const auto& [output, name] : {std::pair{&d.o, "o"}, {&d.lse, "lse"}}) {
        require_disjoint(*output, name, d.parts, "parts", false);
        require_disjoint(*output, name, d.parts_lse, "parts_lse", false);
    }
    require_disjoint(d.lse, "lse", d.o, "o", false);
}

const AttentionPlan& require_plan(const adze_attention_plan* plan, const adze_stream& stream) {
    require_pointer(plan, "plan");
    require_same_context(*plan, "plan", stream);
    return plan->plan;
}

// Puts the schedule's image where runs read it: in the stream's order, so after the runs put there before, whose batch it
// replaces, and before those that follow.
void write_device_plan(adze_attention_plan& plan, DeviceStream* stream) {
    const uint64_t used = write_attention_image(plan.plan, plan.staging->next());
    plan.staging->copy(stream, plan.owned, used);
}

// Where that fails nobody knows what the device has: the plan has an empty batch until it is updated again.
void replace_device_plan(adze_attention_plan& plan, DeviceStream* stream) {
    try {
        write_device_plan(plan, stream);
    } catch (...) {
        build_schedule(plan.plan, {});
        throw;
    }
}

// With an empty batch, so that a run before the first update finds no work.
void make_device_plan(adze_attention_plan& plan) {
    const BackendTable& backend = plan.backend();
    const uint64_t bytes = attention_image_bytes(plan.plan);
    plan.staging = std::make_unique<Staging>(backend, plan.context->device, bytes);
    plan.allocate(bytes);
    plan.plan.device = attention_image_view(plan.plan, plan.owned);
    adze_stream stream(plan.context);
    stream.device = backend.stream_create(plan.context->device, nullptr);
    write_device_plan(plan, stream.device);
    backend.stream_synchronize(stream.device);
}

// What cpu and sim check as they run: for a context that wants it on a GPU, whose memory the host reads by copies only.
void require_page_ids(adze_stream& stream, const AttentionPlan& plan, adze_tensor kv_indices, int64_t num_pages) {
    if (stream.is_capturing()) {
        fail(ADZE_ERROR_INVALID_STATE,
             "the stream is capturing; a context with ADZE_CONTEXT_CHECK_INDICES reads indices back, which cannot be "
             "captured");
    }
    std::vector<int32_t> ids(static_cast<size_t>(plan.schedule.kv_indptr.back()));
    if (ids.empty()) return;
    stream.backend().read(stream.device, ids.data(), kv_indices.data, ids.size() * sizeof ids[0]);
    stream.backend().stream_synchronize(stream.device);
    kv_indices.data = ids.data();
    require_page_ids(plan, kv_indices, num_pages);
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
        made->plan.split = context->backend->attention_split(context->device, made->plan.shape);
        reserve_schedule(made->plan);
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
        if (plan->owned != nullptr) require_device_lengths(plan->plan.shape, b);
        build_schedule(plan->plan, b);
        if (plan->owned != nullptr) replace_device_plan(*plan, stream->device);
    });
}

adze_status adze_attention_workspace_size(const adze_attention_plan* plan, uint64_t* bytes) {
    return guarded(__func__, [&] {
        require_pointer(plan, "plan");
        require_pointer(bytes, "bytes");
        *bytes = attention_workspace_bytes(plan->plan);
    });
}

adze_status adze_attention_run(adze_stream* stream, const adze_attention_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        adze_attention_desc d = read_desc(desc);
        const AttentionPlan& plan = require_plan(d.plan, *stream);
        const AttentionShape& shape = plan.shape;
        const Extent extent = extent_of(plan, *stream);
        require_rows(extent, d.q, kFloatTypes, int64_t{shape.num_q_heads} * shape.head_dim_qk, "q");
        require_rows(extent, d.o, kFloatTypes, int64_t{shape.num_q_heads} * shape.head_dim_v, "o");
        if (!is_absent(d.lse)) require_rows(extent, d.lse, dtype_bit(ADZE_DTYPE_F32), shape.num_q_heads, "lse");
        require_caches(d.k, "k", d.v, "v", kFloatTypes | kQuantisedTypes, shape);
        require_pages(extent, d.kv_indices);
        require_mask(extent, d.mask);
        require_softmax(d, shape);
        const uint64_t needed = attention_workspace_bytes(plan);
        require_workspace(d.workspace, d.workspace_bytes, needed);
        require_outputs(d, shape, needed);
        if (stream->context->check_indices) require_page_ids(*stream, plan, d.kv_indices, d.k.num_pages);
        // A unified piece is done again for all its rows where one leaves the bounds: what is beside a row would matter.
        if (stream->context->deterministic) d.softmax = ADZE_SOFTMAX_STABLE, d.phi = {};
        stream->backend().attention(
            stream->device, {&plan, d.q, d.o, d.lse, d.kv_indices, d.k, d.v, static_cast<float*>(d.workspace), d.mask,
                             d.alibi_slopes, d.sinks, d.softmax, d.phi, d.phi_below, d.phi_above});
    });
}

adze_status adze_attention_merge_run(adze_stream* stream, const adze_attention_merge_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_attention_merge_desc d = read_desc(desc);
        require_merge(d);
        stream->backend().attention_merge(stream->device, {d.num_parts, d.num_heads, d.parts, d.parts_lse, d.o, d.lse});
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
        require_pages(extent, d.kv_indices);
        require_appendable(d, shape);
        if (stream->context->check_indices) require_page_ids(*stream, plan, d.kv_indices, d.k_cache.num_pages);
        stream->backend().kv_append(stream->device, {&plan, d.k, d.v, d.kv_indices, d.k_cache, d.v_cache});
    });
}

}  // extern "C"
