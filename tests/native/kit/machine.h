// Contexts, streams and the fixture that runs a test on every backend that is here: the cpu's instruction sets with several
// thread counts, the simulated devices, a GPU.
#pragma once
#include <adze/adze.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kit/random.h"

namespace kit {

/// A handle that is destroyed with its owner; a refused destruction is a failure.
template <class T, adze_status (*Destroy)(T*)>
class Handle {
public:
    Handle() = default;
    explicit Handle(T* raw) : raw_(raw) {}
    Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~Handle() { EXPECT_EQ(Destroy(raw_), ADZE_OK) << adze_last_error(); }
    operator T*() const { return raw_; }
    T* release() { return std::exchange(raw_, nullptr); }

private:
    T* raw_ = nullptr;
};
using Context = Handle<adze_context, adze_context_destroy>;
using Stream = Handle<adze_stream, adze_stream_destroy>;
using Buffer = Handle<adze_buffer, adze_buffer_destroy>;
using Event = Handle<adze_event, adze_event_destroy>;
using Graph = Handle<adze_graph, adze_graph_destroy>;
using Weight = Handle<adze_weight, adze_weight_destroy>;
using Plan = Handle<adze_attention_plan, adze_attention_plan_destroy>;

#define ADZE_ASSERT_OK(call) ASSERT_EQ((call), ADZE_OK) << adze_last_error()
#define ADZE_EXPECT_OK(call) EXPECT_EQ((call), ADZE_OK) << adze_last_error()

/// For creations that a test takes for granted.
template <class H, class Create>
H make(const Create& create) {
    std::remove_pointer_t<decltype(H().release())>* raw = nullptr;
    if (const adze_status status = create(&raw); status != ADZE_OK) {
        ADD_FAILURE() << adze_status_name(status) << ": " << adze_last_error();
    }
    return H(raw);
}

struct Machine {
    adze_cpu_isa isa = ADZE_CPU_ISA_AUTO;
    int threads = 0;
    adze_backend backend = ADZE_BACKEND_CPU;
    int32_t device = 0;
};
std::string name_of(const Machine& machine);
/// The devices of the GPU backends that are here, the simulator among them. ADZE_TEST_DEVICES=sim:0,cuda:0 takes only
/// some (empty: none); where one of them is not here the program ends: it would pass by testing nothing.
std::vector<Machine> gpu_machines();

inline adze_context_desc describe(const Machine& machine) {
    return {sizeof(adze_context_desc), machine.backend, machine.device, machine.threads, machine.isa, 0};
}
/// Whether the device's matrix instructions take subnormal f16 and bf16 numbers as zero (gfx90a; MIOpen's documentation,
/// "MI200 MFMA behavior specifics"). An oracle then does the same with its inputs.
bool flushes_subnormals(const adze_context* context);
inline double flushed(double value, adze_dtype dtype) {
    const double smallest_normal = dtype == ADZE_DTYPE_F16 ? 0x1p-14 : dtype == ADZE_DTYPE_BF16 ? 0x1p-126 : 0;
    return std::fabs(value) < smallest_normal ? 0 : value;
}
/// Before a context of a simulated device is made: each device's threads take turns in an order of its own, unless
/// ADZE_SIM_TURNS or ADZE_SIM_RESIDENT was set from outside. Native tests so run in every order.
void choose_thread_order(const Machine& machine);

inline Context make_context(const Machine& machine = {}) {
    choose_thread_order(machine);
    const adze_context_desc desc = describe(machine);
    return make<Context>([&](adze_context** out) { return adze_context_create(&desc, out); });
}
inline Stream make_stream(adze_context* context) {
    return make<Stream>([&](adze_stream** out) { return adze_stream_create(context, out); });
}

/// A context, a stream and a generator. An instruction set that this machine or build lacks is a visible skip.
class OnMachine : public testing::TestWithParam<Machine> {
protected:
    OnMachine() {
        choose_thread_order(GetParam());
        const adze_context_desc desc = describe(GetParam());
        adze_context* raw = nullptr;
        status_ = adze_context_create(&desc, &raw);
        if (status_ != ADZE_OK) return;
        context = Context(raw);
        stream = make_stream(context);
    }
    void SetUp() override {
        // An instruction set that this processor lacks. A GPU that is here must be usable.
        if (on_cpu() && status_ == ADZE_ERROR_UNAVAILABLE) GTEST_SKIP() << adze_last_error();
        ASSERT_EQ(status_, ADZE_OK) << adze_last_error();
    }
    bool on_cpu() const { return GetParam().backend == ADZE_BACKEND_CPU; }
    /// Where the host reads device memory, it checks the indices in it; a GPU cannot report them.
    bool checks_indices() const { return on_cpu() || GetParam().backend == ADZE_BACKEND_SIM; }

    Context context;
    Stream stream;
    Random random = Random::of_this_test();

private:
    adze_status status_;
};

inline const std::vector<Machine> kMachines{{ADZE_CPU_ISA_PORTABLE, 1}, {ADZE_CPU_ISA_PORTABLE, 3},
                                            {ADZE_CPU_ISA_AVX2, 1},     {ADZE_CPU_ISA_AVX2, 2},
                                            {ADZE_CPU_ISA_AVX512, 1},   {ADZE_CPU_ISA_AVX512, 5}};

#define ADZE_ON_EACH_CPU(suite)                                             \
    INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(kit::kMachines), \
                             [](const auto& info) { return kit::name_of(info.param); })
/// The cpu once, for what does not depend on its instruction set, and every GPU device.
#define ADZE_ON_EACH_BACKEND(suite)                                                           \
    INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::Values(kit::Machine{ADZE_CPU_ISA_AUTO, 2}), \
                             [](const auto& info) { return kit::name_of(info.param); });      \
    INSTANTIATE_TEST_SUITE_P(Gpu, suite, testing::ValuesIn(kit::gpu_machines()),              \
                             [](const auto& info) { return kit::name_of(info.param); })
#define ADZE_ON_EACH_MACHINE(suite)                                              \
    ADZE_ON_EACH_CPU(suite);                                                     \
    INSTANTIATE_TEST_SUITE_P(Gpu, suite, testing::ValuesIn(kit::gpu_machines()), \
                             [](const auto& info) { return kit::name_of(info.param); })

}  // namespace kit
