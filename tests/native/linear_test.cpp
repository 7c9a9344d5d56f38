// linear against the oracle: shapes, formats, strides, special values, and rows that do not know of each other.
#include "kit/linear_case.h"

namespace {

using kit::LinearCall;
using kit::LinearCase;
using kit::Tensor;

class Linear : public kit::OnMachine {
protected:
    void check(const LinearCase& c, const std::function<double()>& value) {
        SCOPED_TRACE(c);
        LinearCall call(context, c, value);
        call.run(stream);
        EXPECT_TRUE(kit::close(call.y, call.reference()));
    }
    void check_exact(const LinearCase& c) {
        SCOPED_TRACE(c);
        LinearCall call(context, c, kit::integers(random, 2));
        call.run(stream);
        EXPECT_TRUE(kit::equal(call.y, call.oracle()));
    }
};
ADZE_ON_EACH_MACHINE(Linear);

const std::vector<int64_t> kRows{0, 1, 2, 3, 5, 7, 8, 12, 13, 17, 33, 64, 100};
const std::vector<int64_t> kSizes{1, 2, 3, 5, 7, 8, 15, 16, 17, 23, 31, 32, 33, 47, 61, 64, 65, 97, 127, 128, 131};

TEST_P(Linear, EveryRowCount) {
    for (int64_t M : kRows) {
        for (adze_dtype w : kit::kFloats) check({M, 37, 101, ADZE_DTYPE_F32, w}, kit::normal(random));
    }
}

TEST_P(Linear, EveryOddSize) {
    for (int64_t N : kSizes) {
        for (int64_t K : kSizes) {
            const int64_t M = random.pick(kRows);
            check({M, N, K, random.pick(kit::kFloats), random.pick(kit::kFloats), random.pick(kit::kFloats),
                   random.coin() ? random.pick(kit::kFloats) : ADZE_DTYPE_NONE},
                  kit::normal(random));
        }
    }
}

TEST_P(Linear, EveryMixOfFormats) {
    std::vector<adze_dtype> biases = kit::kFloats;
    biases.push_back(ADZE_DTYPE_NONE);
    for (adze_dtype x : kit::kFloats) {
        for (adze_dtype w : kit::kFloats) {
            for (adze_dtype y : kit::kFloats) {
                for (adze_dtype bias : biases) {
                    check({random.integer(1, 9), 19, 43, x, w, y, bias, 3, 1, 2}, kit::normal(random));
                }
            }
        }
    }
}

TEST_P(Linear, SmallIntegersAreExact) {
    for (int64_t M : kRows) {
        for (adze_dtype dtype : kit::kFloats) {
            // Up to 60 products of at most 4 stay below 2^8, bf16's last odd integer.
            check_exact({M, random.pick(kSizes), random.integer(1, 60), dtype, dtype, dtype, dtype, 1, 0, 5});
            check_exact({M, 33, 2047, dtype, dtype, ADZE_DTYPE_F32, dtype});
        }
    }
}

TEST_P(Linear, RowsAreNotDense) {
    for (int64_t gap : {1, 2, 3, 7, 16, 100}) {
        for (int64_t M : {1, 2, 9}) {
            for (adze_dtype dtype : kit::kFloats) {
                check({M, 21, 35, dtype, dtype, dtype, ADZE_DTYPE_F32, gap, gap + 1, gap + 2}, kit::normal(random));
            }
        }
    }
}

TEST_P(Linear, RowStrideOfAWeightMayBeLeftOut) {
    Tensor w = Tensor(ADZE_DTYPE_BF16, 9, 21).fill(kit::normal(random));
    const adze_weight_desc desc{sizeof desc, w.dtype(), w.data(), 9, 21, 0};
    LinearCall call(context, {3, 9, 21, ADZE_DTYPE_F32, ADZE_DTYPE_BF16}, kit::normal(random));
    call.weight = kit::make<kit::Weight>([&](adze_weight** out) { return adze_weight_create(context, &desc, out); });
    call.w = w;
    call.run(stream);
    EXPECT_TRUE(kit::close(call.y, call.reference()));
}

TEST_P(Linear, WideRangesAndLongSums) {
    for (adze_dtype dtype : kit::kFloats) {
        check({2, 11, 14336, ADZE_DTYPE_F32, dtype, ADZE_DTYPE_F32}, kit::normal(random));
        check({1, 5, 4099, dtype, dtype, dtype}, kit::wide(random));
        check({17, 70, 1031, dtype, dtype, ADZE_DTYPE_F32}, kit::wide(random));
    }
}

TEST_P(Linear, ManyOutputs) {
    check({1, 4099, 67, ADZE_DTYPE_F32, ADZE_DTYPE_BF16, ADZE_DTYPE_F32, ADZE_DTYPE_F32}, kit::normal(random));
    check({13, 1031, 259, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16}, kit::normal(random));
    check({131, 257, 193, ADZE_DTYPE_F16, ADZE_DTYPE_F16, ADZE_DTYPE_F16}, kit::normal(random));
}

TEST_P(Linear, SubnormalsAreNumbers) {
    // Products of subnormal weights and large x are ordinary numbers; flushing the weights would make them zero.
    for (adze_dtype dtype : {ADZE_DTYPE_F32, ADZE_DTYPE_F16, ADZE_DTYPE_BF16}) {
        const oracle::Format format = oracle::format_of(dtype);
        for (int64_t M : {1, 2, 9}) {
            LinearCall call(context, {M, 18, 37, ADZE_DTYPE_F32, dtype}, [&] { return 0.0; });
            call.w.fill([&] { return double(random.integer(-7, 7)) * format.smallest(); });
            call.weight = kit::pack(context, call.w);
            call.x.fill([&] { return std::ldexp(double(random.integer(-3, 3)), 100); });
            call.run(stream);
            EXPECT_TRUE(kit::equal(call.y, call.oracle())) << kit::name_of(dtype) << " weights, M " << M;
            call.w.fill([&] { return std::ldexp(double(random.integer(-3, 3)), dtype == ADZE_DTYPE_F16 ? 14 : 100); });
            call.weight = kit::pack(context, call.w);
            call.x = Tensor(dtype, M, 37).fill([&] { return double(random.integer(-7, 7)) * format.smallest(); });
            call.run(stream);
            EXPECT_TRUE(kit::equal(call.y, call.oracle())) << kit::name_of(dtype) << " x, M " << M;
        }
    }
}

TEST_P(Linear, ResultsOverflowToInfinityOnly) {
    LinearCall call(context, {3, 5, 8, ADZE_DTYPE_F32, ADZE_DTYPE_F32, ADZE_DTYPE_F16}, [] { return 100.0; });
    call.run(stream);
    EXPECT_TRUE(kit::equal(call.y, std::vector<double>(15, HUGE_VAL)));
}

// With f32 the ordinary cores of a GPU, with 16 bits the tensor cores.
TEST_P(Linear, NanAndInfinityStayInTheirRowAndColumn) {
    for (adze_dtype dtype : kit::kFloats) {
        for (int64_t M : {1, 2, 5, 13, 20, 33, 70}) {
            LinearCall call(context, {M, 19, 29, dtype, dtype}, kit::integers(random));
            const int64_t bad_row = random.integer(0, M - 1), bad_column = random.integer(0, 18);
            call.x.set(bad_row, random.integer(0, 28), random.coin() ? NAN : HUGE_VAL);
            call.w.set(bad_column, random.integer(0, 28), random.coin() ? NAN : -HUGE_VAL);
            call.x.freeze(), call.w.freeze();
            call.weight = kit::pack(context, call.w);
            call.run(stream);
            EXPECT_TRUE(kit::equal(call.y, call.oracle())) << "M " << M << ' ' << kit::name_of(dtype);
        }
    }
}

// Enough tiles of 128 rows that a GPU takes them, with fewer and more steps of K than its ring has stages.
TEST_P(Linear, RowsAndColumnsByTheHundred) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_context_info(context, &info));
    const int64_t N = on_cpu() ? 500 : (info.num_processors + 1) / 2 * 64 - 5;
    for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
        check({131, N, 19, dtype, dtype, ADZE_DTYPE_F32, ADZE_DTYPE_F32, 0, 0, 3}, kit::normal(random));
        check({129, N, 67, dtype, dtype, dtype}, kit::normal(random));
    }
    // And a weight that keeps the threads that pack it busy for more than one turn.
    check({3, N, 600, ADZE_DTYPE_F32, ADZE_DTYPE_BF16}, kit::normal(random));
    check({140, N, 264, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_F32}, kit::normal(random));
}

