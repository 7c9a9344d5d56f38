#include "runtime/staging.h"

namespace adze {

Staging::Staging(const BackendTable& backend, DeviceContext* context, uint64_t bytes)
    : backend_(backend), context_(context) {
    try {
        for (Buffer& buffer : buffers_) {
            buffer.data = backend.allocate_host(context, bytes);
            buffer.copied = backend.event_create(context);
        }
    } catch (...) {
        release();
        throw;
    }
}

Staging::~Staging() {
    release();
}

void Staging::release() {
    for (const Buffer& buffer : buffers_) {
        if (buffer.copied != nullptr) backend_.event_destroy(buffer.copied);
        if (buffer.data != nullptr) backend_.release_host(context_, buffer.data);
    }
}

void* Staging::next() {
    backend_.event_synchronize(buffers_[turn_].copied);
    return buffers_[turn_].data;
}

void Staging::copy(DeviceStream* stream, void* device, uint64_t bytes) {
    const Buffer& buffer = buffers_[turn_];
    backend_.write(stream, device, buffer.data, bytes);
    turn_ ^= 1;  // though the event fail: the copy is under way
    backend_.event_record(buffer.copied, stream);
}

}  // namespace adze
