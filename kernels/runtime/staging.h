// Host memory through which a small image goes to the device while the host goes on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/backend.h"

namespace adze {

// Two buffers in turn, each with an event after its last copy, before which it is not filled again: so the host waits, if it
// must, for the copy before the last one.
class Staging {
public:
    Staging(const BackendTable& backend, DeviceContext* context, uint64_t bytes);
    ~Staging();  // no copy is under way any more
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;

    // The buffer to fill for the next copy.
    void* next();
    // Puts a copy of what next() gave, its first `bytes`, on the stream.
    void copy(DeviceStream* stream, void* device, uint64_t bytes);

private:
    struct Buffer {
        void* data = nullptr;
        DeviceEvent* copied = nullptr;
    };
    void release();

    const BackendTable& backend_;
    DeviceContext* const context_;
    std::array<Buffer, 2> buffers_;
    size_t turn_ = 0;
};

}  // namespace adze
