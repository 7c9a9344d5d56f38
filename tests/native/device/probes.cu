// Launches of the probes: instances, sizes, tensor maps.
#include "probes.cuh"
#include "quantised_probes.cuh"

namespace adze {
inline namespace ADZE_TARGET {
namespace {

constexpr int64_t blocks_for(int64_t items, int64_t of_a_block) {
    return (items + of_a_block - 1) / of_a_block;
}

[[noreturn]] void fail_unknown(const char* probe) {
    fail(ADZE_ERROR_NOT_SUPPORTED, "%s: no instance for these parameters", probe);
}

template <int kBytes>
void launch_vectors(LaunchStream& stream, const ProbeVectorsParams& p) {
    const Grid grid{blocks_for(p.count, VectorsKernel<kBytes, false>::kThreads * kBytes / 2), 1, 1};
    if (p.streamed) return launch<VectorsKernel<kBytes, true>>(stream, grid, 0, p);
    launch<VectorsKernel<kBytes, false>>(stream, grid, 0, p);
}

void probe_vectors(LaunchStream& stream, const ProbeVectorsParams& p) {
    switch (p.vector_bytes) {
        case 2:
            return launch_vectors<2>(stream, p);
        case 4:
            return launch_vectors<4>(stream, p);
        case 8:
            return launch_vectors<8>(stream, p);
        case 16:
            return launch_vectors<16>(stream, p);
        default:
            fail_unknown("probe_vectors");
    }
}

void probe_shared(LaunchStream& stream, const ProbeSharedParams& p) {
    launch<SharedKernel>(stream, {p.count / SharedKernel::kThreads, 1, 1}, add_shared(1, SharedKernel::kThreads * 4),
                         p);
}

void probe_warp(LaunchStream& stream, const ProbeWarpParams& p) {
    launch<WarpKernel>(stream, {1, 1, 1}, kMaxWarps * 4, p);
}

void probe_async_copy(LaunchStream& stream, const ProbeAsyncCopyParams& p) {
    launch<AsyncCopyKernel>(stream, {p.blocks, 1, 1}, AsyncCopyKernel::kSharedBytes, p);
}

template <class Kernel, class Params>
void launch_one(LaunchStream& stream, const Params& p) {
    launch<Kernel>(stream, {1, 1, 1}, Kernel::kSharedBytes, p);
}

template <class T>
void launch_mma(LaunchStream& stream, const ProbeMmaParams& p) {
    if constexpr (sizeof(T) == 2) {
        if (p.wide && p.rows_b) return launch_one<MmaKernel<T, true, true>>(stream, p);
        if (p.wide) return launch_one<MmaKernel<T, true, false>>(stream, p);
        if (p.rows_b) return launch_one<MmaKernel<T, false, true>>(stream, p);
    }
    launch_one<MmaKernel<T, false, false>>(stream, p);
}

template <class T, int kN>
void launch_wgmma(LaunchStream& stream, const ProbeMmaParams& p) {
    if constexpr (sizeof(T) == 2 && kN % 64 == 0) {
        if (p.rows_b && p.a_in_registers) return launch_one<WgmmaKernel<T, kN, true, true>>(stream, p);
        if (p.rows_b) return launch_one<WgmmaKernel<T, kN, true, false>>(stream, p);
    }
    if (p.a_in_registers) return launch_one<WgmmaKernel<T, kN, false, true>>(stream, p);
    launch_one<WgmmaKernel<T, kN, false, false>>(stream, p);
}

// Calls `run` with a value of the format's type.
template <class Run>
void with_format(ProbeFormat format, Run run) {
    switch (format) {
        case ProbeFormat::kF16:
            return run(f16{});
        case ProbeFormat::kBf16:
            return run(bf16{});
        case ProbeFormat::kInt8:
            return run(int8_t{});
        case ProbeFormat::kE4m3:
            return run(e4m3{});
        case ProbeFormat::kE5m2:
            return run(e5m2{});
    }
    fail_unknown("probe");
}

void probe_mma(LaunchStream& stream, const ProbeMmaParams& p) {
    with_format(p.format, [&](auto of_format) {
        using T = decltype(of_format);
        switch (p.n) {
            case 0:
                return launch_mma<T>(stream, p);
            case 8:
                return launch_wgmma<T, 8>(stream, p);
            case 64:
                return launch_wgmma<T, 64>(stream, p);
            case 128:
                return launch_wgmma<T, 128>(stream, p);
            case 256:
                return launch_wgmma<T, 256>(stream, p);
            default:
                fail_unknown("probe_mma");
        }
    });
}

void probe_chain(LaunchStream& stream, const ProbeChainParams& p) {
    with_format(p.format, [&](auto of_format) {
        using T = decltype(of_format);
        if constexpr (std::is_same_v<T, int8_t>) {
            fail_unknown("probe_chain");
        } else {
            if (p.warp_group) return launch_one<WgmmaChainKernel<T>>(stream, p);
            launch_one<ChainKernel<T>>(stream, p);
        }
    });
}

void probe_layout(LaunchStream& stream, const ProbeLayoutParams& p) {
    with_format(p.format, [&](auto of_format) {
        using T = decltype(of_format);
        if constexpr (sizeof(T) == 2) {
            if (p.wide) return launch<LayoutKernel<T, true>>(stream, {1, 1, 1}, 0, p);
        }
        switch (p.n) {
            case 0:
                return launch<LayoutKernel<T, false>>(stream, {1, 1, 1}, 0, p);
            case 8:
                return launch<WgmmaLayoutKernel<T, 8>>(stream, {1, 1, 1}, 0, p);
            case 64:
                return launch<WgmmaLayoutKernel<T, 64>>(stream, {1, 1, 1}, 0, p);
            default:
                fail_unknown("probe_layout");
        }
    });
}

template <int kRank>
void launch_bulk_copy(LaunchStream& stream, const ProbeBulkCopyParams& p) {
    BulkCopyKernelParams params{make_tensor_map(stream, p.from), make_tensor_map(stream, p.to), {}, 1};
    for (int i = 0; i < kRank; ++i) {
        params.at[i] = p.at[i];
        params.elements *= p.from.box[i];
    }
    launch<BulkCopyKernel<kRank>>(stream, {1, 1, 1}, BulkCopyKernel<kRank>::shared_bytes(params.elements), params);
}

void probe_bulk_copy(LaunchStream& stream, const ProbeBulkCopyParams& p) {
    switch (p.from.rank) {
        case 1:
            return launch_bulk_copy<1>(stream, p);
        case 2:
            return launch_bulk_copy<2>(stream, p);
        case 3:
            return launch_bulk_copy<3>(stream, p);
        case 4:
            return launch_bulk_copy<4>(stream, p);
        case 5:
            return launch_bulk_copy<5>(stream, p);
        default:
            fail_unknown("probe_bulk_copy");
    }
}

TensorMap map_of_halves(LaunchStream& stream, const void* data, int64_t rows, int64_t columns, int box_rows) {
    TensorMapDesc desc{};
    desc.data = const_cast<void*>(data);
    desc.element_bytes = 2;
    desc.rank = 2;
    desc.sizes[0] = columns;
    desc.sizes[1] = rows;
    desc.strides[1] = columns * 2;
    desc.box[0] = 64;
    desc.box[1] = box_rows;
    desc.swizzle_bytes = 128;
    return make_tensor_map(stream, desc);
}

void probe_pipeline(LaunchStream& stream, const ProbePipelineParams& p) {
    using Kernel = PipelineKernel<bf16>;
    const PipelineKernelParams params{map_of_halves(stream, p.a, p.m, p.k, Kernel::kM),
                                      map_of_halves(stream, p.b, p.n, p.k, Kernel::kN),
                                      map_of_halves(stream, p.c, p.m, p.n, 64), p.k};
    launch<Kernel>(stream, {blocks_for(p.n, Kernel::kN), blocks_for(p.m, Kernel::kM), 1}, Kernel::kSharedBytes, params);
}

void probe_named_barriers(LaunchStream& stream, const ProbeNamedBarrierParams& p) {
    launch<NamedBarrierKernel>(stream, {1, 1, 1}, NamedBarrierKernel::kGroup * 4, p);
}

void probe_chained_scan(LaunchStream& stream, const ProbeChainedScanParams& p) {
    launch<ChainedScanKernel>(stream, {p.blocks, 1, 1}, kMaxWarps * 4 + 4, p);
}

void probe_atomics(LaunchStream& stream, const ProbeAtomicsParams& p) {
    const int64_t bytes = add_shared(add_shared(256 * 4, 4), 4);
    launch<AtomicsKernel>(stream, {blocks_for(p.count, AtomicsKernel::kThreads), 1, 1}, bytes, p);
}

void probe_convert(LaunchStream& stream, const ProbeConvertParams& p) {
    launch<ConvertKernel>(stream, {blocks_for(p.count / 8, ConvertKernel::kThreads), 1, 1}, 0, p);
}

void probe_quantised(LaunchStream& stream, const ProbeQuantisedParams& p) {
    const bool half = p.operand == ProbeFormat::kF16;
    const bool known = half ? launch_quantised_as<f16>(stream, p) : launch_quantised_as<bf16>(stream, p);
    if (!known) fail_unknown("probe_quantised");
}

void probe_math(LaunchStream& stream, const ProbeMathParams& p) {
    launch<MathKernel>(stream, {blocks_for(p.count, MathKernel::kThreads), 1, 1}, 0, p);
}

void probe_dependent_launch(LaunchStream& stream, const ProbeDependentLaunchParams& p) {
    const Grid grid{blocks_for(p.count, AffineKernel::kThreads), 1, 1};
    launch<AffineKernel>(stream, grid, 0, {p.in, p.between, p.count, 1.0f, 1.0f});
    launch<AffineKernel>(stream, grid, 0, {p.between, p.out, p.count, 2.0f, 0.0f});
}

}  // namespace

// A function: hipcc would put a constant table of host functions into device memory.
const ProbeTable& probes();
const ProbeTable& probes() {
    static const ProbeTable kTable{
        .vectors = probe_vectors,
        .shared = probe_shared,
        .warp = probe_warp,
        .async_copy = probe_async_copy,
        .mma = probe_mma,
        .chain = probe_chain,
        .layout = probe_layout,
        .bulk_copy = probe_bulk_copy,
        .pipeline = probe_pipeline,
        .named_barriers = probe_named_barriers,
        .chained_scan = probe_chained_scan,
        .atomics = probe_atomics,
        .convert = probe_convert,
        .quantised = probe_quantised,
        .math = probe_math,
        .dependent_launch = probe_dependent_launch,
    };
    return kTable;
}

}  // namespace ADZE_TARGET
}  // namespace adze
