#include "device/sim/matrix.h"

// The widest instructions of the host, chosen when the plug-in is loaded.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    #define ADZE_SIM_WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
    #define ADZE_SIM_WIDEST
#endif

namespace adze::sim {
namespace {

// Rows of c in registers, eight columns at a time.
template <class T, int kRows>
inline __attribute__((always_inline)) void rows(T* __restrict c, const T* __restrict a, const T* __restrict b, int n,
                                                int k) {
    for (int column = 0; column < n; column += 8) {
        T sum[kRows][8];
        for (int r = 0; r < kRows; ++r) {
            for (int i = 0; i < 8; ++i) sum[r][i] = c[r * n + column + i];
        }
        for (int j = 0; j < k; ++j) {
            for (int r = 0; r < kRows; ++r) {
                for (int i = 0; i < 8; ++i) sum[r][i] += a[r * k + j] * b[j * n + column + i];
            }
        }
        for (int r = 0; r < kRows; ++r) {
            for (int i = 0; i < 8; ++i) c[r * n + column + i] = sum[r][i];
        }
    }
}

template <class T>
inline __attribute__((always_inline)) void all_rows(T* c, const T* a, const T* b, int m, int n, int k) {
    for (int row = 0; row < m; row += 8) rows<T, 8>(c + row * n, a + row * k, b, n, k);
}

}  // namespace

ADZE_SIM_WIDEST void multiply_add(float* c, const float* a, const float* b, int m, int n, int k) {
    all_rows(c, a, b, m, n, k);
}
ADZE_SIM_WIDEST void multiply_add(int32_t* c, const int32_t* a, const int32_t* b, int m, int n, int k) {
    all_rows(c, a, b, m, n, k);
}

}  // namespace adze::sim
