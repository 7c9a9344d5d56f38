// Attention of a row over several sets of keys from that over each. With m_i, l_i, o_i as a set's largest logit, sum of
// exponentials and sum of weighted values: m = max m_i, l = sum l_i exp(m_i - m), o likewise (Flash-Decoding). Always in
// the order of the sets, so that the same split gives the same bits.
//
// A warp owns a row and reads each of its partial rows once, in vectors; 4 bytes an element and set, at memory bandwidth.
#pragma once

#include "attention/attention_item.cuh"
#include "device/dependent_launch.h"
#include "device/launch.h"
#include "runtime/gpu_rows.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// The pieces of split rows, as attention_results.cuh wrote them.
struct MergeSplits {
    static constexpr const char* kName = "attention_merge_splits";
    static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
    static constexpr bool kOverlaps = true;
    using Params = AttentionKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        wait_for_previous_kernel();
        const auto counts = load_struct(p.plan.counts, 1, 0);
        if (!guard(static_cast<int64_t>(block_index().x) < counts.num_merges)) return;
        const AttentionMerge m = load_struct(p.plan.merges, p.num_merges, block_index().x);
        const int64_t row = m.row_begin + int64_t{block_index().z} * kWarps + warp_index();
        if (!guard(row < m.row_end)) return;
        const int head = static_cast<int>(block_index().y), d = p.shape.head_dim_v, group = p.shape.group();
        const Global<const float> partials(p.workspace, p.partials.floats());
        const int64_t first = m.partial + row - m.row_begin, step = m.row_end - m.row_begin;

        constexpr int kPairs = 256 / (2 * kWarpSize);  // of a lane, of the largest head
        float sum[kPairs][2] = {};
        RowStatistics keys{-infinity(), 0.0f};
        for (int begin = 0; begin < m.count; begin += kWarpSize) {
            const int count = least(m.count - begin, kWarpSize);
            // A lane has a part's statistics; what was summed before is brought to the maximum that now is.
            RowStatistics part{-infinity(), 0.0f};
            if (lane_index() < count) {
                const auto pair =
                    partials.load_vec<2>(p.partials.statistics(head, first + (begin + lane_index()) * step));
                part = {pair[0], pair[1]};
            }
            const float maximum = Max()(keys.maximum, reduce(part.total == 0.0f ? -infinity() : part.maximum, Max()));
            const float weight = part.weight(maximum), before = keys.weight(maximum);
            keys = {maximum, keys.total * before + reduce(weight * part.total, Add())};
#pragma unroll
            for (int j = 0; j < kPairs; ++j) sum[j][0] *= before, sum[j][1] *= before;
            for (int i = 0; i < count; ++i) {
                const float w = shuffle(weight, i);
                const int64_t index = p.partials.sums(head, first + (begin + i) * step);
#pragma unroll
                for (int j = 0; j < kPairs; ++j) {
                    const int e = (j * kWarpSize + lane_index()) * 2;
                    if (e >= d) continue;
                    const Vec<float, 2> x = partials.load_vec<2>(index + e);
                    sum[j][0] = fma(w, x[0], sum[j][0]);
                    sum[j][1] = fma(w, x[1], sum[j][1]);
                }
            }
        }
        const int64_t q_head = int64_t{head} * group + row % group;
        const int64_t q_row =
            Global<const int32_t>(p.plan.qo_indptr, counts.num_sequences + 1).load(m.sequence) + row / group;
        const RowStatistics all = keys.with(sink_logit(p, q_head));
        const float weight = keys.weight(all.maximum), divisor = all.total == 0.0f ? 1.0f : all.total;
#pragma unroll
        for (int j = 0; j < kPairs; ++j) {
            const int e = (j * kWarpSize + lane_index()) * 2;
            const float result[2] = {divide(sum[j][0] * weight, divisor), divide(sum[j][1] * weight, divisor)};
            if (e < d) store_row(p.o, q_row, q_head * d + e, result);
        }
        if (lane_index() == 0) write_lse(p, q_row, q_head, all);
    }
};

// Results of attention that are finished, each with its lse: m_i = lse_i, l_i = 1. What is in the o of a part that saw no
// key does not matter.
struct MergeParts {
    static constexpr const char* kName = "attention_merge_parts";
    static constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
    using Params = AttentionMergeParams;
    static constexpr bool runs_on(Arch) { return true; }

    ADZE_DEVICE static void run(const Params& p) {
        const int64_t index = int64_t{block_index().x} * kWarps + warp_index();
        const int64_t token = index / p.num_heads, head = index % p.num_heads;
        if (!guard(token < p.o.rows)) return;

        RowStatistics all{-infinity(), 0.0f};
        for (int i = 0; i < p.num_parts; ++i) all.maximum = Max()(all.maximum, lse(p, i, token, head));
        for (int i = 0; i < p.num_parts; ++i) all.total += weight(lse(p, i, token, head), all.maximum);
        const int64_t d = p.o.columns / p.num_heads;
        if (d % 4 == 0) {
            merge<4>(p, token, head * d, d, all);
        } else {
            merge<1>(p, token, head * d, d, all);
        }
        if (lane_index() == 0 && p.lse.data != nullptr)
            Global<float>(p.lse).store(token * p.lse.row_stride + head, all.lse());
    }

private:
    // kStep elements at a time; heads begin at multiples of it.
    template <int kStep>
    ADZE_DEVICE static void merge(const Params& p, int64_t token, int64_t column, int64_t d, const RowStatistics& all) {
        for (int64_t e = lane_index() * kStep; e < d; e += kWarpSize * kStep) {
            float sum[kStep] = {};
            for (int i = 0; i < p.num_parts; ++i) {
                const float part_lse = lse(p, i, token, column / d), w = weight(part_lse, all.maximum);
                if (part_lse == -infinity()) continue;  // else NaN counts, whatever it weighs
                float x[kStep];
                load_row(p.parts, i * p.o.rows + token, column + e, true, x);
#pragma unroll
                for (int j = 0; j < kStep; ++j) sum[j] = fma(w, x[j], sum[j]);
            }
#pragma unroll
            for (int j = 0; j < kStep; ++j) sum[j] = all.total == 0.0f ? 0.0f : divide(sum[j], all.total);
            store_row(p.o, token, column + e, sum);
        }
    }

    ADZE_DEVICE static float lse(const Params& p, int part, int64_t token, int64_t head) {
        const Global<const float> lses(p.parts_lse);
        return lses.load((part * p.o.rows + token) * p.parts_lse.row_stride + head);
    }
    ADZE_DEVICE static float weight(float lse, float maximum) {
        return lse == -infinity() ? 0.0f : exp_of(lse - maximum);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
