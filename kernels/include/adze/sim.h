/* Adze: what the simulator counts. The sim backend runs the GPU kernels on the host and records, per kernel launch, the
 * memory traffic and the instructions that the device would see. The counts are exact and repeatable: they depend on the
 * launch and its data alone, not on threads or time. Caches are not modelled.
 */
#ifndef ADZE_SIM_H_
#define ADZE_SIM_H_

#include "runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Counts of one launch, summed over its threads. A warp is 32 threads, on gfx90a 64. */
typedef struct adze_sim_launch {
    uint32_t struct_size;
    uint32_t block_threads;         /**< threads of a block */
    const char* kernel;             /**< the kernel's name; static storage of the plug-in */
    int64_t grid_x;                 /**< blocks */
    int64_t grid_y;                 /**< blocks */
    int64_t grid_z;                 /**< blocks */
    uint64_t shared_bytes;          /**< shared memory of a block */
    uint64_t global_read_bytes;     /**< bytes of global memory that threads asked for, each access counted */
    uint64_t global_write_bytes;    /**< bytes that they wrote */
    uint64_t global_read_sectors;   /**< 32-byte sectors moved: the distinct ones of each warp-level request, summed */
    uint64_t global_write_sectors;  /**< the same for writes */
    uint64_t global_requests;       /**< warp-level loads, stores and atomics on global memory */
    uint64_t shared_requests;       /**< warp-level loads and stores of shared memory */
    uint64_t shared_bank_conflicts; /**< wavefronts of those beyond the fewest that the bytes need */
    uint64_t matrix_instructions;   /**< warp-level mma, or warp-group-level wgmma */
    uint64_t matrix_multiply_adds;  /**< multiply-adds in them */
    uint64_t block_barriers;        /**< block and named barriers passed, once a block */
    uint64_t warp_barriers;         /**< warp barriers passed, once a warp */
    uint64_t async_copy_bytes; /**< bytes that asynchronous and bulk copies moved; part of the global counts, too */
} adze_sim_launch;

/** Counts of a recent launch that succeeded on a context of the sim backend: `back` = 0 is the latest, 1 the one
 *  before, up to 255. A call of an operator may launch several kernels. Fills `launch`, whose struct_size the
 *  caller sets. INVALID_ARGUMENT when there have not been so many; NOT_SUPPORTED on other backends. */
ADZE_API adze_status adze_sim_counters(const adze_context* context, int32_t back, adze_sim_launch* launch);

#ifdef __cplusplus
}
#endif

#endif
