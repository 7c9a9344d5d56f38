// The context that all benchmarks run in, memory for them, and counters against the ceilings.
#pragma once
#include <adze/adze.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
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

/// One context for the whole run: all cores, the widest instruction set or the one in ADZE_BENCH_ISA; or the device in
/// ADZE_BENCH_DEVICE, such as cuda:0.
class Session {
public:
    static Session& get() {
        static Session session;
        return session;
    }
    adze_context* context() const { return context_; }
    adze_stream* stream() const { return stream_; }
    /// As ADZE_BENCH_DEVICE spells it.
    const std::string& device() const { return device_; }
    const std::string& architecture() const { return architecture_; }
    bool on_cpu() const { return on_cpu_; }

private:
    Session() {
        adze_context_desc desc{sizeof desc, ADZE_BACKEND_CPU, 0, num_threads(), ADZE_CPU_ISA_AUTO, 0};
        choose_device(desc);
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
        on_cpu_ = info.backend == ADZE_BACKEND_CPU;
    }
    void choose_device(adze_context_desc& desc) {
        if (const char* text = std::getenv("ADZE_BENCH_DEVICE")) device_ = text;
        const std::string backend = device_.substr(0, device_.find(':'));
        for (auto [name, id] : {std::pair{"cpu", ADZE_BACKEND_CPU},
                                {"sim", ADZE_BACKEND_SIM},
                                {"cuda", ADZE_BACKEND_CUDA},
                                {"hip", ADZE_BACKEND_HIP}}) {
            if (backend != name) continue;
            desc.backend = id;
            if (device_.size() > backend.size()) desc.device = std::atoi(device_.c_str() + backend.size() + 1);
            return;
        }
        std::fprintf(stderr, "ADZE_BENCH_DEVICE is %s; allowed is cpu, sim, cuda or hip, and :N for a device\n",
                     device_.c_str());
        std::exit(2);
    }
    bool on_cpu_ = true;
    adze_context* context_ = nullptr;
    adze_stream* stream_ = nullptr;
    std::string device_ = "cpu:0", architecture_;
};

inline uint64_t element_bits(adze_dtype dtype) {
    switch (dtype) {
        case ADZE_DTYPE_F32:
        case ADZE_DTYPE_I32:
            return 32;
        case ADZE_DTYPE_F8E4M3:
        case ADZE_DTYPE_I8:
            return 8;
        case ADZE_DTYPE_I4:
            return 4;
        default:
            return 16;
    }
}
inline uint64_t element_bytes(adze_dtype dtype) {
    return element_bits(dtype) / 8;
}
inline bool is_quantised(adze_dtype dtype) {
    return dtype == ADZE_DTYPE_F8E4M3 || dtype == ADZE_DTYPE_I8 || dtype == ADZE_DTYPE_I4;
}
/// As the command line spells it.
inline const char* dtype_name(adze_dtype dtype) {
    switch (dtype) {
        case ADZE_DTYPE_F32:
            return "f32";
        case ADZE_DTYPE_F16:
            return "f16";
        case ADZE_DTYPE_F8E4M3:
            return "fp8";
        case ADZE_DTYPE_I8:
            return "int8";
        case ADZE_DTYPE_I4:
            return "int4";
        default:
            return "bf16";
    }
}

