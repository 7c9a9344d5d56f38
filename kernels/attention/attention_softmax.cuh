// From scores to weights: logits, masks, and the two softmaxes.
#pragma once

#include "attention/attention_types.cuh"

namespace adze {
inline namespace ADZE_TARGET {

// Within a few roundings of itself: what is small by its series, which leaves 2^-27 of it at 0.4; elsewhere the 1 is the
// larger term.
ADZE_DEVICE float tanh_of(float x) {
    const float size = float_from_bits(float_bits(x) & 0x7fffffffu), square = x * x;
    if (size < 0.4f) {
        float sum = 21844.0f / 6081075.0f;
        sum = fma(sum, square, -1382.0f / 155925.0f);
        sum = fma(sum, square, 62.0f / 2835.0f);
        sum = fma(sum, square, -17.0f / 315.0f);
        sum = fma(sum, square, 2.0f / 15.0f);
        sum = fma(sum, square, -1.0f / 3.0f);
        return fma(x * square, sum, x);
    }
    return 1.0f - 2.0f * exp2_approx(-log2_approx(1.0f + exp_of(2.0f * x)));  // no division: it costs registers
}

// How far from phi the logits of a unified piece may be, for weights in bf16. Sums of up to 2^31 weights stay below f32's
// 2^128 as long as no weight exceeds 2^96 = e^66, and what f32 flushes, below 2^-126 each, stays below 2^-24 of a row's
// largest weight as long as that is 2^-71 = e^-49 or more. What values do to that is seen in their sums: they are no longer
// finite, or below kLeastSum, where what f32 flushes may be more of them than its rounding is. f16 takes the stable softmax:
// its numbers reach over 2^30 (2^40 with subnormal ones, which gfx90a has not), and 2^22 of that are the precision of p in
// two parts, so that phi could be off by 3 at most.
constexpr float kMostBelowPhi = 49.0f, kMostAbovePhi = 66.0f, kLeastSum = 0x1p-100f;

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionSoftmax : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::C;
    using typename Types::M;
    using typename Types::Params;
    using typename Types::Rows;
    using typename Types::SharedParts;
    using typename Types::Softmax;
    using Types::kCanUnify;
    using Types::kDimTiles;
    using Types::kHasUnits;
    using Types::kIsF16;
    using Types::kKeyTiles;
    using Types::kSlots;
    using Types::kWarpKeys;
    using Types::kWeightExponent;

    ADZE_DEVICE static Softmax choose_softmax(const Params& p, bool unified) {
        const int head = static_cast<int>(block_index().y);
        const float factor = p.shape.softmax_scale * head_scale(p.k, p.shape, head);
        // A negative factor turns the maximum round, and 0 * -inf is no logit.
        const bool transforms = !(factor > 0.0f) || scales_vary(p.k) || (kIsF16 && p.q_parts > 1) ||
                                p.shape.logits_soft_cap > 0.0f || p.alibi_slopes.data != nullptr;
        return {unified, transforms, factor, head_scale(p.v, p.shape, head)};
    }

    // Sums of products to logits, where that is more than a positive factor.
    ADZE_DEVICE static void make_logits(const Params& p, const SharedParts& shared, const Softmax& softmax, int32_t key,
                                        int block_row, int entry, const Rows& rows, C (&scores)[kKeyTiles]) {
        const bool has_scales = scales_vary(p.k);
        const int32_t past = shared.item.word(offsetof(AttentionItem, past));
        const float cap = p.shape.logits_soft_cap, per_cap = divide(1.0f, cap);
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int at = n * M::kN + C::column(i), s = C::slot(i), row = block_row + C::slot_row(s);
                float& score = scores[n].value[i];
                if constexpr (kIsF16) score *= shared.units.load(row);
                if (has_scales) score *= shared.table.k_scale.load(entry + at);
                score *= softmax.factor;
                if (cap > 0.0f) score = cap * tanh_of(score * per_cap);
                if (p.alibi_slopes.data != nullptr)
                    score += shared.slopes.load(row) * static_cast<float>(key + at - past - rows.token[s]);
            }
        }
    }

    // -inf where a row does not see the key; whether it sees any.
    ADZE_DEVICE static void hide_keys(const Params& p, const AttentionItem& item, int32_t key, const Rows& rows,
                                      C (&scores)[kKeyTiles], bool (&sees)[kSlots]) {
        uint32_t seen[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            seen[s] = seen_keys(p, item, key, rows.token[s]);
            sees[s] = seen[s] != 0;
        }
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int at = n * M::kN + C::column(i);
                if ((seen[C::slot(i)] >> at & 1) == 0) scores[n].value[i] = -infinity();
            }
        }
    }

    // Bit i: whether the query sees key + i.
    ADZE_DEVICE static uint32_t seen_keys(const Params& p, const AttentionItem& item, int32_t key, int32_t token) {
        const uint32_t hidden = below(item.seen_begin(p.shape, token) - key) & ~below(item.sink_end(p.shape) - key);
        uint32_t seen = below(item.seen_end(p.shape, token) - key) & ~hidden;
        if (item.mask_begin >= 0 && seen != 0) seen &= mask_bits(p, item, key, token);
        return seen;
    }
    ADZE_DEVICE static uint32_t below(int32_t count) {
        constexpr uint32_t kAll = ~0u >> (32 - kWarpKeys);
        return count <= 0 ? 0 : count >= kWarpKeys ? kAll : (1u << count) - 1;
    }
    ADZE_DEVICE static uint32_t mask_bits(const Params& p, const AttentionItem& item, int32_t key, int32_t token) {
        const Global<const int32_t> words(p.mask);
        const int64_t row_words = (int64_t{item.kv_len} + 31) / 32;
        return static_cast<uint32_t>(words.load(item.mask_begin + token * row_words + key / 32)) >> (key % 32);
    }

    // The maximum so far; where it grew, what was summed is brought down to it.
    ADZE_DEVICE static void raise_maximum(const Softmax& softmax, const C (&scores)[kKeyTiles], Rows& rows,
                                          C (&sums)[kDimTiles]) {
        float largest[kSlots];
        bool grew = false;
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            largest[s] = largest_of(s, scores, rows.maximum[s]);
            grew = grew || largest[s] > rows.maximum[s];
        }
        if (ballot(grew) == 0) return;
        float rescale[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            largest[s] = C::reduce_row(largest[s], Max());
            rescale[s] = exp2_approx((rows.maximum[s] - shift_of(largest[s])) * softmax.scale());
            rows.maximum[s] = largest[s];
            rows.total[s] *= rescale[s];
        }
        rescale_sums(rescale, sums);
    }

    ADZE_DEVICE static void rescale_sums(const float (&factor)[kSlots], C (&sums)[kDimTiles]) {
#pragma unroll
        for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) sums[n].value[i] *= factor[C::slot(i)];
        }
    }

    // No NaN: a comparison with it is false.
    ADZE_DEVICE static float largest_of(int slot, const C (&scores)[kKeyTiles], float largest) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                if (C::slot(i) == slot && scores[n].value[i] > largest) largest = scores[n].value[i];
            }
        }
        return largest;
    }

    // No finite score yet: exp(-inf - -inf) would be NaN, exp(-inf - 0) is the 0 that is meant.
    ADZE_DEVICE static float shift_of(float maximum) {
        return maximum == -infinity() ? 0.0f : maximum;
    }

    // Scores to weights; the rows' totals follow. The difference comes first, so that the largest weight is exactly 1.
    ADZE_DEVICE static void weigh(const Softmax& softmax, const SharedParts& shared, int block_row,
                                  C (&scores)[kKeyTiles], Rows& rows) {
        float shift[kSlots], total[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            shift[s] = shift_of(rows.maximum[s]);
            if (kCanUnify && softmax.unified) {
                shift[s] = shared.phis.load(block_row + C::slot_row(s));
                rows.maximum[s] = largest_of(s, scores, rows.maximum[s]);
            }
            total[s] = 0.0f;
        }
        const float multiplier = softmax.multiplier(), scale = softmax.scale();
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                const int s = C::slot(i);
                const float difference = fma(scores[n].value[i], multiplier, -shift[s]);
                const float weight = exp2_approx(kIsF16 ? fma(difference, scale, kWeightExponent) : difference * scale);
                total[s] += weight;
                scores[n].value[i] = weight;
            }
        }
