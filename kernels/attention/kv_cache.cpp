#include "attention/kv_cache.h"

#include <algorithm>
#include <cinttypes>
#include <tuple>
#include <utility>

namespace adze {
namespace {

// One vector a page, token and head: a cache, or its scales.
struct Vectors {
    struct Step {
        int64_t bytes = 0, count = 1;  // one place needs no step
    };

    Vectors(const char* cache, const char* field, const void* data, int64_t elements, int64_t element_bits,
            const std::array<std::pair<int64_t, int64_t>, 3>& strides)
        : memory{cache, field, data, 0} {
        if (elements == 0) return;
        int64_t bits = 0;
        bool overflows = __builtin_mul_overflow(elements, element_bits, &bits);
        vector_bytes = bits / 8;
        for (size_t i = 0; i < steps.size(); ++i) {
            const auto& [stride, count] = strides[i];
            if (count <= 1 || stride == 0) continue;
            int64_t reach = 0;
            overflows |= __builtin_mul_overflow(stride, element_bits, &reach);
            steps[i] = {reach / 8, count};
            overflows |= __builtin_mul_overflow(count - 1, reach, &reach) || __builtin_add_overflow(bits, reach, &bits);
        }
        require(!overflows, "%s%s has %" PRId64 " pages at a stride of %" PRId64 "; that exceeds the address space",
                cache, field, strides[0].second, strides[0].first);
        memory.bytes = static_cast<uint64_t>(bits / 8);
        std::sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.bytes < b.bytes; });
    }

    // Bytes over the smallest `levels` steps.
    int64_t span(size_t levels) const {
        int64_t bytes = vector_bytes;
        for (size_t i = 0; i < levels; ++i) bytes += (steps[i].count - 1) * steps[i].bytes;
        return bytes;
    }

    Memory memory;
    int64_t vector_bytes = 0;
    std::array<Step, 3> steps{};
};

// Whether a vector of `b`, which begins `distance` bytes after `a`, may lie in one of `a`, as far as the smallest `levels`
// steps of both go. Equal steps bring a block of b next to two of a at most; of unequal ones the worst is assumed.
bool may_meet(const Vectors& a, const Vectors& b, int64_t distance, size_t levels) {
    if (distance >= a.span(levels) || -distance >= b.span(levels)) return false;
    if (levels == 0) return true;
    const int64_t step = a.steps[levels - 1].bytes;
    if (step != b.steps[levels - 1].bytes) return true;
    if (step == 0) return may_meet(a, b, distance, levels - 1);
    if (std::max(a.span(levels - 1), b.span(levels - 1)) > step) return true;
    const int64_t rest = (distance % step + step) % step;
    return may_meet(a, b, rest, levels - 1) || may_meet(a, b, rest - step, levels - 1);
}

Vectors elements_of(const adze_kv_cache& c, const char* name, const AttentionShape& shape, int32_t head_dim) {
    const int64_t vector = c.num_pages == 0 ? 0 : c.dtype == ADZE_DTYPE_I4 ? padded_int4(head_dim) : head_dim;
    return {name,
            ".data",
            c.data,
            vector,
            dtype_bits(c.dtype),
            {{{c.page_stride, c.num_pages}, {c.token_stride, shape.page_size}, {c.head_stride, shape.num_kv_heads}}}};
}

Vectors scales_of(const adze_kv_cache& c, const char* name, const AttentionShape& shape) {
    return {name,
            ".scales",
            c.scales,
            c.num_pages == 0 || c.scales == nullptr ? 0 : 1,
            32,
            {{{c.scale_page_stride, c.num_pages},
              {c.scale_token_stride, shape.page_size},
              {c.scale_head_stride, shape.num_kv_heads}}}};
}

void require_apart(const Vectors& a, const Vectors& b) {
    if (a.memory.bytes == 0 || b.memory.bytes == 0) return;
    const auto distance =
        static_cast<int64_t>(reinterpret_cast<uintptr_t>(b.memory.data) - reinterpret_cast<uintptr_t>(a.memory.data));
    if (may_meet(a, b, distance, a.steps.size())) fail_overlap(a.memory, b.memory);
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
    elements_of(cache, name, shape, head_dim), scales_of(cache, name, shape);  // neither exceeds the address space
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

void require_distinct(const adze_kv_cache& cache, const char* name, const AttentionShape& shape, int32_t head_dim) {
    require_distinct(shape, cache.num_pages, {cache.page_stride, cache.token_stride, cache.head_stride}, head_dim, name,
                     "elements");
    if (!has_dynamic_scales(cache)) return;
    require_distinct(shape, cache.num_pages,
                     {cache.scale_page_stride, cache.scale_token_stride, cache.scale_head_stride}, 1, name, "scales");
}

}  // namespace

void require_caches(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v, const char* v_name,
                    uint32_t dtypes, const AttentionShape& shape) {
    require_cache(k, dtypes, shape, shape.head_dim_qk, k_name);
    require_cache(v, dtypes, shape, shape.head_dim_v, v_name);
    require(v.dtype == k.dtype, "%s.dtype is %s; it must be %s's, %s", v_name, dtype_name(v.dtype), k_name,
            dtype_name(k.dtype));
    require(v.num_pages == k.num_pages, "%s.num_pages is %" PRId64 "; it must be %s's, %" PRId64, v_name, v.num_pages,
            k_name, k.num_pages);
}

std::array<Memory, 4> cache_memory(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v,
                                   const char* v_name, const AttentionShape& shape) {
    return {elements_of(k, k_name, shape, shape.head_dim_qk).memory,
            elements_of(v, v_name, shape, shape.head_dim_v).memory, scales_of(k, k_name, shape).memory,
            scales_of(v, v_name, shape).memory};
}

void require_writable(const adze_kv_cache& k, const char* k_name, const adze_kv_cache& v, const char* v_name,
                      const AttentionShape& shape) {
    require_distinct(k, k_name, shape, shape.head_dim_qk);
    require_distinct(v, v_name, shape, shape.head_dim_v);
    const Vectors keys = elements_of(k, k_name, shape, shape.head_dim_qk), k_scales = scales_of(k, k_name, shape);
    const Vectors values = elements_of(v, v_name, shape, shape.head_dim_v), v_scales = scales_of(v, v_name, shape);
    require_apart(values, keys);
    for (const Vectors* scales : {&k_scales, &v_scales}) {
        require_apart(*scales, keys);
        require_apart(*scales, values);
    }
    if (has_dynamic_scales(k) || has_dynamic_scales(v)) require_apart(v_scales, k_scales);
}

}  // namespace adze
