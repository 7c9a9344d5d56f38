// Prefill on sm_90a (kernels/attention/sm90_attention.h): results, and which calls it takes. attention_test.cpp has what
// every machine must do.
#include <algorithm>
#include <cstring>

#include "kit/attention_case.h"

namespace {

using kit::AttentionCall;
using kit::AttentionCase;
using kit::Sequence;

class Prefill : public kit::OnMachine {
protected:
    enum class By { kPrefill, kOther };

    /// By which kernel the prefill is done.
    void check(const AttentionCase& c, By by = By::kPrefill) {
        AttentionCall call(context, stream, c, random, kit::normal(random));
        SCOPED_TRACE(call.c);
        expect_close(call, by);
    }
    void expect_close(AttentionCall& call, By by = By::kPrefill) {
        const int before = launches();
        call.run(stream);
        const std::vector<adze_sim_launch> prefills = prefills_since(before);
        if (counts()) {
            EXPECT_EQ(prefills.size(), by == By::kPrefill ? 1 : 0);
        }
        for (const adze_sim_launch& launch : prefills) {
            EXPECT_EQ(launch.shared_bank_conflicts, 0);
            EXPECT_GT(launch.matrix_multiply_adds, 0);
        }
        call.expect_close();
    }
    AttentionCase bf16(std::vector<Sequence> sequences, oracle::AttentionShape shape) const {
        AttentionCase c{.sequences = std::move(sequences), .shape = shape};
        c.q_dtype = c.kv_dtype = c.o_dtype = ADZE_DTYPE_BF16;
        c.o_gap = 0;
        return c;
    }
    /// A context where no piece of 128 rows is cut.
    kit::Context deterministic() const {
        adze_context_desc desc = kit::describe(GetParam());
        desc.flags = ADZE_CONTEXT_DETERMINISTIC;
        return kit::make<kit::Context>([&](adze_context** out) { return adze_context_create(&desc, out); });
    }
    /// A GPU, which may be another than sm_90a, does not tell what ran.
    bool counts() const { return GetParam().backend == ADZE_BACKEND_SIM; }

    int launches() const {
        adze_sim_launch out{};
        out.struct_size = sizeof out;
        int count = 0;
        while (adze_sim_counters(context, count, &out) == ADZE_OK) ++count;
        return count;
    }
    std::vector<adze_sim_launch> prefills_since(int before) const {
        std::vector<adze_sim_launch> out;
        for (int back = launches() - before - 1; back >= 0; --back) {
            adze_sim_launch launch{};
            launch.struct_size = sizeof launch;
            ADZE_EXPECT_OK(adze_sim_counters(context, back, &launch));
            if (std::strncmp(launch.kernel, "sm90_prefill", 12) == 0) out.push_back(launch);
        }
        return out;
    }

    /// Prefill, a chunk at the end of a longer cache, decode, an empty one, and drafts.
    std::vector<Sequence> ragged(int64_t longest) {
        std::vector<Sequence> out{{longest, longest},
                                  {random.integer(129, 140), random.integer(150, 2 * longest)},
                                  {1, random.integer(1, longest)},
                                  {0, 0},
                                  {random.integer(2, 9), 70}};
        random.shuffle(out);
        return out;
    }
};
std::vector<kit::Machine> sm90_machines() {
    std::vector<kit::Machine> out = kit::gpu_machines();
    std::erase_if(out, [](const kit::Machine& m) {
        return m.backend != ADZE_BACKEND_CUDA && !(m.backend == ADZE_BACKEND_SIM && m.device == 1);
    });
    return out;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Prefill);  // where none is here
INSTANTIATE_TEST_SUITE_P(Gpu, Prefill, testing::ValuesIn(sm90_machines()),
                         [](const auto& info) { return kit::name_of(info.param); });

TEST_P(Prefill, EveryHeadDimensionAndFormat) {
    for (auto [qk, v] :
         {std::pair{64, 64}, {80, 80}, {96, 96}, {128, 128}, {192, 128}, {256, 256}, {64, 128}, {256, 64}}) {
        for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
            AttentionCase c = bf16(ragged(random.integer(130, 200)), {2, 1, qk, v});
            c.q_dtype = c.kv_dtype = c.o_dtype = dtype;
            c.o_gap = random.integer(0, 1) * 8;
            c.gap = random.integer(0, 1) * 8;
            check(c);
        }
    }
}

