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
        // One exponent bit less: shifted by one, e4m3 is an f16 2^8 times too small. 0x7f, the NaN, is the only code that
        // carries out of its seven bits when 1 is added; that carry completes the exponent of an f16's NaN.
        const uint32_t magnitude = word & 0x7f007f00u;
        const uint32_t nan = ((magnitude + 0x01000100u) & 0x80008000u) >> 1;
        const auto small = __builtin_bit_cast(Half2, (word & 0x80008000u) | magnitude >> 1 | nan);
        return small * static_cast<_Float16>(256.0f);
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

}  // namespace ADZE_TARGET
}  // namespace adze
