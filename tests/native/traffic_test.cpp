// What the kernels move, as the simulator counts it, against bench/budgets/traffic.csv.
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "kit/attention_case.h"
#include "kit/glue_case.h"
#include "kit/linear_case.h"
#include "kit/sampling_case.h"
#include "oracle/quantised.h"

namespace {

using kit::Tensor;

struct Budget {
    double ratio, conflicts;
};

/// By "case,device"; a device's own row comes before that of all.
std::map<std::string, Budget> read_budgets() {
    std::map<std::string, Budget> out;
    std::ifstream file(ADZE_BUDGETS_DIR "/traffic.csv");
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields(line);
        std::string name, device, ratio, conflicts;
        std::getline(fields, name, ','), std::getline(fields, device, ',');
        std::getline(fields, ratio, ','), std::getline(fields, conflicts, ',');
        if (line[0] != '#' && name != "case") out[name + "," + device] = {std::stod(ratio), std::stod(conflicts)};
    }
    return out;
}

class Traffic : public kit::OnMachine {
protected:
    void SetUp() override {
        OnMachine::SetUp();
        if (GetParam().backend != ADZE_BACKEND_SIM) GTEST_SKIP() << "only the simulator counts";
        random = kit::Random(1);  // counts are exact: budgets are for these inputs
    }

    /// `run` may launch several kernels; `fewest` bytes are to be moved.
    template <class Run>
    void check(const std::string& name, double fewest, const Run& run) {
        const int32_t before = launches();
        ADZE_ASSERT_OK(run());
        const int32_t after = launches();
        ASSERT_LT(after, 256) << "the simulator remembers no more";
        double moved = 0, conflicts = 0, requests = 0;
        for (int32_t back = 0; back < after - before; ++back) {
            const adze_sim_launch counts = counts_of(back);
            moved += 32.0 * double(counts.global_read_sectors + counts.global_write_sectors);
            conflicts += double(counts.shared_bank_conflicts), requests += double(counts.shared_requests);
        }
        const double ratio = moved / fewest, share = conflicts / std::max(1.0, requests);
        std::printf("traffic %-24s sim:%d  moved %11.0f  fewest %11.0f  ratio %.3f  conflicts %.3f\n", name.c_str(),
                    GetParam().device, moved, fewest, ratio, share);
        static const auto budgets = read_budgets();
        auto budget = budgets.find(name + "," + std::to_string(GetParam().device));
        if (budget == budgets.end()) budget = budgets.find(name + ",*");
        ASSERT_NE(budget, budgets.end()) << "no budget for " << name;
        EXPECT_GE(ratio, 0.999) << name << ": less than the fewest was moved: the count is wrong";
        EXPECT_LE(ratio, budget->second.ratio) << name;
        EXPECT_LE(share, budget->second.conflicts) << name << ", conflicts a request";
    }
    /// Of one tile of rows, which has as many pieces as blocks; `cache`: bytes of K and V.
    void check_decode(const std::string& name, const kit::AttentionCall& call, double cache) {
        const adze_attention_desc desc = call.desc();
        ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
        const oracle::AttentionShape& shape = call.c.shape;
        const double rows = double(call.paging.tokens() * shape.q_heads);
        const bool is_split = counts_of(0).kernel == std::string("attention_merge_splits");
        const double partials = is_split ? 2.0 * double(counts_of(1).grid_x) * rows * (shape.dim_v + 2) * 4 : 0;
        check(name, cache + 2 * rows * (shape.dim_qk + shape.dim_v) + partials,
              [&] { return adze_attention_run(stream, &desc); });
    }
    Tensor tensor(int64_t rows, int64_t columns, adze_dtype dtype = ADZE_DTYPE_BF16) {
        return Tensor(dtype, rows, columns).fill(kit::normal(random));
    }
    static double bytes(const Tensor& t) {
        return double(t.rows()) * double(t.columns()) * double(kit::size_of(t.dtype()));
    }

