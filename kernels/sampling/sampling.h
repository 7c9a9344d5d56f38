// From logits to the next token: what the kernels see.
#pragma once

#include <cstdint>

#include "adze/sampling.h"

namespace adze {

struct SamplingParams {
    adze_tensor logits, mask, ids;
    const adze_sampling_params* params;  // NULL: greedy
    uint32_t params_stride;              // bytes
    void* workspace;                     // sampling_workspace_bytes()
};

// A row's candidates while it is filtered. Logits order them: different logits may have equal weights.
struct Candidate {
    float logit, weight;
    int32_t id;
};

inline uint64_t sampling_workspace_bytes(int64_t rows, int64_t vocabulary) {
    return (static_cast<uint64_t>(rows) * static_cast<uint64_t>(vocabulary) * sizeof(Candidate) + 255) / 256 * 256;
}

}  // namespace adze
