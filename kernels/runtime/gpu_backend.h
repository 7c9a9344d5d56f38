// A backend over a GPU vendor's runtime. CUDA's and HIP's have the same calls under two names; `Api` spells them (see
// cuda_backend.cpp), and everything else is here. Each call's result is checked, and a failure says which call it was.
#pragma once

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backend.h"
#include "runtime/check.h"
#include "runtime/gpu_code.h"
#include "runtime/gpu_operators.h"

namespace adze {

// ADZE_GPU(StreamSynchronize, stream) calls cudaStreamSynchronize or hipStreamSynchronize.
#define ADZE_GPU(call, ...) check_call(Api::call(__VA_ARGS__), #call)

// The calls that have one form under both prefixes.
#define ADZE_GPU_CALLS(prefix)                                                                       \
    static constexpr auto GetErrorName = prefix##GetErrorName;                                       \
    static constexpr auto GetErrorString = prefix##GetErrorString;                                   \
    static constexpr auto GetLastError = prefix##GetLastError;                                       \
    static constexpr auto GetDeviceCount = prefix##GetDeviceCount;                                   \
    static constexpr auto Free = prefix##Free;                                                       \
    static constexpr auto MemGetInfo = prefix##MemGetInfo;                                           \
    static constexpr auto MemcpyAsync = prefix##MemcpyAsync;                                         \
    static constexpr auto Memcpy2DAsync = prefix##Memcpy2DAsync;                                     \
    static constexpr auto MemsetAsync = prefix##MemsetAsync;                                         \
    static constexpr auto StreamCreateWithFlags = prefix##StreamCreateWithFlags;                     \
    static constexpr auto StreamSynchronize = prefix##StreamSynchronize;                             \
    static constexpr auto StreamWaitEvent = prefix##StreamWaitEvent;                                 \
    static constexpr auto EventCreateWithFlags = prefix##EventCreateWithFlags;                       \
    static constexpr auto EventDestroy = prefix##EventDestroy;                                       \
    static constexpr auto EventSynchronize = prefix##EventSynchronize;                               \
    static constexpr auto EventElapsedTime = prefix##EventElapsedTime;                               \
    static constexpr auto ThreadExchangeStreamCaptureMode = prefix##ThreadExchangeStreamCaptureMode; \
    static constexpr auto StreamBeginCapture = prefix##StreamBeginCapture;                           \
    static constexpr auto StreamEndCapture = prefix##StreamEndCapture;                               \
    static constexpr auto GraphInstantiateWithFlags = prefix##GraphInstantiateWithFlags;             \
    static constexpr auto GraphLaunch = prefix##GraphLaunch;                                         \
    static constexpr auto GraphDestroy = prefix##GraphDestroy;                                       \
    static constexpr auto GraphExecDestroy = prefix##GraphExecDestroy

template <class Api>
class GpuBackend {
    using Error = typename Api::Error;

    struct Device {
        int32_t index;
        std::string name, architecture;
        uint64_t memory_bytes;
        uint64_t shared_bytes;
        int num_processors, warp_size;
        const GpuCode* code;  // NULL: nothing was built for it
    };

    struct Context {
        const Device* device;
        typename Api::Limits limits;
        typename Api::DeviceHandle handle;
        bool deterministic;
    };

    struct Stream {
        Context* context;
        typename Api::Stream native;
        bool owned;
    };

    struct Event {
        Context* context;
        typename Api::Event native;
    };

    struct Graph {
        Context* context;
        typename Api::GraphExec native;
    };

    // Makes a device the thread's current one, and afterwards leaves the thread as it was. Meanwhile the thread may do
    // what a capture of somebody else's forbids it, such as taking memory: no work that is captured depends on it.
    class OnDevice {
    public:
        explicit OnDevice(const Context& context) {
            ADZE_GPU(EnterDevice, context.handle, &before_);
            ignore(Api::ThreadExchangeStreamCaptureMode(&mode_));
        }
        ~OnDevice() {
            ignore(Api::ThreadExchangeStreamCaptureMode(&mode_));
            ignore(Api::LeaveDevice(before_));
        }
        OnDevice(const OnDevice&) = delete;
        OnDevice& operator=(const OnDevice&) = delete;

