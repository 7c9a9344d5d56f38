// What matrix instructions compute: exact products, added one after another in f32 (int32 for integers) in the order of k.
// The hardware adds several at a time, aligned to the largest and cut; that, and the reduced width of FP8 accumulators on
// sm_90, is not modelled.
#pragma once

#include <cstdint>

namespace adze::sim {

// c[m][n] += sum_k a[m][k] * b[k][n], all dense; n a multiple of 8.
void multiply_add(float* c, const float* a, const float* b, int m, int n, int k);
void multiply_add(int32_t* c, const int32_t* a, const int32_t* b, int m, int n, int k);

}  // namespace adze::sim
