/* Adze: status codes, element types and the tensor view that every operator takes.
 *
 * Rules that hold for the whole ABI:
 *  - C99, fixed-width types, no exceptions: every function that can fail returns an adze_status, and
 *    adze_last_error() then holds one sentence that names the function, the argument, its value and what is allowed.
 *  - Descriptors begin with `struct_size` = sizeof(the struct as the caller was compiled), a multiple of its alignment
 * up to 4096. A smaller size than the library's means zero for the fields that the caller does not know; a larger one
 * is accepted if the tail that the library does not know is zero (of a struct that the library fills, the tail is set
 * to zero). Zero is the default of every field, so `= {.struct_size = sizeof desc}` is a valid start.
 *  - What a call writes, its workspace included, may not overlap anything else that it names, unless a comment allows
 * it.
 *  - Every argument is checked before anything is launched.
 *  - "Device address" is memory of the context's device: adze_buffer_data(), or a pointer of the caller's own
 *    CUDA or HIP allocation. On the cpu backend it is ordinary memory.
 */
#ifndef ADZE_BASE_H_
#define ADZE_BASE_H_

#include <stdint.h>

#if defined(__GNUC__)
    #define ADZE_API __attribute__((visibility("default")))
#else
    #define ADZE_API
#endif

/* C++ sees a fixed underlying type, so that a value from a newer client is an ordinary wrong argument there. */
#if defined(__cplusplus)
    #define ADZE_AS_INT32 : int32_t
#else
    #define ADZE_AS_INT32
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the library these headers belong to: major << 16 | minor << 8 | patch. */
#define ADZE_VERSION 0x000100u
/** Version of the ABI: equal numbers are compatible both ways. */
#define ADZE_ABI_VERSION 0

typedef enum adze_status ADZE_AS_INT32 {
    ADZE_OK = 0,
    /** An argument breaks its documented contract; nothing was launched. */
    ADZE_ERROR_INVALID_ARGUMENT = 1,
    /** A legal request that this backend or build does not implement. */
    ADZE_ERROR_NOT_SUPPORTED = 2,
    /** The backend is not built into the library, its plug-in is not found, or it has no such device. */
    ADZE_ERROR_UNAVAILABLE = 3,
    /** Host or device memory ran out. */
    ADZE_ERROR_OUT_OF_MEMORY = 4,
    /** The call does not fit the object's state, such as ending a capture that was never begun. */
    ADZE_ERROR_INVALID_STATE = 5,
    /** The device or its driver reported a failure: on a GPU perhaps of work that an earlier call put on a stream. */
    ADZE_ERROR_DEVICE = 6,
    /** A defect of Adze. */
    ADZE_ERROR_INTERNAL = 7
} adze_status;

/** Element types. bf16 and f16 are stored as 16-bit words in native byte order. The last three are formats of KV caches
 *  alone (adze_kv_cache); no tensor has them. */
typedef enum adze_dtype ADZE_AS_INT32 {
    ADZE_DTYPE_NONE = 0,
    ADZE_DTYPE_F32 = 1,
    ADZE_DTYPE_F16 = 2,
    ADZE_DTYPE_BF16 = 3,
    ADZE_DTYPE_I32 = 4,
    /** FP8 E4M3 (OCP 8-bit floating point): largest 448, no Inf, one NaN of each sign. */
    ADZE_DTYPE_F8E4M3 = 5,
    ADZE_DTYPE_I8 = 6,
    /** Two's complement -8 to 7, two in a byte: the first in the lower half. */
    ADZE_DTYPE_I4 = 7
} adze_dtype;

/** A row-major matrix in device memory. Element (r, c) is at data + (r * row_stride + c) * size of dtype; columns are
 * dense. `data` is aligned to the element. A vector is one row. All zero means "absent" where an operator allows it. */
typedef struct adze_tensor {
    void* data;         /**< device address */
    int64_t rows;       /**< >= 0 */
    int64_t columns;    /**< >= 0 */
    int64_t row_stride; /**< elements from one row to the next, >= columns (any value when rows <= 1) */
    adze_dtype dtype;
    int32_t reserved; /**< zero */
} adze_tensor;

/** ADZE_VERSION of the library that is loaded. */
ADZE_API uint32_t adze_version(void);

/** ADZE_ABI_VERSION of the library that is loaded. */
ADZE_API uint32_t adze_abi_version(void);

/** One line on how the library was built: version, backends, instruction sets, architectures, compiler. Static storage.
 */
ADZE_API const char* adze_build_info(void);

/** The name of a status, such as "invalid argument"; never NULL. Static storage. */
ADZE_API const char* adze_status_name(adze_status status);

/** The message of the last call on this thread that failed; empty before the first. Successful calls leave it as it is.
 *  The string is the thread's own and valid until the next failing call on this thread. */
ADZE_API const char* adze_last_error(void);

/** The ABI as the library was compiled, for bindings that check themselves against it: lines of
 *  `struct NAME SIZE`, `field STRUCT.FIELD OFFSET SIZE`, `value NAME NUMBER`. Static storage. */
ADZE_API const char* adze_abi_layout(void);

#ifdef __cplusplus
}
#endif

#endif
