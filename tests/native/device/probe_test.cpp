// The device layer by its probes: what every target must do alike, against results that are computed here.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "device/probe_device.h"
#include "kit/random.h"
#include "numeric/bf16.h"
#include "numeric/fp8.h"
#include "runtime/check.h"

namespace {

using adze::Arch;
using adze::ProbeFormat;
using kit::Array;

class DeviceLayer : public testing::TestWithParam<size_t> {
protected:
    kit::ProbeDevice& device() const { return *kit::probe_devices()[GetParam()]; }
    adze::LaunchStream& stream() const { return device().stream(); }
    const adze::ProbeTable& probes() const { return device().probes(); }
    bool has_warp_groups() const { return device().is(Arch::kSm90a); }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceLayer);  // a machine may have no GPU
INSTANTIATE_TEST_SUITE_P(Devices, DeviceLayer, testing::Range(size_t{0}, kit::probe_devices().size()),
                         [](const auto& index) { return std::string(kit::probe_devices()[index.param]->name()); });

std::vector<float> floats(kit::Random& random, size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = float(random.normal());
    return values;
}

TEST(DeviceLayerHere, HasDevice) {
    if (kit::probe_devices().empty()) GTEST_SKIP() << "no device that the probes were compiled for";
}

// ---- formats ----

constexpr ProbeFormat kFormats[] = {ProbeFormat::kF16, ProbeFormat::kBf16, ProbeFormat::kInt8, ProbeFormat::kE4m3,
                                    ProbeFormat::kE5m2};

bool is_fp8(ProbeFormat format) {
    return format == ProbeFormat::kE4m3 || format == ProbeFormat::kE5m2;
}
int bytes_of(ProbeFormat format) {
    return format == ProbeFormat::kF16 || format == ProbeFormat::kBf16 ? 2 : 1;
}
uint16_t encode(double value, ProbeFormat format) {
    const auto x = float(value);
    switch (format) {
        case ProbeFormat::kF16:
            return adze::to_f16(x).bits;
        case ProbeFormat::kBf16:
            return adze::to_bf16(x).bits;
        case ProbeFormat::kInt8:
            return uint8_t(int8_t(x));
        case ProbeFormat::kE4m3:
            return adze::to_e4m3(x).bits;
        default:
            return adze::to_e5m2(x).bits;
    }
}
double decode(uint16_t bits, ProbeFormat format) {
    switch (format) {
        case ProbeFormat::kF16:
            return adze::to_float(adze::f16{bits});
        case ProbeFormat::kBf16:
            return adze::to_float(adze::bf16{bits});
        case ProbeFormat::kInt8:
            return int8_t(bits);
        case ProbeFormat::kE4m3:
            return adze::to_float(adze::e4m3{uint8_t(bits)});
        default:
            return adze::to_float(adze::e5m2{uint8_t(bits)});
    }
}

/// A matrix of small integers, which all formats hold and whose products sum up exactly.
struct Matrix {
    int rows, columns;
    std::vector<double> values;

    static Matrix random(kit::Random& random, int rows, int columns, int largest = 3) {
        Matrix m{rows, columns, std::vector<double>(size_t(rows) * size_t(columns))};
        for (double& value : m.values) value = double(random.integer(-largest, largest));
        return m;
    }
    double at(int row, int column) const { return values[size_t(row) * size_t(columns) + size_t(column)]; }
    Matrix transposed() const {
        Matrix m{columns, rows, {}};
        for (int i = 0; i < columns; ++i) {
            for (int j = 0; j < rows; ++j) m.values.push_back(at(j, i));
        }
        return m;
    }
    Matrix times_transposed(const Matrix& b) const {
        Matrix m{rows, b.rows, {}};
        for (int i = 0; i < rows; ++i) {
            for (int j = 0; j < b.rows; ++j) {
                double sum = 0;
                for (int k = 0; k < columns; ++k) sum += at(i, k) * b.at(j, k);
                m.values.push_back(sum);
            }
        }
        return m;
    }
    Matrix rounded(ProbeFormat format) const {
        Matrix m = *this;
        for (double& value : m.values) value = decode(encode(value, format), format);
        return m;
    }
    Array<uint8_t> upload(kit::ProbeDevice& device, ProbeFormat format) const {
        std::vector<uint8_t> bytes;
        for (double value : values) {
            const uint16_t bits = encode(value, format);
            bytes.push_back(uint8_t(bits));
            if (bytes_of(format) == 2) bytes.push_back(uint8_t(bits >> 8));
        }
        return {device, bytes};
    }
};

template <class T>
void expect_equal(const std::vector<T>& got, const Matrix& expected) {
    for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(double(got[i]), expected.values[i])
            << "row " << i / size_t(expected.columns) << ", column " << i % size_t(expected.columns);
    }
}

