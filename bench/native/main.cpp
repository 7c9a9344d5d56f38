// Google Benchmark with medians by default, and the ceilings as benchmarks of their own.
//   adze_bench --benchmark_filter=linear/bf16 --benchmark_format=json     ADZE_BENCH_ISA=avx2 adze_bench ...
//   ADZE_BENCH_DEVICE=cuda:0 adze_bench ...
#include "session.h"

namespace bench {
namespace {

void ceiling(benchmark::State& state, Measured (*measure)(const std::string&), const std::string& argument,
             const char* unit) {
    double best = 0;
    for (auto _ : state) best = std::max(best, measure(argument).rate());
    state.counters[unit] = benchmark::Counter(best, benchmark::Counter::kDefaults, benchmark::Counter::kIs1000);
}

void register_ceilings() {
    const auto add = [](const std::string& name, auto measure, const std::string& argument, const char* unit) {
        const std::string full = "ceiling/" + name;
        benchmark::RegisterBenchmark(full.c_str(), ceiling, measure, argument, unit)->Iterations(5)->UseRealTime();
    };
    add(
        "copy", +[](const std::string&) { return measure_copy(); }, "", "bytes/s");
    add("fma_portable", &measure_fma, "portable", "FLOP/s");
    for (adze_cpu_isa isa : {ADZE_CPU_ISA_AVX2, ADZE_CPU_ISA_AVX512}) {
        // The library knows what the processor has.
        const adze_context_desc desc{sizeof desc, ADZE_BACKEND_CPU, 0, 1, isa, 0};
        adze_context* context = nullptr;
        if (adze_context_create(&desc, &context) != ADZE_OK) continue;
        adze_context_destroy(context);
        const std::string name = isa == ADZE_CPU_ISA_AVX2 ? "avx2" : "avx512";
        add("fma_" + name, &measure_fma, name, "FLOP/s");
    }
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    // Before the caller's own flags, which win.
    std::string repetitions = "--benchmark_repetitions=3", aggregates = "--benchmark_report_aggregates_only=true";
    std::vector<char*> arguments{argv[0], repetitions.data(), aggregates.data()};
    arguments.insert(arguments.end(), argv + 1, argv + argc);
    int count = int(arguments.size());
    benchmark::AddCustomContext("adze", adze_build_info());
    benchmark::AddCustomContext("adze_device", bench::Session::get().device());
    benchmark::AddCustomContext("adze_isa", bench::Session::get().architecture());
    benchmark::AddCustomContext("adze_threads", std::to_string(bench::num_threads()));
    bench::register_ceilings();
    bench::register_attention();
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
