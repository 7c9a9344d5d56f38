// What matrix instructions compute: exact products, added one after another in f32 (int32 for integers) in the order of k.
// The hardware adds several at a time, aligned to the largest and cut; that, and the reduced width of FP8 accumulators on
// sm_90, is not modelled.
#pragma once

#include <cstddef>
#include <cstdint>

namespace adze::sim {

// c[m][n] += sum_k a[m][k] * b[k][n], all dense; n a multiple of 8.
void multiply_add(float* c, const float* a, const float* b, int m, int n, int k);
void multiply_add(int32_t* c, const int32_t* a, const int32_t* b, int m, int n, int k);

// Room for the operands of one multiply_add, aligned to 64 bytes, of each thread of the host. Not its static storage: of
// that a library that is loaded late gets little.
struct Scratch {
    static constexpr int kMostM = 64, kMostN = 256, kMostK = 32;
    alignas(64) std::byte a[kMostM * kMostK * 4];
    alignas(64) std::byte b[kMostK * kMostN * 4];
    alignas(64) std::byte c[kMostM * kMostN * 4];
};
Scratch& matrix_scratch();

}  // namespace adze::sim