    /// What tells where a batch's tokens go: two numbers and a length a sequence, the sectors of kv_indices with their pages.
    static double plan_bytes(const oracle::Paging& paging) {
        std::set<int64_t> sectors;
        for (int s = 0; s < paging.sequences(); ++s) {
            for (int64_t i = paging.kv_len(s) - paging.qo_len(s); i < paging.kv_len(s); ++i) {
                sectors.insert((paging.kv_indptr[size_t(s)] + i / paging.page_size) / 8);
            }
        }
        return 16.0 * paging.sequences() + 32.0 * double(sectors.size());
    }

    adze_sim_launch counts_of(int32_t back) const {
        adze_sim_launch out{};
        out.struct_size = sizeof out;
        ADZE_EXPECT_OK(adze_sim_counters(context, back, &out));
        return out;
    }

    int32_t launches() const {
        adze_sim_launch out{};
        out.struct_size = sizeof out;
        int32_t count = 0;
        while (adze_sim_counters(context, count, &out) == ADZE_OK) ++count;
        return count;
    }
};
ADZE_ON_EACH_BACKEND(Traffic);

TEST_P(Traffic, SmallOperators) {
    const Tensor table = tensor(100, 4096), y = tensor(64, 4096);
    std::vector<int32_t> rows;
    for (int i = 0; i < 64; ++i) rows.push_back(int32_t(random.integer(0, 99)));
    const Tensor ids = kit::vector_i32(rows);
    const adze_embedding_desc embedding{sizeof embedding, 0, ids.view(), table.view(), y.view()};
    check("embedding", 2 * bytes(y) + bytes(ids), [&] { return adze_embedding_run(stream, &embedding); });

    constexpr adze_dtype kF32 = ADZE_DTYPE_F32, kBf16 = ADZE_DTYPE_BF16;
    for (const auto& [name, M, D, dtype, adds] : {std::tuple{"rms_norm one row", 1, 4096, kBf16, true},
                                                  {"rms_norm 64 rows", 64, 4096, kBf16, true},
                                                  {"rms_norm many rows", 2048, 2048, kBf16, true},
                                                  {"rms_norm 64x896", 64, 896, kBf16, false},
                                                  {"rms_norm 64x896 residual", 64, 896, kBf16, true},
                                                  {"rms_norm 4096x128", 4096, 128, kBf16, false},
                                                  {"rms_norm 512x4096 f32", 512, 4096, kF32, false},
                                                  {"rms_norm 4x20480", 4, 20480, kBf16, false}}) {
        const Tensor x = tensor(M, D, dtype), w = tensor(1, D), out = tensor(M, D);
        Tensor residual = tensor(adds ? M : 0, D, kF32);
        const adze_tensor none{};
        const adze_rms_norm_desc norm{sizeof norm, 1e-5f, x.view(), w.view(), adds ? residual.view() : none,
                                      out.view()};
        check(name, bytes(x) + bytes(w) + bytes(out) + 2 * bytes(residual),
              [&] { return adze_rms_norm_run(stream, &norm); });
    }

    const Tensor gate = tensor(16, 14336), up = tensor(16, 14336), gated = tensor(16, 14336);
    const adze_silu_gate_desc silu{sizeof silu, 0, gate.view(), up.view(), gated.view()};
    check("silu_gate", 3 * bytes(gate), [&] { return adze_silu_gate_run(stream, &silu); });

    for (const auto& [name, M, heads, head_dim] : {std::tuple{"rope", 512, 32, 128},
                                                   {"rope head_dim 80", 512, 8, 80},
                                                   {"rope head_dim 256", 64, 8, 256},
                                                   {"rope head_dim 4096", 64, 2, 4096}}) {
        const Tensor x = tensor(M, heads * head_dim), inv_freq = tensor(1, head_dim / 2, kF32);
        std::vector<int32_t> at;
        for (int m = 0; m < M; ++m) at.push_back(m);
        const Tensor positions = kit::vector_i32(at);
        const adze_rope_desc rope{sizeof rope, head_dim, x.view(), positions.view(), inv_freq.view()};
        check(name, 2 * bytes(x) + bytes(positions) + bytes(inv_freq), [&] { return adze_rope_run(stream, &rope); });
    }
}

