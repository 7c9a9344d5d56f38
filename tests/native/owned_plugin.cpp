// A plug-in for what only GPUs have: native streams that their owners put into capture and that run behind the host
// (owned_plugin.h), indices that the host must fetch, and memory whose release the device complains about (on device 1).
#include "owned_plugin.h"

#include <cstdlib>
#include <cstring>
#include <deque>

#include "runtime/backend.h"

namespace {

using adze::DeviceContext;
using adze::DeviceStream;

const adze::HostServices* host;
std::deque<OwnedStream> streams;  // of our own: events know them after their end
int contexts[2];                  // their addresses are the devices'

OwnedStream& of(DeviceStream* stream) {
    return *reinterpret_cast<OwnedStream*>(stream);
}

struct Event {
    OwnedStream* stream = nullptr;  // NULL: never recorded
    int calls = 0;                  // of the stream, before
};
Event& of(adze::DeviceEvent* event) {
    return *reinterpret_cast<Event*>(event);
}

void event_synchronize(adze::DeviceEvent* event) {
    const auto [stream, calls] = of(event);
    if (stream == nullptr || calls <= stream->done) return;
    ++stream->waits;
    stream->done = calls;
}

void write(DeviceStream* stream, void*, const void* source, uint64_t) {
    if (of(stream).fails) host->fail(ADZE_ERROR_DEVICE, "nothing can be written");
    ++of(stream).calls;
    of(stream).source = source;
}

void read(DeviceStream* stream, void* to, const void* from, uint64_t bytes) {
    ++of(stream).reads;
    std::memcpy(to, from, bytes);
}

OwnedRange ranges[4];  // of a granule each; their state stays to be looked at
int waits;

void* reserve(DeviceContext*, uint64_t bytes, uint64_t) {
    for (OwnedRange& range : ranges) {
        if (range.reserved || bytes != sizeof range) continue;
        range = {true, 0, 0};
        return &range;
    }
    host->fail(ADZE_ERROR_OUT_OF_MEMORY, "there is one more");
}

void change(void* data, int granules) {
    auto& range = *static_cast<OwnedRange*>(data);
    range.granules += granules;
    range.waits = waits;
}

void stream_synchronize(DeviceStream* stream) {
    ++of(stream).calls;
    ++waits;
}

void release(DeviceContext* context, void* data) {
    ++waits;
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
    table.granularity = [](DeviceContext*) { return uint64_t{OwnedRange::kGranule}; };
    table.reserve = reserve;
    table.unreserve = [](DeviceContext*, void* data, uint64_t) { static_cast<OwnedRange*>(data)->reserved = false; };
    table.map = [](DeviceContext*, void* data, uint64_t, uint64_t) { change(data, 1); };
    table.unmap = [](DeviceContext*, void* data, uint64_t, uint64_t) { change(data, -1); };
    table.allocate_host = [](DeviceContext*, uint64_t bytes) { return std::malloc(bytes); };
    table.release_host = [](DeviceContext*, void* data) { std::free(data); };
    table.write = write;
    table.read = read;
    table.stream_create = [](DeviceContext*, void* native) {
        return reinterpret_cast<DeviceStream*>(native != nullptr ? native : &streams.emplace_back());
    };
    table.stream_destroy = [](DeviceStream*) {};
    table.stream_synchronize = stream_synchronize;
    table.is_capturing = [](DeviceStream* stream) { return of(stream).capturing; };
    table.begin_capture = [](DeviceStream* stream) { of(stream).capturing = true; };
    table.end_capture = [](DeviceStream* stream) {
        of(stream).capturing = false;
        return reinterpret_cast<adze::DeviceGraph*>(stream);
    };
    table.graph_launch = [](adze::DeviceGraph*, DeviceStream* stream) { ++of(stream).calls; };
    table.graph_destroy = [](adze::DeviceGraph*) {};
    table.event_create = [](DeviceContext*) { return reinterpret_cast<adze::DeviceEvent*>(new Event); };
    table.event_destroy = [](adze::DeviceEvent* event) { delete &of(event); };
    table.event_record = [](adze::DeviceEvent* event, DeviceStream* stream) {
        of(event) = {&of(stream), of(stream).calls};
    };
    table.event_synchronize = event_synchronize;
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
