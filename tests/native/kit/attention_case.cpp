#include "kit/attention_case.h"

#include <numeric>

namespace kit {

std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
    out << "heads " << c.shape.q_heads << '/' << c.shape.kv_heads << " dims " << c.shape.dim_qk << '/' << c.shape.dim_v
        << (c.shape.causal ? " causal" : "") << " window " << c.shape.window << " page " << c.page_size << " q "
        << name_of(c.q_dtype) << " kv " << name_of(c.kv_dtype) << " o " << name_of(c.o_dtype)
        << (c.hnd ? " HND" : " NHD") << " scales " << int(c.scales) << " gap " << c.gap << " sequences";
    for (const Sequence& s : c.sequences) out << ' ' << s.qo_len << ':' << s.kv_len;
    if (c.shape.sink_tokens) out << " sink tokens " << c.shape.sink_tokens;
    if (c.shape.soft_cap) out << " soft cap " << c.shape.soft_cap;
    if (c.masks != Masks::kNone) out << " masks " << int(c.masks);
    if (c.alibi) out << " alibi";
    if (c.sinks) out << " sinks";
    if (c.softmax != ADZE_SOFTMAX_STABLE) out << (c.softmax == ADZE_SOFTMAX_UNIFIED ? " unified" : " tuned");
    return out;
}

namespace {

bool is_gpu(const adze_context* context) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_EXPECT_OK(adze_context_info(context, &info));
    return info.backend != ADZE_BACKEND_CPU;
}

}  // namespace

bool supports(adze_context* context, const AttentionCase& c) {
    const Stream stream = make_stream(context);
    adze_attention_plan* raw = nullptr;
    AttentionCase empty = c;
    empty.sequences.clear();
    empty.spare_mask_words = c.masks == Masks::kNone ? 0 : 1;
    const adze_attention_plan_desc plan_desc = kit::plan_desc(empty);
    if (adze_attention_plan_create(context, &plan_desc, &raw) == ADZE_ERROR_NOT_SUPPORTED) return false;
    const Plan plan(raw);
    const Tensor heads = Tensor(ADZE_DTYPE_F32, 1, c.shape.q_heads).poison(), indices(ADZE_DTYPE_I32, 1, 0);
    uint64_t bytes = 0;
    ADZE_EXPECT_OK(adze_attention_workspace_size(plan, &bytes));
    const Workspace workspace(bytes);
    adze_attention_desc desc{};
    desc.struct_size = sizeof desc;
    desc.softmax = c.softmax;
    desc.plan = plan;
    desc.q = Tensor(c.q_dtype, 0, int64_t{c.shape.q_heads} * c.shape.dim_qk).view();
    desc.o = Tensor(c.o_dtype, 0, int64_t{c.shape.q_heads} * c.shape.dim_v).view();
    desc.kv_indices = indices.view();
    desc.k.token_stride = desc.k.head_stride = std::max(c.shape.dim_qk, c.shape.dim_v) * c.shape.kv_heads;
    desc.k.dtype = c.kv_dtype;
    desc.v = desc.k;
    desc.workspace = workspace.data(), desc.workspace_bytes = workspace.bytes();
    if (c.masks != Masks::kNone) desc.mask = indices.view();
    if (c.alibi) desc.alibi_slopes = heads.view();
    if (c.sinks) desc.sinks = heads.view();
    if (c.softmax != ADZE_SOFTMAX_STABLE) desc.phi = heads.view();
    const adze_status status = adze_attention_run(stream, &desc);
    EXPECT_TRUE(status == ADZE_OK || status == ADZE_ERROR_NOT_SUPPORTED) << c << ": " << adze_last_error();
    return status == ADZE_OK;
}

AttentionCase fitted(AttentionCase c, adze_context* context) {
    if (supports(context, c)) return c;
    constexpr void (*without[])(AttentionCase&) = {
        [](AttentionCase& c) {
            constexpr int common[] = {64, 80, 96, 128, 256};
            for (int* dim : {&c.shape.dim_qk, &c.shape.dim_v}) {
                *dim = *std::min_element(std::begin(common), std::end(common), [&](int a, int b) {
                    return std::pair(a < *dim, std::abs(a - *dim)) < std::pair(b < *dim, std::abs(b - *dim));
                });
            }
        },
        [](AttentionCase& c) { c.kv_dtype = ADZE_DTYPE_BF16; },
        [](AttentionCase& c) { c.shape.soft_cap = 0; },
        [](AttentionCase& c) { c.shape.sink_tokens = 0; },
        [](AttentionCase& c) { c.masks = Masks::kNone; },
        [](AttentionCase& c) { c.alibi = false; },
        [](AttentionCase& c) { c.sinks = false; }};
    for (const auto drop : without) {
        AttentionCase alone = c;
        for (const auto other : without) {
            if (other != drop) other(alone);
        }
        if (!supports(context, alone)) drop(c);
    }
    return c;
}

