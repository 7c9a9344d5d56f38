// sampling from Llama 3's vocabulary: reading the logits once is the floor.
#include <cmath>

#include "session.h"

namespace bench {
namespace {

void sampling(benchmark::State& state, adze_sampling_params params) {
    const int64_t B = state.range(0), V = 128256;
    Array logits(ADZE_DTYPE_F32, B, V);
    std::vector<float> values(size_t(B * V));
    for (size_t i = 0; i < values.size(); ++i) values[i] = 3 * std::sin(float(i) * 1.37f) + std::cos(float(i) * 0.011f);
    logits.write(values.data());
    std::vector<adze_sampling_params> host(static_cast<size_t>(B), params);
    for (size_t b = 0; b < host.size(); ++b) host[b].seed = b;
    Array device(host.size() * sizeof params), ids(ADZE_DTYPE_I32, 1, B);
    device.write(host.data());
    uint64_t workspace_bytes = 0;
    ADZE_BENCH_CHECK(adze_sampling_workspace_size(Session::get().context(), B, V, &workspace_bytes));
    const Array workspace(workspace_bytes);
    const adze_sampling_desc desc{
        sizeof desc, 0,          logits.view(),    static_cast<const adze_sampling_params*>(device.data()),
        {},          ids.view(), workspace.data(), workspace.bytes()};
    measure(state, double(logits.bytes()), 0,
            [&] { ADZE_BENCH_CHECK(adze_sampling_run(Session::get().stream(), &desc)); });
    state.SetItemsProcessed(B * state.iterations());  // rows
}

void configure(benchmark::internal::Benchmark* bench) {
    bench->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.05)->ArgName("rows")->Arg(1)->Arg(16);
}
BENCHMARK_CAPTURE(sampling, greedy, adze_sampling_params{0, 0, 0, 0, 0, 0})->Apply(configure);
BENCHMARK_CAPTURE(sampling, temperature, adze_sampling_params{0.8f, 0, 0, 0, 0, 0})->Apply(configure);
BENCHMARK_CAPTURE(sampling, top_k, adze_sampling_params{0.8f, 50, 0, 0, 0, 0})->Apply(configure);
BENCHMARK_CAPTURE(sampling, top_p, adze_sampling_params{0.8f, 0, 0.9f, 0, 0, 0})->Apply(configure);
BENCHMARK_CAPTURE(sampling, min_p, adze_sampling_params{0.8f, 0, 0, 0.05f, 0, 0})->Apply(configure);
BENCHMARK_CAPTURE(sampling, all, adze_sampling_params{0.8f, 50, 0.9f, 0.02f, 0, 0})->Apply(configure);

}  // namespace
}  // namespace bench
