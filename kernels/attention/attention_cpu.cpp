// o = softmax(scale q k^T + mask) v over a paged KV cache                        compiled once per instruction set
// A task is one piece of the plan's work for one KV head: its query tokens times the group of query heads that share
// the KV head are rows. Keys come in tiles of kTileKeys, aligned to the sequence, converted to f32 once and used by all
// rows. Per row: scores by dot products, online softmax (arXiv 1805.02867; FlashAttention-2, arXiv 2307.08691,
// algorithm 1), value sums in the scratch. What a row sees of a tile is a word of bits, from causality, window, sinks and
// masks alike; tiles that no row sees are never read. The softmax is stable whatever the call asks for.
// A row's keys are summed in splits of kCpuSplitKeys positions, which are merged in order: by the task, or by a second
// pass over the partial rows of several tasks (decode; Flash-Decoding). Either way a row's bits follow from its query and
// the keys that it sees, not from the rows beside it, nor from who summed what.
// Floor: decode reads each K and V once at memory bandwidth; prefill does 4 d operations per visible pair at FMA peak.
// Tried without a gain, on a loaded machine: prefetching the next tile, all heads of a tile in one task
// (docs/performance.md).
#include <cmath>

#include "numeric/quantised.h"
#include "runtime/cpu_kernels.h"
#include "runtime/cpu_rows.h"

namespace adze::ADZE_ISA {
namespace {

constexpr int64_t kTileKeys = 32;   // as many as a word of the mask has bits
constexpr int kRowGroup = 4;        // rows that share a key's or a value's loads
constexpr int64_t kBatchRows = 32;  // rows whose state is in the scratch at once

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// The softmax of a row over some keys: their largest logit, the sum of exponentials, that of weighted values.
struct RowSums {
    float *maximum, *total, *values;

    void clear(int32_t d) const {
        *maximum = -kInfinity, *total = 0.0f;
        memset(values, 0, static_cast<size_t>(d) * sizeof(float));
    }
};
// That of each row of a batch.
struct BatchSums {
    float* base;
    int32_t d;

    static constexpr int64_t floats(int64_t d) { return kBatchRows * (d + 2); }
    RowSums row(int64_t r) const { return {base + r, base + kBatchRows + r, base + 2 * kBatchRows + r * d}; }
    void clear(int64_t rows) const {
        for (int64_t r = 0; r < rows; ++r) row(r).clear(d);
    }
};

// Scratch of a worker, in floats: per row the query, the sums of a split and of those before it, the scores of a tile;
// then a tile of keys and values.
struct Scratch {
    float* q;
    BatchSums split, all;
    float *score, *keys, *values;
    Scratch(float* base, const AttentionShape& s) {
        q = base;
        split = {q + kBatchRows * s.head_dim_qk, s.head_dim_v};
        all = {split.base + BatchSums::floats(s.head_dim_v), s.head_dim_v};
        score = all.base + BatchSums::floats(s.head_dim_v);
        keys = score + kBatchRows * kTileKeys;
        values = keys + kTileKeys * s.head_dim_qk;
    }
};
static_assert(CpuPool::kScratchFloats >=
              (kBatchRows + 2 * kTileKeys) * 1024 + 2 * BatchSums::floats(1024) + kBatchRows * kTileKeys);

// The numbers of Q from element `at` on, without their scale.
template <class Q>
const float* dequantise_vector(const void* data, int64_t at, int32_t d, float* out) {
    const auto* bytes = static_cast<const uint8_t*>(data) + at / kPerByte<Q>;
    for (int32_t i = 0; i < d; i += kPerByte<Q>) {
        for (int j = 0; j < kPerByte<Q>; ++j) out[i + j] = dequantise<Q>(bytes[i / kPerByte<Q>], j);
    }
    return out;
}

const float* read_stored(const adze_kv_cache& cache, int64_t at, int32_t d, float* scratch) {
    if (cache.dtype == ADZE_DTYPE_F8E4M3) return dequantise_vector<e4m3>(cache.data, at, d, scratch);
    if (cache.dtype == ADZE_DTYPE_I8) return dequantise_vector<int8_t>(cache.data, at, d, scratch);
    if (cache.dtype == ADZE_DTYPE_I4) return dequantise_vector<int4x2>(cache.data, at, d, scratch);
    return read(cache.data, cache.dtype, at, d, scratch);
}

// One head of the keys or values of a sequence.
struct HeadOfCache {
    const adze_kv_cache& cache;
    const int32_t* pages;
    int32_t page_size;
    int64_t head;
    int32_t head_dim;

