// Buffers that reserve addresses and take memory as they are mapped, and attention over caches in them.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>
#include <thread>

#include "kit/attention_case.h"
#include "kit/refusal.h"

namespace {

using kit::Buffer;
using kit::invalid;
using kit::refused;

Buffer reserve(adze_context* context, uint64_t bytes) {
    return kit::make<Buffer>([&](adze_buffer** out) { return adze_buffer_reserve(context, bytes, out); });
}

class Reserved : public kit::OnMachine {
protected:
    static constexpr uint64_t kBytes = uint64_t{512} << 30;

    void write(adze_buffer* buffer, uint64_t offset, const std::vector<std::byte>& bytes) {
        ADZE_ASSERT_OK(adze_buffer_write(buffer, offset, bytes.data(), bytes.size(), stream));
    }
    std::vector<std::byte> read(adze_buffer* buffer, uint64_t offset, uint64_t bytes) {
        std::vector<std::byte> out(bytes, std::byte{0xcd});
        ADZE_EXPECT_OK(adze_buffer_read(buffer, offset, out.data(), bytes, stream));
        ADZE_EXPECT_OK(adze_stream_synchronize(stream));
        return out;
    }
    std::vector<std::byte> noise(uint64_t bytes) {
        std::vector<std::byte> out(bytes);
        for (std::byte& byte : out) byte = static_cast<std::byte>(random.next());
        return out;
    }
    /// Whether the granule has memory, and its neighbours are not asked.
    testing::AssertionResult is_mapped(adze_buffer* buffer, uint64_t granule) {
        const uint64_t size = adze_buffer_granularity(buffer), offset = granule * size;
        const adze_status first = adze_buffer_fill(buffer, offset, 1, 1, stream);
        const adze_status last = adze_buffer_fill(buffer, offset + size - 1, 1, 1, stream);
        EXPECT_EQ(first, last);
        if (first == ADZE_OK) return testing::AssertionSuccess();
        EXPECT_TRUE(invalid(first, "adze_buffer_fill", "buffer", std::to_string(offset + size - 1)));
        return testing::AssertionFailure() << adze_last_error();
    }
};
ADZE_ON_EACH_BACKEND(Reserved);

TEST_P(Reserved, MemoryIsWhereItWasMapped) {
    const Buffer buffer = reserve(context, kBytes);
    const uint64_t granule = adze_buffer_granularity(buffer);
    ASSERT_GE(granule, 4096u);
    EXPECT_EQ(adze_buffer_bytes(buffer), kBytes);
    ASSERT_NE(adze_buffer_data(buffer), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(adze_buffer_data(buffer)) % granule, 0u);
    EXPECT_FALSE(is_mapped(buffer, 0));
    EXPECT_FALSE(is_mapped(buffer, kBytes / granule - 1));

    // One byte within granule 5, and two on both sides of a border far away.
    const uint64_t far = kBytes / granule / 2;
    ADZE_ASSERT_OK(adze_buffer_map(buffer, 5 * granule + 77, 1));
    ADZE_ASSERT_OK(adze_buffer_map(buffer, far * granule - 1, 2));
    for (const uint64_t i : {uint64_t{4}, uint64_t{6}, far - 2, far + 1}) EXPECT_FALSE(is_mapped(buffer, i)) << i;
    for (const uint64_t i : {uint64_t{5}, far - 1, far}) EXPECT_TRUE(is_mapped(buffer, i)) << i;

    const auto bytes = noise(granule);
    write(buffer, 5 * granule, bytes);
    ADZE_ASSERT_OK(adze_buffer_copy(buffer, far * granule - granule / 2, buffer, 5 * granule, granule, stream));
    EXPECT_EQ(read(buffer, far * granule - granule / 2, granule), bytes);

    // A transfer that begins with memory and ends without is refused as a whole.
    EXPECT_TRUE(invalid(adze_buffer_fill(buffer, 5 * granule, 9, granule + 1, stream), "adze_buffer_fill", "buffer",
                        std::to_string(6 * granule)));
    std::byte out{};
    EXPECT_TRUE(invalid(adze_buffer_read(buffer, 5 * granule - 1, &out, 1, stream), "adze_buffer_read", "buffer"));
    EXPECT_TRUE(invalid(adze_buffer_write(buffer, 0, &out, 1, stream), "adze_buffer_write", "buffer", "0"));
    const Buffer plain = kit::make<Buffer>([&](adze_buffer** raw) { return adze_buffer_create(context, 64, raw); });
    EXPECT_TRUE(invalid(adze_buffer_copy(plain, 0, buffer, 0, 64, stream), "adze_buffer_copy", "source", "0"));
    EXPECT_TRUE(invalid(adze_buffer_copy(buffer, 0, plain, 0, 64, stream), "adze_buffer_copy", "destination", "0"));
    EXPECT_EQ(read(buffer, 5 * granule, granule), bytes);
    ADZE_EXPECT_OK(adze_buffer_write(buffer, 0, nullptr, 0, stream));
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 7 * granule + 1, 0));  // no range, no granule
    EXPECT_FALSE(is_mapped(buffer, 7));
}

