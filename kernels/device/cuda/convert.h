// PTX ISA, "cvt", and bit tricks where an architecture lacks a conversion.
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

// Two numbers in a word, the lower half first.
template <class T>
ADZE_DEVICE uint32_t pack_halves(float low, float high) {
    uint32_t word;
    if constexpr (std::is_same_v<T, f16>) {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    } else {
        static_assert(std::is_same_v<T, bf16>);
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    }
    return word;
}
template <class T>
ADZE_DEVICE void unpack_halves(uint32_t word, float& low, float& high) {
    if constexpr (std::is_same_v<T, f16>) {
        asm("{\n"
            ".reg .b16 l, h;\n"
            "mov.b32 {l, h}, %2;\n"
            "cvt.f32.f16 %0, l;\n"
            "cvt.f32.f16 %1, h;\n"
            "}"
            : "=f"(low), "=f"(high)
            : "r"(word));
    } else {
        static_assert(std::is_same_v<T, bf16>);
        low = __uint_as_float(word << 16);
        high = __uint_as_float(word & 0xffff0000u);
    }
}

template <class T, int N>
ADZE_DEVICE Vec<T, N> from_floats(const float (&values)[N]) {
    if constexpr (std::is_same_v<T, float>) {
        Vec<T, N> result;
#pragma unroll
        for (int i = 0; i < N; ++i) result[i] = values[i];
        return result;
    } else if constexpr (N == 1) {
        return {{{static_cast<uint16_t>(pack_halves<T>(values[0], 0.0f))}}};
    } else {
        Vec<uint32_t, N / 2> words;
#pragma unroll
        for (int i = 0; i < N / 2; ++i) words[i] = pack_halves<T>(values[2 * i], values[2 * i + 1]);
        return __builtin_bit_cast(Vec<T, N>, words);
    }
}
template <class T, int N>
ADZE_DEVICE void to_floats(const Vec<T, N>& values, float (&out)[N]) {
    if constexpr (std::is_same_v<T, float>) {
#pragma unroll
        for (int i = 0; i < N; ++i) out[i] = values[i];
    } else if constexpr (N == 1) {
        float none;
        unpack_halves<T>(values[0].bits, out[0], none);
    } else {
        using Words = Vec<uint32_t, N / 2>;
        static_assert(sizeof(Words) == 2 * N);  // nvcc 12.4 completes the type here, and not in bit_cast
        const auto words = __builtin_bit_cast(Words, values);
#pragma unroll
        for (int i = 0; i < N / 2; ++i) unpack_halves<T>(words[i], out[2 * i], out[2 * i + 1]);
    }
}

// a b + c in both halves of words; sm_80 has no other arithmetic in bf16.
template <class T>
ADZE_DEVICE uint32_t fma_halves(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t result;
    if constexpr (std::is_same_v<T, f16>) {
        asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    } else {
        asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    }
    return result;
}
// (a & b) ^ c in one instruction: the compiler by itself would not keep the second of two constants in a register.
ADZE_DEVICE uint32_t and_xor(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t result;
    asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

template <class T>
ADZE_DEVICE uint32_t pack_fp8x2(float low, float high) {
    static_assert(std::is_same_v<T, e4m3> || std::is_same_v<T, e5m2>);
    if constexpr (kTarget.arch == Arch::kSm80) {
        if constexpr (std::is_same_v<T, e4m3>) {
            return to_e4m3(low).bits | static_cast<uint32_t>(to_e4m3(high).bits) << 8;
        } else {
            return to_e5m2(low).bits | static_cast<uint32_t>(to_e5m2(high).bits) << 8;
        }
    } else {
        uint16_t pair;
        if constexpr (std::is_same_v<T, e4m3>) {
            asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
        } else {
            asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
        }
        return pair;
    }
}
template <class T>
ADZE_DEVICE uint32_t pack_fp8x4(const float (&values)[4]) {
    return pack_fp8x2<T>(values[0], values[1]) | pack_fp8x2<T>(values[2], values[3]) << 16;
}

// Two e4m3, in the upper bytes of a word's halves (the lower bytes do not matter), as T, exactly. Shifted to T's fraction
// they are numbers 2^120 (f16: 2^8) times too small, and the NaN is 480. Of 480 alone 1.07 2^119 times (140 times) as much is
// Inf; 0 times that is NaN, and adds nothing otherwise.
template <class T>
ADZE_DEVICE uint32_t widen_e4m3x2(uint32_t word) {
    constexpr bool kHalf = std::is_same_v<T, f16>;
    constexpr uint32_t kMinusZero = 0x80008000u;
    const uint32_t magnitude = kHalf ? word >> 1 & 0x3f803f80u : word >> 4 & 0x07f007f0u;
    const uint32_t small = (word & 0x80008000u) | magnitude;
    const uint32_t value = fma_halves<T>(small, kHalf ? 0x5c005c00u : 0x7b807b80u, kMinusZero);
    const uint32_t above = fma_halves<T>(value, kHalf ? 0x58605860u : 0x7b097b09u, kMinusZero);
    return fma_halves<T>(above, 0u, value);
}
// The same for both FP8 formats, as f16.
template <class T>
ADZE_DEVICE uint32_t widen_fp8x2(uint32_t word) {
    if constexpr (std::is_same_v<T, e5m2>) {
        return word & 0xff00ff00u;
    } else {
        return widen_e4m3x2<f16>(word);
    }
}
// Four e4m3 as f16, by the instruction that sm_89 and sm_90 have.
ADZE_DEVICE void unpack_e4m3x4(uint32_t word, uint32_t& low, uint32_t& high) {
    asm("{\n"
        ".reg .b16 l, h;\n"
        "mov.b32 {l, h}, %2;\n"
        "cvt.rn.f16x2.e4m3x2 %0, l;\n"
        "cvt.rn.f16x2.e4m3x2 %1, h;\n"
        "}"
        : "=r"(low), "=r"(high)
        : "r"(word));
}
template <class T>
ADZE_DEVICE void unpack_fp8x4(uint32_t word, float (&out)[4]) {
    static_assert(std::is_same_v<T, e4m3> || std::is_same_v<T, e5m2>);
    uint32_t low, high;
    if constexpr (kTarget.arch != Arch::kSm80 && std::is_same_v<T, e4m3>) {
        unpack_e4m3x4(word, low, high);
    } else {
        low = widen_fp8x2<T>(__byte_perm(word, 0, 0x1404));
        high = widen_fp8x2<T>(__byte_perm(word, 0, 0x3424));
    }
    unpack_halves<f16>(low, out[0], out[1]);
    unpack_halves<f16>(high, out[2], out[3]);
}

// Kim et al., "Who Says Elephants Can't Run" (2022): a 4-bit number put into the fraction of a power of two is that
// power plus the number, which one subtraction turns into the number less 8. Numbers four places apart share a word.
template <class T>
ADZE_DEVICE Vec<T, 8> unpack_int4x8(uint32_t word) {
    uint32_t apart[4];  // {0, 4}, {1, 5}, {2, 6}, {3, 7}
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if constexpr (std::is_same_v<T, f16>) {
            const uint32_t bits = word >> (i & 2) * 4;  // two of each byte's numbers for one shift
            const uint32_t magic = (bits & (i & 1 ? 0x00f000f0u : 0x000f000fu)) | 0x64006400u;
            if (i & 1) {  // 1024 + 16 n: n - 8 is 1/16 of it less 72
                asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(apart[i]) : "r"(magic), "r"(0x2c002c00u), "r"(0xd480d480u));
            } else {  // 1024 + n
                asm("sub.f16x2 %0, %1, %2;" : "=r"(apart[i]) : "r"(magic), "r"(0x64086408u));
            }
        } else {
            static_assert(std::is_same_v<T, bf16>);
            const uint32_t magic = (word >> 4 * i & 0x000f000fu) | 0x43004300u;  // 128 + n, times 1, less 136
            apart[i] = fma_halves<bf16>(magic, 0x3f803f80u, 0xc308c308u);
        }
    }
    const Vec<uint32_t, 4> words{{__byte_perm(apart[0], apart[1], 0x5410), __byte_perm(apart[2], apart[3], 0x5410),
                                  __byte_perm(apart[0], apart[1], 0x7632), __byte_perm(apart[2], apart[3], 0x7632)}};
    return __builtin_bit_cast(Vec<T, 8>, words);
}