// ---- threads and memory ----

TEST_P(DeviceLayer, MovesVectors) {
    kit::Random random = kit::Random::of_this_test();
    std::vector<uint16_t> values(8 * 1013);
    for (uint16_t& value : values) value = uint16_t(random.next());
    const Array<uint16_t> in(device(), values);
    for (int bytes : {2, 4, 8, 16}) {
        for (int streamed : {0, 1}) {
            const Array<uint16_t> out(device(), values.size(), uint16_t{0});
            probes().vectors(stream(), {in.data(), out.data(), int64_t(values.size()), bytes, streamed});
            EXPECT_EQ(out.read(), values) << bytes;
        }
    }
}

TEST_P(DeviceLayer, SharesMemoryWithinABlock) {
    kit::Random random = kit::Random::of_this_test();
    const std::vector<float> values = floats(random, 3 * 256);
    const Array<float> in(device(), values), out(device(), values.size(), 0.0f);
    probes().shared(stream(), {in.data(), out.data(), int64_t(values.size())});
    const std::vector<float> got = out.read();
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i], values[i / 256 * 256 + 255 - i % 256]) << i;
}

TEST_P(DeviceLayer, ExchangesBetweenLanes) {
    kit::Random random = kit::Random::of_this_test();
    std::vector<float> values(128);
    for (float& value : values) value = float(random.integer(-100, 100));
    const Array<float> in(device(), values), out(device(), 10 * 128, 0.0f), largest(device(), 128, 0.0f);
    const Array<double> wide(device(), 128, 0.0);
    const Array<uint64_t> ballots(device(), 128, uint64_t{0});
    probes().warp(stream(), {in.data(), out.data(), wide.data(), ballots.data(), largest.data()});
    const auto size = size_t(device().warp_size());
    const std::vector<float> got = out.read(), got_largest = largest.read();
    const std::vector<double> got_wide = wide.read();
    const std::vector<uint64_t> got_ballots = ballots.read();
    for (size_t i = 0; i < 128; ++i) {
        const size_t first = i / size * size, four = i / 4 * 4;
        const auto sum = [&](size_t from, size_t count) {
            return std::accumulate(values.begin() + long(from), values.begin() + long(from + count), 0.0f);
        };
        const float expected[10] = {values[first + 3],
                                    values[i ^ 1],
                                    values[i ^ 2],
                                    values[i ^ 4],
                                    values[i ^ 8],
                                    values[i ^ 16],
                                    values[size == 64 ? i ^ 32 : i],
                                    sum(four, 4),
                                    sum(first, size),
                                    sum(0, 128)};
        for (size_t row = 0; row < 10; ++row) ASSERT_EQ(got[row * 128 + i], expected[row]) << row << ' ' << i;
        uint64_t positive = 0;
        for (size_t lane = 0; lane < size; ++lane) positive |= uint64_t{values[first + lane] > 0} << lane;
        ASSERT_EQ(got_ballots[i], positive) << i;
        ASSERT_EQ(got_wide[i], double(values[i ^ 1])) << i;
        ASSERT_EQ(got_largest[i], *std::max_element(&values[first], &values[first] + size)) << i;
    }
}

