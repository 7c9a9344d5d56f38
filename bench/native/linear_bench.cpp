// linear over M, weight formats and the shapes of an 8B model's layers.
#include "linear_work.h"

namespace bench {
namespace {

void linear(benchmark::State& state, adze_dtype w_dtype, int64_t N, int64_t K) {
    LinearWork work(state.range(0), N, K, w_dtype);
    measure(state, work.bytes, work.flops, [&] { work.run(); });
}

const int registered = [] {
    for (auto [N, K] : {std::pair<int64_t, int64_t>{4096, 14336}, {4096, 4096}, {14336, 4096}, {1024, 4096}}) {
        for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16, ADZE_DTYPE_F32}) {
            const std::string name =
                "linear/" + std::string(dtype_name(dtype)) + "/" + std::to_string(N) + "x" + std::to_string(K);
            auto* bench = benchmark::RegisterBenchmark(
                name.c_str(), [=, N = N, K = K](benchmark::State& state) { linear(state, dtype, N, K); });
            bench->ArgName("M")->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.05);
            for (int64_t M : {1, 2, 4, 8, 16, 64, 256}) bench->Arg(M);
        }
    }
    return 0;
}();

}  // namespace
}  // namespace bench
