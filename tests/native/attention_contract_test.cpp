// attention, its plan and append refuse what the header forbids, say why, and write nothing.
#include "kit/attention_case.h"
#include "kit/refusal.h"

namespace {

using kit::AttentionCall;
using kit::Tensor;

class AttentionContract : public kit::OnMachine {
protected:
    // 3 sequences, 6 tokens, 2 + 1 + 3 pages of 4 tokens.
    AttentionCall call{
        context,
        stream,
        {.sequences = {{1, 7}, {2, 3}, {3, 9}}, .shape = {4, 2, 64, 80}, .page_size = 4, .scales = kit::Scales::kHead},
        random,
        kit::normal(random)};

    void refuse(const std::string& argument, const std::string& value,
                const std::function<void(adze_attention_desc&)>& spoil) {
        adze_attention_desc desc = call.desc();
        spoil(desc);
        call.o.poison(), call.lse.poison();
        EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", argument, value));
        EXPECT_TRUE(call.o.unchanged() && call.lse.unchanged()) << argument << " = " << value;
    }
};
ADZE_ON_EACH_BACKEND(AttentionContract);

TEST_P(AttentionContract, RunChecksEveryArgument) {
    refuse("plan", "", [](auto& d) { d.plan = nullptr; });
    refuse("softmax", "3", [](auto& d) { d.softmax = static_cast<adze_softmax>(3); });
    refuse("q.rows", "5", [](auto& d) { d.q.rows = 5; });
    refuse("q.columns", "255", [](auto& d) { d.q.columns = 255; });
    refuse("q.row_stride", "255", [](auto& d) { d.q.row_stride = 255; });
    refuse("q.dtype", "", [](auto& d) { d.q.dtype = ADZE_DTYPE_I32; });
    refuse("q.data", "", [](auto& d) { d.q.data = nullptr; });
    refuse("q.data", "", [](auto& d) { d.q.data = static_cast<char*>(d.q.data) + 1; });
    refuse("q.reserved", "1", [](auto& d) { d.q.reserved = 1; });
    refuse("o.rows", "5", [](auto& d) { d.o.rows = 5; });
    refuse("o.columns", "321", [](auto& d) { d.o.columns = 321; });
    refuse("o.dtype", "", [](auto& d) { d.o.dtype = adze_dtype(77); });
    refuse("o.data", "", [](auto& d) { d.o.data = nullptr; });
    refuse("o.row_stride", "319", [](auto& d) { d.o.row_stride = 319; });
    refuse("lse.rows", "5", [](auto& d) { d.lse.rows = 5; });
    refuse("lse.columns", "3", [](auto& d) { d.lse.columns = 3; });
    refuse("lse.dtype", "", [](auto& d) { d.lse.dtype = ADZE_DTYPE_F16; });
    refuse("lse.data", "", [](auto& d) { d.lse.data = nullptr; });
    refuse("kv_indices.columns", "5", [](auto& d) { d.kv_indices.columns = 5; });
    refuse("kv_indices.rows", "2", [](auto& d) { d.kv_indices.rows = 2; });
    refuse("kv_indices.dtype", "", [](auto& d) { d.kv_indices.dtype = ADZE_DTYPE_F32; });
    refuse("kv_indices.data", "", [](auto& d) { d.kv_indices.data = nullptr; });
    refuse("k.data", "", [](auto& d) { d.k.data = nullptr; });
    refuse("k.data", "", [](auto& d) { d.k.data = static_cast<char*>(d.k.data) + 1; });
    refuse("k.num_pages", "-1", [](auto& d) { d.k.num_pages = -1; });
    refuse("k.dtype", "", [](auto& d) { d.k.dtype = ADZE_DTYPE_NONE; });
    refuse("k.dtype", "", [](auto& d) { d.k.dtype = ADZE_DTYPE_I32; });
    refuse("k.reserved", "9", [](auto& d) { d.k.reserved = 9; });
    refuse("v.dtype", "", [](auto& d) { d.v.dtype = ADZE_DTYPE_F16; });
    refuse("v.num_pages", "", [](auto& d) { d.v.num_pages += 1; });
    refuse("v.data", "", [](auto& d) { d.v.data = nullptr; });
    refuse("v.reserved", "9", [](auto& d) { d.v.reserved = 9; });
    refuse("k", "-1", [](auto& d) { d.k.page_stride = -1; });
    refuse("k", std::to_string(int64_t{1} << 62), [](auto& d) { d.k.page_stride = int64_t{1} << 62; });
    refuse("o.data", "", [](auto& d) { d.o.data = d.k.data; });
    refuse("lse.data", "", [](auto& d) { d.lse.data = d.v.data; });
    refuse("lse.data", "", [](auto& d) { d.lse.data = d.kv_indices.data; });
    refuse("k", "-8", [](auto& d) { d.k.token_stride = -8; });
    refuse("v", "-4", [](auto& d) { d.v.head_stride = -4; });
    refuse("k", "-1", [](auto& d) { d.k.scale_page_stride = -1; });
    refuse("k.scales", "",
           [](auto& d) { d.k.scales = reinterpret_cast<float*>(reinterpret_cast<char*>(d.k.scales) + 1); });
    refuse("o.data", "overlaps k.scales", [](auto& d) { d.k.scales = static_cast<float*>(d.o.data); });
    refuse("lse.data", "overlaps v.scales", [](auto& d) { d.v.scales = static_cast<float*>(d.lse.data); });
    const std::string wild = std::to_string(int64_t{1} << 62);
    refuse("k.scales", wild, [](auto& d) { d.k.scale_page_stride = int64_t{1} << 62; });
    refuse("v.scales", "address space", [](auto& d) { d.v.scale_token_stride = int64_t{1} << 60; });
    refuse("k.scales", "address space", [](auto& d) { d.k.scale_head_stride = INT64_MAX; });
    refuse("v.data", "address space", [](auto& d) { d.v.token_stride = INT64_MAX; });
    EXPECT_TRUE(kit::invalid(adze_attention_run(stream, nullptr), "adze_attention_run", "desc"));
    const adze_attention_desc desc = call.desc();
    EXPECT_TRUE(kit::invalid(adze_attention_run(nullptr, &desc), "adze_attention_run", "stream"));
}

TEST_P(AttentionContract, RunChecksWhatTheHeadsBring) {
    const Tensor heads = Tensor(ADZE_DTYPE_F32, 1, 4).fill([] { return 0.5; });
    const adze_tensor good = heads.view();
    for (const auto& [name, field] : {std::pair{"alibi_slopes", &adze_attention_desc::alibi_slopes},
                                      {"sinks", &adze_attention_desc::sinks},
                                      {"phi", &adze_attention_desc::phi}}) {
        const auto spoilt = [&, field = field](void (*spoil)(adze_tensor&)) {
            return [&, field, spoil](adze_attention_desc& d) {
                if (field == &adze_attention_desc::phi) d.softmax = ADZE_SOFTMAX_UNIFIED;
                d.*field = good;
                spoil(d.*field);
            };
        };
        const std::string tensor = name;
        refuse(tensor + ".columns", "3", spoilt([](auto& t) { t.columns = 3; }));
        refuse(tensor + ".columns", "5", spoilt([](auto& t) { t.columns = 5; }));
        refuse(tensor + ".rows", "0", spoilt([](auto& t) { t.rows = 0; }));
        refuse(tensor + ".rows", "2", spoilt([](auto& t) { t.rows = 2; }));
        refuse(tensor + ".dtype", "F16", spoilt([](auto& t) { t.dtype = ADZE_DTYPE_F16; }));
        refuse(tensor + ".data", "", spoilt([](auto& t) { t.data = nullptr; }));
        refuse(tensor + ".data", "", spoilt([](auto& t) { t.data = static_cast<char*>(t.data) + 2; }));
        refuse("lse.data", "overlaps " + tensor, [&, field = field](adze_attention_desc& d) {
            if (field == &adze_attention_desc::phi) d.softmax = ADZE_SOFTMAX_UNIFIED;
            d.*field = d.lse;
            (d.*field).rows = 1;
        });
    }
    refuse("phi", "ADZE_SOFTMAX_STABLE", [&](auto& d) { d.phi = good; });
    for (adze_softmax softmax : {ADZE_SOFTMAX_UNIFIED, ADZE_SOFTMAX_TUNED})
        refuse("phi is absent", "ADZE_SOFTMAX_STABLE", [&](auto& d) { d.softmax = softmax; });
    refuse("softmax", "-1", [](auto& d) { d.softmax = static_cast<adze_softmax>(-1); });
    for (const bool unified : {false, true}) {
        const auto with = [&](float adze_attention_desc::*bound, float value) {
            return [&, bound, value, unified](adze_attention_desc& d) {
                if (unified) d.softmax = ADZE_SOFTMAX_UNIFIED, d.phi = good;
                d.*bound = value;
            };
        };
        refuse("phi_below", "-1", with(&adze_attention_desc::phi_below, -1));
        refuse("phi_below", "nan", with(&adze_attention_desc::phi_below, NAN));
        refuse("phi_above", "-0.5", with(&adze_attention_desc::phi_above, -0.5f));
        refuse("phi_above", "nan", with(&adze_attention_desc::phi_above, NAN));
    }
}

// The batch that a plan was last updated with decides, not the one that the caller has in mind.
TEST_P(AttentionContract, RunOfAPlanWithAnotherBatchIsRefused) {
    const kit::AttentionCase larger{.sequences = {{4, 7}, {2, 3}, {3, 9}}, .shape = {4, 2, 64, 80}, .page_size = 4};
    const AttentionCall of_more_tokens(context, stream, larger, random, kit::normal(random));
    refuse("q.rows", "the plan's batch is 9 tokens", [&](auto& d) {
        d.plan = of_more_tokens.plan;
        d.q.rows = 8;
    });
    kit::AttentionCase longer = larger;
    longer.sequences = {{1, 7}, {2, 3}, {3, 100}};
    const AttentionCall of_more_pages(context, stream, longer, random, kit::normal(random));
    refuse("kv_indices.columns", "the plan's batch is 28 pages", [&](auto& d) {
        d.plan = of_more_pages.plan;
        d.workspace = of_more_pages.workspace.data(), d.workspace_bytes = of_more_pages.workspace.bytes();
    });
}

// Sequences of 1, 2 and 3 words of mask; the second has none.
class AttentionMaskContract : public AttentionContract {
protected:
    void SetUp() override {
        AttentionContract::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        kit::AttentionCase c = call.c;
        c.masks = kit::Masks::kZero, c.spare_mask_words = 2;
        ASSERT_TRUE(kit::supports(context, c)) << adze_last_error();
        call = AttentionCall(context, stream, c, random, kit::normal(random));
        call.paging.mask_indptr = {0, 1, 1, 4};
        call.update(stream);
    }
};
ADZE_ON_EACH_BACKEND(AttentionMaskContract);

TEST_P(AttentionMaskContract, RunChecksTheMask) {
    refuse("mask is absent", "the plan's batch is 4 words", [](auto& d) { d.mask = {}; });
    refuse("mask.dtype", "F32", [](auto& d) { d.mask.dtype = ADZE_DTYPE_F32; });
    refuse("mask.columns", "3", [](auto& d) { d.mask.columns = 3; });
    refuse("mask.rows", "2", [](auto& d) { d.mask.rows = 2; });
    refuse("mask.data", "", [](auto& d) { d.mask.data = nullptr; });
    refuse("mask.data", "", [](auto& d) { d.mask.data = static_cast<char*>(d.mask.data) + 1; });
    refuse("o.data", "overlaps mask", [](auto& d) { d.mask.data = d.o.data; });
    refuse("lse.data", "overlaps mask", [](auto& d) { d.mask.data = d.lse.data; });
    if (call.workspace.bytes() > 0) {
        refuse("mask.data", "overlaps the workspace", [](auto& d) { d.mask.data = d.workspace; });
    }
    call.run(stream);
    call.expect_close();
}

// Batches come later: what one may bring must be there.
TEST_P(AttentionMaskContract, ACaptureNeedsTheCapacitysMask) {
    const auto capture = [&](const adze_attention_desc& desc) {
        adze_graph* raw = nullptr;
        ADZE_EXPECT_OK(adze_stream_begin_capture(stream));
        const adze_status status = adze_attention_run(stream, &desc);
        const std::string message = adze_last_error();
        ADZE_EXPECT_OK(adze_stream_end_capture(stream, &raw));
        const kit::Graph graph(raw);
        return status == ADZE_OK ? "" : message;
    };
    const Tensor words(ADZE_DTYPE_I32, 1, 8);  // 6 of the sequences and 2 to spare
    adze_attention_desc desc = call.desc();
    desc.mask = words.view();
    EXPECT_EQ(capture(desc), "");
    desc.mask.columns = 7;
    EXPECT_NE(capture(desc).find("mask.columns is 7; the plan's capacity is 8 words"), std::string::npos)
        << adze_last_error();
    desc.mask = {};
    EXPECT_NE(capture(desc).find("mask is absent; the plan's capacity is 8 words"), std::string::npos)
        << adze_last_error();
}

TEST_P(AttentionMaskContract, PlanUpdateChecksTheMasksWords) {
    const auto refuse = [&](const std::string& argument, const std::string& value, std::vector<int64_t> indptr) {
        adze_attention_batch batch = kit::batch_of(call.paging);
        batch.mask_indptr = indptr.data();
        EXPECT_TRUE(kit::invalid(adze_attention_plan_update(call.plan, &batch, stream), "adze_attention_plan_update",
                                 argument, value));
    };
    refuse("mask_indptr[0]", "1", {1, 2, 4, 7});
    refuse("mask_indptr[1]", "2", {0, 2, 4, 7});
    refuse("mask_indptr[2]", "2", {0, 1, 2, 5});
    refuse("mask_indptr[2]", "4", {0, 1, 4, 7});
    refuse("mask_indptr[2]", "0", {0, 1, 0, 3});
    refuse("mask_indptr[3]", "-3", {0, 0, 0, -3});
    refuse("mask_indptr[3]", "9", {0, 1, 3, 9});
    kit::AttentionCase small = call.c;
    small.masks = kit::Masks::kNone, small.spare_mask_words = 5;
    const kit::Plan plan = kit::make_plan(context, kit::plan_desc(small));
    const std::vector<int64_t> six{0, 1, 3, 6}, four{0, 1, 1, 4};
    adze_attention_batch batch = kit::batch_of(call.paging);
    batch.mask_indptr = six.data();
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(plan, &batch, stream), "adze_attention_plan_update",
                             "mask_indptr[3] is 6", "max_mask_words is 5"));
    batch.mask_indptr = four.data();
    ADZE_EXPECT_OK(adze_attention_plan_update(plan, &batch, stream));
    call.run(stream);  // the refused batches changed nothing
    call.expect_close();
}

