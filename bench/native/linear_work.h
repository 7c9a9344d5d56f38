// linear on weights that no cache holds: as many copies, in turn, as make 256 MB.
#pragma once
#include <algorithm>
#include <memory>

#include "session.h"

namespace bench {

class LinearWork {
public:
    LinearWork(int64_t M, int64_t N, int64_t K, adze_dtype w_dtype, adze_dtype x_dtype = ADZE_DTYPE_F32)
        : x_(x_dtype, M, K), y_(ADZE_DTYPE_F32, M, N) {
        const uint64_t weight_bytes = uint64_t(N * K) * element_bytes(w_dtype);
        const std::vector<char> host(weight_bytes, 0x3c);
        const adze_weight_desc desc{sizeof desc, w_dtype, host.data(), N, K, 0};
        const uint64_t copies = std::max<uint64_t>(1, (uint64_t{256'000'000} + weight_bytes - 1) / weight_bytes);
        uint64_t workspace = 0;
        for (uint64_t i = 0; i < copies; ++i) {
            adze_weight* weight = nullptr;
            ADZE_BENCH_CHECK(adze_weight_create(Session::get().context(), &desc, &weight));
            weights_.emplace_back(weight, adze_weight_destroy);
        }
        ADZE_BENCH_CHECK(adze_linear_workspace_size(weights_[0].get(), M, &workspace));
        workspace_ = std::make_unique<Array>(workspace);
        bytes = double(weight_bytes + x_.bytes() + y_.bytes());
        flops = 2.0 * double(M) * double(N) * double(K);
    }

    void run() {
        const adze_linear_desc desc{sizeof desc, 0,  weights_[next_].get(), x_.view(),
                                    y_.view(),   {}, workspace_->data(),    workspace_->bytes()};
        next_ = (next_ + 1) % weights_.size();
        ADZE_BENCH_CHECK(adze_linear_run(Session::get().stream(), &desc));
    }

    double bytes, flops;  ///< the fewest of one run

private:
    Array x_, y_;
    std::vector<std::unique_ptr<adze_weight, adze_status (*)(adze_weight*)>> weights_;
    std::unique_ptr<Array> workspace_;
    size_t next_ = 0;
};

}  // namespace bench
