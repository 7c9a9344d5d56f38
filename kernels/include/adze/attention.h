/* Adze: attention of ragged queries over a paged KV cache: decode, prefill, chunked prefill and any mix of them in one
 * call.
 *
 * A batch is a list of sequences. Sequence s has query tokens qo_indptr[s] .. qo_indptr[s+1] (rows of q and o) and the
 * cache pages kv_indices[kv_indptr[s] .. kv_indptr[s+1]], all full but the last, which holds kv_last_page_len[s]
 * tokens. Its kv_len is (pages - 1) * page_size + kv_last_page_len, or 0 without pages. The queries are the last tokens
 * of the sequence: query i of qo_len has position kv_len - qo_len + i. Append the new tokens' keys and values
 * (adze_kv_append_run) before running.
 *
 * In a context with ADZE_CONTEXT_DETERMINISTIC, and on cpu in every one, o and lse of a sequence have the same bits
 * whatever else is in the batch. On cpu they are a query's own: the same, too, however many queries its sequence brings
 * along. On GPUs they follow from the plan's description and from all that the sequence brings, qo_len and kv_len
 * included: a prompt in other chunks differs by rounding.
 *
 * A plan is made once with capacities, updated once a step from host arrays, and run once per layer. Paged layout and
 * names follow FlashInfer (arXiv 2501.01005, section 3.1); splitting over KV follows Flash-Decoding, the unified softmax
 * FlashDecoding++ (arXiv 2311.01282, section 3).
 */
#ifndef ADZE_ATTENTION_H_
#define ADZE_ATTENTION_H_

#include "runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A schedule for one shape of attention; owns its host and device bookkeeping. One thread at a time. */
typedef struct adze_attention_plan adze_attention_plan;

/** The keys or the values of one layer: token t of page p, head h, element e is at
 *  data + (p * page_stride + t * token_stride + h * head_stride + e) * size of dtype. NHD and HND are a matter of
 * strides. Of I4, two elements are in a byte; each vector of head_dim elements begins at a multiple of 16 bytes (so data is
 * aligned to 16, and the strides are multiples of 32) and ends at one: its last 16 bytes are padded.
 *
 * The value of an element is its stored number times its scale, which is at
 * scales[p * scale_page_stride + t * scale_token_stride + h * scale_head_stride]. F8E4M3, I8 and I4 need scales:
 *  - static, where scale_token_stride is 0: the caller sets them, for all, by page or by head. adze_kv_append_run() divides by
 *    them and saturates; NaN becomes E4M3's NaN, and 0 in I8 and I4.
 *  - dynamic, where it is not: adze_kv_append_run() sets the scale of each token and head that it stores to
 *    max |x| / L over the vector, with L = 448 of F8E4M3, 127 of I8 and 7 of I4 (1 if that is zero), and divides by
 *    it. A vector with a NaN or an Inf gets a NaN for scale, so that all of it reads as NaN. Best as
 *    [page][head][token]: a head's scales of consecutive tokens fill the sectors that attention reads.
 * F32, F16 and BF16 may have scales, which the caller sets and adze_kv_append_run() divides by, also by token. */
typedef struct adze_kv_cache {
    void* data;                 /**< device address, aligned to the element; 16 bytes of I4 */
    int64_t num_pages;          /**< pages in the cache; every page id is below it */
    int64_t page_stride;        /**< elements */
    int64_t token_stride;       /**< elements */
    int64_t head_stride;        /**< elements */
    float* scales;              /**< device address, or NULL for none */
    int64_t scale_page_stride;  /**< f32 elements; 0 where scales do not depend on the page */
    int64_t scale_token_stride; /**< f32 elements; 0 where scales do not depend on the token */
    int64_t scale_head_stride;  /**< f32 elements; 0 for one scale for all heads */
    adze_dtype dtype;           /**< F32 (cpu only), F16, BF16, F8E4M3, I8 or I4 */
    int32_t reserved;           /**< zero */
} adze_kv_cache;