TEST_P(AttentionContract, RunSeesWrongPageIdsWhereTheHostReadsThem) {
    if (!checks_indices()) GTEST_SKIP() << "page ids are in the GPU's memory, and must be right";
    for (int32_t id : {-1, int32_t(call.k.num_pages), INT32_MAX, INT32_MIN}) {
        SCOPED_TRACE(id);
        const auto good = call.paging.kv_indices;
        call.paging.kv_indices[4] = id;
        call.upload_indices();
        const adze_attention_desc desc = call.desc();
        call.o.poison(), call.lse.poison();
        EXPECT_TRUE(
            kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", "kv_indices", std::to_string(id)));
        EXPECT_TRUE(call.o.unchanged() && call.lse.unchanged());
        call.paging.kv_indices = good;
    }
}

TEST_P(AttentionContract, RunChecksItsWorkspace) {
    adze_attention_desc desc = call.desc();
    uint64_t bytes = 0;
    ADZE_ASSERT_OK(adze_attention_workspace_size(call.plan, &bytes));
    if (bytes == 0) {
        // Split-KV shows on long sequences, if at all.
        kit::AttentionCase c{.sequences = {{1, 7}}, .shape = {4, 2, 64, 80}, .page_size = 4, .spare_pages = 10000};
        call = AttentionCall(context, stream, c, random, kit::normal(random));
        desc = call.desc();
        ASSERT_GT(desc.workspace_bytes, 0u);
    }
    call.o.poison(), call.lse.poison();
    desc.workspace_bytes -= 1;
    EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", "workspace_bytes",
                             std::to_string(desc.workspace_bytes)));
    desc = call.desc();
    desc.workspace = nullptr;
    EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", "workspace"));
    desc = call.desc();
    desc.workspace = static_cast<char*>(desc.workspace) + 8;
    EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", "workspace"));
    for (const auto& [cache, name] : {std::pair{&adze_attention_desc::k, "k"}, {&adze_attention_desc::v, "v"}}) {
        const kit::Workspace both(call.desc().workspace_bytes + (1 << 20));
        desc = call.desc();
        desc.workspace = both.data();
        const auto end = [&](uint64_t before) {
            return static_cast<char*>(both.data()) + call.desc().workspace_bytes - before;
        };
        (desc.*cache).data = end(4);
        EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", std::string(name) + ".data",
                                 "overlaps the workspace"));
        (desc.*cache).data = end(0);  // side by side
        ADZE_EXPECT_OK(adze_attention_run(stream, &desc));
        call.o.poison(), call.lse.poison();
        desc.*cache = call.desc().*cache;
        (desc.*cache).scales = reinterpret_cast<float*>(end(4));
        EXPECT_TRUE(kit::invalid(adze_attention_run(stream, &desc), "adze_attention_run", std::string(name) + ".scales",
                                 "overlaps the workspace"));
    }
    EXPECT_TRUE(call.o.unchanged() && call.lse.unchanged());
}

