// Number formats: single conversions are in numeric/; these are the packed ones that targets have instructions for.
// All round to nearest, ties to even; FP8 saturates to the largest finite number, NaN stays NaN.
#pragma once

#include "device/memory.h"
#include "numeric/bf16.h"
#include "numeric/f16.h"
#include "numeric/fp8.h"

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

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(convert.h)
