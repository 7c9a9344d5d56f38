// One call of sampling.
#pragma once
#include "kit/compare.h"
#include "kit/machine.h"
#include "oracle/philox.h"
#include "oracle/sampling.h"

namespace kit {

using Allowed = std::vector<bool>;

/// Logits of V tokens that share their mass among many, of several kinds.
constexpr int kWideLogits = 7;
inline double wide_logit(int kind, int64_t i, int64_t V, Random& random) {
    const double x = random.normal();
    switch (kind) {
        case 0:
            return x;
        case 1:
            return 0.25;  // all equal
        case 2:
            return std::round(2 * x) / 2;  // few values
        case 3:
            return i < 2 ? 9 : x;  // two above the rest
        case 4:
            return 1 + x * 1e-6;  // neighbours, or equal
        case 5:
            return std::ldexp(x, int(random.integer(-30, 2)));  // of many exponents
        default:
            return (i / 700 % 9 == 0 ? 3 : i > V / 2 ? -2 : 0) + x * 0.01;  // clusters
    }
}

struct SamplingCall {
    SamplingCall(adze_context* context, Tensor logits_in, std::vector<adze_sampling_params> params_in = {},
                 const std::vector<Allowed>& allowed = {}, Random* junk = nullptr)
        : logits(std::move(logits_in)), params(std::move(params_in)), ids(ADZE_DTYPE_I32, 1, logits.rows()) {
        const int64_t B = logits.rows(), V = logits.columns(), words = (V + 31) / 32;
        uint64_t bytes = 0;
        ADZE_EXPECT_OK(adze_sampling_workspace_size(context, B, V, &bytes));
        device_params = Fenced(params.size() * sizeof params[0]);
        if (!params.empty()) std::memcpy(device_params.data(), params.data(), device_params.bytes());
        workspace = Workspace(bytes);
        if (allowed.empty()) return;
        // Bits from V on, and whole words behind them, are anything.
        mask = Tensor(ADZE_DTYPE_I32, B, words + (junk ? junk->integer(0, 2) : 0), junk ? junk->integer(0, 3) : 0);
        for (int64_t b = 0; b < B; ++b) {
            for (int64_t w = 0; w < mask.columns(); ++w) {
                uint32_t word = junk ? uint32_t(junk->next()) : 0xffffffffu;
                for (int64_t i = w * 32; i < std::min(V, w * 32 + 32); ++i) {
                    const uint32_t bit = 1u << (i % 32);
                    word = allowed[size_t(b)][size_t(i)] ? word | bit : word & ~bit;
                }
                mask.set(b, w, int32_t(word));
            }
        }
        mask.freeze();
    }

    adze_sampling_desc desc() const {
        return {sizeof(adze_sampling_desc),
                0,
                logits.view(),
                params.empty() ? nullptr : reinterpret_cast<const adze_sampling_params*>(device_params.data()),
                mask.view(),
                ids.view(),
                workspace.data(),
                workspace.bytes()};
    }

    std::vector<int> run(adze_stream* stream) {
        ids.poison();
        const adze_sampling_desc call = desc();
        EXPECT_EQ(adze_sampling_run(stream, &call), ADZE_OK) << adze_last_error();
        EXPECT_TRUE(ids.framed());
        EXPECT_TRUE(workspace.framed());
        EXPECT_TRUE(mask.unchanged());
        std::vector<int> out;
        for (double id : ids.values()) out.push_back(int(id));
        return out;
    }

    Tensor logits;
    std::vector<adze_sampling_params> params;
    Fenced device_params;  // as they were at first
    Tensor mask, ids;
    Workspace workspace;
};

}  // namespace kit