TEST_P(AttentionContract, PlanCreateChecksEveryField) {
    const adze_attention_plan_desc good = kit::plan_desc(call.c);
    const auto refuse_as = [&](adze_status expected, const std::string& argument, const std::string& value,
                               auto spoil) {
        adze_attention_plan_desc desc = good;
        spoil(desc);
        adze_attention_plan* out = nullptr;
        const adze_status status = adze_attention_plan_create(context, &desc, &out);
        EXPECT_TRUE(kit::refused(status, expected, "adze_attention_plan_create", argument, value));
        EXPECT_EQ(out, nullptr);
    };
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        refuse_as(ADZE_ERROR_INVALID_ARGUMENT, argument, value, spoil);
    };
    refuse("num_q_heads", "5", [](auto& d) { d.num_q_heads = 5; });
    refuse("num_q_heads", "0", [](auto& d) { d.num_q_heads = 0; });
    refuse("num_q_heads", "-4", [](auto& d) { d.num_q_heads = -4; });
    refuse("num_kv_heads", "0", [](auto& d) { d.num_kv_heads = 0; });
    refuse("num_kv_heads", "-2", [](auto& d) { d.num_kv_heads = -2; });
    refuse_as(ADZE_ERROR_NOT_SUPPORTED, "head_dim_qk", "12", [](auto& d) { d.head_dim_qk = 12; });
    refuse("head_dim_qk", "0", [](auto& d) { d.head_dim_qk = 0; });
    refuse_as(ADZE_ERROR_NOT_SUPPORTED, "head_dim_qk", "1032", [](auto& d) { d.head_dim_qk = 1032; });
    refuse_as(ADZE_ERROR_NOT_SUPPORTED, "head_dim_v", "4", [](auto& d) { d.head_dim_v = 4; });
    refuse("head_dim_v", "-8", [](auto& d) { d.head_dim_v = -8; });
    refuse("page_size", "0", [](auto& d) { d.page_size = 0; });
    refuse("page_size", "-1", [](auto& d) { d.page_size = -1; });
    refuse("causal", "2", [](auto& d) { d.causal = 2; });
    refuse("window", "-1", [](auto& d) { d.window = -1; });
    refuse("softmax_scale", "", [](auto& d) { d.softmax_scale = NAN; });
    refuse("softmax_scale", "", [](auto& d) { d.softmax_scale = INFINITY; });
    refuse("max_sequences", "0", [](auto& d) { d.max_sequences = 0; });
    refuse("max_q_tokens", "0", [](auto& d) { d.max_q_tokens = 0; });
    refuse("max_kv_pages", "-1", [](auto& d) { d.max_kv_pages = -1; });
    refuse("max_mask_words", "-1", [](auto& d) { d.max_mask_words = -1; });
    refuse("max_q_len", "-1", [](auto& d) { d.max_q_len = -1; });
    refuse("max_q_len", "7", [](auto& d) { d.max_q_len = 7; });
    refuse("sink_tokens", "1", [](auto& d) { d.sink_tokens = 1; });
    refuse("sink_tokens", "-1", [](auto& d) { d.window = 9, d.sink_tokens = -1; });
    refuse("logits_soft_cap", "nan", [](auto& d) { d.logits_soft_cap = NAN; });
    refuse("logits_soft_cap", "inf", [](auto& d) { d.logits_soft_cap = INFINITY; });
    refuse("logits_soft_cap", "-30", [](auto& d) { d.logits_soft_cap = -30; });
    refuse("reserved", "4", [](auto& d) { d.reserved = 4; });
    adze_attention_plan* out = nullptr;
    const std::string function = "adze_attention_plan_create";
    EXPECT_TRUE(kit::invalid(adze_attention_plan_create(nullptr, &good, &out), function, "context"));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_create(context, nullptr, &out), function, "desc"));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_create(context, &good, nullptr), function, "plan"));
    uint64_t bytes = 3;
    EXPECT_TRUE(kit::invalid(adze_attention_workspace_size(nullptr, &bytes), "adze_attention_workspace_size", "plan"));
    EXPECT_TRUE(
        kit::invalid(adze_attention_workspace_size(call.plan, nullptr), "adze_attention_workspace_size", "bytes"));
    EXPECT_EQ(bytes, 3u);
}

