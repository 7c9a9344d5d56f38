#include "device/sim/matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "device/sim/block.h"
#include "numeric/bf16.h"
#include "numeric/f16.h"
#include "numeric/fp8.h"

// The widest instructions of the host, chosen when the plug-in is loaded.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    #define ADZE_SIM_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
    #define ADZE_SIM_WIDEST
#endif
#define ADZE_SIM_INLINE inline __attribute__((always_inline))

namespace adze::sim {
namespace {

template <class T, int kLanes>
struct VectorOf {
    typedef T Type __attribute__((vector_size(sizeof(T) * kLanes)));
};

// kRows x kLanes of c, in registers.
template <class T, int kRows, int kLanes>
ADZE_SIM_INLINE void tile(T* c, const T* a, const T* b, int n, int k) {
    using Vector = typename VectorOf<T, kLanes>::Type;
    Vector sum[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) std::memcpy(&sum[r], c + r * n, sizeof(Vector));
    for (int j = 0; j < k; ++j) {
        Vector row;
        std::memcpy(&row, b + j * n, sizeof row);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) sum[r] += a[r * k + j] * row;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) std::memcpy(c + r * n, &sum[r], sizeof(Vector));
}

template <class T>
ADZE_SIM_INLINE void tiles(T* c, const T* a, const T* b, int m, int n, int k) {
    for (int row = 0; row < m; row += 8) {
        int column = 0;
        for (; column + 16 <= n; column += 16) tile<T, 8, 16>(c + row * n + column, a + row * k, b + column, n, k);
        if (column < n) tile<T, 8, 8>(c + row * n + column, a + row * k, b + column, n, k);
    }
}

ADZE_SIM_WIDEST void multiply_add(float* c, const float* a, const float* b, int m, int n, int k) {
    tiles(c, a, b, m, n, k);
}
ADZE_SIM_WIDEST void multiply_add(int32_t* c, const int32_t* a, const int32_t* b, int m, int n, int k) {
    tiles(c, a, b, m, n, k);
}

// Where each lane's elements lie in the dense operands.
template <class L>
struct Places {
    uint16_t a[L::kLanes][L::kA] = {}, b[L::kLanes][L::kB] = {}, c[L::kLanes][L::kC] = {};
    constexpr Places() {
        for (int lane = 0; lane < L::kLanes; ++lane) {
            for (int i = 0; i < L::kA; ++i)
                a[lane][i] = static_cast<uint16_t>(L::a_row(lane, i) * L::kK + L::a_column(lane, i));
            for (int i = 0; i < L::kB; ++i)
                b[lane][i] = static_cast<uint16_t>(L::b_row(lane, i) * L::kN + L::b_column(lane, i));
            for (int i = 0; i < L::kC; ++i)
                c[lane][i] = static_cast<uint16_t>(L::c_row(lane, i) * L::kN + L::c_column(lane, i));
        }
    }
};
template <class L>
constexpr Places<L> kPlaces;

// v_mfma of f16 and bf16 takes subnormal numbers as zero and gives none: MIOpen's documentation, "MI200 MFMA behavior
// specifics".
template <class T>
inline float flush(float value) {
    constexpr float kSmallestNormal = std::is_same_v<T, f16> ? 0x1p-14f : 0x1p-126f;
    return std::fabs(value) < kSmallestNormal ? std::copysign(0.0f, value) : value;
}
template <class T>
inline int32_t flush(int32_t value) {
    return value;
}

// Room for the operands of a group's instruction, of each thread of the host. Not its static storage: of that a library that
// is loaded late gets little.
constexpr int kGroupM = 64, kMostN = 256;
template <class Acc>
struct Scratch {
    alignas(64) Acc a[kGroupM * 32], b[32 * kMostN], c[kGroupM * kMostN];
};
template <class Acc>
Scratch<Acc>& scratch() {
    static thread_local const std::unique_ptr<Scratch<Acc>> scratch = std::make_unique<Scratch<Acc>>();
    return *scratch;
}

// Where the first four of a thread's accumulators lie in [kGroupM, n]; each further four are 8 columns on.
struct FirstPlaces {
    FirstPlaces(int thread, int n) {
        using L = NvidiaLayout::Of<f16>;  // the accumulators' are those of every T
        for (int i = 0; i < 4; ++i)
            at[i] = (thread / 32 * 16 + L::c_row(thread % 32, i)) * n + L::c_column(thread % 32, i);
    }
    int at[4];
};

// a of a group, [kGroupM][k], from the threads' registers.
template <class T>
void read_registers(const Thread* threads, size_t operation, AccumulatorOf<T>* out) {
    using L = NvidiaLayout::Of<T>;
    for (int t = 0; t < kWarpGroup; ++t) {
        const auto* a = reinterpret_cast<const T*>(threads[t].copies.multiplies[operation].a_registers.data());
        for (int i = 0; i < L::kA; ++i) {
            out[(t / 32 * 16 + L::a_row(t % 32, i)) * L::kK + L::a_column(t % 32, i)] = widen(a[i]);
        }
    }
}

// An operand as [row][k] or, `transposed`, [k][row], by chunks of 16 bytes; the tile holds [row][k] or, `rows`, [k][row].
template <class T>
void read_operand(const Block& block, uint64_t descriptor, int count, bool transposed, AccumulatorOf<T>* out,
                  bool rows = false) {
    constexpr int kK = NvidiaLayout::Of<T>::kK;
    constexpr int kChunk = 16 / sizeof(T);
    const int row_step = rows ? kChunk : 1, k_step = rows ? 1 : kChunk;
    const int r_pitch = transposed ? 1 : kK, k_pitch = transposed ? count : 1, pitch = rows ? r_pitch : k_pitch;
    for (int r = 0; r < count; r += row_step) {
        for (int k = 0; k < kK; k += k_step) {
            T chunk[kChunk];
            std::memcpy(chunk, block.operand(descriptor, r, k, sizeof(T), rows), sizeof chunk);
            for (int i = 0; i < kChunk; ++i) out[r * r_pitch + k * k_pitch + i * pitch] = widen(chunk[i]);
        }
    }
}

}  // namespace

