#include "kit/attention_case.h"

#include <numeric>

namespace kit {

std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
    out << "heads " << c.shape.q_heads << '/' << c.shape.kv_heads << " dims " << c.shape.dim_qk << '/' << c.shape.dim_v
        << (c.shape.causal ? " causal" : "") << " window " << c.shape.window << " page " << c.page_size << " q "
        << name_of(c.q_dtype) << " kv " << name_of(c.kv_dtype) << " o " << name_of(c.o_dtype)
        << (c.hnd ? " HND" : " NHD") << " scales " << int(c.scales) << " gap " << c.gap << " sequences";
    for (const Sequence& s : c.sequences) out << ' ' << s.qo_len << ':' << s.kv_len;
    return out;
}

AttentionCase fitted(AttentionCase c, const adze_context* context) {
    adze_device_info info{};
    info.struct_size = sizeof info;
    ADZE_EXPECT_OK(adze_context_info(context, &info));
    if (info.backend == ADZE_BACKEND_CPU) return c;
    constexpr int dims[] = {64, 80, 96, 128, 256};
    for (int* dim : {&c.shape.dim_qk, &c.shape.dim_v}) {
        *dim = *std::min_element(std::begin(dims), std::end(dims), [&](int a, int b) {
            return std::pair(a < *dim, std::abs(a - *dim)) < std::pair(b < *dim, std::abs(b - *dim));
        });
    }
    if (c.kv_dtype == ADZE_DTYPE_F32) c.kv_dtype = ADZE_DTYPE_BF16;
    return c;
}

Cache::Cache(const AttentionCase& c, int dim, int64_t pages, Random& random) : num_pages(pages) {
    const int64_t heads = c.shape.kv_heads;
    if (c.hnd) {
        token_stride_ = dim + c.gap;
        head_stride_ = c.page_size * token_stride_ + c.gap;
        page_stride_ = heads * head_stride_ + c.gap;
    } else {
        head_stride_ = dim + c.gap;
        token_stride_ = heads * head_stride_ + c.gap;
        page_stride_ = c.page_size * token_stride_ + c.gap;
    }
    const int64_t size = pages == 0 ? 0 : offset(pages - 1, c.page_size - 1, heads - 1, dim - 1) + 1;
    elements = Tensor(c.kv_dtype, 1, size).poison();
    if (c.scales == Scales::kNone) return;
    const bool by_page = c.scales == Scales::kPage || c.scales == Scales::kAll;
    const bool by_token = c.scales == Scales::kToken || c.scales == Scales::kAll;
    const bool by_head = c.scales == Scales::kHead || c.scales == Scales::kAll;
    scale_head_ = by_head ? 1 : 0;
    scale_token_ = by_token ? (by_head ? heads : 1) : 0;
    scale_page_ = by_page ? (by_token ? c.page_size : 1) * (by_head ? heads : 1) + 3 : 0;
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
            reinterpret_cast<const float*>(scales.rows() == 0 ? nullptr : scales.data()),
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

adze_attention_plan_desc plan_desc(const AttentionCase& c) {
    int64_t tokens = 0;
    for (const Sequence& s : c.sequences) tokens += s.qo_len;
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
            std::max<int64_t>(1, pages_of(c.sequences, c.page_size)) + c.spare_pages};
}

AttentionCall::AttentionCall(adze_context* context, adze_stream* stream, const AttentionCase& request, Random& random,
                             const std::function<double()>& value)
    : c(fitted(request, context)) {
    c.shape.scale = float(c.shape.scale);
    const int64_t num_pages = pages_of(c.sequences, c.page_size) + 3;
    paging = make_paging(c.sequences, c.page_size, num_pages, random);
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
    upload_indices();
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

adze_attention_desc AttentionCall::desc() const {
    return {sizeof(adze_attention_desc),
            ADZE_SOFTMAX_STABLE,
            plan,
            q.view(),
            o.view(),
            lse.view(),
            indices.view(),
            k.view(),
            v.view(),
            workspace.data(),
            workspace.bytes()};
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
    EXPECT_TRUE(indices.unchanged());
    EXPECT_TRUE(workspace.framed());
}

void AttentionCall::expect_close(double weight_error) const {
    const auto values = q.values();
    auto exact = oracle::attention<double>(paging, c.shape, values, k.reader(), v.reader());
    auto plain = oracle::attention<float>(paging, c.shape, values, k.reader(), v.reader());
    for (size_t i = 0; i < exact.o.size(); ++i) exact.o_error[i] += weight_error * exact.o_size[i];
    if (v.flushes) {  // sums, too
        for (double& error : exact.o_error) error += double(v.num_pages * c.page_size) * 0x1p-126;
    }
    EXPECT_TRUE(close(o, {std::move(exact.o), std::move(plain.o), std::move(exact.o_error)}, paging.tokens()));
    if (!c.lse) return;
    EXPECT_TRUE(close(lse, {std::move(exact.lse), std::move(plain.lse), std::move(exact.lse_error)}, paging.tokens()));
}

}  // namespace kit