    private:
        typename Api::DeviceHandle before_{};
        typename Api::CaptureMode mode_ = Api::kCaptureRelaxed;
    };

    // Memory for as long as a call takes.
    class Scratch {
    public:
        Scratch(Context& context, uint64_t bytes) : data_(allocate_bytes(context, bytes)) {}
        ~Scratch() { ignore(Api::Free(data_)); }
        Scratch(const Scratch&) = delete;
        Scratch& operator=(const Scratch&) = delete;
        void* data() const { return data_; }
        void free() { ADZE_GPU(Free, std::exchange(data_, nullptr)); }

    private:
        void* data_;
    };

public:
    static const BackendTable& table() {
        static constexpr BackendTable kTable = make_table();
        return kTable;
    }

private:
    static Context& of(DeviceContext* context) { return *reinterpret_cast<Context*>(context); }
    static const Context& of(const DeviceContext* context) { return *reinterpret_cast<const Context*>(context); }
    static Stream& of(DeviceStream* stream) { return *reinterpret_cast<Stream*>(stream); }
    static Event& of(DeviceEvent* event) { return *reinterpret_cast<Event*>(event); }
    static Graph& of(DeviceGraph* graph) { return *reinterpret_cast<Graph*>(graph); }

    static void check_call(Error error, const char* call) {
        if (error == Api::kSuccess) return;
        ignore(error);
        const adze_status status = error == Api::kOutOfMemory    ? ADZE_ERROR_OUT_OF_MEMORY
                                   : error == Api::kNotSupported ? ADZE_ERROR_NOT_SUPPORTED
                                                                 : ADZE_ERROR_DEVICE;
        fail(status, "%s%s: %s, %s", Api::kName, call, Api::GetErrorName(error), Api::GetErrorString(error));
    }

    // The runtime remembers an error for whoever asks next: that should not be another call's check.
    static void ignore(Error error) {
        if (error != Api::kSuccess) static_cast<void>(Api::GetLastError());
    }

    // ---- devices ----

    static std::vector<Device> read_devices() {
        int count = 0;
        const Error error = Api::GetDeviceCount(&count);
        if (error == Api::kNoDevice || error == Api::kNoDriver) {
            ignore(error);
            return {};
        }
        check_call(error, "GetDeviceCount");
        std::vector<Device> devices;
        for (int i = 0; i < count; ++i) {
            typename Api::Properties properties;
            ADZE_GPU(GetDeviceProperties, &properties, i);
            devices.push_back({i, properties.name, Api::architecture(properties), properties.totalGlobalMem,
                               Api::shared_bytes(properties), properties.multiProcessorCount, properties.warpSize,
                               Api::find_code(properties)});
        }
        return devices;
    }

    static const std::vector<Device>& devices() {
        static const std::vector<Device> list = read_devices();
        return list;
    }

    static const Device& find_device(int32_t index) {
        if (devices().empty()) {
            int count = 0;
            const Error error = Api::GetDeviceCount(&count);
            ignore(error);
            fail(ADZE_ERROR_UNAVAILABLE, "backend %s has no device: %sGetDeviceCount: %s, %s", Api::kName, Api::kName,
                 Api::GetErrorName(error), Api::GetErrorString(error));
        }
        return devices().at(static_cast<size_t>(index));
    }

    static int32_t device_count() { return static_cast<int32_t>(devices().size()); }

    static bool has_usable_device() {
        for (const Device& device : devices()) {
            if (device.code != nullptr) return true;
        }
        return false;
    }

