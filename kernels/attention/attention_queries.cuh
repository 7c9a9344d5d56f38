// The queries of a piece on their way to shared memory.
#pragma once

#include <type_traits>

#include "attention/attention_types.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// x as up to three numbers of T that add up to it: exactly for bf16, and for f16 within its range. All have x's sign or
// are zero but where T rounds x to nearest.
template <class T>
ADZE_DEVICE void split_parts(float x, float (&part)[3]) {
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        if (sizeof(T) == 2 && std::is_same_v<T, bf16> && is_finite(x)) {
            part[i] = float_from_bits(float_bits(x) & 0xffff0000u);  // towards zero: never beyond the largest number
        } else {
            const float one[1] = {x};
            float rounded[1];
            to_floats(from_floats<T, 1>(one), rounded);
            part[i] = rounded[0];
        }
        x = is_finite(part[i]) ? x - part[i] : 0.0f;
    }
}

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionQueries : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::Keys;
    using typename Types::Params;
    using typename Types::SharedParts;
    using typename Types::T;
    using Types::kChunk;
    using Types::kIsF16;
    using Types::kQuantised;
    using Types::kThreads;

    // All warps bring the rows, as p.q_parts numbers of T, and what belongs to a row.
    ADZE_DEVICE static void load_queries(const Params& p, const AttentionItem& item, const SharedParts& shared) {
        constexpr int kChunks = kDimQk / kChunk, kLanes = kChunks <= 8 ? 8 : kChunks <= 16 ? 16 : 32;
        static_assert(kLanes <= kWarpSize);
        constexpr int kRowsAtATime = kThreads / kLanes;
        const int column = thread_index() % kLanes * kChunk;
#pragma unroll 1
        for (int row = thread_index() / kLanes; row < kRowCount; row += kRowsAtATime) {
            const bool inside = row < item.rows && column < p.shape.head_dim_qk;
            const int known = row < item.rows ? row : item.rows - 1;
            const int q_head = item.q_head(known);
            float x[kChunk];
            load_row(p.q, item.first_token + item.token(known), int64_t{q_head} * p.shape.head_dim_qk + column, inside,
                     x);
            if constexpr (kQuantised) reorder(x, kLanes, column);
            const float unit = kIsF16 && p.q_parts > 1 ? normalise(x, kLanes) : 1.0f;
            if (column == 0) {
                shared.units.store(row, unit);
                if (p.alibi_slopes.data != nullptr)
                    shared.slopes.store(row, Global<const float>(p.alibi_slopes).load(q_head));
                if (p.phi.data != nullptr) shared.phis.store(row, Global<const float>(p.phi).load(q_head));
            }
            if (column < kDimQk) store_parts(x, p.q_parts, shared, row, column);
        }
    }

    // A row, spread over `lanes` lanes: from the order of its numbers to that of quantised keys.
    ADZE_DEVICE static void reorder(float (&x)[kChunk], int lanes, int column) {
        const int first_lane = lane_index() / lanes * lanes;
        float from[kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) from[i] = x[i];
#pragma unroll
        for (int j = 0; j < kChunk; ++j) {
            const int dim = Keys::dim(column < kDimQk ? column + j : j);
#pragma unroll
            for (int i = 0; i < kChunk; ++i) {
                const float number = shuffle(from[i], first_lane + dim / kChunk);
                if (dim % kChunk == i) x[j] = number;
            }
        }
    }

    // Divides a row, spread over `lanes` lanes, by a power of two that brings its largest number to 2^14 or above.
    ADZE_DEVICE static float normalise(float (&x)[kChunk], int lanes) {
        float largest = 0.0f;
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            const float size = float_from_bits(float_bits(x[i]) & 0x7fffffffu);
            if (size > largest) largest = size;
        }
        largest = reduce(largest, Max(), lanes);
        const int exponent = static_cast<int>(float_bits(largest) >> 23);
        if (exponent == 255) return 1.0f;
        const int factor = exponent < 15 ? 253 : 268 - exponent;  // as a number's exponent bits
#pragma unroll
        for (int i = 0; i < kChunk; ++i) x[i] *= float_from_bits(static_cast<uint32_t>(factor) << 23);
        return float_from_bits(static_cast<uint32_t>(254 - factor) << 23);
    }

    ADZE_DEVICE static void store_parts(const float (&x)[kChunk], int count, const SharedParts& shared, int row,
                                        int column) {
        if (count == 1) {
            shared.query_part(0).store_chunk(row, column, from_floats<T, kChunk>(x));
            return;
        }
        float parts[3][kChunk];
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
            float part[3];
            split_parts<T>(x[i], part);
#pragma unroll
            for (int j = 0; j < 3; ++j) parts[j][i] = part[j];
        }
#pragma unroll
        for (int j = 0; j < 3; ++j) {
            if (j < count) shared.query_part(j).store_chunk(row, column, from_floats<T, kChunk>(parts[j]));
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