TEST_P(Traffic, Sampling) {
    const int64_t B = 2, V = 128256;
    const Tensor flat = tensor(B, V), peaked = Tensor(ADZE_DTYPE_BF16, B, V).fill(kit::normal(random, 4));
    const auto sample = [&](const char* name, const Tensor& logits, const adze_sampling_params& params) {
        kit::SamplingCall call(context, logits, std::vector<adze_sampling_params>(size_t(logits.rows()), params));
        const adze_sampling_desc desc = call.desc();
        check(name, bytes(logits), [&] { return adze_sampling_run(stream, &desc); });
    };
    sample("sampling greedy", flat, {0, 0, 0, 0, 1, 2});
    sample("sampling plain", flat, {1, 0, 0, 0, 1, 2});
    sample("sampling top_k", flat, {1, 50, 0, 0, 1, 2});
    sample("sampling top_p", peaked, {0.7f, 0, 0.9f, 0, 1, 2});
    // Keep thousands of tokens.
    sample("sampling top_p flat", flat, {0.7f, 0, 0.9f, 0, 1, 2});
    sample("sampling top_k large", flat, {1, 5000, 0, 0, 1, 2});
    sample("sampling top_k most", flat, {1, 100000, 0, 0, 1, 2});
    sample("sampling min_p tiny", flat, {1, 0, 0, 1e-6f, 1, 2});
    sample("sampling both", flat, {0.7f, 20000, 0.9f, 1e-6f, 1, 2});
    for (int kind = 0; kind < kit::kWideLogits; ++kind) {
        const adze_dtype dtype = kind % 2 == 0 ? ADZE_DTYPE_BF16 : ADZE_DTYPE_F32;
        const Tensor wide =
            Tensor(dtype, 1, V).fill([&, i = int64_t{0}]() mutable { return kit::wide_logit(kind, i++, V, random); });
        for (const adze_sampling_params& params :
             {adze_sampling_params{1, 0, 0.9f, 0, 1, 2}, {1, 30000, 0, 0, 1, 2}, {2, 40000, 0.7f, 1e-6f, 1, 2}}) {
            sample("sampling any logits", wide, params);
        }
    }
}

TEST_P(Traffic, KvAppend) {
    using Sequences = std::vector<kit::Sequence>;
    for (const auto& [name, sequences, heads, head_dim] : {std::tuple{"kv_append", Sequences{{512, 512}}, 8, 128},
                                                           {"kv_append 2x64", Sequences{{512, 512}}, 2, 64},
                                                           {"kv_append 2x64 decode", Sequences(64, {1, 100}), 2, 64}}) {
        const kit::AttentionCase c{
            .sequences = sequences, .shape = {heads, heads, head_dim, head_dim}, .kv_dtype = ADZE_DTYPE_BF16};
        kit::AttentionCall call(context, stream, c, random, [] { return 0.0; });
        const Tensor k = tensor(call.paging.tokens(), heads * head_dim), v = tensor(k.rows(), k.columns());
        const adze_kv_append_desc desc{
            sizeof desc, 0, call.plan, k.view(), v.view(), call.indices.view(), call.k.view(), call.v.view()};
        check(name, 4 * bytes(k) + plan_bytes(call.paging), [&] { return adze_kv_append_run(stream, &desc); });
    }
}

TEST_P(Traffic, KvAppendQuantised) {
    for (adze_dtype dtype : kit::kQuantised) {
        for (bool dynamic : {false, true}) {
            const kit::AttentionCase c{.sequences = {{512, 512}},
                                       .shape = {8, 8, 128, 128},
                                       .kv_dtype = dtype,
                                       .hnd = true,
                                       .scales = dynamic ? kit::Scales::kAll : kit::Scales::kHead};
            kit::AttentionCall call(context, stream, c, random, [] { return 0.0; });
            const Tensor k = tensor(call.paging.tokens(), 8 * 128), v = tensor(k.rows(), k.columns());
            const adze_kv_append_desc desc{
                sizeof desc, 0, call.plan, k.view(), v.view(), call.indices.view(), call.k.view(), call.v.view()};
            const double stored = bytes(k) * double(kit::bits_of(dtype)) / 16;
            const double scales = 4.0 * 8 * (dynamic ? double(k.rows()) : 1);
            check(std::string("kv_append ") + kit::name_of(dtype) + (dynamic ? " dynamic" : ""),
                  2 * (bytes(k) + stored + scales) + plan_bytes(call.paging),
                  [&] { return adze_kv_append_run(stream, &desc); });
        }
    }
}

