// The kernels of probes.h.
#pragma once

#include "device/async_copy.h"
#include "device/atomic.h"
#include "device/barrier.h"
#include "device/bulk_copy.h"
#include "device/convert.h"
#include "device/dependent_launch.h"
#include "device/launch.h"
#include "device/math.h"
#include "device/mma.h"
#include "device/reduce.h"
#include "device/wgmma.h"
#include "probes.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr bool on_every_target(Arch) {
    return true;
}
constexpr bool on_sm90a(Arch arch) {
    return arch == Arch::kSm90a;
}

ADZE_DEVICE int64_t global_thread() {
    return static_cast<int64_t>(block_index().x) * block_threads() + thread_index();
}

template <int kBytes, bool kStreamed>
struct VectorsKernel {
    static constexpr const char* kName = "probe_vectors";
    static constexpr int kThreads = 256;
    using Params = ProbeVectorsParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        constexpr int kElements = kBytes / 2;
        constexpr Cache kCache = kStreamed ? Cache::kStreamed : Cache::kNormal;
        const Global<const uint16_t> in(p.in, p.count);
        const Global<uint16_t> out(p.out, p.count);
        const int64_t i = global_thread() * kElements;
        if (guard(i < p.count)) out.store_vec<kElements>(i, in.load_vec<kElements>(i, kCache), kCache);
    }
};

struct SharedKernel {
    static constexpr const char* kName = "probe_shared";
    static constexpr int kThreads = 256;
    using Params = ProbeSharedParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        arena.take<uint8_t>(1);  // so that the next view must be aligned
        const Shared<float> all = arena.take<float>(kThreads);
        const Shared<float> upper = all.slice(kThreads / 2, kThreads / 2);
        const int64_t first = static_cast<int64_t>(block_index().x) * kThreads;
        const int i = thread_index();
        const float value = Global<const float>(p.in, p.count).load(first + i);
        if (i < kThreads / 2) {
            all.store(i, value);
        } else {
            upper.store(i - kThreads / 2, value);
        }
        sync_block();
        if (i < kThreads / 4) {
            const Vec<float, 4> v = all.load_vec<4>(kThreads - 4 - 4 * i);
            Global<float>(p.out, p.count).store_vec<4>(first + 4 * i, {{v[3], v[2], v[1], v[0]}});
        }
    }
};

struct WarpKernel {
    static constexpr const char* kName = "probe_warp";
    static constexpr int kThreads = 128;
    using Params = ProbeWarpParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<float> scratch = arena.take<float>(kMaxWarps);
        const int i = thread_index();
        const float x = Global<const float>(p.in, kThreads).load(i);
        const Global<float> out(p.out, 10 * kThreads);
        out.store(i, shuffle(x, 3));
        out.store(kThreads + i, shuffle_xor(x, 1));
        out.store(2 * kThreads + i, shuffle_xor(x, 2));
        out.store(3 * kThreads + i, shuffle_xor(x, 4));
        out.store(4 * kThreads + i, shuffle_xor(x, 8));
        out.store(5 * kThreads + i, shuffle_xor(x, 16));
        out.store(6 * kThreads + i, shuffle_xor(x, 32 % kWarpSize));
        out.store(7 * kThreads + i, reduce(x, Add{}, 4));
        out.store(8 * kThreads + i, reduce(x, Add{}));
        out.store(9 * kThreads + i, reduce_block(x, Add{}, 0.0f, scratch));
        Global<double>(p.wide, kThreads).store(i, shuffle_xor(static_cast<double>(x), 1));
        Global<uint64_t>(p.ballots, kThreads).store(i, ballot(x > 0));
        Global<float>(p.largest, kThreads).store(i, reduce(x, Max{}));
    }
};

