// Operands of quantised tiles, element by element.
#pragma once

#include "device/async_copy.h"
#include "device/barrier.h"
#include "device/launch.h"
#include "device/quantised.h"
#include "probes.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T, class Q, int kDims>
struct QuantisedKernel {
    static constexpr const char* kName = "probe_quantised";
    static constexpr int kThreads = 64, kTokens = 64;
    using Params = ProbeQuantisedParams;
    using Tile = QuantisedTile<Q, kTokens, kDims>;
    using M = Mma<T>;
    using Keys = QuantisedKeys<M, Tile>;
    using Values = QuantisedValues<M, Tile>;
    static constexpr int64_t kSharedBytes = Tile::kElements;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Tile tile{arena.take<Q>(Tile::kElements, Tile::kAlignment)};
        const Global<const Q> rows(static_cast<const Q*>(p.rows), Tile::kElements);
        for (int i = thread_index(); i < Tile::kChunks; i += kThreads) {
            const int row = Tile::chunk_row(i), column = Tile::chunk_column(i);
            copy_chunk_async(tile, row, column, rows, row * Tile::kColumns + column);
        }
        commit_copies();
        wait_copies<0>();
        sync_block();
        if (warp_index() != 0) return;
        write_keys(tile, Global<T>(static_cast<T*>(p.keys), kTokens * kDims));
        write_values(tile, Global<T>(static_cast<T*>(p.values), kTokens * kDims));
    }

    ADZE_DEVICE static void write_keys(const Tile& tile, const Global<T>& out) {
#pragma unroll 1
        for (int n = 0; n < kTokens; n += M::kN) {
#pragma unroll 1
            for (int index = 0; index < Keys::kLoads; ++index) {
                typename M::B b[Keys::kSteps];
                Keys::load(tile, n, index, b);
#pragma unroll
                for (int step = 0; step < Keys::kSteps; ++step) {
#pragma unroll
                    for (int i = 0; i < M::B::kCount; ++i) {
                        const int k = (index * Keys::kSteps + step) * M::kK + M::B::row(i);
                        out.store((n + M::B::column(i)) * kDims + Keys::dim(k), b[step].value[i]);
                    }
                }
            }
        }
    }

    ADZE_DEVICE static void write_values(const Tile& tile, const Global<T>& out) {
#pragma unroll 1
        for (int k = 0; k < kTokens; k += M::kK) {
#pragma unroll 1
            for (int index = 0; index < Values::kLoads; ++index) {
                typename M::B b[Values::kTiles];
                Values::load(tile, k, index, b);
#pragma unroll
                for (int at = 0; at < Values::kTiles; ++at) {
#pragma unroll
                    for (int i = 0; i < M::B::kCount; ++i) {
                        const int n = (index * Values::kTiles + at) * M::kN + M::B::column(i);
                        out.store((k + M::B::row(i)) * kDims + Values::dim(n), b[at].value[i]);
                    }
                }
            }
        }
    }
};

template <class T, class Q>
bool launch_quantised(LaunchStream& stream, const ProbeQuantisedParams& p) {
    const auto launch_dims = [&]<int kDims>(std::integral_constant<int, kDims>) {
        using Kernel = QuantisedKernel<T, Q, kDims>;
        if (p.head_dim == kDims) launch<Kernel>(stream, {1, 1, 1}, Kernel::kSharedBytes, p);
        return p.head_dim == kDims;
    };
    return launch_dims(std::integral_constant<int, 64>{}) || launch_dims(std::integral_constant<int, 128>{}) ||
           launch_dims(std::integral_constant<int, 192>{}) || launch_dims(std::integral_constant<int, 256>{});
}

template <class T>
bool launch_quantised_as(LaunchStream& stream, const ProbeQuantisedParams& p) {
    if (p.format == ProbeQuantised::kE4m3) return launch_quantised<T, e4m3>(stream, p);
    if (p.format == ProbeQuantised::kInt8) return launch_quantised<T, int8_t>(stream, p);
    return launch_quantised<T, int4x2>(stream, p);
}

}  // namespace ADZE_TARGET
}  // namespace adze