    static void fill_info(const Device& device, adze_device_info& info) {
        info.backend = Api::kBackend;
        info.device = device.index;
        info.num_processors = device.num_processors;
        info.name = device.name.c_str();
        info.architecture = device.architecture.c_str();
        info.memory_bytes = device.memory_bytes;
        info.shared_memory_per_block = device.shared_bytes;
        info.warp_size = device.warp_size;
    }

    static void device_info(int32_t index, adze_device_info& info) { fill_info(find_device(index), info); }

    // ---- contexts and memory ----

    static DeviceContext* context_create(const adze_context_desc& desc) {
        const Device& device = find_device(desc.device);
        if (device.code == nullptr) {
            fail(ADZE_ERROR_UNAVAILABLE, "device %d is %s, %s; this library holds code for %s", device.index,
                 device.name.c_str(), device.architecture.c_str(), Api::kBuiltFor);
        }
        auto context = std::make_unique<Context>(
            Context{&device,
                    {device.code->arch, device.num_processors, static_cast<int64_t>(device.shared_bytes)},
                    {},
                    (desc.flags & ADZE_CONTEXT_DETERMINISTIC) != 0});
        ADZE_GPU(KeepDevice, device.index, &context->handle);
        const OnDevice scope(*context);
        ADZE_GPU(Free, nullptr);  // readies the device for the runtime, or says why it cannot
        return reinterpret_cast<DeviceContext*>(context.release());
    }

    static void context_destroy(DeviceContext* context) { delete &of(context); }

    static void context_info(const DeviceContext* context, adze_device_info& info) {
        fill_info(*of(context).device, info);
    }

    static void* allocate_bytes(Context& context, uint64_t bytes) {
        void* data = nullptr;
        check_allocation(context, Api::Malloc(&data, bytes), bytes, "Malloc");
        return data;
    }

    static void check_allocation(const Context& context, Error error, uint64_t bytes, const char* call) {
        if (error != Api::kOutOfMemory) return check_call(error, call);
        ignore(error);
        size_t available = 0, total = 0;
        ignore(Api::MemGetInfo(&available, &total));
        fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; device %d, %s, has %zu of %zu free", bytes,
             context.device->index, context.device->name.c_str(), available, total);
    }

    static void* allocate(DeviceContext* context, uint64_t bytes) {
        const OnDevice scope(of(context));
        return allocate_bytes(of(context), bytes);
    }

    static void release(DeviceContext* context, void* data) {
        const OnDevice scope(of(context));
        ADZE_GPU(Free, data);
    }

    // ---- memory by granules: each has a handle of its own, since what was mapped together goes together only ----

    static uint64_t granularity(DeviceContext* context) {
        constexpr size_t kLeast = 2 << 20;  // smaller ones would be too many
        const OnDevice scope(of(context));
        size_t bytes = 0;
        ADZE_GPU(GetGranularity, &bytes, of(context).device->index);
        return std::max(bytes, kLeast);
    }

    static void* reserve(DeviceContext* context, uint64_t bytes) {
        const uint64_t granule = granularity(context);
        const OnDevice scope(of(context));
        void* data = nullptr;
        ADZE_GPU(ReserveAddresses, &data, bytes, granule);
        return data;
    }

    static void unreserve(DeviceContext* context, void* data, uint64_t bytes) {
        try {
            const OnDevice scope(of(context));
            ignore(Api::FreeAddresses(data, bytes));
        } catch (...) {
        }
    }

    static void map(DeviceContext* context, void* data, uint64_t bytes) {
        const uint64_t granule = granularity(context);
        const OnDevice scope(of(context));
        const int device = of(context).device->index;
        uint64_t mapped = 0;
        try {
            for (; mapped < bytes; mapped += granule) {
                check_allocation(of(context), Api::MapMemory(static_cast<char*>(data) + mapped, granule, device), bytes,
                                 "MapMemory");
            }
            ADZE_GPU(AllowAccess, data, bytes, device);
        } catch (...) {
            while (mapped > 0) ignore(Api::UnmapMemory(static_cast<char*>(data) + (mapped -= granule), granule));
            throw;
        }
    }

