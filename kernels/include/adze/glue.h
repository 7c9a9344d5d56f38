/* Adze: the small operators between the large ones. Every tensor is F32, F16 or BF16 unless said otherwise, arithmetic
 * is f32, and each result is rounded once. Outputs may be the same tensor as an input where it is said, and overlap in
 * no other way. */
#ifndef ADZE_GLUE_H_
#define ADZE_GLUE_H_

#include "runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** y[m] = table[ids[m]]: token embedding, and the gathering of rows. An id outside [0, V) is INVALID_ARGUMENT on cpu
 * and sim, a row of NaN on GPUs, which cannot report it. */
typedef struct adze_embedding_desc {
    uint32_t struct_size;
    uint32_t reserved; /**< zero */
    adze_tensor ids;   /**< [1, M] I32 */
    adze_tensor table; /**< [V, D] */
    adze_tensor y;     /**< [M, D] */
} adze_embedding_desc;
ADZE_API adze_status adze_embedding_run(adze_stream* stream, const adze_embedding_desc* desc);

/** RMSNorm (arXiv 1910.07467): y[m, d] = h[m, d] * weight[d] / sqrt(mean_d h[m, d]^2 + epsilon), where h = x, or, with
 * `residual` given, h = residual + x, which is also stored to residual. y may be x. */
typedef struct adze_rms_norm_desc {
    uint32_t struct_size;
    float epsilon;        /**< >= 0 and finite */
    adze_tensor x;        /**< [M, D], D from 1 to 131072 */
    adze_tensor weight;   /**< [1, D] */
    adze_tensor residual; /**< [M, D], read and written; or absent */
    adze_tensor y;        /**< [M, D] */
} adze_rms_norm_desc;
ADZE_API adze_status adze_rms_norm_run(adze_stream* stream, const adze_rms_norm_desc* desc);

/** Rotary position embedding (arXiv 2104.09864) in place, in the half-split form of Hugging Face checkpoints: within
 * each head, for i < R = inv_freq.columns, elements i and i + R turn by the angle position * inv_freq[i]; elements from
 * 2 R on stay. */
typedef struct adze_rope_desc {
    uint32_t struct_size;
    int32_t head_dim;      /**< >= 2 R */
    adze_tensor x;         /**< [M, heads * head_dim], read and written */
    adze_tensor positions; /**< [1, M] I32, >= 0 */
    adze_tensor inv_freq;  /**< [1, R] F32, R from 1 to 32768 */
} adze_rope_desc;
ADZE_API adze_status adze_rope_run(adze_stream* stream, const adze_rope_desc* desc);

typedef enum adze_rope_scaling ADZE_AS_INT32 {
    ADZE_ROPE_SCALING_NONE = 0,
    /** Every frequency divided by `factor` (positional interpolation, arXiv 2306.15595). */
    ADZE_ROPE_SCALING_LINEAR = 1,
    /** Llama 3.1: wavelengths above original_context / low_freq_factor divided by `factor`, those below
     *  original_context / high_freq_factor kept, and a linear blend between. */
    ADZE_ROPE_SCALING_LLAMA3 = 2
} adze_rope_scaling;

/** inv_freq[i] = theta^(-2 i / rotary_dim) for i < rotary_dim / 2, then scaled. Host arithmetic in f64, rounded to f32.
 */
typedef struct adze_rope_frequencies_desc {
    uint32_t struct_size;
    int32_t rotary_dim; /**< even, >= 2; smaller than head_dim for partial rotary */
    double theta;       /**< > 0 */
    adze_rope_scaling scaling;
    int32_t reserved;        /**< zero */
    double factor;           /**< > 0; LINEAR and LLAMA3 */
    double low_freq_factor;  /**< > 0; LLAMA3 */
    double high_freq_factor; /**< > low_freq_factor; LLAMA3 */
    double original_context; /**< tokens, > 0; LLAMA3 */
} adze_rope_frequencies_desc;
/** Writes rotary_dim / 2 values to host memory. Host arithmetic: no context, no stream, any thread. */
ADZE_API adze_status adze_rope_frequencies(const adze_rope_frequencies_desc* desc, float* inv_freq);

/** y = silu(gate) * up, silu(z) = z / (1 + exp(-z)) (SwiGLU, arXiv 2002.05202). y may be gate or up. */
typedef struct adze_silu_gate_desc {
    uint32_t struct_size;
    uint32_t reserved; /**< zero */
    adze_tensor gate;  /**< [M, D] */
    adze_tensor up;    /**< [M, D] */
    adze_tensor y;     /**< [M, D] */
} adze_silu_gate_desc;
ADZE_API adze_status adze_silu_gate_run(adze_stream* stream, const adze_silu_gate_desc* desc);

#ifdef __cplusplus
}
#endif

#endif