TEST_P(Traffic, LinearOfOneRow) {
    kit::LinearCall call(context, {1, 2048, 4096, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16},
                         [] { return 1.0; });
    const adze_linear_desc desc = call.desc();
    check("linear one row", bytes(call.w) + bytes(call.x) + bytes(call.y),
          [&] { return adze_linear_run(stream, &desc); });
}

// The fewest bytes: keys, values, queries, results, and what pieces of split sequences write and their merge reads.
TEST_P(Traffic, AttentionDecode) {
    for (const auto& [name, sequence, group, dim_qk, dim_v, page_size, softmax] :
         {std::tuple{"attention decode", kit::Sequence{1, 4096}, 4, 128, 128, 16, ADZE_SOFTMAX_STABLE},
          {"attention decode unified", {1, 4096}, 4, 128, 128, 16, ADZE_SOFTMAX_UNIFIED},
          {"attention decode d64", {1, 8192}, 4, 64, 64, 64, ADZE_SOFTMAX_STABLE},
          {"attention decode short", {1, 3000}, 4, 64, 64, 64, ADZE_SOFTMAX_STABLE},
          {"attention decode d256", {1, 1500}, 4, 256, 256, 16, ADZE_SOFTMAX_STABLE},
          {"attention decode d192", {1, 1500}, 4, 192, 128, 16, ADZE_SOFTMAX_STABLE},
          {"attention drafts 4x4", {4, 2000}, 4, 128, 128, 16, ADZE_SOFTMAX_STABLE}}) {
        kit::AttentionCase c{.sequences = {sequence}, .shape = {8 * group, 8, dim_qk, dim_v}, .page_size = page_size};
        c.kv_dtype = c.q_dtype = c.o_dtype = ADZE_DTYPE_BF16, c.softmax = softmax;
        kit::AttentionCall call(context, stream, c, random, [] { return 0.5; });
        check_decode(name, call, 2.0 * double(sequence.kv_len * 8) * (dim_qk + dim_v));
    }
}

// Of contexts as long as bf16's in bytes; scales by head, or by token with those of a page's head side by side.
TEST_P(Traffic, AttentionDecodeOfQuantisedCaches) {
    for (adze_dtype dtype : kit::kQuantised) {
        for (const auto& [name, dim, page_size, by_token] : {std::tuple{"", 128, 16, false},
                                                             {" d64", 64, 64, false},
                                                             {" d256", 256, 16, false},
                                                             {" by token", 128, 16, true},
                                                             {" by token p64", 128, 64, true}}) {
            const int64_t keys = 65536 / kit::bits_of(dtype) * 128 / std::max(dim, 128);
            kit::AttentionCase c{.sequences = {{1, keys}}, .shape = {32, 8, dim, dim}, .page_size = page_size};
            c.q_dtype = c.o_dtype = ADZE_DTYPE_BF16, c.kv_dtype = dtype;
            c.hnd = true, c.scales = by_token ? kit::Scales::kAll : kit::Scales::kHead;
            kit::AttentionCall call(context, stream, c, random, [] { return 0.5; });
            const double cache = double(keys * 8 * dim) * double(kit::bits_of(dtype)) / 8;
            const double scales = 4.0 * 8 * double(by_token ? keys : 1);
            check_decode(std::string("attention decode ") + kit::name_of(dtype) + name, call, 2 * (cache + scales));
        }
    }
}

// Steps of 16 tokens, of all heads that share a KV head, read its keys once.
TEST_P(Traffic, AttentionOfDrafts) {
    for (adze_dtype dtype : {ADZE_DTYPE_BF16, ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I4}) {
        for (const auto& [name, group] : {std::pair{"attention drafts 4x16 ", 4}, {"attention drafts 8x16 ", 8}}) {
            const int64_t keys = 32768 / kit::bits_of(dtype);
            kit::AttentionCase c{.sequences = {{16, keys}}, .shape = {2 * group, 2, 128, 128}};
            c.q_dtype = c.o_dtype = ADZE_DTYPE_BF16, c.kv_dtype = dtype, c.hnd = true;
            if (oracle::is_quantised(dtype)) c.scales = kit::Scales::kHead;
            kit::AttentionCall call(context, stream, c, random, [] { return 0.5; });
            check_decode(std::string(name) + kit::name_of(dtype), call,
                         double(keys * 2 * 256) * double(kit::bits_of(dtype)) / 8);
        }
    }
}

