// The sim backend, a plug-in: the GPU kernels run by the simulator (device/sim), on devices 0 (sm_80), 1 (sm_90a),
// 2 (gfx90a) and 3 (sm_89). Device memory is host memory that the simulator watches.
#include <cinttypes>
#include <cstring>
#include <mutex>

#include "device/sim/device.h"
#include "runtime/gpu_operators.h"
#include "runtime/host_streams.h"
#include "runtime/plugin_fail.h"
#include "sim_devices.h"

namespace adze {

// The operators of each device: the same sources, compiled once for each (kernels/simulator.cmake).
#define ADZE_DECLARE_SIM_OPERATORS(target) \
    inline namespace target {              \
    const GpuOperators& gpu_operators();   \
    }
ADZE_FOR_SIM_DEVICES(ADZE_DECLARE_SIM_OPERATORS)
#undef ADZE_DECLARE_SIM_OPERATORS

namespace {

// In the order of the devices.
#define ADZE_OPERATORS_OF(target) target::gpu_operators,
constexpr const GpuOperators& (*kOperators[sim::kNumDevices])() = {ADZE_FOR_SIM_DEVICES(ADZE_OPERATORS_OF)};
#undef ADZE_OPERATORS_OF

struct SimDeviceContext {
    static constexpr const char* kName = "sim";
    // While a graph's calls are made again.
    struct Replay {
        explicit Replay(SimDeviceContext& of) : context(of) { context.simulator.replaying = true; }
        ~Replay() { context.simulator.replaying = false; }
        SimDeviceContext& context;
    };
    SimDeviceContext(const sim::SimDevice& device_, int threads)
        : device(device_), operators(kOperators[device_.index]()), simulator(device_, threads) {}
    const sim::SimDevice& device;
    const GpuOperators& operators;
    sim::SimContext simulator;
    std::mutex mutex;
};
using Streams = HostStreams<SimDeviceContext>;

SimDeviceContext& of(DeviceContext* context) {
    return *reinterpret_cast<SimDeviceContext*>(context);
}
const SimDeviceContext& of(const DeviceContext* context) {
    return *reinterpret_cast<const SimDeviceContext*>(context);
}

template <auto GpuOperators::*kOperator, class Params>
void run(DeviceStream* stream, const Params& params) {
    Streams::submit(stream, [params](SimDeviceContext& context) {
        require_indices(params);
        LaunchStream launches(context.simulator);
        (context.operators.*kOperator)(launches, params);
    });
}

int32_t device_count() {
    return sim::kNumDevices;
}

void fill_info(const sim::SimDevice& device, adze_device_info& info) {
    info.backend = ADZE_BACKEND_SIM;
    info.device = device.index;
    info.num_processors = device.num_processors;
    info.name = device.name;
    info.architecture = device.architecture;
    info.memory_bytes = device.memory_bytes;
    info.shared_memory_per_block = static_cast<uint64_t>(device.shared_limit);
    info.warp_size = device.warp_size;
}

void device_info(int32_t index, adze_device_info& info) {
    fill_info(sim::sim_device(index), info);
}

DeviceContext* context_create(const adze_context_desc& desc) {
    return reinterpret_cast<DeviceContext*>(new SimDeviceContext(sim::sim_device(desc.device), desc.num_threads));
}

void context_destroy(DeviceContext* context) {
    delete &of(context);
}

void context_info(const DeviceContext* context, adze_device_info& info) {
    fill_info(of(context).device, info);
}

void* allocate(DeviceContext* context, uint64_t bytes) {
    const sim::SimDevice& device = of(context).device;
    if (bytes > device.memory_bytes) {
        fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; %s has %" PRIu64, bytes, device.name,
             device.memory_bytes);
    }
    void* data = sim::sim_allocate(bytes);
    if (data == nullptr) fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; the host has no such memory", bytes);
    return data;
}

void release(DeviceContext*, void* data) {
    sim::sim_release(data);
}

void launch_counters(DeviceContext* context, int32_t back, adze_sim_launch& launch) {
    const std::scoped_lock lock(of(context).mutex);
    const sim::LaunchRecord* record = of(context).simulator.record(static_cast<size_t>(back));
    if (record == nullptr) fail(ADZE_ERROR_INVALID_ARGUMENT, "back is %d; there have not been so many launches", back);
    const sim::Counters& counted = record->counters;
    launch.block_threads = record->block_threads;
    launch.kernel = record->kernel;
    launch.grid_x = record->grid[0];
    launch.grid_y = record->grid[1];
    launch.grid_z = record->grid[2];
    launch.shared_bytes = record->shared_bytes;
    launch.global_read_bytes = counted.global_read_bytes;
    launch.global_write_bytes = counted.global_write_bytes;
    launch.global_read_sectors = counted.global_read_sectors;
    launch.global_write_sectors = counted.global_write_sectors;
    launch.global_requests = counted.global_requests;
    launch.shared_requests = counted.shared_requests;
    launch.shared_bank_conflicts = counted.shared_bank_conflicts;
    launch.matrix_instructions = counted.matrix_instructions;
    launch.matrix_multiply_adds = counted.matrix_multiply_adds;
    launch.block_barriers = counted.block_barriers;
    launch.warp_barriers = counted.warp_barriers;
    launch.async_copy_bytes = counted.async_copy_bytes;
}

uint64_t weight_bytes(const DeviceContext* context, adze_dtype dtype, int64_t n, int64_t k) {
    return of(context).operators.weight_bytes(dtype, n, k);
}

uint64_t linear_workspace(const DeviceContext* context, const WeightView& weight, int64_t rows) {
    return of(context).operators.linear_workspace(weight, rows);
}

uint64_t attention_workspace(const DeviceContext* context, const AttentionShape& shape) {
    return of(context).operators.attention_workspace(shape);
}

uint64_t sampling_workspace(const DeviceContext* context, int64_t rows, int64_t vocabulary) {
    return of(context).operators.sampling_workspace(rows, vocabulary);
}

void require_attention(const DeviceContext* context, const AttentionShape& shape) {
    of(context).operators.require_attention(shape);
}

// Device memory for as long as a call takes.
class Scratch {
public:
    Scratch(DeviceContext* context, uint64_t bytes) : data_(allocate(context, bytes)) {}
    ~Scratch() { sim::sim_release(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    void* data() const { return data_; }

private:
    void* data_;
};

void pack_weight(DeviceContext* context, const void* source, int64_t row_stride, const WeightView& packed) {
    const auto element = static_cast<size_t>(dtype_bytes(packed.dtype));
    const size_t row_bytes = static_cast<size_t>(packed.k) * element;
    const Scratch scratch(context, static_cast<uint64_t>(packed.n) * row_bytes);
    for (int64_t row = 0; row < packed.n; ++row) {
        std::memcpy(static_cast<char*>(scratch.data()) + static_cast<size_t>(row) * row_bytes,
                    static_cast<const char*>(source) + static_cast<size_t>(row * row_stride) * element, row_bytes);
    }
    const std::scoped_lock lock(of(context).mutex);
    LaunchStream launches(of(context).simulator);
    of(context).operators.pack_weight(launches, scratch.data(), packed.k, packed);
}

constexpr BackendTable kTable{
    .kind = ADZE_BACKEND_SIM,
    .device_count = device_count,
    .has_usable_device = [] { return true; },
    .device_info = device_info,
    .context_create = context_create,
    .context_destroy = context_destroy,
    .context_info = context_info,
    .allocate = allocate,
    .release = release,
    .write = Streams::copy,
    .read = Streams::copy,
    .copy = Streams::copy,
    .fill = Streams::fill,
    .stream_create = Streams::stream_create,
    .stream_destroy = Streams::stream_destroy,
    .stream_synchronize = Streams::stream_synchronize,
    .stream_wait_event = Streams::stream_wait_event,
    .begin_capture = Streams::begin_capture,
    .end_capture = Streams::end_capture,
    .graph_launch = Streams::graph_launch,
    .graph_destroy = Streams::graph_destroy,
    .event_create = Streams::event_create,
    .event_destroy = Streams::event_destroy,
    .event_record = Streams::event_record,
    .event_synchronize = Streams::event_synchronize,
    .event_elapsed = Streams::event_elapsed,
    .launch_counters = launch_counters,
    .device_plans = true,
    .weight_bytes = weight_bytes,
    .linear_workspace = linear_workspace,
    .attention_workspace = attention_workspace,
    .sampling_workspace = sampling_workspace,
    .require_attention = require_attention,
    .pack_weight = pack_weight,
    .linear = run<&GpuOperators::linear>,
    .attention = run<&GpuOperators::attention>,
    .kv_append = run<&GpuOperators::kv_append>,
    .embedding = run<&GpuOperators::embedding>,
    .rms_norm = run<&GpuOperators::rms_norm>,
    .rope = run<&GpuOperators::rope>,
    .silu_gate = run<&GpuOperators::silu_gate>,
    .sampling = run<&GpuOperators::sampling>,
};

const BackendTable* open(const HostServices& services) {
    set_host(services);
    return &kTable;
}

}  // namespace
}  // namespace adze

extern "C" __attribute__((visibility("default"))) const adze::Plugin adze_plugin;
const adze::Plugin adze_plugin{ADZE_INTERFACE_HASH, adze::open};
