#include "device/sim/matrix.h"

#include <cstring>
#include <memory>

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

}  // namespace

ADZE_SIM_WIDEST void multiply_add(float* c, const float* a, const float* b, int m, int n, int k) {
    tiles(c, a, b, m, n, k);
}
ADZE_SIM_WIDEST void multiply_add(int32_t* c, const int32_t* a, const int32_t* b, int m, int n, int k) {
    tiles(c, a, b, m, n, k);
}

Scratch& matrix_scratch() {
    static thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
    return *scratch;
}

}  // namespace adze::sim