typedef struct adze_attention_plan_desc {
    uint32_t struct_size;
    int32_t num_q_heads;    /**< a multiple of num_kv_heads, <= 4096 */
    int32_t num_kv_heads;   /**< 1 to 4096 */
    int32_t head_dim_qk;    /**< of q and k; a multiple of 8, 8 to 1024 on cpu */
    int32_t head_dim_v;     /**< of v and o; likewise */
    int32_t page_size;      /**< tokens, >= 1; a sequence in contiguous memory is one page as long as its reservation */
    int32_t causal;         /**< 1: a query sees positions up to its own; 0: all of its sequence */
    int32_t window;         /**< 0: no limit; W: a query at position p sees positions > p - W only */
    float softmax_scale;    /**< multiplies q.k; 0 = 1 / sqrt(head_dim_qk) */
    int32_t max_sequences;  /**< capacity of a batch, >= 1 */
    int64_t max_q_tokens;   /**< capacity of qo_indptr's last entry, >= 1 */
    int64_t max_kv_pages;   /**< capacity of kv_indptr's last entry, >= 1 */
    int64_t max_mask_words; /**< capacity of mask_indptr's last entry; 0: batches bring no masks */
    int32_t max_q_len;      /**< capacity of one sequence's query tokens; 0 = max_q_tokens. What is small (1 for decode)
                            * saves a captured run the kernels for longer ones, and memory */
    int32_t sink_tokens; /**< with a window: the first so many positions are seen whatever the window is (StreamingLLM,
                            * arXiv 2309.17453); 0 without */
    float logits_soft_cap; /**< c > 0: a logit x becomes c * tanh(x / c), before ALiBi and masks; 0: none */
    int32_t reserved;      /**< zero */
} adze_attention_plan_desc;

/** A batch, in host memory that is read before the call returns. */
typedef struct adze_attention_batch {
    uint32_t struct_size;
    int32_t num_sequences;           /**< 0 to max_sequences */
    const int32_t* qo_indptr;        /**< [num_sequences + 1], from 0, not decreasing */
    const int32_t* kv_indptr;        /**< [num_sequences + 1], from 0, not decreasing */
    const int32_t* kv_last_page_len; /**< [num_sequences], 1 to page_size; 0 where the sequence has no page. A kv_len
                                      * above 2^31 - 129 is NOT_SUPPORTED on GPUs */
    /** [num_sequences + 1], from 0: words of adze_attention_desc's mask that a sequence has: none, or qo_len *
     * ceil(kv_len / 32). NULL: none has any. */
    const int64_t* mask_indptr;
} adze_attention_batch;

/** Takes memory for every batch within the capacities, and waits on a GPU until it is ready. The plan's batch is empty
 *  until the first update. NOT_SUPPORTED when the backend has no kernel for the head dims. */
ADZE_API adze_status adze_attention_plan_create(adze_context* context, const adze_attention_plan_desc* desc,
                                                adze_attention_plan** plan);
/** A graph that names the plan must not be launched any more. */
ADZE_API adze_status adze_attention_plan_destroy(adze_attention_plan* plan);

/** Takes over a new batch for the runs that are put on `stream` after it, in graphs too; a run on another stream
 * follows it only after an event recorded here. Runs put on `stream` before keep their batch, though they may not have
 * begun. Allocates nothing; on a GPU it waits, if it must, for the copy of the update before the last one. INVALID_STATE on a
 * capturing stream. */
ADZE_API adze_status adze_attention_plan_update(adze_attention_plan* plan, const adze_attention_batch* batch,
                                                adze_stream* stream);

/** Bytes of workspace of adze_attention_run() for every batch within the plan's capacities. Host arithmetic. Runs that
 *  may overlap need one each. It is partial results of rows: a few for each multiprocessor, on cpu for 1024 pieces of
 *  each height of rows (16; 64), but in deterministic contexts on GPUs for as many as max_kv_pages * page_size / 1024. */
