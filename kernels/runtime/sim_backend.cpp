// The sim backend, a plug-in: the GPU kernels run by the simulator (device/sim), on devices 0 (sm_80), 1 (sm_90a),
// 2 (gfx90a) and 3 (sm_89). Device memory is host memory that the simulator watches.
#include <cinttypes>
#include <cstring>
#include <mutex>

#include "device/sim/device.h"
#include "runtime/gpu_operators.h"
#include "runtime/host_addresses.h"
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
    SimDeviceContext(const sim::SimDevice& device_, const adze_context_desc& desc)
        : device(device_),
          deterministic((desc.flags & ADZE_CONTEXT_DETERMINISTIC) != 0),
          operators(kOperators[device_.index]()),
          simulator(device_, desc.num_threads) {}
    const sim::SimDevice& device;
    const bool deterministic;
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

// A graph holds launches, as a device's does, and what they refuse is refused when the call is captured.
template <auto GpuOperators::*kOperator, class Params>
void run(DeviceStream* stream, const Params& params) {
    SimDeviceContext& context = Streams::context_of(stream);
    std::vector<sim::Launch> launches;
    LaunchStream collecting(context.simulator, launches, Streams::is_capturing(stream));
    (context.operators.*kOperator)(collecting, params);
    Streams::submit(stream, [params, launches = std::move(launches)](SimDeviceContext& on) {
        require_indices(params);
        for (const sim::Launch& launch : launches) on.simulator.run(launch);
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
    return reinterpret_cast<DeviceContext*>(new SimDeviceContext(sim::sim_device(desc.device), desc));
}

void context_destroy(DeviceContext* context) {
    delete &of(context);
}

void context_info(const DeviceContext* context, adze_device_info& info) {
    fill_info(of(context).device, info);
}

[[noreturn]] void fail_out_of_memory(uint64_t bytes) {
    fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; the host has no such memory", bytes);
}

void require_fits(DeviceContext* context, uint64_t bytes) {
    const sim::SimDevice& device = of(context).device;
    if (bytes > device.memory_bytes) {
        fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %" PRIu64 "; %s has %" PRIu64, bytes, device.name,
             device.memory_bytes);
    }
}

void* allocate(DeviceContext* context, uint64_t bytes) {
    require_fits(context, bytes);
    void* data = sim::sim_allocate(bytes);
    if (data == nullptr) fail_out_of_memory(bytes);
    return data;
}

void release(DeviceContext*, void* data) {
    sim::sim_release(data);
}

uint64_t granularity(DeviceContext*) {
    return kHugePage;
}

void* reserve(DeviceContext*, uint64_t bytes) {
    void* data = sim::sim_reserve(bytes);
    if (data == nullptr) fail_out_of_memory(bytes);
    return data;
}

void unreserve(DeviceContext*, void* data, uint64_t) {
    sim::sim_release(data);
}

void map(DeviceContext* context, void* data, uint64_t bytes) {
    require_fits(context, bytes);
    if (!sim::sim_map(data, bytes)) fail_out_of_memory(bytes);
}

void unmap(DeviceContext*, void* data, uint64_t bytes) {
    if (!sim::sim_unmap(data, bytes)) fail_out_of_memory(bytes);
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

uint64_t sampling_workspace(const DeviceContext* context, int64_t rows, int64_t vocabulary) {
    return of(context).operators.sampling_workspace(rows, vocabulary);
}

void require_attention(const DeviceContext* context, const AttentionShape& shape) {
    of(context).operators.require_attention(shape);
}

AttentionSplit attention_split(const DeviceContext* context, const AttentionShape& shape) {
    return of(context).operators.attention_split(shape, of(context).device.arch, of(context).device.num_processors,
                                                 of(context).deterministic);
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

constexpr BackendTable make_table() {
    BackendTable table = Streams::table();
    table.kind = ADZE_BACKEND_SIM;
    table.device_count = device_count;
    table.has_usable_device = [] { return true; };
    table.device_info = device_info;
    table.context_create = context_create;
    table.context_destroy = context_destroy;
    table.context_info = context_info;
    table.allocate = allocate;
    table.release = release;
    table.granularity = granularity;
    table.reserve = reserve;
    table.unreserve = unreserve;
    table.map = map;
    table.unmap = unmap;
    table.launch_counters = launch_counters;
    table.device_plans = true;
    table.weight_bytes = weight_bytes;
    table.linear_workspace = linear_workspace;
    table.sampling_workspace = sampling_workspace;
    table.require_attention = require_attention;
    table.attention_split = attention_split;
    table.pack_weight = pack_weight;
    table.linear = run<&GpuOperators::linear>;
    table.attention = run<&GpuOperators::attention>;
    table.attention_merge = run<&GpuOperators::attention_merge>;
    table.kv_append = run<&GpuOperators::kv_append>;
    table.embedding = run<&GpuOperators::embedding>;
    table.rms_norm = run<&GpuOperators::rms_norm>;
    table.rope = run<&GpuOperators::rope>;
    table.silu_gate = run<&GpuOperators::silu_gate>;
    table.sampling = run<&GpuOperators::sampling>;
    return table;
}

constexpr BackendTable kTable = make_table();

const BackendTable* open(const HostServices& services) {
    set_host(services);
    return &kTable;
}

}  // namespace
}  // namespace adze

extern "C" __attribute__((visibility("default"))) const adze::Plugin adze_plugin;
const adze::Plugin adze_plugin{ADZE_INTERFACE_HASH, adze::open};