// cpu has every multiple of 8; of the GPUs, a wrong one never runs.
TEST_P(AttentionContract, HeadDimsThatGpusLack) {
    for (const auto& [dim_qk, dim_v, value] : {std::tuple{72, 72, "72"},
                                               {64, 72, "72"},
                                               {8, 64, "8"},
                                               {128, 192, "192"},
                                               {192, 192, "192"},
                                               {192, 64, "192"},
                                               {512, 512, "512"}}) {
        adze_attention_plan_desc desc = kit::plan_desc(call.c);
        desc.head_dim_qk = dim_qk, desc.head_dim_v = dim_v;
        adze_attention_plan* out = nullptr;
        const adze_status status = adze_attention_plan_create(context, &desc, &out);
        const kit::Plan made(out);
        if (on_cpu()) {
            EXPECT_EQ(status, ADZE_OK) << adze_last_error();
        } else {
            EXPECT_TRUE(
                kit::refused(status, ADZE_ERROR_NOT_SUPPORTED, "adze_attention_plan_create", "head_dim", value));
            EXPECT_EQ(out, nullptr);
        }
    }
}

// Positions have 32 bits there, also in the graphs that a plan's update is for.
TEST_P(AttentionContract, LengthsThatGpusLack) {
    adze_attention_plan_desc desc = kit::plan_desc(call.c);
    desc.page_size = 1 << 30, desc.max_kv_pages = 3, desc.max_mask_words = 1;
    const kit::Plan plan = kit::make_plan(context, desc);
    const auto update = [&](int32_t last_page_len) {
        const std::vector<int32_t> qo{0, 1, 2}, kv{0, 1, 3}, last{1 << 30, last_page_len};
        const adze_attention_batch batch{sizeof batch, 2, qo.data(), kv.data(), last.data(), nullptr};
        return adze_attention_plan_update(plan, &batch, stream);
    };
    ADZE_EXPECT_OK(update((1 << 30) - 129));
    const adze_status status = update((1 << 30) - 128);
    if (on_cpu()) {
        EXPECT_EQ(status, ADZE_OK) << adze_last_error();
    } else {
        EXPECT_TRUE(kit::refused(status, ADZE_ERROR_NOT_SUPPORTED, "adze_attention_plan_update", "sequence 1",
                                 "2147483520 keys"));
    }
}

