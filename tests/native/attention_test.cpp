// attention against the oracle: shapes, layouts and formats.
#include <algorithm>

#include "kit/attention_suite.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class Attention : public kit::OnAttention {};
ADZE_ON_EACH_MACHINE(Attention);

TEST_P(Attention, EveryHeadRatio) {
    for (int ratio : {1, 2, 3, 4, 5, 6, 7, 8, 16}) {
        for (int kv_heads : {1, 3}) {
            check({.sequences = mixed(40), .shape = {ratio * kv_heads, kv_heads, 64, 64}, .page_size = 16});
        }
    }
}

TEST_P(Attention, EveryHeadDimension) {
    for (auto [qk, v] : {std::pair{8, 8},
                         {24, 24},
                         {64, 64},
                         {80, 80},
                         {96, 96},
                         {128, 128},
                         {256, 256},
                         {192, 128},
                         {8, 136},
                         {1024, 8}}) {
        check({.sequences = mixed(37), .shape = {4, 2, qk, v}, .page_size = 16, .hnd = random.coin()});
    }
}

// Every instance that a GPU may take: head dim, format of the cache, and tiles of few and of many rows.
TEST_P(Attention, PrefillOfEveryHeadDimensionAndFormat) {
    for (int dim : {64, 128, 256}) {
        for (adze_dtype kv : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
            for (adze_dtype q : kit::kFloats) {
                check({.sequences = {{20, 70}, {1, 90}, {33, 33}},
                       .shape = {4, 2, dim, dim == 256 ? 128 : dim, true, random.coin() ? 0 : 40},
                       .q_dtype = q,
                       .kv_dtype = kv,
                       .o_dtype = random.pick(kit::kFloats),
                       .scales = kit::Scales(random.integer(0, 5)),
                       .gap = random.coin() ? 0 : 3});
            }
        }
    }
}

TEST_P(Attention, EveryPageSizeAndItsBorders) {
    for (int page_size : {1, 2, 3, 7, 16, 33, 64, 256, 5000}) {
        std::vector<Sequence> borders;
        for (int64_t kv_len : {1, page_size - 1, page_size, page_size + 1, 2 * page_size, 2 * page_size + 1}) {
            if (kv_len > 0 && kv_len <= 5001)
                borders.push_back({random.integer(1, std::min<int64_t>(3, kv_len)), kv_len});
        }
        for (bool hnd : {false, true}) {
            check({.sequences = borders,
                   .shape = {4, 2, 16, 24},
                   .page_size = page_size,
                   .hnd = hnd,
                   .gap = random.integer(0, 3)});
            if (page_size > 256) break;
        }
    }
}

TEST_P(Attention, EveryMixOfFormats) {
    for (adze_dtype q : kit::kFloats) {
        for (adze_dtype kv : kit::kFloats) {
            for (adze_dtype o : kit::kFloats) {
                check({.sequences = mixed(70),
                       .shape = {4, 2, 40, 32, random.coin()},
                       .page_size = 8,
                       .q_dtype = q,
                       .kv_dtype = kv,
                       .o_dtype = o,
                       .hnd = random.coin(),
                       .lse = random.coin(),
                       .gap = random.integer(0, 5)});
            }
        }
    }
}

TEST_P(Attention, EveryMask) {
    for (bool causal : {true, false}) {
        for (int window : {0, 1, 2, 3, 15, 16, 17, 64, 1000}) {
            check({.sequences = {{1, 33}, {20, 20}, {9, 50}, {3, 1}, {6, 4}, {1, 100}, {70, 130}},
                   .shape = {2, 1, 16, 16, causal, window},
                   .page_size = 16});
        }
    }
}

TEST_P(Attention, ExactWhenOneKeyIsVisible) {
    // A window of one token makes o the token's own value, to the bit, wherever it lies.
    for (adze_dtype dtype : kit::kFloats) {
        AttentionCall call(context, stream,
                           {.sequences = {{9, 9}, {5, 40}, {1, 17}},
                            .shape = {6, 3, 32, 40, true, 1},
                            .page_size = 4,
                            .q_dtype = dtype,
                            .kv_dtype = dtype,
                            .o_dtype = dtype},
                           random, kit::normal(random));
        call.run(stream);
        for (int s = 0; s < 3; ++s) {
            for (int64_t i = 0; i < call.paging.qo_len(s); ++i) {
                const auto [page, slot] = call.paging.find(s, call.paging.kv_len(s) - call.paging.qo_len(s) + i);
                const int dim = call.c.shape.dim_v;
                for (int c = 0; c < 6 * dim; ++c) {
                    ASSERT_EQ(call.o.at(call.paging.qo_indptr[s] + i, c), call.v.at(page, slot, c / dim / 2, c % dim));
                }
            }
        }
    }
}

