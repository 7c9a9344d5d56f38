// The simulated devices, their memory, and launches.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "device/arch.h"
#include "device/sim/block.h"
#include "runtime/cpu_pool.h"

namespace adze::sim {

struct SimDevice {
    int index;
    Arch arch;
    const char* architecture;  // "sm_80"
    const char* name;          // "sim device 0 (sm_80)"
    int warp_size;
    int64_t shared_limit;  // bytes that a block may have
    int num_processors;    // of the device that it is like
    uint64_t memory_bytes;
};
constexpr int kNumDevices = 4;
const SimDevice& sim_device(int index);

struct LaunchConfig {
    const char* kernel;
    int64_t grid[3];
    int block_threads;
    int64_t shared_bytes;
    bool overlaps;
};

// A launch with a copy of its parameters.
struct Launch {
    LaunchConfig config;
    void (*body)(const void* params);
    std::shared_ptr<const void> params;
};

struct LaunchRecord {
    const char* kernel;
    int64_t grid[3];
    uint32_t block_threads;
    uint64_t shared_bytes;
    Counters counters;
};

// What belongs to one context: host threads with their blocks, options and the records of the last launches.
class SimContext {
public:
    static constexpr size_t kRecords = 256;

    SimContext(const SimDevice& device, int threads);
    const SimDevice& device() const { return device_; }
    // NULL when there were fewer launches; 0 is the latest.
    const LaunchRecord* record(size_t back) const { return back < records_.size() ? &records_[back] : nullptr; }
    // Fails with ADZE_ERROR_NOT_SUPPORTED where the device has not what a launch asks for.
    void require_launch(const LaunchConfig& config) const;
    // Runs a grid that the device can run; fails with ADZE_ERROR_DEVICE and the first error of its threads.
    void run(const Launch& launch);

    Options options;  // from ADZE_SIM_TURNS and ADZE_SIM_RESIDENT at first

private:
    void work(GridRun& run, std::atomic<int64_t>& next, int64_t blocks, int worker, Counters& counters);

    const SimDevice& device_;
    CpuPool pool_;
    std::vector<std::vector<std::unique_ptr<Block>>> blocks_;  // of each worker
    std::deque<LaunchRecord> records_;                         // latest first
};

// Device memory: a mapping of its own for each allocation, with pages without access around it, which stay without
// access for a long time after the release. Aligned to 256 bytes; NaN bytes at first (the first 64 MB). NULL: no such memory.
void* sim_allocate(uint64_t bytes);
void sim_release(void* data);
// Addresses, likewise, that get memory by granules (runtime/host_addresses.h), with NaN bytes at first (the first 64 MB of a
// call). Sizes are multiples of the granule. NULL and false: no such memory, and nothing has changed.
void* sim_reserve(uint64_t bytes);
bool sim_map(void* data, uint64_t bytes);
bool sim_unmap(void* data, uint64_t bytes);

}  // namespace adze::sim

namespace adze {

class LaunchStream {
public:
    // Launches run at once.
    explicit LaunchStream(sim::SimContext& context) : context_(context) {}
    // Launches are checked and collected.
    LaunchStream(sim::SimContext& context, std::vector<sim::Launch>& collected, bool capturing)
        : context_(context), collected_(&collected), capturing_(capturing) {}
    Arch arch() const { return context_.device().arch; }
    int num_processors() const { return context_.device().num_processors; }
    int64_t shared_limit() const { return context_.device().shared_limit; }
    bool capturing() const { return capturing_; }
    const sim::SimDevice& device() const { return context_.device(); }
    void launch(const sim::Launch& launch) {
        context_.require_launch(launch.config);
        if (collected_ != nullptr) {
            collected_->push_back(launch);
        } else {
            context_.run(launch);
        }
    }

private:
    sim::SimContext& context_;
    std::vector<sim::Launch>* collected_ = nullptr;
    bool capturing_ = false;
};

}  // namespace adze
