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
    int32_t group() const { return num_q_heads / num_kv_heads; }
};

struct AttentionPlan {
    AttentionShape shape;
    AttentionSchedule schedule;
};

// Reserves `schedule` for every batch within the capacities, so that building it allocates nothing.
void reserve_schedule(const AttentionShape& shape, AttentionSchedule& schedule);
void build_schedule(const AttentionShape& shape, const adze_attention_batch& batch, AttentionSchedule& schedule);

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

struct KvAppendParams {
    const AttentionPlan* plan;
    adze_tensor k, v, kv_indices;
    adze_kv_cache k_cache, v_cache;
};

// For backends whose device memory the host can read: refuses a page id outside the cache before anything runs.
void require_page_ids(const AttentionPlan& plan, const adze_tensor& kv_indices, int64_t num_pages);

}  // namespace adze
