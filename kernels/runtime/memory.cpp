#include <cinttypes>
#include <memory>

#include "runtime/objects.h"

namespace adze {
namespace {

void require_inside(const adze_buffer& buffer, uint64_t offset, uint64_t bytes, const char* name) {
    require(offset <= buffer.bytes && bytes <= buffer.bytes - offset,
            "%s: bytes %" PRIu64 " at offset %" PRIu64 " exceed the buffer's %" PRIu64, name, bytes, offset,
            buffer.bytes);
}

void require_mapped(const adze_buffer& buffer, uint64_t offset, uint64_t bytes, const char* name) {
    if (buffer.reserved == nullptr) return;
    const uint64_t hole = buffer.reserved->first_unmapped(offset, bytes);
    require(hole == offset + bytes,
            "%s: bytes %" PRIu64 " at offset %" PRIu64 " have no memory from offset %" PRIu64
            " on; adze_buffer_map() gives it",
            name, bytes, offset, hole);
}

// A part of a buffer that takes memory by parts.
ReservedMemory& require_reserved(adze_buffer* buffer, uint64_t offset, uint64_t bytes) {
    require_pointer(buffer, "buffer");
    require(buffer->reserved != nullptr, "buffer is not of adze_buffer_reserve(); it has all its memory");
    require_inside(*buffer, offset, bytes, "buffer");
    return *buffer->reserved;
}

char* at(const adze_buffer& buffer, uint64_t offset) {
    return static_cast<char*>(buffer.data) + offset;
}

// The checks that every transfer shares.
void require_transfer(const adze_buffer* buffer, uint64_t offset, uint64_t bytes, adze_stream* stream,
                      const char* name) {
    require_pointer(buffer, name);
    require_pointer(stream, "stream");
    require_same_context(*buffer, name, *stream);
    require_inside(*buffer, offset, bytes, name);
    require_mapped(*buffer, offset, bytes, name);
}

}  // namespace
}  // namespace adze

using namespace adze;

extern "C" {

adze_status adze_buffer_create(adze_context* context, uint64_t bytes, adze_buffer** buffer) {
    return guarded(__func__, [&] {
        require_pointer(buffer, "buffer");
        *buffer = nullptr;
        require_pointer(context, "context");
        auto made = std::make_unique<adze_buffer>(context);
        if (bytes != 0) made->allocate(bytes);
        made->data = made->owned;
        made->bytes = bytes;
        *buffer = made.release();
    });
}

adze_status adze_buffer_adopt(adze_context* context, void* data, uint64_t bytes, adze_buffer** buffer) {
    return guarded(__func__, [&] {
        require_pointer(buffer, "buffer");
        *buffer = nullptr;
        require_pointer(context, "context");
        if (bytes != 0) require_pointer(data, "data");
        auto made = std::make_unique<adze_buffer>(context);
        made->data = data;
        made->bytes = bytes;
        *buffer = made.release();
    });
}

adze_status adze_buffer_reserve(adze_context* context, uint64_t bytes, adze_buffer** buffer) {
    return guarded(__func__, [&] {
        require_pointer(buffer, "buffer");
        *buffer = nullptr;
        require_pointer(context, "context");
        require(bytes != 0, "bytes is 0; it must be at least 1");
        if (bytes > INT64_MAX)
            fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; no device has such addresses", bytes);
        auto made = std::make_unique<adze_buffer>(context);
        made->allocate(1);
        made->reserved = std::make_unique<ReservedMemory>(*context->backend, context->device, bytes);
        made->data = made->reserved->data();
        made->bytes = bytes;
        *buffer = made.release();
    });
}

adze_status adze_buffer_map(adze_buffer* buffer, uint64_t offset, uint64_t bytes) {
    return guarded(__func__, [&] { require_reserved(buffer, offset, bytes).map(offset, bytes); });
}

adze_status adze_buffer_unmap(adze_buffer* buffer, uint64_t offset, uint64_t bytes, adze_stream* stream) {
    return guarded(__func__, [&] {
        ReservedMemory& memory = require_reserved(buffer, offset, bytes);
        require_pointer(stream, "stream");
        require_same_context(*buffer, "buffer", *stream);
        require_not_capturing(*stream);
        stream->backend().stream_synchronize(stream->device);
        memory.unmap(offset, bytes);
    });
}

uint64_t adze_buffer_granularity(const adze_buffer* buffer) {
    return buffer == nullptr || buffer->reserved == nullptr ? 0 : buffer->reserved->granularity();
}

adze_status adze_buffer_destroy(adze_buffer* buffer) {
    return guarded(__func__, [&] { destroy(buffer); });
}

void* adze_buffer_data(const adze_buffer* buffer) {
    return buffer == nullptr || buffer->bytes == 0 ? nullptr : buffer->data;
}

uint64_t adze_buffer_bytes(const adze_buffer* buffer) {
    return buffer == nullptr ? 0 : buffer->bytes;
}

adze_status adze_buffer_write(adze_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes,
                              adze_stream* stream) {
    return guarded(__func__, [&] {
        require_transfer(buffer, offset, bytes, stream, "buffer");
        if (bytes == 0) return;
        require_pointer(source, "source");
        buffer->backend().write(stream->device, at(*buffer, offset), source, bytes);
    });
}

adze_status adze_buffer_read(const adze_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes,
                             adze_stream* stream) {
    return guarded(__func__, [&] {
        require_transfer(buffer, offset, bytes, stream, "buffer");
        if (bytes == 0) return;
        require_pointer(destination, "destination");
        buffer->backend().read(stream->device, destination, at(*buffer, offset), bytes);
    });
}

adze_status adze_buffer_copy(adze_buffer* destination, uint64_t destination_offset, const adze_buffer* source,
                             uint64_t source_offset, uint64_t bytes, adze_stream* stream) {
    return guarded(__func__, [&] {
        require_transfer(destination, destination_offset, bytes, stream, "destination");
        require_transfer(source, source_offset, bytes, stream, "source");
        if (bytes == 0) return;
        const char* to = at(*destination, destination_offset);
        const char* from = at(*source, source_offset);
        require(to + bytes <= from || from + bytes <= to,
                "source and destination overlap: %" PRIu64 " bytes at %p and %p", bytes, static_cast<const void*>(from),
                static_cast<const void*>(to));
        destination->backend().copy(stream->device, at(*destination, destination_offset), from, bytes);
    });
}

adze_status adze_buffer_fill(adze_buffer* buffer, uint64_t offset, uint8_t value, uint64_t bytes, adze_stream* stream) {
    return guarded(__func__, [&] {
        require_transfer(buffer, offset, bytes, stream, "buffer");
        if (bytes != 0) buffer->backend().fill(stream->device, at(*buffer, offset), value, bytes);
    });
}

}  // extern "C"
