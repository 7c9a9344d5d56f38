// kernels/numeric must compile as device code with nvcc and with hipcc.
#include "numeric/bf16.h"
#include "numeric/f16.h"
#include "numeric/fp8.h"
#include "numeric/philox.h"
#include "numeric/quantised.h"

__global__ void use_numeric(float* values, unsigned short* halves, double* draws, unsigned long long seed) {
    const unsigned i = threadIdx.x;
    values[i] = adze::to_float(adze::to_bf16(values[i])) + adze::to_float(adze::to_f16(values[i]));
    values[i] += adze::to_float(adze::to_e4m3(values[i])) + adze::to_float(adze::to_e5m2(values[i]));
    values[i] *= adze::scale_for<int8_t>(adze::quantise<int8_t>(values[i]) + adze::quantise<adze::int4x2>(values[i]));
    halves[i] = adze::to_f16(values[i]).bits;
    draws[i] = adze::philox_uniform(seed, i);
}
