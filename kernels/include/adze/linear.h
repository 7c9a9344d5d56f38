/* Adze: y = x W^T + b with a weight that was packed once. */
#ifndef ADZE_LINEAR_H_
#define ADZE_LINEAR_H_

#include "runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A weight in the layout that the kernels want; opaque, owned by the library, tied to its context. */
typedef struct adze_weight adze_weight;

typedef struct adze_weight_desc {
    uint32_t struct_size;
    adze_dtype dtype;   /**< F32, F16 or BF16; the packed weight keeps it */
    const void* data;   /**< host memory, [N, K] row-major, aligned to the element; read before the call returns */
    int64_t rows;       /**< N, output features, 1 to 2^31 - 1 */
    int64_t columns;    /**< K, input features, 1 to 2^31 - 1; N K up to 2^48 */
    int64_t row_stride; /**< elements, >= columns; 0 = columns */
} adze_weight_desc;

/** Packs a copy of a weight; on a GPU it waits for all that the device was given before. The copy takes adze_weight_bytes() of device memory, and
 *  packing at most as much again. OUT_OF_MEMORY when there is not so much. */
ADZE_API adze_status adze_weight_create(adze_context* context, const adze_weight_desc* desc, adze_weight** weight);
/** A graph that names the weight must not be launched any more. */
ADZE_API adze_status adze_weight_destroy(adze_weight* weight);
/** Bytes of device memory that the packed weight takes; 0 for NULL. */
ADZE_API uint64_t adze_weight_bytes(const adze_weight* weight);

/** y[m, n] = sum_k x[m, k] * w[n, k] + bias[n], accumulated in f32, rounded once to y's dtype.
 *  Any M >= 0. y may not overlap x. On gfx90a, where x has w's 16-bit dtype, subnormal elements of x and w count as zero:
 *  its matrix instructions take them so. */
typedef struct adze_linear_desc {
    uint32_t struct_size;
    uint32_t reserved;         /**< zero */
    const adze_weight* weight; /**< [N, K] */
    adze_tensor x;             /**< [M, K], F32, F16 or BF16 */
    adze_tensor y;             /**< [M, N], F32, F16 or BF16 */
    adze_tensor bias;          /**< [1, N], F32, F16 or BF16; absent for none */
    void* workspace;           /**< device address, aligned to 256 bytes; may be NULL when the size is 0 */
    uint64_t workspace_bytes;  /**< >= adze_linear_workspace_size() */
} adze_linear_desc;

/** Bytes of workspace that adze_linear_run() needs for this weight and up to `rows` (M) rows of x, of any dtype. Grows
 *  with M. Host arithmetic. Runs that may overlap need one each. */
ADZE_API adze_status adze_linear_workspace_size(const adze_weight* weight, int64_t rows, uint64_t* bytes);
ADZE_API adze_status adze_linear_run(adze_stream* stream, const adze_linear_desc* desc);

#ifdef __cplusplus
}
#endif

#endif
