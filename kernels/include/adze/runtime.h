/* Adze: contexts, buffers, streams, events and graphs.
 *
 * Ownership: objects are created and destroyed in pairs. A context outlives everything made from it; destroying it
 * first is INVALID_STATE and leaves it alive. Destroying NULL does nothing. A create function that fails sets its result
 * to NULL. A destroy function may report DEVICE, of the device's earlier work; what it was given is gone all the same.
 *
 * Threads: a context and its weights may be used from any number of threads; on the cpu and sim backends the work is
 * serialised. A buffer, stream, event, graph or plan belongs to one thread at a time, and launching a graph uses the
 * plans in it. Destroying is legal on any thread. After a fork, contexts are the parent's only.
 *
 * Streams: a call that takes a stream is ordered after what was put on that stream before. On a GPU it returns early;
 * memory that such a call names must stay valid until the stream has passed it. On cpu and sim the work is done when
 * the call returns.
 *
 * Waiting: on a GPU these wait: destroying a buffer that is not adopted, a weight or a plan, for all that the device was
 * given before, and so does creating a weight; creating a plan, for its own copy; updating a plan, for the copy of the
 * update before the last one; adze_buffer_unmap(), for what was put on its stream before; on HIP, destroying a stream that
 * is not adopted; adze_stream_synchronize(), adze_event_synchronize(); and what copies between the device and memory that
 * the caller has not pinned (adze_buffer_write(), adze_buffer_read()) may wait for what was put on its stream before. With
 * ADZE_CONTEXT_CHECK_INDICES attention and append wait for their stream. The first run of a kernel may wait for the device,
 * too: its code is loaded then. Nothing else waits.
 *
 * Memory: creating a buffer, a weight or a plan takes device memory, and so does adze_buffer_map(); reserving a buffer takes
 * addresses and some bytes. All create functions, adze_buffer_reserve(), adze_buffer_map() and adze_stream_end_capture()
 * take host memory, which is pinned for a plan; a capture takes some for what it records. The operators' run calls, plan updates
 * and graph launches take none, but for the simulator, which takes host memory as it likes, and on GPUs the first run of
 * a kernel, whose code is loaded then: leave some megabytes free, or run a step of every kind before all is taken
 * (OUT_OF_MEMORY when there is too little).
 *
 * Captures: what is put on a capturing stream is recorded (adze_stream_begin_capture()). Calls without a stream are
 * never recorded and may be made while any stream captures, also one that another library put into capture.
 */
#ifndef ADZE_RUNTIME_H_
#define ADZE_RUNTIME_H_

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct adze_context adze_context;
typedef struct adze_buffer adze_buffer;
typedef struct adze_stream adze_stream;
typedef struct adze_event adze_event;
typedef struct adze_graph adze_graph;

typedef enum adze_backend ADZE_AS_INT32 {
    /** The GPU when there is one for which code was built, else the cpu. */
    ADZE_BACKEND_AUTO = 0,
    ADZE_BACKEND_CPU = 1,
    /** GPU kernels executed and checked on the host; plug-in libadze_sim.so. */
    ADZE_BACKEND_SIM = 2,
    ADZE_BACKEND_CUDA = 3,
    /** Plug-in libadze_hip.so. */
    ADZE_BACKEND_HIP = 4
} adze_backend;

/** Instruction set of the cpu backend. */
typedef enum adze_cpu_isa ADZE_AS_INT32 {
    /** The widest that both the processor and the build have. */
    ADZE_CPU_ISA_AUTO = 0,
    ADZE_CPU_ISA_PORTABLE = 1,
    ADZE_CPU_ISA_AVX2 = 2,
    ADZE_CPU_ISA_AVX512 = 3
} adze_cpu_isa;

/** Every result is bitwise equal across runs and across the other rows and sequences of a batch. Always so on cpu. What
 *  is a sequence's own, and matters on GPUs, is said in attention.h. */
#define ADZE_CONTEXT_DETERMINISTIC 1u
/** For debugging on GPUs: the page ids in device memory are read back and checked before each attention and append, which so
 *  wait for their stream, take host memory, and are INVALID_STATE on a capturing one. On cpu and sim they are always checked. */
#define ADZE_CONTEXT_CHECK_INDICES 2u

