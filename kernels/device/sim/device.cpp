#define ADZE_SIM_ACCESS  // what memory_checks.h has is made here
#include "device/sim/device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <shared_mutex>
#include <string_view>

#include "device/launch_limits.h"
#include "device/sim/memory_checks.h"
#include "runtime/check.h"
#include "runtime/host_addresses.h"
#include "sim_devices.h"

namespace adze::sim {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

// In the order of adze_context_desc.device. Limits: CUDA C++ Programming Guide, "Technical Specifications per Compute
// Capability"; AMD CDNA2 ISA. Processors and memory: A100, H200, MI250X (one die), L40S.
constexpr SimDevice kDevices[kNumDevices] = {
    {0, Arch::kSm80, "sm_80", "sim device 0 (sm_80)", 32, 163 << 10, 108, 80 * kGiB},
    {1, Arch::kSm90a, "sm_90a", "sim device 1 (sm_90a)", 32, 227 << 10, 132, 141 * kGiB},
    {2, Arch::kGfx90a, "gfx90a", "sim device 2 (gfx90a)", 64, 64 << 10, 110, 64 * kGiB},
    {3, Arch::kSm89, "sm_89", "sim device 3 (sm_89)", 32, 99 << 10, 142, 48 * kGiB},
};

// Decimal digits, and nothing else.
bool read_number(std::string_view text, uint32_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

// What kernels are compiled for (simulator.cmake).
#define ADZE_NAME_OF(target) #target,
constexpr std::string_view kCompiled[] = {ADZE_FOR_SIM_DEVICES(ADZE_NAME_OF)};
#undef ADZE_NAME_OF
static_assert(std::equal(std::begin(kCompiled), std::end(kCompiled), std::begin(kDevices), std::end(kDevices),
                         [](std::string_view target, const SimDevice& device) {
                             return target.substr(4) == device.architecture;  // behind "sim_"
                         }));

Turns read_turns(std::string_view text, uint32_t& seed) {
    constexpr std::string_view kSeeded = "shuffled:";
    if (text == "forward") return Turns::kForward;
    if (text == "reverse") return Turns::kReverse;
    if (text == "shuffled" || (text.starts_with(kSeeded) && read_number(text.substr(kSeeded.size()), seed)))
        return Turns::kShuffled;
    fail(ADZE_ERROR_INVALID_ARGUMENT, "ADZE_SIM_TURNS is %s; allowed is forward, reverse, shuffled or shuffled:SEED",
         std::string(text).c_str());
}

Options read_options() {
    Options options;
    if (const char* turns = std::getenv("ADZE_SIM_TURNS")) options.turns = read_turns(turns, options.seed);
    if (const char* resident = std::getenv("ADZE_SIM_RESIDENT")) {
        uint32_t blocks = 0;
        if (!read_number(resident, blocks) || blocks < 1 || blocks > 64)
            fail(ADZE_ERROR_INVALID_ARGUMENT, "ADZE_SIM_RESIDENT is %s; allowed is 1 to 64", resident);
        options.resident = static_cast<int>(blocks);
    }
    return options;
}

int available_threads(int wanted) {
    return wanted != 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

const SimDevice& sim_device(int index) {
    return kDevices[index];
}

SimContext::SimContext(const SimDevice& device, int threads)
    : options(read_options()),
      device_(device),
      pool_(available_threads(threads)),
      blocks_(static_cast<size_t>(pool_.threads())) {}

void SimContext::require_launch(const LaunchConfig& config) const {
    require_launch_limits(config.kernel, config.grid[0], config.grid[1], config.grid[2], config.block_threads,
                          device_.warp_size, config.shared_bytes, device_.shared_limit);
}

void SimContext::run(const Launch& launch) {
    const LaunchConfig& config = launch.config;
    GridRun run;
    run.kernel = config.kernel;
    run.device = device_.name;
    for (int i = 0; i < 3; ++i) run.grid[i] = static_cast<uint32_t>(config.grid[i]);
    run.block_threads = config.block_threads;
    run.warp_size = device_.warp_size;
    run.shared_bytes = static_cast<uint32_t>(config.shared_bytes);
    run.overlaps = config.overlaps;
    run.async_proxy = device_.arch == Arch::kSm90a;
    run.body = launch.body;
    run.params = launch.params.get();
    run.options = options;

    std::atomic<int64_t> next{0};
    const int64_t blocks = config.grid[0] * config.grid[1] * config.grid[2];
    std::vector<Counters> counted(static_cast<size_t>(pool_.threads()));
    forget_checked_ranges();
    pool_.for_each(std::min<int64_t>(pool_.threads(), blocks),
                   [&](int64_t, int worker) { work(run, next, blocks, worker, counted[static_cast<size_t>(worker)]); });
    if (run.failed) adze::fail(ADZE_ERROR_DEVICE, "%s", run.failure.c_str());
    if (next < blocks) {
        adze::fail(ADZE_ERROR_OUT_OF_MEMORY, "kernel %s: the host has no memory for the stacks of a block's %d threads",
                   config.kernel, config.block_threads);
    }

    if (run.overlaps && !run.has_waited) {
        adze::fail(
            ADZE_ERROR_DEVICE,
            "%s on %s: no thread has called wait_for_previous_kernel: the kernel may end before the one before it, "
            "and the next one believes that both have ended",
            run.kernel, run.device);
    }

    LaunchRecord record{config.kernel,
                        {config.grid[0], config.grid[1], config.grid[2]},
                        static_cast<uint32_t>(config.block_threads),
                        run.shared_bytes,
                        {}};
    for (const Counters& c : counted) record.counters += c;
    if (records_.size() == kRecords) records_.pop_back();
    records_.push_front(record);
}

// One host thread: takes blocks as they come, and has up to options.resident of them under way.
void SimContext::work(GridRun& run, std::atomic<int64_t>& next, int64_t blocks, int worker, Counters& counters) {
    auto& pool = blocks_[static_cast<size_t>(worker)];
    const auto resident = static_cast<size_t>(run.options.resident);
    while (pool.size() < resident) pool.push_back(std::make_unique<Block>());
    std::vector<Block*> under_way, idle;
    for (size_t i = 0; i < resident && pool[i]->reserve(run.block_threads); ++i) idle.push_back(pool[i].get());
    if (idle.empty()) return;  // other workers may have more luck
    const std::chrono::milliseconds patience(run.options.patience_ms);
    auto last_progress = std::chrono::steady_clock::now();
    uint64_t seen = 0;  // of all workers' progress
    while (!run.failed) {
        while (!idle.empty()) {
            const int64_t index = next.fetch_add(1);
            if (index >= blocks) break;
            idle.back()->start(run, index);
            under_way.push_back(idle.back());
            idle.pop_back();
        }
        if (under_way.empty()) return;
        bool has_progress = false;
        for (size_t i = 0; i < under_way.size(); ++i) {
            Block* block = under_way[i];
            const Block::Outcome outcome = block->run();
            has_progress |= outcome != Block::Outcome::kPolls;
            if (outcome != Block::Outcome::kFinished) continue;
            counters += block->counters;
            block->counters = {};
            idle.push_back(block);
            under_way.erase(under_way.begin() + static_cast<long>(i--));
        }
        if (has_progress) ++run.progress;
        if (const uint64_t progress = run.progress.load(); progress != seen) {
            seen = progress;
            last_progress = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - last_progress > patience) {
            under_way.front()->give_up();
        }
    }
    for (const auto& block : pool) block->counters = {};
}

class Granules {
public:
    Granules(uintptr_t data, uint64_t count) : data_(data), mapped_(new std::atomic<bool>[count]()) {}
    void set(const void* data, uint64_t bytes, bool mapped) {
        for (uint64_t i = index(data), end = i + bytes / kHugePage; i < end; ++i) mapped_[i] = mapped;
    }
    bool has_memory(const void* data, uint64_t bytes) const {
        const uint64_t last = index(static_cast<const char*>(data) + bytes - 1);
        for (uint64_t i = index(data); i <= last; ++i) {
            if (!mapped_[i].load(std::memory_order_relaxed)) return false;
        }
        return true;
    }

private:
    uint64_t index(const void* address) const { return (reinterpret_cast<uintptr_t>(address) - data_) / kHugePage; }
    const uintptr_t data_;
    const std::unique_ptr<std::atomic<bool>[]> mapped_;
};

namespace {

struct Range {
    uintptr_t end, data, data_end;
    bool live = true;
    std::unique_ptr<Granules> granules = nullptr;  // NULL: there is memory all over
};
std::shared_mutex ranges_mutex;
std::map<uintptr_t, Range> ranges;            // by the start of their mappings
std::deque<std::pair<void*, size_t>> graves;  // released mappings, oldest first
size_t grave_bytes = 0;
constexpr size_t kMaxGraves = 4096, kMaxGraveBytes = size_t{8} << 40;
constexpr uint64_t kAlignment = 256, kFilled = 64 << 20;  // to fill more with NaN bytes would cost too much
std::atomic<uint64_t> launch_number{0};

size_t page_bytes() {
    static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

Granules& granules_of(const void* data) {
    const std::shared_lock lock(ranges_mutex);
    return *std::prev(ranges.upper_bound(reinterpret_cast<uintptr_t>(data)))->second.granules;
}

}  // namespace

}  // namespace adze::sim

namespace adze {

TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc) {
    const TensorMapArguments arguments = tensor_map_arguments(desc);
    if (stream.arch() != Arch::kSm90a) fail(ADZE_ERROR_NOT_SUPPORTED, "%s has no bulk copies", stream.device().name);
    TensorMap map{};
    static_assert(sizeof arguments <= sizeof map);
    std::memcpy(&map, &arguments, sizeof arguments);
    return map;
}

}  // namespace adze

namespace adze::sim {

void* sim_allocate(uint64_t bytes) {
    const uint64_t page = page_bytes(), rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > uint64_t{1} << 46) return nullptr;
    const uint64_t body = (rounded + page - 1) / page * page, all = body + 2 * page;
    void* mapping = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    const auto start = reinterpret_cast<uintptr_t>(mapping);
    if (mprotect(static_cast<char*>(mapping) + page, body, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, all);
        return nullptr;
    }
    const uintptr_t data = start + page + body - rounded;  // its end meets the page without access
    std::memset(reinterpret_cast<void*>(data), 0xff, std::min<uint64_t>(bytes, kFilled));
    const std::unique_lock lock(ranges_mutex);
    ranges[start] = {.end = start + all, .data = data, .data_end = data + bytes};
    return reinterpret_cast<void*>(data);
}

void* sim_reserve(uint64_t bytes) {
    const uint64_t all = bytes + 2 * kHugePage;
    const auto unmap = [all](void* mapping) { munmap(mapping, all); };
    std::unique_ptr<void, decltype(unmap)> mapping(all < bytes ? nullptr : reserve_addresses(all), unmap);
    if (mapping == nullptr) return nullptr;
    const auto start = reinterpret_cast<uintptr_t>(mapping.get()), data = start + kHugePage;
    auto granules = std::make_unique<Granules>(data, bytes / kHugePage);
    const std::unique_lock lock(ranges_mutex);
    ranges[start] = {.end = start + all, .data = data, .data_end = data + bytes, .granules = std::move(granules)};
    mapping.release();
    return reinterpret_cast<void*>(data);
}

bool sim_map(void* data, uint64_t bytes) {
    if (!give_memory(data, bytes)) return false;
    std::memset(data, 0xff, std::min(bytes, kFilled));
    granules_of(data).set(data, bytes, true);
    return true;
}

bool sim_unmap(void* data, uint64_t bytes) {
    if (!take_memory(data, bytes)) return false;
    granules_of(data).set(data, bytes, false);
    return true;
}

void sim_release(void* data) {
    if (data == nullptr) return;
    const std::unique_lock lock(ranges_mutex);
    auto entry = std::prev(ranges.upper_bound(reinterpret_cast<uintptr_t>(data)));
    const size_t bytes = entry->second.end - entry->first;
    entry->second.live = false;
    void* mapping = reinterpret_cast<void*>(entry->first);
    // The address stays taken, so that who still uses it is told so; the memory goes back.
    mmap(mapping, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    graves.emplace_back(mapping, bytes);
    grave_bytes += bytes;
    while (graves.size() > kMaxGraves || grave_bytes > kMaxGraveBytes) {
        const auto [oldest, oldest_bytes] = graves.front();
        munmap(oldest, oldest_bytes);
        ranges.erase(reinterpret_cast<uintptr_t>(oldest));
        graves.pop_front();
        grave_bytes -= oldest_bytes;
    }
}

void forget_checked_ranges() {
    ++launch_number;
}

namespace {

struct Look {
    const char* why_not = nullptr;  // the range may not be viewed
    const Granules* granules = nullptr;
};

Look look_at(const void* data, uint64_t bytes) {
    const auto start = reinterpret_cast<uintptr_t>(data);
    const std::shared_lock lock(ranges_mutex);
    auto entry = ranges.upper_bound(start);
    if (entry == ranges.begin()) return {};
    const Range& range = (--entry)->second;
    if (start >= range.end) return {};
    if (!range.live) return {"lies in a buffer that was released"};
    if (start < range.data || start + bytes > range.data_end) return {"reaches beyond its buffer"};
    return {nullptr, range.granules.get()};
}

}  // namespace

// Threads make the same views over and over: what was found good is remembered for the launch.
const Granules* require_accessible(const void* data, uint64_t bytes, const Site& site) {
    struct Checked {
        uint64_t launch;
        const void* data;
        uint64_t bytes;
        const Granules* granules;
    };
    // Not in static storage: of that a library that is loaded late gets little.
    static thread_local const auto all_checked = std::make_unique<std::array<Checked, 256>>();
    auto& checked = *all_checked;
    const uint64_t launch = launch_number.load(std::memory_order_relaxed);
    const auto address = reinterpret_cast<uintptr_t>(data);
    Checked& entry = checked[(address >> 4 ^ address >> 12 ^ bytes) % checked.size()];
    if (entry.launch == launch && entry.data == data && entry.bytes == bytes) return entry.granules;
    const Look look = bytes == 0 ? Look{} : look_at(data, bytes);
    if (look.why_not != nullptr) {
        current->block->fail(site, "a view of %llu bytes at %p %s", static_cast<unsigned long long>(bytes), data,
                             look.why_not);
    }
    entry = {launch, data, bytes, look.granules};
    return look.granules;
}

void require_mapped(const Granules& granules, const char* does, const void* data, uint64_t bytes, const Site& site) {
    if (granules.has_memory(data, bytes)) return;
    current->block->fail(site, "%s of %llu bytes at %p, where its buffer is reserved and not mapped", does,
                         static_cast<unsigned long long>(bytes), data);
}

void fail_outside(const char* does, const void* data, int64_t count, int64_t index, int64_t elements, uint32_t bytes,
                  const Site& site) {
    current->block->fail(
        site, "%s of %lld bytes at %p, out of bounds: element %lld of a view of %lld elements of %u bytes at %p", does,
        static_cast<long long>(elements * bytes),
        reinterpret_cast<const void*>(reinterpret_cast<intptr_t>(data) + index * static_cast<int64_t>(bytes)),
        static_cast<long long>(index), static_cast<long long>(count), bytes, data);
}

void fail_misaligned(const char* does, const void* address, uint32_t bytes, const Site& site) {
    current->block->fail(site, "%s of %u bytes at %p, misaligned: it must be aligned to its size", does, bytes,
                         address);
}

void fail_shared(const char* does, uint32_t offset, int64_t index, int64_t count, uint32_t bytes, const Site& site) {
    current->block->fail(site,
                         "%s of shared memory, out of bounds: element %lld of %lld elements of %u bytes at byte %u",
                         does, static_cast<long long>(index), static_cast<long long>(count), bytes, offset);
}

uint32_t take_shared(uint32_t& used, uint64_t bytes, int alignment_bytes, const Site& site) {
    const auto alignment = static_cast<uint32_t>(alignment_bytes);
    const uint32_t start = (used + alignment - 1) / alignment * alignment;
    const uint32_t limit = current->block->grid->shared_bytes;
    if (start + bytes > limit) {
        current->block->fail(site, "the arena gives out %llu bytes of shared memory; the launch asked for %u",
                             static_cast<unsigned long long>(start + bytes), limit);
    }
    used = start + static_cast<uint32_t>(bytes);
    return start;
}

}  // namespace adze::sim
