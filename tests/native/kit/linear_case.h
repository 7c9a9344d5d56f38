// One call of linear with everything around it.
#pragma once
#include "kit/compare.h"
#include "kit/machine.h"
#include "oracle/linear.h"

namespace kit {

inline Weight pack(adze_context* context, const Tensor& w) {
    const adze_weight_desc desc{sizeof desc, w.dtype(), w.data(), w.rows(), w.columns(), w.stride()};
    return make<Weight>([&](adze_weight** out) { return adze_weight_create(context, &desc, out); });
}

struct LinearCase {
    int64_t M, N, K;
    adze_dtype x_dtype = ADZE_DTYPE_F32, w_dtype = ADZE_DTYPE_F32, y_dtype = ADZE_DTYPE_F32;
    adze_dtype bias_dtype = ADZE_DTYPE_NONE;
    int64_t x_gap = 0, w_gap = 0, y_gap = 0;
};

inline std::ostream& operator<<(std::ostream& out, const LinearCase& c) {
    return out << "M " << c.M << " N " << c.N << " K " << c.K << " x " << name_of(c.x_dtype) << " w "
               << name_of(c.w_dtype) << " y " << name_of(c.y_dtype) << " bias " << name_of(c.bias_dtype) << " gaps "
               << c.x_gap << ' ' << c.w_gap << ' ' << c.y_gap;
}

struct LinearCall {
    LinearCall(adze_context* context, const LinearCase& c, const std::function<double()>& value)
        : x(Tensor(c.x_dtype, c.M, c.K, c.x_gap).fill(value)),
          w(Tensor(c.w_dtype, c.N, c.K, c.w_gap).fill(value)),
          bias(c.bias_dtype ? Tensor(c.bias_dtype, 1, c.N).fill(value) : Tensor()),
          y(Tensor(c.y_dtype, c.M, c.N, c.y_gap).poison()),
          weight(pack(context, w)),
          flushes(flushes_subnormals(context)) {
        EXPECT_TRUE(w.unchanged());
        uint64_t bytes = 0;
        ADZE_EXPECT_OK(adze_linear_workspace_size(weight, c.M, &bytes));
        workspace = Workspace(bytes);
    }

    adze_linear_desc desc() const {
        return {sizeof(adze_linear_desc), 0, weight, x.view(), y.view(), bias.view(), workspace.data(),
                workspace.bytes()};
    }

    /// Runs, and checks that nothing but y's elements changed.
    void run(adze_stream* stream) {
        y.poison();
        const adze_linear_desc call = desc();
        ADZE_ASSERT_OK(adze_linear_run(stream, &call));
        EXPECT_TRUE(y.framed());
        EXPECT_TRUE(x.unchanged());
        EXPECT_TRUE(bias.unchanged());
        EXPECT_TRUE(workspace.framed());
    }

    std::vector<double> oracle() const {
        return oracle::linear<double>(x.rows(), w.rows(), x.columns(), factors(x), factors(w), bias.values());
    }

    Reference reference() const {
        const auto xs = factors(x), ws = factors(w), bs = bias.values();
        const int64_t M = x.rows(), N = w.rows(), K = x.columns();
        Reference out{oracle(), oracle::linear<float>(M, N, K, xs, ws, bs),
                      oracle::linear_magnitude(M, N, K, xs, ws, bs)};
        // K products and K sums, each off by at most one rounding of float32, and products that are subnormal there.
        const double subnormal = flushes ? 0x1p-126 : 0x1p-149;
        for (double& slack : out.slack) slack = slack * double(K + 2) * 0x1p-24 + double(K) * subnormal;
        return out;
    }

    Tensor x, w, bias, y;
    Weight weight;
    Workspace workspace;

private:
    // What is multiplied of x or w. Mixed formats do not go to the matrix instructions.
    std::vector<double> factors(const Tensor& t) const {
        std::vector<double> out = t.values();
        if (!flushes || x.dtype() != w.dtype()) return out;
        for (double& value : out) value = flushed(value, t.dtype());
        return out;
    }

    bool flushes;
};

}  // namespace kit
