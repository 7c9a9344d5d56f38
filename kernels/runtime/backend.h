// What a backend provides: one table of functions. Device objects are opaque to the runtime. Functions either succeed
// or throw through HostServices::fail, so that a plug-in's messages reach the caller's thread.
#pragma once

#include <cstdint>

#include "adze/runtime.h"
#include "adze/sim.h"
#include "attention/attention.h"
#include "glue/glue.h"
#include "linear/linear.h"
#include "sampling/sampling.h"

namespace adze {

struct DeviceContext;
struct DeviceStream;
struct DeviceEvent;
struct DeviceGraph;

struct BackendTable {
    adze_backend kind;
    int32_t (*device_count)();
    bool (*has_usable_device)();  // one for which code was built
    // These two fail with UNAVAILABLE and the reason where there is no device at all.
    void (*device_info)(int32_t device, adze_device_info& info);

    DeviceContext* (*context_create)(const adze_context_desc& desc);
    void (*context_destroy)(DeviceContext* context);
    void (*context_info)(const DeviceContext* context, adze_device_info& info);

    void* (*allocate)(DeviceContext* context, uint64_t bytes);  // aligned to 256 bytes
    // Waits for what uses the memory. Fails with what the device reports, which may be of earlier work.
    void (*release)(DeviceContext* context, void* data);
    // Addresses that get memory by granules; `granule` is the granularity, of which sizes are multiples, in bytes. Fails with
    // NOT_SUPPORTED where the device has no such thing.
    uint64_t (*granularity)(DeviceContext* context);
    void* (*reserve)(DeviceContext* context, uint64_t bytes, uint64_t granule);  // aligned to the granularity
    void (*unreserve)(DeviceContext* context, void* data, uint64_t bytes);  // has no memory any more; does not fail
    // `data` has no memory; all of it gets some, or none does.
    void (*map)(DeviceContext* context, void* data, uint64_t bytes, uint64_t granule);
    // All of it has memory that nothing uses any more.
    void (*unmap)(DeviceContext* context, void* data, uint64_t bytes, uint64_t granule);
    // Host memory, aligned to 16 bytes: pinned, so that copies of it go on while the host does. Release does not fail.
    void* (*allocate_host)(DeviceContext* context, uint64_t bytes);
    void (*release_host)(DeviceContext* context, void* data);
    // `host` may be changed once write returns, unless it is memory that the caller pinned or the stream is capturing.
    void (*write)(DeviceStream* stream, void* device, const void* host, uint64_t bytes);
    void (*read)(DeviceStream* stream, void* host, const void* device, uint64_t bytes);
    void (*copy)(DeviceStream* stream, void* destination, const void* source, uint64_t bytes);
    void (*fill)(DeviceStream* stream, void* device, uint8_t value, uint64_t bytes);

    DeviceStream* (*stream_create)(DeviceContext* context, void* native);  // native NULL: one of our own
    void (*stream_destroy)(DeviceStream* stream);
    void (*stream_synchronize)(DeviceStream* stream);
    void (*stream_wait_event)(DeviceStream* stream, DeviceEvent* event);
    // Whoever began the capture: a native stream's owner may have. A stream that cannot say is left to the next call.
    bool (*is_capturing)(DeviceStream* stream);
    void (*begin_capture)(DeviceStream* stream);
    DeviceGraph* (*end_capture)(DeviceStream* stream);
    void (*graph_launch)(DeviceGraph* graph, DeviceStream* stream);
    void (*graph_destroy)(DeviceGraph* graph);

    DeviceEvent* (*event_create)(DeviceContext* context);
    void (*event_destroy)(DeviceEvent* event);
    void (*event_record)(DeviceEvent* event, DeviceStream* stream);
    void (*event_synchronize)(DeviceEvent* event);
    double (*event_elapsed)(DeviceEvent* start, DeviceEvent* end);  // microseconds; NaN: not both have happened

    // Fills all but struct_size with the counts of the launch `back` launches ago. NULL: this backend counts nothing.
    void (*launch_counters)(DeviceContext* context, int32_t back, adze_sim_launch& launch);

    bool device_plans;    // attention reads its schedule from device memory (AttentionPlan::device)
    bool checks_indices;  // in device memory, before each run

    // Sizes in bytes of what the kernels lay out, and the shapes that they support (fails with NOT_SUPPORTED).
    uint64_t (*weight_bytes)(const DeviceContext* context, adze_dtype dtype, int64_t n, int64_t k);
    uint64_t (*linear_workspace)(const DeviceContext* context, const WeightView& weight, int64_t rows);
    uint64_t (*sampling_workspace)(const DeviceContext* context, int64_t rows, int64_t vocabulary);
    void (*require_attention)(const DeviceContext* context, const AttentionShape& shape);
    AttentionSplit (*attention_split)(const DeviceContext* context, const AttentionShape& shape);

    void (*pack_weight)(DeviceContext* context, const void* source, int64_t row_stride, const WeightView& packed);
    void (*linear)(DeviceStream* stream, const LinearParams& params);
    void (*attention)(DeviceStream* stream, const AttentionParams& params);
    void (*attention_merge)(DeviceStream* stream, const AttentionMergeParams& params);
    void (*kv_append)(DeviceStream* stream, const KvAppendParams& params);
    void (*embedding)(DeviceStream* stream, const EmbeddingParams& params);
    void (*rms_norm)(DeviceStream* stream, const RmsNormParams& params);
    void (*rope)(DeviceStream* stream, const RopeParams& params);
    void (*silu_gate)(DeviceStream* stream, const SiluGateParams& params);
    void (*sampling)(DeviceStream* stream, const SamplingParams& params);
};

// What the library lends to a plug-in.
struct HostServices {
    __attribute__((noreturn)) void (*fail)(adze_status status, const char* message);
};

// A plug-in exports `adze_plugin` of this type. The hash is over the texts of this header and of those that it includes
// (kernels/CMakeLists.txt), so that a plug-in of another build is refused.
struct Plugin {
    uint64_t interface_hash;  // ADZE_INTERFACE_HASH
    const BackendTable* (*open)(const HostServices& services);
};
constexpr const char* kPluginSymbol = "adze_plugin";

// The table of a backend; AUTO is resolved. Fails with UNAVAILABLE and the reason.
const BackendTable& find_backend(adze_backend backend);
const BackendTable& cpu_backend();
#ifdef ADZE_HAS_CUDA
const BackendTable& cuda_backend();
#endif

}  // namespace adze