typedef struct adze_context_desc {
    uint32_t struct_size;
    adze_backend backend;
    int32_t device; /**< index among the backend's devices */
    int32_t
        num_threads; /**< cpu and sim: threads that work, the caller's included; 0 = one per available core; <= 1024 */
    adze_cpu_isa cpu_isa; /**< cpu only */
    uint32_t flags;       /**< ADZE_CONTEXT_ bits */
} adze_context_desc;

typedef struct adze_device_info {
    uint32_t struct_size;
    adze_backend backend;
    int32_t device;
    int32_t num_processors;   /**< cores, multiprocessors or compute units */
    const char* name;         /**< static storage of the library */
    const char* architecture; /**< such as "avx512" or "sm_90a"; static storage */
    uint64_t memory_bytes;
    uint64_t shared_memory_per_block; /**< bytes; 0 on cpu */
    int32_t warp_size;                /**< 1 on cpu */
    int32_t reserved;
} adze_device_info;

/** Number of devices of a backend. UNAVAILABLE when the backend is not built or its plug-in is not found.
 *  AUTO counts the devices of the backend that AUTO chooses. */
ADZE_API adze_status adze_device_count(adze_backend backend, int32_t* count);

/** Fills `info`, whose struct_size the caller sets. */
ADZE_API adze_status adze_device_info_get(adze_backend backend, int32_t device, adze_device_info* info);

/** Makes a context for one device. `desc` NULL means all defaults. UNAVAILABLE when the backend is not built, its
 * plug-in is not found, there is no such device, or no code was built for it. */
ADZE_API adze_status adze_context_create(const adze_context_desc* desc, adze_context** context);
/** INVALID_STATE while objects made from it are left. */
ADZE_API adze_status adze_context_destroy(adze_context* context);

/** What the context runs on, AUTO resolved: same fields as adze_device_info_get(). */
ADZE_API adze_status adze_context_info(const adze_context* context, adze_device_info* info);

/** Device memory of `bytes` (0 is legal), aligned to 256 bytes, contents undefined. OUT_OF_MEMORY when there is not so
 * much. */
ADZE_API adze_status adze_buffer_create(adze_context* context, uint64_t bytes, adze_buffer** buffer);
/** A view of device memory that the caller owns and keeps alive; destroying the buffer leaves the memory alone. */
ADZE_API adze_status adze_buffer_adopt(adze_context* context, void* data, uint64_t bytes, adze_buffer** buffer);
/** Device addresses for `bytes` (at least 1), in which adze_buffer_map() puts memory where and when it is wanted: so a
 *  sequence's cache grows where it lies, and much more can be reserved than the device has (vAttention, arXiv 2405.04437).
 *  Aligned to adze_buffer_granularity(). Transfers are refused where there is no memory; a kernel that gets there fails
 *  with DEVICE on sim, is a failure of the device on a GPU and a fault of the process on cpu. OUT_OF_MEMORY when there are
 *  not so many addresses; NOT_SUPPORTED when the device or its driver has no virtual memory of this kind. */
ADZE_API adze_status adze_buffer_reserve(adze_context* context, uint64_t bytes, adze_buffer** buffer);
/** Gives memory, contents undefined, to all granules of a reserved buffer that the range touches and that have none; the
 *  others keep theirs and what is in it. So a range may be mapped again and again as it grows. For all streams, at once, and
 *  without waiting. OUT_OF_MEMORY when there is not so much: then nothing has changed. */
ADZE_API adze_status adze_buffer_map(adze_buffer* buffer, uint64_t offset, uint64_t bytes);
/** Takes the memory back from all granules of a reserved buffer that lie wholly inside the range (to the buffer's end, if
 *  the range reaches it), once what was put on `stream` before is done. What uses that memory on other streams must be
 *  ordered before, by events, and graphs that use it must not be launched until it is mapped again. INVALID_STATE on a
 *  capturing stream. */
ADZE_API adze_status adze_buffer_unmap(adze_buffer* buffer, uint64_t offset, uint64_t bytes, adze_stream* stream);
/** Bytes of a granule, in which a reserved buffer takes memory: 2 MiB on most devices. 0 for another buffer or NULL. */
ADZE_API uint64_t adze_buffer_granularity(const adze_buffer* buffer);
/** Gives the memory back unless it is adopted. A graph that names it must not be launched any more. */
ADZE_API adze_status adze_buffer_destroy(adze_buffer* buffer);
/** The buffer's device address; NULL for NULL or an empty buffer. */
ADZE_API void* adze_buffer_data(const adze_buffer* buffer);
/** The buffer's size; 0 for NULL. */
ADZE_API uint64_t adze_buffer_bytes(const adze_buffer* buffer);