TEST_P(Reserved, WhatGrowsStaysWhereItIs) {
    const Buffer buffer = reserve(context, kBytes);
    const uint64_t granule = adze_buffer_granularity(buffer);
    void* const data = adze_buffer_data(buffer);
    std::vector<std::byte> all;
    while (all.size() < 3 * granule) {
        const auto more = noise(static_cast<uint64_t>(random.integer(1, int64_t(granule))));
        ADZE_ASSERT_OK(adze_buffer_map(buffer, 0, all.size() + more.size()));
        write(buffer, all.size(), more);
        all.insert(all.end(), more.begin(), more.end());
        EXPECT_EQ(adze_buffer_data(buffer), data);
    }
    EXPECT_EQ(read(buffer, 0, all.size()), all);
    EXPECT_FALSE(is_mapped(buffer, (all.size() + granule - 1) / granule));
}

TEST_P(Reserved, UnmappingTakesWhatLiesWhollyInside) {
    const Buffer buffer = reserve(context, kBytes);
    const uint64_t granule = adze_buffer_granularity(buffer);
    const auto bytes = noise(8 * granule);
    ADZE_ASSERT_OK(adze_buffer_map(buffer, 0, 8 * granule));
    write(buffer, 0, bytes);
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, granule + 1, 3 * granule - 2, stream));  // granules 2 alone
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 5 * granule + 1, granule - 1, stream));  // none
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 6 * granule, granule, stream));
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 100 * granule, 50 * granule, stream));  // nothing is there
    for (uint64_t i = 0; i < 8; ++i) {
        SCOPED_TRACE(i);
        if (i == 2 || i == 3 || i == 6) continue;
        const auto begin = bytes.begin() + int64_t(i * granule);
        EXPECT_TRUE(std::ranges::equal(read(buffer, i * granule, granule), std::span(begin, granule)));
    }
    EXPECT_TRUE(is_mapped(buffer, 1));
    EXPECT_FALSE(is_mapped(buffer, 2));
    EXPECT_TRUE(is_mapped(buffer, 4));
    EXPECT_TRUE(is_mapped(buffer, 5));
    EXPECT_FALSE(is_mapped(buffer, 6));
    EXPECT_TRUE(is_mapped(buffer, 7));
    // Between what has memory and what has none.
    ADZE_ASSERT_OK(adze_buffer_map(buffer, 0, 8 * granule));
    const auto again = noise(8 * granule);
    EXPECT_TRUE(std::ranges::equal(read(buffer, 7 * granule + 1, granule - 2),
                                   std::span(bytes).subspan(7 * granule + 1, granule - 2)));
    write(buffer, 0, again);
    EXPECT_EQ(read(buffer, 0, 8 * granule), again);
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 0, kBytes, stream));
    for (uint64_t i = 0; i < 8; ++i) EXPECT_FALSE(is_mapped(buffer, i)) << i;
}

