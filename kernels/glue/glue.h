// The small operators: what the kernels see. Shapes as in include/adze/glue.h.
#pragma once

#include "adze/base.h"

namespace adze {

struct EmbeddingParams {
    adze_tensor ids, table, y;
};

struct RmsNormParams {
    adze_tensor x, weight, residual, y;
    float epsilon;
};

struct RopeParams {
    adze_tensor x, positions, inv_freq;
    int32_t head_dim;
};

struct SiluGateParams {
    adze_tensor gate, up, y;
};

// For backends whose device memory the host can read: refuses an entry of an I32 vector outside [0, limit) before
// anything runs.
void require_ids(const adze_tensor& ids, int64_t limit, const char* name);

}  // namespace adze