    static void unmap(DeviceContext* context, void* data, uint64_t bytes) {
        const uint64_t granule = granularity(context);
        const OnDevice scope(of(context));
        for (uint64_t at = 0; at < bytes; at += granule) {
            ADZE_GPU(UnmapMemory, static_cast<char*>(data) + at, granule);
        }
    }

    // ---- transfers ----

    static void* allocate_host(DeviceContext* context, uint64_t bytes) {
        const OnDevice scope(of(context));
        void* data = nullptr;
        ADZE_GPU(MallocHost, &data, bytes);
        return data;
    }

    static void release_host(DeviceContext* context, void* data) {
        try {
            const OnDevice scope(of(context));
            ignore(Api::FreeHost(data));
        } catch (...) {
        }
    }

    static void transfer(DeviceStream* stream, void* to, const void* from, uint64_t bytes,
                         typename Api::CopyKind kind) {
        const OnDevice scope(*of(stream).context);
        ADZE_GPU(MemcpyAsync, to, from, bytes, kind, of(stream).native);
    }
    static void write(DeviceStream* stream, void* device, const void* host, uint64_t bytes) {
        transfer(stream, device, host, bytes, Api::kHostToDevice);
    }
    static void read(DeviceStream* stream, void* host, const void* device, uint64_t bytes) {
        transfer(stream, host, device, bytes, Api::kDeviceToHost);
    }
    static void copy(DeviceStream* stream, void* destination, const void* source, uint64_t bytes) {
        transfer(stream, destination, source, bytes, Api::kDeviceToDevice);
    }

    static void fill(DeviceStream* stream, void* device, uint8_t value, uint64_t bytes) {
        const OnDevice scope(*of(stream).context);
        ADZE_GPU(MemsetAsync, device, value, bytes, of(stream).native);
    }

    // ---- streams and graphs ----

    // Of objects without memory of the device's: that does not fail.
    template <auto kCall, class Object>
    static void destroy(const Object& object) {
        try {
            const OnDevice scope(*object.context);
            ignore(kCall(object.native));
        } catch (...) {
        }
    }

    static typename Api::Stream make_stream() {
        typename Api::Stream native;
        ADZE_GPU(StreamCreateWithFlags, &native, Api::kStreamNonBlocking);
        return native;
    }

    static DeviceStream* stream_create(DeviceContext* context, void* native) {
        auto stream = std::make_unique<Stream>(Stream{&of(context), static_cast<typename Api::Stream>(native), false});
        if (native == nullptr) {
            const OnDevice scope(of(context));
            stream->native = make_stream();
            stream->owned = true;
        }
        return reinterpret_cast<DeviceStream*>(stream.release());
    }

    static void stream_destroy(DeviceStream* stream) {
        if (of(stream).owned) destroy<Api::StreamDestroy>(of(stream));
        delete &of(stream);
    }

    static void stream_synchronize(DeviceStream* stream) {
        const OnDevice scope(*of(stream).context);
        ADZE_GPU(StreamSynchronize, of(stream).native);
    }

    static bool is_capturing(DeviceStream* stream) {
        try {
            const OnDevice scope(*of(stream).context);
            return LaunchStream(of(stream).native, of(stream).context->limits).capturing();
        } catch (...) {
            return false;
        }
    }

    static void stream_wait_event(DeviceStream* stream, DeviceEvent* event) {
        const OnDevice scope(*of(stream).context);
        if (is_capturing(stream)) {
            ADZE_GPU(WaitInGraph, of(stream).native, of(event).native);
        } else {
            ADZE_GPU(StreamWaitEvent, of(stream).native, of(event).native, 0);
        }
    }

    // Relaxed: a stream may change threads in the midst of a capture, and memory may be allocated meanwhile.
    static void begin_capture(DeviceStream* stream) {
        const OnDevice scope(*of(stream).context);
        ADZE_GPU(StreamBeginCapture, of(stream).native, Api::kCaptureRelaxed);
    }