    // The vector of token `position` as f32: the cache's own memory where nothing is to convert, else a copy in
    // `scratch`.
    const float* at(int64_t position, float* scratch) const {
        const int64_t page = pages[position / page_size], token = position % page_size;
        const float* x = read_stored(
            cache, page * cache.page_stride + token * cache.token_stride + head * cache.head_stride, head_dim, scratch);
        if (cache.scales == nullptr) return x;
        const F32 scale = broadcast(cache.scales[page * cache.scale_page_stride + token * cache.scale_token_stride +
                                                 head * cache.scale_head_stride]);
        for (int32_t i = 0; i < head_dim; i += kLanes)
            store_n(scratch + i, load_up_to(x + i, head_dim - i) * scale, head_dim - i);
        return scratch;
    }
};

// The keys of a tile that are at hand, with their values and their places in it.
struct Tile {
    const float *key[kTileKeys], *value[kTileKeys];
    float place[kTileKeys];

    // Those of `seen`, moved together.
    Tile gather(uint32_t seen) const {
        Tile out;
        for (int n = 0; seen != 0; seen &= seen - 1, ++n) {
            const int i = __builtin_ctz(seen);
            out.key[n] = key[i], out.value[n] = value[i], out.place[n] = place[i];
        }
        return out;
    }
};

// Bits 0 .. count - 1.
uint32_t first_bits(int64_t count) {
    return count <= 0 ? 0 : count >= kTileKeys ? ~0u : (1u << count) - 1;
}

float of_head(const adze_tensor& tensor, int64_t head, float absent) {
    return tensor.data == nullptr ? absent : static_cast<const float*>(tensor.data)[head];
}

// score[r] = q[r] . k for kRows rows; head dims are multiples of 8, so a vector of 16 may have half a tail.
template <int kRows>
void dot(const float* q, const float* k, int32_t d, float scale, float* score) {
    F32 sum[kRows];
    ADZE_UNROLL
    for (F32& s : sum) s = zero();
    for (int32_t i = 0; i < d; i += kLanes) {
        const F32 key = load_up_to(k + i, d - i);
        ADZE_UNROLL
        for (int r = 0; r < kRows; ++r) sum[r] = fma(load_up_to(q + r * d + i, d - i), key, sum[r]);
    }
    for (int r = 0; r < kRows; ++r) score[r * kTileKeys] = reduce_add(sum[r]) * scale;
}

// sum[r] += sum over keys [begin, end) of weight[r][key] * values[key] for kRows rows.
template <int kRows>
void accumulate(const float* weight, const float* const* values, int64_t begin, int64_t end, int32_t d, float* sum) {
    for (int32_t i = 0; i < d; i += kLanes) {
        F32 s[kRows];
        ADZE_UNROLL
        for (int r = 0; r < kRows; ++r) s[r] = load_up_to(sum + r * d + i, d - i);
        for (int64_t key = begin; key < end; ++key) {
            const F32 value = load_up_to(values[key] + i, d - i);
            ADZE_UNROLL
            for (int r = 0; r < kRows; ++r) s[r] = fma(broadcast(weight[r * kTileKeys + key]), value, s[r]);
        }
        ADZE_UNROLL
        for (int r = 0; r < kRows; ++r) store_n(sum + r * d + i, s[r], d - i);
    }
}

// No finite score yet: exp(-inf - -inf) would be NaN, exp(-inf - 0) is the 0 that is meant.
float shift_of(float maximum) {
    return maximum == -kInfinity ? 0.0f : maximum;
}

// Takes the scores of keys [begin, end) of a tile into a row's softmax: they become weights, the row's sums are
// rescaled.
void absorb(float* score, int64_t begin, int64_t end, const RowSums& row, int32_t d) {
    for (int64_t key = 0; key < begin; ++key) score[key] = -kInfinity;
    for (int64_t key = end; key < kTileKeys; ++key) score[key] = -kInfinity;
    F32 largest = broadcast(-kInfinity);
    for (int64_t key = 0; key < kTileKeys; key += kLanes) largest = max(load(score + key), largest);
    const float previous = *row.maximum, tile_maximum = reduce_max(largest);
    if (tile_maximum > previous) *row.maximum = tile_maximum;
    const float shift = shift_of(*row.maximum);
    F32 sum_of_weights = zero();
    for (int64_t key = 0; key < kTileKeys; key += kLanes) {
        const F32 weight = exp(load(score + key) - broadcast(shift));
        store(score + key, weight);
        sum_of_weights = sum_of_weights + weight;
    }
    if (*row.maximum != previous) {
        const float rescale = expf(previous - shift);
        *row.total *= rescale;
        for (int32_t i = 0; i < d; i += kLanes)
            store_n(row.values + i, load_up_to(row.values + i, d - i) * broadcast(rescale), d - i);
    }
    *row.total += reduce_add(sum_of_weights);
}

// Takes the row's next keys into its sums. Where it saw none of them nothing changes but, perhaps, a zero's sign; a NaN
// among the values of keys that weigh nothing is one still.
void merge(const RowSums& row, const RowSums& next, int32_t d) {
    const float previous = *row.maximum;
    if (*next.maximum > previous) *row.maximum = *next.maximum;
    const float shift = shift_of(*row.maximum);
    const float kept = expf(previous - shift), weight = expf(*next.maximum - shift);
    *row.total = *row.total * kept + *next.total * weight;
    for (int32_t i = 0; i < d; i += kLanes) {
        const F32 added = load_up_to(next.values + i, d - i) * broadcast(weight);
        store_n(row.values + i, fma(load_up_to(row.values + i, d - i), broadcast(kept), added), d - i);
    }
}

// Stores a row's result, and its log-sum-exp. A sink is a key without a value.
void write_result(const AttentionParams& p, int64_t row, int64_t q_head, const RowSums& sums) {
    const int32_t d = p.plan->shape.head_dim_v;
    const float sink = of_head(p.sinks, q_head, -kInfinity);
    const float maximum = sink > *sums.maximum ? sink : *sums.maximum, shift = shift_of(maximum);
    const float weight = expf(*sums.maximum - shift);
    float total = *sums.total * weight + expf(sink - shift);
    if (total == 0.0f) total = 1.0f;  // no key seen: the sums are zero, the maximum is -inf
    // + 0: a zero's sign may tell how the keys were split.
    for (int32_t i = 0; i < d; ++i) sums.values[i] = sums.values[i] * weight / total + 0.0f;
    write_row(p.o, row, q_head * d, sums.values, d);
    if (p.lse.data == nullptr) return;
    static_cast<float*>(p.lse.data)[row * p.lse.row_stride + q_head] = maximum + logf(total);
}

// A row of the workspace.
RowSums partial_row(const AttentionParams& p, int64_t head, int64_t row) {
    const PartialRows partials = partial_rows(*p.plan);
    float* statistics = p.workspace + partials.statistics(head, row);
    return {statistics, statistics + 1, p.workspace + partials.sums(head, row)};
}

// Some rows of a piece of work: row r is row_ + r of the sequence (attention.h).
class RowBatch {
public:
    RowBatch(const AttentionParams& p, const AttentionWork& work, int64_t head, int64_t row, int64_t rows,
             float* scratch)
        : p_(p), shape_(p.plan->shape), work_(work), head_(head), row_(row), rows_(rows), scratch_(scratch, shape_) {
        const AttentionSchedule& schedule = p.plan->schedule;
        first_token_ = schedule.qo_indptr[static_cast<size_t>(work.sequence)];
        const int64_t q_len = schedule.qo_indptr[static_cast<size_t>(work.sequence) + 1] - first_token_;
        kv_len_ = schedule.kv_len[static_cast<size_t>(work.sequence)];
        past_ = kv_len_ - q_len;
        pages_ =
            static_cast<const int32_t*>(p.kv_indices.data) + schedule.kv_indptr[static_cast<size_t>(work.sequence)];
        for (int64_t r = 0; r < rows_; ++r) token_[r] = (row_ + r) / shape_.group();
        mask_words_ = (kv_len_ + kTileKeys - 1) / kTileKeys;
        const int64_t mask_begin = schedule.mask_begin[static_cast<size_t>(work.sequence)];
        if (mask_begin >= 0) mask_ = static_cast<const uint32_t*>(p.mask.data) + mask_begin;
    }