TEST_P(Attention, LongSequences) {
    for (int64_t kv_len : {1000, 4097, 20011}) {
        check({.sequences = {{1, kv_len}, {2, 3}, {1, kv_len / 3}},
               .shape = {2, 1, 64, 64},
               .page_size = 16,
               .kv_dtype = ADZE_DTYPE_BF16});
    }
    check({.sequences = {{1, 20000}}, .shape = {8, 1, 16, 16}, .page_size = 1});
    check({.sequences = {{3, 9000}}, .shape = {1, 1, 32, 32, true, 4500}, .page_size = 256});
    check({.sequences = {{150, 2500}}, .shape = {2, 1, 16, 16}, .page_size = 64, .q_dtype = ADZE_DTYPE_BF16});
}

TEST_P(Attention, ManyShortSequences) {
    std::vector<Sequence> sequences;
    for (int i = 0; i < 150; ++i) sequences.push_back({random.integer(0, 2), random.integer(0, 30)});
    check({.sequences = sequences, .shape = {4, 4, 24, 24}, .page_size = 3});
}

TEST_P(Attention, QueriesBeyondTheCacheSeeNothing) {
    // qo_len > kv_len: the first queries have negative positions. Causal, they see no key: o = 0, lse = -inf.
    for (adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
        AttentionCall call(context, stream,
                           {.sequences = {{5, 2}, {2, 0}, {1, 1}}, .shape = {2, 1, 16, 16}, .softmax = softmax}, random,
                           kit::normal(random));
        call.run(stream);
        call.expect_close();
        for (int64_t row : {0, 1, 2, 5, 6}) {
            for (int h = 0; h < 2; ++h) EXPECT_EQ(call.lse.at(row, h), -HUGE_VAL) << row;
            for (int64_t c = 0; c < call.o.columns(); ++c) EXPECT_EQ(call.o.at(row, c), 0) << row;
        }
    }
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, false}});
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, false, 2}});
    check({.sequences = {{5, 2}, {2, 0}, {7, 6}}, .shape = {2, 1, 16, 16, true, 2}});
}

TEST_P(Attention, ScalesOfTheCache) {
    for (kit::Scales scales :
         {kit::Scales::kTensor, kit::Scales::kHead, kit::Scales::kToken, kit::Scales::kPage, kit::Scales::kAll}) {
        for (adze_dtype dtype : kit::kFloats) {
            check({.sequences = mixed(50),
                   .shape = {6, 3, 32, 24},
                   .page_size = 5,
                   .kv_dtype = dtype,
                   .hnd = random.coin(),
                   .scales = scales});
        }
    }
}

TEST_P(Attention, SoftmaxScaleIsTheCallers) {
    for (double scale : {0.0, 1.0, 0.25, 0.01, 3.0, -0.5}) {
        check({.sequences = mixed(40), .shape = {2, 2, 16, 16, true, 0, scale}});
    }
}

TEST_P(Attention, SharedPages) {
    // Three sequences on the same prefix of pages, as a prefix cache makes them; one page may even repeat.
    AttentionCall call(context, stream,
                       {.sequences = {{1, 20}, {2, 24}, {1, 17}}, .shape = {4, 2, 16, 16}, .page_size = 4}, random,
                       kit::normal(random));
    auto& ids = call.paging.kv_indices;
    for (int s : {1, 2}) std::copy_n(ids.begin(), 4, ids.begin() + call.paging.kv_indptr[s]);
    ids[1] = ids[0];
    call.upload_indices();
    call.run(stream);
    call.expect_close();
}

TEST_P(Attention, CapacitiesMayBeExactlyFullOrLoose) {
    check({.sequences = {{1, 16}, {3, 16}}, .shape = {2, 1, 16, 16}, .page_size = 16});
    check({.sequences = mixed(50),
           .shape = {2, 1, 16, 16},
           .extra_rows = 0,
           .spare_sequences = 40,
           .spare_tokens = 1000,
           .spare_pages = 5000});
    check({.sequences = {}, .shape = {2, 1, 16, 16}, .spare_sequences = 3});
    check({.sequences = {{0, 0}}, .shape = {2, 1, 16, 16}, .extra_rows = 0});
}