struct AsyncCopyKernel {
    static constexpr const char* kName = "probe_async_copy";
    static constexpr int kThreads = 128, kVector = 4, kTile = kThreads * kVector, kStages = 4;
    static constexpr int64_t kSharedBytes = kStages * kTile * 4;
    using Params = ProbeAsyncCopyParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void begin(const Params& p, const Shared<float>& stages, int64_t tile) {
        const int64_t from = (block_index().x * p.tiles + tile) * kTile + thread_index() * kVector;
        const int to = static_cast<int>(tile % kStages) * kTile + thread_index() * kVector;
        if (tile < p.tiles) copy_async<kVector>(stages, to, Global<const float>(p.in, p.count), from, from < p.count);
        commit_copies();  // an empty group at the end, so that the count of groups stays the same
    }

    // Each thread reads what another one copied, so that the barrier matters too.
    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<float> stages = arena.take<float>(kStages * kTile, 128);
        for (int64_t tile = 0; tile < kStages - 1; ++tile) begin(p, stages, tile);
        const int column = (kThreads - 1 - thread_index()) * kVector;
        float sum = 0;
        for (int64_t tile = 0; tile < p.tiles; ++tile) {
            wait_copies<kStages - 2>();
            sync_block();
            begin(p, stages, tile + kStages - 1);
            const Vec<float, 4> v = stages.load_vec<4>(static_cast<int>(tile % kStages) * kTile + column);
            sum += (v[0] + v[1]) + (v[2] + v[3]);
        }
        wait_copies<0>();
        Global<float>(p.out, p.blocks * kThreads).store(block_index().x * kThreads + column / kVector, sum);
    }
};

// All threads copy a dense matrix of `rows` x Tile::kColumns into a tile, 16 bytes at a time.
template <class Tile>
ADZE_DEVICE void fill_tile(const Tile& tile, const void* data) {
    using T = typename Tile::Element;
    constexpr int kVector = 16 / static_cast<int>(sizeof(T));
    const Global<const T> from(static_cast<const T*>(data), Tile::kElements);
    for (int i = thread_index() * kVector; i < Tile::kElements; i += block_threads() * kVector) {
        tile.store_chunk(i / Tile::kColumns, i % Tile::kColumns, from.template load_vec<kVector>(i));
    }
}
template <class Tile>
ADZE_DEVICE Tile take_tile(SharedArena& arena) {
    return {arena.take<typename Tile::Element>(Tile::kElements, Tile::kAlignment)};
}

// Columns of 128 bytes.
template <class T>
constexpr int kWidth = 128 / static_cast<int>(sizeof(T));

template <class C, class Acc>
ADZE_DEVICE void store_accumulators(const C& c, const Global<Acc>& out, int first_column, int columns) {
#pragma unroll
    for (int i = 0; i < C::kCount; ++i) {
        out.store(static_cast<int64_t>(C::row(i)) * columns + first_column + C::column(i), c.value[i]);
    }
}

// Of the matrix that neighbouring accumulators make.
template <class C, int kCount>
ADZE_DEVICE void sum_rows(const C (&c)[kCount], const Global<float>& out) {
    float sums[C::kRows] = {};
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
#pragma unroll
        for (int i = 0; i < C::kCount; ++i) sums[C::slot(i)] += static_cast<float>(c[j].value[i]);
    }
#pragma unroll
    for (int s = 0; s < C::kRows; ++s) {
        const float sum = C::reduce_row(sums[s], Add{});
        if (C::column(0) == 0) out.store(C::slot_row(s), sum);
    }
}

template <class T>
constexpr bool has_mma(bool wide, Arch arch) {
    constexpr bool kFp8 = std::is_same_v<T, e4m3> || std::is_same_v<T, e5m2>;
    return kFp8 ? arch == Arch::kSm89 : !wide || arch == Arch::kGfx90a;
}
template <class T, bool kWide>
using ProbeMma = std::conditional_t<kWide, MmaWide<T>, Mma<T>>;