// Widened to bf16 in shared memory; scales by head, by token, by all.
TEST_P(Prefill, EveryQuantisedCache) {
    for (adze_dtype dtype : {ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I8, ADZE_DTYPE_I4}) {
        std::vector<std::pair<int, int>> dims{{80, 80}, {96, 96}, {64, 128}, {128, 80}};
        for (auto [qk, v] : {std::pair{64, 64}, {128, 128}, {192, 128}, random.pick(dims)}) {
            AttentionCase c = bf16(ragged(random.integer(130, 200)), {2, 1, qk, v});
            c.kv_dtype = dtype;
            c.scales = random.pick(std::vector{kit::Scales::kTensor, kit::Scales::kHead, kit::Scales::kToken,
                                               kit::Scales::kPage, kit::Scales::kAll});
            c.gap = random.integer(0, 1) * 16;
            c.page_size = 8 << random.integer(0, 5);
            c.hnd = random.coin();
            check(c);
        }
        AttentionCase c = bf16({{140, 700}, {150, 20}}, {2, 1, 64, 64, random.coin(), 129, 0, 3});
        c.kv_dtype = dtype;
        c.scales = kit::Scales::kAll;
        check(c);
    }
}

// So many tiles in a piece that every stage is filled again, and pieces one after another.
TEST_P(Prefill, QuantisedTilesTakeTurns) {
    const kit::Context own = deterministic();
    const kit::Stream own_stream = kit::make_stream(own);
    for (adze_dtype dtype : {ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I8, ADZE_DTYPE_I4}) {
        for (auto [qk, v] : {std::pair{64, 64}, {128, 128}, {192, 128}}) {
            AttentionCase c = bf16({{65, 1400}, {70, 900}}, {1, 1, qk, v});
            c.kv_dtype = dtype;
            c.scales = kit::Scales::kAll;
            AttentionCall call(own, own_stream, c, random, kit::normal(random));
            SCOPED_TRACE(call.c);
            call.run(own_stream);
            call.expect_close();
        }
    }
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_context_info(context, &info));
    const int heads = info.num_processors * 4 / 5 + 1;  // a block each
    AttentionCase c = bf16({{65, 390}, {66, 390}}, {heads, heads, 128, 128});
    c.kv_dtype = ADZE_DTYPE_I8;
    c.scales = kit::Scales::kToken;
    check(c);
}

TEST_P(Prefill, EveryPageSizeThatFits) {
    for (int page_size : {8, 16, 24, 32, 40, 64, 128, 256, 384, 1000}) {
        AttentionCase c = bf16(ragged(random.integer(130, 300)), {2, 2, 64, 64});
        c.page_size = page_size;
        c.hnd = random.coin();
        c.o_gap = 1;  // not aligned
        check(c);
    }
}

TEST_P(Prefill, EveryHeadRatio) {
    for (int ratio : {1, 4, 5, 7, 8}) {
        const int64_t longest = 260 / ratio + random.integer(1, 70);
        check(bf16({{longest, longest}, {130 / ratio + 1, 333}, {1, 50}}, {2 * ratio, 2, 64, 64}));
    }
}

TEST_P(Prefill, EveryMask) {
    for (bool causal : {true, false}) {
        for (int window : {0, 1, 63, 64, 128, 129, 200, 5000}) {
            const int sinks = window == 0 ? 0 : random.pick(std::vector{0, 3, 128, 200});
            check(bf16({{200, 200}, {140, 700}, {150, 20}}, {2, 1, 64, 64, causal, window, 0, sinks}));
        }
    }
}

TEST_P(Prefill, SplitTilesAndLongCaches) {
    check(bf16({{130, 4000}}, {1, 1, 64, 64}));
    check(bf16({{70, 2500}, {300, 300}}, {4, 2, 128, 128}));
    check(bf16({{65, 3000}, {129, 1500}}, {1, 1, 256, 256}));
}