    void run() {
        load_queries();
        scratch_.all.clear(rows_);
        const int64_t end = visible_end(rows_ - 1);
        for (int64_t tile = next(work_.kv_begin); tile < end;) {
            const int64_t split_end = least((tile / kCpuSplitKeys + 1) * kCpuSplitKeys, end);
            scratch_.split.clear(rows_);
            for (; tile < split_end; tile = next(tile + kTileKeys)) add_tile(tile);
            for (int64_t r = 0; r < rows_; ++r) merge(scratch_.all.row(r), scratch_.split.row(r), shape_.head_dim_v);
        }
        for (int64_t r = 0; r < rows_; ++r) finish(r);
    }

private:
    int64_t token(int64_t r) const { return token_[r]; }
    int64_t q_head(int64_t r) const { return head_ * shape_.group() + (row_ + r) % shape_.group(); }
    int64_t position(int64_t r) const { return past_ + token(r); }
    int64_t window_begin(int64_t r) const { return shape_.window == 0 ? 0 : position(r) - shape_.window + 1; }
    int64_t visible_end(int64_t r) const { return least(work_.kv_end, shape_.causal ? position(r) + 1 : kv_len_); }
    // The tile at `tile`, or the first after it that is not between the sinks and the windows.
    int64_t next(int64_t tile) const {
        return tile < shape_.sink_tokens ? tile : most(tile, window_begin(0) / kTileKeys * kTileKeys);
    }
    // Which keys of a tile row r sees.
    uint32_t seen(int64_t r, int64_t tile) const {
        uint32_t keys = first_bits(visible_end(r) - tile);
        keys &= ~first_bits(window_begin(r) - tile) | first_bits(shape_.sink_tokens - tile);
        return mask_ == nullptr ? keys : keys & mask_[token(r) * mask_words_ + tile / kTileKeys];
    }