template <class T, bool kWide, bool kRowsB>
struct MmaKernel {
    static constexpr const char* kName = "probe_mma";
    static constexpr int kThreads = 64;  // the second half of them is only a second warp where warps have 32 lanes
    static constexpr int kN = 64, kMaxM = 32, kK = kWidth<T>;
    static constexpr int64_t kSharedBytes = (kMaxM * kK + kN * kK + kMaxM * kN) * int64_t{sizeof(T)} + 3 * 1024;
    using Params = ProbeMmaParams;
    static constexpr bool runs_on(Arch arch) { return has_mma<T>(kWide, arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using M = ProbeMma<T, kWide>;
        using TileA = SharedTile<T, M::kM, kK>;
        using TileB = std::conditional_t<kRowsB, SharedTile<T, kK, kN>, SharedTile<T, kN, kK>>;
        SharedArena arena;
        const TileA a = take_tile<TileA>(arena);
        const TileB b = take_tile<TileB>(arena);
        fill_tile(a, p.a);
        fill_tile(b, p.b);
        sync_block();
        if (warp_index() != 0) return;
        typename M::C c[kN / M::kN];
#pragma unroll
        for (int k = 0; k < kK; k += M::kK) {
            const typename M::A left = load_a<M>(a, 0, k);
#pragma unroll
            for (int j = 0; j < kN / M::kN; ++j) {
                if constexpr (kRowsB) {
                    mma<M>(c[j], left, load_b_rows<M>(b, k, j * M::kN));
                } else {
                    mma<M>(c[j], left, load_b<M>(b, j * M::kN, k));
                }
            }
        }
        using Acc = typename M::Acc;
        const Global<Acc> out(static_cast<Acc*>(p.c), M::kM * kN);
#pragma unroll
        for (int j = 0; j < kN / M::kN; ++j) store_accumulators(c[j], out, j * M::kN, kN);
        if (p.row_sums != nullptr) sum_rows(c, Global<float>(p.row_sums, M::kM));
        if constexpr (sizeof(T) == 2) {
            if (p.rounded != nullptr) {
                store_rounded<M>(c, take_tile<SharedTile<T, M::kM, kN>>(arena),
                                 Global<T>(static_cast<T*>(p.rounded), M::kM * kN));
            }
        }
    }

    template <class M, class Tile>
    ADZE_DEVICE static void store_rounded(const typename M::C* c, const Tile& tile, const Global<T>& out) {
#pragma unroll
        for (int j = 0; j < kN / M::kN; ++j) store_c<M>(tile, 0, j * M::kN, c[j]);
        sync_warp();
        for (int i = lane_index() * 8; i < Tile::kElements; i += kWarpSize * 8) {
            out.template store_vec<8>(i, tile.load_chunk(i / kN, i % kN));
        }
    }
};

template <class T, int kN, bool kRowsB, bool kRegisters>
struct WgmmaKernel {
    static constexpr const char* kName = "probe_wgmma";
    static constexpr int kThreads = kWarpGroup, kM = 64, kK = kWidth<T>;
    static constexpr int64_t kSharedBytes = (kM * kK + kN * kK) * int64_t{sizeof(T)} + 2 * 1024;
    using Params = ProbeMmaParams;
    static constexpr bool runs_on(Arch arch) { return on_sm90a(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using W = Wgmma<T, kN>;
        using TileA = SharedTile<T, kM, kK>;
        using TileB = std::conditional_t<kRowsB, SharedTile<T, kK, kN>, SharedTile<T, kN, kK>>;
        SharedArena arena;
        const TileA a = take_tile<TileA>(arena);
        const TileB b = take_tile<TileB>(arena);
        fill_tile(a, p.a);
        fill_tile(b, p.b);
        fence_async_proxy();
        sync_block();
        typename W::C c[1];
        if constexpr (kRegisters) {
            typename W::A rows[kK / W::kK];
#pragma unroll
            for (int k = 0; k < kK; k += W::kK) {
#pragma unroll
                for (int i = 0; i < W::A::kCount; ++i) {
                    rows[k / W::kK].value[i] = a.data.load(TileA::index(W::A::row(i), k + W::A::column(i)));
                }
                wgmma_pin(rows[k / W::kK]);
            }
            wgmma_pin(c[0]);
            wgmma_fence();
#pragma unroll
            for (int k = 0; k < kK; k += W::kK) wgmma<W, kRowsB>(c[0], rows[k / W::kK], b, 0, k);
        } else {
            wgmma_pin(c[0]);
            wgmma_fence();
#pragma unroll
            for (int k = 0; k < kK; k += W::kK) wgmma<W, kRowsB>(c[0], a, 0, k, b, 0, k, k != 0);
        }
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(c[0]);
        using Acc = typename W::Acc;
        store_accumulators(c[0], Global<Acc>(static_cast<Acc*>(p.c), kM * kN), 0, kN);
        if (p.row_sums != nullptr) sum_rows(c, Global<float>(p.row_sums, kM));
    }
};

template <class T>
struct ChainKernel {
    static constexpr const char* kName = "probe_chain";
    static constexpr int kThreads = 64, kN = 64, kW = kWidth<T>, kMaxM = 16;
    static constexpr int64_t kSharedBytes = (kMaxM * kW + 2 * kN * kW) * int64_t{sizeof(T)} + 3 * 1024;
    using Params = ProbeChainParams;
    static constexpr bool runs_on(Arch arch) { return has_mma<T>(false, arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using M = Mma<T>;
        using TileA = SharedTile<T, M::kM, kW>;
        using TileB = SharedTile<T, kN, kW>;
        SharedArena arena;
        const TileA a = take_tile<TileA>(arena);
        const TileB b = take_tile<TileB>(arena), v = take_tile<TileB>(arena);
        fill_tile(a, p.a);
        fill_tile(b, p.b);
        fill_tile(v, p.v);
        sync_block();
        if (warp_index() != 0) return;
        typename M::C between[kN / M::kN], out[kN / M::kN];
#pragma unroll
        for (int k = 0; k < kW; k += M::kK) {
            const typename M::A left = load_a<M>(a, 0, k);
#pragma unroll
            for (int j = 0; j < kN / M::kN; ++j) mma<M>(between[j], left, load_b<M>(b, j * M::kN, k));
        }
#pragma unroll
        for (int k = 0; k < kN; k += M::kK) {
            const typename M::A left = as_operand<M>(between + k / M::kN);
#pragma unroll
            for (int j = 0; j < kN / M::kN; ++j) {
                if constexpr (sizeof(T) == 2) {
                    mma<M>(out[j], left, load_b_rows<M>(v, k, j * M::kN));
                } else {
                    mma<M>(out[j], left, load_b<M>(v, j * M::kN, k));
                }
            }
        }
#pragma unroll
        for (int j = 0; j < kN / M::kN; ++j) {
            store_accumulators(out[j], Global<float>(p.out, M::kM * kN), j * M::kN, kN);
        }
    }
};

template <class T>
struct WgmmaChainKernel {
    static constexpr const char* kName = "probe_wgmma_chain";
    static constexpr int kThreads = kWarpGroup, kM = 64, kN = 64, kW = kWidth<T>;
    static constexpr int64_t kSharedBytes = 3 * kN * 128 + 1024;
    using Params = ProbeChainParams;
    static constexpr bool runs_on(Arch arch) { return on_sm90a(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using W = Wgmma<T, kN>;
        using Tile = SharedTile<T, kN, kW>;
        SharedArena arena;
        const Tile a = take_tile<Tile>(arena), b = take_tile<Tile>(arena), v = take_tile<Tile>(arena);
        fill_tile(a, p.a);
        fill_tile(b, p.b);
        fill_tile(v, p.v);
        fence_async_proxy();
        sync_block();
        typename W::C between, out;
        wgmma_pin(between);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < kW; k += W::kK) wgmma<W>(between, a, 0, k, b, 0, k, k != 0);
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(between);
        typename W::A left[kN / W::kK];
#pragma unroll
        for (int k = 0; k < kN; k += W::kK) {
            left[k / W::kK] = as_wgmma_operand<W>(between, k);
            wgmma_pin(left[k / W::kK]);
        }
        wgmma_pin(out);
        wgmma_fence();
#pragma unroll
        for (int k = 0; k < kN; k += W::kK) wgmma<W, sizeof(T) == 2>(out, left[k / W::kK], v, 0, k, k != 0);
        wgmma_commit();
        wgmma_wait<0>();
        wgmma_pin(out);
        store_accumulators(out, Global<float>(p.out, kM * kN), 0, kN);
    }
};

template <class Fragment>
ADZE_DEVICE void write_layout(int32_t* data, int threads) {
    const Global<int32_t> out(data, int64_t{threads} * Fragment::kCount * 2);
#pragma unroll
    for (int i = 0; i < Fragment::kCount; ++i) {
        const int64_t at = (int64_t{thread_index()} * Fragment::kCount + i) * 2;
        out.store(at, Fragment::row(i));
        out.store(at + 1, Fragment::column(i));
    }
}

template <class T, bool kWide>
struct LayoutKernel {
    static constexpr const char* kName = "probe_layout";
    static constexpr int kThreads = 64;
    using Params = ProbeLayoutParams;
    static constexpr bool runs_on(Arch arch) { return has_mma<T>(kWide, arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using M = ProbeMma<T, kWide>;
        if (warp_index() != 0) return;
        if (p.operand == 0) write_layout<typename M::A>(p.out, kWarpSize);
        if (p.operand == 1) write_layout<typename M::B>(p.out, kWarpSize);
        if (p.operand == 2) write_layout<typename M::C>(p.out, kWarpSize);
    }
};

template <class T, int kN>
struct WgmmaLayoutKernel {
    static constexpr const char* kName = "probe_wgmma_layout";
    static constexpr int kThreads = kWarpGroup;
    using Params = ProbeLayoutParams;
    static constexpr bool runs_on(Arch arch) { return on_sm90a(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        using W = Wgmma<T, kN>;
        if (p.operand == 0) write_layout<typename W::A>(p.out, kThreads);
        if (p.operand == 2) write_layout<typename W::C>(p.out, kThreads);
    }
};

struct BulkCopyKernelParams {
    TensorMap from, to;
    int32_t at[kMaxRank];
    int32_t elements;  // of the box
};

template <int kRank>
struct BulkCopyKernel {
    static constexpr const char* kName = "probe_bulk_copy";
    static constexpr int kThreads = 128;
    static constexpr int64_t shared_bytes(int64_t elements) { return add_shared(elements * 4, 8); }
    using Params = BulkCopyKernelParams;
    static constexpr bool runs_on(Arch arch) { return on_sm90a(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<float> box = arena.take<float>(p.elements, 1024);
        const Shared<uint64_t> barrier = arena.take<uint64_t>(1);
        int32_t at[kRank];
#pragma unroll
        for (int i = 0; i < kRank; ++i) at[i] = p.at[i];
        if (thread_index() == 0) {
            mbarrier_init(barrier, 0, 1);
            fence_mbarrier_init();
        }
        sync_block();
        if (thread_index() == 0) {
            mbarrier_arrive_expect(barrier, 0, static_cast<uint32_t>(p.elements) * 4);
            bulk_load<kRank>(box, 0, p.from, at, barrier, 0);
        }
        mbarrier_wait(barrier, 0, 0);
        for (int i = thread_index(); i < p.elements; i += kThreads) box.store(i, box.load(i) + 1);
        fence_async_proxy();
        sync_block();
        if (thread_index() == 0) {
            bulk_store<kRank>(p.to, at, box, 0);
            commit_bulk_stores();
            wait_bulk_stores<0>();
        }
    }
};

struct PipelineKernelParams {
    TensorMap a, b, c;
    int32_t k;
};

// Warp group 0 asks for copies, 1 and 2 multiply 64 rows each. A stage is full once its bytes have come, and free again
// once all their warps have arrived.
template <class T>
struct PipelineKernel {
    static constexpr const char* kName = "probe_pipeline";
    static constexpr int kM = 128, kN = 128, kK = 64, kStages = 4;
    static constexpr int kConsumers = 2, kThreads = (1 + kConsumers) * kWarpGroup;
    using TileA = SharedTile<T, kM, kK>;
    using TileB = SharedTile<T, kN, kK>;
    using TileC = SharedTile<T, kM, kN>;
    static constexpr int kStageBytes = (TileA::kElements + TileB::kElements) * static_cast<int>(sizeof(T));
    static constexpr int64_t kSharedBytes =
        add_shared(kStages * kStageBytes + TileC::kElements * int64_t{sizeof(T)}, 2 * kStages * 8);
    using Params = PipelineKernelParams;
    static constexpr bool runs_on(Arch arch) { return on_sm90a(arch); }

