// Appends keys and values to the paged cache: token t of sequence s goes to position kv_len[s] - qo_indptr[s + 1] + t
//
// A block has a few consecutive tokens. One lane a token finds its sequence in the plan, in device memory, and with it
// the page; then all threads move vectors of 8 elements (device/float_matrix.h) of the tokens' keys, then of their values.
// To a quantised cache these go as 8 or 4 bytes each, divided by the scale; one that depends on the token is found first,
// by the lanes that hold the head.
// Floor: k and v read once, their bytes in the cache written once; a block's places cost some 200 bytes of the plan, and
// each page's id 32. A scale that is set costs a sector: those of a token's heads lie apart.
#pragma once

#include "attention/attention.h"
#include "device/float_matrix.h"

namespace adze {
inline namespace ADZE_TARGET {

// The keys or the values: rows of tokens, and the cache, a row a page.
struct KvAppendSide {
    FloatMatrix rows;
    FloatMatrix cache;
    int64_t token_stride, head_stride;  // elements of the cache
    float* scales;                      // NULL: none
    int64_t scales_count, scale_page_stride, scale_token_stride, scale_head_stride;
    int32_t head_dim;
    int32_t stored_dim;  // with the padding of I4
    // Vectors of 8 elements, rounded up to even: neighbouring lanes have the same head. With dynamic scales to a power of
    // two, at most kWarpSize, so that the lanes of a warp that have a head are all that have it.
    int32_t head_vectors;
    bool dynamic;
};

struct KvAppendKernelParams {
    KvAppendSide k, v;
    const AttentionCounts* counts;
    const int32_t *qo_indptr, *kv_indptr;
    const int64_t* kv_len;
    adze_tensor kv_indices;
    int32_t max_sequences;
    int32_t num_heads, page_size;
    int32_t tokens;  // of a block
};

//   Q    format of the caches: e4m3, int8_t or int4x2; void: F32, F16 or BF16, known at run time
template <class Q>
struct KvAppend {
    static constexpr const char* kName = "kv_append";
    static constexpr int kThreads = 256;
    static constexpr int kMaxTokens = 16;
    using Params = KvAppendKernelParams;
    static constexpr bool runs_on(Arch) { return true; }
    static constexpr int64_t kSharedBytes = (2 * kMaxTokens + 1) * sizeof(int32_t);

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<int32_t> pages = arena.take<int32_t>(kMaxTokens), slots = arena.take<int32_t>(kMaxTokens);
        const Shared<int32_t> count = arena.take<int32_t>(1);
        const int64_t first = static_cast<int64_t>(block_index().x) * p.tokens;
        if (warp_index() == 0) {  // the others need not read the plan
            const int32_t left = find_places(p, static_cast<int32_t>(first), pages, slots);
            if (lane_index() == 0) count.store(0, left < p.tokens ? left : p.tokens);
        }
        sync_block();
        const int tokens = count.load(0);
        if (!guard(tokens > 0)) return;  // launched for the plan's capacity
        append(p, p.k, first, tokens, pages, slots);
        append(p, p.v, first, tokens, pages, slots);
    }

private:
    // Page and token within it of the rows from `first` on, a lane each; page -1: not to be stored. Returns how many rows
    // are left. What neighbouring lanes read lies side by side, and comes in one access.
    ADZE_DEVICE static int32_t find_places(const Params& p, int32_t first, const Shared<int32_t>& pages,
                                           const Shared<int32_t>& slots) {
        const Global<const int32_t> qo_indptr(p.qo_indptr, int64_t{p.max_sequences} + 1);
        const AttentionCounts counts = load_counts(p);
        const int32_t row = first + lane_index(), left = counts.num_q_tokens - first;
        int32_t begin = -1;
        if (lane_index() <= p.tokens && guard(row <= counts.num_sequences)) begin = qo_indptr.load(row);
        int32_t end = shuffle(begin, (lane_index() + 1) % kWarpSize), sequence = row;
        if (lane_index() >= p.tokens || !guard(lane_index() < left)) return left;
        if (begin != row || end != row + 1) {  // they are when decoding
            sequence = find_sequence(qo_indptr, counts.num_sequences, row);
            end = qo_indptr.load(sequence + 1);
        }
        const int64_t position = Global<const int64_t>(p.kv_len, p.max_sequences).load(sequence) - (end - row);
        int32_t page = -1, slot = 0;
        if (guard(position >= 0)) {
            const int32_t first_page = Global<const int32_t>(p.kv_indptr, int64_t{p.max_sequences} + 1).load(sequence);
            page = Global<const int32_t>(p.kv_indices).load(first_page + position / p.page_size);
            slot = static_cast<int32_t>(position % p.page_size);
        }
        pages.store(lane_index(), page);
        slots.store(lane_index(), slot);
        return left;
    }

    ADZE_DEVICE static AttentionCounts load_counts(const Params& p) {
        constexpr int kWords = sizeof(AttentionCounts) / sizeof(int32_t);
        const Global<const int32_t> words(reinterpret_cast<const int32_t*>(p.counts), kWords);
        return __builtin_bit_cast(AttentionCounts, words.load_vec<kWords>(0));
    }

    // The sequence whose queries hold `row`: the last that begins at or before it, since empty ones begin where the next
    // does.
    ADZE_DEVICE static int32_t find_sequence(const Global<const int32_t>& qo_indptr, int32_t sequences, int32_t row) {
        int32_t low = 0, high = sequences;  // qo_indptr[low] <= row < qo_indptr[high]
        while (high - low > 1) {
            const int32_t middle = low + (high - low) / 2;
            if (qo_indptr.load(middle) <= row) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return low;
    }

    ADZE_DEVICE static void append(const Params& p, const KvAppendSide& side, int64_t first, int tokens,
                                   const Shared<int32_t>& pages, const Shared<int32_t>& slots) {
        constexpr int kTogether = 2;  // vectors of a thread under way
        const int row_vectors = p.num_heads * side.head_vectors, vectors = tokens * row_vectors;
        for (int start = thread_index() - lane_index(); start < vectors; start += kTogether * kThreads) {
            FloatFetch<1> fetched[kTogether];
#pragma unroll
            for (int i = 0; i < kTogether; ++i) {
                const int vector = start + i * kThreads + lane_index(), within = vector % row_vectors;
                const int head = within / side.head_vectors, element = within % side.head_vectors * kLaneElements;
                fetched[i] = fetch_floats_until<1>((head + 1) * side.head_dim, side.rows, guard(vector < vectors),
                                                   first + vector / row_vectors, head * side.head_dim + element);
            }
#pragma unroll
            for (int i = 0; i < kTogether; ++i) {
                const int vector = start + i * kThreads + lane_index();
                store_vector(side, vector < vectors, vector / row_vectors, vector % row_vectors, fetched[i], pages,
                             slots);
            }
        }
    }

    ADZE_DEVICE static void store_vector(const KvAppendSide& side, bool inside, int token, int within,
                                         const FloatFetch<1>& fetched, const Shared<int32_t>& pages,
                                         const Shared<int32_t>& slots) {
        float x[1][kLaneElements];
        unpack(side.rows, fetched, x);
        const int head = within / side.head_vectors, element = within % side.head_vectors * kLaneElements;
        int64_t page = -1, slot = 0;
        if (guard(inside)) page = pages.load(token), slot = slots.load(token);
        const bool stored = page >= 0;
        if (!stored) page = 0;
        const int64_t start = slot * side.token_stride + head * side.head_stride;
        const int64_t scale_at =
            page * side.scale_page_stride + slot * side.scale_token_stride + head * side.scale_head_stride;
        if constexpr (std::is_void_v<Q>) {
            if (side.scales != nullptr && stored) {
                divide_all(x[0], Global<const float>(side.scales, side.scales_count).load(scale_at));
            }
            store_floats_until<1>(start + side.head_dim, side.cache, guard(stored), page, start + element, 0, x);
        } else {
            quantise_vector(side, stored, page, start, element, scale_at, x[0]);
        }
    }

    ADZE_DEVICE static void divide_all(float (&x)[kLaneElements], float divisor) {
#pragma unroll
        for (int i = 0; i < kLaneElements; ++i) x[i] = divide(x[i], divisor);
    }

    // Elements `element` on of the head that begins at element `start` of a page; those beyond the head are zero.
    ADZE_DEVICE static void quantise_vector(const KvAppendSide& side, bool stored, int64_t page, int64_t start,
                                            int element, int64_t scale_at, float (&x)[kLaneElements]) {
        uint32_t largest = 0;
        if (side.dynamic) {
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) largest = Max()(largest, magnitude_bits(x[i]));
            largest = reduce(largest, Max(), side.head_vectors);
        }
        if (!guard(stored)) return;
        const Global<float> scales(side.scales, side.scales_count);
        const float scale = side.dynamic ? scale_for<Q>(largest) : scales.load(scale_at);
        if (side.dynamic && element == 0) scales.store(scale_at, scale);
        divide_all(x, scale);
        store_words(side, page * side.cache.tensor.row_stride + start + element, side.stored_dim - element, pack(x));
    }

    // Eight numbers, as they lie in the cache.
    using Words = Vec<uint32_t, 2 / kPerByte<Q>>;
    ADZE_DEVICE static Words pack(const float (&x)[kLaneElements]) {
        if constexpr (std::is_same_v<Q, e4m3>) {
            return {{pack_fp8x4<Q>({x[0], x[1], x[2], x[3]}), pack_fp8x4<Q>({x[4], x[5], x[6], x[7]})}};
        } else {
            constexpr int kBits = 8 / kPerByte<Q>, kOfWord = 32 / kBits;
            Words words{};
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) words[i / kOfWord] |= quantise<Q>(x[i]) << i % kOfWord * kBits;
            return words;
        }
    }

    // At element `at` of the cache. Vectors of I4 are aligned and whole.
    ADZE_DEVICE static void store_words(const KvAppendSide& side, int64_t at, int remaining, const Words& words) {
        const adze_tensor& t = side.cache.tensor;
        const int64_t bytes = ((t.rows - 1) * t.row_stride + t.columns) / kPerByte<Q>;
        if (kPerByte<Q> == 2 || side.cache.aligned) {
            if (!guard(remaining > 0)) return;
            const Global<uint32_t> memory(static_cast<uint32_t*>(t.data), bytes / 4);
            memory.template store_vec<2 / kPerByte<Q>>(at / kPerByte<Q> / 4, words);
        } else {
            const Global<uint8_t> memory(static_cast<uint8_t*>(t.data), bytes);
#pragma unroll
            for (int i = 0; i < kLaneElements; ++i) {
                if (guard(i < remaining)) memory.store(at + i, static_cast<uint8_t>(words[i / 4] >> i % 4 * 8));
            }
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
