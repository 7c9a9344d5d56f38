// embedding, rms_norm, rope and silu_gate against the oracle.
#include "kit/glue_case.h"

namespace {

using kit::Tensor;

const std::vector<int64_t> kRows{0, 1, 2, 3, 13, 64};
const std::vector<int64_t> kColumns{1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 127, 896, 4099};
constexpr double u = 0x1p-24;

class Glue : public kit::OnMachine {
protected:
    adze_dtype dtype() { return random.pick(kit::kFloats); }
    int64_t gap() { return random.integer(0, 5); }
    Tensor input(int64_t rows, int64_t columns) { return input(rows, columns, dtype()); }
    Tensor input(int64_t rows, int64_t columns, adze_dtype dtype, double scale = 1) {
        return Tensor(dtype, rows, columns, gap()).fill(kit::normal(random, scale));
    }
    Tensor output(int64_t rows, int64_t columns) { return Tensor(dtype(), rows, columns, gap()).poison(); }
    /// Of the device: from its processors follows how many rows a block has, from its shared memory what is kept of one.
    adze_device_info info() const {
        adze_device_info out{};
        out.struct_size = sizeof out;
        ADZE_EXPECT_OK(adze_context_info(context, &out));
        return out;
    }

    void check_rms_norm(int64_t M, int64_t D);
    void check_rms_norm_with_residual(int64_t M, int64_t D, adze_dtype residual_dtype);

