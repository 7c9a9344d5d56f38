// Rows of tensors whose dtype is known at run time: read as f32 and written from it, in vectors where they are aligned.
#pragma once

#include "device/barrier.h"
#include "device/convert.h"
#include "device/memory.h"

namespace adze {
inline namespace ADZE_TARGET {

// Elements of a vector access that moves up to N of them.
template <class T, int N>
constexpr int kVector = N* static_cast<int>(sizeof(T)) <= 16 ? N : 16 / static_cast<int>(sizeof(T));

template <class T, int N>
ADZE_DEVICE void load_row_as(const adze_tensor& t, int64_t row, int64_t column, bool inside, float (&out)[N]) {
    constexpr int kStep = kVector<T, N>;
    const Global<const T> memory(t);
    const int64_t index = row * t.row_stride + column;
    if (inside && column + N <= t.columns && memory.aligned(kStep * sizeof(T), t.row_stride)) {
#pragma unroll
        for (int i = 0; i < N; i += kStep) {
            float part[kStep];
            to_floats(memory.template load_vec<kStep>(index + i), part);
#pragma unroll
            for (int j = 0; j < kStep; ++j) out[i + j] = part[j];
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        out[i] = 0.0f;
        if (guard(inside && column + i < t.columns)) {
            float one[1];
            to_floats(Vec<T, 1>{memory.load(index + i)}, one);
            out[i] = one[0];
        }
    }
}

template <class T, int N>
ADZE_DEVICE void store_row_as(const adze_tensor& t, int64_t row, int64_t column, const float (&values)[N]) {
    constexpr int kStep = kVector<T, N>;
    const Global<T> memory(t);
    const int64_t index = row * t.row_stride + column;
    if (column + N <= t.columns && memory.aligned(kStep * sizeof(T), t.row_stride)) {
#pragma unroll
        for (int i = 0; i < N; i += kStep) {
            float part[kStep];
#pragma unroll
            for (int j = 0; j < kStep; ++j) part[j] = values[i + j];
            memory.template store_vec<kStep>(index + i, from_floats<T, kStep>(part));
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const float one[1] = {values[i]};
        if (guard(column + i < t.columns)) memory.store(index + i, from_floats<T, 1>(one)[0]);
    }
}

// N elements from (row, column) on, `column` a multiple of N; zeros beyond the tensor's columns, and where not `inside`.
template <int N>
ADZE_DEVICE void load_row(const adze_tensor& t, int64_t row, int64_t column, bool inside, float (&out)[N]) {
    if (t.dtype == ADZE_DTYPE_F32) {
        load_row_as<float>(t, row, column, inside, out);
    } else if (t.dtype == ADZE_DTYPE_F16) {
        load_row_as<f16>(t, row, column, inside, out);
    } else {
        load_row_as<bf16>(t, row, column, inside, out);
    }
}

// Those of N elements that the tensor's columns hold, rounded once.
template <int N>
ADZE_DEVICE void store_row(const adze_tensor& t, int64_t row, int64_t column, const float (&values)[N]) {
    if (t.dtype == ADZE_DTYPE_F32) {
        store_row_as<float>(t, row, column, values);
    } else if (t.dtype == ADZE_DTYPE_F16) {
        store_row_as<f16>(t, row, column, values);
    } else {
        store_row_as<bf16>(t, row, column, values);
    }
}

// f32 results on their way from accumulators to rows, by way of shared memory, where neither store_c nor reads of 16 bytes
// along a row meet in a bank. 32 lanes store 4 rows of 8 columns at a time: rows are padded. 64 lanes store 2 rows, 4 apart,
// of 16 columns at a time: of such two one has its columns' sixteens exchanged, and reads, of which those of two rows in
// different sixteens go together, need rows of whole 32 banks.
template <int kRowCount, int kColumnCount>
struct ResultTile {
    using Element = float;
    static constexpr int kRows = kRowCount, kColumns = kColumnCount;
    static constexpr int kStride = kColumns + (kWarpSize == 32 ? 8 : 0);
    static constexpr int kElements = kRows * kStride;
    static_assert(kColumns % 32 == 0);

    Shared<float> data;

    ADZE_DEVICE static constexpr int index(int row, int column) {
        return row * kStride + (kWarpSize == 32 ? column : column ^ (row & 4) * 4);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
