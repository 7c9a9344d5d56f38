// The measure of error (DESIGN.md, section 6).
#pragma once
#include "kit/memory.h"

namespace kit {

/// What an output should be.
struct Reference {
    std::vector<double> value;  ///< the oracle, not rounded
    std::vector<double> plain;  ///< the plain float32 algorithm, not rounded to the output's format
    std::vector<double> slack;  ///< per element: what float32 arithmetic may lose before the output is rounded
};

/// The first `rows` rows of `out` against `reference` (dense rows of out.columns()):
///  - an element is NaN or Inf exactly where the reference rounds to it (Inf also within the slack of overflow);
///  - each element is within its slack and one rounding;
///  - ||out - ref|| / ||ref|| is at most twice the plain algorithm's, or the roundings of the format that nobody
///  avoids.
testing::AssertionResult close(const Tensor& out, const Reference& reference, int64_t rows = -1);

/// Equal to the reference rounded to the output's format, NaN for NaN.
testing::AssertionResult equal(const Tensor& out, const std::vector<double>& reference);

}  // namespace kit
