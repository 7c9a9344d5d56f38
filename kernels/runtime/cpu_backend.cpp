// The embedded backend: plain memory, streams that run at once and in order, graphs of copied calls, and the kernels of
// one instruction set.
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <string>
#if defined(__x86_64__)
    #include <cpuid.h>
#endif

#include "runtime/backend.h"
#include "runtime/check.h"
#include "runtime/cpu_kernels.h"
#include "runtime/host_addresses.h"
#include "runtime/host_streams.h"

namespace adze {
namespace {

struct Isa {
    adze_cpu_isa id;
    const char* name;
    const CpuKernels* kernels;  // NULL: not in this build
    bool (*runs_here)();
};

#ifdef ADZE_HAS_AVX512
bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
constexpr const CpuKernels *kAvx2 = &avx2::kernels, *kAvx512 = &avx512::kernels;
#else
bool has_avx2() {
    return false;
}
bool has_avx512() {
    return false;
}
constexpr const CpuKernels *kAvx2 = nullptr, *kAvx512 = nullptr;
#endif

const Isa kIsas[] = {
    // best first
    {ADZE_CPU_ISA_AVX512, "avx512", kAvx512, has_avx512},
    {ADZE_CPU_ISA_AVX2, "avx2", kAvx2, has_avx2},
    {ADZE_CPU_ISA_PORTABLE, "portable", &portable::kernels, [] { return true; }},
};

const Isa& choose_isa(adze_cpu_isa wanted) {
    for (const Isa& isa : kIsas) {
        if (wanted != ADZE_CPU_ISA_AUTO && wanted != isa.id) continue;
        if (isa.kernels != nullptr && isa.runs_here()) return isa;
        if (wanted == isa.id) {
            fail(ADZE_ERROR_UNAVAILABLE, "cpu_isa is %d; %s is not %s", static_cast<int>(wanted), isa.name,
                 isa.kernels == nullptr ? "in this build" : "on this processor");
        }
    }
    fail(ADZE_ERROR_INTERNAL, "no instruction set fits");
}

int available_cores() {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? static_cast<int>(online) : 1;
}

std::string processor_name() {
#if defined(__x86_64__)
    unsigned words[12];
    if (__get_cpuid(0x80000000u, &words[0], &words[1], &words[2], &words[3]) != 0 && words[0] >= 0x80000004u) {
        for (unsigned i = 0; i < 3; ++i) {
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
        }
        std::string name(reinterpret_cast<const char*>(words), sizeof words);
        name.resize(name.find('\0') == std::string::npos ? name.size() : name.find('\0'));
        const size_t last = name.find_last_not_of(' ');
        return last == std::string::npos ? "x86-64" : name.substr(0, last + 1);
    }
#endif
    return "cpu";
}

struct CpuContext {
    static constexpr const char* kName = "cpu";
    explicit CpuContext(const Isa& isa_, int threads) : isa(isa_), pool(threads) {}
    const Isa& isa;
    CpuPool pool;
    std::mutex mutex;
};
using Streams = HostStreams<CpuContext>;

CpuContext& cpu(DeviceContext* context) {
    return *reinterpret_cast<CpuContext*>(context);
}
const CpuContext& cpu(const DeviceContext* context) {
    return *reinterpret_cast<const CpuContext*>(context);
}

template <auto CpuKernels::*kKernel, class Params>
void run_kernel(DeviceStream* stream, const Params& params) {
    Streams::submit(stream, [params](CpuContext& context) {
        require_indices(params);
        (context.isa.kernels->*kKernel)(context.pool, params);
    });
}

int32_t device_count() {
    return 1;
}

void fill_info(const Isa& isa, adze_device_info& info) {
    static const std::string name = processor_name();
    info.backend = ADZE_BACKEND_CPU;
    info.device = 0;
    info.num_processors = available_cores();
    info.name = name.c_str();
    info.architecture = isa.name;
    info.memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
    info.shared_memory_per_block = 0;
    info.warp_size = 1;
}

void device_info(int32_t, adze_device_info& info) {
    fill_info(choose_isa(ADZE_CPU_ISA_AUTO), info);
}

DeviceContext* context_create(const adze_context_desc& desc) {
    const Isa& isa = choose_isa(desc.cpu_isa);
    const int threads = desc.num_threads == 0 ? available_cores() : desc.num_threads;
    return reinterpret_cast<DeviceContext*>(new CpuContext(isa, threads));
}

void context_destroy(DeviceContext* context) {
    delete &cpu(context);
}

void context_info(const DeviceContext* context, adze_device_info& info) {
    fill_info(cpu(context).isa, info);
}

[[noreturn]] void fail_out_of_memory(uint64_t bytes) {
    fail(ADZE_ERROR_OUT_OF_MEMORY, "bytes is %llu; the host has no such memory",
         static_cast<unsigned long long>(bytes));
}

// Large buffers in huge pages where the kernel has them: caches are read in strides of pages, and a miss of the TLB
// costs more than one of the cache.
void prefer_huge_pages(void* data, uint64_t bytes) {
    madvise(data, bytes, MADV_HUGEPAGE);  // a hint: no matter if it is not taken
}

void* allocate(DeviceContext*, uint64_t bytes) {
    const uint64_t alignment = bytes >= kHugePage ? kHugePage : 256;
    const uint64_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = rounded < bytes || rounded > INT64_MAX ? nullptr : std::aligned_alloc(alignment, rounded);
    if (data == nullptr) fail_out_of_memory(bytes);
    if (bytes >= kHugePage) prefer_huge_pages(data, rounded);
    return data;
}

void release(DeviceContext*, void* data) {
    std::free(data);
}

uint64_t granularity(DeviceContext*) {
    return kHugePage;
}

void* reserve(DeviceContext*, uint64_t bytes, uint64_t) {
    void* data = reserve_addresses(bytes);
    if (data == nullptr) fail_out_of_memory(bytes);
    return data;
}

void unreserve(DeviceContext*, void* data, uint64_t bytes) {
    munmap(data, bytes);
}

void map(DeviceContext*, void* data, uint64_t bytes, uint64_t) {
    if (!give_memory(data, bytes)) fail_out_of_memory(bytes);
    prefer_huge_pages(data, bytes);
}

void unmap(DeviceContext*, void* data, uint64_t bytes, uint64_t) {
    if (!take_memory(data, bytes)) fail_out_of_memory(bytes);
}

void pack(DeviceContext* context, const void* source, int64_t row_stride, const WeightView& packed) {
    CpuContext& target = cpu(context);
    const std::scoped_lock lock(target.mutex);
    target.pool.for_each((packed.n + kPanel - 1) / kPanel,
                         [&](int64_t panel, int) { pack_panel(source, row_stride, packed, panel); });
}

void require_head_dim(int32_t value, const char* name) {
    constexpr int32_t kMaxHeadDim = 1024;  // what a worker's scratch holds
    if (value <= kMaxHeadDim && value % 8 == 0) return;
    fail(ADZE_ERROR_NOT_SUPPORTED, "%s is %d; the cpu backend supports multiples of 8 from 8 to %d", name, value,
         kMaxHeadDim);
}

void require_attention(const DeviceContext*, const AttentionShape& shape) {
    require_head_dim(shape.head_dim_qk, "head_dim_qk");
    require_head_dim(shape.head_dim_v, "head_dim_v");
}

uint64_t weight_bytes(const DeviceContext*, adze_dtype dtype, int64_t n, int64_t k) {
    return packed_weight_bytes(dtype, n, k);
}

uint64_t linear_workspace(const DeviceContext*, const WeightView& weight, int64_t rows) {
    return linear_workspace_bytes(rows, weight.k);
}

// Decode's tasks; with this many of them there are enough for all cores.
AttentionSplit attention_split(const DeviceContext*, const AttentionShape&) {
    constexpr int64_t kMostPieces = 1024;
    return {{0, 0, 0}, {kCpuSplitKeys, kCpuSplitKeys, AttentionSplit::kWhole}, kMostPieces};
}

uint64_t sampling_workspace(const DeviceContext*, int64_t rows, int64_t vocabulary) {
    return sampling_workspace_bytes(rows, vocabulary);
}

constexpr BackendTable make_table() {
    BackendTable table = Streams::table();
    table.kind = ADZE_BACKEND_CPU;
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
    table.weight_bytes = weight_bytes;
    table.linear_workspace = linear_workspace;
    table.sampling_workspace = sampling_workspace;
    table.require_attention = require_attention;
    table.attention_split = attention_split;
    table.pack_weight = pack;
    table.linear = run_kernel<&CpuKernels::linear>;
    table.attention = run_kernel<&CpuKernels::attention>;
    table.attention_merge = run_kernel<&CpuKernels::attention_merge>;
    table.kv_append = run_kernel<&CpuKernels::kv_append>;
    table.embedding = run_kernel<&CpuKernels::embedding>;
    table.rms_norm = run_kernel<&CpuKernels::rms_norm>;
    table.rope = run_kernel<&CpuKernels::rope>;
    table.silu_gate = run_kernel<&CpuKernels::silu_gate>;
    table.sampling = run_kernel<&CpuKernels::sampling>;
    return table;
}

constexpr BackendTable kTable = make_table();

}  // namespace

const BackendTable& cpu_backend() {
    return kTable;
}

}  // namespace adze