TEST_P(Attention, PlanFollowsItsUpdates) {
    AttentionCall call(context, stream,
                       {.sequences = {{4, 40}, {1, 90}, {1, 3}}, .shape = {4, 2, 16, 16}, .spare_pages = 3}, random,
                       kit::normal(random));
    for (int step = 0; step < 20; ++step) {
        std::vector<Sequence> sequences;
        for (int i = int(random.integer(0, 3)); i > 0; --i) {
            const int64_t kv_len = random.integer(0, 48);
            sequences.push_back({random.integer(0, 2), kv_len});
        }
        auto all = call.paging.kv_indices;
        std::sort(all.begin(), all.end());
        // Any page will do: those without tokens hold NaN, so keep to the ones that the first batch filled fully.
        oracle::Paging next = kit::make_paging(sequences, 16, int64_t(all.size()), random);
        const auto first = call.paging;
        std::vector<int32_t> full{first.kv_indices[0], first.kv_indices[1], first.kv_indices[3], first.kv_indices[4]};
        for (int32_t& id : next.kv_indices) id = random.pick(full);
        std::swap(call.paging, next);
        const auto indices = call.indices;
        call.upload_indices();
        call.update(stream);
        call.run(stream);
        call.expect_close();
        std::swap(call.paging, next);
        call.indices = indices;
    }
}

TEST_P(Attention, OffsetsBeyondTwoToThe31) {
    // Few pages, far apart: the last one begins beyond 2^31 elements and 2^33 bytes.
    AttentionCase c{.sequences = {{2, 11}, {1, 8}}, .shape = {2, 1, 16, 16}, .page_size = 4};
    AttentionCall call(context, stream, c, random, kit::normal(random));
    constexpr int64_t stride = (int64_t{1} << 29) + 8;
    const int64_t pages = call.k.num_pages;
    ASSERT_GT((pages - 1) * stride, int64_t{1} << 31);
    const size_t size = kit::size_of(call.c.kv_dtype);
    const kit::Sparse k(size_t(pages * stride) * size), v(size_t(pages * stride) * size);
    adze_attention_desc desc = call.desc();
    const auto spread = [&](const kit::Cache& cache, int dim, std::byte* to) {
        for (int64_t p = 0; p < pages; ++p) {
            std::memcpy(to + size_t(p * stride) * size, cache.elements.data() + size_t(cache.offset(p, 0, 0, 0)) * size,
                        size_t(4 * dim) * size);  // a page of one head
        }
    };
    spread(call.k, call.c.shape.dim_qk, k.data());
    spread(call.v, call.c.shape.dim_v, v.data());
    const auto adopt = [&](const kit::Sparse& memory) {
        return kit::make<kit::Buffer>([&](adze_buffer** out) {
            return adze_buffer_adopt(context, memory.data(), uint64_t(pages * stride) * size, out);
        });
    };
    const kit::Buffer k_buffer = adopt(k), v_buffer = adopt(v);
    desc.k.data = adze_buffer_data(k_buffer), desc.k.page_stride = stride;
    desc.v.data = adze_buffer_data(v_buffer), desc.v.page_stride = stride;
    call.o.poison(), call.lse.poison();
    ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
    call.expect_close();
}

TEST_P(Attention, DISABLED_FullSweep) {
    // Those of GPUs; and what else cpu has.
    const std::vector<std::pair<int, int>> dims{{64, 64}, {80, 80}, {96, 96}, {128, 128}, {192, 128}, {256, 256}};
    std::vector<adze_dtype> formats = kit::kFloats;
    formats.insert(formats.end(), kit::kQuantised.begin(), kit::kQuantised.end());
    for (int round = 0; round < 600; ++round) {
        const int kv_heads = int(random.integer(1, 4));
        auto [dim_qk, dim_v] = random.pick(dims);
        if (random.integer(0, 2) == 0) dim_qk = int(random.integer(1, 32)) * 8, dim_v = int(random.integer(1, 32)) * 8;
        oracle::AttentionShape shape{kv_heads * int(random.integer(1, 8)), kv_heads, dim_qk, dim_v, random.coin()};
        const adze_dtype kv = random.pick(formats);
        const bool quantised = std::ranges::find(kit::kQuantised, kv) != kit::kQuantised.end();
        if (random.coin()) shape.window = int(random.integer(1, 300)), shape.sink_tokens = int(random.integer(0, 200));
        if (random.coin()) shape.soft_cap = std::exp2(random.uniform() * 8);
        check({.sequences = mixed(random.integer(9, 600)),
               .shape = shape,
               .page_size = int(random.integer(1, random.coin() ? 256 : 5000)),
               .q_dtype = random.pick(kit::kFloats),
               .kv_dtype = kv,
               .o_dtype = random.pick(kit::kFloats),
               .hnd = random.coin(),
               .lse = random.coin(),
               .scales = kit::Scales(random.integer(quantised, 5)),
               .gap = random.integer(0, 9),
               .masks = random.coin() ? kit::Masks(random.integer(0, 4)) : kit::Masks::kNone,
               .alibi = random.coin(),
               .sinks = random.coin(),
               .softmax = adze_softmax(random.integer(0, 2))});
    }
}

}  // namespace
