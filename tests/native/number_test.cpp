// The oracle's number formats against the processor's float32, then kernels/numeric against the oracle.
#include "oracle/number.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "kit/random.h"
#include "numeric/bf16.h"
#include "numeric/f16.h"
#include "numeric/fp8.h"
#include "numeric/quantised.h"
#include "oracle/quantised.h"

namespace {

using oracle::decode;
using oracle::encode;

TEST(Number, OracleAgreesWithFloat32) {
    kit::Random random = kit::Random::of_this_test();
    for (int i = 0; i < 200'000; ++i) {
        const uint32_t bits = uint32_t(random.next());
        const float value = std::bit_cast<float>(bits);
        if (std::isnan(value)) {
            ASSERT_TRUE(std::isnan(decode(bits, oracle::kF32)));
        } else {
            ASSERT_EQ(decode(bits, oracle::kF32), double(value));
            ASSERT_EQ(encode(value, oracle::kF32), bits);
        }
        const double precise = std::ldexp(random.normal(), int(random.integer(-160, 140)));
        ASSERT_EQ(encode(precise, oracle::kF32), std::bit_cast<uint32_t>(float(precise))) << precise;
    }
}

TEST(Number, OracleKnowsTheFormatsLandmarks) {
    EXPECT_EQ(encode(1, oracle::kF16), 0x3c00u);
    EXPECT_EQ(encode(65504, oracle::kF16), 0x7bffu);
    EXPECT_EQ(encode(65519.99, oracle::kF16), 0x7bffu);
    EXPECT_EQ(encode(65520, oracle::kF16), 0x7c00u);
    EXPECT_EQ(encode(0x1p-24, oracle::kF16), 0x0001u);
    EXPECT_EQ(encode(0x1p-25, oracle::kF16), 0x0000u);
    EXPECT_EQ(encode(0x1.8p-24, oracle::kF16), 0x0002u);
    EXPECT_EQ(encode(-0.0, oracle::kF16), 0x8000u);
    EXPECT_EQ(encode(1, oracle::kBf16), 0x3f80u);
    EXPECT_EQ(encode(1 + 0x1p-8, oracle::kBf16), 0x3f80u);
    EXPECT_EQ(encode(1 + 3 * 0x1p-8, oracle::kBf16), 0x3f82u);
    EXPECT_EQ(encode(-HUGE_VAL, oracle::kBf16), 0xff80u);
    EXPECT_EQ(oracle::kE4m3.largest(), 448);
    EXPECT_EQ(encode(448, oracle::kE4m3), 0x7eu);
    EXPECT_EQ(encode(-256, oracle::kE4m3), 0xf8u);
    EXPECT_EQ(encode(0x1p-9, oracle::kE4m3), 0x01u);
    EXPECT_EQ(oracle::kE5m2.largest(), 57344);
    EXPECT_EQ(encode(57344, oracle::kE5m2), 0x7bu);
    EXPECT_EQ(encode(0x1p-16, oracle::kE5m2), 0x01u);
    EXPECT_EQ(oracle::kF16.largest(), 65504);
    EXPECT_EQ(oracle::kF32.smallest(), 0x1p-149);
}

template <class T>
T from_float(float value);
template <>
adze::bf16 from_float<adze::bf16>(float value) {
    return adze::to_bf16(value);
}
template <>
adze::f16 from_float<adze::f16>(float value) {
    return adze::to_f16(value);
}
template <>
adze::e4m3 from_float<adze::e4m3>(float value) {
    return adze::to_e4m3(value);
}
template <>
adze::e5m2 from_float<adze::e5m2>(float value) {
    return adze::to_e5m2(value);
}

/// A number's code; the 8-bit formats saturate.
uint32_t expected_bits(double value, oracle::Format format) {
    const bool saturates = format.sign() == 0x80;
    return encode(saturates ? std::clamp(value, -format.largest(), format.largest()) : value, format);
}

template <class T>
void check_decode(oracle::Format format) {
    for (uint32_t bits = 0; bits < 2 * format.sign(); ++bits) {
        const float value = adze::to_float(T{decltype(T::bits)(bits)});
        const double expected = decode(bits, format);
        if (std::isnan(expected)) {
            ASSERT_TRUE(std::isnan(value)) << bits;
            ASSERT_TRUE(std::isnan(adze::to_float(from_float<T>(value)))) << bits;
        } else {
            ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(float(expected))) << bits;
            ASSERT_EQ(from_float<T>(value).bits, expected_bits(expected, format));
        }
    }
}

template <class T>
void check_encode(float value, oracle::Format format) {
    const uint32_t bits = from_float<T>(value).bits;
    if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(decode(bits, format)));
    } else {
        ASSERT_EQ(bits, expected_bits(value, format)) << std::hexfloat << value;
    }
}

/// Every border between two neighbours, where ties go to even, and the floats on both sides of it.
template <class T>
void check_ties(oracle::Format format) {
    for (uint32_t bits = 0; bits < format.infinity(); ++bits) {
        const double low = decode(bits, format);
        const double next =
            bits + 1 == format.infinity() ? 2 * low - decode(bits - 1, format) : decode(bits + 1, format);
        const double middle = (low + next) / 2;
        if (float(middle) != middle) continue;  // below float32's subnormals
        for (float sign : {1.0f, -1.0f}) {
            const float tie = sign * float(middle);
            for (float value : {tie, std::nextafterf(tie, 0.0f), std::nextafterf(tie, sign * HUGE_VALF)}) {
                check_encode<T>(value, format);
            }
        }
    }
}

