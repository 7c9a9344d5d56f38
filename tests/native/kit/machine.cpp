#include "kit/machine.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace kit {
namespace {

struct Backend {
    adze_backend id;
    const char* name;
};
constexpr Backend kGpuBackends[] = {{ADZE_BACKEND_SIM, "sim"}, {ADZE_BACKEND_CUDA, "cuda"}, {ADZE_BACKEND_HIP, "hip"}};

// Devices that ADZE_TEST_DEVICES names.
std::vector<std::string> named_devices() {
    const char* list = std::getenv("ADZE_TEST_DEVICES");
    std::istringstream names(list == nullptr ? "" : list);
    std::vector<std::string> out;
    for (std::string name; std::getline(names, name, ',');) out.push_back(name);
    return out;
}

std::vector<std::pair<std::string, Machine>> present_devices() {
    std::vector<std::pair<std::string, Machine>> out;
    for (const Backend& backend : kGpuBackends) {
        int32_t count = 0;
        if (adze_device_count(backend.id, &count) != ADZE_OK) continue;
        for (int32_t device = 0; device < count; ++device) {
            const std::string name = std::string(backend.name) + ":" + std::to_string(device);
            out.push_back({name, {ADZE_CPU_ISA_AUTO, 0, backend.id, device}});
        }
    }
    return out;
}

}  // namespace

std::string name_of(const Machine& machine) {
    constexpr const char* isas[] = {"auto", "portable", "avx2", "avx512"};
    for (const Backend& backend : kGpuBackends) {
        if (backend.id == machine.backend) return backend.name + std::to_string(machine.device);
    }
    return isas[machine.isa] + std::string("_threads") + std::to_string(machine.threads);
}

bool flushes_subnormals(const adze_context* context) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_EXPECT_OK(adze_context_info(context, &info));
    return info.architecture != nullptr && std::string(info.architecture).rfind("gfx90a", 0) == 0;
}

void choose_thread_order(const Machine& machine) {
    static const bool chosen = std::getenv("ADZE_SIM_TURNS") != nullptr || std::getenv("ADZE_SIM_RESIDENT") != nullptr;
    if (chosen || machine.backend != ADZE_BACKEND_SIM) return;
    struct Order {
        const char *turns, *resident;  // blocks that a host thread has under way
    };
    constexpr Order kOrders[] = {{"forward", "1"}, {"reverse", "1"}, {"shuffled", "1"}, {"shuffled", "4"}};
    const Order& order = kOrders[machine.device % 4];
    setenv("ADZE_SIM_TURNS", order.turns, 1);
    setenv("ADZE_SIM_RESIDENT", order.resident, 1);
}

std::vector<Machine> gpu_machines() {
    const bool all = std::getenv("ADZE_TEST_DEVICES") == nullptr;
    std::vector<std::string> named = named_devices();
    std::vector<Machine> out;
    for (const auto& [name, machine] : present_devices()) {
        if (all || std::erase(named, name) != 0) out.push_back(machine);
    }
    for (const std::string& name : named) {
        std::fprintf(stderr, "ADZE_TEST_DEVICES names %s: there is no such device (see adze info)\n", name.c_str());
        std::_Exit(2);  // tests are still being registered
    }
    return out;
}

}  // namespace kit
