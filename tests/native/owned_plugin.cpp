// A plug-in for what only GPUs have: native streams that their owners put into capture (owned_plugin.h), and memory whose
// release the device complains about (on device 1).
#include "owned_plugin.h"

#include <cstdlib>

#include "runtime/backend.h"

namespace {

using adze::DeviceContext;
using adze::DeviceStream;

const adze::HostServices* host;
int contexts[2];  // their addresses are the devices'

OwnedStream& of(DeviceStream* stream) {
    return *reinterpret_cast<OwnedStream*>(stream);
}

void release(DeviceContext* context, void* data) {
    std::free(data);
    if (reinterpret_cast<int*>(context) == &contexts[1]) host->fail(ADZE_ERROR_DEVICE, "an earlier kernel failed");
}

template <class Params>
void run(DeviceStream* stream, const Params&) {
    ++of(stream).calls;
}

constexpr adze::BackendTable make_table() {
    adze::BackendTable table{};
    table.kind = ADZE_BACKEND_SIM;
    table.device_count = [] { return int32_t{2}; };
    table.context_create = [](const adze_context_desc& desc) {
        return reinterpret_cast<DeviceContext*>(&contexts[desc.device]);
    };
    table.context_destroy = [](DeviceContext*) {};
    table.allocate = [](DeviceContext*, uint64_t bytes) { return std::aligned_alloc(256, (bytes + 255) / 256 * 256); };
    table.release = release;
    table.write = [](DeviceStream* stream, void*, const void*, uint64_t) { ++of(stream).calls; };
    table.stream_create = [](DeviceContext*, void* native) {
        return reinterpret_cast<DeviceStream*>(native != nullptr ? native : new OwnedStream{});
    };
    table.stream_destroy = [](DeviceStream*) {};
    table.stream_synchronize = [](DeviceStream* stream) { ++of(stream).calls; };
    table.is_capturing = [](DeviceStream* stream) { return of(stream).capturing; };
    table.begin_capture = [](DeviceStream* stream) { of(stream).capturing = true; };
    table.end_capture = [](DeviceStream* stream) {
        of(stream).capturing = false;
        return reinterpret_cast<adze::DeviceGraph*>(stream);
    };
    table.graph_launch = [](adze::DeviceGraph*, DeviceStream* stream) { ++of(stream).calls; };
    table.graph_destroy = [](adze::DeviceGraph*) {};
    table.device_plans = true;
    table.weight_bytes = [](const DeviceContext*, adze_dtype, int64_t, int64_t) { return uint64_t{256}; };
    table.attention_split = [](const DeviceContext*, const adze::AttentionShape&) { return adze::AttentionSplit{}; };
    table.require_attention = [](const DeviceContext*, const adze::AttentionShape&) {};
    table.pack_weight = [](DeviceContext*, const void*, int64_t, const adze::WeightView&) {};
    table.attention = run<adze::AttentionParams>;
    table.kv_append = run<adze::KvAppendParams>;
    return table;
}

const adze::BackendTable* open(const adze::HostServices& services) {
    static constexpr adze::BackendTable table = make_table();
    host = &services;
    return &table;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const adze::Plugin adze_plugin;
const adze::Plugin adze_plugin{ADZE_INTERFACE_HASH, open};