TEST_P(Reserved, AnEndWithinAGranuleBelongsToTheBuffer) {
    const Buffer probe = reserve(context, 1);
    const uint64_t granule = adze_buffer_granularity(probe), bytes = 2 * granule + 100;
    const Buffer buffer = reserve(context, bytes);
    EXPECT_EQ(adze_buffer_bytes(buffer), bytes);
    ADZE_ASSERT_OK(adze_buffer_map(buffer, bytes - 1, 1));
    ADZE_ASSERT_OK(adze_buffer_fill(buffer, 2 * granule, 3, 100, stream));
    EXPECT_TRUE(invalid(adze_buffer_fill(buffer, 2 * granule, 3, 101, stream), "adze_buffer_fill", "bytes", "101"));
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 2 * granule, 99, stream));
    ADZE_ASSERT_OK(adze_buffer_fill(buffer, 2 * granule, 3, 100, stream));
    ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 2 * granule, 100, stream));
    EXPECT_TRUE(invalid(adze_buffer_fill(buffer, 2 * granule, 3, 1, stream), "adze_buffer_fill", "buffer"));
}

// Of the host's memory the kernel tells what is there.
TEST_P(Reserved, TheHostsMemoryGoesBack) {
    if (!on_cpu() && GetParam().backend != ADZE_BACKEND_SIM) GTEST_SKIP() << "of the host's memory";
    const Buffer buffer = reserve(context, kBytes);
    constexpr uint64_t kMapped = 32 << 20, kPage = 4096;
    const auto resident = [&] {
        std::vector<unsigned char> pages(kMapped / kPage);
        EXPECT_EQ(mincore(adze_buffer_data(buffer), kMapped, pages.data()), 0);
        return std::ranges::count_if(pages, [](unsigned char page) { return (page & 1) != 0; });
    };
    EXPECT_EQ(resident(), 0);
    for (int round = 0; round < 2; ++round) {
        ADZE_ASSERT_OK(adze_buffer_map(buffer, 0, kMapped));
        ADZE_ASSERT_OK(adze_buffer_fill(buffer, 0, 1, kMapped, stream));
        EXPECT_EQ(resident(), int64_t(kMapped / kPage));
        ADZE_ASSERT_OK(adze_buffer_unmap(buffer, 0, kMapped, stream));
        EXPECT_EQ(resident(), 0);
    }
}

TEST_P(Reserved, WhatDoesNotFitChangesNothing) {
    if (!checks_indices()) GTEST_SKIP() << "other tests want the GPU's memory, too";
    std::ifstream overcommit("/proc/sys/vm/overcommit_memory");
    if (on_cpu() && overcommit.get() == '1') GTEST_SKIP() << "this kernel promises any memory";
    constexpr uint64_t kMuch = uint64_t{4} << 40;
    const Buffer buffer = reserve(context, kMuch);
    const uint64_t granule = adze_buffer_granularity(buffer);
    const auto bytes = noise(granule);
    ADZE_ASSERT_OK(adze_buffer_map(buffer, 5 * granule, granule));
    write(buffer, 5 * granule, bytes);
    EXPECT_TRUE(refused(adze_buffer_map(buffer, 0, kMuch), ADZE_ERROR_OUT_OF_MEMORY, "adze_buffer_map", "bytes"));
    for (const uint64_t i : {0, 4, 6, 7}) EXPECT_FALSE(is_mapped(buffer, i)) << i;
    EXPECT_EQ(read(buffer, 5 * granule, granule), bytes);
    ADZE_EXPECT_OK(adze_buffer_map(buffer, 0, 5 * granule));
    EXPECT_TRUE(is_mapped(buffer, 0));
}

