// Matrices of F32, F16 or BF16, known at run time, read as f32 and written with one rounding. Portable: written against
// memory.h, convert.h and warp.h.
//
// A lane takes vectors of 8 consecutive elements. Where the tensor is aligned they move in accesses of 16 bytes, and so
// that each access of a warp fills whole 32-byte sectors: of f32, two accesses a vector, lanes 2 i and 2 i + 1 first share
// the 8 elements of the even lane, then those of the odd one, and exchange halves. Otherwise elements move one by one.
// Hence the rule for all functions here: the whole warp calls, and the vectors of lanes 2 i and 2 i + 1 follow one
// another in the same row.
#pragma once

#include "device/barrier.h"
#include "device/convert.h"
#include "device/math.h"
#include "device/warp.h"

namespace adze {

struct FloatMatrix {
    adze_tensor tensor;
    bool aligned;  // 16-byte accesses can start at every eighth element of every row
};

// Host code: kernels get the answer, and the compiler need not keep what it follows from.
inline FloatMatrix float_matrix(const adze_tensor& tensor) {
    const int64_t stride_bytes = (tensor.rows > 1 ? tensor.row_stride : 0) * (tensor.dtype == ADZE_DTYPE_F32 ? 4 : 2);
    return {tensor, reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0 && stride_bytes % 16 == 0};
}

inline namespace ADZE_TARGET {

constexpr int kLaneElements = 8;

// What a lane fetched of kCount vectors, as it lies in memory; unpack() makes numbers of it. Apart, so that the fetches
// of several matrices are under way together: a conversion waits for its operand.
template <int kCount>
struct FloatFetch {
    uint32_t words[kCount][8];  // of 16-bit elements, the first half
};

// The 16 bytes, or as many elements as remain, from element `index` on.
template <class T>
ADZE_DEVICE Vec<T, 16 / sizeof(T)> load_chunk(const Global<const T>& memory, bool aligned, int64_t index,
                                              int64_t remaining) {
    constexpr int kElements = 16 / sizeof(T);
    Vec<T, kElements> chunk{};
    if (aligned && guard(remaining >= kElements)) return memory.template load_vec<kElements>(index);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
        if (guard(i < remaining)) chunk[i] = memory.load(index + i);
    }
    return chunk;
}

template <class T>
ADZE_DEVICE void store_chunk(const Global<T>& memory, bool aligned, int64_t index, int64_t remaining,
                             const Vec<T, 16 / sizeof(T)>& chunk) {
    constexpr int kElements = 16 / sizeof(T);
    if (aligned && guard(remaining >= kElements)) return memory.template store_vec<kElements>(index, chunk);
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
        if (guard(i < remaining)) memory.store(index + i, chunk[i]);
    }
}

// Where the first of a lane's two chunks of an f32 vector starts, counted from the lane's own vector; the second is 8
// elements further.
ADZE_DEVICE int first_chunk() {
    return lane_index() % 2 == 0 ? 0 : 4 - kLaneElements;
}

template <class T, int kCount>
ADZE_DEVICE void fetch_as(const FloatMatrix& m, int64_t index, int64_t remaining, int64_t step,
                          FloatFetch<kCount>& out) {
    const Global<const T> memory(m.tensor);
    const int shift = sizeof(T) == 4 ? first_chunk() : 0;
#pragma unroll
    for (int v = 0; v < kCount; ++v) {
        const int64_t at = v * step + shift;
#pragma unroll
        for (int chunk = 0; chunk < (sizeof(T) == 4 ? 2 : 1); ++chunk) {
            const int64_t from = at + chunk * kLaneElements;
            const auto words =
                __builtin_bit_cast(Vec<uint32_t, 4>, load_chunk<T>(memory, m.aligned, index + from, remaining - from));
#pragma unroll
            for (int i = 0; i < 4; ++i) out.words[v][4 * chunk + i] = words[i];
        }
    }
}

// Fetches the kCount vectors at columns column, column + step, ... of a row. Elements from column `end` on, and all where
// not `inside`, are zero and not read.
template <int kCount>
ADZE_DEVICE FloatFetch<kCount> fetch_floats_until(int64_t end, const FloatMatrix& m, bool inside, int64_t row,
                                                  int64_t column, int64_t step = 0) {
    FloatFetch<kCount> out;
    const int64_t index = row * m.tensor.row_stride + column;
    const int64_t remaining = inside ? end - column : -(int64_t{1} << 40);
    if (m.tensor.dtype == ADZE_DTYPE_F32) {
        fetch_as<float>(m, index, remaining, step, out);
    } else if (m.tensor.dtype == ADZE_DTYPE_F16) {
        fetch_as<f16>(m, index, remaining, step, out);
    } else {
        fetch_as<bf16>(m, index, remaining, step, out);
    }
    return out;
}
template <int kCount>
ADZE_DEVICE FloatFetch<kCount> fetch_floats(const FloatMatrix& m, bool inside, int64_t row, int64_t column,
                                            int64_t step = 0) {
    return fetch_floats_until<kCount>(m.tensor.columns, m, inside, row, column, step);
}

