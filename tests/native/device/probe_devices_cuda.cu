// The CUDA devices for which the probes were compiled.
#include <cuda_runtime.h>

#include <stdexcept>

#include "device/cuda/launch_stream.h"
#include "device/probe_device.h"

namespace adze {
inline namespace target_cuda {
const ProbeTable& probes();
}
}  // namespace adze

namespace kit {
namespace {

void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class CudaProbeDevice : public ProbeDevice {
public:
    CudaProbeDevice(const std::string& name, const adze::CudaLimits& limits)
        : name_(name), limits_(limits), stream_(nullptr, limits_) {}
    const char* name() const override { return name_.c_str(); }
    adze::Arch arch() const override { return limits_.arch; }
    const adze::ProbeTable& probes() const override { return adze::probes(); }
    adze::LaunchStream& stream() override { return stream_; }
    void* allocate(size_t bytes) override {
        void* data = nullptr;
        check(cudaMalloc(&data, bytes));
        return data;
    }
    void release(void* data) override { static_cast<void>(cudaFree(data)); }
    void write(void* device, const void* host, size_t bytes) override {
        check(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    }
    void read(void* host, const void* device, size_t bytes) override {
        check(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
    }

private:
    const std::string name_;
    const adze::CudaLimits limits_;
    adze::LaunchStream stream_;
};

}  // namespace

// The first device: the tests do not switch between several.
const std::vector<std::unique_ptr<ProbeDevice>>& probe_devices() {
    static const auto devices = [] {
        std::vector<std::unique_ptr<ProbeDevice>> list;
        int count = 0;
        if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) return list;
        cudaDeviceProp properties;
        check(cudaGetDeviceProperties(&properties, 0));
        const int capability = properties.major * 10 + properties.minor;
        if (capability < 80 || capability > 90) return list;
        const adze::Arch arch = capability == 90   ? adze::Arch::kSm90a
                                : capability == 89 ? adze::Arch::kSm89
                                                   : adze::Arch::kSm80;
        list.push_back(std::make_unique<CudaProbeDevice>(
            "cuda", adze::CudaLimits{arch, properties.multiProcessorCount,
                                     static_cast<int64_t>(properties.sharedMemPerBlockOptin)}));
        return list;
    }();
    return devices;
}

}  // namespace kit
