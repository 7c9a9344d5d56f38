// The context that all benchmarks run in, memory for them, and counters against the ceilings.
#pragma once
#include <adze/adze.h>
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "ceilings.h"

namespace bench {

#define ADZE_BENCH_CHECK(call)                                          \
    do {                                                                \
        if ((call) != ADZE_OK) {                                        \
            std::fprintf(stderr, "%s: %s\n", #call, adze_last_error()); \
            std::exit(1);                                               \
        }                                                               \
    } while (0)

/// One context for the whole run: all cores, the widest instruction set or the one in ADZE_BENCH_ISA.
class Session {
public:
    static Session& get() {
        static Session session;
        return session;
    }
    adze_context* context() const { return context_; }
    adze_stream* stream() const { return stream_; }
    const std::string& architecture() const { return architecture_; }

private:
    Session() {
        adze_context_desc desc{sizeof desc, ADZE_BACKEND_CPU, 0, num_threads(), ADZE_CPU_ISA_AUTO, 0};
        const char* isa = std::getenv("ADZE_BENCH_ISA");
        const std::string name = isa ? isa : "";
        if (name == "portable") desc.cpu_isa = ADZE_CPU_ISA_PORTABLE;
        if (name == "avx2") desc.cpu_isa = ADZE_CPU_ISA_AVX2;
        if (name == "avx512") desc.cpu_isa = ADZE_CPU_ISA_AVX512;
        ADZE_BENCH_CHECK(adze_context_create(&desc, &context_));
        ADZE_BENCH_CHECK(adze_stream_create(context_, &stream_));
        adze_device_info info{};
        info.struct_size = sizeof info;
        ADZE_BENCH_CHECK(adze_context_info(context_, &info));
        architecture_ = info.architecture;
    }
    adze_context* context_ = nullptr;
    adze_stream* stream_ = nullptr;
    std::string architecture_;
};

inline uint64_t element_bytes(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F32 || dtype == ADZE_DTYPE_I32 ? 4 : 2;
}
inline const char* dtype_name(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F32 ? "f32" : dtype == ADZE_DTYPE_F16 ? "f16" : "bf16";
}

/// Device memory full of small ordinary numbers; every dtype reads the pattern as such.
class Array {
public:
    explicit Array(uint64_t bytes, int pattern = 0x3c) {
        ADZE_BENCH_CHECK(adze_buffer_create(Session::get().context(), bytes, &buffer_));
        fill(pattern);
    }
    Array(adze_dtype dtype, int64_t rows, int64_t columns) : Array(uint64_t(rows * columns) * element_bytes(dtype)) {
        view_ = {adze_buffer_data(buffer_), rows, columns, columns, dtype, 0};
    }
    Array(Array&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)), view_(other.view_) {}
    ~Array() { adze_buffer_destroy(buffer_); }
    void fill(int pattern) {
        ADZE_BENCH_CHECK(adze_buffer_fill(buffer_, 0, uint8_t(pattern), bytes(), Session::get().stream()));
    }
    void write(const void* source) {
        ADZE_BENCH_CHECK(adze_buffer_write(buffer_, 0, source, bytes(), Session::get().stream()));
    }
    const adze_tensor& view() const { return view_; }
    void* data() const { return adze_buffer_data(buffer_); }
    uint64_t bytes() const { return adze_buffer_bytes(buffer_); }

private:
    adze_buffer* buffer_ = nullptr;
    adze_tensor view_{};
};

/// Times `work`, and reports its bytes/s and FLOP/s (where there are any) and their shares of the ceilings.
template <class Work>
void measure(benchmark::State& state, double bytes, double flops, const Work& work) {
    using benchmark::Counter;
    const double copy = copy_ceiling(), fma = flops == 0 ? 0 : fma_ceiling(Session::get().architecture());
    const auto start = std::chrono::steady_clock::now();
    for (auto _ : state) work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double runs_per_second = double(state.iterations()) / seconds;
    state.counters["bytes/s"] = Counter(bytes * runs_per_second, Counter::kDefaults, Counter::kIs1000);
    state.counters["of_copy"] = bytes * runs_per_second / copy;
    if (flops == 0) return;
    state.counters["FLOP/s"] = Counter(flops * runs_per_second, Counter::kDefaults, Counter::kIs1000);
    state.counters["of_fma"] = flops * runs_per_second / fma;
}

}  // namespace bench
