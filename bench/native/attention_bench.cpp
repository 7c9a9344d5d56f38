// attention in the shape of an 8B model (32 query heads on 8 KV heads of 128): decode over batch and context, prefill.
#include <memory>
#include <numeric>

#include "session.h"

namespace bench {
namespace {

constexpr int kQHeads = 32, kKvHeads = 8, kDim = 128, kPage = 16;

class AttentionWork {
public:
    AttentionWork(int sequences, int64_t qo_len, int64_t kv_len, adze_dtype dtype)
        : q_(ADZE_DTYPE_F32, sequences * qo_len, kQHeads * kDim),
          o_(ADZE_DTYPE_F32, sequences * qo_len, kQHeads * kDim),
          pages_(sequences * ((kv_len + kPage - 1) / kPage)),
          indices_(ADZE_DTYPE_I32, 1, pages_),
          k_(dtype, pages_ * kPage, kKvHeads * kDim),
          v_(dtype, pages_ * kPage, kKvHeads * kDim) {
        Session& session = Session::get();
        const adze_attention_plan_desc desc{sizeof desc, kQHeads,   kKvHeads,           kDim,  kDim, kPage, 1, 0,
                                            0,           sequences, sequences * qo_len, pages_};
        adze_attention_plan* plan = nullptr;
        ADZE_BENCH_CHECK(adze_attention_plan_create(session.context(), &desc, &plan));
        plan_.reset(plan);
        std::vector<int32_t> ids(static_cast<size_t>(pages_)), qo{0}, kv{0}, last;
        // Pages far from their neighbours, as they are after a while of serving.
        for (size_t i = 0; i < ids.size(); ++i) ids[i] = int32_t(i * 7919 % ids.size());
        if (ids.size() % 7919 == 0) std::iota(ids.begin(), ids.end(), 0);
        indices_.write(ids.data());
        for (int s = 1; s <= sequences; ++s) {
            qo.push_back(int32_t(s * qo_len));
            kv.push_back(int32_t(s * (pages_ / sequences)));
            last.push_back(int32_t((kv_len - 1) % kPage + 1));
        }
        const adze_attention_batch batch{sizeof batch, sequences, qo.data(), kv.data(), last.data()};
        ADZE_BENCH_CHECK(adze_attention_plan_update(plan, &batch, session.stream()));
        uint64_t workspace = 0;
        ADZE_BENCH_CHECK(adze_attention_workspace_size(plan, &workspace));
        workspace_ = std::make_unique<Array>(workspace);
        bytes = double(sequences * kv_len * kKvHeads * kDim * 2) * double(element_bytes(dtype)) +
                double(q_.bytes() + o_.bytes());
        // A causal query sees kv_len - qo_len + i + 1 keys; a multiply-add each for q.k and p.v.
        const double seen = double(qo_len) * (double(kv_len) - double(qo_len - 1) / 2);
        flops = 4.0 * sequences * kQHeads * kDim * seen;
    }

    void run() {
        constexpr int64_t token = kKvHeads * kDim;
        const adze_kv_cache k{k_.data(), pages_, kPage * token, token, kDim, nullptr, 0, 0, 0, k_.view().dtype, 0};
        adze_kv_cache v = k;
        v.data = v_.data();
        const adze_attention_desc desc{
            sizeof desc, ADZE_SOFTMAX_STABLE, plan_.get(),        q_.view(), o_.view(), {}, indices_.view(), k,
            v,           workspace_->data(),  workspace_->bytes()};
        ADZE_BENCH_CHECK(adze_attention_run(Session::get().stream(), &desc));
    }

    double bytes, flops;

private:
    struct Destroy {
        void operator()(adze_attention_plan* plan) const { adze_attention_plan_destroy(plan); }
    };
    Array q_, o_;
    int64_t pages_;
    Array indices_, k_, v_;
    std::unique_ptr<adze_attention_plan, Destroy> plan_;
    std::unique_ptr<Array> workspace_;
};

void decode(benchmark::State& state, adze_dtype dtype) {
    AttentionWork work(int(state.range(0)), 1, state.range(1), dtype);
    measure(state, work.bytes, work.flops, [&] { work.run(); });
}

void prefill(benchmark::State& state, adze_dtype dtype) {
    AttentionWork work(1, state.range(0), state.range(0), dtype);
    measure(state, work.bytes, work.flops, [&] { work.run(); });
}

void configure(benchmark::internal::Benchmark* bench) {
    bench->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMicrosecond)->MinTime(0.05);
}

BENCHMARK_CAPTURE(decode, f32, ADZE_DTYPE_F32)
    ->Apply(configure)
    ->ArgNames({"batch", "context"})
    ->ArgsProduct({{1, 8}, {512, 8192}});
BENCHMARK_CAPTURE(decode, bf16, ADZE_DTYPE_BF16)
    ->Apply(configure)
    ->ArgNames({"batch", "context"})
    ->ArgsProduct({{1, 8, 32}, {512, 2048, 8192}});
BENCHMARK_CAPTURE(prefill, bf16, ADZE_DTYPE_BF16)->Apply(configure)->ArgName("tokens")->Arg(128)->Arg(512)->Arg(2048);
BENCHMARK_CAPTURE(prefill, f32, ADZE_DTYPE_F32)->Apply(configure)->ArgName("tokens")->Arg(512);

}  // namespace
}  // namespace bench
