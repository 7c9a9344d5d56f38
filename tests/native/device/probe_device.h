// A device as the probes' tests see it: simulated, or of the build's GPU target.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "device/arch.h"
#include "probes.h"

namespace kit {

class ProbeDevice {
public:
    virtual ~ProbeDevice() = default;
    virtual const char* name() const = 0;
    virtual adze::Arch arch() const = 0;
    virtual const adze::ProbeTable& probes() const = 0;
    virtual adze::LaunchStream& stream() = 0;
    virtual void* allocate(size_t bytes) = 0;
    virtual void release(void* data) = 0;
    virtual void write(void* device, const void* host, size_t bytes) = 0;
    virtual void read(void* host, const void* device, size_t bytes) = 0;  // after what was launched

    bool is(adze::Arch arch_) const { return arch() == arch_; }
    int warp_size() const { return is(adze::Arch::kGfx90a) ? 64 : 32; }
};

// Those that are here; each for as long as the program runs.
const std::vector<std::unique_ptr<ProbeDevice>>& probe_devices();

// An array in a device's memory.
template <class T>
class Array {
public:
    Array(ProbeDevice& device, const std::vector<T>& values) : Array(device, values.size()) {
        device.write(data_, values.data(), values.size() * sizeof(T));
    }
    Array(ProbeDevice& device, size_t count, T value) : Array(device, std::vector<T>(count, value)) {}
    ~Array() { device_.release(data_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;

    T* data() const { return data_; }
    std::vector<T> read() const {
        std::vector<T> values(count_);
        device_.read(values.data(), data_, count_ * sizeof(T));
        return values;
    }

private:
    Array(ProbeDevice& device, size_t count)
        : device_(device), data_(static_cast<T*>(device.allocate(count * sizeof(T)))), count_(count) {}
    ProbeDevice& device_;
    T* data_;
    size_t count_;
};

}  // namespace kit