// Blocks of rows read the keys of their own: what is beyond the first reading comes from L2.
TEST_P(Traffic, AttentionPrefill) {
    for (const auto& [name, dim] :
         {std::pair{"attention prefill", 128}, {"attention prefill d64", 64}, {"attention prefill d256", 256}}) {
        kit::AttentionCase c{.sequences = {{256, 256}, {16, 300}}, .shape = {4, 1, dim, dim}};
        c.kv_dtype = c.q_dtype = c.o_dtype = ADZE_DTYPE_BF16;
        kit::AttentionCall call(context, stream, c, random, [] { return 0.5; });
        const adze_attention_desc desc = call.desc();
        check(name, 4.0 * dim * (556 + 272 * 4), [&] { return adze_attention_run(stream, &desc); });
    }
}

// With phi where the logits are, however low, no piece is done again; with phi off, each is, stable: as many matrix
// instructions twice.
TEST_P(Traffic, AttentionDoesAgainWhatLeavesTheBoundsOfPhi) {
    for (const auto& [dtype, logit] : {std::pair{ADZE_DTYPE_BF16, 0.0},
                                       {ADZE_DTYPE_F16, 0.0},
                                       {ADZE_DTYPE_BF16, -96.0},
                                       {ADZE_DTYPE_F8E4M3, -96.0},
                                       {ADZE_DTYPE_I4, 0.0}}) {
        SCOPED_TRACE(std::string(kit::name_of(dtype)) + ", logits about " + std::to_string(logit));
        kit::AttentionCase c{.sequences = {{1, 700}, {20, 200}, {150, 150}}, .shape = {4, 2, 64, 64}};
        c.kv_dtype = dtype, c.q_dtype = dtype == ADZE_DTYPE_F16 ? dtype : ADZE_DTYPE_BF16;
        c.o_dtype = ADZE_DTYPE_F32;  // which sm_90a's prefill, always stable, leaves to the portable kernel
        c.softmax = ADZE_SOFTMAX_UNIFIED;
        if (oracle::is_quantised(dtype)) c.scales = kit::Scales::kHead;
        const auto value = logit == 0 ? std::function<double()>(kit::normal(random, 0.3)) : [] { return 1.0; };
        c.shape.scale = logit == 0 ? 0.125 : logit / 64;
        kit::AttentionCall call(context, stream, c, random, value);
        const auto instructions = [&](adze_softmax softmax) {
            const int32_t before = launches();
            adze_attention_desc desc = call.desc();
            desc.softmax = softmax;
            if (softmax == ADZE_SOFTMAX_STABLE) desc.phi = {};
            ADZE_EXPECT_OK(adze_attention_run(stream, &desc));
            uint64_t sum = 0;
            for (int32_t back = 0; back < launches() - before; ++back) sum += counts_of(back).matrix_instructions;
            return sum;
        };
        const uint64_t once = instructions(ADZE_SOFTMAX_STABLE);
        call.calibrate(-2);
        EXPECT_EQ(instructions(ADZE_SOFTMAX_UNIFIED), once);
        for (double off : {-100.0, 100.0}) {
            call.calibrate(off);
            // f16's weights take the stable softmax from the start.
            EXPECT_EQ(instructions(ADZE_SOFTMAX_UNIFIED), (dtype == ADZE_DTYPE_F16 ? 1 : 2) * once) << off;
            EXPECT_EQ(instructions(ADZE_SOFTMAX_TUNED), once) << "softmax.csv has no row that says unified";
        }
    }
}

