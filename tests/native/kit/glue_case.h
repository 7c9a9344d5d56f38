// Inputs, outputs and descriptors of the small operators.
#pragma once
#include "kit/compare.h"
#include "kit/machine.h"
#include "oracle/glue.h"

namespace kit {

inline Tensor vector_i32(const std::vector<int32_t>& values) {
    Tensor out(ADZE_DTYPE_I32, 1, int64_t(values.size()));
    for (size_t i = 0; i < values.size(); ++i) out.set(0, int64_t(i), values[i]);
    return out.freeze();
}
inline Tensor vector_f32(const std::vector<float>& values) {
    Tensor out(ADZE_DTYPE_F32, 1, int64_t(values.size()));
    for (size_t i = 0; i < values.size(); ++i) out.set(0, int64_t(i), double(values[i]));
    return out.freeze();
}
inline std::vector<double> row_of(const Tensor& tensor, int64_t row) {
    std::vector<double> out;
    for (int64_t c = 0; c < tensor.columns(); ++c) out.push_back(tensor.at(row, c));
    return out;
}

}  // namespace kit
