// Operands of quantised tiles against their definition.
#include <gtest/gtest.h>

#include <cmath>

#include "device/probe_device.h"
#include "kit/random.h"
#include "numeric/bf16.h"
#include "numeric/quantised.h"

namespace {

using adze::ProbeFormat;
using adze::ProbeQuantised;
using kit::Array;

constexpr size_t kTokens = 64;

float number_of(const std::vector<uint8_t>& bytes, size_t i, ProbeQuantised format) {
    if (format == ProbeQuantised::kE4m3) return adze::to_float(adze::e4m3{bytes[i]});
    if (format == ProbeQuantised::kInt8) return float(int8_t(bytes[i]));
    const int bits = bytes[i / 2] >> (i % 2 * 4) & 15;
    return float(bits < 8 ? bits : bits - 16);
}

// All bytes a format has, in a new order.
std::vector<uint8_t> random_bytes(kit::Random& random, size_t count) {
    std::vector<uint8_t> bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = uint8_t(i);
    for (size_t i = count; i-- > 1;) std::swap(bytes[i], bytes[size_t(random.integer(0, int64_t(i)))]);
    return bytes;
}

class QuantisedOperands : public testing::TestWithParam<size_t> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QuantisedOperands);  // a machine may have no GPU
INSTANTIATE_TEST_SUITE_P(Devices, QuantisedOperands, testing::Range(size_t{0}, kit::probe_devices().size()),
                         [](const auto& index) { return std::string(kit::probe_devices()[index.param]->name()); });

TEST_P(QuantisedOperands, HoldWhatTheirPlacesSay) {
    kit::ProbeDevice& device = *kit::probe_devices()[GetParam()];
    kit::Random random = kit::Random::of_this_test();
    for (ProbeQuantised format : {ProbeQuantised::kE4m3, ProbeQuantised::kInt8, ProbeQuantised::kInt4}) {
        for (ProbeFormat operand : {ProbeFormat::kF16, ProbeFormat::kBf16}) {
            for (int head_dim : {64, 128, 192, 256}) {
                const size_t count = kTokens * size_t(head_dim);
                const std::vector<uint8_t> bytes =
                    random_bytes(random, format == ProbeQuantised::kInt4 ? count / 2 : count);
                const Array<uint8_t> rows(device, bytes);
                constexpr uint16_t kUntouched = 0x7e01;  // a NaN that no conversion makes
                const Array<uint16_t> keys(device, count, kUntouched), values(device, count, kUntouched);
                device.probes().quantised(device.stream(),
                                          {rows.data(), keys.data(), values.data(), format, operand, head_dim});
                for (const Array<uint16_t>* array : {&keys, &values}) {
                    const std::vector<uint16_t> got = array->read();
                    for (size_t i = 0; i < count; ++i) {
                        const float expected = number_of(bytes, i, format);
                        const float is = operand == ProbeFormat::kF16 ? adze::to_float(adze::f16{got[i]})
                                                                      : adze::to_float(adze::bf16{got[i]});
                        const bool right = std::isnan(expected)
                                               ? std::isnan(is) && got[i] != kUntouched
                                               : is == expected && std::signbit(is) == std::signbit(expected);
                        ASSERT_TRUE(right)
                            << (array == &keys ? "keys" : "values") << " of format " << int(format) << " as "
                            << int(operand) << ", head_dim " << head_dim << ", token " << i / size_t(head_dim)
                            << ", number " << i % size_t(head_dim) << ": " << is << ", not " << expected;
                    }
                }
            }
        }
    }
}

}  // namespace