    struct Storage {
        Shared<T> a, b;
        TileC c;
        Shared<uint64_t> full, free;
    };

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<T> a = arena.take<T>(kStages * TileA::kElements, 1024);
        const Shared<T> b = arena.take<T>(kStages * TileB::kElements, 1024);
        const TileC c = take_tile<TileC>(arena);
        const Storage s{a, b, c, arena.take<uint64_t>(kStages), arena.take<uint64_t>(kStages)};
        if (thread_index() == 0) {
            for (int i = 0; i < kStages; ++i) {
                mbarrier_init(s.full, i, 1);
                mbarrier_init(s.free, i, kConsumers * kWarpGroup / kWarpSize);
            }
            fence_mbarrier_init();
        }
        sync_block();
        const int steps = (p.k + kK - 1) / kK;
        const int group = thread_index() / kWarpGroup;
        if (group > 0) {
            consume(p, s, steps, group - 1);
        } else if (thread_index() == 0) {
            produce(p, s, steps);
        }
    }

    ADZE_DEVICE static void produce(const Params& p, const Storage& s, int steps) {
        const auto m = static_cast<int32_t>(block_index().y * kM), n = static_cast<int32_t>(block_index().x * kN);
        for (int step = 0; step < steps; ++step) {
            const int stage = step % kStages;
            const auto round = static_cast<uint32_t>(step / kStages);
            if (round > 0) mbarrier_wait(s.free, stage, (round - 1) & 1);
            mbarrier_arrive_expect(s.full, stage, kStageBytes);
            bulk_load<2>(s.a, stage * TileA::kElements, p.a, {step * kK, m}, s.full, stage);
            bulk_load<2>(s.b, stage * TileB::kElements, p.b, {step * kK, n}, s.full, stage);
        }
    }