    void load_queries() {
        const int32_t d = shape_.head_dim_qk;
        for (int64_t r = 0; r < rows_; ++r) {
            float* q = scratch_.q + r * d;
            const float* source = read_row(p_.q, first_token_ + token(r), q_head(r) * d, d, q);
            if (source != q) memcpy(q, source, static_cast<size_t>(d) * sizeof(float));
        }
    }

    void add_tile(int64_t first) {
        uint32_t seen_by[kBatchRows], seen_by_any = 0;
        for (int64_t r = 0; r < rows_; ++r) seen_by_any |= seen_by[r] = seen(r, first);
        const HeadOfCache keys{p_.k, pages_, shape_.page_size, head_, shape_.head_dim_qk};
        const HeadOfCache values{p_.v, pages_, shape_.page_size, head_, shape_.head_dim_v};
        Tile tile;
        for (uint32_t left = seen_by_any; left != 0; left &= left - 1) {
            const int i = __builtin_ctz(left);
            tile.key[i] = keys.at(first + i, scratch_.keys + i * shape_.head_dim_qk);
            tile.value[i] = values.at(first + i, scratch_.values + i * shape_.head_dim_v);
        }
        for (int i = 0; i < kTileKeys; ++i) tile.place[i] = static_cast<float>(i);
        for (int64_t r = 0; r < rows_;) {
            bool together = r + kRowGroup <= rows_;
            for (int i = 1; i < kRowGroup && together; ++i) together = seen_by[r + i] == seen_by[r];
            if (together) {
                add_rows<kRowGroup>(r, first, tile, seen_by[r]);
            } else {
                add_rows<1>(r, first, tile, seen_by[r]);
            }
            r += together ? kRowGroup : 1;
        }
    }

    // kRows rows that see the same keys of the tile.
    template <int kRows>
    void add_rows(int64_t r, int64_t first, const Tile& tile, uint32_t seen) {
        if (seen == 0) return;
        const int begin = __builtin_ctz(seen), end = kTileKeys - __builtin_clz(seen), count = __builtin_popcount(seen);
        if (count == end - begin) {
            add_run<kRows>(r, first, tile, begin, end);
        } else {
            add_run<kRows>(r, first, tile.gather(seen), 0, count);
        }
    }

    // Keys [begin, end) of the tile.
    template <int kRows>
    void add_run(int64_t r, int64_t first, const Tile& tile, int64_t begin, int64_t end) {
        const int32_t d = shape_.head_dim_qk, dv = shape_.head_dim_v;
        float* score = scratch_.score + r * kTileKeys;
        for (int64_t i = begin; i < end; ++i)
            dot<kRows>(scratch_.q + r * d, tile.key[i], d, shape_.softmax_scale, score + i);
        for (int i = 0; i < kRows; ++i) {
            if (shape_.logits_soft_cap > 0) cap(score + i * kTileKeys);
            if (p_.alibi_slopes.data != nullptr) add_bias(score + i * kTileKeys, r + i, first, tile.place);
            absorb(score + i * kTileKeys, begin, end, scratch_.split.row(r + i), dv);
        }
        accumulate<kRows>(score, tile.value, begin, end, dv, scratch_.split.row(r).values);
    }

