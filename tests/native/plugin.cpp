// A plug-in for the tests of the look-up: three devices, none of which works. Built right, with a stale hash, and with
// no symbol.
#include "runtime/backend.h"

namespace {

const adze::HostServices* host;

constexpr adze::BackendTable make_table() {
    adze::BackendTable table{};
    table.kind = ADZE_BACKEND_SIM;
    table.device_count = [] { return int32_t{3}; };
    table.device_info = [](int32_t, adze_device_info&) {
        host->fail(ADZE_ERROR_DEVICE, "this device is made of paper");
    };
    return table;
}

const adze::BackendTable* open(const adze::HostServices& services) {
    static constexpr adze::BackendTable table = make_table();
    host = &services;
    return &table;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const adze::Plugin PLUGIN_SYMBOL;
const adze::Plugin PLUGIN_SYMBOL{PLUGIN_HASH, open};