// So many heads leave each few blocks: more pieces than one.
TEST_P(Prefill, BlocksWithSeveralPieces) {
    AttentionCase c = bf16({{129, 140}, {130, 130}, {65, 200}, {70, 70}}, {120, 120, 64, 64});
    c.page_size = 32;
    check(c);
}

TEST_P(Prefill, WhatTheOtherKernelsTake) {
    const AttentionCase fits = bf16({{150, 200}}, {2, 1, 64, 64});
    check(fits);
    const auto check_other = [&](auto change) {
        AttentionCase c = fits;
        change(c);
        if (kit::supports(context, c)) check(c, By::kOther);
    };
    for (int page_size : {1, 4, 7, 12, 250}) check_other([&](AttentionCase& c) { c.page_size = page_size; });
    check_other([](AttentionCase& c) { c.q_dtype = ADZE_DTYPE_F32; });
    check_other([](AttentionCase& c) { c.o_dtype = ADZE_DTYPE_F32; });
    check_other([](AttentionCase& c) { c.kv_dtype = ADZE_DTYPE_F16; });
    check_other([](AttentionCase& c) { c.gap = 1; });
    check_other([](AttentionCase& c) { c.scales = kit::Scales::kHead; });
    check_other([](AttentionCase& c) {
        c.kv_dtype = ADZE_DTYPE_I8, c.scales = kit::Scales::kHead, c.q_dtype = c.o_dtype = ADZE_DTYPE_F16;
    });
    check_other([](AttentionCase& c) { c.kv_dtype = ADZE_DTYPE_I8, c.scales = kit::Scales::kHead, c.gap = 8; });
    check_other([](AttentionCase& c) {
        c.kv_dtype = ADZE_DTYPE_I8, c.scales = kit::Scales::kHead, c.shape.dim_qk = c.shape.dim_v = 256;
    });
    check_other([](AttentionCase& c) { c.shape.scale = -0.5; });
    check_other([](AttentionCase& c) { c.shape.scale = 0.7; });
    check_other([](AttentionCase& c) { c.sequences = {{30, 200}, {1, 9}}; });
    check_other([](AttentionCase& c) { c.shape.soft_cap = 20; });
    check_other([](AttentionCase& c) { c.masks = kit::Masks::kRandom; });
    check_other([](AttentionCase& c) { c.alibi = true; });
    check_other([](AttentionCase& c) { c.sinks = true; });
}

// Weights over the whole range of f32 logits.
TEST_P(Prefill, LargeAndTinyInputs) {
    for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
        for (double size : {1e-5, 1e-2, 8.0, 100.0}) {
            AttentionCase c = bf16({{140, 260}}, {2, 1, 64, 64});
            c.q_dtype = c.kv_dtype = c.o_dtype = dtype;
            AttentionCall call(context, stream, c, random, kit::normal(random, size));
            SCOPED_TRACE(testing::Message() << call.c << " of size " << size);
            expect_close(call);
        }
    }
}