    ADZE_DEVICE static void consume(const Params& p, const Storage& s, int steps, int group) {
        using W = Wgmma<T, kN>;
        typename W::C c;
        for (int step = 0; step < steps; ++step) {
            const int stage = step % kStages;
            mbarrier_wait(s.full, stage, static_cast<uint32_t>(step / kStages) & 1);
            const TileA a{s.a.slice(stage * TileA::kElements, TileA::kElements)};
            const TileB b{s.b.slice(stage * TileB::kElements, TileB::kElements)};
            wgmma_pin(c);
            wgmma_fence();
#pragma unroll
            for (int k = 0; k < kK; k += W::kK) wgmma<W>(c, a, group * 64, k, b, 0, k);
            wgmma_commit();
            wgmma_wait<1>();  // the step before
            if (lane_index() == 0 && step > 0) mbarrier_arrive(s.free, (step - 1) % kStages);
        }
        wgmma_wait<0>();
        wgmma_pin(c);
        store(p, s.c, c, group);
    }

    ADZE_DEVICE static void store(const Params& p, const TileC& tile, const typename Wgmma<T, kN>::C& c, int group) {
        using C = typename Wgmma<T, kN>::C;
#pragma unroll
        for (int i = 0; i < C::kCount; i += 2) {
            const float pair[2] = {c.value[i], c.value[i + 1]};
            tile.data.template store_vec<2>(TileC::index(group * 64 + C::row(i), C::column(i)),
                                            from_floats<T, 2>(pair));
        }
        fence_async_proxy();
        sync_named(1 + group, kWarpGroup);
        if (thread_index() % kWarpGroup == 0) {
            const auto m = static_cast<int32_t>(block_index().y * kM) + group * 64;
            const auto n = static_cast<int32_t>(block_index().x * kN);
            for (int panel = 0; panel < kN / TileC::kPanel; ++panel) {
                const int column = panel * TileC::kPanel;
                bulk_store<2>(p.c, {n + column, m}, tile.data, TileC::index(group * 64, column));
            }
            commit_bulk_stores();
            wait_bulk_stores<0>();
        }
    }
};

struct NamedBarrierKernel {
    static constexpr const char* kName = "probe_named_barriers";
    static constexpr int kThreads = 256, kGroup = 128;
    using Params = ProbeNamedBarrierParams;
    static constexpr bool runs_on(Arch arch) { return arch != Arch::kGfx90a; }

