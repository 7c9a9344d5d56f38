// The simulated devices, used without the library around them.
#include "device/probe_device.h"
#include "device/sim/device.h"
#include "runtime/check.h"
#include "sim_devices.h"

namespace adze {
#define ADZE_DECLARE_PROBES(target) \
    inline namespace target {       \
    const ProbeTable& probes();     \
    }
ADZE_FOR_SIM_DEVICES(ADZE_DECLARE_PROBES)
#undef ADZE_DECLARE_PROBES
}  // namespace adze

namespace kit {
namespace {

class SimProbeDevice : public ProbeDevice {
public:
    SimProbeDevice(int index, const adze::ProbeTable& table)
        : context_(adze::sim::sim_device(index), 2), stream_(context_), table_(table) {}
    const char* name() const override { return context_.device().architecture; }
    adze::Arch arch() const override { return context_.device().arch; }
    const adze::ProbeTable& probes() const override { return table_; }
    adze::LaunchStream& stream() override { return stream_; }
    void* allocate(size_t bytes) override { return adze::sim::sim_allocate(bytes); }
    void release(void* data) override { adze::sim::sim_release(data); }
    void write(void* device, const void* host, size_t bytes) override { std::memcpy(device, host, bytes); }
    void read(void* host, const void* device, size_t bytes) override { std::memcpy(host, device, bytes); }

private:
    adze::sim::SimContext context_;
    adze::LaunchStream stream_;
    const adze::ProbeTable& table_;
};

}  // namespace

const std::vector<std::unique_ptr<ProbeDevice>>& probe_devices() {
    static const auto devices = [] {
        std::vector<std::unique_ptr<ProbeDevice>> list;
        int index = 0;
#define ADZE_ADD_PROBES(target) list.push_back(std::make_unique<SimProbeDevice>(index++, adze::target::probes()));
        ADZE_FOR_SIM_DEVICES(ADZE_ADD_PROBES)
#undef ADZE_ADD_PROBES
        return list;
    }();
    return devices;
}

}  // namespace kit
