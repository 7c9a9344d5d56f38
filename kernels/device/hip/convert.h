// f16 by v_cvt, bf16 by integer arithmetic (gfx90a has no such conversion), FP8 and int4 by bit tricks in f16.
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

using Half2 = _Float16 __attribute__((ext_vector_type(2)));

// Bytes of two words: selector bytes 0 to 3 are of `low`, 4 to 7 of `high`.
ADZE_DEVICE uint32_t select_bytes(uint32_t low, uint32_t high, uint32_t selector) {
    return __builtin_amdgcn_perm(high, low, selector);
}

template <class T>
ADZE_DEVICE T from_float(float value) {
    if constexpr (std::is_same_v<T, float>) {
        return value;
    } else if constexpr (std::is_same_v<T, f16>) {
        return {__builtin_bit_cast(uint16_t, static_cast<_Float16>(value))};
    } else {
        static_assert(std::is_same_v<T, bf16>);
        return to_bf16(value);
    }
}
template <class T>
ADZE_DEVICE float as_float(T value) {
    if constexpr (std::is_same_v<T, float>) {
        return value;
    } else if constexpr (std::is_same_v<T, f16>) {
        return static_cast<float>(__builtin_bit_cast(_Float16, value));
    } else {
        static_assert(std::is_same_v<T, bf16>);
        return to_float(value);
    }
}

template <class T, int N>
ADZE_DEVICE Vec<T, N> from_floats(const float (&values)[N]) {
    Vec<T, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result[i] = from_float<T>(values[i]);
    return result;
}
template <class T, int N>
ADZE_DEVICE void to_floats(const Vec<T, N>& values, float (&out)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) out[i] = as_float(values[i]);
}

template <class T>
ADZE_DEVICE uint32_t pack_fp8x4(const float (&values)[4]) {
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if constexpr (std::is_same_v<T, e4m3>) {
            word |= static_cast<uint32_t>(to_e4m3(values[i]).bits) << 8 * i;
        } else {
            static_assert(std::is_same_v<T, e5m2>);
            word |= static_cast<uint32_t>(to_e5m2(values[i]).bits) << 8 * i;
        }
    }
    return word;
}

// Two FP8 numbers, in the upper bytes of a word's halves, as f16, exactly.
template <class T>
ADZE_DEVICE Half2 widen_fp8x2(uint32_t word) {
    if constexpr (std::is_same_v<T, e5m2>) {
        return __builtin_bit_cast(Half2, word & 0xff00ff00u);
    } else {
#pragma clang fp contract(fast)
        // One exponent bit less: shifted by one, e4m3 is an f16 2^8 times too small, and its NaN 480. Of 480 alone 140 times
        // as much is Inf; 0 times that is NaN, and adds nothing otherwise.
        const auto small = __builtin_bit_cast(Half2, (word & 0x80008000u) | (word >> 1 & 0x3f803f80u));
        const Half2 value = small * static_cast<_Float16>(256.0f), above = value * static_cast<_Float16>(140.0f);
        return above * static_cast<_Float16>(0.0f) + value;
    }
}
template <class T>
ADZE_DEVICE void unpack_fp8x4(uint32_t word, float (&out)[4]) {
    static_assert(std::is_same_v<T, e4m3> || std::is_same_v<T, e5m2>);
    const Half2 low = widen_fp8x2<T>(select_bytes(word, 0, 0x010c000cu));  // 0x0c is a zero
    const Half2 high = widen_fp8x2<T>(select_bytes(word, 0, 0x030c020cu));
    out[0] = static_cast<float>(low.x);
    out[1] = static_cast<float>(low.y);
    out[2] = static_cast<float>(high.x);
    out[3] = static_cast<float>(high.y);
}