// Within the bounds is a row's largest logit, not every logit: one key of each unit that pieces are made of is at phi, all
// others far below.
TEST_P(Traffic, AttentionDoesNotDoAgainWhatHasAKeyAtPhi) {
    kit::AttentionCase c{.sequences = {{1, 700}, {20, 200}, {150, 150}}, .shape = {2, 1, 64, 64, true, 0, 1.0}};
    c.q_dtype = c.kv_dtype = ADZE_DTYPE_BF16, c.o_dtype = ADZE_DTYPE_F32;
    c.softmax = ADZE_SOFTMAX_UNIFIED;
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    for (int64_t r = 0; r < call.paging.tokens(); ++r) {
        for (int i = 0; i < call.q.columns(); ++i) call.q.set(r, i, i % 64 == 0 ? 1 : 0);
    }
    for (int s = 0; s < call.paging.sequences(); ++s) {
        for (int64_t t = 0; t < call.paging.kv_len(s); ++t) {
            const auto [page, slot] = call.paging.find(s, t);
            for (int e = 0; e < 64; ++e)
                call.k.elements.set(0, call.k.offset(page, slot, 0, e), e != 0 ? 0 : t % 128 == 0 ? 5 : -55);
        }
    }
    call.q.freeze(), call.k.elements.freeze();
    for (int h = 0; h < 2; ++h) call.phi.set(0, h, 5);
    call.phi.freeze();
    uint64_t instructions[2] = {};
    for (const adze_softmax softmax : {ADZE_SOFTMAX_STABLE, ADZE_SOFTMAX_UNIFIED}) {
        const int32_t before = launches();
        adze_attention_desc desc = call.desc();
        desc.softmax = softmax;
        if (softmax == ADZE_SOFTMAX_STABLE) desc.phi = {};
        ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
        for (int32_t back = 0; back < launches() - before; ++back)
            instructions[softmax] += counts_of(back).matrix_instructions;
    }
    EXPECT_EQ(instructions[ADZE_SOFTMAX_UNIFIED], instructions[ADZE_SOFTMAX_STABLE]);
    call.expect_close();
}

// A decode step's graph: one kernel for the pieces, one for their merge, whatever the lengths.
TEST_P(Traffic, AttentionCapturedForDecodeIsTwoKernels) {
    kit::AttentionCase c{.sequences = {{1, 700}, {1, 40}}, .shape = {8, 2, 64, 64}};
    c.kv_dtype = c.q_dtype = c.o_dtype = ADZE_DTYPE_BF16;
    c.max_q_len = 1;
    kit::AttentionCall call(context, stream, c, random, kit::normal(random));
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    const adze_attention_desc desc = call.desc();
    ADZE_EXPECT_OK(adze_attention_run(stream, &desc));
    const auto graph = kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    for (int64_t length : {700, 699, 300, 17}) {
        call.paging.kv_indptr[1] = int32_t((length + 15) / 16);
        const int32_t pages = call.paging.kv_indptr[1];
        call.paging.kv_indptr[2] = pages + 3;
        call.paging.kv_last_page_len = {int32_t(length - (pages - 1) * 16), 8};
        call.update(stream);
        const int32_t before = launches();
        call.o.poison(), call.lse.poison();
        ADZE_ASSERT_OK(adze_graph_launch(graph, stream));
        ADZE_ASSERT_OK(adze_stream_synchronize(stream));
        EXPECT_EQ(launches() - before, 2);
        EXPECT_STREQ(counts_of(1).kernel, "attention_16");
        EXPECT_STREQ(counts_of(0).kernel, "attention_merge_splits");
        call.expect_close();
    }
}

// Which kernel and grid serve a call.
TEST_P(Traffic, LinearTakesTheTileOfItsRows) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_context_info(context, &info));
    const int64_t filling = 64 * int64_t{info.num_processors};  // columns that give each processor a tile
    const bool has_128 = info.warp_size == 32;
    const auto expect = [&](int64_t M, int64_t N, adze_dtype x, const char* kernel, int64_t tile_m) {
        kit::LinearCall call(context, {M, N, 8, x, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16}, [] { return 0.0; });
        const adze_linear_desc desc = call.desc();
        ADZE_ASSERT_OK(adze_linear_run(stream, &desc));
        const adze_sim_launch launch = counts_of(0);
        EXPECT_STREQ(launch.kernel, kernel) << M << " x " << N;
        EXPECT_EQ(launch.grid_x, (M + tile_m - 1) / tile_m * ((N + 63) / 64)) << M << " x " << N;
    };
    for (int64_t M : {1, 15, 16}) expect(M, 100, ADZE_DTYPE_BF16, "linear_mma_16", 16);
    for (int64_t M : {17, 32}) expect(M, 100, ADZE_DTYPE_BF16, "linear_mma_32", 32);
    for (int64_t M : {33, 64, 65, 200}) expect(M, 100, ADZE_DTYPE_BF16, "linear_mma_64", 64);
    expect(64, filling, ADZE_DTYPE_BF16, "linear_mma_64", 64);
    expect(65, filling - 64, ADZE_DTYPE_BF16, "linear_mma_64", 64);
    expect(65, filling, ADZE_DTYPE_BF16, has_128 ? "linear_mma_128" : "linear_mma_64", has_128 ? 128 : 64);
    expect(16, 100, ADZE_DTYPE_F32, "linear_fma_16", 16);
    expect(17, filling, ADZE_DTYPE_F32, "linear_fma_64", 64);
}