// Logits of every size, each one product, so that only the softmax may err: attention_test.cpp has the same for the kernels
// of all machines.
TEST_P(Prefill, AdversarialLogits) {
    const std::vector<std::pair<const char*, std::function<double(int64_t)>>> kinds{
        {"plus or minus 1e4", [&](int64_t) { return random.coin() ? 1e4 : -1e4; }},
        {"around 1e4", [&](int64_t) { return 1e4 + double(random.integer(-8, 8)); }},
        {"around -1e4", [&](int64_t) { return -1e4 + double(random.integer(-8, 8)); }},
        {"all equal and very low", [](int64_t) { return -5e4; }},
        {"one huge", [](int64_t t) { return t % 137 == 3 ? 1.5e38 : 0.0; }},
        {"one lowest", [](int64_t t) { return t % 137 == 3 ? -1.5e38 : 0.0; }},
        {"largest and lowest", [&](int64_t) { return random.coin() ? 1.5e38 : -1.5e38; }},
        {"huge, close to each other", [&](int64_t t) { return 0x1p30 + double(random.integer(0, 3) * (t & ~63)); }},
        {"alternating tails", [&](int64_t t) { return (t / 64 % 2 ? 60 : -60) + random.normal(); }},
        {"alternating tails, far",
         [&](int64_t t) { return (t / 128 % 2 ? 9000 : -9000) + double(random.integer(-9, 9)); }},
        {"rising from near to far", [](int64_t t) { return double(t) * 4; }},
        {"rising from far to near", [](int64_t t) { return double(t) * 4 - 1600; }},
        {"falling", [](int64_t t) { return double(-t) * 2.5; }},
        {"some masked by -inf", [&](int64_t t) { return t > 0 && random.coin() ? -HUGE_VAL : random.normal(); }},
        {"all -inf but one", [](int64_t t) { return t == 290 ? 0.5 : -HUGE_VAL; }},
        {"all -inf but one, far", [](int64_t t) { return t == 290 ? 3e4 : -HUGE_VAL; }},
        {"all -inf", [](int64_t) { return -HUGE_VAL; }}};
    constexpr double kScale = 0.5;
    for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F16}) {
        // q's one number, so that keys of f16 reach logits of 5e8.
        const double q = dtype == ADZE_DTYPE_F16 ? 0x1p14 : 1, most = dtype == ADZE_DTYPE_F16 ? 65504 : 3.38e38;
        for (const auto& [name, logit] : kinds) {
            AttentionCase c = bf16({{140, 300}, {66, 1500}}, {1, 1, 64, 64, true, 0, kScale});
            c.q_dtype = c.kv_dtype = c.o_dtype = dtype;
            AttentionCall call(context, stream, c, random, kit::normal(random));
            SCOPED_TRACE(testing::Message() << name << ' ' << call.c);
            for (int64_t r = 0; r < call.paging.tokens(); ++r) {
                for (int e = 0; e < 64; ++e) call.q.set(r, e, e ? 0 : q);
            }
            for (int s = 0; s < 2; ++s) {
                for (int64_t t = 0; t < call.paging.kv_len(s); ++t) {
                    const auto [page, slot] = call.paging.find(s, t);
                    const double value = logit(t), key = value / kScale / q;
                    for (int e = 0; e < 64; ++e) {
                        const double clamped = std::isinf(key) ? key : std::clamp(key, -most, most);
                        call.k.elements.set(0, call.k.offset(page, slot, 0, e), e ? 0 : clamped);
                        // A weight of exactly 0 leaves nothing of a large value.
                        if (std::isinf(key)) call.v.elements.set(0, call.v.offset(page, slot, 0, e), 6e4);
                    }
                }
            }
            call.q.freeze(), call.k.elements.freeze(), call.v.elements.freeze();
            expect_close(call);
        }
    }
}

// What a key holds that a query does not see must not reach it, whatever it is, but for the values of a key that shares its
// 128 with one that some row of the query's 128 sees.
TEST_P(Prefill, NanStaysWhereItIsSeen) {
    constexpr int kPast = 37;
    AttentionCall call(context, stream, bf16({{300, 300 + kPast}, {140, 140}}, {1, 1, 64, 64}), random,
                       kit::normal(random));
    const auto [page, slot] = call.paging.find(0, 200 + kPast);
    call.k.elements.set(0, call.k.offset(page, slot, 0, 3), NAN);
    const auto [v_page, v_slot] = call.paging.find(0, 290 + kPast);
    call.v.elements.set(0, call.v.offset(v_page, v_slot, 0, 5), NAN);
    call.k.elements.freeze(), call.v.elements.freeze();
    call.run(stream);
    for (int64_t row = 0; row < call.paging.tokens(); ++row) {
        EXPECT_EQ(std::isnan(call.o.at(row, 7)), row >= 200 && row < 300) << row;
        // Rows 128 to 255 see keys from 256 to 292, and so meet the value of 327.
        EXPECT_EQ(std::isnan(call.o.at(row, 5)), row >= 128 && row < 300) << row;
    }
}

