// F32: a vector of kLanes floats in the instruction set that this file is compiled for, and what the cpu kernels do
// with it. 16-bit formats are converted on load and store. fma() rounds once where the set has it, twice in the
// portable one.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>
#if defined(__AVX2__)
    #include <immintrin.h>
#endif

#include "numeric/bf16.h"
#include "numeric/f16.h"

namespace adze::ADZE_ISA {

#define ADZE_INLINE inline __attribute__((always_inline))
// Before a loop over an array of vectors that must stay in registers.
#if defined(__clang__)
    #define ADZE_UNROLL _Pragma("unroll")
#else
    #define ADZE_UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(__AVX512F__)

constexpr int kLanes = 16;
struct F32 {
    __m512 v;
};
ADZE_INLINE F32 broadcast(float x) {
    return {_mm512_set1_ps(x)};
}
ADZE_INLINE F32 load(const float* p) {
    return {_mm512_loadu_ps(p)};
}
ADZE_INLINE F32 load(const bf16* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
ADZE_INLINE F32 load(const f16* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
ADZE_INLINE void store(float* p, F32 x) {
    _mm512_storeu_ps(p, x.v);
}
ADZE_INLINE void store(bf16* p, F32 x) {
    const __m512i bits = _mm512_castps_si512(x.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
    const __m512i upper = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(upper));
}
ADZE_INLINE void store(f16* p, F32 x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
ADZE_INLINE F32 operator+(F32 a, F32 b) {
    return {_mm512_add_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator-(F32 a, F32 b) {
    return {_mm512_sub_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator*(F32 a, F32 b) {
    return {_mm512_mul_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator/(F32 a, F32 b) {
    return {_mm512_div_ps(a.v, b.v)};
}
ADZE_INLINE F32 fma(F32 a, F32 b, F32 c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
// Where one is NaN the result is b.
ADZE_INLINE F32 max(F32 a, F32 b) {
    return {_mm512_max_ps(a.v, b.v)};
}
ADZE_INLINE F32 min(F32 a, F32 b) {
    return {_mm512_min_ps(a.v, b.v)};
}
ADZE_INLINE F32 round(F32 a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
ADZE_INLINE F32 scale_by_power_of_two(F32 a, F32 n) {
    return {_mm512_scalef_ps(a.v, n.v)};
}
ADZE_INLINE float reduce_add(F32 a) {
    return _mm512_reduce_add_ps(a.v);
}
ADZE_INLINE float reduce_max(F32 a) {
    return _mm512_reduce_max_ps(a.v);
}

#elif defined(__AVX2__)

constexpr int kLanes = 8;
struct F32 {
    __m256 v;
};
ADZE_INLINE F32 broadcast(float x) {
    return {_mm256_set1_ps(x)};
}
ADZE_INLINE F32 load(const float* p) {
    return {_mm256_loadu_ps(p)};
}
ADZE_INLINE F32 load(const bf16* p) {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
}
ADZE_INLINE F32 load(const f16* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ADZE_INLINE void store(float* p, F32 x) {
    _mm256_storeu_ps(p, x.v);
}
ADZE_INLINE void store(bf16* p, F32 x) {
    const __m256i bits = _mm256_castps_si256(x.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
    const __m256i upper = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
ADZE_INLINE void store(f16* p, F32 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT));
}
ADZE_INLINE F32 operator+(F32 a, F32 b) {
    return {_mm256_add_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator-(F32 a, F32 b) {
    return {_mm256_sub_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator*(F32 a, F32 b) {
    return {_mm256_mul_ps(a.v, b.v)};
}
ADZE_INLINE F32 operator/(F32 a, F32 b) {
    return {_mm256_div_ps(a.v, b.v)};
}
ADZE_INLINE F32 fma(F32 a, F32 b, F32 c) {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
ADZE_INLINE F32 max(F32 a, F32 b) {
    return {_mm256_max_ps(a.v, b.v)};
}
ADZE_INLINE F32 min(F32 a, F32 b) {
    return {_mm256_min_ps(a.v, b.v)};
}
ADZE_INLINE F32 round(F32 a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
ADZE_INLINE F32 scale_by_power_of_two(F32 a, F32 n) {  // |n| <= 252: in two steps, each within the exponent's range
    const __m256i whole = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(whole, 1);
    const auto power = [](__m256i e) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127)), 23));
    };
    return {_mm256_mul_ps(_mm256_mul_ps(a.v, power(half)), power(_mm256_sub_epi32(whole, half)))};
}
ADZE_INLINE float reduce_add(F32 a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
ADZE_INLINE float reduce_max(F32 a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

#else  // any processor: the compiler's own vectors

constexpr int kLanes = 4;
using Floats = float __attribute__((vector_size(16), aligned(4), may_alias));
using Words = int32_t __attribute__((vector_size(16)));
struct F32 {
    Floats v;
};
ADZE_INLINE F32 broadcast(float x) {
    return {Floats{x, x, x, x}};
}
ADZE_INLINE F32 load(const float* p) {
    return {*reinterpret_cast<const Floats*>(p)};
}
template <class T>
ADZE_INLINE Words load_halves(const T* p) {
    using Halves = uint16_t __attribute__((vector_size(8)));
    Halves halves;
    memcpy(&halves, p, sizeof halves);
    return __builtin_convertvector(halves, Words);
}
ADZE_INLINE F32 load(const bf16* p) {
    return {reinterpret_cast<Floats>(load_halves(p) << 16)};
}
ADZE_INLINE F32 load(const f16* p) {  // as to_float(f16), without branches
    const Words bits = load_halves(p), magnitude = (bits & 0x7fff) << 13, sign = (bits & 0x8000) << 16;
    const Words finite = reinterpret_cast<Words>(reinterpret_cast<Floats>(magnitude) * 5.192296858534828e33f);
    const Words quiet = (magnitude > 0x0f800000) & 0x00400000;
    const Words special = magnitude | 0x70000000 | quiet;
    return {reinterpret_cast<Floats>(sign | (magnitude >= 0x0f800000 ? special : finite))};
}
ADZE_INLINE void store(float* p, F32 x) {
    *reinterpret_cast<Floats*>(p) = x.v;
}
ADZE_INLINE void store(bf16* p, F32 x) {
    for (int i = 0; i < kLanes; ++i) p[i] = to_bf16(x.v[i]);
}
ADZE_INLINE void store(f16* p, F32 x) {
    for (int i = 0; i < kLanes; ++i) p[i] = to_f16(x.v[i]);
}
ADZE_INLINE F32 operator+(F32 a, F32 b) {
    return {a.v + b.v};
}
ADZE_INLINE F32 operator-(F32 a, F32 b) {
    return {a.v - b.v};
}
ADZE_INLINE F32 operator*(F32 a, F32 b) {
    return {a.v * b.v};
}
ADZE_INLINE F32 operator/(F32 a, F32 b) {
    return {a.v / b.v};
}
ADZE_INLINE F32 fma(F32 a, F32 b, F32 c) {
    return {a.v * b.v + c.v};
}
ADZE_INLINE F32 max(F32 a, F32 b) {
    return {a.v > b.v ? a.v : b.v};
}
ADZE_INLINE F32 min(F32 a, F32 b) {
    return {a.v < b.v ? a.v : b.v};
}
ADZE_INLINE F32 round(F32 a) {  // to nearest even for |a| < 2^22, which is all that exp() asks for
    const F32 magic = broadcast(12582912.0f);
    return (a + magic) - magic;
}
ADZE_INLINE F32 scale_by_power_of_two(F32 a, F32 n) {
    const Words whole = __builtin_convertvector(n.v, Words), half = whole >> 1;
    const auto power = [](Words e) { return reinterpret_cast<Floats>((e + 127) << 23); };
    return {a.v * power(half) * power(whole - half)};
}
ADZE_INLINE float reduce_add(F32 a) {
    return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
}
ADZE_INLINE float reduce_max(F32 a) {
    const float x = a.v[0] > a.v[1] ? a.v[0] : a.v[1], y = a.v[2] > a.v[3] ? a.v[2] : a.v[3];
    return x > y ? x : y;
}

#endif

ADZE_INLINE F32 zero() {
    return broadcast(0.0f);
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Single elements and tails, in the same conversions.
ADZE_INLINE float to_float(float x) {
    return x;
}
ADZE_INLINE void from_float(float x, float& out) {
    out = x;
}
ADZE_INLINE void from_float(float x, bf16& out) {
    out = to_bf16(x);
}
ADZE_INLINE void from_float(float x, f16& out) {
    out = to_f16(x);
}
using adze::to_float;

template <class T>
ADZE_INLINE F32 load_n(const T* p, int64_t count, T fill = T{}) {
    T padded[kLanes];
    for (int i = 0; i < kLanes; ++i) padded[i] = i < count ? p[i] : fill;
    return load(padded);
}

// Whole vectors where they fit, else the first `count` elements.
template <class T>
ADZE_INLINE F32 load_up_to(const T* p, int64_t count) {
    return count >= kLanes ? load(p) : load_n(p, count);
}

ADZE_INLINE void store_n(float* p, F32 x, int64_t count) {
    if (count >= kLanes) return store(p, x);
    float padded[kLanes];
    store(padded, x);
    for (int64_t i = 0; i < count; ++i) p[i] = padded[i];
}

// exp(x): x = n ln 2 + r with |r| <= ln 2 / 2, and a polynomial in r (Cephes expf); within 2 ulp, denormal results
// included. exp(-inf) = 0.
ADZE_INLINE F32 exp(F32 x) {
    x = min(broadcast(89.0f), max(broadcast(-104.0f), x));
    const F32 n = round(x * broadcast(1.44269504088896341f));
    F32 r = fma(n, broadcast(-0.693359375f), x);
    r = fma(n, broadcast(2.12194440e-4f), r);
    F32 p = broadcast(1.9875691500e-4f);
    p = fma(p, r, broadcast(1.3981999507e-3f));
    p = fma(p, r, broadcast(8.3334519073e-3f));
    p = fma(p, r, broadcast(4.1665795894e-2f));
    p = fma(p, r, broadcast(1.6666665459e-1f));
    p = fma(p, r, broadcast(5.0000001201e-1f));
    p = fma(p * r, r, r) + broadcast(1.0f);
    return scale_by_power_of_two(p, n);
}

// tanh(x) = x / (1 + x^2 / (3 + x^2 / (5 + ...))), Lambert's continued fraction, to its 25 and as a quotient of
// polynomials: nothing cancels, so it is within some ulp for small x too; beyond 9.1 it is 1 to the last bit.
ADZE_INLINE F32 tanh(F32 x) {
    x = min(broadcast(9.1f), max(broadcast(-9.1f), x));
    const F32 square = x * x;
    F32 p = square + broadcast(4095.0f), q = fma(broadcast(91.0f), square, broadcast(120120.0f));
    p = fma(p, square, broadcast(2552550.0f));
    q = fma(q, square, broadcast(41351310.0f));
    p = fma(p, square, broadcast(523783260.0f));
    q = fma(q, square, broadcast(5237832600.0f));
    p = fma(p, square, broadcast(41247931725.0f));
    q = fma(q, square, broadcast(252070693875.0f));
    p = fma(p, square, broadcast(1159525191825.0f));
    q = fma(q, square, broadcast(3794809718700.0f));
    p = fma(p, square, broadcast(7905853580625.0f));
    q = fma(q, square, broadcast(7905853580625.0f));
    return x * p / q;
}

}  // namespace adze::ADZE_ISA
