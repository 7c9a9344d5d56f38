// The objects behind the C handles.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "runtime/backend.h"
#include "runtime/check.h"

struct adze_context {
    const adze::BackendTable* backend;
    adze::DeviceContext* device;
    std::atomic<int64_t> children{0};  // objects that must go before it
};

namespace adze {

// Base of every object made from a context: counts itself in and out.
struct ContextChild {
    explicit ContextChild(adze_context* owner) : context(owner) { context->children.fetch_add(1); }
    ~ContextChild() { context->children.fetch_sub(1); }
    ContextChild(const ContextChild&) = delete;
    ContextChild& operator=(const ContextChild&) = delete;
    const BackendTable& backend() const { return *context->backend; }

    adze_context* const context;
};

}  // namespace adze

struct adze_buffer : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_buffer() {
        if (owned && data != nullptr) backend().release(context->device, data);
    }
    void* data = nullptr;
    uint64_t bytes = 0;
    bool owned = false;
};

struct adze_stream : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_stream() {
        if (device != nullptr) backend().stream_destroy(device);
    }
    adze::DeviceStream* device = nullptr;
    bool capturing = false;
};

struct adze_event : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_event() {
        if (device != nullptr) backend().event_destroy(device);
    }
    adze::DeviceEvent* device = nullptr;
};

struct adze_graph : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_graph() {
        if (device != nullptr) backend().graph_destroy(device);
    }
    adze::DeviceGraph* device = nullptr;
};

struct adze_weight : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_weight() {
        if (view.data != nullptr) backend().release(context->device, const_cast<void*>(view.data));
    }
    adze::WeightView view{};
    uint64_t bytes = 0;
};

struct adze_attention_plan : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_attention_plan() {
        if (device_image != nullptr) backend().release(context->device, device_image);
    }
    adze::AttentionPlan plan;
    // Where the backend wants the schedule in device memory: there, and the host's copy that is written to it.
    void* device_image = nullptr;
    std::vector<std::byte> image;
};

namespace adze {

inline void require_same_context(const ContextChild& object, const char* name, const adze_stream& stream) {
    require(object.context == stream.context, "%s belongs to another context than the stream", name);
}

inline void require_not_capturing(const adze_stream& stream) {
    if (stream.capturing) fail(ADZE_ERROR_INVALID_STATE, "the stream is capturing; end the capture first");
}

}  // namespace adze