    static DeviceGraph* end_capture(DeviceStream* stream) {
        const OnDevice scope(*of(stream).context);
        auto graph = std::make_unique<Graph>(Graph{of(stream).context, nullptr});
        typename Api::Graph recorded = nullptr;
        ADZE_GPU(StreamEndCapture, of(stream).native, &recorded);
        const Error error = Api::GraphInstantiateWithFlags(&graph->native, recorded, 0);
        ignore(Api::GraphDestroy(recorded));
        check_call(error, "GraphInstantiateWithFlags");
        return reinterpret_cast<DeviceGraph*>(graph.release());
    }

    static void graph_launch(DeviceGraph* graph, DeviceStream* stream) {
        const OnDevice scope(*of(stream).context);
        ADZE_GPU(GraphLaunch, of(graph).native, of(stream).native);
    }

    static void graph_destroy(DeviceGraph* graph) {
        destroy<Api::GraphExecDestroy>(of(graph));
        delete &of(graph);
    }

    // ---- events ----

    static DeviceEvent* event_create(DeviceContext* context) {
        const OnDevice scope(of(context));
        auto event = std::make_unique<Event>(Event{&of(context), nullptr});
        ADZE_GPU(EventCreateWithFlags, &event->native, Api::kEventDefault);
        return reinterpret_cast<DeviceEvent*>(event.release());
    }

    static void event_destroy(DeviceEvent* event) {
        destroy<Api::EventDestroy>(of(event));
        delete &of(event);
    }

    static void event_record(DeviceEvent* event, DeviceStream* stream) {
        const OnDevice scope(*of(stream).context);
        if (is_capturing(stream)) {
            ADZE_GPU(RecordInGraph, of(stream).native, of(event).native);
        } else {
            ADZE_GPU(EventRecord, of(event).native, of(stream).native);
        }
    }

    static void event_synchronize(DeviceEvent* event) {
        const OnDevice scope(*of(event).context);
        ADZE_GPU(EventSynchronize, of(event).native);
    }

    static double event_elapsed(DeviceEvent* start, DeviceEvent* end) {
        const OnDevice scope(*of(start).context);
        float milliseconds = 0;
        const Error error = Api::EventElapsedTime(&milliseconds, of(start).native, of(end).native);
        if (error == Api::kNotReady || error == Api::kInvalidHandle) {  // the latter: never recorded
            ignore(error);
            return NAN;
        }
        check_call(error, "EventElapsedTime");
        return 1000.0 * static_cast<double>(milliseconds);
    }

    // ---- operators ----

    static uint64_t weight_bytes(const DeviceContext*, adze_dtype dtype, int64_t n, int64_t k) {
        return Api::operators().weight_bytes(dtype, n, k);
    }
    static uint64_t linear_workspace(const DeviceContext*, const WeightView& weight, int64_t rows) {
        return Api::operators().linear_workspace(weight, rows);
    }
    static uint64_t sampling_workspace(const DeviceContext*, int64_t rows, int64_t vocabulary) {
        return Api::operators().sampling_workspace(rows, vocabulary);
    }
    static void require_attention(const DeviceContext*, const AttentionShape& shape) {
        Api::operators().require_attention(shape);
    }
    static AttentionSplit attention_split(const DeviceContext* context, const AttentionShape& shape) {
        const Device& device = *of(context).device;
        return Api::operators().attention_split(shape, device.code->arch, device.num_processors,
                                                of(context).deterministic);
    }