#pragma unroll
        for (int s = 0; s < kSlots; ++s) rows.total[s] += total[s];
    }

    ADZE_DEVICE static void apply_value_scales(const SharedParts& shared, int entry, C (&weights)[kKeyTiles],
                                               Rows& rows, C (&sums)[kDimTiles]) {
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) {
                // A key that is not seen has no weight, whatever its scale.
                if (weights[n].value[i] != 0.0f)
                    weights[n].value[i] *= shared.table.v_scale.load(entry + n * M::kN + C::column(i));
            }
        }
        if constexpr (kHasUnits) rescale_weights(weights, rows, sums);
    }

    // f16: brings a row's largest weight so far to at most 2^14, by a power of two that only grows.
    ADZE_DEVICE static void rescale_weights(C (&weights)[kKeyTiles], Rows& rows, C (&sums)[kDimTiles]) {
        float rescale[kSlots], factor[kSlots];
#pragma unroll
        for (int s = 0; s < kSlots; ++s) {
            float largest = 0.0f;
#pragma unroll
            for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
                for (int i = 0; i < C::kCount; ++i) {
                    const float size = float_from_bits(float_bits(weights[n].value[i]) & 0x7fffffffu);
                    if (C::slot(i) == s && size > largest) largest = size;
                }
            }
            largest = C::reduce_row(largest, Max());
            const uint32_t exponent = float_bits(largest) >> 23;
            float unit = float_from_bits((exponent < 15 ? 1 : exponent - 13) << 23);
            if (exponent == 255 || unit < rows.value_unit[s]) unit = rows.value_unit[s];
            rescale[s] = divide(rows.value_unit[s], unit);
            factor[s] = divide(1.0f, unit);
            rows.value_unit[s] = unit;
        }
        rescale_sums(rescale, sums);
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n) {
#pragma unroll
            for (int i = 0; i < C::kCount; ++i) weights[n].value[i] *= factor[C::slot(i)];
        }
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
