#include "kit/compare.h"

#include <cmath>

namespace kit {
namespace {

testing::Message place(const Tensor& out, size_t i) {
    return testing::Message() << '[' << int64_t(i) / out.columns() << ", " << int64_t(i) % out.columns() << ']';
}

}  // namespace

testing::AssertionResult close(const Tensor& out, const Reference& reference, int64_t rows) {
    const oracle::Format format = oracle::format_of(out.dtype());
    const double roundoff = format.unit_roundoff();
    std::vector<double> values = out.values();
    if (rows >= 0) values.resize(size_t(rows * out.columns()));
    if (values.size() != reference.value.size()) {
        return testing::AssertionFailure()
               << "the reference has " << reference.value.size() << " elements, the output " << values.size();
    }
    double error = 0, plain_error = 0, norm = 0, slack_norm = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        const double expected = reference.value[i], slack = reference.slack[i];
        const double rounded = oracle::round_to(expected, format);
        if (!std::isfinite(values[i]) || !std::isfinite(rounded)) {
            const bool same = std::isnan(rounded) ? std::isnan(values[i]) : values[i] == rounded;
            const double reach = std::fabs(expected) * (1 + roundoff) + slack;
            // On the brink of overflow both the largest number and Inf are honest.
            const bool brink = std::isfinite(expected) && !std::isnan(values[i]) && reach >= format.largest() &&
                               std::fabs(values[i]) >= (std::fabs(expected) - slack) * (1 - 2 * roundoff);
            if (same || (brink && std::signbit(values[i]) == std::signbit(expected))) continue;
            return testing::AssertionFailure() << place(out, i) << " is " << values[i] << ", expected " << expected;
        }
        if (!std::isfinite(slack)) return testing::AssertionFailure() << place(out, i) << " has no bound to hold it to";
        const double difference = std::fabs(values[i] - expected);
        const double bound = slack + (std::fabs(expected) + slack) * roundoff * 1.0001 + format.smallest() * 0.5001;
        if (difference > bound) {
            return testing::AssertionFailure() << place(out, i) << " is " << values[i] << ", expected " << expected
                                               << ": error " << difference << " beyond the bound " << bound;
        }
        const double plain = oracle::round_to(reference.plain[i], format);
        error += difference * difference;
        if (std::isfinite(plain)) plain_error += (plain - expected) * (plain - expected);
        norm += expected * expected;
        slack_norm += slack * slack;
    }
    if (norm == 0) return testing::AssertionSuccess();
    // Few elements may make the plain error small by luck: one rounding of the output is never held against a kernel,
    // nor a small part of what float32 sums may lose.
    const double floor = 1.0001 * roundoff + 0x1p-22 + std::sqrt(slack_norm / norm) / 16;
    const double relative = std::sqrt(error / norm), allowed = std::max(2 * std::sqrt(plain_error / norm), floor);
    if (relative <= allowed) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "relative error " << relative << ", allowed " << allowed
                                       << " (twice the plain algorithm's " << std::sqrt(plain_error / norm) << ")";
}

testing::AssertionResult equal(const Tensor& out, const std::vector<double>& reference) {
    const std::vector<double> values = out.values();
    if (values.size() != reference.size()) return testing::AssertionFailure() << "sizes differ";
    for (size_t i = 0; i < values.size(); ++i) {
        const double expected = out.dtype() == ADZE_DTYPE_I32
                                    ? reference[i]
                                    : oracle::round_to(reference[i], oracle::format_of(out.dtype()));
        if (values[i] == expected || (std::isnan(values[i]) && std::isnan(expected))) continue;
        return testing::AssertionFailure() << place(out, i) << " is " << values[i] << ", expected exactly " << expected;
    }
    return testing::AssertionSuccess();
}

}  // namespace kit