    // A row-major matrix in host memory becomes a dense one in device memory.
    static void upload(void* to, const void* from, size_t row_bytes, size_t stride_bytes, size_t rows,
                       typename Api::Stream stream) {
        constexpr size_t kMaxPitch = INT32_MAX;  // of two-dimensional copies
        if (stride_bytes == row_bytes) {
            ADZE_GPU(MemcpyAsync, to, from, rows * row_bytes, Api::kHostToDevice, stream);
        } else if (stride_bytes <= kMaxPitch) {
            ADZE_GPU(Memcpy2DAsync, to, row_bytes, from, stride_bytes, row_bytes, rows, Api::kHostToDevice, stream);
        } else {
            for (size_t row = 0; row < rows; ++row) {
                ADZE_GPU(MemcpyAsync, static_cast<char*>(to) + row * row_bytes,
                         static_cast<const char*>(from) + row * stride_bytes, row_bytes, Api::kHostToDevice, stream);
            }
        }
    }

    static void pack_weight(DeviceContext* context, const void* source, int64_t row_stride, const WeightView& packed) {
        const OnDevice scope(of(context));
        const auto element = static_cast<size_t>(dtype_bytes(packed.dtype));
        const size_t row_bytes = static_cast<size_t>(packed.k) * element;
        const auto rows = static_cast<size_t>(packed.n);
        struct Temporary {  // waits at the end, whatever happened, before the scratch goes
            typename Api::Stream native = make_stream();
            ~Temporary() {
                ignore(Api::StreamSynchronize(native));
                ignore(Api::StreamDestroy(native));
            }
        };
        Scratch scratch(of(context), rows * row_bytes);
        const Temporary stream;
        upload(scratch.data(), source, row_bytes, static_cast<size_t>(row_stride) * element, rows, stream.native);
        LaunchStream launches(stream.native, of(context).limits);
        Api::operators().pack_weight(launches, scratch.data(), packed.k, packed);
        ADZE_GPU(StreamSynchronize, stream.native);
        scratch.free();
    }

    template <auto GpuOperators::*kOperator, class Params>
    static void run(DeviceStream* stream, const Params& params) {
        const OnDevice scope(*of(stream).context);
        LaunchStream launches(of(stream).native, of(stream).context->limits);
        (Api::operators().*kOperator)(launches, params);
    }

    static constexpr BackendTable make_table() {
        return {
            .kind = Api::kBackend,
            .device_count = device_count,
            .has_usable_device = has_usable_device,
            .device_info = device_info,
            .context_create = context_create,
            .context_destroy = context_destroy,
            .context_info = context_info,
            .allocate = allocate,
            .release = release,
            .granularity = granularity,
            .reserve = reserve,
            .unreserve = unreserve,
            .map = map,
            .unmap = unmap,
            .allocate_host = allocate_host,
            .release_host = release_host,
            .write = write,
            .read = read,
            .copy = copy,
            .fill = fill,
            .stream_create = stream_create,
            .stream_destroy = stream_destroy,
            .stream_synchronize = stream_synchronize,
            .stream_wait_event = stream_wait_event,
            .is_capturing = is_capturing,
            .begin_capture = begin_capture,
            .end_capture = end_capture,
            .graph_launch = graph_launch,
            .graph_destroy = graph_destroy,
            .event_create = event_create,
            .event_destroy = event_destroy,
            .event_record = event_record,
            .event_synchronize = event_synchronize,
            .event_elapsed = event_elapsed,
            .launch_counters = nullptr,
            .device_plans = true,
            .checks_indices = false,
            .weight_bytes = weight_bytes,
            .linear_workspace = linear_workspace,
            .sampling_workspace = sampling_workspace,
            .require_attention = require_attention,
            .attention_split = attention_split,
            .pack_weight = pack_weight,
            .linear = run<&GpuOperators::linear>,
            .attention = run<&GpuOperators::attention>,
            .attention_merge = run<&GpuOperators::attention_merge>,
            .kv_append = run<&GpuOperators::kv_append>,
            .embedding = run<&GpuOperators::embedding>,
            .rms_norm = run<&GpuOperators::rms_norm>,
            .rope = run<&GpuOperators::rope>,
            .silu_gate = run<&GpuOperators::silu_gate>,
            .sampling = run<&GpuOperators::sampling>,
        };
    }
};

#undef ADZE_GPU

}  // namespace adze