// 2^60 keys of 2^5 words a query and more: what the mask must have is no number of 64 bits.
TEST_P(AttentionContract, MasksOfMoreWordsThanThereAreNumbers) {
    adze_attention_plan_desc desc = kit::plan_desc(call.c);
    desc.page_size = 1 << 30, desc.max_kv_pages = INT32_MAX - 1, desc.max_sequences = 1, desc.max_q_tokens = 1 << 10;
    desc.max_q_len = 0, desc.max_mask_words = 1 << 20;
    adze_attention_plan* raw = nullptr;
    const adze_status status = adze_attention_plan_create(context, &desc, &raw);
    const kit::Plan plan(raw);
    if (status == ADZE_ERROR_OUT_OF_MEMORY) GTEST_SKIP() << adze_last_error();
    ADZE_ASSERT_OK(status);
    const std::vector<int32_t> qo{0, 512}, kv{0, 1 << 30}, last{1 << 30};
    const std::vector<int64_t> words{0, 7};
    const adze_attention_batch batch{sizeof batch, 1, qo.data(), kv.data(), last.data(), words.data()};
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(plan, &batch, stream), "adze_attention_plan_update",
                             "mask_indptr[1] is 7", std::to_string(INT64_MAX)));
}

TEST_P(AttentionContract, PlanUpdateChecksTheBatchAndKeepsTheOldOne) {
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        oracle::Paging paging = call.paging;
        adze_attention_batch batch = kit::batch_of(paging);
        spoil(paging, batch);
        EXPECT_TRUE(kit::invalid(adze_attention_plan_update(call.plan, &batch, stream), "adze_attention_plan_update",
                                 argument, value));
    };
    refuse("num_sequences", "4", [](auto&, auto& b) { b.num_sequences = 4; });
    refuse("num_sequences", "-1", [](auto&, auto& b) { b.num_sequences = -1; });
    refuse("qo_indptr", "", [](auto&, auto& b) { b.qo_indptr = nullptr; });
    refuse("kv_indptr", "", [](auto&, auto& b) { b.kv_indptr = nullptr; });
    refuse("kv_last_page_len", "", [](auto&, auto& b) { b.kv_last_page_len = nullptr; });
    refuse("qo_indptr", "1", [](auto& p, auto&) { p.qo_indptr[0] = 1; });
    refuse("kv_indptr", "1", [](auto& p, auto&) { p.kv_indptr[0] = 1; });
    refuse("qo_indptr", "0", [](auto& p, auto&) { p.qo_indptr[2] = 0; });
    refuse("kv_indptr", "1", [](auto& p, auto&) { p.kv_indptr[2] = 1; });
    refuse("qo_indptr", "7", [](auto& p, auto&) { p.qo_indptr[3] = 7; });
    refuse("kv_indptr", "7", [](auto& p, auto&) { p.kv_indptr[3] = 7; });
    refuse("qo_indptr", "-1", [](auto& p, auto&) { p.qo_indptr[1] = -1; });
    refuse("kv_last_page_len", "0", [](auto& p, auto&) { p.kv_last_page_len[1] = 0; });
    refuse("kv_last_page_len", "5", [](auto& p, auto&) { p.kv_last_page_len[1] = 5; });
    refuse("kv_last_page_len", "-1", [](auto& p, auto&) { p.kv_last_page_len[2] = -1; });
    refuse("kv_last_page_len", "3", [](auto& p, auto&) {  // no page, yet tokens in it
        p.kv_indptr[1] = 0;
        p.kv_indptr[2] = 0, p.kv_last_page_len[0] = 0, p.kv_last_page_len[1] = 3;
    });
    // A mask of the right size, in a plan that has room for none.
    const std::vector<int64_t> words{0, 1, 3, 6};
    refuse("mask_indptr[1] is 1", "max_mask_words is 0", [&](auto&, auto& b) { b.mask_indptr = words.data(); });
    const adze_attention_batch batch = kit::batch_of(call.paging);
    const std::string function = "adze_attention_plan_update";
    kit::AttentionCase short_queries = call.c;
    short_queries.max_q_len = 2;
    const kit::Plan drafts = kit::make_plan(context, kit::plan_desc(short_queries));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(drafts, &batch, stream), function,
                             "qo_indptr[3] - qo_indptr[2] is 3", "max_q_len is 2"));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(nullptr, &batch, stream), function, "plan"));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(call.plan, nullptr, stream), function, "batch"));
    EXPECT_TRUE(kit::invalid(adze_attention_plan_update(call.plan, &batch, nullptr), function, "stream"));
    call.run(stream);
    call.expect_close();
}

TEST_P(AttentionContract, RunBeforeAnUpdateIsAnEmptyBatchOrRefused) {
    const kit::Plan fresh = kit::make_plan(context, kit::plan_desc(call.c));
    adze_attention_desc desc = call.desc();
    desc.plan = fresh;
    call.o.poison(), call.lse.poison();
    const adze_status status = adze_attention_run(stream, &desc);
    EXPECT_TRUE(status == ADZE_OK || kit::refused(status, ADZE_ERROR_INVALID_STATE, "adze_attention_run", "plan"));
    EXPECT_TRUE(call.o.unchanged() && call.lse.unchanged());
}