TEST_P(Linear, ARowIsTheSameAloneAndAmongOthers) {
    for (adze_dtype dtype : kit::kFloats) {
        for (auto [N, K] : {std::pair<int64_t, int64_t>{45, 517}, {130, 96}}) {
            LinearCall all(context, {100, N, K, dtype, dtype, ADZE_DTYPE_F32, ADZE_DTYPE_F32}, kit::normal(random));
            all.run(stream);
            for (int64_t M = 1; M < 100; M += M < 40 ? 1 : 13) {
                const int64_t first = random.integer(0, 100 - M);
                adze_linear_desc desc = all.desc();
                Tensor y(ADZE_DTYPE_F32, M, N, random.integer(0, 3));
                desc.x.data = all.x.data() + size_t(first * K) * kit::size_of(dtype);
                desc.x.rows = M;
                desc.y = y.view();
                ADZE_ASSERT_OK(adze_linear_run(stream, &desc));
                for (int64_t m = 0; m < M; ++m) {
                    ASSERT_EQ(y.row_bytes(m), all.y.row_bytes(first + m)) << "row " << m << " of " << M;
                }
            }
        }
    }
}

TEST_P(Linear, OffsetsBeyondTwoToThe31) {
    constexpr int64_t stride = (int64_t{1} << 30) + 80, M = 4, N = 7, K = 33;
    for (adze_dtype dtype : {ADZE_DTYPE_F32, ADZE_DTYPE_BF16}) {
        const size_t size = size_t(kit::size_of(dtype));
        const kit::Sparse x_memory(size_t(M * stride) * size), y_memory(size_t(M * stride) * size);
        LinearCall call(context, {M, N, K, dtype, dtype, dtype}, kit::integers(random));
        for (int64_t m = 0; m < M; ++m) {
            std::memcpy(x_memory.data() + size_t(m * stride) * size, call.x.row_bytes(m).data(), size_t(K) * size);
        }
        adze_linear_desc desc = call.desc();
        desc.x.data = x_memory.data(), desc.x.row_stride = stride;
        desc.y.data = y_memory.data(), desc.y.row_stride = stride;
        ADZE_ASSERT_OK(adze_linear_run(stream, &desc));
        for (int64_t m = 0; m < M; ++m) {
            std::memcpy(call.y.data() + size_t(m * N) * size, y_memory.data() + size_t(m * stride) * size,
                        size_t(N) * size);
        }
        EXPECT_TRUE(kit::equal(call.y, call.oracle())) << kit::name_of(dtype);
    }
}