TEST_P(DeviceLayer, CopiesAhead) {
    kit::Random random = kit::Random::of_this_test();
    constexpr size_t kBlocks = 3, kTiles = 7, kTile = 512, kCount = kBlocks * kTiles * kTile - 1000;
    std::vector<float> values(kCount);
    for (float& value : values) value = float(random.integer(-100, 100));
    const Array<float> in(device(), values), out(device(), kBlocks * 128, 0.0f);
    probes().async_copy(stream(), {in.data(), out.data(), kCount, kTiles, kBlocks});
    const std::vector<float> got = out.read();
    for (size_t i = 0; i < got.size(); ++i) {
        float sum = 0;
        for (size_t tile = 0; tile < kTiles; ++tile) {
            const size_t first = (i / 128 * kTiles + tile) * kTile + i % 128 * 4;
            for (size_t j = first; j < first + 4; ++j) sum += j < kCount ? values[j] : 0;
        }
        ASSERT_EQ(got[i], sum) << i;
    }
}

TEST_P(DeviceLayer, AddsUpThroughAtomics) {
    kit::Random random = kit::Random::of_this_test();
    std::vector<int32_t> values(5000);
    for (int32_t& value : values) value = int32_t(random.integer(0, 251));
    const Array<int32_t> in(device(), values), largest(device(), 1, INT32_MIN);
    const Array<uint32_t> histogram(device(), 256, 0u);
    const Array<uint64_t> total(device(), 1, uint64_t{0});
    const Array<float> sum(device(), 1, 0.0f);
    probes().atomics(stream(),
                     {in.data(), int64_t(values.size()), histogram.data(), largest.data(), total.data(), sum.data()});
    std::vector<uint32_t> counts(256);
    for (int32_t value : values) ++counts[size_t(value)];
    const auto all = std::accumulate(values.begin(), values.end(), int64_t{0});
    EXPECT_EQ(histogram.read(), counts);
    EXPECT_EQ(largest.read()[0], *std::max_element(values.begin(), values.end()));
    EXPECT_EQ(total.read()[0], uint64_t(all));
    EXPECT_EQ(sum.read()[0], float(all));
}

TEST_P(DeviceLayer, HandsResultsFromBlockToBlock) {
    constexpr size_t kCount = 5000, kBlocks = 20;
    const Array<float> in(device(), kCount, 1.0f), out(device(), kBlocks, 0.0f), sums(device(), kBlocks, 0.0f);
    const Array<uint32_t> ticket(device(), 1, 0u), flags(device(), kBlocks, 0u);
    probes().chained_scan(stream(), {in.data(), out.data(), kCount, kBlocks, ticket.data(), flags.data(), sums.data()});
    const std::vector<float> got = out.read();
    for (size_t i = 0; i < kBlocks; ++i) EXPECT_EQ(got[i], float(std::min(kCount, 256 * (i + 1))));
}

TEST_P(DeviceLayer, MeetsAtNamedBarriers) {
    const Array<int32_t> out(device(), 128, 0);
    if (device().is(Arch::kGfx90a)) {
        EXPECT_THROW(probes().named_barriers(stream(), {out.data(), 5}), adze::Failure);
        return;
    }
    probes().named_barriers(stream(), {out.data(), 5});
    const std::vector<int32_t> got = out.read();
    for (int i = 0; i < 128; ++i) ASSERT_EQ(got[size_t(i)], 10 + i);
}

