// Attention of ragged queries over a paged KV cache: what the kernels see.
#pragma once

#include <cstdint>
#include <vector>

#include "adze/attention.h"

namespace adze {

// One piece of a plan: query rows [q_begin, q_end) of a sequence against keys [kv_begin, kv_end), for one KV head at a
// time.
struct AttentionWork {
    int32_t sequence;
    int32_t q_begin, q_end;    // tokens, counted within the sequence
    int64_t kv_begin, kv_end;  // tokens, counted within the sequence
    int64_t partial;           // first row of its partial results in the workspace, -1: it writes o itself
};

// A query row whose keys were split: merged from `count` partials, `stride` rows apart.
struct AttentionMerge {
    int64_t row;      // of q and o
    int64_t partial;  // first partial row
    int32_t count;
    int32_t stride;
};

struct AttentionSchedule {
    int32_t num_sequences = 0;
    std::vector<int32_t> qo_indptr, kv_indptr;
    std::vector<int64_t> kv_len;
    std::vector<AttentionWork> work;
    std::vector<AttentionMerge> merges;
    int64_t partial_rows = 0;
};

// The schedule in device memory, as GPU kernels read it: one block of memory whose sections lie where the plan's
// capacities put them, so that a captured run finds the next batch in the same place.
struct AttentionCounts {
    int32_t num_sequences, num_work, num_merges, num_q_tokens;
};
struct AttentionDevicePlan {
    const AttentionCounts* counts;  // NULL: the backend reads the schedule on the host
    const int32_t* qo_indptr;       // [num_sequences + 1]
    const int32_t* kv_indptr;       // [num_sequences + 1]
    const int64_t* kv_len;          // [num_sequences]
    const AttentionMerge* merges;   // [num_merges]
    const AttentionWork* work;      // [num_work]
};

// Queries of a sequence up to which its keys are split (decode and drafts), keys in a split, and query tokens in a tile
// otherwise. They depend on the sequence alone, so that a result never depends on the batch.
constexpr int64_t kSplitQueryTokens = 16;
constexpr int64_t kSplitKeys = 2048;
constexpr int64_t kTileQueryTokens = 32;

struct AttentionShape {
    int32_t num_q_heads, num_kv_heads, head_dim_qk, head_dim_v, page_size;
    bool causal;
    int32_t window;
    float softmax_scale;
    int32_t max_sequences;
    int64_t max_q_tokens, max_kv_pages;
    constexpr int32_t group() const { return num_q_heads / num_kv_heads; }
};

struct AttentionPlan {
    AttentionShape shape;
    AttentionSchedule schedule;
    AttentionDevicePlan device{};
};

// Pieces of work and merges that no batch within the capacities exceeds: what a captured run must launch for.
int64_t max_work(const AttentionShape& shape);
int64_t max_merges(const AttentionShape& shape);

// Reserves `schedule` for every batch within the capacities, so that building it allocates nothing.
void reserve_schedule(const AttentionShape& shape, AttentionSchedule& schedule);
void build_schedule(const AttentionShape& shape, const adze_attention_batch& batch, AttentionSchedule& schedule);

// Bytes of the schedule's image, its sections for an image at `base`, and an image of `schedule` written to host memory;
// the bytes that it uses, from the start, are what device memory must be given.
uint64_t attention_image_bytes(const AttentionShape& shape);
AttentionDevicePlan attention_image_view(const AttentionShape& shape, const void* base);
uint64_t write_attention_image(const AttentionShape& shape, const AttentionSchedule& schedule, void* image);

// A partial row holds, per query head, the value sums and then (maximum, sum of exponentials).
inline int64_t partial_row_floats(const AttentionShape& shape) {
    return static_cast<int64_t>(shape.num_q_heads) * (shape.head_dim_v + 2);
}
uint64_t attention_workspace_bytes(const AttentionShape& shape);

struct AttentionParams {
    const AttentionPlan* plan;
    adze_tensor q, o, lse, kv_indices;
    adze_kv_cache k, v;
    void* workspace;
};

// Elements to which a vector of I4 is padded.
constexpr int32_t kInt4Padding = 32;
constexpr int64_t padded_int4(int64_t head_dim) {
    return (head_dim + kInt4Padding - 1) / kInt4Padding * kInt4Padding;
}
inline bool is_quantised(const adze_kv_cache& cache) {
    return cache.dtype == ADZE_DTYPE_F8E4M3 || cache.dtype == ADZE_DTYPE_I8 || cache.dtype == ADZE_DTYPE_I4;
}
// Whether appending sets the scales.
inline bool has_dynamic_scales(const adze_kv_cache& cache) {
    return is_quantised(cache) && cache.scale_token_stride != 0;
}

struct KvAppendParams {
    const AttentionPlan* plan;
    adze_tensor k, v, kv_indices;
    adze_kv_cache k_cache, v_cache;
};

// For backends whose device memory the host can read: refuses a page id outside the cache before anything runs.
void require_page_ids(const AttentionPlan& plan, const adze_tensor& kv_indices, int64_t num_pages);

}  // namespace adze