/// Device memory full of small ordinary numbers; every dtype reads the pattern as such. Or, where their values matter to
/// power and so to clocks, of noise.
class Array {
public:
    explicit Array(uint64_t bytes, int pattern = 0x3c) {
        ADZE_BENCH_CHECK(adze_buffer_create(Session::get().context(), bytes, &buffer_));
        fill(pattern);
    }
    Array(adze_dtype dtype, int64_t rows, int64_t columns) : Array(uint64_t(rows * columns) * element_bits(dtype) / 8) {
        view_ = {adze_buffer_data(buffer_), rows, columns, columns, dtype, 0};
    }
    Array(Array&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)), view_(other.view_) {}
    ~Array() { adze_buffer_destroy(buffer_); }
    void fill(int pattern) {
        ADZE_BENCH_CHECK(adze_buffer_fill(buffer_, 0, uint8_t(pattern), bytes(), Session::get().stream()));
    }
    void write(const void* source) {
        ADZE_BENCH_CHECK(adze_buffer_write(buffer_, 0, source, bytes(), Session::get().stream()));
        ADZE_BENCH_CHECK(adze_stream_synchronize(Session::get().stream()));
    }
    /// Normal numbers; quantised ones of any size but NaN. They repeat after a MiB.
    void fill_with_noise(uint32_t seed) {
        std::mt19937 random(seed);
        std::normal_distribution<float> normal;
        std::vector<uint8_t> block(std::min<uint64_t>(bytes(), uint64_t{1} << 20));
        const uint64_t step = std::max<uint64_t>(element_bits(view_.dtype) / 8, 1);
        for (uint64_t at = 0; at + step <= block.size(); at += step) {
            const uint32_t bits =
                step == 1 ? random() & 0xbf : std::bit_cast<uint32_t>(normal(random)) >> (32 - 8 * step);
            std::memcpy(&block[at], &bits, step);
        }
        adze_stream* stream = Session::get().stream();
        ADZE_BENCH_CHECK(adze_buffer_write(buffer_, 0, block.data(), block.size(), stream));
        for (uint64_t at = block.size(); at < bytes(); at *= 2)
            ADZE_BENCH_CHECK(adze_buffer_copy(buffer_, at, buffer_, 0, std::min(at, bytes() - at), stream));
        ADZE_BENCH_CHECK(adze_stream_synchronize(stream));
    }
    const adze_tensor& view() const { return view_; }
    void* data() const { return adze_buffer_data(buffer_); }
    adze_buffer* buffer() const { return buffer_; }
    uint64_t bytes() const { return adze_buffer_bytes(buffer_); }

private:
    adze_buffer* buffer_ = nullptr;
    adze_tensor view_{};
};

/// Bytes a second, read plus written, of a copy within the device's memory that no cache holds: the best of three.
inline double device_copy_ceiling() {
    static const double best = [] {
        constexpr uint64_t kBytes = uint64_t{1} << 30;
        adze_stream* stream = Session::get().stream();
        const auto from = std::make_unique<Array>(kBytes), to = std::make_unique<Array>(kBytes);
        double seconds = HUGE_VAL;
        for (int turn = 0; turn < 4; ++turn) {  // the first is not at speed yet
            ADZE_BENCH_CHECK(adze_stream_synchronize(stream));
            const auto start = std::chrono::steady_clock::now();
            ADZE_BENCH_CHECK(adze_buffer_copy(to->buffer(), 0, from->buffer(), 0, kBytes, stream));
            ADZE_BENCH_CHECK(adze_stream_synchronize(stream));
            seconds =
                std::min(seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        return 2 * double(kBytes) / seconds;
    }();
    return best;
}

/// Times `work`, and reports its bytes/s and FLOP/s (where there are any) and their shares of the ceilings; of the
/// arithmetic of a GPU there is none yet. A GPU's launches follow each other and are waited for at the end.
template <class Work>
void measure(benchmark::State& state, double bytes, double flops, const Work& work) {
    using benchmark::Counter;
    const Session& session = Session::get();
    const double copy = session.on_cpu() ? copy_ceiling() : device_copy_ceiling();
    const double fma = flops == 0 || !session.on_cpu() ? 0 : fma_ceiling(session.architecture());
    if (!session.on_cpu()) work();  // the first launch loads the kernel
    ADZE_BENCH_CHECK(adze_stream_synchronize(session.stream()));
    const auto start = std::chrono::steady_clock::now();
    benchmark::IterationCount left = state.max_iterations;
    for (auto _ : state) {
        work();
        if (--left == 0)
            ADZE_BENCH_CHECK(adze_stream_synchronize(session.stream()));  // before the library's clock stops
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double runs_per_second = double(state.iterations()) / seconds;
    state.counters["bytes/s"] = Counter(bytes * runs_per_second, Counter::kDefaults, Counter::kIs1000);
    state.counters["of_copy"] = bytes * runs_per_second / copy;
    if (flops == 0) return;
    state.counters["FLOP/s"] = Counter(flops * runs_per_second, Counter::kDefaults, Counter::kIs1000);
    if (fma > 0) state.counters["of_fma"] = flops * runs_per_second / fma;
}

/// Benchmarks whose sizes follow the device.
void register_attention();

}  // namespace bench
