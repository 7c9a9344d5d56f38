// Tests of the simulator. A .cu file holds kernels and the tests that launch them, side by side, and is compiled once for
// each simulated device; so a test runs on each of them, as suite Races_sim_sm_80 and so on.
//
// Kernels that show a defect have a good twin: the same with Params::good. A place that a message must name is marked in
// the source by a comment, `// @name`.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "device/sim/device.h"
#include "runtime/check.h"
#include "runtime/host_addresses.h"

namespace adze::sim {

std::ostream& operator<<(std::ostream& out, const Counters& counters);

}  // namespace adze::sim

namespace sim_test {

// How the simulator goes about a launch.
struct Way {
    adze::sim::Options options;
    int host_threads = 1;
    std::string name() const;
};
// Forward, reverse and shuffled by several seeds, each with 1 and 4 blocks resident.
const std::vector<Way>& every_way();
// The same with 1 and 3 threads of the host.
const std::vector<Way>& every_way_and_threads();

struct Outcome {
    adze_status status = ADZE_OK;
    std::string message;
};
Outcome outcome_of(const std::function<void()>& launch);

// A context on a simulated device.
class Machine {
public:
    explicit Machine(adze::Arch arch, const Way& way = {});
    adze::LaunchStream& stream() { return stream_; }
    const adze::sim::SimDevice& device() const { return context_.device(); }
    // Of the latest launch.
    const adze::sim::Counters& counters() const { return context_.record(0)->counters; }

private:
    adze::sim::SimContext context_;
    adze::LaunchStream stream_;
};

// Device memory.
template <class T>
class Array {
public:
    explicit Array(size_t count) : data_(static_cast<T*>(adze::sim::sim_allocate(count * sizeof(T)))), count_(count) {}
    Array(size_t count, T value) : Array(count) {
        for (T& element : *this) element = value;
    }
    ~Array() { adze::sim::sim_release(data_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    T* data() const { return data_; }
    size_t size() const { return count_; }
    T* begin() const { return data_; }
    T* end() const { return data_ + count_; }
    T& operator[](size_t i) const { return data_[i]; }

private:
    T* data_;
    size_t count_;
};

// Addresses of three granules, of which the first alone has memory.
class Reserved {
public:
    static constexpr uint64_t kGranule = adze::kHugePage;
    Reserved() : data_(static_cast<char*>(adze::sim::sim_reserve(3 * kGranule))) {
        adze::sim::sim_map(data_, kGranule);
    }
    ~Reserved() { adze::sim::sim_release(data_); }
    Reserved(const Reserved&) = delete;
    Reserved& operator=(const Reserved&) = delete;
    // `bytes` before the end of the memory.
    float* before_end(uint64_t bytes) const { return reinterpret_cast<float*>(data_ + kGranule - bytes); }
    char* data() const { return data_; }

private:
    char* data_;
};

// "races.cu:34": the line of `file` that ends with the comment "// @mark".
std::string place(const char* file, const std::string& mark);

void expect_in(const std::string& message, const std::vector<std::string>& parts, const std::string& where);

}  // namespace sim_test

#define SIM_CONCAT_(a, b) a##_##b
#define SIM_CONCAT(a, b) SIM_CONCAT_(a, b)
#define SIM_TEST(suite, name) TEST(SIM_CONCAT(suite, ADZE_SIM_TARGET), name)
#define PLACE(mark) sim_test::place(__FILE__, mark)
