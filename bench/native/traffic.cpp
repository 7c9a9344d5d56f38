// One launch of each operator that is bound by memory, in the shapes of an 8B model. On a simulated device it prints what each
// kernel launch moves, one line a launch in their order; on a GPU a profiler counts the same launches, and
// bench/gpu_check.sh compares the two.
//   ADZE_BENCH_DEVICE=sim:1 adze_traffic
#include <cmath>

#include "session.h"

namespace bench {
namespace {

constexpr int64_t kRows = 64, kWidth = 4096;

adze_stream* stream() {
    return Session::get().stream();
}

void run_norm_and_gate() {
    const Array x(ADZE_DTYPE_BF16, kRows, kWidth), residual(ADZE_DTYPE_BF16, kRows, kWidth);
    const Array weight(ADZE_DTYPE_BF16, 1, kWidth), y(ADZE_DTYPE_BF16, kRows, kWidth);
    const adze_rms_norm_desc norm{sizeof norm, 1e-5f, x.view(), weight.view(), residual.view(), y.view()};
    ADZE_BENCH_CHECK(adze_rms_norm_run(stream(), &norm));
    const adze_silu_gate_desc gate{sizeof gate, 0, x.view(), residual.view(), y.view()};
    ADZE_BENCH_CHECK(adze_silu_gate_run(stream(), &gate));
    ADZE_BENCH_CHECK(adze_stream_synchronize(stream()));
}

void run_embedding_and_rope() {
    const Array table(ADZE_DTYPE_BF16, 1000, kWidth), y(ADZE_DTYPE_BF16, kRows, kWidth);
    Array ids(ADZE_DTYPE_I32, 1, kRows), frequencies(ADZE_DTYPE_F32, 1, 64);
    std::vector<int32_t> rows;
    for (int64_t i = 0; i < kRows; ++i) rows.push_back(int32_t(i * 7919 % 1000));
    ids.write(rows.data());
    const adze_embedding_desc embedding{sizeof embedding, 0, ids.view(), table.view(), y.view()};
    ADZE_BENCH_CHECK(adze_embedding_run(stream(), &embedding));
    const adze_rope_desc rope{sizeof rope, 128, y.view(), ids.view(), frequencies.view()};
    ADZE_BENCH_CHECK(adze_rope_run(stream(), &rope));
    ADZE_BENCH_CHECK(adze_stream_synchronize(stream()));
}

void run_linear() {
    constexpr int64_t kOut = 512;
    const std::vector<char> host(size_t(kOut * kWidth) * 2, 0x3c);
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_BF16, host.data(), kOut, kWidth, 0};
    adze_weight* weight = nullptr;
    ADZE_BENCH_CHECK(adze_weight_create(Session::get().context(), &desc, &weight));
    for (int64_t rows : {int64_t{1}, kRows}) {
        const Array x(ADZE_DTYPE_BF16, rows, kWidth), y(ADZE_DTYPE_BF16, rows, kOut);
        uint64_t bytes = 0;
        ADZE_BENCH_CHECK(adze_linear_workspace_size(weight, rows, &bytes));
        const Array workspace(bytes);
        const adze_linear_desc run{sizeof run, 0, weight, x.view(), y.view(), {}, workspace.data(), workspace.bytes()};
        ADZE_BENCH_CHECK(adze_linear_run(stream(), &run));
        ADZE_BENCH_CHECK(adze_stream_synchronize(stream()));
    }
    ADZE_BENCH_CHECK(adze_weight_destroy(weight));
}

void run_sampling() {
    constexpr int64_t kBatch = 4, kVocabulary = 128256;
    Array logits(ADZE_DTYPE_F32, kBatch, kVocabulary);
    std::vector<float> values(size_t(kBatch * kVocabulary));
    for (size_t i = 0; i < values.size(); ++i) values[i] = 3 * std::sin(float(i % 128256) * 1.37f);
    logits.write(values.data());
    const std::vector<adze_sampling_params> params(kBatch, {0.8f, 0, 0, 0, 1, 2});
    Array device(params.size() * sizeof params[0]), ids(ADZE_DTYPE_I32, 1, kBatch);
    device.write(params.data());
    uint64_t bytes = 0;
    ADZE_BENCH_CHECK(adze_sampling_workspace_size(Session::get().context(), kBatch, kVocabulary, &bytes));
    const Array workspace(bytes);
    const adze_sampling_desc desc{
        sizeof desc, 0,          logits.view(),    static_cast<const adze_sampling_params*>(device.data()),
        {},          ids.view(), workspace.data(), workspace.bytes()};
    ADZE_BENCH_CHECK(adze_sampling_run(stream(), &desc));
    ADZE_BENCH_CHECK(adze_stream_synchronize(stream()));
}

void print_counters() {
    constexpr int32_t kMost = 256;
    std::vector<adze_sim_launch> launches;
    adze_sim_launch launch{};
    launch.struct_size = sizeof launch;
    const auto back = [&] { return int32_t(launches.size()); };
    while (back() < kMost && adze_sim_counters(Session::get().context(), back(), &launch) == ADZE_OK) {
        launches.push_back(launch);
    }
    for (size_t i = launches.size(); i-- > 0;) {
        const adze_sim_launch& l = launches[i];
        std::printf("%s,%lldx%lldx%lld,%llu,%llu\n", l.kernel, static_cast<long long>(l.grid_x),
                    static_cast<long long>(l.grid_y), static_cast<long long>(l.grid_z),
                    static_cast<unsigned long long>(l.global_read_sectors),
                    static_cast<unsigned long long>(l.global_write_sectors));
    }
}

}  // namespace
}  // namespace bench

int main() {
    bench::run_norm_and_gate();
    bench::run_embedding_and_rope();
    bench::run_linear();
    bench::run_sampling();
    bench::print_counters();
}