template <class T>
void check_samples(oracle::Format format) {
    kit::Random random = kit::Random::of_this_test();
    for (int i = 0; i < 500'000; ++i) {
        check_encode<T>(std::bit_cast<float>(uint32_t(random.next())), format);
        check_encode<T>(float(std::ldexp(random.normal(), int(random.integer(-28, 18)))), format);
    }
    for (uint32_t bits : {0u, 0x80000000u, 1u, 0x7f800000u, 0xff800000u, 0x7f800001u, 0x7fffffffu, 0xffc00000u}) {
        check_encode<T>(std::bit_cast<float>(bits), format);
    }
}

TEST(Number, Bf16DecodesEveryPattern) {
    check_decode<adze::bf16>(oracle::kBf16);
}
TEST(Number, F16DecodesEveryPattern) {
    check_decode<adze::f16>(oracle::kF16);
}
TEST(Number, Bf16RoundsEveryTieToEven) {
    check_ties<adze::bf16>(oracle::kBf16);
}
TEST(Number, F16RoundsEveryTieToEven) {
    check_ties<adze::f16>(oracle::kF16);
}
TEST(Number, Bf16EncodesSamples) {
    check_samples<adze::bf16>(oracle::kBf16);
}
TEST(Number, F16EncodesSamples) {
    check_samples<adze::f16>(oracle::kF16);
}
TEST(Number, E4m3DecodesEveryPattern) {
    check_decode<adze::e4m3>(oracle::kE4m3);
}
TEST(Number, E4m3RoundsEveryTieToEven) {
    check_ties<adze::e4m3>(oracle::kE4m3);
}
TEST(Number, E4m3EncodesSamples) {
    check_samples<adze::e4m3>(oracle::kE4m3);
}
TEST(Number, E5m2DecodesEveryPattern) {
    check_decode<adze::e5m2>(oracle::kE5m2);
}
TEST(Number, E5m2RoundsEveryTieToEven) {
    check_ties<adze::e5m2>(oracle::kE5m2);
}
TEST(Number, E5m2EncodesSamples) {
    check_samples<adze::e5m2>(oracle::kE5m2);
}

/// Every code, every tie and the floats around it, samples, and what is no number.
template <class Q>
void check_quantised(adze_dtype dtype) {
    constexpr int kBits = 8 / adze::kPerByte<Q>;
    kit::Random random = kit::Random::of_this_test();
    const auto check = [&](float value) {
        ASSERT_EQ(adze::quantise<Q>(value), oracle::quantise(value, 1, dtype)) << std::hexfloat << value;
    };
    for (uint32_t code = 0; code < 1u << kBits; ++code) {
        const double expected = oracle::dequantise(code, dtype);
        for (int place = 0; place < 32 / kBits; ++place) {
            const uint32_t others = uint32_t(random.next()) & ~(((1u << kBits) - 1) << place * kBits);
            const float value = adze::dequantise<Q>(others | code << place * kBits, place);
            ASSERT_TRUE(std::isnan(expected) ? std::isnan(value) : value == expected) << code << ' ' << place;
        }
        if (std::isnan(expected)) continue;
        ASSERT_EQ(adze::quantise<Q>(float(expected)), code);
    }
    for (int half = -600; half <= 600; ++half) {
        const float tie = float(half) / 2;
        for (float value : {tie, std::nextafterf(tie, 1e9f), std::nextafterf(tie, -1e9f)}) check(value);
    }
    for (int i = 0; i < 200'000; ++i) {
        check(std::bit_cast<float>(uint32_t(random.next())));
        check(float(random.normal() * 100));
    }
    for (uint32_t bits : {0x80000000u, 1u, 0x7f800000u, 0xff800000u, 0x7f800001u, 0x7fffffffu, 0xffc00000u}) {
        check(std::bit_cast<float>(bits));
    }
}

TEST(Number, QuantisedCodes) {
    check_quantised<adze::e4m3>(ADZE_DTYPE_F8E4M3);
    check_quantised<int8_t>(ADZE_DTYPE_I8);
    check_quantised<adze::int4x2>(ADZE_DTYPE_I4);
}

template <class Q>
void check_scale(float largest, adze_dtype dtype) {
    const float expected = oracle::dynamic_scale(std::isnan(largest) ? HUGE_VAL : std::fabs(double(largest)), dtype);
    const float scale = adze::scale_for<Q>(adze::magnitude_bits(largest));
    ASSERT_TRUE(std::isnan(expected) ? std::isnan(scale) : scale == expected) << std::hexfloat << largest;
}

TEST(Number, ScalesOfVectors) {
    kit::Random random = kit::Random::of_this_test();
    for (int i = 0; i < 200'000; ++i) {
        const uint32_t special[] = {0, 1, 5, 0x80000003, 0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0xffffffff};
        const float largest = std::bit_cast<float>(i < 9 ? special[i] : uint32_t(random.next()));
        check_scale<adze::e4m3>(largest, ADZE_DTYPE_F8E4M3);
        check_scale<int8_t>(largest, ADZE_DTYPE_I8);
        check_scale<adze::int4x2>(largest, ADZE_DTYPE_I4);
    }
}

}  // namespace