// Kim et al., "Who Says Elephants Can't Run" (2022): a 4-bit number put into the fraction of a power of two is that
// power plus the number, which one subtraction turns into the number less 8. gfx90a calculates in f16, not in bf16.
template <class T>
ADZE_DEVICE Vec<T, 8> unpack_int4x8(uint32_t word) {
    uint32_t words[4];
    if constexpr (std::is_same_v<T, f16>) {
        uint32_t apart[4];  // {0, 4}, {1, 5}, {2, 6}, {3, 7}
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const auto magic = __builtin_bit_cast(Half2, (word >> 4 * i & 0x000f000fu) | 0x64006400u);  // 1024 + n
            apart[i] = __builtin_bit_cast(uint32_t, magic - static_cast<_Float16>(1032.0f));
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            words[i] = select_bytes(apart[i % 2 * 2], apart[i % 2 * 2 + 1], i < 2 ? 0x05040100u : 0x07060302u);
        }
    } else {
        static_assert(std::is_same_v<T, bf16>);
#pragma unroll
        for (int i = 0; i < 4; ++i) {  // small integers: the upper half of the float is all of it
            const float low = static_cast<float>(static_cast<int>(word >> 8 * i & 15) - 8);
            const float high = static_cast<float>(static_cast<int>(word >> (8 * i + 4) & 15) - 8);
            words[i] = select_bytes(__builtin_bit_cast(uint32_t, low), __builtin_bit_cast(uint32_t, high), 0x07060302u);
        }
    }
    return __builtin_bit_cast(Vec<T, 8>, words);
}

using Float2 = float __attribute__((ext_vector_type(2)));

// Two floats that are numbers of bf16, as such. By value: clang 15 takes a bit cast of any vector's element for the first's.
ADZE_DEVICE uint32_t pack_exact(float low, float high) {
    return select_bytes(__builtin_bit_cast(uint32_t, low), __builtin_bit_cast(uint32_t, high), 0x07060302u);
}
// Two numbers of kBits without sign in the lowest bits of a word's halves, less half their range: in f16 the number in the
// fraction of 1024 is that much more.
template <class T, int kBits>
ADZE_DEVICE uint32_t widen_integers(uint32_t word) {
    constexpr uint32_t kMask = 0x10001u * ((1u << kBits) - 1);
    constexpr float kMiddle = 1 << (kBits - 1);
    if constexpr (std::is_same_v<T, f16>) {
        const auto magic = __builtin_bit_cast(Half2, (word & kMask) | 0x64006400u);
        return __builtin_bit_cast(uint32_t, magic - static_cast<_Float16>(1024.0f + kMiddle));
    } else {
        const uint32_t bits = word & kMask;
        const Float2 x = Float2{static_cast<float>(bits & 0xffu), static_cast<float>(bits >> 16)} - kMiddle;
        return pack_exact(x.x, x.y);
    }
}

template <class T, class Q>
ADZE_DEVICE Vec<uint32_t, 2 * kPerByte<Q>> widen_pairs(uint32_t word) {
    if constexpr (std::is_same_v<Q, e4m3>) {
        Vec<uint32_t, 2> pairs;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const Half2 x = widen_fp8x2<Q>(word << (8 - 8 * i));
            pairs[i] = std::is_same_v<T, f16> ? __builtin_bit_cast(uint32_t, x)
                                              : pack_exact(static_cast<float>(x.x), static_cast<float>(x.y));
        }
        return pairs;
    } else if constexpr (std::is_same_v<Q, int8_t>) {
        const uint32_t bits = word ^ 0x80808080u;
        return {{widen_integers<T, 8>(bits), widen_integers<T, 8>(bits >> 8)}};
    } else if constexpr (std::is_same_v<T, bf16>) {  // two instructions a number: extract it with its sign, convert
        Vec<uint32_t, 4> pairs;
#pragma unroll
        for (int i = 0; i < 4; ++i) pairs[i] = pack_exact(dequantise<Q>(word, i), dequantise<Q>(word, 4 + i));
        return pairs;
    } else {
        const uint32_t bits = word ^ 0x88888888u;
        return {{widen_integers<T, 4>(bits), widen_integers<T, 4>(bits >> 4), widen_integers<T, 4>(bits >> 8),
                 widen_integers<T, 4>(bits >> 12)}};
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