    // These two take a tile's scores whole: what no key made is replaced in absorb().
    void cap(float* score) const {
        const F32 cap = broadcast(shape_.logits_soft_cap);
        for (int64_t i = 0; i < kTileKeys; i += kLanes) store(score + i, cap * tanh(load(score + i) / cap));
    }
    void add_bias(float* score, int64_t r, int64_t first, const float* place) const {
        const F32 slope = broadcast(of_head(p_.alibi_slopes, q_head(r), 0.0f));
        const F32 distance = broadcast(static_cast<float>(first - position(r)));
        for (int64_t i = 0; i < kTileKeys; i += kLanes)
            store(score + i, fma(slope, distance + load(place + i), load(score + i)));
    }

    void finish(int64_t r) {
        const RowSums sums = scratch_.all.row(r);
        if (work_.partial < 0) return write_result(p_, first_token_ + token(r), q_head(r), sums);
        const RowSums out = partial_row(p_, head_, work_.partial + row_ + r - work_.row_begin);
        *out.maximum = *sums.maximum, *out.total = *sums.total;
        memcpy(out.values, sums.values, static_cast<size_t>(shape_.head_dim_v) * sizeof(float));
    }

    const AttentionParams& p_;
    const AttentionShape& shape_;
    const AttentionWork& work_;
    int64_t head_, row_, rows_;
    Scratch scratch_;
    int64_t first_token_, kv_len_, past_, mask_words_;
    int64_t token_[kBatchRows];  // of each row, as divisions take their time
    const int32_t* pages_;
    const uint32_t* mask_ = nullptr;  // of query 0; each query has mask_words_
};

// The pieces of a row, in order.
void merge_pieces(const AttentionParams& p, const AttentionMerge& m, int64_t head, int64_t row, float* scratch) {
    const AttentionShape& shape = p.plan->shape;
    const int64_t first = m.partial + row - m.row_begin, step = m.row_end - m.row_begin;
    const RowSums sums = BatchSums{scratch, shape.head_dim_v}.row(0);
    sums.clear(shape.head_dim_v);
    for (int32_t i = 0; i < m.count; ++i) merge(sums, partial_row(p, head, first + i * step), shape.head_dim_v);
    const int64_t token = p.plan->schedule.qo_indptr[static_cast<size_t>(m.sequence)] + row / shape.group();
    write_result(p, token, head * shape.group() + row % shape.group(), sums);
}

// Stores a vector as numbers of Q times the scale, which is set if it is dynamic. `at` is its first element.
template <class Q>
void quantise_vector(const adze_kv_cache& cache, int64_t at, float& scale, const float* x, int32_t d) {
    if (has_dynamic_scales(cache)) {
        uint32_t largest = 0;
        for (int32_t i = 0; i < d; ++i) largest = magnitude_bits(x[i]) > largest ? magnitude_bits(x[i]) : largest;
        scale = scale_for<Q>(largest);
    }
    const float divisor = scale;
    auto* out = static_cast<uint8_t*>(cache.data) + at / kPerByte<Q>;
    if constexpr (kPerByte<Q> == 1) {
        for (int32_t i = 0; i < d; ++i) out[i] = static_cast<uint8_t>(quantise<Q>(x[i] / divisor));
    } else {
        for (int32_t i = 0; i < padded_int4(d); i += 2) {
            const uint32_t low = i < d ? quantise<Q>(x[i] / divisor) : 0;
            const uint32_t high = i + 1 < d ? quantise<Q>(x[i + 1] / divisor) : 0;
            out[i / 2] = static_cast<uint8_t>(low | high << 4);
        }
    }
}

void append_vector(const adze_kv_cache& cache, int64_t page, int64_t token, int64_t head, const float* x, int32_t d,
                   float* scratch) {
    const int64_t at = page * cache.page_stride + token * cache.token_stride + head * cache.head_stride;
    if (cache.scales != nullptr) {
        float& scale = cache.scales[page * cache.scale_page_stride + token * cache.scale_token_stride +
                                    head * cache.scale_head_stride];
        if (cache.dtype == ADZE_DTYPE_F8E4M3) return quantise_vector<e4m3>(cache, at, scale, x, d);
        if (cache.dtype == ADZE_DTYPE_I8) return quantise_vector<int8_t>(cache, at, scale, x, d);
        if (cache.dtype == ADZE_DTYPE_I4) return quantise_vector<int4x2>(cache, at, scale, x, d);
        for (int32_t i = 0; i < d; ++i) scratch[i] = x[i] / scale;
        x = scratch;
    }
    write(cache.data, cache.dtype, at, x, d);
}

}  // namespace

void attention(CpuPool& pool, const AttentionParams& p) {
    const int64_t heads = p.plan->shape.num_kv_heads;
    const AttentionSchedule& schedule = p.plan->schedule;
    pool.for_each(static_cast<int64_t>(schedule.work.size()) * heads, [&](int64_t task, int worker) {
        const AttentionWork& work = schedule.work[static_cast<size_t>(task / heads)];
        for (int64_t row = work.row_begin; row < work.row_end; row += kBatchRows) {
            RowBatch(p, work, task % heads, row, least(kBatchRows, work.row_end - row), pool.scratch(worker)).run();
        }
    });
    pool.for_each(static_cast<int64_t>(schedule.merges.size()) * heads, [&](int64_t task, int worker) {
        const AttentionMerge& m = schedule.merges[static_cast<size_t>(task / heads)];
        for (int64_t row = m.row_begin; row < m.row_end; ++row)
            merge_pieces(p, m, task % heads, row, pool.scratch(worker));
    });
}

void attention_merge(CpuPool& pool, const AttentionMergeParams& p) {
    const int64_t tokens = p.o.rows;
    const auto d = static_cast<int32_t>(p.o.columns / p.num_heads);
    const auto* parts_lse = static_cast<const float*>(p.parts_lse.data);
    const auto lse_of = [&](int64_t part, int64_t token, int64_t head) {
        return parts_lse[(part * tokens + token) * p.parts_lse.row_stride + head];
    };
    pool.for_each(tokens, [&](int64_t token, int worker) {
        float *sum = pool.scratch(worker), *row = sum + d;
        for (int64_t head = 0; head < p.num_heads; ++head) {
            float maximum = -kInfinity, total = 0.0f;
            for (int64_t i = 0; i < p.num_parts; ++i) {
                if (lse_of(i, token, head) > maximum) maximum = lse_of(i, token, head);
            }
            memset(sum, 0, static_cast<size_t>(d) * sizeof(float));
            for (int64_t i = 0; i < p.num_parts; ++i) {
                if (lse_of(i, token, head) == -kInfinity) continue;  // saw no key
                const float weight = expf(lse_of(i, token, head) - maximum);
                const float* part = read_row(p.parts, i * tokens + token, head * d, d, row);
                total += weight;
                for (int32_t e = 0; e < d; ++e) sum[e] += weight * part[e];
            }
            const float divisor = total == 0.0f ? 1.0f : total;
            for (int32_t e = 0; e < d; ++e) sum[e] /= divisor;
            write_row(p.o, token, head * d, sum, d);
            if (p.lse.data != nullptr)
                static_cast<float*>(p.lse.data)[token * p.lse.row_stride + head] = maximum + logf(divisor);
        }
    });
}

void kv_append(CpuPool& pool, const KvAppendParams& p) {
    const AttentionShape& s = p.plan->shape;
    const AttentionSchedule& schedule = p.plan->schedule;
    const auto* pages = static_cast<const int32_t*>(p.kv_indices.data);
    constexpr int64_t kTokensATask = 16;
    const int64_t tokens = schedule.qo_indptr.back();
    pool.for_each((tokens + kTokensATask - 1) / kTokensATask, [&](int64_t task, int worker) {
        float *x = pool.scratch(worker), *scaled = x + s.head_dim_qk + s.head_dim_v;
        size_t sequence = 0;
        for (int64_t row = task * kTokensATask; row < least((task + 1) * kTokensATask, tokens); ++row) {
            while (schedule.qo_indptr[sequence + 1] <= row) ++sequence;
            const int64_t position = schedule.kv_len[sequence] - (schedule.qo_indptr[sequence + 1] - row);
            if (position < 0) continue;
            const int64_t page = pages[schedule.kv_indptr[sequence] + position / s.page_size];
            const int64_t token = position % s.page_size;
            for (int64_t head = 0; head < s.num_kv_heads; ++head) {
                const float* k = read_row(p.k, row, head * s.head_dim_qk, s.head_dim_qk, x);
                append_vector(p.k_cache, page, token, head, k, s.head_dim_qk, scaled);
                const float* v = read_row(p.v, row, head * s.head_dim_v, s.head_dim_v, x);
                append_vector(p.v_cache, page, token, head, v, s.head_dim_v, scaled);
            }
        }
    });
}

}  // namespace adze::ADZE_ISA