Cache::Cache(const AttentionCase& c, int dim, int64_t pages, Random& random) : num_pages(pages) {
    const int64_t heads = c.shape.kv_heads, unit = c.kv_dtype == ADZE_DTYPE_I4 ? 32 : 1;
    const int64_t vector = (dim + unit - 1) / unit * unit, gap = c.gap * unit;
    if (c.hnd) {
        token_stride_ = vector + gap;
        head_stride_ = c.page_size * token_stride_ + gap;
        page_stride_ = heads * head_stride_ + gap;
    } else {
        head_stride_ = vector + gap;
        token_stride_ = heads * head_stride_ + gap;
        page_stride_ = c.page_size * token_stride_ + gap;
    }
    const int64_t size = pages == 0 ? 0 : offset(pages - 1, c.page_size - 1, heads - 1, vector - 1) + 1;
    elements = Tensor(c.kv_dtype, 1, size).poison();
    if (c.scales == Scales::kNone) return;
    const bool by_page = c.scales == Scales::kPage || c.scales == Scales::kAll;
    const bool by_token = c.scales == Scales::kToken || c.scales == Scales::kAll;
    const bool by_head = c.scales == Scales::kHead || c.scales == Scales::kAll;
    scale_head_ = by_head ? (by_token && c.hnd ? c.page_size : 1) : 0;
    scale_token_ = by_token ? (by_head && !c.hnd ? heads : 1) : 0;
    const int64_t scale_gap = 8;  // a whole sector: traffic counts those
    scale_page_ = by_page ? (by_token ? c.page_size : 1) * (by_head ? heads : 1) + scale_gap : 0;
    const int64_t count = (pages - 1) * scale_page_ + (c.page_size - 1) * scale_token_ + (heads - 1) * scale_head_ + 1;
    // Powers of two and their neighbours; kept clear of the largest, so that products stay ordinary.
    scales = Tensor(ADZE_DTYPE_F32, 1, count).fill([&] { return std::exp2(random.uniform() * 4 - 2); });
}

adze_kv_cache Cache::view() const {
    return {elements.data(),
            num_pages,
            page_stride_,
            token_stride_,
            head_stride_,
            reinterpret_cast<float*>(scales.rows() == 0 ? nullptr : scales.data()),
            scale_page_,
            scale_token_,
            scale_head_,
            elements.dtype(),
            0};
}

int64_t pages_of(const std::vector<Sequence>& sequences, int page_size) {
    int64_t pages = 0;
    for (const Sequence& s : sequences) pages += (s.kv_len + page_size - 1) / page_size;
    return pages;
}

oracle::Paging make_paging(const std::vector<Sequence>& sequences, int page_size, int64_t num_pages, Random& random) {
    oracle::Paging out;
    out.page_size = page_size;
    for (const Sequence& s : sequences) {
        const int64_t pages = (s.kv_len + page_size - 1) / page_size;
        out.qo_indptr.push_back(int32_t(out.qo_indptr.back() + s.qo_len));
        out.kv_indptr.push_back(int32_t(out.kv_indptr.back() + pages));
        out.kv_last_page_len.push_back(int32_t(pages == 0 ? 0 : s.kv_len - (pages - 1) * page_size));
    }
    out.kv_indices.resize(size_t(num_pages));
    std::iota(out.kv_indices.begin(), out.kv_indices.end(), 0);
    random.shuffle(out.kv_indices);
    out.kv_indices.resize(size_t(out.kv_indptr.back()));
    return out;
}

void make_masks(oracle::Paging& paging, Masks masks, Random& random) {
    if (masks == Masks::kNone) return;
    paging.mask_indptr = {0};
    for (int s = 0; s < paging.sequences(); ++s) {
        const Masks kind = masks == Masks::kMixed ? Masks(random.integer(0, 3)) : masks;
        const int64_t kv_len = paging.kv_len(s), words = (kv_len + 31) / 32;
        paging.mask_indptr.push_back(paging.mask_indptr.back() + (kind == Masks::kNone ? 0 : paging.qo_len(s) * words));
        if (kind == Masks::kNone) continue;
        std::vector<std::vector<bool>> rows;
        for (int64_t i = 0; i < paging.qo_len(s); ++i) {
            std::vector<bool> row(size_t(words) * 32);
            for (size_t t = 0; t < row.size(); ++t)
                row[t] = random.coin() && (kind != Masks::kZero || t >= size_t(kv_len));
            if (kind == Masks::kTree) {
                const int64_t parent = random.integer(-1, i - 1), position = paging.position(s, i);
                for (int64_t t = 0; t < kv_len; ++t)
                    row[size_t(t)] = t == position ||
                                     (parent < 0 ? t < paging.position(s, 0) : bool(rows[size_t(parent)][size_t(t)]));
            }
            for (int64_t w = 0; w < words; ++w) {
                uint32_t word = 0;
                for (int bit = 0; bit < 32; ++bit) word |= uint32_t{row[size_t(w * 32 + bit)]} << bit;
                paging.mask.push_back(word);
            }
            rows.push_back(std::move(row));
        }
    }
}