/** Host to device. `source` is read before the stream passes the call: keep it valid until then, and in a capture for as
 * long as the graph is launched. Offsets and sizes in bytes. */
ADZE_API adze_status adze_buffer_write(adze_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes,
                                       adze_stream* stream);
/** Device to host. `destination` is written before the stream passes the call: keep it valid until then, likewise. */
ADZE_API adze_status adze_buffer_read(const adze_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes,
                                      adze_stream* stream);
/** Device to device, of one context. The ranges may not overlap. */
ADZE_API adze_status adze_buffer_copy(adze_buffer* destination, uint64_t destination_offset, const adze_buffer* source,
                                      uint64_t source_offset, uint64_t bytes, adze_stream* stream);
/** Sets each byte of a range to `value`. */
ADZE_API adze_status adze_buffer_fill(adze_buffer* buffer, uint64_t offset, uint8_t value, uint64_t bytes,
                                      adze_stream* stream);

/** A stream of its own: not ordered with any other, the GPU's default stream included. */
ADZE_API adze_status adze_stream_create(adze_context* context, adze_stream** stream);
/** Uses a native stream (CUstream, hipStream_t) of the context's device that the caller owns and keeps alive; CUDA's must
 *  be of the device's primary context, which the runtime API uses (cuDevicePrimaryCtxRetain; ManagedCuda:
 *  PrimaryContext), and so must adopted memory. The default stream is its handle, such as cudaStreamLegacy, not NULL. Its owner may put it into capture, too: all that is said of
 *  capturing streams holds, and what the captured calls name must stay valid for as long as the owner's graph is
 *  launched. NOT_SUPPORTED on cpu and sim. */
ADZE_API adze_status adze_stream_adopt(adze_context* context, void* native_stream, adze_stream** stream);
/** What was put on the stream is still done. INVALID_STATE while a capture is under way, unless the stream is adopted:
 * then the native stream and its capture stay as they are. */
ADZE_API adze_status adze_stream_destroy(adze_stream* stream);
/** Returns when all that was put on the stream is done. DEVICE when some of it failed. */
ADZE_API adze_status adze_stream_synchronize(adze_stream* stream);
/** What is put on `stream` from now on runs after `event` as last recorded; at once if it was never recorded. */
ADZE_API adze_status adze_stream_wait_event(adze_stream* stream, adze_event* event);

ADZE_API adze_status adze_event_create(adze_context* context, adze_event** event);
ADZE_API adze_status adze_event_destroy(adze_event* event);
/** The event happens when the stream has done what was put on it before; the record before is forgotten. */
ADZE_API adze_status adze_event_record(adze_event* event, adze_stream* stream);
/** Returns when the work before the last record is done; at once if it was never recorded. */
ADZE_API adze_status adze_event_synchronize(adze_event* event);
/** Time from one recorded event to another, in microseconds. INVALID_STATE unless both were recorded and have happened.
 */
ADZE_API adze_status adze_event_elapsed(adze_event* start, adze_event* end, double* microseconds);

/** From here to the end of the capture, calls on the stream are checked and recorded, not run: what a call refuses, it
 *  refuses now, but for indices in device memory. Events are recorded and waited for when the graph runs. What the calls
 *  name (tensors, plans, weights, workspaces, events) must stay valid for as long as the graph is launched; a plan may be
 *  updated in between, and the next launch follows it. Calls that wait on the host, plan updates and graph launches are
 *  INVALID_STATE on a capturing stream. */
ADZE_API adze_status adze_stream_begin_capture(adze_stream* stream);
/** Ends the capture that is under way on the stream, whoever began it; INVALID_STATE without one. Fails with what the
 *  driver says of a capture that something made invalid; the stream captures no longer then. */
ADZE_API adze_status adze_stream_end_capture(adze_stream* stream, adze_graph** graph);
/** Puts what was recorded on any stream of the context. Launches of one graph must not overlap: put them on one stream,
 *  or order their streams by events. Indices in device memory are checked on cpu and sim when the graph reaches them: a
 *  launch that fails with INVALID_ARGUMENT has run the calls before. */
ADZE_API adze_status adze_graph_launch(adze_graph* graph, adze_stream* stream);
/** Launches that are under way still end. */
ADZE_API adze_status adze_graph_destroy(adze_graph* graph);

#ifdef __cplusplus
}
#endif

#endif