    // Barrier 1: group 0 has written; barrier 2: group 1 has.
    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<int32_t> values = arena.take<int32_t>(kGroup);
        const int i = thread_index() % kGroup;
        const bool second = thread_index() >= kGroup;
        if (!second) values.store(i, i);
        for (int round = 0; round < p.rounds; ++round) {
            if (second) {
                sync_named(1, kThreads);
                values.store(i, values.load(i) + 1);
                arrive_named(2, kThreads);
            } else {
                if (round == 0) {
                    arrive_named(1, kThreads);
                } else {
                    values.store(i, values.load(i) + 1);
                    arrive_named(1, kThreads);
                }
                sync_named(2, kThreads);
            }
        }
        if (!second) Global<int32_t>(p.out, kGroup).store(i, values.load(i) + 1);
    }
};

struct ChainedScanKernel {
    static constexpr const char* kName = "probe_chained_scan";
    static constexpr int kThreads = 256;
    using Params = ProbeChainedScanParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<float> scratch = arena.take<float>(kMaxWarps);
        const Shared<uint32_t> ticket = arena.take<uint32_t>(1);
        if (thread_index() == 0) ticket.store(0, atomic_add(Global<uint32_t>(p.ticket, 1), 0, 1u));
        sync_block();
        const int64_t block = ticket.load(0), i = block * kThreads + thread_index();
        float x = 0;
        if (guard(i < p.count)) x = Global<const float>(p.in, p.count).load(i);
        const float own = reduce_block(x, Add{}, 0.0f, scratch);
        if (thread_index() != 0) return;
        const Global<uint32_t> flags(p.flags, p.blocks);
        const Global<float> sums(p.sums, p.blocks);
        float before = 0;
        if (block > 0) {
            while (load_acquire(flags, block - 1) == 0) {
            }
            before = sums.load(block - 1);
        }
        sums.store(block, before + own);
        store_release(flags, block, 1);
        Global<float>(p.out, p.blocks).store(block, before + own);
    }
};

struct AtomicsKernel {
    static constexpr const char* kName = "probe_atomics";
    static constexpr int kThreads = 256;
    using Params = ProbeAtomicsParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        SharedArena arena;
        const Shared<uint32_t> counts = arena.take<uint32_t>(256);
        const Shared<int32_t> largest = arena.take<int32_t>(1);
        const Shared<float> sum = arena.take<float>(1);
        counts.store(thread_index(), 0);
        if (thread_index() == 0) {
            largest.store(0, INT32_MIN);
            sum.store(0, 0.0f);
        }
        sync_block();
        const int64_t i = global_thread();
        if (guard(i < p.count)) {
            const int32_t value = Global<const int32_t>(p.in, p.count).load(i);
            atomic_add(counts, value, 1u);
            atomic_max(largest, 0, value);
            atomic_add(sum, 0, static_cast<float>(value));
            atomic_add(Global<uint64_t>(p.total, 1), 0, static_cast<uint64_t>(value));
        }
        sync_block();
        atomic_add(Global<uint32_t>(p.histogram, 256), thread_index(), counts.load(thread_index()));
        if (thread_index() == 0) {
            atomic_max(Global<int32_t>(p.largest, 1), 0, largest.load(0));
            atomic_add(Global<float>(p.sum, 1), 0, sum.load(0));
        }
    }
};

struct ConvertKernel {
    static constexpr const char* kName = "probe_convert";
    static constexpr int kThreads = 128;
    using Params = ProbeConvertParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    template <class T>
    ADZE_DEVICE static void halves(const float (&x)[8], void* bits, float* back, const Params& p, int64_t i) {
        const Vec<T, 8> packed = from_floats<T, 8>(x);
        Global<T>(static_cast<T*>(bits), p.count).template store_vec<8>(i, packed);
        float again[8];
        to_floats(packed, again);
        store(again, back, p, i);
    }
    template <class T>
    ADZE_DEVICE static void fp8(const float (&x)[8], uint8_t* bits, float* back, const Params& p, int64_t i) {
        const Vec<uint32_t, 2> words{
            {pack_fp8x4<T>({x[0], x[1], x[2], x[3]}), pack_fp8x4<T>({x[4], x[5], x[6], x[7]})}};
        Global<uint32_t>(reinterpret_cast<uint32_t*>(bits), p.count / 4).store_vec<2>(i / 4, words);
        float low[4], high[4];
        unpack_fp8x4<T>(words[0], low);
        unpack_fp8x4<T>(words[1], high);
        store({low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]}, back, p, i);
    }
    ADZE_DEVICE static void store(const float (&x)[8], float* to, const Params& p, int64_t i) {
        const Global<float> out(to, p.count);
        out.store_vec<4>(i, {{x[0], x[1], x[2], x[3]}});
        out.store_vec<4>(i + 4, {{x[4], x[5], x[6], x[7]}});
    }

