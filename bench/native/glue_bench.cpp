// The small operators in the shapes of an 8B model: they should cost what moving their bytes costs.
#include "session.h"

namespace bench {
namespace {

adze_stream* stream() {
    return Session::get().stream();
}

void rms_norm(benchmark::State& state) {
    const int64_t M = state.range(0), D = 4096;
    const Array x(ADZE_DTYPE_F32, M, D), residual(ADZE_DTYPE_F32, M, D), weight(ADZE_DTYPE_F32, 1, D),
        y(ADZE_DTYPE_F32, M, D);
    const adze_rms_norm_desc desc{sizeof desc, 1e-5f, x.view(), weight.view(), residual.view(), y.view()};
    measure(state, double(4 * x.bytes()), 0, [&] { ADZE_BENCH_CHECK(adze_rms_norm_run(stream(), &desc)); });
}

void rope(benchmark::State& state) {
    const int64_t M = state.range(0);
    const Array x(ADZE_DTYPE_F32, M, 32 * 128), frequencies(ADZE_DTYPE_F32, 1, 64);
    Array positions(ADZE_DTYPE_I32, 1, M);
    positions.fill(0);
    const adze_rope_desc desc{sizeof desc, 128, x.view(), positions.view(), frequencies.view()};
    measure(state, double(2 * x.bytes()), 0, [&] { ADZE_BENCH_CHECK(adze_rope_run(stream(), &desc)); });
}

void silu_gate(benchmark::State& state) {
    const int64_t M = state.range(0), D = 14336;
    const Array gate(ADZE_DTYPE_F32, M, D), up(ADZE_DTYPE_F32, M, D), y(ADZE_DTYPE_F32, M, D);
    const adze_silu_gate_desc desc{sizeof desc, 0, gate.view(), up.view(), y.view()};
    measure(state, double(3 * y.bytes()), 0, [&] { ADZE_BENCH_CHECK(adze_silu_gate_run(stream(), &desc)); });
}

void embedding(benchmark::State& state) {
    const int64_t M = state.range(0), D = 4096;
    const Array table(ADZE_DTYPE_BF16, 32000, D), y(ADZE_DTYPE_F32, M, D);
    Array ids(ADZE_DTYPE_I32, 1, M);
    std::vector<int32_t> rows(static_cast<size_t>(M));
    for (size_t m = 0; m < rows.size(); ++m) rows[m] = int32_t(m * 7919 % 32000);
    ids.write(rows.data());
    const adze_embedding_desc desc{sizeof desc, 0, ids.view(), table.view(), y.view()};
    measure(state, 1.5 * double(y.bytes()), 0, [&] { ADZE_BENCH_CHECK(adze_embedding_run(stream(), &desc)); });
}

void configure(benchmark::internal::Benchmark* bench) {
    bench->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.05)->ArgName("M")->Arg(1)->Arg(64)->Arg(2048);
}
BENCHMARK(rms_norm)->Apply(configure);
BENCHMARK(rope)->Apply(configure);
BENCHMARK(silu_gate)->Apply(configure);
BENCHMARK(embedding)->Apply(configure);

}  // namespace
}  // namespace bench
