// A paged cache, a ragged batch and one call of attention or append on them.
#pragma once
#include "kit/compare.h"
#include "kit/machine.h"
#include "oracle/attention.h"

namespace kit {

enum class Scales { kNone, kTensor, kHead, kToken, kPage, kAll };

/// A sequence's custom mask: every bit a coin; drafts that see what came before and their branch of a tree; no bit; any of
/// these, or none, for each sequence. Bits that mean nothing (beyond the keys) are coins always.
enum class Masks { kNone, kRandom, kTree, kZero, kMixed };

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
    Masks masks = Masks::kNone;
    int64_t spare_mask_words = 0;
    int32_t max_q_len = 0;
    bool alibi = false, sinks = false;
    adze_softmax softmax = ADZE_SOFTMAX_STABLE;
};

std::ostream& operator<<(std::ostream& out, const AttentionCase& c);

/// Whether the context's backend takes the case's head dims, formats and options: what adze says to its plan, and to a run
/// of an empty batch. adze_last_error() says why not.
bool supports(adze_context* context, const AttentionCase& c);

/// The case, or the nearest that the context's backend supports: head dims of 64, 80, 96, 128 or 256, caches of 16 bits,
/// fewer options. A test of an option asks supports() first.
AttentionCase fitted(AttentionCase c, adze_context* context);

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
        return scales.rows() == 0 ? 1 : scales.at(0, scale_offset(page, slot, head));
    }
    /// Of its scale.
    int64_t scale_offset(int64_t page, int64_t slot, int64_t head) const {
        return page * scale_page_ + slot * scale_token_ + head * scale_head_;
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
/// Gives the paging's sequences masks.
void make_masks(oracle::Paging& paging, Masks masks, Random& random);

inline adze_attention_batch batch_of(const oracle::Paging& p) {
    return {sizeof(adze_attention_batch), p.sequences(),
            p.qo_indptr.data(),           p.kv_indptr.data(),
            p.kv_last_page_len.data(),    p.mask_indptr.empty() ? nullptr : p.mask_indptr.data()};
}

struct AttentionCall {
    /// Of the fitted case. Fills q, and the tokens of every sequence in the cache, with `value`.
    AttentionCall(adze_context* context, adze_stream* stream, const AttentionCase& c, Random& random,
                  const std::function<double()>& value);

    void update(adze_stream* stream) {
        const adze_attention_batch batch = batch_of(paging);
        ADZE_ASSERT_OK(adze_attention_plan_update(plan, &batch, stream));
    }
    /// After a change of paging.kv_indices, or of the mask.
    void upload_indices();
    void upload_mask();
    /// Makes phi each head's largest log-sum-exp, plus `off`: UNIFIED's cases have it, off by 0, from the start.
    void calibrate(double off);
    adze_attention_desc desc() const;
    /// Runs, and checks that only the rows of the batch changed.
    void run(adze_stream* stream);
    void expect_close() const;

    AttentionCase c;
    oracle::Paging paging;
    Tensor q, o, lse, indices, mask, alibi_slopes, sinks, phi;
    Cache k, v;
    Plan plan;
    Workspace workspace;
    /// Fraction bits of the format that the backend rounds weights to, the cache's on GPUs where o has 16 bits; 0: of none.
    int weight_bits = 0;
    float phi_below = 0, phi_above = 0;
    bool unifies = false;  // the backend does take phi

private:
    template <class Real>
    oracle::AttentionResult expected() const;
};

/// One merge of the parts of `tokens` tokens.
struct MergeCall {
    MergeCall(int num_parts, int64_t tokens, int num_heads, int dim, adze_dtype parts_dtype, adze_dtype o_dtype,
              bool with_lse, int64_t gap);

    adze_attention_merge_desc desc() const;
    /// Runs, and checks that only o and lse changed.
    void run(adze_stream* stream);
    void expect_close() const;

    int num_parts, num_heads;
    Tensor parts, parts_lse, o, lse;
};

}  // namespace kit
