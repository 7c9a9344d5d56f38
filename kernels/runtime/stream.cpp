#include <cmath>
#include <memory>

#include "runtime/objects.h"

using namespace adze;

extern "C" {

adze_status adze_stream_create(adze_context* context, adze_stream** stream) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        *stream = nullptr;
        require_pointer(context, "context");
        auto made = std::make_unique<adze_stream>(context);
        made->device = context->backend->stream_create(context->device, nullptr);
        *stream = made.release();
    });
}

adze_status adze_stream_adopt(adze_context* context, void* native_stream, adze_stream** stream) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        *stream = nullptr;
        require_pointer(context, "context");
        require_pointer(native_stream, "native_stream");
        auto made = std::make_unique<adze_stream>(context);
        made->device = context->backend->stream_create(context->device, native_stream);
        made->adopted = true;
        *stream = made.release();
    });
}

adze_status adze_stream_destroy(adze_stream* stream) {
    return guarded(__func__, [&] {
        if (stream == nullptr) return;
        if (!stream->adopted) require_not_capturing(*stream);
        delete stream;
    });
}

adze_status adze_stream_synchronize(adze_stream* stream) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        require_not_capturing(*stream);
        stream->backend().stream_synchronize(stream->device);
    });
}

adze_status adze_stream_wait_event(adze_stream* stream, adze_event* event) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        require_pointer(event, "event");
        require_same_context(*event, "event", *stream);
        stream->backend().stream_wait_event(stream->device, event->device);
    });
}

adze_status adze_event_create(adze_context* context, adze_event** event) {
    return guarded(__func__, [&] {
        require_pointer(event, "event");
        *event = nullptr;
        require_pointer(context, "context");
        auto made = std::make_unique<adze_event>(context);
        made->device = context->backend->event_create(context->device);
        *event = made.release();
    });
}

adze_status adze_event_destroy(adze_event* event) {
    return guarded(__func__, [&] { delete event; });
}

adze_status adze_event_record(adze_event* event, adze_stream* stream) {
    return guarded(__func__, [&] {
        require_pointer(event, "event");
        require_pointer(stream, "stream");
        require_same_context(*event, "event", *stream);
        stream->backend().event_record(event->device, stream->device);
    });
}

adze_status adze_event_synchronize(adze_event* event) {
    return guarded(__func__, [&] {
        require_pointer(event, "event");
        event->backend().event_synchronize(event->device);
    });
}

adze_status adze_event_elapsed(adze_event* start, adze_event* end, double* microseconds) {
    return guarded(__func__, [&] {
        require_pointer(start, "start");
        require_pointer(end, "end");
        require_pointer(microseconds, "microseconds");
        require(start->context == end->context, "start and end belong to different contexts");
        const double elapsed = start->backend().event_elapsed(start->device, end->device);
        if (std::isnan(elapsed))
            fail(ADZE_ERROR_INVALID_STATE, "start or end was not recorded, or has not happened yet");
        *microseconds = elapsed;
    });
}

adze_status adze_stream_begin_capture(adze_stream* stream) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        require_not_capturing(*stream);
        stream->backend().begin_capture(stream->device);
    });
}

adze_status adze_stream_end_capture(adze_stream* stream, adze_graph** graph) {
    return guarded(__func__, [&] {
        require_pointer(graph, "graph");
        *graph = nullptr;
        require_pointer(stream, "stream");
        if (!stream->is_capturing()) fail(ADZE_ERROR_INVALID_STATE, "the stream is not capturing");
        auto made = std::make_unique<adze_graph>(stream->context);
        made->device = stream->backend().end_capture(stream->device);
        *graph = made.release();
    });
}

adze_status adze_graph_launch(adze_graph* graph, adze_stream* stream) {
    return guarded(__func__, [&] {
        require_pointer(graph, "graph");
        require_pointer(stream, "stream");
        require_same_context(*graph, "graph", *stream);
        require_not_capturing(*stream);
        graph->backend().graph_launch(graph->device, stream->device);
    });
}

adze_status adze_graph_destroy(adze_graph* graph) {
    return guarded(__func__, [&] { delete graph; });
}

}  // extern "C"