TEST_P(Traffic, AttentionTakesTheInstanceOfItsRows) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_ASSERT_OK(adze_context_info(context, &info));
    const auto expect = [&](kit::Sequence sequence, int group, int dim, const char* kernel, int warps,
                            adze_dtype q = ADZE_DTYPE_BF16, adze_dtype kv = ADZE_DTYPE_BF16) {
        kit::AttentionCase c{.sequences = {sequence}, .shape = {2 * group, 2, dim, dim}, .kv_dtype = kv};
        if (kv != ADZE_DTYPE_BF16) c.scales = kit::Scales::kHead;
        c.q_dtype = c.o_dtype = q;
        kit::AttentionCall call(context, stream, c, random, [] { return 0.0; });
        const adze_attention_desc desc = call.desc();
        ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
        const adze_sim_launch launch = counts_of(0);  // a batch that is not split has nothing to merge
        EXPECT_STREQ(launch.kernel, kernel) << dim;
        EXPECT_EQ(launch.block_threads, uint32_t(warps * info.warp_size)) << dim;
        EXPECT_EQ(launch.grid_y, 2) << dim;
    };
    expect({1, 40}, 4, 64, "attention_16", 4);
    expect({4, 40}, 4, 128, "attention_16", 4);
    expect({1, 40}, 16, 256, "attention_16", 2);
    expect({5, 40}, 4, 96, "attention_64", 4);
    expect({16, 40}, 4, 256, "attention_64", 4);
    const bool has_prefill = info.architecture == std::string("sm_90a");
    expect({17, 40}, 4, 64, has_prefill ? "sm90_prefill_64" : "attention_128", has_prefill ? 12 : 4);
    expect({40, 40}, 4, 128, has_prefill ? "sm90_prefill_128" : "attention_128",
           has_prefill            ? 12
           : info.warp_size == 64 ? 4
                                  : 8);
    // Queries of 64 KB: more than sm_89 and gfx90a have besides tiles.
    const bool large = info.shared_memory_per_block > (100 << 10);
    expect({40, 40}, 4, 256,
           has_prefill ? "sm90_prefill_256"
           : large     ? "attention_128"
                       : "attention_64",
           has_prefill ? 12
           : large     ? 8
                       : 4);
    for (adze_dtype kv : kit::kQuantised) {
        expect({1, 40}, 4, 128, "attention_16", 4, ADZE_DTYPE_BF16, kv);
        expect({40, 40}, 4, 64, has_prefill ? "sm90_prefill_64" : "attention_128", has_prefill ? 12 : 4,
               ADZE_DTYPE_BF16, kv);
        expect({16, 40}, 8, 128, has_prefill ? "sm90_prefill_128" : "attention_128",
               has_prefill            ? 12
               : info.warp_size == 64 ? 4
                                      : 8,
               ADZE_DTYPE_BF16, kv);
        expect({40, 40}, 4, 256, "attention_64", 4, ADZE_DTYPE_BF16, kv);
    }
    // q as three numbers of bf16: one block of rows a warp, and where that is too much, 16 rows a block.
    expect({40, 40}, 4, 64, "attention_64", 4, ADZE_DTYPE_F32);
    expect({40, 40}, 4, 256, large ? "attention_64" : "attention_16", large ? 4 : 2, ADZE_DTYPE_F32);
}

}  // namespace