// One block a processor, and of the tiles of keys only those that rows see.
TEST_P(Prefill, TakesTheTilesThatAreSeen) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_context_info(context, &info));
    const auto check_tiles = [&](oracle::AttentionShape shape, Sequence sequence, int64_t tiles) {
        AttentionCall call(context, stream, bf16({sequence}, shape), random, kit::normal(random));
        SCOPED_TRACE(call.c);
        const int before = launches();
        expect_close(call);
        for (const adze_sim_launch& launch : prefills_since(before)) {
            const int64_t products = tiles * shape.kv_heads * 128 * 128 * (shape.dim_qk + shape.dim_v);
            EXPECT_EQ(launch.matrix_multiply_adds, uint64_t(products));
            EXPECT_LE(launch.grid_x * launch.grid_y, info.num_processors);
        }
    };
    // Positions from 700 on: the rows' 128s end at 828, 956 and 1000.
    check_tiles({1, 1, 64, 64}, {300, 1000}, 7 + 8 + 8);
    check_tiles({1, 1, 128, 128}, {300, 1000}, 7 + 8 + 8);
    check_tiles({1, 1, 192, 128, false}, {300, 1000}, 3 * 8);
    check_tiles({8, 8, 64, 64}, {130, 6500}, 2 * 51);  // enough for all blocks
    // Fewer blocks a head than pieces could use. 128 rows see keys 371 to 517 and 2 see 499 to 519, and the sinks.
    const int heads = info.num_processors * 4 / 5 + 1;
    check_tiles({heads, heads, 64, 64, true, 20}, {130, 520}, 3 + 2);
    check_tiles({heads, heads, 64, 64, true, 20, 0, 10}, {130, 520}, (1 + 3) + (1 + 2));
}

// Captured with one batch, launched with others: more rows, fewer, none for this kernel.
TEST_P(Prefill, FollowsThePlansNextBatch) {
    AttentionCall call(context, stream, bf16({{300, 300}, {150, 700}}, {4, 2, 64, 64}), random, kit::normal(random));
    call.o.poison(), call.lse.poison();
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    const adze_attention_desc desc = call.desc();
    ADZE_EXPECT_OK(adze_attention_run(stream, &desc));
    const auto graph = kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    EXPECT_TRUE(call.o.unchanged());
    const oracle::Paging first = call.paging;
    for (const auto [qo_len, kv_len] : {Sequence{150, 700}, {1, 650}, {65, 65}, {0, 0}, {149, 333}}) {
        SCOPED_TRACE(testing::Message() << qo_len << ':' << kv_len);
        call.paging = first;
        if (qo_len == 1) {  // and one token of the other: no row for this kernel
            call.paging.qo_indptr[1] = 1;
        }
        call.paging.qo_indptr[2] = int32_t(call.paging.qo_indptr[1] + qo_len);
        const int64_t pages = (kv_len + 15) / 16;
        call.paging.kv_indptr[2] = int32_t(call.paging.kv_indptr[1] + pages);
        call.paging.kv_last_page_len[1] = int32_t(pages ? kv_len - (pages - 1) * 16 : 0);
        call.update(stream);
        call.o.poison(), call.lse.poison();
        const int before = launches();
        ADZE_ASSERT_OK(adze_graph_launch(graph, stream));
        ADZE_ASSERT_OK(adze_stream_synchronize(stream));
        if (counts()) {
            EXPECT_EQ(prefills_since(before).size(), 1u);
        }
        call.expect_close();
        EXPECT_TRUE(call.o.framed(call.paging.tokens()));
    }
}

