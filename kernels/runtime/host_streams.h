// Streams, graphs and events of backends that compute on the host: a stream runs its calls at once and in order, a graph
// keeps copies of them, an event is a time.
#pragma once

#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "runtime/backend.h"
#include "runtime/check.h"

namespace adze {

// Indices in device memory are checked where they are used, so in a graph at each launch.
inline void require_indices(const EmbeddingParams& p) {
    require_ids(p.ids, p.table.rows, "ids");
}
inline void require_indices(const RopeParams& p) {
    require_ids(p.positions, int64_t{1} << 31, "positions");
}
inline void require_indices(const AttentionParams& p) {
    require_page_ids(*p.plan, p.kv_indices, p.k.num_pages);
}
inline void require_indices(const KvAppendParams& p) {
    require_page_ids(*p.plan, p.kv_indices, p.k_cache.num_pages);
}
template <class Params>
void require_indices(const Params&) {}

// Context has a `std::mutex mutex`: calls on one context take turns.
template <class Context>
class HostStreams {
    using Node = std::function<void(Context&)>;

    struct Graph {
        std::vector<Node> nodes;
    };

    struct Stream {
        Context* context;
        std::unique_ptr<Graph> recording;
    };

    struct Event {
        std::chrono::steady_clock::time_point time;
        bool recorded = false;
    };

    static Stream& of(DeviceStream* stream) { return *reinterpret_cast<Stream*>(stream); }
    static Event& of(DeviceEvent* event) { return *reinterpret_cast<Event*>(event); }
    static Graph& of(DeviceGraph* graph) { return *reinterpret_cast<Graph*>(graph); }

    static void copy(DeviceStream* stream, void* destination, const void* source, uint64_t bytes) {
        submit(stream, [=](Context&) { std::memcpy(destination, source, bytes); });
    }
    static void fill(DeviceStream* stream, void* device, uint8_t value, uint64_t bytes) {
        submit(stream, [=](Context&) { std::memset(device, value, bytes); });
    }

    static void* allocate_host(DeviceContext*, uint64_t bytes) { return ::operator new(bytes); }
    static void release_host(DeviceContext*, void* data) { ::operator delete(data); }

    static DeviceStream* stream_create(DeviceContext* context, void* native) {
        if (native != nullptr) fail(ADZE_ERROR_NOT_SUPPORTED, "the %s backend has no native streams", Context::kName);
        return reinterpret_cast<DeviceStream*>(new Stream{reinterpret_cast<Context*>(context), nullptr});
    }
    static void stream_destroy(DeviceStream* stream) { delete &of(stream); }
    static void stream_synchronize(DeviceStream*) {}
    static void stream_wait_event(DeviceStream*, DeviceEvent*) {}

    static void begin_capture(DeviceStream* stream) { of(stream).recording = std::make_unique<Graph>(); }
    static DeviceGraph* end_capture(DeviceStream* stream) {
        return reinterpret_cast<DeviceGraph*>(of(stream).recording.release());
    }
    static void graph_launch(DeviceGraph* graph, DeviceStream* stream) {
        Context& context = *of(stream).context;
        const std::scoped_lock lock(context.mutex);
        for (const Node& node : of(graph).nodes) node(context);
    }
    static void graph_destroy(DeviceGraph* graph) { delete &of(graph); }

    static DeviceEvent* event_create(DeviceContext*) { return reinterpret_cast<DeviceEvent*>(new Event); }
    static void event_destroy(DeviceEvent* event) { delete &of(event); }
    static void event_record(DeviceEvent* event, DeviceStream* stream) {
        submit(stream, [event](Context&) { of(event) = {std::chrono::steady_clock::now(), true}; });
    }
    static void event_synchronize(DeviceEvent*) {}
    static double event_elapsed(DeviceEvent* start, DeviceEvent* end) {
        if (!of(start).recorded || !of(end).recorded) return NAN;
        return std::chrono::duration<double, std::micro>(of(end).time - of(start).time).count();
    }

public:
    static Context& context_of(DeviceStream* stream) { return *of(stream).context; }

    // Runs a call now, or keeps it for the graph that the stream is recording.
    template <class Call>
    static void submit(DeviceStream* stream, Call call) {
        Stream& target = of(stream);
        if (target.recording) {
            target.recording->nodes.emplace_back(std::move(call));
            return;
        }
        const std::scoped_lock lock(target.context->mutex);
        call(*target.context);
    }

    static bool is_capturing(DeviceStream* stream) { return of(stream).recording != nullptr; }

    // The part of a backend's table that is here; the rest is for the backend to fill in.
    static constexpr BackendTable table() {
        BackendTable table{};
        table.allocate_host = allocate_host;
        table.release_host = release_host;
        table.write = copy;
        table.read = copy;
        table.copy = copy;
        table.fill = fill;
        table.stream_create = stream_create;
        table.stream_destroy = stream_destroy;
        table.stream_synchronize = stream_synchronize;
        table.stream_wait_event = stream_wait_event;
        table.is_capturing = is_capturing;
        table.begin_capture = begin_capture;
        table.end_capture = end_capture;
        table.graph_launch = graph_launch;
        table.graph_destroy = graph_destroy;
        table.event_create = event_create;
        table.event_destroy = event_destroy;
        table.event_record = event_record;
        table.event_synchronize = event_synchronize;
        table.event_elapsed = event_elapsed;
        table.checks_indices = true;
        return table;
    }
};

}  // namespace adze
