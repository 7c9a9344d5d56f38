// What the kernels of the tests share: compiled for each simulated device.
#pragma once

#include "device/barrier.h"
#include "device/launch.h"
#include "device/memory.h"
#include "device/warp.h"
#include "kit.h"

namespace adze {
inline namespace ADZE_TARGET {

struct TestParams {
    bool good = true;
    float* data = nullptr;
    int64_t count = 0;  // elements of data
};

template <int kThreadsOfBlock, class ParamsOfKernel = TestParams>
struct TestKernel {
    static constexpr int kThreads = kThreadsOfBlock;
    using Params = ParamsOfKernel;
    static constexpr bool runs_on(Arch) { return true; }
};

template <class Kernel>
sim_test::Outcome outcome(sim_test::Machine& machine, Grid grid, int64_t shared_bytes,
                          const typename Kernel::Params& params) {
    return sim_test::outcome_of([&] { launch<Kernel>(machine.stream(), grid, shared_bytes, params); });
}

// The kernel ends well in every order of threads.
template <class Kernel>
void expect_ok(Grid grid, int64_t shared_bytes, const typename Kernel::Params& params) {
    for (const sim_test::Way& way : sim_test::every_way()) {
        sim_test::Machine machine(kTarget.arch, way);
        const sim_test::Outcome got = outcome<Kernel>(machine, grid, shared_bytes, params);
        EXPECT_EQ(got.status, ADZE_OK) << way.name() << ": " << got.message;
    }
}

// The kernel is caught in every order of threads, by a message that names kernel, device, block, thread and `parts`.
template <class Kernel>
void expect_caught(Grid grid, int64_t shared_bytes, const typename Kernel::Params& params,
                   std::vector<std::string> parts) {
    parts.insert(parts.end(), {std::string(Kernel::kName) + " on sim device ", ", block (", ", thread "});
    for (const sim_test::Way& way : sim_test::every_way()) {
        sim_test::Machine machine(kTarget.arch, way);
        const sim_test::Outcome got = outcome<Kernel>(machine, grid, shared_bytes, params);
        EXPECT_EQ(got.status, ADZE_ERROR_DEVICE) << way.name() << ": " << got.message;
        sim_test::expect_in(got.message, parts, way.name());
    }
}

// The good twin passes, the bad one is caught.
template <class Kernel>
void expect_detector(Grid grid, int64_t shared_bytes, typename Kernel::Params params,
                     const std::vector<std::string>& parts) {
    params.good = true;
    expect_ok<Kernel>(grid, shared_bytes, params);
    params.good = false;
    expect_caught<Kernel>(grid, shared_bytes, params, parts);
}

}  // namespace ADZE_TARGET
}  // namespace adze