TEST_P(Reserved, CallsCheckTheirArguments) {
    adze_buffer* none = nullptr;
    const char* create = "adze_buffer_reserve";
    EXPECT_TRUE(invalid(adze_buffer_reserve(context, 0, &none), create, "bytes", "0"));
    EXPECT_TRUE(invalid(adze_buffer_reserve(nullptr, 1, &none), create, "context"));
    EXPECT_TRUE(invalid(adze_buffer_reserve(context, 1, nullptr), create, "buffer"));
    for (const uint64_t bytes : {uint64_t{1} << 60, uint64_t{INT64_MAX}, UINT64_MAX}) {
        EXPECT_TRUE(refused(adze_buffer_reserve(context, bytes, &none), ADZE_ERROR_OUT_OF_MEMORY, create, "bytes"));
        EXPECT_EQ(none, nullptr);
    }

    const Buffer plain = kit::make<Buffer>([&](adze_buffer** raw) { return adze_buffer_create(context, 64, raw); });
    EXPECT_EQ(adze_buffer_granularity(nullptr), 0u);
    EXPECT_EQ(adze_buffer_granularity(plain), 0u);
    const Buffer buffer = reserve(context, 1000);
    const kit::Context other = kit::make_context();
    const kit::Stream foreign = kit::make_stream(other);
    const auto map = [&](adze_buffer* b, uint64_t offset, uint64_t bytes, const char* argument,
                         const char* value = "") {
        EXPECT_TRUE(invalid(adze_buffer_map(b, offset, bytes), "adze_buffer_map", argument, value));
        EXPECT_TRUE(invalid(adze_buffer_unmap(b, offset, bytes, stream), "adze_buffer_unmap", argument, value));
    };
    map(nullptr, 0, 1, "buffer");
    map(plain, 0, 1, "buffer", "adze_buffer_reserve");
    map(buffer, 0, 1001, "bytes", "1001");
    map(buffer, 1001, 0, "offset", "1001");
    map(buffer, 2, UINT64_MAX, "bytes");
    EXPECT_TRUE(invalid(adze_buffer_unmap(buffer, 0, 1, nullptr), "adze_buffer_unmap", "stream"));
    EXPECT_TRUE(invalid(adze_buffer_unmap(buffer, 0, 1, foreign), "adze_buffer_unmap", "buffer"));
}

TEST_P(Reserved, GraphsReachIt) {
    const Buffer buffer = reserve(context, kBytes);
    const uint64_t granule = adze_buffer_granularity(buffer);
    ADZE_ASSERT_OK(adze_stream_begin_capture(stream));
    EXPECT_TRUE(invalid(adze_buffer_fill(buffer, granule, 7, 8, stream), "adze_buffer_fill", "buffer"));
    ADZE_ASSERT_OK(adze_buffer_map(buffer, granule, 1));  // at once: a capture is of what is put on the stream
    ADZE_ASSERT_OK(adze_buffer_fill(buffer, granule, 7, 8, stream));
    EXPECT_TRUE(refused(adze_buffer_unmap(buffer, granule, granule, stream), ADZE_ERROR_INVALID_STATE,
                        "adze_buffer_unmap", "stream"));
    const kit::Graph graph =
        kit::make<kit::Graph>([&](adze_graph** out) { return adze_stream_end_capture(stream, out); });
    ADZE_ASSERT_OK(adze_graph_launch(graph, stream));
    EXPECT_EQ(read(buffer, granule, 8), std::vector<std::byte>(8, std::byte{7}));
}

