// What attention's kernels take from the plan: a piece of work, the tiles of its keys, and where these keys are.
#pragma once

#include <cstddef>

#include "attention/attention.h"
#include "attention/attention_tile.h"
#include "device/async_copy.h"
#include "device/barrier.h"
#include "device/convert.h"
#include "device/math.h"
#include "device/memory.h"
#include "device/warp.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

struct AttentionKernelParams {
    AttentionShape shape;
    AttentionDevicePlan plan;
    adze_tensor q, o, lse, kv_indices;
    adze_kv_cache k, v;
    float* workspace;
    PartialRows partials;
    adze_tensor mask, alibi_slopes, sinks, phi;
    float phi_below, phi_above;
    int64_t num_work, num_merges;       // that the plan has at most
    int32_t height, tile_rows, blocks;  // of the launch
    int32_t q_parts, p_parts;           // numbers of T that q and p are made of
    bool unified;
};

// A struct from an array of the plan, whose structs are of 16 bytes or more of them.
template <class S>
ADZE_DEVICE S load_struct(const S* data, int64_t count, int64_t index) {
    constexpr int kPairs = static_cast<int>(sizeof(S) / 16);
    static_assert(sizeof(S) % 16 == 0);
    struct {
        Vec<uint64_t, 2> pair[kPairs];
    } raw;
    const Global<const uint64_t> words(reinterpret_cast<const uint64_t*>(data), count * kPairs * 2);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) raw.pair[i] = words.load_vec<2>((index * kPairs + i) * 2);
    return __builtin_bit_cast(S, raw);
}

// Structs of 32-bit words that all threads of a block read when they need them: registers are for sums.
template <class S>
struct SharedStruct {
    static constexpr int kWords = static_cast<int>(sizeof(S) / 4);
    Shared<int32_t> words;

    ADZE_DEVICE static SharedStruct take(SharedArena& arena, int count = 1) {
        return {arena.template take<int32_t>(count * kWords)};
    }
    ADZE_DEVICE void store(const S& value, int index = 0) const {
        int32_t from[kWords];
        __builtin_memcpy(from, &value, sizeof(S));
#pragma unroll
        for (int i = 0; i < kWords; ++i) words.store(index * kWords + i, from[i]);
    }
    ADZE_DEVICE S load(int index = 0) const {
        int32_t from[kWords];
        load_used(words, index * kWords, from);
        S value;
        __builtin_memcpy(&value, from, sizeof(S));
        return value;
    }
    // The member of 4 bytes at `offset`, of the first struct.
    ADZE_DEVICE int32_t word(size_t offset) const {
        return words.load(static_cast<int>(offset / 4));
    }
};

ADZE_DEVICE bool is_finite(float x) {
    return (float_bits(x) & 0x7f800000u) != 0x7f800000u;
}
ADZE_DEVICE float exp_of(float x) {
    return exp2_approx(x * kLog2E);
}
ADZE_DEVICE int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}
ADZE_DEVICE int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

// Rows of a piece of work, as many as a block takes at a time. Row r is query token token(r), query head q_head(r).
// Positions have 32 bits: the host refuses longer sequences.
struct AttentionItem {
    int64_t first_token;  // of the sequence, in q
    int64_t partial;      // of row 0, in the workspace; -1: results are final
    int64_t mask_begin;   // word of the mask; -1: none
    int32_t kv_begin, kv_end, kv_len;
    int32_t past;                 // position of the sequence's first query
    int32_t first_page;           // of the sequence, in kv_indices
    int32_t row_token, row_head;  // of row 0: token of the sequence, query head of the KV head
    int32_t rows, head, group;

    AttentionItem() = default;
    ADZE_DEVICE AttentionItem(const AttentionKernelParams& p, int64_t work_index, int first_row, int row_count) {
        const int64_t sequences = p.shape.max_sequences;
        const auto work = load_struct(p.plan.work, p.num_work, work_index);
        const Global<const int32_t> qo_indptr(p.plan.qo_indptr, sequences + 1);
        const Global<const int32_t> kv_indptr(p.plan.kv_indptr, sequences + 1);
        const int32_t token = qo_indptr.load(work.sequence);
        first_token = token;
        kv_len = static_cast<int32_t>(Global<const int64_t>(p.plan.kv_len, sequences).load(work.sequence));
        past = kv_len - (qo_indptr.load(work.sequence + 1) - token);
        first_page = kv_indptr.load(work.sequence);
        mask_begin = -1;
        if (p.plan.mask_begin != nullptr)
            mask_begin = Global<const int64_t>(p.plan.mask_begin, sequences).load(work.sequence);
        kv_begin = static_cast<int32_t>(work.kv_begin);
        kv_end = static_cast<int32_t>(work.kv_end);
        partial = work.partial < 0 ? -1 : work.partial + first_row;
        head = static_cast<int32_t>(block_index().y);
        group = p.shape.group();
        const int64_t row = work.row_begin + first_row, left = work.row_end - row;
        row_token = static_cast<int32_t>(row / group);
        row_head = static_cast<int32_t>(row % group);
        rows = static_cast<int32_t>(left < row_count ? left : row_count);
    }

