// Rows of a tensor of any element type, as f32.
#pragma once

#include "adze/base.h"
#include "runtime/cpu_simd.h"

namespace adze::ADZE_ISA {

// Calls f with a null pointer of the element type of `dtype`, to choose an instance.
template <class F>
ADZE_INLINE void with_type(adze_dtype dtype, F&& f) {
    switch (dtype) {
        case ADZE_DTYPE_F32:
            return f(static_cast<const float*>(nullptr));
        case ADZE_DTYPE_F16:
            return f(static_cast<const f16*>(nullptr));
        default:
            return f(static_cast<const bf16*>(nullptr));
    }
}

template <class T>
ADZE_INLINE void convert(float* out, const T* in, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(out + i, load(in + i));
    for (; i < count; ++i) out[i] = to_float(in[i]);
}

template <class T>
ADZE_INLINE void convert_back(T* out, const float* in, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) store(out + i, load(in + i));
    for (; i < count; ++i) from_float(in[i], out[i]);
}

// `count` elements at element offset `at` of memory of type `dtype`: the memory itself when it is f32, else a copy in
// `scratch`.
inline const float* read(const void* data, adze_dtype dtype, int64_t at, int64_t count, float* scratch) {
    if (dtype == ADZE_DTYPE_F32) return static_cast<const float*>(data) + at;
    with_type(dtype, [&](auto* type) { convert(scratch, static_cast<decltype(type)>(data) + at, count); });
    return scratch;
}

inline void write(void* data, adze_dtype dtype, int64_t at, const float* values, int64_t count) {
    with_type(dtype, [&](auto* type) {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
        convert_back(static_cast<T*>(data) + at, values, count);
    });
}

inline const float* read_row(const adze_tensor& tensor, int64_t row, int64_t column, int64_t count, float* scratch) {
    return read(tensor.data, tensor.dtype, row * tensor.row_stride + column, count, scratch);
}

inline void write_row(const adze_tensor& tensor, int64_t row, int64_t column, const float* values, int64_t count) {
    write(tensor.data, tensor.dtype, row * tensor.row_stride + column, values, count);
}

}  // namespace adze::ADZE_ISA