TEST_P(Linear, SingleRowIgnoresItsStride) {
    for (adze_dtype dtype : kit::kFloats) {
        LinearCall call(context, {1, 9, 17, dtype, ADZE_DTYPE_F16}, kit::integers(random));
        adze_linear_desc desc = call.desc();
        desc.x.row_stride = 0;
        desc.y.row_stride = 0;
        ADZE_ASSERT_OK(adze_linear_run(stream, &desc));
        EXPECT_TRUE(kit::equal(call.y, call.oracle())) << kit::name_of(dtype);
    }
}

TEST_P(Linear, NoRowsNeedNoMemory) {
    LinearCall call(context, {1, 9, 17}, kit::integers(random));
    adze_linear_desc desc = call.desc();
    desc.x = {nullptr, 0, 17, 17, ADZE_DTYPE_F32, 0};
    desc.y = {nullptr, 0, 9, 9, ADZE_DTYPE_F32, 0};
    ADZE_EXPECT_OK(adze_linear_run(stream, &desc));
    EXPECT_TRUE(call.y.unchanged());
}

TEST_P(Linear, WeightIsACopy) {
    LinearCall call(context, {3, 20, 31, ADZE_DTYPE_F32, ADZE_DTYPE_BF16}, kit::integers(random));
    const auto expected = call.oracle();
    call.w.poison();
    call.run(stream);
    EXPECT_TRUE(kit::equal(call.y, expected));
    EXPECT_GE(adze_weight_bytes(call.weight), 20u * 31u * 2u);
    EXPECT_EQ(adze_weight_bytes(nullptr), 0u);
}

TEST_P(Linear, WorkspaceGrowsWithRows) {
    LinearCall call(context, {1, 45, 517, ADZE_DTYPE_F32, ADZE_DTYPE_BF16}, kit::integers(random));
    uint64_t last = 0;
    for (int64_t M = 0; M < 300; ++M) {
        uint64_t bytes = 0;
        ADZE_ASSERT_OK(adze_linear_workspace_size(call.weight, M, &bytes));
        EXPECT_GE(bytes, last) << M;
        last = bytes;
    }
}

TEST_P(Linear, DISABLED_FullSweep) {
    for (int round = 0; round < 3000; ++round) {
        check({random.pick(kRows), random.integer(1, 300), random.integer(1, 700), random.pick(kit::kFloats),
               random.pick(kit::kFloats), random.pick(kit::kFloats),
               random.coin() ? random.pick(kit::kFloats) : ADZE_DTYPE_NONE, random.integer(0, 9), random.integer(0, 9),
               random.integer(0, 9)},
              random.coin() ? std::function<double()>(kit::normal(random)) : kit::wide(random));
    }
}

}  // namespace