TEST_P(AttentionContract, AppendChecksEveryArgument) {
    Tensor k = Tensor(ADZE_DTYPE_F32, 6, 128).fill(kit::normal(random));
    Tensor v = Tensor(ADZE_DTYPE_F32, 6, 160).fill(kit::normal(random));
    const adze_kv_append_desc good{sizeof good,  0, call.plan, k.view(), v.view(), call.indices.view(), call.k.view(),
                                   call.v.view()};
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        adze_kv_append_desc desc = good;
        spoil(desc);
        EXPECT_TRUE(kit::invalid(adze_kv_append_run(stream, &desc), "adze_kv_append_run", argument, value));
        EXPECT_TRUE(call.k.elements.unchanged() && call.v.elements.unchanged()) << argument << " = " << value;
    };
    refuse("plan", "", [](auto& d) { d.plan = nullptr; });
    refuse("reserved", "2", [](auto& d) { d.reserved = 2; });
    refuse("k.rows", "5", [](auto& d) { d.k.rows = 5; });
    refuse("k.columns", "127", [](auto& d) { d.k.columns = 127; });
    refuse("k.dtype", "", [](auto& d) { d.k.dtype = ADZE_DTYPE_I32; });
    refuse("k.data", "", [](auto& d) { d.k.data = nullptr; });
    refuse("v.rows", "5", [](auto& d) { d.v.rows = 5; });
    refuse("v.columns", "32", [](auto& d) { d.v.columns = 32; });
    refuse("v.dtype", "", [](auto& d) { d.v.dtype = ADZE_DTYPE_BF16; });
    refuse("kv_indices.columns", "2", [](auto& d) { d.kv_indices.columns = 2; });
    refuse("kv_indices.dtype", "", [](auto& d) { d.kv_indices.dtype = ADZE_DTYPE_F32; });
    refuse("k_cache.data", "", [](auto& d) { d.k_cache.data = nullptr; });
    refuse("k_cache.dtype", "", [](auto& d) { d.k_cache.dtype = ADZE_DTYPE_I32; });
    refuse("v_cache.dtype", "", [](auto& d) { d.v_cache.dtype = ADZE_DTYPE_F16; });
    refuse("v_cache.num_pages", "", [](auto& d) { d.v_cache.num_pages = 4; });
    if (checks_indices()) {
        refuse("kv_indices", "", [](auto& d) { d.k_cache.num_pages = d.v_cache.num_pages = 1; });
    }
    refuse("k_cache", "64", [](auto& d) { d.k_cache.token_stride = d.k_cache.head_stride = 64; });
    refuse("v_cache", "80", [](auto& d) { d.v_cache.page_stride = 80; });
    EXPECT_TRUE(kit::invalid(adze_kv_append_run(stream, nullptr), "adze_kv_append_run", "desc"));
    EXPECT_TRUE(kit::invalid(adze_kv_append_run(nullptr, &good), "adze_kv_append_run", "stream"));
}

// The caches and their scales in one buffer: as pages of keys, values and scales, or token by token; and the same with
// something in two places.
TEST_P(AttentionContract, AppendsCachesMayInterleaveAndShareNothing) {
    constexpr int kHeads = 2, kDim = 64, kPage = 4, kPages = 6;
    Tensor tokens = Tensor(ADZE_DTYPE_F32, 6, kHeads * kDim).fill(kit::normal(random));
    const adze_attention_plan_desc plan_desc = [&] {
        adze_attention_plan_desc desc = kit::plan_desc(call.c);
        desc.head_dim_qk = desc.head_dim_v = kDim;
        return desc;
    }();
    const kit::Plan plan = kit::make_plan(context, plan_desc);
    const adze_attention_batch batch = kit::batch_of(call.paging);
    ADZE_ASSERT_OK(adze_attention_plan_update(plan, &batch, stream));
    const kit::Workspace memory(1 << 17);
    auto* base = static_cast<char*>(memory.data());
    std::vector<int32_t> ids(call.paging.kv_indices.size());
    for (size_t i = 0; i < ids.size(); ++i) call.indices.set(0, int64_t(i), double(i));
    call.indices.freeze();

    // A page: keys [token][head][dim] in I8, values likewise, scales of the keys [head][token], then of the values.
    constexpr int64_t kVectors = kPage * kHeads, kData = kVectors * kDim, kBytes = 2 * kData + 2 * kVectors * 4;
    const auto cache = [&](int64_t data, int64_t scales) {
        return adze_kv_cache{base + data, kPages, kBytes, kHeads * kDim, kDim, reinterpret_cast<float*>(base + scales),
                             kBytes / 4,  1,      kPage,  ADZE_DTYPE_I8, 0};
    };
    adze_kv_append_desc good{sizeof good,
                             0,
                             plan,
                             tokens.view(),
                             tokens.view(),
                             call.indices.view(),
                             cache(0, 2 * kData),
                             cache(kData, 2 * kData + kVectors * 4)};
    ADZE_EXPECT_OK(adze_kv_append_run(stream, &good));
    // A token: a head's key and its scale, its value and its scale.
    constexpr int64_t kVector = kDim + 4;
    adze_kv_append_desc by_token = good;
    for (adze_kv_cache* c : {&by_token.k_cache, &by_token.v_cache}) {
        c->head_stride = 2 * kVector, c->token_stride = kHeads * 2 * kVector, c->page_stride = kPage * c->token_stride;
        c->scale_head_stride = c->head_stride / 4, c->scale_token_stride = c->token_stride / 4;
        c->scale_page_stride = c->page_stride / 4;
    }
    by_token.v_cache.data = base + kVector;
    by_token.k_cache.scales = reinterpret_cast<float*>(base + kDim);
    by_token.v_cache.scales = reinterpret_cast<float*>(base + kVector + kDim);
    ADZE_EXPECT_OK(adze_kv_append_run(stream, &by_token));

    const std::vector<char> before(base, base + (1 << 17));
    const auto refuse = [&](const adze_kv_append_desc& from, const std::string& argument, const std::string& value,
                            auto spoil) {
        adze_kv_append_desc desc = from;
        spoil(desc);
        EXPECT_TRUE(kit::invalid(adze_kv_append_run(stream, &desc), "adze_kv_append_run", argument, value));
        EXPECT_EQ(std::memcmp(before.data(), base, before.size()), 0) << argument;
    };
    const auto move = [](auto*& pointer, int64_t bytes) {
        pointer =
            reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(reinterpret_cast<char*>(pointer) + bytes);
    };
    for (const adze_kv_append_desc& from : {good, by_token}) {
        refuse(from, "v_cache.data", "overlaps k_cache.data", [](auto& d) { d.v_cache.data = d.k_cache.data; });
        refuse(from, "v_cache.data", "overlaps k_cache.data", [&](auto& d) { move(d.v_cache.data, -5); });
        refuse(from, "v_cache.data", "overlaps k_cache.data", [&](auto& d) { move(d.v_cache.data, 4 * kBytes - 5); });
        refuse(from, "v_cache.scales", "overlaps k_cache.scales", [](auto& d) { d.v_cache.scales = d.k_cache.scales; });
        refuse(from, "v_cache.scales", "overlaps v_cache.data",
               [](auto& d) { d.v_cache.scales = static_cast<float*>(d.v_cache.data); });
        refuse(from, "k_cache.scales", "overlaps v_cache.data",
               [](auto& d) { d.k_cache.scales = static_cast<float*>(d.v_cache.data); });
        refuse(from, "k_cache.scales", "overlaps ", [&](auto& d) { move(d.k_cache.scales, 3 * kBytes - 8); });
        refuse(from, "k.data", "overlaps k_cache.data", [](auto& d) { d.k.data = d.k_cache.data; });
        refuse(from, "v.data", "overlaps", [](auto& d) { d.v.data = d.v_cache.scales; });
        refuse(from, "kv_indices.data", "overlaps", [](auto& d) { d.kv_indices.data = d.k_cache.scales; });
    }
    // What is not dynamic may be shared: it is only read.
    adze_kv_append_desc one_scale = good;
    for (adze_kv_cache* c : {&one_scale.k_cache, &one_scale.v_cache}) {
        c->scales = reinterpret_cast<float*>(base + (1 << 16));
        c->scale_page_stride = c->scale_token_stride = c->scale_head_stride = 0;
    }
    ADZE_EXPECT_OK(adze_kv_append_run(stream, &one_scale));
}

