// attention in the shape of an 8B model (32 query heads on 8 KV heads of 128): decode over batch and context, prefill.
// `adze bench attention` reads the names: decode/CACHE/PAGE/SOFTMAX/batch:N/context:N, drafts:TOKENS/ likewise, and
// prefill/CACHE/PAGE/SOFTMAX/tokens:N; bench/peers/attention_peers.py those of decode and prefill.
#include <memory>
#include <numeric>

#include "session.h"

namespace bench {
namespace {

constexpr int kQHeads = 32, kKvHeads = 8, kDim = 128;

/// What varies besides batch and context.
struct Variant {
    adze_dtype cache = ADZE_DTYPE_BF16;
    int32_t page = 16;  // tokens; 0: each sequence in contiguous memory
    adze_softmax softmax = ADZE_SOFTMAX_STABLE;

    std::string name() const {
        return std::string(dtype_name(cache)) + (page == 0 ? "/contiguous" : "/page:" + std::to_string(page)) +
               (softmax == ADZE_SOFTMAX_STABLE ? "/stable" : "/unified");
    }
};

/// On GPUs q and o are what models have there; on cpu they are F32.
adze_dtype activations() {
    return Session::get().on_cpu() ? ADZE_DTYPE_F32 : ADZE_DTYPE_BF16;
}

class AttentionWork {
public:
    AttentionWork(int sequences, int64_t qo_len, int64_t kv_len, const Variant& variant)
        : variant_(variant),
          page_(variant.page == 0 ? kv_len : variant.page),
          q_(activations(), sequences * qo_len, kQHeads * kDim),
          o_(activations(), sequences * qo_len, kQHeads * kDim),
          pages_(sequences * ((kv_len + page_ - 1) / page_)),
          indices_(ADZE_DTYPE_I32, 1, pages_),
          k_(variant.cache, pages_ * page_, kKvHeads * kDim),
          v_(variant.cache, pages_ * page_, kKvHeads * kDim),
          scales_(ADZE_DTYPE_F32, pages_, is_quantised(variant.cache) ? kKvHeads * page_ : 0),
          phi_(ADZE_DTYPE_F32, 1, kQHeads) {
        q_.fill_with_noise(1), k_.fill_with_noise(2), v_.fill_with_noise(3);
        adze_attention_plan_desc desc{};
        desc.struct_size = sizeof desc;
        desc.num_q_heads = kQHeads;
        desc.num_kv_heads = kKvHeads;
        desc.head_dim_qk = desc.head_dim_v = kDim;
        desc.page_size = int32_t(page_);
        desc.causal = 1;
        desc.max_sequences = sequences;
        desc.max_q_tokens = sequences * qo_len;
        desc.max_kv_pages = pages_;
        desc.max_q_len = int32_t(qo_len);
        adze_attention_plan* plan = nullptr;
        ADZE_BENCH_CHECK(adze_attention_plan_create(Session::get().context(), &desc, &plan));
        plan_.reset(plan);
        update(sequences, qo_len, kv_len);
        uint64_t workspace = 0;
        ADZE_BENCH_CHECK(adze_attention_workspace_size(plan, &workspace));
        workspace_ = std::make_unique<Array>(workspace);
        // A token's K and V, and their scales.
        const uint64_t token_bits =
            2 * kKvHeads * (kDim * element_bits(variant.cache) + (is_quantised(variant.cache) ? 32 : 0));
        bytes = double(sequences * kv_len) * double(token_bits) / 8 + double(q_.bytes() + o_.bytes());
        // A causal query sees kv_len - qo_len + i + 1 keys; a multiply-add each for q.k and p.v.
        const double seen = double(qo_len) * (double(kv_len) - double(qo_len - 1) / 2);
        flops = 4.0 * sequences * kQHeads * kDim * seen;
    }

    adze_status run() {
        adze_attention_desc desc{};
        desc.struct_size = sizeof desc;
        desc.softmax = variant_.softmax;
        desc.plan = plan_.get();
        desc.q = q_.view();
        desc.o = o_.view();
        desc.kv_indices = indices_.view();
        desc.k = cache(k_);
        desc.v = cache(v_);
        desc.workspace = workspace_->data();
        desc.workspace_bytes = workspace_->bytes();
        if (variant_.softmax == ADZE_SOFTMAX_UNIFIED) desc.phi = phi_.view();  // all logits are near it
        return adze_attention_run(Session::get().stream(), &desc);
    }

    double bytes, flops;

private:
    struct Destroy {
        void operator()(adze_attention_plan* plan) const { adze_attention_plan_destroy(plan); }
    };

    void update(int sequences, int64_t qo_len, int64_t kv_len) {
        std::vector<int32_t> ids(static_cast<size_t>(pages_)), qo{0}, kv{0}, last;
        // Pages far from their neighbours, as they are after a while of serving.
        for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(i * 7919 % ids.size());
        if (ids.size() % 7919 == 0) std::iota(ids.begin(), ids.end(), 0);
        indices_.write(ids.data());
        for (int s = 1; s <= sequences; ++s) {
            qo.push_back(int32_t(s * qo_len));
            kv.push_back(int32_t(s * (pages_ / sequences)));
            last.push_back(int32_t((kv_len - 1) % page_ + 1));
        }
        const adze_attention_batch batch{sizeof batch, sequences, qo.data(), kv.data(), last.data(), nullptr};
        ADZE_BENCH_CHECK(adze_attention_plan_update(plan_.get(), &batch, Session::get().stream()));
    }

