// A paged cache, a ragged batch and one call of attention or append on them.
#pragma once
#include "kit/compare.h"
#include "kit/machine.h"
#include "oracle/attention.h"

namespace kit {

enum class Scales { kNone, kTensor, kHead, kToken, kPage, kAll };

struct Sequence {
    int64_t qo_len, kv_len;
};

struct AttentionCase {
    std::vector<Sequence> sequences;
    oracle::AttentionShape shape;
    int page_size = 16;
    adze_dtype q_dtype = ADZE_DTYPE_F32, kv_dtype = ADZE_DTYPE_F32, o_dtype = ADZE_DTYPE_F32;
    bool hnd = false;
    bool lse = true;
    Scales scales = Scales::kNone;
    int64_t gap = 0;         // added to every stride
    int64_t o_gap = 1;       // and to that of o
    int64_t extra_rows = 2;  // rows of q, o and lse beyond the batch
    int32_t spare_sequences = 0;
    int64_t spare_tokens = 0, spare_pages = 0;
};

std::ostream& operator<<(std::ostream& out, const AttentionCase& c);

/// The case, or the nearest that the context's backend supports: on GPUs head dims of 64, 80, 96, 128 and 256, and caches of
/// 16 bits.
AttentionCase fitted(AttentionCase c, const adze_context* context);

/// One tensor of the cache: pages in fenced memory; whatever no token was stored to is NaN.
class Cache {
public:
    Cache() = default;
    Cache(const AttentionCase& c, int dim, int64_t num_pages, Random& random);

    adze_kv_cache view() const;
    /// Stored element, as the device's attention takes it, times scale.
    double at(int64_t page, int64_t slot, int64_t head, int64_t element) const {
        const double stored = elements.at(0, offset(page, slot, head, element));
        return (flushes ? flushed(stored, elements.dtype()) : stored) * scale(page, slot, head);
    }
    double scale(int64_t page, int64_t slot, int64_t head) const {
        return scales.rows() == 0 ? 1 : scales.at(0, page * scale_page_ + slot * scale_token_ + head * scale_head_);
    }
    int64_t offset(int64_t page, int64_t slot, int64_t head, int64_t element) const {
        return page * page_stride_ + slot * token_stride_ + head * head_stride_ + element;
    }
    oracle::CacheElement reader() const {
        return [this](int64_t p, int64_t t, int64_t h, int64_t e) { return at(p, t, h, e); };
    }

    Tensor elements, scales;
    int64_t num_pages = 0;
    bool flushes = false;

private:
    int64_t page_stride_ = 0, token_stride_ = 0, head_stride_ = 0;
    int64_t scale_page_ = 0, scale_token_ = 0, scale_head_ = 0;
};

/// qo_indptr and the like for `sequences`, on shuffled pages out of num_pages.
oracle::Paging make_paging(const std::vector<Sequence>& sequences, int page_size, int64_t num_pages, Random& random);
int64_t pages_of(const std::vector<Sequence>& sequences, int page_size);

adze_attention_plan_desc plan_desc(const AttentionCase& c);
inline Plan make_plan(adze_context* context, const adze_attention_plan_desc& desc) {
    return make<Plan>([&](adze_attention_plan** out) { return adze_attention_plan_create(context, &desc, out); });
}
inline adze_attention_batch batch_of(const oracle::Paging& p) {
    return {sizeof(adze_attention_batch), p.sequences(), p.qo_indptr.data(), p.kv_indptr.data(),
            p.kv_last_page_len.data()};
}

struct AttentionCall {
    /// Of the fitted case. Fills q, and the tokens of every sequence in the cache, with `value`.
    AttentionCall(adze_context* context, adze_stream* stream, const AttentionCase& c, Random& random,
                  const std::function<double()>& value);

    void update(adze_stream* stream) {
        const adze_attention_batch batch = batch_of(paging);
        ADZE_ASSERT_OK(adze_attention_plan_update(plan, &batch, stream));
    }
    /// After a change of paging.kv_indices.
    void upload_indices();
    adze_attention_desc desc() const;
    /// Runs, and checks that only the rows of the batch changed.
    void run(adze_stream* stream);
    /// `weight_error`: of each weight p, relative, beyond what float32 arithmetic loses: where a kernel rounds p to the
    /// cache's format. With p (1 + e_j), |e_j| <= u, o is off by |sum e_j p_j v_j| / l <= u sum |p_j v_j| / l; l is summed
    /// before p is rounded.
    void expect_close(double weight_error = 0) const;

    AttentionCase c;
    oracle::Paging paging;
    Tensor q, o, lse, indices;
    Cache k, v;
    Plan plan;
    Workspace workspace;
};

}  // namespace kit
