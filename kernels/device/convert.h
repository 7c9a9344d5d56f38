// Number formats: single conversions are in numeric/; these are the packed ones that targets have instructions for.
// All round to nearest, ties to even; FP8 saturates to the largest finite number, NaN stays NaN.
#pragma once

#include "device/memory.h"
#include "numeric/bf16.h"
#include "numeric/f16.h"
#include "numeric/quantised.h"

namespace adze {
inline namespace ADZE_TARGET {

// T is float, f16 or bf16; N is 1 or even.
template <class T, int N>
ADZE_DEVICE Vec<T, N> from_floats(const float (&values)[N]);
template <class T, int N>
ADZE_DEVICE void to_floats(const Vec<T, N>& values, float (&out)[N]);

// Four FP8 numbers (e4m3 or e5m2) in one word, lowest byte first.
template <class T>
ADZE_DEVICE uint32_t pack_fp8x4(const float (&values)[4]);
template <class T>
ADZE_DEVICE void unpack_fp8x4(uint32_t word, float (&out)[4]);

// The eight 4-bit numbers of a word, lowest first, each minus 8, as T (f16 or bf16), exactly. By lop3-style bit tricks
// where the target has them.
template <class T>
ADZE_DEVICE Vec<T, 8> unpack_int4x8(uint32_t word);

// The numbers of a word of Q (numeric/quantised.h) as pairs of T (f16 or bf16), exactly, NaN included: with h = 2 (int4x2: 4)
// numbers in each half of the word, word i of the result is number i and, in its upper half, number h + i. Instructions
// for a pair, as the compilers leave them:
//
//                      e4m3             int8_t            int4x2
//                 bf16      f16      bf16     f16      bf16     f16
//   sm_80          6.5      6.5       3.5     2.5      2.75    2.75
//   sm_89, 90a     4        2         3.5     2.5      2.75    2.75
//   gfx90a         9.5      6.5       4.5     4        5       4
template <class T, class Q>
ADZE_DEVICE Vec<uint32_t, 2 * kPerByte<Q>> widen_pairs(uint32_t word);

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(convert.h)
