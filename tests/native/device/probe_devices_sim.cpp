// The simulated devices, used without the library around them.
#include "device/probe_device.h"
#include "device/sim/device.h"
#include "runtime/check.h"

namespace adze {
#define ADZE_DECLARE_PROBES(target) \
    inline namespace target {       \
    const ProbeTable& probes();     \
    }
ADZE_DECLARE_PROBES(sim_sm_80)
ADZE_DECLARE_PROBES(sim_sm_90a)
ADZE_DECLARE_PROBES(sim_gfx90a)
ADZE_DECLARE_PROBES(sim_sm_89)
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
        list.push_back(std::make_unique<SimProbeDevice>(0, adze::sim_sm_80::probes()));
        list.push_back(std::make_unique<SimProbeDevice>(1, adze::sim_sm_90a::probes()));
        list.push_back(std::make_unique<SimProbeDevice>(2, adze::sim_gfx90a::probes()));
        list.push_back(std::make_unique<SimProbeDevice>(3, adze::sim_sm_89::probes()));
        return list;
    }();
    return devices;
}

}  // namespace kit
