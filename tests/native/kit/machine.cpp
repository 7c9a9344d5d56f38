#include "kit/machine.h"

#include <cstdlib>

namespace kit {
namespace {

struct Backend {
    adze_backend id;
    const char* name;
};
constexpr Backend kGpuBackends[] = {{ADZE_BACKEND_SIM, "sim"}, {ADZE_BACKEND_CUDA, "cuda"}, {ADZE_BACKEND_HIP, "hip"}};

bool is_wanted(const std::string& device) {
    const char* list = std::getenv("ADZE_TEST_DEVICES");
    return list == nullptr || (std::string(",") + list + ",").find("," + device + ",") != std::string::npos;
}

}  // namespace

std::string name_of(const Machine& machine) {
    constexpr const char* isas[] = {"auto", "portable", "avx2", "avx512"};
    for (const Backend& backend : kGpuBackends) {
        if (backend.id == machine.backend) return backend.name + std::to_string(machine.device);
    }
    return isas[machine.isa] + std::string("_threads") + std::to_string(machine.threads);
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
    std::vector<Machine> out;
    for (const Backend& backend : kGpuBackends) {
        int32_t count = 0;
        if (adze_device_count(backend.id, &count) != ADZE_OK) continue;
        for (int32_t device = 0; device < count; ++device) {
            const std::string name = std::string(backend.name) + ":" + std::to_string(device);
            if (is_wanted(name)) out.push_back({ADZE_CPU_ISA_AUTO, 0, backend.id, device});
        }
    }
    return out;
}

}  // namespace kit