    struct RopeShape {
        int64_t M, heads;
        int head_dim, R;
    };
    void check_rope(const RopeShape& s, adze_dtype dtype);
};
ADZE_ON_EACH_MACHINE(Glue);

TEST_P(Glue, EmbeddingGathersRows) {
    for (int64_t D : kColumns) {
        for (adze_dtype from : kit::kFloats) {
            for (adze_dtype to : kit::kFloats) {
                const Tensor table = input(23, D, from);
                const int64_t M = random.pick(kRows);
                std::vector<int32_t> ids{0, 22};
                while (int64_t(ids.size()) < M) ids.push_back(int32_t(random.integer(0, 22)));
                ids.resize(size_t(M));
                const Tensor id_tensor = kit::vector_i32(ids);
                const Tensor y = Tensor(to, M, D, gap()).poison();
                const adze_embedding_desc desc{sizeof desc, 0, id_tensor.view(), table.view(), y.view()};
                ADZE_ASSERT_OK(adze_embedding_run(stream, &desc));
                std::vector<double> expected;
                for (int32_t id : ids) {
                    for (double value : kit::row_of(table, id)) expected.push_back(value);
                }
                EXPECT_TRUE(kit::equal(y, expected)) << "D " << D;
                EXPECT_TRUE(y.framed() && table.unchanged() && id_tensor.unchanged());
            }
        }
    }
}

TEST_P(Glue, EmbeddingBeyondTwoToThe31) {
    constexpr int64_t stride = (int64_t{1} << 30) + 3;
    const kit::Sparse memory(size_t(4 * stride) * 2);
    const Tensor row = input(1, 9, ADZE_DTYPE_BF16);
    std::memcpy(memory.data() + size_t(3 * stride) * 2, row.data(), 18);
    const Tensor ids = kit::vector_i32({3}), y = Tensor(ADZE_DTYPE_F32, 1, 9).poison();
    const adze_embedding_desc desc{
        sizeof desc, 0, ids.view(), {memory.data(), 4, 9, stride, ADZE_DTYPE_BF16, 0}, y.view()};
    ADZE_ASSERT_OK(adze_embedding_run(stream, &desc));
    EXPECT_TRUE(kit::equal(y, row.values()));
}

/// Of dense rows of D elements.
kit::Reference rms_norm_of(const std::vector<double>& h, int64_t D, const Tensor& weight, float epsilon) {
    kit::Reference reference;
    const auto w = weight.values();
    for (size_t start = 0; start < h.size(); start += size_t(D)) {
        const std::vector<double> row(&h[start], &h[start] + D);
        for (double value : oracle::rms_norm<double>(row, w, epsilon)) {
            reference.value.push_back(value);
            reference.slack.push_back(std::fabs(value) * u * double(D + 8));
        }
        for (double value : oracle::rms_norm<float>(row, w, epsilon)) reference.plain.push_back(value);
    }
    return reference;
}

void Glue::check_rms_norm(int64_t M, int64_t D) {
    SCOPED_TRACE(testing::Message() << "M " << M << " D " << D);
    const double scale = random.pick(std::vector<double>{1, 1e-3, 100});
    const Tensor x = input(M, D, dtype(), scale), weight = input(1, D), y = output(M, D);
    const float epsilon = random.pick(std::vector<float>{0, 1e-6f, 1e-5f, 0.5f});
    const adze_rms_norm_desc desc{sizeof desc, epsilon, x.view(), weight.view(), {}, y.view()};
    ADZE_ASSERT_OK(adze_rms_norm_run(stream, &desc));
    EXPECT_TRUE(kit::close(y, rms_norm_of(x.values(), D, weight, epsilon)));
    EXPECT_TRUE(y.framed() && x.unchanged() && weight.unchanged());
}

void Glue::check_rms_norm_with_residual(int64_t M, int64_t D, adze_dtype residual_dtype) {
    SCOPED_TRACE(testing::Message() << "M " << M << " D " << D << ' ' << kit::name_of(residual_dtype));
    const Tensor x = input(M, D), weight = input(1, D), y = output(M, D);
    Tensor residual = input(M, D, residual_dtype);
    const auto before = residual.values(), added = x.values();
    const adze_rms_norm_desc desc{sizeof desc, 1e-6f, x.view(), weight.view(), residual.view(), y.view()};
    ADZE_ASSERT_OK(adze_rms_norm_run(stream, &desc));
    // h is a float32 sum; y follows from it, whatever the residual's dtype keeps of it: should the kernel norm the
    // stored (rounded) h instead, the bounds tell.
    std::vector<double> h;
    for (size_t i = 0; i < before.size(); ++i) h.push_back(float(before[i]) + float(added[i]));
    EXPECT_TRUE(kit::equal(residual, h));
    EXPECT_TRUE(residual.framed() && x.unchanged() && y.framed());
    EXPECT_TRUE(kit::close(y, rms_norm_of(h, D, weight, 1e-6f)));
}

TEST_P(Glue, RmsNorm) {
    for (int64_t D : kColumns) {
        for (int64_t M : kRows) check_rms_norm(M, D);
    }
}

TEST_P(Glue, RmsNormAddsAndStoresTheResidual) {
    for (int64_t D : kColumns) {
        for (adze_dtype residual_dtype : kit::kFloats) {
            check_rms_norm_with_residual(random.integer(1, 9), D, residual_dtype);
        }
    }
}

// On a GPU: each width of rows that is a kernel of its own, from the first to the last column of the widest, and longer
// rows than its shared memory holds; and more rows than it has blocks under way, two of them in each.
TEST_P(Glue, RmsNormOfLongRowsAndOfManyRows) {
    const int64_t beyond = int64_t(info().shared_memory_per_block / sizeof(float)) + 1001;
    const int64_t more_than_resident = 2 * (4 * int64_t{info().num_processors}) + 3;
    for (const auto& [M, D] : std::vector<std::pair<int64_t, int64_t>>{
             {3, 1500}, {3, 2500}, {2, 8200}, {2, 16384}, {2, 16385}, {2, beyond}, {more_than_resident, 520}}) {
        check_rms_norm(M, D);
        check_rms_norm_with_residual(M, D, dtype());
    }
}

TEST_P(Glue, RmsNormInPlaceAndOnHardRows) {
    for (adze_dtype dtype : kit::kFloats) {
        Tensor x = input(5, 67, dtype);
        const Tensor weight = input(1, 67, dtype), y(dtype, 5, 67);
        adze_rms_norm_desc desc{sizeof desc, 1e-6f, x.view(), weight.view(), {}, y.view()};
        ADZE_ASSERT_OK(adze_rms_norm_run(stream, &desc));
        desc.y = x.view();
        ADZE_ASSERT_OK(adze_rms_norm_run(stream, &desc));
        for (int64_t m = 0; m < 5; ++m) EXPECT_EQ(x.row_bytes(m), y.row_bytes(m));
        EXPECT_TRUE(x.framed());
    }
    // Zeros give zeros (epsilon keeps the division alive), NaN stays in its row.
    Tensor x = Tensor(ADZE_DTYPE_F32, 3, 20).fill([] { return 0.0; });
    x.set(1, 7, NAN);
    for (int64_t c = 0; c < 20; ++c) x.set(2, c, 1);
    const Tensor weight = Tensor(ADZE_DTYPE_F32, 1, 20).fill([] { return 1.0; }), y(ADZE_DTYPE_F32, 3, 20);
    const adze_rms_norm_desc desc{sizeof desc, 1e-6f, x.view(), weight.view(), {}, y.view()};
    ADZE_ASSERT_OK(adze_rms_norm_run(stream, &desc));
    for (int64_t c = 0; c < 20; ++c) {
        EXPECT_EQ(y.at(0, c), 0);
        EXPECT_TRUE(std::isnan(y.at(1, c)));
        EXPECT_NEAR(y.at(2, c), 1, 1e-6);
    }
}

void Glue::check_rope(const RopeShape& s, adze_dtype dtype) {
    SCOPED_TRACE(testing::Message() << "M " << s.M << " head_dim " << s.head_dim << " R " << s.R << ' '
                                    << kit::name_of(dtype));
    std::vector<float> frequencies(size_t(s.R));
    const adze_rope_frequencies_desc f{sizeof f, 2 * s.R, 1e4, ADZE_ROPE_SCALING_NONE, 0, 0, 0, 0, 0};
    ADZE_ASSERT_OK(adze_rope_frequencies(&f, frequencies.data()));
    std::vector<int32_t> at(size_t(s.M));
    for (int32_t& p : at) p = int32_t(random.pick(std::vector<int64_t>{0, 1, 77, 4095, 131071}));
    Tensor x = input(s.M, s.heads * s.head_dim, dtype);
    kit::Reference reference;
    for (int64_t m = 0; m < s.M; ++m) {
        auto exact = kit::row_of(x, m), plain = exact;
        for (int64_t h = 0; h < s.heads; ++h) {
            double* head = &exact[size_t(h * s.head_dim)];
            oracle::rope<float>(&plain[size_t(h * s.head_dim)], at[size_t(m)], frequencies);
            const std::vector<double> in(head, head + s.head_dim);
            oracle::rope<double>(head, at[size_t(m)], frequencies);
            for (int i = 0; i < s.head_dim; ++i) {
                // Arithmetic is float32, the angle's too: it may be off by half its last place.
                const int pair = i < 2 * s.R ? i % s.R : i;
                const double length = i < 2 * s.R ? std::hypot(in[pair], in[pair + s.R]) : 0;
                const double angle = i < 2 * s.R ? at[size_t(m)] * double(frequencies[pair]) : 0;
                reference.slack.push_back(u * (angle + 6) * length);
            }
        }
        reference.value.insert(reference.value.end(), exact.begin(), exact.end());
        reference.plain.insert(reference.plain.end(), plain.begin(), plain.end());
    }
    const Tensor positions = kit::vector_i32(at), inv_freq = kit::vector_f32(frequencies);
    const auto before = x.values();
    const adze_rope_desc desc{sizeof desc, s.head_dim, x.view(), positions.view(), inv_freq.view()};
    ADZE_ASSERT_OK(adze_rope_run(stream, &desc));
    EXPECT_TRUE(kit::close(x, reference));
    EXPECT_TRUE(x.framed() && positions.unchanged() && inv_freq.unchanged());
    for (int64_t m = 0; m < s.M; ++m) {
        for (int64_t c = 0; c < x.columns(); ++c) {
            const bool stays = c % s.head_dim >= 2 * s.R || at[size_t(m)] == 0;
            if (!stays) continue;
            ASSERT_EQ(x.at(m, c), before[size_t(m * x.columns() + c)]) << m << ' ' << c;
        }
    }
}

TEST_P(Glue, Rope) {
    for (const RopeShape& s : {RopeShape{7, 3, 64, 32},
                               {1, 1, 2, 1},
                               {5, 2, 80, 40},
                               {3, 4, 96, 24},
                               {2, 1, 17, 8},
                               {0, 2, 8, 4},
                               {64, 2, 128, 64},
                               {3, 5, 24, 5},
                               {2, 1, 2201, 1100}}) {  // more angles than a block takes
        for (adze_dtype dtype : kit::kFloats) check_rope(s, dtype);
    }
}

// Enough rows for blocks of five, the last one smaller, and for as many as a block takes: more tasks than threads.
TEST_P(Glue, RopeOfManyRows) {
    const int64_t processors = info().num_processors;
    for (adze_dtype dtype : kit::kFloats) check_rope({10 * processors + 3, 2, 11, 5}, dtype);
    check_rope({32 * processors + 5, 1, 137, 68}, ADZE_DTYPE_F32);
}

TEST_P(Glue, SiluGate) {
    for (int64_t D : kColumns) {
        const int64_t M = random.pick(kRows);
        const Tensor gate = input(M, D, dtype(), 4), up = input(M, D), y = output(M, D);
        const adze_silu_gate_desc desc{sizeof desc, 0, gate.view(), up.view(), y.view()};
        ADZE_ASSERT_OK(adze_silu_gate_run(stream, &desc));
        kit::Reference reference;
        const auto g = gate.values(), v = up.values();
        for (size_t i = 0; i < g.size(); ++i) {
            reference.value.push_back(oracle::silu_gate<double>(g[i], v[i]));
            reference.plain.push_back(oracle::silu_gate<float>(g[i], v[i]));
            reference.slack.push_back(u * (8 + std::fabs(g[i])) * std::fabs(reference.value.back()));
        }
        EXPECT_TRUE(kit::close(y, reference)) << "M " << M << " D " << D;
        EXPECT_TRUE(y.framed() && gate.unchanged() && up.unchanged());
    }
}

TEST_P(Glue, SiluGateAtTheEndsOfTheRange) {
    // exp(-z) overflows below -88.7: the result is a (negative) zero or tiny, never a NaN.
    const std::vector<float> z{-1e4f, -3.4e38f, -104, -89, -88.7f, -87.7f,  -87,       -20,      -0.0f,
                               0,     1e-40f,   20,   88,  1e4f,   3.4e38f, -INFINITY, INFINITY, NAN};
    Tensor gate = kit::vector_f32(z);
    const Tensor up = Tensor(ADZE_DTYPE_F32, 1, gate.columns()).fill([] { return 1.0; });
    const adze_silu_gate_desc desc{sizeof desc, 0, gate.view(), up.view(), gate.view()};
    ADZE_ASSERT_OK(adze_silu_gate_run(stream, &desc));
    for (int64_t i = 0; i + 3 < gate.columns(); ++i) {
        // z / (1 + exp(-z)) in float32 is -0 where exp overflows; the true value there is below 3e-37.
        const double expected = oracle::silu_gate<double>(double(z[size_t(i)]), 1);
        const double value = std::isnan(expected) ? 0 : expected;
        const double lost = z[size_t(i)] < -88.72f ? 3e-37 : 0x1p-149;
        EXPECT_NEAR(gate.at(0, i), value, std::fabs(value) * 8 * u + lost) << z[size_t(i)];
    }
    EXPECT_EQ(gate.at(0, gate.columns() - 2), HUGE_VAL);
    EXPECT_TRUE(std::isnan(gate.at(0, gate.columns() - 1)));
}

TEST_P(Glue, SiluGateInPlace) {
    for (adze_dtype dtype : kit::kFloats) {
        Tensor gate = input(3, 37, dtype), up = input(3, 37, dtype), y(dtype, 3, 37);
        adze_silu_gate_desc desc{sizeof desc, 0, gate.view(), up.view(), y.view()};
        ADZE_ASSERT_OK(adze_silu_gate_run(stream, &desc));
        Tensor over_up = Tensor(dtype, 3, 37);
        for (int64_t r = 0; r < 3; ++r) {
            for (int64_t c = 0; c < 37; ++c) over_up.set(r, c, up.at(r, c));
        }
        over_up.freeze();
        desc.up = desc.y = over_up.view();
        ADZE_ASSERT_OK(adze_silu_gate_run(stream, &desc));
        desc.up = up.view(), desc.y = gate.view();
        ADZE_ASSERT_OK(adze_silu_gate_run(stream, &desc));
        for (int64_t r = 0; r < 3; ++r) {
            EXPECT_EQ(gate.row_bytes(r), y.row_bytes(r));
            EXPECT_EQ(over_up.row_bytes(r), y.row_bytes(r));
        }
        EXPECT_TRUE(gate.framed() && over_up.framed());
    }
}

TEST_P(Glue, ARowIsTheSameAloneAndAmongOthers) {
    const Tensor x = input(33, 131, ADZE_DTYPE_F32), weight = input(1, 131), y(ADZE_DTYPE_F32, 33, 131),
                 one(ADZE_DTYPE_F32, 1, 131);
    const adze_rms_norm_desc all{sizeof all, 1e-6f, x.view(), weight.view(), {}, y.view()};
    ADZE_ASSERT_OK(adze_rms_norm_run(stream, &all));
    for (int64_t m = 0; m < 33; ++m) {
        adze_rms_norm_desc single = all;
        single.x.data = x.data() + size_t(m * x.stride()) * 4;
        single.x.rows = 1;
        single.y = one.view();
        ADZE_ASSERT_OK(adze_rms_norm_run(stream, &single));
        ASSERT_EQ(one.row_bytes(0), y.row_bytes(m));
    }
}

TEST(RopeFrequencies, AreTheOraclesRoundedOnce) {
    for (int rotary_dim : {2, 6, 64, 128, 256}) {
        for (double theta : {1e4, 5e5, 1e6, 2.5}) {
            for (adze_rope_scaling scaling :
                 {ADZE_ROPE_SCALING_NONE, ADZE_ROPE_SCALING_LINEAR, ADZE_ROPE_SCALING_LLAMA3}) {
                const adze_rope_frequencies_desc desc{sizeof desc, rotary_dim, theta, scaling, 0, 8, 1, 4, 8192};
                Tensor out(ADZE_DTYPE_F32, 1, rotary_dim / 2);
                out.poison();
                ADZE_ASSERT_OK(adze_rope_frequencies(&desc, reinterpret_cast<float*>(out.data())));
                EXPECT_TRUE(out.framed());
                const auto expected = oracle::rope_frequencies(desc);
                for (int64_t i = 0; i < out.columns(); ++i) {
                    // f64 arithmetic in any order, rounded once: half a last place and a hair.
                    EXPECT_NEAR(out.at(0, i), expected[size_t(i)], expected[size_t(i)] * u * 1.0001) << i;
                }
            }
        }
    }
}

TEST(RopeFrequencies, EndsOfLlama31) {
    // The fastest pairs are kept, the slowest divided by 8.
    const adze_rope_frequencies_desc desc{sizeof desc, 128, 5e5, ADZE_ROPE_SCALING_LLAMA3, 0, 8, 1, 4, 8192};
    std::vector<float> out(64);
    ADZE_ASSERT_OK(adze_rope_frequencies(&desc, out.data()));
    EXPECT_EQ(out[0], 1.0f);
    EXPECT_FLOAT_EQ(out[1], float(std::pow(5e5, -2.0 / 128)));
    EXPECT_FLOAT_EQ(out[63], float(std::pow(5e5, -126.0 / 128) / 8));
}

}  // namespace