template <class L, class T>
void multiply(const Thread* lanes) {
    using Acc = AccumulatorOf<T>;
    constexpr bool kFlushes = L::kLanes == 64;
    constexpr const Places<L>& place = kPlaces<L>;
    alignas(64) Acc as[L::kM * L::kK], bs[L::kK * L::kN], cs[L::kM * L::kN];
    for (int lane = 0; lane < L::kLanes; ++lane) {
        const auto* c = static_cast<const Acc*>(lanes[lane].offer[0]);
        const auto* a = static_cast<const T*>(lanes[lane].offer[1]);
        const auto* b = static_cast<const T*>(lanes[lane].offer[2]);
        for (int i = 0; i < L::kA; ++i) as[place.a[lane][i]] = widen(a[i]);
        for (int i = 0; i < L::kB; ++i) bs[place.b[lane][i]] = widen(b[i]);
        for (int i = 0; i < L::kC; ++i) cs[place.c[lane][i]] = c[i];
    }
    if constexpr (kFlushes) {
        for (auto& x : as) x = flush<T>(x);
        for (auto& x : bs) x = flush<T>(x);
    }
    multiply_add(cs, as, bs, L::kM, L::kN, L::kK);
    for (int lane = 0; lane < L::kLanes; ++lane) {
        auto* c = static_cast<Acc*>(lanes[lane].offer[0]);
        for (int i = 0; i < L::kC; ++i) c[i] = kFlushes ? flush<float>(cs[place.c[lane][i]]) : cs[place.c[lane][i]];
    }
}

template <class T>
void multiply_group(const Block& block, const Thread* threads, size_t begin, size_t end) {
    using Acc = AccumulatorOf<T>;
    const int n = threads[0].copies.multiplies[begin].n, count = n / 2;
    auto& [as, bs, cs] = scratch<Acc>();
    for (int t = 0; t < kWarpGroup; ++t) {
        const auto* c = static_cast<const Acc*>(threads[t].copies.multiplies[begin].c);
        const FirstPlaces first(t, n);
        for (int i = 0; i < count; ++i) cs[first.at[i % 4] + i / 4 * 8] = c[i];
    }
    for (size_t at = begin; at < end; ++at) {
        const GroupMultiply& what = threads[0].copies.multiplies[at];
        if (!what.accumulate) std::fill(cs, cs + kGroupM * n, Acc{});
        if (what.a_registers.empty()) {
            read_operand<T>(block, what.a, kGroupM, false, as);
        } else {
            read_registers<T>(threads, at, as);
        }
        read_operand<T>(block, what.b, n, true, bs, what.rows_b);
        multiply_add(cs, as, bs, kGroupM, n, what.k);
    }
    for (int t = 0; t < kWarpGroup; ++t) {
        auto* c = static_cast<Acc*>(threads[t].copies.multiplies[begin].c);
        const FirstPlaces first(t, n);
        for (int i = 0; i < count; ++i) c[i] = cs[first.at[i % 4] + i / 4 * 8];
    }
}

template void multiply<WideMfmaLayout::Of<f16>, f16>(const Thread*);
template void multiply<WideMfmaLayout::Of<bf16>, bf16>(const Thread*);
#define ADZE_INSTANTIATE(T)                                        \
    template void multiply<NvidiaLayout::Of<T>, T>(const Thread*); \
    template void multiply<MfmaLayout::Of<T>, T>(const Thread*);   \
    template void multiply_group<T>(const Block&, const Thread*, size_t, size_t);
ADZE_INSTANTIATE(f16)
ADZE_INSTANTIATE(bf16)
ADZE_INSTANTIATE(e4m3)
ADZE_INSTANTIATE(e5m2)
ADZE_INSTANTIATE(int8_t)

}  // namespace adze::sim