TEST_P(DeviceLayer, OverlapsDependentKernelsSafely) {
    kit::Random random = kit::Random::of_this_test();
    const std::vector<float> values = floats(random, 100'000);
    const Array<float> in(device(), values), between(device(), values.size(), 0.0f), out(device(), values.size(), 0.0f);
    probes().dependent_launch(stream(), {in.data(), between.data(), out.data(), int64_t(values.size())});
    const std::vector<float> got = out.read();
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(got[i], 2 * (values[i] + 1)) << i;
}

// ---- numbers ----

TEST_P(DeviceLayer, ConvertsAsNumericDoes) {
    kit::Random random = kit::Random::of_this_test();
    constexpr size_t kCount = 8 * 4096;
    std::vector<float> values(kCount);
    for (size_t i = 0; i < kCount; ++i) {
        values[i] = i % 2 ? std::bit_cast<float>(uint32_t(random.next()))
                          : float(std::ldexp(random.normal(), int(random.integer(-28, 18))));
    }
    std::vector<uint32_t> words(kCount / 8);
    for (uint32_t& word : words) word = uint32_t(random.next());
    const Array<float> in(device(), values);
    const Array<uint32_t> int4(device(), words);
    const Array<uint16_t> f16_bits(device(), kCount, uint16_t{0}), bf16_bits(device(), kCount, uint16_t{0});
    const Array<uint16_t> int4_f16(device(), kCount, uint16_t{0}), int4_bf16(device(), kCount, uint16_t{0});
    const Array<uint8_t> e4m3_bits(device(), kCount, uint8_t{0}), e5m2_bits(device(), kCount, uint8_t{0});
    const Array<float> from_f16(device(), kCount, 0.0f), from_bf16(device(), kCount, 0.0f);
    const Array<float> from_e4m3(device(), kCount, 0.0f), from_e5m2(device(), kCount, 0.0f);
    adze::ProbeConvertParams p{};
    p.in = in.data(), p.count = kCount, p.int4 = int4.data();
    p.f16_bits = f16_bits.data(), p.bf16_bits = bf16_bits.data();
    p.e4m3_bits = e4m3_bits.data(), p.e5m2_bits = e5m2_bits.data();
    p.from_f16 = from_f16.data(), p.from_bf16 = from_bf16.data();
    p.from_e4m3 = from_e4m3.data(), p.from_e5m2 = from_e5m2.data();
    p.int4_f16 = int4_f16.data(), p.int4_bf16 = int4_bf16.data();
    probes().convert(stream(), p);

    const auto check = [&](const auto& bits, const auto& back, ProbeFormat format) {
        const auto got = bits.read();
        const std::vector<float> again = back.read();
        for (size_t i = 0; i < kCount; ++i) {
            if (std::isnan(values[i])) {
                ASSERT_TRUE(std::isnan(decode(got[i], format)) && std::isnan(again[i])) << i;
            } else {
                ASSERT_EQ(got[i], encode(values[i], format)) << std::hexfloat << values[i];
                ASSERT_EQ(again[i], decode(got[i], format)) << i;
            }
        }
    };
    check(f16_bits, from_f16, ProbeFormat::kF16);
    check(bf16_bits, from_bf16, ProbeFormat::kBf16);
    check(e4m3_bits, from_e4m3, ProbeFormat::kE4m3);
    check(e5m2_bits, from_e5m2, ProbeFormat::kE5m2);
    const std::vector<uint16_t> of_f16 = int4_f16.read(), of_bf16 = int4_bf16.read();
    for (size_t i = 0; i < kCount; ++i) {
        const double expected = double(words[i / 8] >> (i % 8 * 4) & 15) - 8;
        ASSERT_EQ(decode(of_f16[i], ProbeFormat::kF16), expected) << i;
        ASSERT_EQ(decode(of_bf16[i], ProbeFormat::kBf16), expected) << i;
    }
}

/// |got - expected| in units of the last place of `expected`.
double ulps(float got, double expected) {
    return std::fabs(got - expected) / std::ldexp(1.0, std::max(std::ilogb(expected), -126) - 23);
}

TEST_P(DeviceLayer, CalculatesWithinItsBounds) {
    kit::Random random = kit::Random::of_this_test();
    std::vector<float> values{0x1p-126f, 1.0f, 2.0f, 0.5f, 3.0f, 100.0f};
    for (int i = 0; i < 20'000; ++i) values.push_back(float(std::exp2(12 * random.normal())));
    const size_t count = values.size();
    const Array<float> in(device(), values);
    const Array<float> exp2(device(), count, 0.f), log2(device(), count, 0.f), rsqrt(device(), count, 0.f);
    const Array<float> ratio(device(), count, 0.f), fma(device(), count, 0.f), sine(device(), count, 0.f);
    const Array<float> cosine(device(), count, 0.f);
    const Array<int32_t> bits(device(), count, 0), lowest(device(), count, 0);
    probes().math(stream(), {in.data(), int64_t(count), exp2.data(), log2.data(), rsqrt.data(), ratio.data(),
                             fma.data(), sine.data(), cosine.data(), bits.data(), lowest.data()});
    const auto e = exp2.read(), l = log2.read(), r = rsqrt.read(), q = ratio.read(), f = fma.read(), s = sine.read(),
               c = cosine.read();
    const auto b = bits.read(), z = lowest.read();
    for (size_t i = 0; i < count; ++i) {
        const double x = values[i];
        const auto pattern = std::bit_cast<uint32_t>(values[i]);
        if (x < 127) {
            ASSERT_LE(ulps(e[i], std::exp2(x)), 2) << x;
        }
        if (x > 0.5 && x < 2) {
            ASSERT_LE(std::fabs(l[i] - std::log2(x)), 0x1p-22) << x;
        } else {
            ASSERT_LE(ulps(l[i], std::log2(x)), 2) << x;
        }
        ASSERT_EQ(r[i], 1 / std::sqrt(values[i])) << x;
        ASSERT_EQ(q[i], 1 / values[i]) << x;
        ASSERT_EQ(f[i], std::fma(values[i], values[i], values[i])) << x;
        if (x < 0x1p31) {
            ASSERT_LE(ulps(s[i], std::sin(x)), 0.5001) << x;
            ASSERT_LE(ulps(c[i], std::cos(x)), 0.5001) << x;
        }
        ASSERT_EQ(b[i], std::popcount(pattern)) << x;
        ASSERT_EQ(z[i], pattern == 0 ? 32 : std::countr_zero(pattern)) << x;
    }
}

// ---- matrices ----

/// Row and column of element i of operand 0 (A), 1 (B) or 2 (C) that thread t holds, from the vendors' tables.
std::pair<int, int> place(Arch arch, bool wide, ProbeFormat format, int operand, int t, int i) {
    const int lane = t % (arch == Arch::kGfx90a ? 64 : 32);
    if (arch == Arch::kGfx90a) {  // CDNA2 ISA, MFMA
        const int side = wide ? 32 : 16, of_side = lane % side, of_depth = lane / side * 4 + i % 4;
        if (operand == 0) return {of_side, of_depth};
        if (operand == 1) return {of_depth, of_side};
        return {of_depth + i / 4 * 8, of_side};
    }
    const int group = lane / 4, member = lane % 4, warp_row = t / 32 * 16;
    if (operand == 2) {  // PTX ISA: the same table for mma's C and wgmma's D, which continues to the right
        return {warp_row + group + (i % 4 < 2 ? 0 : 8), member * 2 + (i & 1) + i / 4 * 8};
    }
    if (bytes_of(format) == 2) {
        const int k = member * 2 + (i & 1);
        if (operand == 1) return {k + (i >= 2 ? 8 : 0), group};
        return {warp_row + group + (i < 2 || (i >= 4 && i < 6) ? 0 : 8), k + (i >= 4 ? 8 : 0)};
    }
    const int k = member * 4 + (i & 3);
    if (operand == 1) return {k + (i >= 4 ? 16 : 0), group};
    return {warp_row + group + (i < 4 || (i >= 8 && i < 12) ? 0 : 8), k + (i >= 8 ? 16 : 0)};
}

void check_layout(kit::ProbeDevice& device, ProbeFormat format, int n, bool wide, int operand) {
    const bool amd = device.is(Arch::kGfx90a);
    const int threads = n > 0 ? 128 : device.warp_size();
    const int per_word = 4 / bytes_of(format);
    const int count = operand == 2   ? (n > 0  ? n / 2
                                        : wide ? 16
                                               : 4)
                      : amd          ? 4
                      : operand == 0 ? 4 * per_word
                                     : 2 * per_word;
    const Array<int32_t> out(device, size_t(threads * count * 2), -1);
    device.probes().layout(device.stream(), {out.data(), format, n, wide, operand});
    const std::vector<int32_t> got = out.read();
    for (int t = 0; t < threads; ++t) {
        for (int i = 0; i < count; ++i) {
            const auto at = size_t(t * count + i) * 2;
            ASSERT_EQ(std::make_pair(got[at], got[at + 1]), place(device.arch(), wide, format, operand, t, i))
                << "format " << int(format) << ", n " << n << ", operand " << operand << ", thread " << t << ", " << i;
        }
    }
}

TEST_P(DeviceLayer, LaysFragmentsOutAsDocumented) {
    for (ProbeFormat format : kFormats) {
        for (int operand : {0, 1, 2}) {
            if (!is_fp8(format) || device().is(Arch::kSm89)) check_layout(device(), format, 0, false, operand);
            if (device().is(Arch::kGfx90a) && bytes_of(format) == 2) check_layout(device(), format, 0, true, operand);
            if (has_warp_groups() && operand != 1) {
                for (int n : {8, 64}) check_layout(device(), format, n, false, operand);
            }
        }
    }
}

void check_product(kit::ProbeDevice& device, ProbeFormat format, int n, bool rows_b, bool registers, bool wide) {
    SCOPED_TRACE(testing::Message() << "format " << int(format) << ", n " << n << ", rows_b " << rows_b
                                    << ", a_in_registers " << registers << ", wide " << wide);
    kit::Random random = kit::Random::of_this_test();
    const int k = 128 / bytes_of(format), m = n > 0 ? 64 : wide ? 32 : 16, columns = n > 0 ? n : 64;
    const Matrix a = Matrix::random(random, m, k), b = Matrix::random(random, columns, k);
    const Array<uint8_t> a_data = a.upload(device, format);
    const Array<uint8_t> b_data = (rows_b ? b.transposed() : b).upload(device, format);
    const auto count = size_t(m * columns);
    const bool integers = format == ProbeFormat::kInt8;
    const Array<float> c(device, count, -1.0f), sums(device, size_t(m), -1.0f);
    const Array<uint16_t> rounded(device, count, uint16_t{0});
    const bool halves = bytes_of(format) == 2 && n == 0;
    device.probes().mma(device.stream(), {a_data.data(), b_data.data(), c.data(), halves ? rounded.data() : nullptr,
                                          sums.data(), format, n, rows_b, registers, wide});
    const Matrix expected = a.times_transposed(b);
    const std::vector<float> got = c.read();
    if (integers) {
        std::vector<int32_t> values;
        for (float value : got) values.push_back(std::bit_cast<int32_t>(value));
        expect_equal(values, expected);
    } else {
        expect_equal(got, expected);
    }
    const std::vector<float> got_sums = sums.read();
    for (int row = 0; row < m; ++row) {
        const auto* first = &expected.values[size_t(row * columns)];
        ASSERT_EQ(got_sums[size_t(row)], std::accumulate(first, first + columns, 0.0)) << row;
    }
    if (!halves) return;
    const std::vector<uint16_t> got_rounded = rounded.read();
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(got_rounded[i], encode(expected.values[i], format)) << i;
}

TEST_P(DeviceLayer, MultipliesInAWarp) {
    for (ProbeFormat format : kFormats) {
        if (is_fp8(format) && !device().is(Arch::kSm89)) {
            EXPECT_THROW(check_product(device(), format, 0, false, false, false), adze::Failure);
            continue;
        }
        check_product(device(), format, 0, false, false, false);
        if (bytes_of(format) == 1) continue;
        check_product(device(), format, 0, true, false, false);
        if (!device().is(Arch::kGfx90a)) continue;
        check_product(device(), format, 0, false, false, true);
        check_product(device(), format, 0, true, false, true);
    }
}

TEST_P(DeviceLayer, MultipliesInAWarpGroup) {
    if (!has_warp_groups()) {
        EXPECT_THROW(check_product(device(), ProbeFormat::kBf16, 64, false, false, false), adze::Failure);
        return;
    }
    for (ProbeFormat format : kFormats) {
        for (int n : {8, 64, 128, 256}) {
            for (bool registers : {false, true}) {
                check_product(device(), format, n, false, registers, false);
                if (bytes_of(format) == 2 && n % 64 == 0) check_product(device(), format, n, true, registers, false);
            }
        }
    }
}

TEST_P(DeviceLayer, UsesAccumulatorsAsOperands) {
    kit::Random random = kit::Random::of_this_test();
    for (ProbeFormat format : kFormats) {
        for (int warp_group : {0, 1}) {
            if (format == ProbeFormat::kInt8 || (warp_group && !has_warp_groups())) continue;
            if (is_fp8(format) && !warp_group && !device().is(Arch::kSm89)) continue;
            SCOPED_TRACE(testing::Message() << "format " << int(format) << ", warp_group " << warp_group);
            const int width = 128 / bytes_of(format), m = warp_group ? 64 : 16;
            const Matrix a = Matrix::random(random, m, width, 1), b = Matrix::random(random, 64, width, 1);
            const Matrix v = Matrix::random(random, 64, 64);  // by k and n
            Matrix stored = v;
            if (is_fp8(format)) {  // by n and k, of which there are twice as many
                stored = Matrix{64, 128, std::vector<double>(64 * 128)};
                for (int i = 0; i < 64 * 64; ++i) stored.values[size_t(i % 64 * 128 + i / 64)] = v.values[size_t(i)];
            }
            const Array<uint8_t> a_data = a.upload(device(), format), b_data = b.upload(device(), format);
            const Array<uint8_t> v_data = stored.upload(device(), format);
            const Array<float> out(device(), size_t(m * 64), -1.0f);
            probes().chain(stream(), {a_data.data(), b_data.data(), v_data.data(), out.data(), format, warp_group});
            expect_equal(out.read(), a.times_transposed(b).rounded(format).times_transposed(v.transposed()));
        }
    }
}

// ---- bulk copies ----

TEST_P(DeviceLayer, CopiesBoxesOfTensors) {
    if (!has_warp_groups()) {
        EXPECT_THROW(probes().bulk_copy(stream(), {{nullptr, 4, 2, {}, {}, {}, 16}, {}, {}}), adze::Failure);
        return;
    }
    constexpr int64_t kSizes[5] = {20, 5, 4, 3, 2};
    constexpr int32_t kBox[5] = {8, 4, 3, 2, 2}, kAt[5] = {16, 3, -1, 1, 1};  // beyond the border, before it, beyond
    for (int rank = 1; rank <= 5; ++rank) {
        int64_t count = 1;
        adze::TensorMapDesc desc{nullptr, 4, rank, {}, {}, {}, 32};
        adze::ProbeBulkCopyParams p{};
        for (int i = 0; i < rank; ++i) {
            desc.sizes[i] = kSizes[i];
            desc.strides[i] = count * 4;
            desc.box[i] = kBox[i];
            p.at[i] = kAt[i];
            count *= kSizes[i];
        }
        std::vector<float> values(size_t(count), 0.0f);
        std::iota(values.begin(), values.end(), 1.0f);
        const Array<float> in(device(), values), out(device(), values.size(), -1.0f);
        p.from = p.to = desc;
        p.from.data = in.data();
        p.to.data = out.data();
        probes().bulk_copy(stream(), p);
        const std::vector<float> got = out.read();
        for (int64_t i = 0; i < count; ++i) {
            bool inside = true;
            int64_t rest = i;
            for (int d = 0; d < rank; ++d) {
                const int64_t place = rest % kSizes[d];
                inside = inside && place >= kAt[d] && place < kAt[d] + kBox[d];
                rest /= kSizes[d];
            }
            ASSERT_EQ(got[size_t(i)], inside ? values[size_t(i)] + 1 : -1) << "rank " << rank << ", element " << i;
        }
    }
}

TEST_P(DeviceLayer, KeepsAPipelineFull) {
    if (!has_warp_groups()) return;
    kit::Random random = kit::Random::of_this_test();
    for (auto [m, n, k] : {std::array{128, 128, 64}, {200, 136, 648}, {8, 264, 40}}) {
        const Matrix a = Matrix::random(random, m, k, 2), b = Matrix::random(random, n, k, 2);
        const Array<uint8_t> a_data = a.upload(device(), ProbeFormat::kBf16);
        const Array<uint8_t> b_data = b.upload(device(), ProbeFormat::kBf16);
        const Array<uint16_t> c(device(), size_t(m * n), uint16_t{0xffff});
        probes().pipeline(stream(), {a_data.data(), b_data.data(), c.data(), m, n, k});
        const Matrix expected = a.times_transposed(b);
        const std::vector<uint16_t> got = c.read();
        for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_EQ(got[i], encode(expected.values[i], ProbeFormat::kBf16)) << m << ' ' << n << ' ' << k << ' ' << i;
        }
    }
}

}  // namespace
