// kv_append against the oracle: every byte of the caches and of their scales.
#include "kit/attention_case.h"
#include "oracle/quantised.h"

namespace {

using kit::Tensor;

class KvAppend : public kit::OnMachine {
protected:
    void check(const kit::AttentionCase& wanted, adze_dtype from) { check(wanted, from, kit::normal(random)); }
    void check(const kit::AttentionCase& wanted, adze_dtype from, const std::function<double()>& value);
};
ADZE_ON_EACH_MACHINE(KvAppend);

Tensor clone(const Tensor& tensor) {
    Tensor copy(tensor.dtype(), tensor.rows(), tensor.columns());
    if (tensor.rows() != 0) std::memcpy(copy.data(), tensor.data(), tensor.row_bytes(0).size());
    return copy;
}

/// A cache as it should be after appending, with its scales.
struct Expected {
    Tensor elements, scales;
    explicit Expected(const kit::Cache& cache) : elements(clone(cache.elements)), scales(clone(cache.scales)) {}

    void store(const kit::Cache& cache, const std::vector<float>& vector, int64_t page, int64_t slot, int64_t head) {
        const adze_dtype dtype = elements.dtype();
        auto scale = float(cache.scale(page, slot, head));
        if (oracle::is_quantised(dtype) && cache.view().scale_token_stride != 0) {
            double largest = 0;
            for (float x : vector) largest = std::isfinite(x) ? std::max(largest, std::fabs(double(x))) : HUGE_VAL;
            for (float x : vector) largest = std::isfinite(x) ? largest : HUGE_VAL;
            scale = oracle::dynamic_scale(largest, dtype);
            scales.set(0, cache.scale_offset(page, slot, head), double(scale));
        }
        const size_t padded = dtype == ADZE_DTYPE_I4 ? (vector.size() + 31) / 32 * 32 : vector.size();
        for (size_t e = 0; e < padded; ++e) {
            const float x = e < vector.size() ? vector[e] : 0;
            const uint32_t code = oracle::is_quantised(dtype)
                                      ? oracle::quantise(x, scale, dtype)
                                      : oracle::encode(double(x / scale), oracle::format_of(dtype));
            elements.set_code(0, cache.offset(page, slot, head, int64_t(e)), code);
        }
    }
};

testing::AssertionResult same_bytes(const Tensor& got, const Tensor& expected) {
    if (got.rows() == 0) return testing::AssertionSuccess();
    const auto is = got.row_bytes(0), should = expected.row_bytes(0);
    const auto at = size_t(std::mismatch(is.begin(), is.end(), should.begin()).first - is.begin());
    if (at == is.size()) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "byte " << at << " of " << is.size() << " is " << int(is[at]) << ", not "
                                       << int(should[at]);
}

/// NaN for NaN: backends make different ones.
testing::AssertionResult same_scales(const Tensor& got, const Tensor& expected) {
    for (int64_t i = 0; i < got.columns(); ++i) {
        const double is = got.at(0, i), should = expected.at(0, i);
        if (is != should && !(std::isnan(is) && std::isnan(should))) {
            return testing::AssertionFailure() << "scale " << i << " is " << is << ", not " << should;
        }
    }
    return testing::AssertionSuccess();
}

void KvAppend::check(const kit::AttentionCase& wanted, adze_dtype from, const std::function<double()>& value) {
    kit::AttentionCall call(context, stream, wanted, random, kit::normal(random));
    SCOPED_TRACE(call.c);
    SCOPED_TRACE(kit::name_of(from));
    const int64_t tokens = call.paging.tokens();
    const int heads = call.c.shape.kv_heads, dim_k = call.c.shape.dim_qk, dim_v = call.c.shape.dim_v;
    Tensor k = Tensor(from, tokens + 1, heads * dim_k, call.c.gap).fill(value);
    Tensor v = Tensor(from, tokens + 1, heads * dim_v, 1).fill(value);
    Expected k_expected(call.k), v_expected(call.v);
    const auto store = [&](const kit::Cache& cache, Expected& expected, const Tensor& source, int dim, int64_t row,
                           int64_t page, int64_t slot) {
        for (int h = 0; h < heads; ++h) {
            std::vector<float> vector;
            for (int e = 0; e < dim; ++e) vector.push_back(float(source.at(row, h * dim + e)));
            expected.store(cache, vector, page, slot, h);
        }
    };
    for (int s = 0; s < call.paging.sequences(); ++s) {
        for (int64_t i = 0; i < call.paging.qo_len(s); ++i) {
            const int64_t position = call.paging.kv_len(s) - call.paging.qo_len(s) + i;
            if (position < 0) continue;
            const auto [page, slot] = call.paging.find(s, position);
            store(call.k, k_expected, k, dim_k, call.paging.qo_indptr[s] + i, page, slot);
            store(call.v, v_expected, v, dim_v, call.paging.qo_indptr[s] + i, page, slot);
        }
    }
    const adze_kv_append_desc desc{sizeof desc,  0, call.plan, k.view(), v.view(), call.indices.view(), call.k.view(),
                                   call.v.view()};
    ADZE_ASSERT_OK(adze_kv_append_run(stream, &desc));
    EXPECT_TRUE(same_bytes(call.k.elements, k_expected.elements));
    EXPECT_TRUE(same_bytes(call.v.elements, v_expected.elements));
    EXPECT_TRUE(same_scales(call.k.scales, k_expected.scales));
    EXPECT_TRUE(same_scales(call.v.scales, v_expected.scales));
    EXPECT_TRUE(call.k.elements.framed() && call.v.elements.framed());
    EXPECT_TRUE(call.k.scales.framed() && call.v.scales.framed());
    EXPECT_TRUE(k.unchanged() && v.unchanged() && call.indices.unchanged());
}

TEST_P(KvAppend, StoresEveryTokenAtItsPlace) {
    for (adze_dtype from : kit::kFloats) {
        for (adze_dtype to : kit::kFloats) {
            for (kit::Scales scales : {kit::Scales::kNone, kit::Scales::kTensor, kit::Scales::kAll}) {
                check({.sequences = {{1, 17}, {0, 5}, {9, 9}, {5, 2}, {3, 0}, {4, 30}},
                       .shape = {6, 3, 16, 24},
                       .page_size = int(random.integer(1, 7)),
                       .kv_dtype = to,
                       .hnd = random.coin(),
                       .scales = scales,
                       .gap = random.integer(0, 3)},
                      from);
            }
        }
    }
}

/// Scales of a quantised cache: set by the caller, and by append.
const std::vector<kit::Scales> kScales{kit::Scales::kTensor, kit::Scales::kHead, kit::Scales::kPage, kit::Scales::kAll};

TEST_P(KvAppend, QuantisesEveryTokenAtItsPlace) {
    for (adze_dtype from : kit::kFloats) {
        for (adze_dtype to : kit::kQuantised) {
            for (kit::Scales scales : kScales) {
                const auto dim = [&] { return random.pick(std::vector<int>{8, 24, 40, 64, 80, 96, 128, 192, 256}); };
                check({.sequences = {{1, 17}, {0, 5}, {9, 9}, {5, 2}, {3, 0}, {4, 30}},
                       .shape = {6, 3, dim(), dim()},
                       .page_size = int(random.integer(1, 7)),
                       .kv_dtype = to,
                       .hnd = random.coin(),
                       .scales = scales,
                       .gap = random.integer(0, 3)},
                      from);
            }
        }
    }
}

// Vectors of zeros, of numbers whose scale is zero, of the largest; with a NaN or an Inf somewhere; and ties.
TEST_P(KvAppend, QuantisesExtremes) {
    const std::vector<double> special{0.0,      -0.0,         0x1p-149, -0x1p-140, 0x1p-126, 1e30, -0x1.fffffep127,
                                      HUGE_VAL, std::nan(""), -HUGE_VAL};
    for (adze_dtype to : kit::kQuantised) {
        for (kit::Scales scales : {kit::Scales::kHead, kit::Scales::kAll}) {
            double background = 0;
            int64_t i = 0;
            // Runs that are as long as a head or so have the same background, and few elements differ.
            const auto value = [&] {
                if (i++ % 64 == 0) background = random.coin() ? 0 : random.pick(special);
                if (random.integer(0, 199) == 0) return random.pick(special);
                if (random.integer(0, 3) != 0) return std::isfinite(background) ? background : 0;
                return double(random.integer(-14, 14)) / 2;
            };
            check({.sequences = {{23, 40}, {17, 17}}, .shape = {4, 4, 64, 96}, .kv_dtype = to, .scales = scales},
                  ADZE_DTYPE_F32, value);
        }
    }
}

// On a GPU: a token of more vectors than a block's threads take at a time; tokens enough for blocks of 16, of sequences
// that begin within one, with row 1 as the last of sequence 0, where sequence 1 is empty; and a sequence for each token.
TEST_P(KvAppend, WideTokensAndManyTokens) {
    check({.sequences = {{3, 5}}, .shape = {72, 72, 64, 64}, .kv_dtype = ADZE_DTYPE_BF16}, ADZE_DTYPE_BF16);
    check({.sequences = {{2, 30}, {0, 4}, {1, 1}, {40, 40}}, .shape = {1, 1, 64, 64}, .kv_dtype = ADZE_DTYPE_F16},
          ADZE_DTYPE_F32);
    check({.sequences = std::vector<kit::Sequence>(37, {1, 9}), .shape = {1, 1, 64, 64}, .kv_dtype = ADZE_DTYPE_BF16},
          ADZE_DTYPE_F16);
    for (adze_dtype to : kit::kQuantised) {
        for (kit::Scales scales : {kit::Scales::kHead, kit::Scales::kAll}) {
            check({.sequences = {{3, 5}}, .shape = {72, 72, 64, 80}, .kv_dtype = to, .scales = scales},
                  ADZE_DTYPE_BF16);
            check({.sequences = {{2, 30}, {0, 4}, {1, 1}, {40, 40}},
                   .shape = {1, 1, 64, 64},
                   .kv_dtype = to,
                   .scales = scales},
                  ADZE_DTYPE_F32);
        }
    }
}

TEST_P(KvAppend, OffsetsBeyondTwoToThe31) {
    for (adze_dtype to : {ADZE_DTYPE_F16, ADZE_DTYPE_I8, ADZE_DTYPE_I4}) {
        // A page is 2 GB and a little.
        const auto bits = int64_t(kit::bits_of(to));
        const int64_t stride = (int64_t{1} << 34) / bits + 32, pages = 4;
        const kit::Sparse k_memory(size_t(pages * stride * bits / 8)), v_memory(size_t(pages * stride * bits / 8));
        kit::AttentionCase c{.sequences = {{2, 2}}, .shape = {1, 1, 8, 8}, .page_size = 4, .kv_dtype = ADZE_DTYPE_F16};
        kit::AttentionCall call(context, stream, c, random, kit::normal(random));
        call.paging.kv_indices = {3};
        call.upload_indices();
        const int dim = call.c.shape.dim_qk, vector = (dim + 31) / 32 * 32;
        const Tensor k = Tensor(ADZE_DTYPE_F16, 2, dim).fill(kit::integers(random));
        Tensor one = Tensor(ADZE_DTYPE_F32, 1, 1).fill([] { return 1.0; });
        adze_kv_append_desc desc{sizeof desc, 0, call.plan, k.view(), k.view(), call.indices.view(), {}, {}};
        desc.k_cache = {
            k_memory.data(), pages, stride, vector, vector, reinterpret_cast<float*>(one.data()), 0, 0, 0, to, 0};
        desc.v_cache = desc.k_cache;
        desc.v_cache.data = v_memory.data();
        ADZE_ASSERT_OK(adze_kv_append_run(stream, &desc));
        Tensor expected(to, 2, vector);
        for (int64_t row = 0; row < 2; ++row) {
            for (int64_t e = 0; e < dim; ++e) expected.set(row, e, k.at(row, e));
            for (const kit::Sparse* memory : {&k_memory, &v_memory}) {
                const std::byte* got = memory->data() + size_t((3 * stride + row * vector) * bits / 8);
                EXPECT_EQ(std::memcmp(got, expected.row_bytes(row).data(), size_t(dim * bits / 8)), 0)
                    << kit::name_of(to);
            }
        }
    }
}

}  // namespace
