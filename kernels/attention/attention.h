// Attention of ragged queries over a paged KV cache: what the kernels see.
#pragma once

#include <cstdint>
#include <vector>

#include "adze/attention.h"

namespace adze {

// Rows: query head h of a KV head's group and query token i of a sequence make row i * group + h of that KV head. Rows are
// taken in tiles, whose height depends on how many a sequence has: decode, drafts, prefill. A kernel serves one height.
constexpr int kRowTiles = 3;
constexpr int64_t kTileRows[kRowTiles] = {16, 64, 128};

// One piece of a plan: rows of a sequence against keys, for one KV head at a time.
struct AttentionWork {
    int64_t row_begin, row_end;
    int64_t kv_begin, kv_end;  // kv_begin is a multiple of kKeyUnit
    int64_t partial;           // its first partial row in the workspace, -1: it writes o itself
    int32_t sequence;
    int32_t reserved;
};

// A tile of rows whose keys were split: part i of row r is partial row `partial` + i * (row_end - row_begin) + r -
// row_begin.
struct AttentionMerge {
    int64_t row_begin, row_end;
    int64_t partial;
    int32_t sequence;
    int32_t count;
};

// How a backend wants the keys to be split among blocks.
struct AttentionSplit {
    int32_t blocks[kRowTiles];  // that share a KV head's work on such tiles; 0: the backend takes pieces as they come
    // 0: keys are split where the blocks' even shares end. Else at multiples of it (of kKeyUnit) and nowhere else, so that
    // a sequence's pieces depend on the sequence alone; kWhole: not at all, and the one other choice for the highest tiles,
    // of which a sequence may have many.
    int64_t fixed_keys[kRowTiles];
    // Of fixed splits, for a backend that takes pieces as they come: of each height a batch has so many at most, which bounds
    // the workspace; tiles that find no room for theirs are whole. 0: no bound, since a row's bits tell whether it was split.
    int64_t most_pieces;
    static constexpr int64_t kWhole = INT64_MAX;
};
// Blocks for each KV head where `slots` blocks run at once: as many as one wave holds or, where that leaves more than a fifth
// of the slots idle, the next number whose waves do not. Of 96 heads on 132 processors one each would leave 36 idle; 4 each make three waves, 12 short.
int32_t blocks_of_head(int32_t slots, int32_t heads);

// Keys that pieces are made of: a multiple of every kernel's tile.
constexpr int64_t kKeyUnit = 128;
// Of a sequence that GPU kernels take: their positions have 32 bits, and tiles may end beyond the last.
constexpr int64_t kMostDeviceKeys = INT32_MAX - kKeyUnit;
// What a piece costs besides its keys, in units of keys: queries, results, the first keys' way. An estimate.
constexpr int64_t kPieceCost = 2;
// A share begins and ends up to this part of it early or late, if that saves a split. So no block has more than
// (1 + 2 / kSlackPart) of a share, and the cost of a piece for going on with what an earlier block began. Of fixed splits,
// no block has more than a share and a piece.
constexpr int64_t kSlackPart = 16;

struct AttentionSchedule {
    int32_t num_sequences = 0;
    std::vector<int32_t> qo_indptr, kv_indptr;
    std::vector<int64_t> kv_len, mask_begin;
    int64_t mask_words = 0;
    std::vector<AttentionWork> work;  // of row tiles 0, 1, 2 in this order
    std::vector<AttentionMerge> merges;
    std::vector<int32_t> block_work[kRowTiles];  // block b takes work block_work[b] .. block_work[b + 1]
    int32_t used_blocks[kRowTiles] = {};         // the blocks after these have no work
    int64_t partial_rows = 0;
};

// The schedule in device memory, as GPU kernels read it: one block of memory whose sections lie where the plan's
// capacities put them, so that a captured run finds the next batch in the same place.
struct AttentionCounts {
    int32_t num_sequences, num_merges, num_q_tokens, reserved;
};
struct AttentionDevicePlan {
    const AttentionCounts* counts;  // NULL: the backend reads the schedule on the host
    const int32_t* qo_indptr;       // [num_sequences + 1]
    const int32_t* kv_indptr;       // [num_sequences + 1]
    const int64_t* kv_len;          // [num_sequences]
    const int64_t* mask_begin;      // [num_sequences] word of the mask, -1: the sequence has none; NULL: none has
    const int32_t* block_work[kRowTiles];  // [blocks + 1]; NULL where no batch has such rows
    const AttentionMerge* merges;          // [num_merges]
    const AttentionWork* work;
};

struct AttentionShape {
    int32_t num_q_heads, num_kv_heads, head_dim_qk, head_dim_v, page_size;
    bool causal;
    int32_t window, sink_tokens;
    float softmax_scale, logits_soft_cap;
    int32_t max_sequences, max_q_len;
    int64_t max_q_tokens, max_kv_pages, max_mask_words;
    constexpr int32_t group() const { return num_q_heads / num_kv_heads; }
};

struct AttentionPlan {
    AttentionShape shape;
    AttentionSplit split;
    AttentionSchedule schedule;
    AttentionDevicePlan device{};
};

// Which tiles a sequence's rows are taken in, and the highest that a batch within the capacities may need.
constexpr int row_tile_of(int64_t rows) {
    return rows <= kTileRows[0] ? 0 : rows <= kTileRows[1] ? 1 : 2;
}
constexpr int highest_row_tile(const AttentionShape& s) {
    return row_tile_of(int64_t{s.max_q_len} * s.group());
}

// Reserves `schedule` for every batch within the capacities, so that building it allocates nothing.
void reserve_schedule(AttentionPlan& plan);
void build_schedule(AttentionPlan& plan, const adze_attention_batch& batch);

// What no batch within the capacities exceeds.
int64_t max_work(const AttentionPlan& plan);
int64_t max_merges(const AttentionPlan& plan);

// Bytes of the schedule's image, its sections for an image at `base`, and an image of the schedule written to host memory;
// the bytes that it uses, from the start, are what device memory must be given.
uint64_t attention_image_bytes(const AttentionPlan& plan);
AttentionDevicePlan attention_image_view(const AttentionPlan& plan, const void* base);
uint64_t write_attention_image(const AttentionPlan& plan, void* image);

// The workspace, in floats: for every KV head and partial row the value sums [head_dim_v], then for each the maximum and the
// sum of exponentials.
struct PartialRows {
    int64_t count;  // of a KV head
    int32_t num_heads, head_dim;

    constexpr int64_t sums(int64_t head, int64_t row) const { return (head * count + row) * head_dim; }
    constexpr int64_t statistics(int64_t head, int64_t row) const {
        return num_heads * count * head_dim + (head * count + row) * 2;
    }
    constexpr int64_t floats() const { return num_heads * count * (head_dim + 2); }
};
PartialRows partial_rows(const AttentionPlan& plan);
uint64_t attention_workspace_bytes(const AttentionPlan& plan);

struct AttentionParams {
    const AttentionPlan* plan;
    adze_tensor q, o, lse, kv_indices;
    adze_kv_cache k, v;
    float* workspace;
    adze_tensor mask, alibi_slopes, sinks;  // each may be absent
    adze_softmax softmax;
    adze_tensor phi;  // absent where the softmax is stable
    float phi_below, phi_above;
};

struct AttentionMergeParams {
    int32_t num_parts, num_heads;
    adze_tensor parts, parts_lse, o, lse;
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
