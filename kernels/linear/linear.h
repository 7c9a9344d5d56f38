// y[m, n] = sum_k x[m, k] * w[n, k] + bias[n]: what the kernels see.
#pragma once

#include <cstdint>

#include "adze/base.h"

namespace adze {

// A packed weight. On cpu: panels of kPanel output features, [ceil(N / kPanel)][K][kPanel], the last panel padded with
// zeros. A lane owns an output feature, so a sum over k never crosses lanes, and a matrix-vector product reads the weight
// as one stream. On GPUs: tiles, see linear.cuh.
struct WeightView {
    adze_dtype dtype;
    int64_t n, k;
    const void* data;
};
constexpr int64_t kPanel = 16;

struct LinearParams {
    WeightView weight;
    adze_tensor x, y, bias;
    void* workspace;  // linear_workspace_bytes(): x as dense f32
};

uint64_t linear_workspace_bytes(int64_t rows, int64_t k);
uint64_t packed_weight_bytes(adze_dtype dtype, int64_t n, int64_t k);
// Fills one panel of `packed` from a row-major source.
void pack_panel(const void* source, int64_t row_stride, const WeightView& packed, int64_t panel);

}  // namespace adze