ADZE_API adze_status adze_attention_workspace_size(const adze_attention_plan* plan, uint64_t* bytes);

/** How the exponentials are kept within range. Results differ by rounding only, for every input. STABLE is what runs,
 *  whatever is asked for, on cpu, in deterministic contexts, for F16 caches, where sm_90a's own prefill serves, and on
 *  sm_80 and sm_89 for F8E4M3 and I8 with a head dim of 256 and up to 16 rows: there phi cannot hold, or costs more than
 *  it saves. */
typedef enum adze_softmax ADZE_AS_INT32 {
    /** By the running maximum of a row's logits. */
    ADZE_SOFTMAX_STABLE = 0,
    /** By phi, known beforehand: no maximum is needed and nothing is rescaled (FlashDecoding++, section 3). A piece of
     *  work, some keys and the rows that share their reading, where any row leaves the bounds around phi is done again
     *  by the rows' maxima, in the same launch. */
    ADZE_SOFTMAX_UNIFIED = 1,
    /** UNIFIED where it was measured to be faster on this architecture, for this cache, head dim and number of rows; else
     *  STABLE. phi is given either way. */
    ADZE_SOFTMAX_TUNED = 2
} adze_softmax;

/** o = softmax(x) v, per query head; query head h reads KV head h / (num_q_heads / num_kv_heads). The logit x of a key is
 *  softmax_scale * q.k, then capped by logits_soft_cap, then with its ALiBi bias. A query that sees no key, or only keys
 *  whose logit is -inf, gives o = 0 and lse = -inf, or lse = the head's sink where sinks are given. A NaN or Inf among
 *  the values reaches every query that sees its key, also where the key weighs nothing; but a NaN scale of an I8 or I4
 *  vector perhaps not where its weight is below f32's numbers. On GPUs it reaches also queries that see another key of the
 *  same 64, and in sm_90a's prefill those that share 128 rows (query tokens times heads of the group) with one that sees a
 *  key of the same 128. On gfx90a subnormal elements of the caches count as zero: its matrix instructions take them so.
 *  Rows of q, o and lse beyond the batch are neither read nor written. */
typedef struct adze_attention_desc {
    uint32_t struct_size;
    adze_softmax softmax;
    const adze_attention_plan* plan;
    adze_tensor q;   /**< [>= tokens, num_q_heads * head_dim_qk], F32, F16 or BF16 */
    adze_tensor o;   /**< [>= tokens, num_q_heads * head_dim_v], F32, F16 or BF16 */
    adze_tensor lse; /**< [>= tokens, num_q_heads] F32, natural logarithm of the sum of exponentials; or absent */
    adze_tensor kv_indices; /**< [1, >= pages] I32 page ids, in device memory */
    adze_kv_cache k;
    adze_kv_cache v;          /**< same dtype and num_pages as k */
    void* workspace;          /**< device address, aligned to 256 bytes; may be NULL when the size is 0 */
    uint64_t workspace_bytes; /**< >= adze_attention_workspace_size() */
    /** [1, >= words] I32, or absent when the batch has no masks. Row i of a sequence begins at word mask_indptr[s] + i *
     *  ceil(kv_len / 32); bit j % 32 (lowest first) of its word j / 32 says whether query i sees position j, where the
     *  plan's causal and window let it. Bits from kv_len on do not matter. */
    adze_tensor mask;
    adze_tensor alibi_slopes; /**< [1, num_q_heads] F32 or absent: slope * (key's position - query's) is added to logits
                               * (ALiBi, arXiv 2108.12409) */
    adze_tensor
        sinks; /**< [1, num_q_heads] F32 or absent: a logit that takes part in a head's softmax and has no value;
                        * lse includes it */
    adze_tensor
        phi; /**< [1, num_q_heads] F32 unless STABLE, then absent: finite, near the largest logits of the head */
    float
        phi_below; /**< UNIFIED: a row leaves the bounds when its largest logit in a piece is below phi - phi_below. Not
                      * negative; 0, or more than the weights' format allows: as much as that. STABLE has no use for it */
    float phi_above; /**< UNIFIED: so does one that has a logit above phi + phi_above; likewise */
} adze_attention_desc;

