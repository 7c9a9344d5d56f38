/* Adze: from logits to the next token. */
#ifndef ADZE_SAMPLING_H_
#define ADZE_SAMPLING_H_

#include "runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How one row is sampled. Filters apply in this order: mask, temperature, top_k, top_p, min_p. */
typedef struct adze_sampling_params {
    /** >= 0 and finite; 0: the largest allowed logit, lowest id first, and the rest of this struct is ignored. */
    float temperature;
    /** Keep the k most probable tokens (ties: lowest id first); 0 = all; >= 0. */
    int32_t top_k;
    /** Keep the fewest most probable tokens that together reach this share; 0 or 1 = all; in [0, 1]. */
    float top_p;
    /** Drop tokens less probable than min_p times the most probable; 0 = none; in [0, 1]. */
    float min_p;
    /** Of the row's random numbers. */
    uint64_t seed;
    /** Of the token in its sequence: the draw is a function of (seed, position) alone. */
    uint64_t position;
} adze_sampling_params;

/** Draws one token a row: u = (w0 * 2^32 + w1) / 2^64 cut to its upper 53 bits, where w0, w1 are the first words of
 * Philox4x32-10 (Random123) with counter {position low, position high, 0, 0} and key {seed low, seed high}; the token
 * is the first, by id, at which the cumulative probability of the kept tokens exceeds u. So a seed repeats exactly,
 * whatever else is in the batch. A row with a NaN or +inf logit among its allowed tokens, with no allowed token above
 * -inf, or with parameters out of range gives the id -1. */
typedef struct adze_sampling_desc {
    uint32_t struct_size;
    /** Bytes from one row's parameters to the next, sizeof(adze_sampling_params) as the caller was compiled; 0 = 32. */
    uint32_t params_stride;
    adze_tensor logits;                 /**< [B, V] F32, F16 or BF16; read only */
    const adze_sampling_params* params; /**< device address of B entries; NULL = temperature 0 for all */
    adze_tensor mask; /**< [B, >= ceil(V / 32)] I32 words: bit i % 32, lowest first, of word i / 32 allows token i;
                           or absent. Bits from V on are ignored. */
    adze_tensor ids;  /**< [1, B] I32, written */
    void* workspace;  /**< device address, aligned to 256 bytes; may be NULL when the size is 0 */
    uint64_t workspace_bytes; /**< >= adze_sampling_workspace_size() */
} adze_sampling_desc;

/** Bytes of workspace that adze_sampling_run() needs for up to `rows` (B) rows of `vocabulary` (V) logits. Host
 *  arithmetic. Runs that may overlap need one each. */
ADZE_API adze_status adze_sampling_workspace_size(const adze_context* context, int64_t rows, int64_t vocabulary,
                                                  uint64_t* bytes);
ADZE_API adze_status adze_sampling_run(adze_stream* stream, const adze_sampling_desc* desc);

#ifdef __cplusplus
}
#endif

#endif