TEST_P(AttentionContract, QuantisedCachesOfKvAppend) {
    for (adze_dtype dtype : kit::kQuantised) {
        SCOPED_TRACE(kit::name_of(dtype));
        kit::AttentionCase c = call.c;
        c.kv_dtype = dtype;
        for (kit::Scales scales : {kit::Scales::kHead, kit::Scales::kAll}) {
            c.scales = scales;
            kit::AttentionCall quantised(context, stream, c, random, kit::integers(random));
            quantised.k.scales.freeze(), quantised.v.scales.freeze();
            Tensor k = Tensor(ADZE_DTYPE_F32, 6, 128).fill(kit::normal(random));
            Tensor v = Tensor(ADZE_DTYPE_F32, 6, 160).fill(kit::normal(random));
            const adze_kv_append_desc good{
                sizeof good,       0, quantised.plan, k.view(), v.view(), quantised.indices.view(), quantised.k.view(),
                quantised.v.view()};
            const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
                adze_kv_append_desc desc = good;
                spoil(desc);
                EXPECT_TRUE(kit::invalid(adze_kv_append_run(stream, &desc), "adze_kv_append_run", argument, value));
                EXPECT_TRUE(quantised.k.elements.unchanged() && quantised.v.elements.unchanged()) << argument;
                EXPECT_TRUE(quantised.k.scales.unchanged() && quantised.v.scales.unchanged()) << argument;
            };
            refuse("k_cache.scales", "NULL", [](auto& d) { d.k_cache.scales = nullptr; });
            refuse("v_cache.scales", "NULL", [](auto& d) { d.v_cache.scales = nullptr; });
            refuse("v_cache.scales", "", [](auto& d) {
                d.v_cache.scales = reinterpret_cast<float*>(reinterpret_cast<char*>(d.v_cache.scales) + 2);
            });
            refuse("v_cache.dtype", "", [](auto& d) { d.v_cache.dtype = ADZE_DTYPE_BF16; });
            refuse("k.dtype", "", [&](auto& d) { d.k.dtype = dtype; });
            refuse("k_cache", "64", [](auto& d) { d.k_cache.token_stride = d.k_cache.head_stride = 64; });
            refuse("v_cache.token_stride", "64", [](auto& d) { d.v_cache.token_stride = 64; });
            if (dtype == ADZE_DTYPE_I4) {
                refuse("k_cache.page_stride", std::to_string(good.k_cache.page_stride + 8),
                       [](auto& d) { d.k_cache.page_stride += 8; });
                refuse("k_cache.token_stride", std::to_string(good.k_cache.token_stride + 16),
                       [](auto& d) { d.k_cache.token_stride += 16; });
                refuse("v_cache.head_stride", "97", [](auto& d) { d.v_cache.head_stride = 97; });
                refuse("v_cache.data", "16", [](auto& d) { d.v_cache.data = static_cast<char*>(d.v_cache.data) - 8; });
                refuse("v_cache.token_stride", "80", [](auto& d) { d.v_cache.token_stride = 80; });
            }
            if (scales == kit::Scales::kAll) {
                refuse("k_cache", "scales", [](auto& d) { d.k_cache.scale_head_stride = 0; });
                refuse("v_cache", "scales", [](auto& d) { d.v_cache.scale_page_stride = 1; });
            }
            ADZE_EXPECT_OK(adze_kv_append_run(stream, &good));
        }
    }
}