adze_attention_plan_desc plan_desc(const AttentionCase& c) {
    int64_t tokens = 0, words = 0;
    for (const Sequence& s : c.sequences) {
        tokens += s.qo_len;
        if (c.masks != Masks::kNone) words += s.qo_len * ((s.kv_len + 31) / 32);
    }
    return {sizeof(adze_attention_plan_desc),
            c.shape.q_heads,
            c.shape.kv_heads,
            c.shape.dim_qk,
            c.shape.dim_v,
            c.page_size,
            c.shape.causal ? 1 : 0,
            c.shape.window,
            float(c.shape.scale),
            std::max(1, int32_t(c.sequences.size())) + c.spare_sequences,
            std::max<int64_t>(1, tokens) + c.spare_tokens,
            std::max<int64_t>(1, pages_of(c.sequences, c.page_size)) + c.spare_pages,
            words + c.spare_mask_words,
            c.max_q_len,
            c.shape.sink_tokens,
            float(c.shape.soft_cap),
            0};
}

AttentionCall::AttentionCall(adze_context* context, adze_stream* stream, const AttentionCase& request, Random& random,
                             const std::function<double()>& value)
    : c(fitted(request, context)) {
    c.shape.scale = float(c.shape.scale), c.shape.soft_cap = float(c.shape.soft_cap);
    const int64_t num_pages = pages_of(c.sequences, c.page_size) + 3;
    paging = make_paging(c.sequences, c.page_size, num_pages, random);
    make_masks(paging, c.masks, random);
    const int64_t rows = paging.tokens() + c.extra_rows;
    q = Tensor(c.q_dtype, rows, c.shape.q_heads * c.shape.dim_qk, c.gap).poison();
    for (int64_t r = 0; r < paging.tokens(); ++r) {
        for (int64_t i = 0; i < q.columns(); ++i) q.set(r, i, value());
    }
    o = Tensor(c.o_dtype, rows, c.shape.q_heads * c.shape.dim_v, c.gap + c.o_gap);
    if (c.lse) lse = Tensor(ADZE_DTYPE_F32, rows, c.shape.q_heads, c.gap);
    k = Cache(c, c.shape.dim_qk, num_pages, random);
    v = Cache(c, c.shape.dim_v, num_pages, random);
    k.flushes = v.flushes = flushes_subnormals(context);
    unifies = is_gpu(context) && c.softmax == ADZE_SOFTMAX_UNIFIED && c.kv_dtype != ADZE_DTYPE_F16;
    if (is_gpu(context) && c.o_dtype != ADZE_DTYPE_F32)
        weight_bits = oracle::format_of(c.kv_dtype == ADZE_DTYPE_F16 ? ADZE_DTYPE_F16 : ADZE_DTYPE_BF16).fraction_bits;
    for (int s = 0; s < paging.sequences(); ++s) {
        for (int64_t t = 0; t < paging.kv_len(s); ++t) {
            const auto [page, slot] = paging.find(s, t);
            for (int h = 0; h < c.shape.kv_heads; ++h) {
                for (int e = 0; e < c.shape.dim_qk; ++e) k.elements.set(0, k.offset(page, slot, h, e), value());
                for (int e = 0; e < c.shape.dim_v; ++e) v.elements.set(0, v.offset(page, slot, h, e), value());
            }
        }
    }
    q.freeze(), k.elements.freeze(), v.elements.freeze();
    upload_indices(), upload_mask();
    if (c.alibi) alibi_slopes = Tensor(ADZE_DTYPE_F32, 1, c.shape.q_heads).fill(normal(random, 0.2));
    if (c.sinks) sinks = Tensor(ADZE_DTYPE_F32, 1, c.shape.q_heads).fill(normal(random, 2));
    if (c.softmax != ADZE_SOFTMAX_STABLE) calibrate(0);
    plan = make_plan(context, plan_desc(c));
    update(stream);
    uint64_t bytes = 0;
    ADZE_EXPECT_OK(adze_attention_workspace_size(plan, &bytes));
    workspace = Workspace(bytes);
}

void AttentionCall::upload_indices() {
    indices = Tensor(ADZE_DTYPE_I32, 1, int64_t(paging.kv_indices.size()));
    for (size_t i = 0; i < paging.kv_indices.size(); ++i) indices.set(0, int64_t(i), paging.kv_indices[i]);
    indices.freeze();
}