/** Runs the plan's batch as of the last update. What it writes, o, lse and the workspace, may overlap nothing else that
 *  the descriptor names, of a cache from its first element to its last. Of the caches it reads the tokens that causal,
 *  window and sink_tokens let some query see: in a reserved buffer no others need memory. What sm_90a's faster prefill
 *  asks for says docs/performance.md, "Prefill on sm_90a". In a capture, where batches come later, q, o, lse, kv_indices
 *  and mask must be large enough for the plan's capacities. A page id outside the cache is INVALID_ARGUMENT on cpu and
 *  sim; on a GPU only in a context with ADZE_CONTEXT_CHECK_INDICES. */
ADZE_API adze_status adze_attention_run(adze_stream* stream, const adze_attention_desc* desc);

/** Stores the keys and values of a batch's query tokens at their positions in the cache, each the f32 quotient of its
 *  value and its scale, correctly rounded, and then rounded to the cache's dtype, to nearest, ties to even: every backend
 *  stores the same bits. Tokens whose position is negative (qo_len > kv_len) are skipped. The two caches and their scales
 *  may interleave in one buffer, with equal strides (in bytes) where they do, but share no element; no two tokens, heads or
 *  pages of one may overlap. Dynamic scales are written: no two vectors may share one, nor the two caches. k, v and
 *  kv_indices lie outside of all that, from the first element to the last. */
typedef struct adze_kv_append_desc {
    uint32_t struct_size;
    uint32_t reserved; /**< zero */
    const adze_attention_plan* plan;
    adze_tensor k;          /**< [>= tokens, num_kv_heads * head_dim_qk], F32, F16 or BF16 */
    adze_tensor v;          /**< [>= tokens, num_kv_heads * head_dim_v], same dtype as k */
    adze_tensor kv_indices; /**< as in adze_attention_desc */
    adze_kv_cache k_cache;
    adze_kv_cache v_cache;
} adze_kv_append_desc;

/** In a capture, k, v and kv_indices must be large enough for the plan's capacities. Page ids as in adze_attention_run(). */
ADZE_API adze_status adze_kv_append_run(adze_stream* stream, const adze_kv_append_desc* desc);

/** One attention from several over disjoint sets of keys: with lse = log sum_i exp(lse_i), o = sum_i exp(lse_i - lse) o_i.
 *  A part whose lse_i is -inf saw no key: what its o holds does not matter. Where no part saw any, o = 0 and lse =
 * -inf. Flash-Decoding; FlashInfer's merge of states. */
typedef struct adze_attention_merge_desc {
    uint32_t struct_size;
    int32_t num_parts; /**< >= 1 */
    int32_t num_heads; /**< 1 to 4096 */
    int32_t reserved;  /**< zero */
    adze_tensor parts; /**< [num_parts * tokens, num_heads * head_dim], F32, F16 or BF16; row i * tokens + t: token t of
                            * part i */
    adze_tensor parts_lse; /**< [num_parts * tokens, num_heads] F32, natural logarithms */
    adze_tensor o;         /**< [tokens, num_heads * head_dim], F32, F16 or BF16; head_dim is 1024 at most */
    adze_tensor lse;       /**< [tokens, num_heads] F32, or absent */
} adze_attention_merge_desc;

/** Any order of parts gives the same o and lse but for rounding. */
ADZE_API adze_status adze_attention_merge_run(adze_stream* stream, const adze_attention_merge_desc* desc);

#ifdef __cplusplus
}
#endif

#endif