    adze_kv_cache cache(const Array& elements) const {
        constexpr int64_t token = kKvHeads * kDim;
        adze_kv_cache view{};
        view.data = elements.data();
        view.num_pages = pages_;
        view.page_stride = page_ * token;
        view.token_stride = token;
        view.head_stride = kDim;
        view.dtype = variant_.cache;
        if (!is_quantised(variant_.cache)) return view;
        view.scales = static_cast<float*>(scales_.data());
        view.scale_page_stride = kKvHeads * page_;
        view.scale_token_stride = 1;
        view.scale_head_stride = page_;
        return view;
    }

    const Variant variant_;
    const int64_t page_;
    Array q_, o_;
    int64_t pages_;
    Array indices_, k_, v_, scales_, phi_;
    std::unique_ptr<adze_attention_plan, Destroy> plan_;
    std::unique_ptr<Array> workspace_;
};

void run(benchmark::State& state, int sequences, int64_t qo_len, int64_t kv_len, const Variant& variant) {
    AttentionWork work(sequences, qo_len, kv_len, variant);
    if (work.run() != ADZE_OK) {  // a format that the backend does not have
        state.SkipWithError(adze_last_error());
        return;
    }
    measure(state, work.bytes, work.flops, [&] { ADZE_BENCH_CHECK(work.run()); });
}

template <class Run>
void add(const std::string& name, const Run& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)
        ->MeasureProcessCPUTime()
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond)
        ->MinTime(0.05);
}

void decode(int batch, int64_t context, const Variant& variant = {}) {
    add("decode/" + variant.name() + "/batch:" + std::to_string(batch) + "/context:" + std::to_string(context),
        [=](benchmark::State& state) { run(state, batch, 1, context, variant); });
}

void drafts(int tokens, int batch, int64_t context, const Variant& variant) {
    add("drafts:" + std::to_string(tokens) + "/" + variant.name() + "/batch:" + std::to_string(batch) +
            "/context:" + std::to_string(context),
        [=](benchmark::State& state) { run(state, batch, tokens, context, variant); });
}

void prefill(int64_t tokens, const Variant& variant = {}) {
    add("prefill/" + variant.name() + "/tokens:" + std::to_string(tokens),
        [=](benchmark::State& state) { run(state, 1, tokens, tokens, variant); });
}

constexpr Variant kContiguous{ADZE_DTYPE_BF16, 0, ADZE_SOFTMAX_STABLE};
constexpr Variant kUnified{ADZE_DTYPE_BF16, 16, ADZE_SOFTMAX_UNIFIED};
constexpr adze_dtype kQuantised[] = {ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I8, ADZE_DTYPE_I4};

void register_cpu() {  // which has one softmax
    decode(8, 512, {ADZE_DTYPE_F32});
    for (int batch : {1, 8}) {
        for (int64_t context : {512, 8192}) decode(batch, context);
    }
    decode(8, 8192, kContiguous);
    for (adze_dtype cache : kQuantised) decode(8, 8192, {cache});
    prefill(512, {ADZE_DTYPE_F32});
    for (int64_t tokens : {128, 512, 2048}) prefill(tokens);
    prefill(2048, kContiguous);
}

void register_gpu() {
    constexpr int64_t kMostTokens = 1 << 20;  // of a batch: 4 GiB in bf16
    for (int64_t context : {512, 2048, 8192, 16384, 65536}) {
        for (int batch : {1, 4, 8, 16, 32, 64, 128}) {
            if (batch * context > kMostTokens) continue;
            decode(batch, context);
            if (batch != 1 && batch != 8 && batch != 64) continue;
            decode(batch, context, kContiguous);
            decode(batch, context, kUnified);
        }
    }
    for (adze_dtype cache : kQuantised) {
        for (int batch : {1, 8, 16}) decode(batch, 65536, {cache});
        decode(8, 65536, {cache, 16, ADZE_SOFTMAX_UNIFIED});
        prefill(8192, {cache});
    }
    for (adze_dtype cache : {ADZE_DTYPE_BF16, ADZE_DTYPE_F8E4M3, ADZE_DTYPE_I4}) {
        for (int tokens : {4, 16}) drafts(tokens, 8, 16384, {cache});
    }
    const bool has_unified_prefill = Session::get().architecture() != "sm_90a";  // whose prefill is always stable
    for (int64_t tokens : {2048, 8192, 16384, 32768}) {
        prefill(tokens);
        prefill(tokens, kContiguous);
        if (has_unified_prefill) prefill(tokens, kUnified);
    }
}

}  // namespace

void register_attention() {
    if (Session::get().on_cpu()) {
        register_cpu();
    } else {
        register_gpu();
    }
}

}  // namespace bench