    ADZE_DEVICE int32_t token(int row) const { return row_token + (row_head + row) / group; }
    ADZE_DEVICE int32_t q_head(int row) const { return head * group + (row_head + row) % group; }
    // The keys that a query sees lie from seen_begin (or among the sinks) to seen_end; both grow with the token.
    ADZE_DEVICE int32_t seen_begin(const AttentionShape& s, int32_t token) const {
        const int32_t position = past + token;
        return s.window == 0 || position < s.window ? 0 : position - s.window + 1;
    }
    ADZE_DEVICE int32_t seen_end(const AttentionShape& s, int32_t token) const {
        return least(kv_end, s.causal ? past + token + 1 : kv_len);
    }
    ADZE_DEVICE int32_t sink_end(const AttentionShape& s) const { return s.window == 0 ? 0 : s.sink_tokens; }
};

// The tiles of keys that a block's rows see, in order: with a window those of the sinks come first.
template <int kKeys>
struct KeyTiles {
    int32_t begin, window_begin;        // of the sinks' tiles; of the others
    int32_t seen_begin, end, sink_end;  // keys outside of [seen_begin, end) are not seen but for sinks
    int32_t sinks, count;               // tiles
    int32_t first_page;                 // of the sequence, in kv_indices

    KeyTiles() = default;
    ADZE_DEVICE KeyTiles(const AttentionShape& s, const AttentionItem& item) {
        first_page = item.first_page;
        seen_begin = item.seen_begin(s, item.token(0));
        end = item.seen_end(s, item.token(item.rows - 1));
        sink_end = item.sink_end(s);
        begin = item.kv_begin;
        window_begin = most(begin, seen_begin / kKeys * kKeys);
        sinks = tiles_until(begin, least(least(sink_end, window_begin), end));
        count = sinks + tiles_until(most(window_begin, begin + sinks * kKeys), end);
    }
    ADZE_DEVICE int32_t position(int tile) const {
        return tile < sinks ? begin + tile * kKeys : window_begin + (tile - sinks) * kKeys;
    }
    ADZE_DEVICE bool sees(int32_t key) const { return key < end && (key >= seen_begin || key < sink_end); }

private:
    ADZE_DEVICE static int32_t tiles_until(int32_t from, int32_t to) {
        return to <= from ? 0 : (to - from - 1) / kKeys + 1;
    }
};

// Whether keys of a head have scales of their own: by token, or by page.
ADZE_HOST_DEVICE bool scales_vary(const adze_kv_cache& c) {
    return c.scales != nullptr && (c.scale_page_stride != 0 || c.scale_token_stride != 0);
}
ADZE_DEVICE Global<const float> scale_memory(const adze_kv_cache& c, const AttentionShape& s) {
    return {c.scales, (c.num_pages - 1) * c.scale_page_stride + (s.page_size - 1) * c.scale_token_stride +
                          (s.num_kv_heads - 1) * c.scale_head_stride + 1};
}
// 1 where scales vary.
ADZE_DEVICE float head_scale(const adze_kv_cache& c, const AttentionShape& s, int head) {
    return c.scales == nullptr || scales_vary(c) ? 1.0f : scale_memory(c, s).load(head * c.scale_head_stride);
}

// Where a key is.
struct KeyPlace {
    int32_t page, slot;  // id of the page, -1: no row of the block sees the key; token in it
    ADZE_DEVICE bool seen() const { return page >= 0; }
};

// Thread i's key i of a tile. Its page is looked up long before it is used. Tiles beyond the last have no positions: those
// may not have 32 bits.
template <int kKeys>
ADZE_DEVICE KeyPlace find_key(const AttentionKernelParams& p, const KeyTiles<kKeys>& tiles, int tile) {
    if (thread_index() >= kKeys || tile >= tiles.count) return {-1, 0};
    const int32_t position = tiles.position(tile) + thread_index();
    if (!guard(tiles.sees(position))) return {-1, 0};
    const int64_t index = int64_t{tiles.first_page} + position / p.shape.page_size;
    return {Global<const int32_t>(p.kv_indices).load(index), position % p.shape.page_size};
}

// Scales of a key on their way to the table, where copies are not asynchronous.
struct KeyScales {
    float k, v;
};