TEST_P(Reserved, ThreadsHaveTheirOwn) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, seed = random.next()] {
            kit::Random mine(seed);
            const kit::Stream own = kit::make_stream(context);
            for (int round = 0; round < 4; ++round) {
                const Buffer buffer = reserve(context, kBytes);
                const uint64_t granule = adze_buffer_granularity(buffer);
                const auto at = static_cast<uint64_t>(mine.integer(0, int64_t(kBytes / granule) - 2)) * granule;
                ADZE_ASSERT_OK(adze_buffer_map(buffer, at, 2 * granule));
                ADZE_ASSERT_OK(adze_buffer_fill(buffer, at + granule - 2, uint8_t(round), 4, own));
                std::byte out[4]{};
                ADZE_ASSERT_OK(adze_buffer_read(buffer, at + granule - 2, out, 4, own));
                ADZE_ASSERT_OK(adze_stream_synchronize(own));
                for (const std::byte byte : out) EXPECT_EQ(byte, std::byte(round));
                ADZE_ASSERT_OK(adze_buffer_unmap(buffer, at, granule, own));
                EXPECT_NE(adze_buffer_fill(buffer, at + granule - 2, 0, 4, own), ADZE_OK);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

/// Attention over caches in reserved buffers, which a kit's call of its own layout says what to expect of.
class ReservedCache : public kit::OnMachine {
protected:
    /// The new tokens' keys and values, as the expected cache holds them.
    kit::Tensor tokens(const kit::AttentionCall& call, const kit::Cache& cache, int dim) const {
        const int heads = call.c.shape.kv_heads;
        kit::Tensor out(ADZE_DTYPE_F32, call.paging.tokens(), heads * dim);
        for (int s = 0; s < call.paging.sequences(); ++s) {
            for (int64_t i = 0; i < call.paging.qo_len(s); ++i) {
                const auto [page, slot] = call.paging.find(s, call.paging.kv_len(s) - call.paging.qo_len(s) + i);
                for (int e = 0; e < heads * dim; ++e) {
                    const double value = cache.elements.at(0, cache.offset(page, slot, e / dim, e % dim));
                    out.set(call.paging.qo_indptr[size_t(s)] + i, e, value);
                }
            }
        }
        return out;
    }
    /// Appends what the expected caches hold at the queries' places, then attends.
    void append_and_attend(kit::AttentionCall& call, const kit::Tensor& page_ids, const adze_kv_cache& k,
                           const adze_kv_cache& v) {
        const kit::Tensor new_k = tokens(call, call.k, call.c.shape.dim_qk);
        const kit::Tensor new_v = tokens(call, call.v, call.c.shape.dim_v);
        const adze_kv_append_desc append{sizeof append,   0, call.plan, new_k.view(), new_v.view(),
                                         page_ids.view(), k, v};
        ADZE_ASSERT_OK(adze_kv_append_run(stream, &append));
        adze_attention_desc run = call.desc();
        run.kv_indices = page_ids.view(), run.k = k, run.v = v;
        call.o.poison(), call.lse.poison();
        ADZE_ASSERT_OK(adze_attention_run(stream, &run));
        call.expect_close();
    }
};
ADZE_ON_EACH_BACKEND(ReservedCache);

/// Caches of which a few pages are there, of 2^26.
class SparseCache : public ReservedCache {
protected:
    static constexpr int64_t kPages = int64_t{1} << 26;

    /// In the place of each page of an expected cache a page of the sparse one, the last one among them.
    std::vector<int32_t> places(const kit::AttentionCall& call) {
        std::vector<int32_t> out(size_t(call.k.num_pages));
        for (int32_t& id : out) id = int32_t(random.integer(kPages / 2, kPages - 1));
        out[size_t(call.paging.kv_indices[0])] = kPages - 1;
        std::ranges::sort(out);
        EXPECT_EQ(std::ranges::unique(out).begin(), out.end());
        random.shuffle(out);
        return out;
    }
    kit::Tensor page_ids(const kit::AttentionCall& call, const std::vector<int32_t>& place) {
        kit::Tensor out(ADZE_DTYPE_I32, 1, int64_t(call.paging.kv_indices.size()));
        for (size_t i = 0; i < call.paging.kv_indices.size(); ++i)
            out.set(0, int64_t(i), place[size_t(call.paging.kv_indices[i])]);
        return out;
    }
    /// Page after page from `from` to its place.
    void fill(adze_buffer* buffer, const std::byte* from, uint64_t from_stride, uint64_t bytes, uint64_t stride,
              const std::vector<int32_t>& place) {
        for (size_t page = 0; page < place.size(); ++page) {
            const uint64_t to = uint64_t(place[page]) * stride;
            ADZE_ASSERT_OK(adze_buffer_map(buffer, to, bytes));
            ADZE_ASSERT_OK(adze_buffer_write(buffer, to, from + page * from_stride, bytes, stream));
        }
    }
    /// Whether one of the last launches was sm_90a's prefill.
    bool has_prefilled() const {
        adze_sim_launch launch{};
        launch.struct_size = sizeof launch;
        for (int32_t back = 0; back < 4 && adze_sim_counters(context, back, &launch) == ADZE_OK; ++back) {
            if (std::strncmp(launch.kernel, "sm90_prefill", 12) == 0) return true;
        }
        return false;
    }
    void expect(adze_buffer* buffer, const std::byte* expected, uint64_t stride, const std::vector<int32_t>& place) {
        for (size_t page = 0; page < place.size(); ++page) {
            std::vector<std::byte> got(stride);
            ADZE_ASSERT_OK(adze_buffer_read(buffer, uint64_t(place[page]) * stride, got.data(), stride, stream));
            ADZE_ASSERT_OK(adze_stream_synchronize(stream));
            EXPECT_EQ(std::memcmp(got.data(), expected + page * stride, stride), 0) << page;
        }
    }
};
ADZE_ON_EACH_BACKEND(SparseCache);

// 2^37 elements into the cache. In bf16 the longest is the prefill of sm_90a.
TEST_P(SparseCache, PagesBeyondTwoToThe31Elements) {
    for (adze_dtype io : {ADZE_DTYPE_F32, ADZE_DTYPE_BF16}) {
        kit::AttentionCase c{.sequences = {{3, 37}, {1, 16}, {2, 5}, {70, 90}}, .shape = {4, 2, 64, 80}};
        c.q_dtype = c.o_dtype = io;
        if (io == ADZE_DTYPE_BF16) c.kv_dtype = io;
        kit::AttentionCall call(context, stream, c, random, kit::normal(random));
        const std::vector<int32_t> place = places(call);
        const uint64_t size = kit::size_of(call.c.kv_dtype);
        adze_kv_cache views[] = {call.k.view(), call.v.view()};
        const kit::Cache* caches[] = {&call.k, &call.v};
        Buffer buffers[2];
        for (size_t i = 0; i < 2; ++i) {
            adze_kv_cache& view = views[i];
            ASSERT_GT(view.page_stride * (kPages / 2), int64_t{1} << 31);
            const uint64_t bytes = uint64_t(view.page_stride) * size;
            buffers[i] = reserve(context, uint64_t(kPages) * bytes);
            view.num_pages = kPages, view.data = adze_buffer_data(buffers[i]);
            fill(buffers[i], caches[i]->elements.data(), bytes, bytes, bytes, place);
            // The queries' own tokens are yet to be appended.
            for (int s = 0; s < call.paging.sequences(); ++s) {
                for (int64_t t = call.paging.kv_len(s) - call.paging.qo_len(s); t < call.paging.kv_len(s); ++t) {
                    const auto [page, slot] = call.paging.find(s, t);
                    const int64_t at = place[size_t(page)] * view.page_stride + slot * view.token_stride;
                    ADZE_ASSERT_OK(adze_buffer_fill(buffers[i], uint64_t(at) * size, 0xff,
                                                    uint64_t(view.token_stride) * size, stream));
                }
            }
        }
        append_and_attend(call, page_ids(call, place), views[0], views[1]);
        if (GetParam().backend == ADZE_BACKEND_SIM && GetParam().device == 1) {
            EXPECT_EQ(has_prefilled(), io == ADZE_DTYPE_BF16);
        }
        for (size_t i = 0; i < 2; ++i)
            expect(buffers[i], caches[i]->elements.data(), uint64_t(views[i].page_stride) * size, place);
    }
}

// Scales by token are as far away as what they are for.
TEST_P(SparseCache, ScalesBeyondTwoToThe31Elements) {
    kit::AttentionCall call(context, stream,
                            {.sequences = {{3, 37}, {1, 16}, {70, 90}},
                             .shape = {4, 2, 64, 64},
                             .kv_dtype = ADZE_DTYPE_I8,
                             .scales = kit::Scales::kAll},
                            random, kit::normal(random));
    const std::vector<int32_t> place = places(call);
    constexpr int64_t kScaleStride = 128;
    static_assert(kScaleStride * (kPages / 2) >= int64_t{1} << 32);  // too many for unsigned numbers, too
    adze_attention_desc desc = call.desc();
    const kit::Cache* caches[] = {&call.k, &call.v};
    adze_kv_cache* views[] = {&desc.k, &desc.v};
    Buffer elements[2], scales[2];
    for (size_t i = 0; i < 2; ++i) {
        adze_kv_cache& view = *views[i];
        const auto bytes = uint64_t(view.page_stride), page_scales = uint64_t(16 * 2 * 4);
        elements[i] = reserve(context, uint64_t(kPages) * bytes);
        scales[i] = reserve(context, uint64_t(kPages * kScaleStride) * 4);
        fill(elements[i], caches[i]->elements.data(), bytes, bytes, bytes, place);
        fill(scales[i], caches[i]->scales.data(), uint64_t(view.scale_page_stride) * 4, page_scales, kScaleStride * 4,
             place);
        view.num_pages = kPages, view.scale_page_stride = kScaleStride;
        view.data = adze_buffer_data(elements[i]);
        view.scales = static_cast<float*>(adze_buffer_data(scales[i]));
    }
    const kit::Tensor ids = page_ids(call, place);
    desc.kv_indices = ids.view();
    call.o.poison(), call.lse.poison();
    ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
    call.expect_close();
}

// A sequence is one page, as large as it may become, and takes memory with its tokens (vAttention).
TEST_P(ReservedCache, OnePagePerSequenceGrows) {
    constexpr int kSequences = 2, kLongest = 1 << 15, kStep = 3;  // granules, whatever the format
    kit::AttentionCall call(context, stream,
                            {.sequences = std::vector<kit::Sequence>(kSequences, {kStep, kLongest}),
                             .shape = {2, 1, 64, 64},
                             .page_size = kLongest},
                            random, kit::normal(random));
    const uint64_t token = uint64_t(call.k.view().token_stride) * kit::size_of(call.c.kv_dtype);
    const uint64_t page = uint64_t(call.k.view().page_stride) * kit::size_of(call.c.kv_dtype);
    adze_kv_cache views[] = {call.k.view(), call.v.view()};
    const kit::Cache* caches[] = {&call.k, &call.v};
    Buffer buffers[2];
    for (size_t i = 0; i < 2; ++i) {
        buffers[i] = reserve(context, uint64_t(call.k.num_pages) * page);
        views[i].data = adze_buffer_data(buffers[i]);
    }
    // Grows to `length` tokens; all but the last, which a run appends, are as expected.
    const auto grow = [&](uint64_t begin, uint64_t from, uint64_t appended_from, uint64_t length) {
        for (size_t i = 0; i < 2; ++i) {
            ADZE_ASSERT_OK(adze_buffer_map(buffers[i], begin, length * token));
            const std::byte* elements = caches[i]->elements.data() + begin;
            const uint64_t bytes = (appended_from - from) * token;
            ADZE_ASSERT_OK(adze_buffer_write(buffers[i], begin + from * token, elements + from * token, bytes, stream));
            const uint64_t granule = adze_buffer_granularity(buffers[i]);
            const uint64_t beyond = (begin + length * token + granule - 1) / granule * granule;
            if (beyond < begin + page) {
                EXPECT_NE(adze_buffer_fill(buffers[i], beyond, 0, 1, stream), ADZE_OK);
            }
        }
    };
    std::vector<int64_t> lengths(kSequences, 0);
    while (*std::ranges::min_element(lengths) < kLongest) {
        for (size_t s = 0; s < kSequences; ++s) {
            const int64_t more = std::min(random.integer(lengths[s] == 0, 12000), kLongest - lengths[s]);
            const int64_t queries = std::min(more, random.integer(1, kStep)), length = lengths[s] + more;
            call.paging.qo_indptr[s + 1] = int32_t(call.paging.qo_indptr[s] + queries);
            call.paging.kv_last_page_len[s] = int32_t(length);
            grow(uint64_t(call.paging.kv_indices[s]) * page, uint64_t(lengths[s]), uint64_t(length - queries),
                 uint64_t(length));
            lengths[s] = length;
        }
        call.update(stream);
        append_and_attend(call, call.indices, views[0], views[1]);
    }
}

// A sequence is one page, far into the cache; granules end anywhere in it. What lies behind its end, before its window and
// behind the sinks has no memory. 16 bits and these many rows are what the fastest kernels take.
TEST_P(ReservedCache, OnlyWhatIsSeenNeedsMemory) {
    constexpr int64_t kTokenStride = 24040, kPageSize = 1024, kPageStride = kPageSize * kTokenStride;  // elements
    constexpr int64_t kPages = int64_t{1} << 14;
    for (const int window : {0, 100}) {
        for (const int sinks : {0, 3}) {
            if (window == 0 && sinks > 0) continue;
            kit::AttentionCase c{.sequences = {{130, random.integer(700, 900)}, {70, random.integer(500, 640)}},
                                 .shape = {1, 1, 64, 64, true, window, 0, sinks},
                                 .page_size = kPageSize};
            c.q_dtype = c.kv_dtype = c.o_dtype = ADZE_DTYPE_BF16;
            c.o_gap = 0;
            kit::AttentionCall call(context, stream, c, random, kit::normal(random));
            SCOPED_TRACE(call.c);
            std::vector<Buffer> buffers;
            const auto lay_out = [&](const kit::Cache& from) {
                const adze_buffer* buffer = buffers.emplace_back(reserve(context, uint64_t(kPages * kPageStride) * 2));
                adze_kv_cache out = from.view();
                out.data = adze_buffer_data(buffer), out.num_pages = kPages;
                out.page_stride = kPageStride, out.token_stride = kTokenStride;
                return out;
            };
            adze_attention_desc desc = call.desc();
            desc.k = lay_out(call.k), desc.v = lay_out(call.v);
            kit::Tensor page_ids(ADZE_DTYPE_I32, 1, 2);
            for (int s = 0; s < 2; ++s) {
                const int64_t id = kPages - 1 - s * random.integer(1, kPages / 2);
                page_ids.set(0, s, double(id));
                const int64_t kv_len = call.paging.kv_len(s), first = kv_len - call.paging.qo_len(s) - window + 1;
                for (int64_t t = 0; t < kv_len; ++t) {
                    if (window != 0 && t >= sinks && t < first) continue;
                    const auto [page, slot] = call.paging.find(s, t);
                    const uint64_t to = uint64_t(id * kPageStride + slot * kTokenStride) * 2, bytes = 64 * 2;
                    for (const auto& [buffer, cache] :
                         {std::pair{&buffers[0], &call.k}, std::pair{&buffers[1], &call.v}}) {
                        ADZE_ASSERT_OK(adze_buffer_map(*buffer, to, bytes));
                        ADZE_ASSERT_OK(adze_buffer_write(
                            *buffer, to, cache->elements.data() + cache->offset(page, slot, 0, 0) * 2, bytes, stream));
                    }
                }
            }
            desc.kv_indices = page_ids.view();
            call.o.poison(), call.lse.poison();
            ADZE_ASSERT_OK(adze_attention_run(stream, &desc));
            ADZE_ASSERT_OK(adze_stream_synchronize(stream));
            call.expect_close();
        }
    }
}

// On a GPU that would be the end of the process.
TEST_P(ReservedCache, TheSimulatorSeesAPageWithoutMemory) {
    if (GetParam().backend != ADZE_BACKEND_SIM) GTEST_SKIP() << "of the simulator";
    kit::AttentionCall call(context, stream, {.sequences = {{1, 40}}, .shape = {2, 1, 64, 64}}, random,
                            kit::normal(random));
    adze_attention_desc desc = call.desc();
    const uint64_t page = uint64_t(desc.k.page_stride) * 2;
    const Buffer buffer = reserve(context, uint64_t(desc.k.num_pages) << 21);
    desc.k.page_stride = desc.v.page_stride = 1 << 20;  // a granule
    desc.k.data = desc.v.data = adze_buffer_data(buffer);
    for (size_t i = 0; i < 2; ++i) {
        const uint64_t to = uint64_t(call.paging.kv_indices[i]) << 21;
        ADZE_ASSERT_OK(adze_buffer_map(buffer, to, page));
        ADZE_ASSERT_OK(adze_buffer_fill(buffer, to, 0, page, stream));
    }
    EXPECT_TRUE(refused(adze_attention_run(stream, &desc), ADZE_ERROR_DEVICE, "adze_attention_run",
                        "its buffer is reserved and not mapped"));
    ADZE_ASSERT_OK(adze_buffer_map(buffer, uint64_t(call.paging.kv_indices[2]) << 21, page));
    ADZE_EXPECT_OK(adze_attention_run(stream, &desc));
}

}  // namespace
