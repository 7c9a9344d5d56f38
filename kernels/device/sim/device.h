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
    // Runs a grid; fails with ADZE_ERROR_DEVICE and the first error of its threads.
    void run(const LaunchConfig& config, void (*body)(const void* params), const void* params);

    bool replaying = false;  // a graph is being launched
    Options options;         // from ADZE_SIM_TURNS and ADZE_SIM_RESIDENT at first

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
// Whether a range may be accessed as far as the simulator knows: memory that it did not allocate is the caller's affair.
// Otherwise the reason.
const char* why_not_accessible(const void* data, uint64_t bytes);

}  // namespace adze::sim

namespace adze {

class LaunchStream {
public:
    explicit LaunchStream(sim::SimContext& context) : context_(context) {}
    Arch arch() const { return context_.device().arch; }
    int num_processors() const { return context_.device().num_processors; }
    int64_t shared_limit() const { return context_.device().shared_limit; }
    // Graphs run the launch code again; it is to ask for what a captured launch would.
    bool capturing() const { return context_.replaying; }
    sim::SimContext& context() { return context_; }

private:
    sim::SimContext& context_;
};

}  // namespace adze
