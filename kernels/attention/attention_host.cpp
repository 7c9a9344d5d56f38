// The split-KV schedule of a batch. What a sequence gets depends on that sequence alone.
#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <type_traits>

#include "attention/attention.h"
#include "runtime/check.h"

namespace adze {
namespace {

int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

bool is_split(int64_t qo_len, int64_t kv_len) {
    return qo_len >= 1 && qo_len <= kSplitQueryTokens && kv_len > kSplitKeys;
}

// Sequences that can be split at once, within the capacities.
int64_t max_split_sequences(const AttentionShape& s) {
    return std::min<int64_t>({s.max_sequences, s.max_q_tokens, s.max_kv_pages * s.page_size / (kSplitKeys + 1)});
}

// Splits of all of them together: n keys make at most n / kSplitKeys + 1.
int64_t max_splits(const AttentionShape& s) {
    const int64_t sequences = max_split_sequences(s);
    return sequences == 0 ? 0 : s.max_kv_pages * s.page_size / kSplitKeys + sequences;
}

void add_split(AttentionSchedule& schedule, int32_t sequence, int32_t q_len, int64_t kv_len, int64_t first_row) {
    const auto splits = static_cast<int32_t>(divide_up(kv_len, kSplitKeys));
    for (int32_t i = 0; i < splits; ++i) {
        schedule.work.push_back({sequence, 0, q_len, i * kSplitKeys, std::min((i + 1) * kSplitKeys, kv_len),
                                 schedule.partial_rows + int64_t{i} * q_len});
    }
    for (int32_t token = 0; token < q_len; ++token) {
        schedule.merges.push_back({first_row + token, schedule.partial_rows + token, splits, q_len});
    }
    schedule.partial_rows += int64_t{splits} * q_len;
}

void add_tiles(AttentionSchedule& schedule, int32_t sequence, int32_t q_len, int64_t kv_len) {
    for (int32_t token = 0; token < q_len; token += kTileQueryTokens) {
        const auto end = static_cast<int32_t>(std::min<int64_t>(token + kTileQueryTokens, q_len));
        schedule.work.push_back({sequence, token, end, 0, kv_len, -1});
    }
}

// The image's sections in order, each aligned to 16 bytes: sizing, viewing and filling all take this walk.
struct Image {
    AttentionDevicePlan sections{};
    uint64_t bytes = 0;
};

Image lay_out(const AttentionShape& s, const void* base) {
    Image image;
    const auto take = [&](auto*& section, int64_t count) {
        section = reinterpret_cast<std::remove_reference_t<decltype(section)>>(reinterpret_cast<uintptr_t>(base) +
                                                                               image.bytes);
        image.bytes = (image.bytes + static_cast<uint64_t>(count) * sizeof *section + 15) / 16 * 16;
    };
    take(image.sections.counts, 1);
    take(image.sections.qo_indptr, int64_t{s.max_sequences} + 1);
    take(image.sections.kv_indptr, int64_t{s.max_sequences} + 1);
    take(image.sections.kv_len, s.max_sequences);
    take(image.sections.merges, max_merges(s));
    take(image.sections.work, max_work(s));
    return image;
}

// Where the copy ends.
template <class T>
uintptr_t put(const T* section, const T* values, size_t count) {
    if (count > 0) std::memcpy(const_cast<T*>(section), values, count * sizeof(T));
    return reinterpret_cast<uintptr_t>(section + count);
}

}  // namespace

int64_t max_work(const AttentionShape& s) {
    const int64_t tiles = s.max_q_tokens / kTileQueryTokens + std::min<int64_t>(s.max_sequences, s.max_q_tokens);
    return max_splits(s) + tiles;
}

int64_t max_merges(const AttentionShape& s) {
    return std::min(max_split_sequences(s) * kSplitQueryTokens, s.max_q_tokens);
}

void reserve_schedule(const AttentionShape& s, AttentionSchedule& schedule) {
    schedule.qo_indptr.reserve(static_cast<size_t>(s.max_sequences) + 1);
    schedule.kv_indptr.reserve(static_cast<size_t>(s.max_sequences) + 1);
    schedule.kv_len.reserve(static_cast<size_t>(s.max_sequences));
    schedule.work.reserve(static_cast<size_t>(max_work(s)));
    schedule.merges.reserve(static_cast<size_t>(max_merges(s)));
    schedule.qo_indptr.assign(1, 0);
    schedule.kv_indptr.assign(1, 0);
}

void build_schedule(const AttentionShape& shape, const adze_attention_batch& batch, AttentionSchedule& schedule) {
    const auto n = static_cast<size_t>(batch.num_sequences);
    schedule.num_sequences = batch.num_sequences;
    schedule.qo_indptr.assign(1, 0);
    schedule.kv_indptr.assign(1, 0);
    schedule.kv_len.clear();
    schedule.work.clear();
    schedule.merges.clear();
    schedule.partial_rows = 0;
    for (size_t s = 0; s < n; ++s) {
        schedule.qo_indptr.push_back(batch.qo_indptr[s + 1]);
        schedule.kv_indptr.push_back(batch.kv_indptr[s + 1]);
        const int32_t q_len = batch.qo_indptr[s + 1] - batch.qo_indptr[s];
        const int64_t pages = batch.kv_indptr[s + 1] - batch.kv_indptr[s];
        const int64_t kv_len = pages == 0 ? 0 : (pages - 1) * shape.page_size + batch.kv_last_page_len[s];
        schedule.kv_len.push_back(kv_len);
        const auto sequence = static_cast<int32_t>(s);
        if (is_split(q_len, kv_len)) {
            add_split(schedule, sequence, q_len, kv_len, batch.qo_indptr[s]);
        } else {
            add_tiles(schedule, sequence, q_len, kv_len);
        }
    }
}

uint64_t attention_image_bytes(const AttentionShape& shape) {
    return lay_out(shape, nullptr).bytes;
}

AttentionDevicePlan attention_image_view(const AttentionShape& shape, const void* base) {
    return lay_out(shape, base).sections;
}

uint64_t write_attention_image(const AttentionShape& shape, const AttentionSchedule& schedule, void* image) {
    const AttentionDevicePlan to = attention_image_view(shape, image);
    const AttentionCounts counts{schedule.num_sequences, static_cast<int32_t>(schedule.work.size()),
                                 static_cast<int32_t>(schedule.merges.size()), schedule.qo_indptr.back()};
    put(to.counts, &counts, 1);
    put(to.qo_indptr, schedule.qo_indptr.data(), schedule.qo_indptr.size());
    put(to.kv_indptr, schedule.kv_indptr.data(), schedule.kv_indptr.size());
    put(to.kv_len, schedule.kv_len.data(), schedule.kv_len.size());
    put(to.merges, schedule.merges.data(), schedule.merges.size());
    return put(to.work, schedule.work.data(), schedule.work.size()) - reinterpret_cast<uintptr_t>(image);
}

uint64_t attention_workspace_bytes(const AttentionShape& shape) {
    const int64_t rows = max_splits(shape) * std::min(kSplitQueryTokens, shape.max_q_tokens);
    const auto floats = static_cast<uint64_t>(rows * partial_row_floats(shape));
    return (floats * sizeof(float) + 255) / 256 * 256;
}

void require_page_ids(const AttentionPlan& plan, const adze_tensor& kv_indices, int64_t num_pages) {
    const auto* ids = static_cast<const int32_t*>(kv_indices.data);
    for (int32_t i = 0; i < plan.schedule.kv_indptr.back(); ++i) {
        require(ids[i] >= 0 && ids[i] < num_pages, "kv_indices[%d] is %d; the cache has %" PRId64 " pages", i, ids[i],
                num_pages);
    }
}

}  // namespace adze
