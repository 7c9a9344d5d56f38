// Small kernels that use every part of the device layer once, for tests of the layer itself: against known results on a
// GPU and in the simulator, and for the instructions that compilers make of them. All pointers are device addresses;
// matrices are dense and row-major.
#pragma once

#include <cstdint>

#include "device/tensor_map.h"

namespace adze {

class LaunchStream;

enum class ProbeFormat : int32_t { kF16, kBf16, kInt8, kE4m3, kE5m2 };

// out = in, in vectors of vector_bytes (2, 4, 8 or 16).
struct ProbeVectorsParams {
    const uint16_t* in;
    uint16_t* out;
    int64_t count;  // a multiple of vector_bytes / 2
    int32_t vector_bytes;
    int32_t streamed;  // Cache::kStreamed
};

// Each block of 256 reverses its 256 elements.
struct ProbeSharedParams {
    const float* in;
    float* out;
    int64_t count;  // a multiple of 256
};

// One block of 128. Of each thread: the value of lane 3 of its warp, of lane ^ 1, 2, 4, 8, 16 (and 32), and the sums over
// 4 neighbours, over its warp, and over the block.
struct ProbeWarpParams {
    const float* in;    // [128]
    float* out;         // [10][128]; the row of lane ^ 32 is its own value where warps have 32 lanes
    double* wide;       // [128] in as float64, of lane ^ 1
    uint64_t* ballots;  // [128] of in > 0
    float* largest;     // [128] over the warp
};

// Each block of 128 sums tiles of 128 x 4 elements, copied three ahead; elements from `count` on are zeros.
struct ProbeAsyncCopyParams {
    const float* in;
    float* out;  // [blocks][128]: of each thread's 4 columns the sum over all tiles
    int64_t count;
    int64_t tiles;  // of each block
    int64_t blocks;
};

// One warp, or with n > 0 one warp group and Wgmma<T, n>: c = a b^T. With W columns of 128 bytes, N = n or 64, and
// M = 64 with n > 0, else the target's.
struct ProbeMmaParams {
    const void* a;    // [M][W]
    const void* b;    // [N][W], or [W][N] with rows_b
    void* c;          // [M][N] float32 or int32
    void* rounded;    // [M][N] in the operands' type, through store_c: 2-byte operands without n; or NULL
    float* row_sums;  // [M] of c, through reduce_row; or NULL
    ProbeFormat format;
    int32_t n;               // 0: Mma; else 8, 64, 128 or 256
    int32_t rows_b;          // 2-byte operands; with n a multiple of 64
    int32_t a_in_registers;  // with n
    int32_t wide;            // MmaWide, without n
};

// One warp, or with warp_group one warp group: out = round(a b^T) v, the shape of attention, with round(a b^T) never in
// memory. With W columns of 128 bytes. Not int8.
struct ProbeChainParams {
    const void* a;  // [M][W], M = 64 with warp_group, else the target's
    const void* b;  // [64][W]
    const void* v;  // [64][64] by k and n; in FP8 [64][128] by n and k, of which the first 64 k are used
    float* out;     // [M][64]
    ProbeFormat format;
    int32_t warp_group;
};

// One warp or warp group writes, for each thread and element, row and column of a fragment.
struct ProbeLayoutParams {
    int32_t* out;  // [threads][elements][2]
    ProbeFormat format;
    int32_t n;        // 0: Mma; else Wgmma<T, n>
    int32_t wide;     // MmaWide
    int32_t operand;  // 0: A, 1: B (not with n), 2: C
};

// One block: loads the box at `at` (bytes in all: box_bytes), adds 1 to every element, stores it there.
struct ProbeBulkCopyParams {
    TensorMapDesc from, to;  // of 4-byte elements and the same box
    int32_t at[kMaxRank];
};

// c = a b^T in bfloat16 by a pipeline of bulk copies, mbarriers and wgmma, 128 x 128 x 64 at a time.
struct ProbePipelineParams {
    const void* a;    // [m][k]
    const void* b;    // [n][k]
    void* c;          // [m][n]
    int32_t m, n, k;  // k a multiple of 8, n too
};

// Two warp groups pass values back and forth through shared memory, `rounds` times, by named barriers.
struct ProbeNamedBarrierParams {
    int32_t* out;  // [128]: rounds * 2 + thread
    int32_t rounds;
};

// Running sums: block i, in the order in which blocks begin, waits for the sum of those before it.
struct ProbeChainedScanParams {
    const float* in;        // [count]
    float* out;             // [blocks] sum of all elements up to the block's last
    int64_t count, blocks;  // 256 elements a block
    uint32_t* ticket;       // zero
    uint32_t* flags;        // [blocks] zeros
    float* sums;            // [blocks]
};

// Counts and largest of values below 256, through shared and then global atomics.
struct ProbeAtomicsParams {
    const int32_t* in;
    int64_t count;
    uint32_t* histogram;  // [256] zeros
    int32_t* largest;     // INT32_MIN
    uint64_t* total;      // zero
    float* sum;           // zero
};

struct ProbeConvertParams {
    const float* in;  // [count], a multiple of 8
    int64_t count;
    uint16_t *f16_bits, *bf16_bits;  // [count]
    uint8_t *e4m3_bits, *e5m2_bits;  // [count]
    float *from_f16, *from_bf16;     // [count] of those
    float *from_e4m3, *from_e5m2;    // [count]
    const uint32_t* int4;            // [count / 8]
    uint16_t *int4_f16, *int4_bf16;  // [count]
};

enum class ProbeQuantised : int32_t { kE4m3, kInt8, kInt4 };

// A tile of 64 tokens, as operands of f16 or bf16: every element that a fragment has, where token and number say.
struct ProbeQuantisedParams {
    const void* rows;     // [64][head_dim]
    void *keys, *values;  // [64][head_dim], by QuantisedKeys and QuantisedValues
    ProbeQuantised format;
    ProbeFormat operand;  // kF16 or kBf16
    int32_t head_dim;     // 64, 128, 192 or 256
};

struct ProbeMathParams {
    const float* in;
    int64_t count;
    float *exp2, *log2, *rsqrt, *ratio, *fma;  // ratio: 1 / x; fma: x * x + x
    float *sine, *cosine;
    int32_t *bits, *lowest;  // of the float's pattern
};

// Two kernels, of which the second may begin early: out[i] = 2 * (in[i] + 1).
struct ProbeDependentLaunchParams {
    const float* in;
    float *between, *out;
    int64_t count;
};

// Each fails as launch() does where the target lacks what it is for.
struct ProbeTable {
    void (*vectors)(LaunchStream& stream, const ProbeVectorsParams& params);
    void (*shared)(LaunchStream& stream, const ProbeSharedParams& params);
    void (*warp)(LaunchStream& stream, const ProbeWarpParams& params);
    void (*async_copy)(LaunchStream& stream, const ProbeAsyncCopyParams& params);
    void (*mma)(LaunchStream& stream, const ProbeMmaParams& params);
    void (*chain)(LaunchStream& stream, const ProbeChainParams& params);
    void (*layout)(LaunchStream& stream, const ProbeLayoutParams& params);
    void (*bulk_copy)(LaunchStream& stream, const ProbeBulkCopyParams& params);
    void (*pipeline)(LaunchStream& stream, const ProbePipelineParams& params);
    void (*named_barriers)(LaunchStream& stream, const ProbeNamedBarrierParams& params);
    void (*chained_scan)(LaunchStream& stream, const ProbeChainedScanParams& params);
    void (*atomics)(LaunchStream& stream, const ProbeAtomicsParams& params);
    void (*convert)(LaunchStream& stream, const ProbeConvertParams& params);
    void (*quantised)(LaunchStream& stream, const ProbeQuantisedParams& params);
    void (*math)(LaunchStream& stream, const ProbeMathParams& params);
    void (*dependent_launch)(LaunchStream& stream, const ProbeDependentLaunchParams& params);
};

}  // namespace adze
