#include "runtime/plugin_fail.h"

#include "runtime/check.h"

namespace adze {
namespace {

const HostServices* host = nullptr;

}  // namespace

void set_host(const HostServices& services) {
    host = &services;
}

void fail_with(adze_status status, const std::string& message) {
    host->fail(status, message.c_str());
}

}  // namespace adze