template <class T, int kCount>
ADZE_DEVICE void unpack_halves_as(const FloatFetch<kCount>& in, float (&out)[kCount][kLaneElements]) {
#pragma unroll
    for (int v = 0; v < kCount; ++v) {
        const Vec<uint32_t, 4> words{{in.words[v][0], in.words[v][1], in.words[v][2], in.words[v][3]}};
        to_floats(__builtin_bit_cast(Vec<T, kLaneElements>, words), out[v]);
    }
}

template <int kCount>
ADZE_DEVICE void unpack(const FloatMatrix& m, const FloatFetch<kCount>& in, float (&out)[kCount][kLaneElements]) {
    if (m.tensor.dtype == ADZE_DTYPE_F16) return unpack_halves_as<f16>(in, out);
    if (m.tensor.dtype == ADZE_DTYPE_BF16) return unpack_halves_as<bf16>(in, out);
    const bool odd = lane_index() % 2 != 0;
#pragma unroll
    for (int v = 0; v < kCount; ++v) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const uint32_t first = in.words[v][i], second = in.words[v][4 + i];
            const uint32_t other = shuffle_xor(odd ? first : second, 1);
            out[v][i] = float_from_bits(odd ? other : first);
            out[v][4 + i] = float_from_bits(odd ? second : other);
        }
    }
}

template <int kCount>
ADZE_DEVICE void load_floats(const FloatMatrix& m, bool inside, int64_t row, int64_t column, int64_t step,
                             float (&out)[kCount][kLaneElements]) {
    unpack(m, fetch_floats<kCount>(m, inside, row, column, step), out);
}

template <class T, int kCount>
ADZE_DEVICE void store_halves_as(const FloatMatrix& m, int64_t index, int64_t remaining, int64_t step,
                                 const float (&values)[kCount][kLaneElements]) {
    const Global<T> memory(m.tensor);
#pragma unroll
    for (int v = 0; v < kCount; ++v) {
        store_chunk<T>(memory, m.aligned, index + v * step, remaining - v * step,
                       from_floats<T, kLaneElements>(values[v]));
    }
}

// Stores the kCount vectors at columns column, column + step, ... of a row, each element rounded once. Elements from
// column `end` on, and all where not `inside`, are not written.
template <int kCount>
ADZE_DEVICE void store_floats_until(int64_t end, const FloatMatrix& m, bool inside, int64_t row, int64_t column,
                                    int64_t step, const float (&values)[kCount][kLaneElements]) {
    const int64_t index = row * m.tensor.row_stride + column;
    const int64_t remaining = inside ? end - column : -(int64_t{1} << 40);
    if (m.tensor.dtype == ADZE_DTYPE_F16) return store_halves_as<f16>(m, index, remaining, step, values);
    if (m.tensor.dtype == ADZE_DTYPE_BF16) return store_halves_as<bf16>(m, index, remaining, step, values);
    const Global<float> memory(m.tensor);
    const bool odd = lane_index() % 2 != 0;
#pragma unroll
    for (int v = 0; v < kCount; ++v) {
        Vec<float, 4> chunk[2];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const float low = values[v][i], high = values[v][4 + i];
            const float other = shuffle_xor(odd ? low : high, 1);
            chunk[0][i] = odd ? other : low;
            chunk[1][i] = odd ? high : other;
        }
        const int64_t from = v * step + first_chunk();
        store_chunk<float>(memory, m.aligned, index + from, remaining - from, chunk[0]);
        store_chunk<float>(memory, m.aligned, index + from + kLaneElements, remaining - from - kLaneElements, chunk[1]);
    }
}

template <int kCount>
ADZE_DEVICE void store_floats(const FloatMatrix& m, bool inside, int64_t row, int64_t column, int64_t step,
                              const float (&values)[kCount][kLaneElements]) {
    store_floats_until<kCount>(m.tensor.columns, m, inside, row, column, step, values);
}

}  // namespace ADZE_TARGET
}  // namespace adze