TEST_P(AttentionContract, MergeChecksEveryArgument) {
    kit::MergeCall merge(3, 5, 4, 16, ADZE_DTYPE_F32, ADZE_DTYPE_F32, true, 0);
    merge.parts.freeze(), merge.parts_lse.freeze();
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        adze_attention_merge_desc desc = merge.desc();
        spoil(desc);
        merge.o.poison(), merge.lse.poison();
        EXPECT_TRUE(kit::invalid(adze_attention_merge_run(stream, &desc), "adze_attention_merge_run", argument, value));
        EXPECT_TRUE(merge.o.unchanged() && merge.lse.unchanged()) << argument << " = " << value;
    };
    refuse("num_parts", "0", [](auto& d) { d.num_parts = 0; });
    refuse("num_parts", "-2", [](auto& d) { d.num_parts = -2; });
    refuse("num_heads", "0", [](auto& d) { d.num_heads = 0; });
    refuse("num_heads", "4097", [](auto& d) { d.num_heads = 4097; });
    refuse("num_heads", "5", [](auto& d) { d.num_heads = 5; });
    refuse("reserved", "1", [](auto& d) { d.reserved = 1; });
    refuse("parts.rows", "14", [](auto& d) { d.parts.rows = 14; });
    refuse("parts.rows", "15", [](auto& d) { d.num_parts = 2; });
    refuse("parts.columns", "60", [](auto& d) { d.parts.columns = 60; });
    refuse("parts.dtype", "I32", [](auto& d) { d.parts.dtype = ADZE_DTYPE_I32; });
    refuse("parts.data", "", [](auto& d) { d.parts.data = nullptr; });
    refuse("parts.row_stride", "63", [](auto& d) { d.parts.row_stride = 63; });
    refuse("parts_lse.rows", "16", [](auto& d) { d.parts_lse.rows = 16; });
    refuse("parts_lse.columns", "3", [](auto& d) { d.parts_lse.columns = 3; });
    refuse("parts_lse.dtype", "BF16", [](auto& d) { d.parts_lse.dtype = ADZE_DTYPE_BF16; });
    refuse("parts_lse.dtype", "NONE", [](auto& d) { d.parts_lse = {}; });
    refuse("o.dtype", "NONE", [](auto& d) { d.o = {}; });
    refuse("o.columns", "62", [](auto& d) { d.o.columns = 62; });
    refuse("o.columns", "1025", [](auto& d) { d.num_heads = 1, d.o.columns = d.o.row_stride = 1025; });
    refuse("o.data", "", [](auto& d) { d.o.data = static_cast<char*>(d.o.data) + 1; });
    refuse("lse.rows", "4", [](auto& d) { d.lse.rows = 4; });
    refuse("lse.columns", "64", [](auto& d) { d.lse.columns = d.lse.row_stride = 64; });
    refuse("lse.dtype", "F16", [](auto& d) { d.lse.dtype = ADZE_DTYPE_F16; });
    refuse("o.data", "overlaps parts", [](auto& d) { d.o.data = static_cast<char*>(d.parts.data) + 64; });
    refuse("lse.data", "overlaps parts", [](auto& d) { d.lse.data = d.parts.data; });
    refuse("lse.data", "overlaps parts_lse", [](auto& d) { d.lse.data = d.parts_lse.data; });
    refuse("o.data", "overlaps parts_lse", [](auto& d) { d.parts_lse.data = d.o.data; });
    refuse("lse.data", "overlaps o", [](auto& d) { d.lse.data = d.o.data; });
    const adze_attention_merge_desc good = merge.desc();
    EXPECT_TRUE(kit::invalid(adze_attention_merge_run(stream, nullptr), "adze_attention_merge_run", "desc"));
    EXPECT_TRUE(kit::invalid(adze_attention_merge_run(nullptr, &good), "adze_attention_merge_run", "stream"));
}

TEST_P(AttentionContract, PlanAndStreamAreOfOneContext) {
    const kit::Context other = kit::make_context();
    const kit::Stream foreign = kit::make_stream(other);
    const adze_attention_desc desc = call.desc();
    const adze_attention_batch batch = kit::batch_of(call.paging);
    EXPECT_TRUE(kit::invalid(adze_attention_run(foreign, &desc), "adze_attention_run", "plan"));
    EXPECT_TRUE(
        kit::invalid(adze_attention_plan_update(call.plan, &batch, foreign), "adze_attention_plan_update", "plan"));
}

TEST_P(AttentionContract, StructSizes) {
    const adze_attention_desc desc = call.desc();
    kit::check_struct_size(desc, "adze_attention_run", [&](auto* d) { return adze_attention_run(stream, d); });
    const adze_attention_batch batch = kit::batch_of(call.paging);
    kit::check_struct_size(batch, "adze_attention_plan_update",
                           [&](auto* d) { return adze_attention_plan_update(call.plan, d, stream); });
    kit::check_struct_size(kit::plan_desc(call.c), "adze_attention_plan_create",
                           [&](const adze_attention_plan_desc* d) {
                               adze_attention_plan* raw = nullptr;
                               const adze_status status = adze_attention_plan_create(context, d, &raw);
                               const kit::Plan plan(raw);
                               return status;
                           });
    Tensor k = Tensor(ADZE_DTYPE_F32, 6, 128).fill(kit::normal(random));
    Tensor v = Tensor(ADZE_DTYPE_F32, 6, 160).fill(kit::normal(random));
    const adze_kv_append_desc append{
        sizeof append, 0, call.plan, k.view(), v.view(), call.indices.view(), call.k.view(), call.v.view()};
    kit::check_struct_size(append, "adze_kv_append_run", [&](auto* d) { return adze_kv_append_run(stream, d); });
    const kit::MergeCall merge(3, 5, 4, 16, ADZE_DTYPE_F32, ADZE_DTYPE_F32, true, 0);
    const adze_attention_merge_desc parts = merge.desc();
    kit::check_struct_size(parts, "adze_attention_merge_run",
                           [&](auto* d) { return adze_attention_merge_run(stream, d); });
}

}  // namespace