// Page ids have 32 bits, the copy engine's sizes 2^32. Pages of 16 tokens overlap here but for every 16th.
TEST_P(Prefill, MorePagesThanTheCopyEngineCounts) {
    AttentionCall call(context, stream, bf16({{130, 250}}, {1, 1, 64, 64}), random, kit::normal(random));
    std::vector<kit::Buffer> buffers;
    const auto lay_out = [&](const kit::Cache& from) {
        constexpr int64_t kPages = (int64_t{1} << 32) + 1;
        adze_buffer* buffer = buffers.emplace_back(kit::make<kit::Buffer>(
            [&](adze_buffer** out) { return adze_buffer_reserve(context, (kPages + 15) * 64 * 2, out); }));
        const auto bytes = uint64_t(from.elements.columns()) * 2;
        ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, bytes));
        ADZE_EXPECT_OK(adze_buffer_write(buffer, 0, from.elements.data(), bytes, stream));
        adze_kv_cache out = from.view();
        out.data = adze_buffer_data(buffer), out.num_pages = kPages, out.page_stride = 64;
        return out;
    };
    for (int32_t& id : call.paging.kv_indices) id *= 16;
    call.upload_indices();
    adze_attention_desc desc = call.desc();
    desc.k = lay_out(call.k), desc.v = lay_out(call.v);
    for (int32_t& id : call.paging.kv_indices) id /= 16;
    call.o.poison(), call.lse.poison();
    const int before = launches();
    ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
    ADZE_ASSERT_OK(adze_stream_synchronize(stream));
    if (counts()) {
        EXPECT_EQ(prefills_since(before).size(), 1u);
    }
    call.expect_close();
}

// Where a sequence's pieces begin and end is all that its bits depend on: here nowhere but at its ends.
TEST_P(Prefill, ASequenceIsTheSameAloneAndAmongOthers) {
    const kit::Context own = deterministic();
    const kit::Stream own_stream = kit::make_stream(own);
    const AttentionCase c = bf16({{40, 90}, {200, 350}, {130, 130}}, {2, 1, 64, 64});
    AttentionCall all(own, own_stream, c, random, kit::normal(random));
    all.run(own_stream);
    for (int s : {1, 2}) {
        AttentionCase single = c;
        single.sequences = {c.sequences[size_t(s)]};
        AttentionCall alone(own, own_stream, single, random, kit::normal(random));
        const int64_t first = all.paging.qo_indptr[size_t(s)];
        adze_attention_desc run = all.desc();
        run.plan = alone.plan;
        run.q.data = all.q.data() + size_t(first * all.q.stride()) * 2;
        run.q.rows = single.sequences[0].qo_len;
        run.o = alone.o.poison().view();
        run.lse = alone.lse.poison().view();
        alone.paging.kv_indices.assign(all.paging.kv_indices.begin() + all.paging.kv_indptr[size_t(s)],
                                       all.paging.kv_indices.begin() + all.paging.kv_indptr[size_t(s) + 1]);
        alone.upload_indices();
        run.kv_indices = alone.indices.view();
        run.workspace = alone.workspace.data(), run.workspace_bytes = alone.workspace.bytes();
        ADZE_ASSERT_OK(adze_attention_run(own_stream, &run));
        for (int64_t i = 0; i < single.sequences[0].qo_len; ++i) {
            ASSERT_EQ(alone.o.row_bytes(i), all.o.row_bytes(first + i)) << "sequence " << s << " query " << i;
            ASSERT_EQ(alone.lse.row_bytes(i), all.lse.row_bytes(first + i)) << "sequence " << s << " query " << i;
        }
    }
}

TEST_P(Prefill, DISABLED_FullSweep) {
    for (int round = 0; round < 200; ++round) {
        const int kv_heads = int(random.integer(1, 3));
        constexpr int dims[] = {64, 80, 96, 128, 256};
        AttentionCase c = bf16(
            ragged(random.integer(130, 700)),
            {kv_heads * int(random.integer(1, 8)), kv_heads, random.pick(std::vector(dims, dims + 5)),
             random.pick(std::vector(dims, dims + 5)), random.coin(), random.coin() ? 0 : int(random.integer(1, 400))});
        c.q_dtype = c.kv_dtype = c.o_dtype = random.coin() ? ADZE_DTYPE_BF16 : ADZE_DTYPE_F16;
        c.page_size = int(random.integer(1, 40)) * 8;
        c.hnd = random.coin();
        c.gap = random.integer(0, 3) * 8;
        c.o_gap = random.integer(0, 9);
        check(c);
    }
}

}  // namespace