void AttentionCall::upload_mask() {
    if (paging.mask_indptr.empty()) return;
    mask = Tensor(ADZE_DTYPE_I32, 1, int64_t(paging.mask.size()));
    for (size_t i = 0; i < paging.mask.size(); ++i) mask.set(0, int64_t(i), int32_t(paging.mask[i]));
    mask.freeze();
}

void AttentionCall::calibrate(double off) {
    const auto exact = expected<double>();
    phi = Tensor(ADZE_DTYPE_F32, 1, c.shape.q_heads);
    for (int head = 0; head < c.shape.q_heads; ++head) {
        double largest = -HUGE_VAL;
        for (size_t at = size_t(head); at < exact.lse.size(); at += size_t(c.shape.q_heads)) {
            if (exact.lse[at] > largest) largest = exact.lse[at];
        }
        phi.set(0, head, std::isfinite(largest) ? std::clamp(largest + off, -3e38, 3e38) : off);
    }
    phi.freeze();
}

adze_attention_desc AttentionCall::desc() const {
    return {sizeof(adze_attention_desc),
            c.softmax,
            plan,
            q.view(),
            o.view(),
            lse.view(),
            indices.view(),
            k.view(),
            v.view(),
            workspace.data(),
            workspace.bytes(),
            mask.view(),
            alibi_slopes.view(),
            sinks.view(),
            phi.view(),
            phi_below,
            phi_above};
}

void AttentionCall::run(adze_stream* stream) {
    o.poison(), lse.poison();
    const adze_attention_desc call = desc();
    ADZE_ASSERT_OK(adze_attention_run(stream, &call));
    EXPECT_TRUE(o.framed(paging.tokens()));
    EXPECT_TRUE(lse.framed(c.lse ? paging.tokens() : 0));
    EXPECT_TRUE(q.unchanged());
    EXPECT_TRUE(k.elements.unchanged());
    EXPECT_TRUE(v.elements.unchanged());
    for (const Tensor* input : {&indices, &mask, &alibi_slopes, &sinks, &phi}) EXPECT_TRUE(input->unchanged());
    EXPECT_TRUE(workspace.framed());
}

template <class Real>
oracle::AttentionResult AttentionCall::expected() const {
    return oracle::attention<Real>(
        paging, c.shape, q.values(), k.reader(), v.reader(),
        {alibi_slopes.values(), sinks.values(), unifies ? phi.values() : std::vector<double>{}}, weight_bits);
}

void AttentionCall::expect_close() const {
    auto exact = expected<double>(), plain = expected<float>();
    if (v.flushes) {  // sums, too
        for (double& error : exact.o_error) error += double(v.num_pages * c.page_size) * 0x1p-126;
    }
    EXPECT_TRUE(close(o, {std::move(exact.o), std::move(plain.o), std::move(exact.o_error)}, paging.tokens()));
    if (!c.lse) return;
    EXPECT_TRUE(close(lse, {std::move(exact.lse), std::move(plain.lse), std::move(exact.lse_error)}, paging.tokens()));
}

MergeCall::MergeCall(int parts_, int64_t tokens, int heads, int dim, adze_dtype parts_dtype, adze_dtype o_dtype,
                     bool with_lse, int64_t gap)
    : num_parts(parts_),
      num_heads(heads),
      parts(Tensor(parts_dtype, parts_ * tokens, heads * dim, gap).poison()),
      parts_lse(Tensor(ADZE_DTYPE_F32, parts_ * tokens, heads, gap).poison()),
      o(o_dtype, tokens, heads * dim, gap) {
    if (with_lse) lse = Tensor(ADZE_DTYPE_F32, tokens, heads, gap);
}

adze_attention_merge_desc MergeCall::desc() const {
    return {sizeof(adze_attention_merge_desc),
            num_parts,
            num_heads,
            0,
            parts.view(),
            parts_lse.view(),
            o.view(),
            lse.view()};
}

void MergeCall::run(adze_stream* stream) {
    parts.freeze(), parts_lse.freeze(), o.poison(), lse.poison();
    const adze_attention_merge_desc call = desc();
    ADZE_ASSERT_OK(adze_attention_merge_run(stream, &call));
    EXPECT_TRUE(parts.unchanged() && parts_lse.unchanged() && o.framed() && lse.framed());
}

void MergeCall::expect_close() const {
    const int dim = int(o.columns() / num_heads);
    auto exact = oracle::merge<double>(num_parts, num_heads, dim, parts.values(), parts_lse.values());
    auto plain = oracle::merge<float>(num_parts, num_heads, dim, parts.values(), parts_lse.values());
    EXPECT_TRUE(close(o, {std::move(exact.o), std::move(plain.o), std::move(exact.o_error)}));
    if (lse.rows() == 0) return;
    EXPECT_TRUE(close(lse, {std::move(exact.lse), std::move(plain.lse), std::move(exact.lse_error)}));
}

}  // namespace kit
