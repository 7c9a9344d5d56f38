// The objects behind the C handles.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "runtime/backend.h"
#include "runtime/check.h"
#include "runtime/reserved_memory.h"
#include "runtime/staging.h"

struct adze_context {
    const adze::BackendTable* backend;
    adze::DeviceContext* device;
    bool deterministic = false;
    bool check_indices = false;        // those in device memory, which the backend does not check
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

// One that has device memory of its own.
struct MemoryOwner : ContextChild {
    using ContextChild::ContextChild;
    ~MemoryOwner() {
        try {
            free_memory();
        } catch (...) {  // of an object that was not finished: nobody would hear of it
        }
    }
    void allocate(uint64_t bytes) { owned = backend().allocate(context->device, bytes); }
    void free_memory() {
        if (void* memory = std::exchange(owned, nullptr)) backend().release(context->device, memory);
    }

    void* owned = nullptr;
};

}  // namespace adze

struct adze_buffer : adze::MemoryOwner {
    using MemoryOwner::MemoryOwner;
    void* data = nullptr;
    uint64_t bytes = 0;
    // NULL: there is memory all over. Else `owned` is a byte of ordinary memory: its release, which comes first, waits for what
    // uses the buffer, also while streams capture, and unmapping does not.
    std::unique_ptr<adze::ReservedMemory> reserved;
};

struct adze_stream : adze::ContextChild {
    using ContextChild::ContextChild;
    ~adze_stream() {
        if (device != nullptr) backend().stream_destroy(device);
    }
    bool is_capturing() const { return backend().is_capturing(device); }
    adze::DeviceStream* device = nullptr;
    bool adopted = false;
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

struct adze_weight : adze::MemoryOwner {
    using MemoryOwner::MemoryOwner;
    adze::WeightView view{};
    uint64_t bytes = 0;
};

struct adze_attention_plan : adze::MemoryOwner {
    using MemoryOwner::MemoryOwner;
    adze::AttentionPlan plan;
    std::unique_ptr<adze::Staging> staging;  // where the backend wants the schedule in device memory: the way there
};

namespace adze {

inline void require_same_context(const ContextChild& object, const char* name, const adze_stream& stream) {
    require(object.context == stream.context, "%s belongs to another context than the stream", name);
}

// The object is gone, whatever its device has to say about the memory.
template <class Object>
void destroy(Object* object) {
    const std::unique_ptr<Object> last(object);
    if (last) last->free_memory();
}

inline void require_not_capturing(const adze_stream& stream) {
    if (stream.is_capturing()) fail(ADZE_ERROR_INVALID_STATE, "the stream is capturing; end the capture first");
}

}  // namespace adze