// Two int8, in the lower bytes of a word's halves (the upper bytes do not matter). The lower seven bits in the fraction of
// 128 are 128 more; the sign bit, in the exponent, makes 256 of 128, which is to be taken away.
template <class T>
ADZE_DEVICE uint32_t widen_int8x2(uint32_t word) {
    if constexpr (std::is_same_v<T, bf16>) {
        return fma_halves<bf16>(and_xor(word, 0x007f007fu, 0x43004300u), 0x3f803f80u,
                                and_xor(word, 0x00800080u, 0xc300c300u));
    } else {  // f16's fraction has room for all: 1024 + 128 + n
        uint32_t result;
        asm("sub.f16x2 %0, %1, %2;" : "=r"(result) : "r"(and_xor(word, 0x00ff00ffu, 0x64806480u)), "r"(0x64806480u));
        return result;
    }
}

// Two int4, in the lowest bits of a word's halves (the others do not matter).
template <class T>
ADZE_DEVICE uint32_t widen_int4x2(uint32_t word) {
    if constexpr (std::is_same_v<T, bf16>) {  // 128 + 8 + n, times 1, less 136
        return fma_halves<bf16>(and_xor(word, 0x000f000fu, 0x43084308u), 0x3f803f80u, 0xc308c308u);
    } else {  // 1024 + 8 + n
        uint32_t result;
        asm("sub.f16x2 %0, %1, %2;" : "=r"(result) : "r"(and_xor(word, 0x000f000fu, 0x64086408u)), "r"(0x64086408u));
        return result;
    }
}

template <class T, class Q>
ADZE_DEVICE Vec<uint32_t, 2 * kPerByte<Q>> widen_pairs(uint32_t word) {
    if constexpr (std::is_same_v<Q, int4x2>) {
        return {{widen_int4x2<T>(word), widen_int4x2<T>(word >> 4), widen_int4x2<T>(word >> 8),
                 widen_int4x2<T>(word >> 12)}};
    } else if constexpr (std::is_same_v<Q, int8_t>) {
        return {{widen_int8x2<T>(word), widen_int8x2<T>(word >> 8)}};
    } else if constexpr (kTarget.arch != Arch::kSm80 && std::is_same_v<T, bf16>) {
        float x[4];
        unpack_fp8x4<Q>(word, x);
        return {{pack_halves<bf16>(x[0], x[2]), pack_halves<bf16>(x[1], x[3])}};
    } else if constexpr (kTarget.arch != Arch::kSm80) {
        uint32_t low, high;
        unpack_e4m3x4(word, low, high);
        return {{__byte_perm(low, high, 0x5410), __byte_perm(low, high, 0x7632)}};
    } else {
        return {{widen_e4m3x2<T>(word << 8), widen_e4m3x2<T>(word)}};
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