// Where the keys of kSlots tiles are, for both caches, for all threads of the block; thread i makes the entry of key i.
template <int kKeys, int kSlots>
struct KeyTable {
    Shared<int64_t> k_offset, v_offset;  // of the token's vector, -1: no row of the block sees it
    Shared<float> k_scale, v_scale;      // where they vary

    static constexpr int kEntries = kKeys * kSlots, kEntryBytes = 24;

    ADZE_DEVICE static KeyTable take(SharedArena& arena) {
        return {arena.template take<int64_t>(kEntries), arena.template take<int64_t>(kEntries),
                arena.template take<float>(kEntries), arena.template take<float>(kEntries)};
    }

    // The entry but for its scales, which come when the copies begun here are waited for, or land() has stored them.
    ADZE_DEVICE void store(const AttentionKernelParams& p, int slot, const KeyPlace& at, KeyScales& waiting) const {
        if (thread_index() >= kKeys) return;
        const int head = static_cast<int>(block_index().y);
        const int i = slot * kKeys + thread_index();
        k_offset.store(i, at.seen() ? offset(p.k, at, head) : -1);
        v_offset.store(i, at.seen() ? offset(p.v, at, head) : -1);
        bring_scale(p.k, p.shape, at, head, k_scale, i, waiting.k);
        bring_scale(p.v, p.shape, at, head, v_scale, i, waiting.v);
    }
    ADZE_DEVICE void land(const AttentionKernelParams& p, int slot, const KeyScales& waiting) const {
        if constexpr (!kTarget.async_copy) {
            if (thread_index() >= kKeys) return;
            const int i = slot * kKeys + thread_index();
            if (scales_vary(p.k)) k_scale.store(i, waiting.k);
            if (scales_vary(p.v)) v_scale.store(i, waiting.v);
        }
    }

private:
    ADZE_DEVICE static void bring_scale(const adze_kv_cache& c, const AttentionShape& s, const KeyPlace& at,
                                        int64_t head, const Shared<float>& scales, int i, float& waiting) {
        if (!scales_vary(c)) return;
        const auto memory = scale_memory(c, s);
        const int64_t index =
            at.seen() ? at.page * c.scale_page_stride + at.slot * c.scale_token_stride + head * c.scale_head_stride : 0;
        if constexpr (kTarget.async_copy) {
            copy_async<1>(scales, i, memory, index, at.seen());
        } else {
            waiting = at.seen() ? memory.load(index) : 0.0f;
        }
    }
    ADZE_DEVICE static int64_t offset(const adze_kv_cache& c, const KeyPlace& at, int64_t head) {
        return at.page * c.page_stride + at.slot * c.token_stride + head * c.head_stride;
    }
};

// Of a vector, as a cache holds it: int4x2 has two numbers an element, and padding.
template <class Stored>
ADZE_DEVICE int stored_elements(int head_dim) {
    return kPerByte<Stored> == 2 ? (head_dim + kInt4Padding - 1) / kInt4Padding * (kInt4Padding / 2) : head_dim;
}
template <class Stored>
ADZE_DEVICE Global<const Stored> cache_memory(const adze_kv_cache& c, const AttentionShape& s, int head_dim) {
    const int64_t before =
        (c.num_pages - 1) * c.page_stride + (s.page_size - 1) * c.token_stride + (s.num_kv_heads - 1) * c.head_stride;
    return {static_cast<const Stored*>(c.data), before / kPerByte<Stored> + stored_elements<Stored>(head_dim)};
}

// What is known of a row over some keys: the sum of exponentials and of weighted values (elsewhere) at `maximum`.
struct RowStatistics {
    float maximum, total;  // total 0: it sees none of the keys

    // What the row's sums count among those whose largest maximum is `of_all`.
    ADZE_DEVICE float weight(float of_all) const { return total == 0.0f ? 0.0f : exp_of(maximum - of_all); }
    // With a logit that has no value.
    ADZE_DEVICE RowStatistics with(float logit) const {
        if (logit == -infinity()) return *this;
        const float largest = total == 0.0f ? logit : Max()(maximum, logit);
        return {largest, total * weight(largest) + exp_of(logit - largest)};
    }
    ADZE_DEVICE float lse() const { return total == 0.0f ? -infinity() : maximum + log2_approx(total) * kLn2; }
};

// The learned sink of a query head; without, a logit that takes no part.
ADZE_DEVICE float sink_logit(const AttentionKernelParams& p, int64_t q_head) {
    return p.sinks.data == nullptr ? -infinity() : Global<const float>(p.sinks).load(q_head);
}

ADZE_DEVICE void write_lse(const AttentionKernelParams& p, int64_t row, int64_t q_head, const RowStatistics& all) {
    if (p.lse.data != nullptr) Global<float>(p.lse).store(row * p.lse.row_stride + q_head, all.lse());
}

}  // namespace ADZE_TARGET
}  // namespace adze