    ADZE_DEVICE static void run(const Params& p) {
        const int64_t i = global_thread() * 8;
        if (!guard(i < p.count)) return;
        const Global<const float> in(p.in, p.count);
        const Vec<float, 4> low = in.load_vec<4>(i), high = in.load_vec<4>(i + 4);
        const float x[8] = {low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]};
        halves<f16>(x, p.f16_bits, p.from_f16, p, i);
        halves<bf16>(x, p.bf16_bits, p.from_bf16, p, i);
        fp8<e4m3>(x, p.e4m3_bits, p.from_e4m3, p, i);
        fp8<e5m2>(x, p.e5m2_bits, p.from_e5m2, p, i);
        const uint32_t word = Global<const uint32_t>(p.int4, p.count / 8).load(i / 8);
        Global<f16>(reinterpret_cast<f16*>(p.int4_f16), p.count).store_vec<8>(i, unpack_int4x8<f16>(word));
        Global<bf16>(reinterpret_cast<bf16*>(p.int4_bf16), p.count).store_vec<8>(i, unpack_int4x8<bf16>(word));
    }
};

struct MathKernel {
    static constexpr const char* kName = "probe_math";
    static constexpr int kThreads = 256;
    using Params = ProbeMathParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        const int64_t i = global_thread();
        if (!guard(i < p.count)) return;
        const float x = Global<const float>(p.in, p.count).load(i);
        Global<float>(p.exp2, p.count).store(i, exp2_approx(x));
        Global<float>(p.log2, p.count).store(i, log2_approx(x));
        Global<float>(p.rsqrt, p.count).store(i, rsqrt(x));
        Global<float>(p.ratio, p.count).store(i, divide(1.0f, x));
        Global<float>(p.fma, p.count).store(i, is_nan(x) ? infinity() : fma(x, x, x));
        float sine, cosine;
        sincos_f64(x, sine, cosine);
        Global<float>(p.sine, p.count).store(i, sine);
        Global<float>(p.cosine, p.count).store(i, cosine);
        Global<int32_t>(p.bits, p.count).store(i, count_bits(float_bits(x)));
        Global<int32_t>(p.lowest, p.count).store(i, lowest_bit(float_bits(x)));
    }
};

// out[i] = scale * (in[i] + shift)
struct AffineParams {
    const float* in;
    float* out;
    int64_t count;
    float scale, shift;
};
struct AffineKernel {
    static constexpr const char* kName = "probe_dependent_launch";
    static constexpr int kThreads = 256;
    static constexpr bool kOverlaps = true;
    using Params = AffineParams;
    static constexpr bool runs_on(Arch arch) { return on_every_target(arch); }

    ADZE_DEVICE static void run(const Params& p) {
        allow_next_kernel();
        wait_for_previous_kernel();
        const int64_t i = global_thread();
        if (!guard(i < p.count)) return;
        const float x = Global<const float>(p.in, p.count).load(i);
        Global<float>(p.out, p.count).store(i, p.scale * (x + p.shift));
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
