// Memory barriers, bulk tensor copies and the fences between ordinary accesses and the copy engine's: sm_90a.
#include <array>
#include <cstring>

#include "device/async_copy.h"
#include "device/atomic.h"
#include "device/bulk_copy.h"
#include "device/dependent_launch.h"
#include "device/swizzle.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace bulk_copies_tests {

constexpr int64_t kShared = 32 << 10;
constexpr int kRows = 32, kColumns = 32;  // of a box of float: 128 bytes a row
constexpr uint32_t kBoxBytes = kRows * kColumns * 4;

enum class Defect {
    kNone,
    kNoInitFence,
    kWrongParity,
    kTooManyBytes,
    kTooFewBytes,
    kNoWait,
    kNoBlockBarrier,
    kNoEmptyWait,
    kNoProxyFence,
    kNoStoreBarrier,
    kNoStoreWait,
    kOverwritten,
    kWrongAlignment,
    kTooManyArrivals,
    kLeftUnderWay,
};

struct BulkParams {
    TensorMap in, out;
    float* data = nullptr;
    int64_t count = 0;
    Defect defect = Defect::kNone;
};

TensorMap map_of(float* data) {
    sim_test::Machine machine(kTarget.arch);
    TensorMapDesc desc{};
    desc.data = data;
    desc.element_bytes = 4;
    desc.rank = 2;
    desc.sizes[0] = kColumns, desc.sizes[1] = kRows * 8;
    desc.strides[1] = kColumns * 4;
    desc.box[0] = kColumns, desc.box[1] = kRows;
    desc.swizzle_bytes = 128;
    return make_tensor_map(machine.stream(), desc);
}

struct Buffers {
    sim_test::Array<float> in, out;
    BulkParams params;
    Buffers() : in(kRows * kColumns * 8), out(kRows * kColumns * 8, -1.0f) {
        for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i);
        params.in = map_of(in.data());
        params.out = map_of(out.data());
        params.data = out.data();
        params.count = static_cast<int64_t>(out.size());
    }
};

template <class Kernel>
void expect_defect(Defect defect, const std::vector<std::string>& parts) {
    Buffers buffers;
    expect_ok<Kernel>({3, 1, 1}, kShared, buffers.params);
    buffers.params.defect = defect;
    expect_caught<Kernel>({3, 1, 1}, kShared, buffers.params, parts);
}

using Tile = SharedTile<float, kRows, kColumns>;

// Every thread waits for each of 8 boxes in turn; two stages; doubled into the output by ordinary stores.
struct Load : TestKernel<128, BulkParams> {
    static constexpr const char* kName = "load";
    static void run(const Params& p) {
        SharedArena arena;
        Tile stages[2];
        for (Tile& stage : stages) stage.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const auto full = arena.take<uint64_t>(2);
        const int t = thread_index();
        const Defect d = p.defect;
        if (t == 0) {
            for (int s = 0; s < 2; ++s) mbarrier_init(full, s, 1);
            if (d != Defect::kNoInitFence) fence_mbarrier_init();
        }
        if (d != Defect::kNoBlockBarrier) sync_block();
        const auto fetch = [&](int round) {
            const int s = round % 2;
            const uint32_t bytes =
                kBoxBytes + (d == Defect::kTooManyBytes ? 16 : 0) - (d == Defect::kTooFewBytes ? 16 : 0);
            mbarrier_arrive_expect(full, s, bytes);  // @expect
            const int first = d == Defect::kWrongAlignment ? 32 : 0;
            bulk_load(stages[s].data, first, p.in, {0, round * kRows}, full, s);  // @load
        };
        if (t == 0) fetch(0), fetch(1);
        if (d == Defect::kTooManyArrivals && t == 0) mbarrier_arrive(full, 0);  // @arrive
        const Global<float> out(p.data, p.count);
        for (int round = 0; round < 8; ++round) {
            const int s = round % 2;
            const uint32_t parity = round / 2 % 2;
            if (d != Defect::kNoWait) mbarrier_wait(full, s, d == Defect::kWrongParity ? 1 - parity : parity);  // @wait
            for (int i = t; i < Tile::kElements; i += 128) {
                const float value = stages[s].data.load(Tile::index(i / kColumns, i % kColumns));  // @read
                out.store(round * Tile::kElements + i, 2 * value);
            }
            if (d != Defect::kNoEmptyWait) sync_block();
            if (t == 0 && round + 2 < 8) fetch(round + 2);
            if (t == 0 && round == 7 && d == Defect::kLeftUnderWay) fetch(8);
        }
    }
};

SIM_TEST(BulkCopies, load_in_two_stages) {
    Buffers buffers;
    expect_ok<Load>({3, 1, 1}, kShared, buffers.params);
    for (size_t i = 0; i < buffers.out.size(); ++i) ASSERT_EQ(buffers.out[i], 2.0f * static_cast<float>(i));
}
SIM_TEST(BulkCopies, missing_fence_mbarrier_init) {
    expect_defect<Load>(Defect::kNoInitFence, {"bulk_load: no fence_mbarrier_init after mbarrier_init", PLACE("load")});
}
SIM_TEST(BulkCopies, mbarrier_used_before_a_block_barrier) {
    Buffers buffers;
    buffers.params.defect = Defect::kNoBlockBarrier;
    expect_caught<Load>({3, 1, 1}, kShared, buffers.params, {"bulk_copies.cu:"});
}
SIM_TEST(BulkCopies, wrong_parity) {
    expect_defect<Load>(Defect::kWrongParity, {"race: ", PLACE("load"), PLACE("read")});
}
SIM_TEST(BulkCopies, missing_wait) {
    expect_defect<Load>(Defect::kNoWait, {"race: ", PLACE("load"), PLACE("read")});
}
SIM_TEST(BulkCopies, too_many_bytes_expected) {
    expect_defect<Load>(Defect::kTooManyBytes,
                        {"deadlock: threads 0-127 wait in mbarrier_wait at " + PLACE("wait"), "16 bytes to come"});
}
SIM_TEST(BulkCopies, too_few_bytes_expected) {
    expect_defect<Load>(Defect::kTooFewBytes,
                        {"deadlock: threads 0-127 wait in mbarrier_wait at " + PLACE("wait"), "-16 bytes to come"});
}
SIM_TEST(BulkCopies, missing_barrier_before_the_next_load) {
    // Thread 0 may also run two phases ahead, and the others wait for a parity that does not come.
    expect_defect<Load>(Defect::kNoEmptyWait, {"bulk_copies.cu:"});
}
SIM_TEST(BulkCopies, misaligned_box) {
    expect_defect<Load>(Defect::kWrongAlignment, {"bulk_load: shared memory at byte 128, misaligned", PLACE("load")});
}
SIM_TEST(BulkCopies, too_many_arrivals) {
    // The arrival ends the next phase before its time: who reads that stage again finds nothing there.
    Buffers buffers;
    buffers.params.defect = Defect::kTooManyArrivals;
    expect_caught<Load>({3, 1, 1}, kShared, buffers.params, {"bulk_copies.cu:"});
}
SIM_TEST(BulkCopies, load_left_under_way) {
    expect_defect<Load>(Defect::kLeftUnderWay, {"the block ends with a bulk load under way", PLACE("load")});
}

// A warp produces, three consume; each consumer warp tells by one lane, after a sync, that it has read.
struct Pipeline : TestKernel<128, BulkParams> {
    static constexpr const char* kName = "pipeline";
    static void run(const Params& p) {
        constexpr int kStages = 3, kConsumers = 3;
        SharedArena arena;
        Tile stages[kStages];
        for (Tile& stage : stages) stage.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const auto full = arena.take<uint64_t>(kStages), empty = arena.take<uint64_t>(kStages);
        if (thread_index() == 0) {
            for (int s = 0; s < kStages; ++s) {
                mbarrier_init(full, s, 1);
                mbarrier_init(empty, s, kConsumers);
            }
            fence_mbarrier_init();
        }
        sync_block();
        if (warp_index() == 0) {
            if (lane_index() != 0) return;
            for (int i = 0; i < 8; ++i) {
                const int s = i % kStages;
                const auto parity = static_cast<uint32_t>(i / kStages % 2);
                if (p.defect != Defect::kNoEmptyWait) mbarrier_wait(empty, s, 1 - parity);
                mbarrier_arrive_expect(full, s, kBoxBytes);
                bulk_load(stages[s].data, 0, p.in, {0, i * kRows}, full, s);  // @pipeline load
            }
            return;
        }
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < 8; ++i) {
            const int s = i % kStages;
            mbarrier_wait(full, s, static_cast<uint32_t>(i / kStages % 2));
            float sum = 0;
            for (int row = 0; row < kRows; ++row)
                sum += stages[s].data.load(Tile::index(row, lane_index()));  // @pipeline
            out.store((i * kConsumers + warp_index() - 1) * 32 + lane_index(), sum);
            sync_warp();
            if (lane_index() == 0) mbarrier_arrive(empty, s);
        }
    }
};

SIM_TEST(BulkCopies, pipeline_with_elected_arrivals) {
    Buffers buffers;
    expect_ok<Pipeline>({3, 1, 1}, kShared, buffers.params);
    for (size_t i = 0; i < 8; ++i) {
        for (size_t lane = 0; lane < 32; ++lane) {
            float sum = 0;
            for (size_t row = 0; row < kRows; ++row) sum += buffers.in[(i * kRows + row) * kColumns + lane];
            for (size_t w = 0; w < 3; ++w) ASSERT_EQ(buffers.out[(i * 3 + w) * 32 + lane], sum);
        }
    }
    expect_defect<Pipeline>(Defect::kNoEmptyWait, {"bulk_copies.cu:"});
}

// Every consumer thread arrives by itself, and one of them also asks for the copies.
struct AllArrive : TestKernel<128, BulkParams> {
    static constexpr const char* kName = "all_arrive";
    static void run(const Params& p) {
        SharedArena arena;
        Tile stages[2];
        for (Tile& stage : stages) stage.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const auto full = arena.take<uint64_t>(2), empty = arena.take<uint64_t>(2);
        const int t = thread_index();
        if (t == 0) {
            for (int s = 0; s < 2; ++s) {
                mbarrier_init(full, s, 1);
                mbarrier_init(empty, s, 128);
            }
            fence_mbarrier_init();
        }
        sync_block();
        const auto fetch = [&](int i) {
            mbarrier_wait(empty, i % 2, static_cast<uint32_t>(1 - i / 2 % 2));
            mbarrier_arrive_expect(full, i % 2, kBoxBytes);
            bulk_load(stages[i % 2].data, 0, p.in, {0, i * kRows}, full, i % 2);
        };
        if (t == 0) fetch(0);
        const Global<float> out(p.data, p.count);
        for (int i = 0; i < 8; ++i) {
            if (t == 0 && i + 1 < 8) fetch(i + 1);
            mbarrier_wait(full, i % 2, static_cast<uint32_t>(i / 2 % 2));
            float sum = 0;
            for (int row = 0; row < kRows; ++row) sum += stages[i % 2].data.load(Tile::index(row, t % 32));
            mbarrier_arrive(empty, i % 2);
            out.store(i * 128 + t, sum);
        }
    }
};

SIM_TEST(BulkCopies, none_where_all_arrive) {
    const Buffers buffers;
    expect_ok<AllArrive>({3, 1, 1}, kShared, buffers.params);
}

// Rows of ones are built in shared memory and stored by the copy engine.
struct Store : TestKernel<128, BulkParams> {
    static constexpr const char* kName = "store";
    static void run(const Params& p) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const int t = thread_index();
        const Defect d = p.defect;
        for (int round = 0; round < 2; ++round) {
            for (int i = t; i < Tile::kElements; i += 128) {
                tile.data.store(Tile::index(i / kColumns, i % kColumns), static_cast<float>(round + 1));  // @fill
            }
            if (d != Defect::kNoProxyFence) fence_async_proxy();
            if (d != Defect::kNoStoreBarrier) sync_block();
            if (t == 0) {
                bulk_store(p.out, {0, round * kRows}, tile.data, 0);  // @store
                commit_bulk_stores();
                if (d == Defect::kOverwritten) tile.data.store(0, 7.0f);  // @overwrite
                if (d != Defect::kNoStoreWait || round == 1) wait_bulk_stores<0>();
            }
            sync_block();
        }
    }
};

SIM_TEST(BulkCopies, store) {
    const Buffers buffers;
    expect_ok<Store>({1, 1, 1}, kShared, buffers.params);
    for (size_t i = 0; i < buffers.out.size(); ++i)
        ASSERT_EQ(buffers.out[i], i < 1024 ? 1.0f : i < 2048 ? 2.0f : -1.0f);
}

SIM_TEST(BulkCopies, boxes_without_memory) {
    const sim_test::Reserved reserved;
    Buffers buffers;
    buffers.params.in = map_of(reserved.before_end(8 * kBoxBytes));
    buffers.params.out = map_of(reserved.before_end(8 * kBoxBytes));
    expect_ok<Load>({3, 1, 1}, kShared, buffers.params);
    expect_ok<Store>({3, 1, 1}, kShared, buffers.params);
    buffers.params.in = map_of(reserved.before_end(8 * kBoxBytes - 128));  // all but the last row
    buffers.params.out = map_of(reserved.before_end(kBoxBytes));           // the first box alone
    expect_caught<Load>({3, 1, 1}, kShared, buffers.params,
                        {"bulk_load of 128 bytes", "reserved and not mapped", PLACE("load")});
    expect_caught<Store>({3, 1, 1}, kShared, buffers.params,
                         {"bulk_store of 128 bytes", "reserved and not mapped", PLACE("store")});
    // A row of which the first half is missing.
    sim::sim_unmap(reserved.data(), sim_test::Reserved::kGranule);
    sim::sim_map(reserved.data() + sim_test::Reserved::kGranule, sim_test::Reserved::kGranule);
    buffers.params.in = map_of(reserved.before_end(64));
    expect_caught<Load>({3, 1, 1}, kShared, buffers.params, {"bulk_load of 128 bytes", "reserved and not mapped"});
}

SIM_TEST(BulkCopies, missing_proxy_fence) {
    expect_defect<Store>(Defect::kNoProxyFence, {"race: asynchronous read of shared memory", "the write by thread ",
                                                 "no fence_async_proxy between them", PLACE("fill"), PLACE("store")});
}
SIM_TEST(BulkCopies, missing_barrier_before_the_store) {
    Buffers buffers;
    buffers.params.defect = Defect::kNoStoreBarrier;
    expect_caught<Store>({3, 1, 1}, kShared, buffers.params, {"race: ", PLACE("fill"), PLACE("store")});
}
SIM_TEST(BulkCopies, source_overwritten_before_the_wait) {
    expect_defect<Store>(Defect::kOverwritten, {"race: write of shared memory at byte 0 and the asynchronous read",
                                                "has not been waited for", PLACE("store"), PLACE("overwrite")});
    expect_defect<Store>(Defect::kNoStoreWait, {"race: write of shared memory", "the asynchronous read",
                                                "has not been waited for", PLACE("store"), PLACE("fill")});
}

// A bulk store reads its source late: what another store brings to the same place in between is overwritten by it.
struct StoreIsLate : TestKernel<64, BulkParams> {
    static constexpr const char* kName = "store_is_late";
    static void run(const Params& p) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const Global<float> out(p.data, p.count);
        for (int i = thread_index(); i < Tile::kElements; i += 64) tile.data.store(i, 1.0f);
        fence_async_proxy();
        sync_block();
        if (thread_index() == 0) {
            bulk_store(p.out, {0, 0}, tile.data, 0);
            out.store(5, 9.0f);            // comes before
            out.store(2000, out.load(6));  // not there yet
            commit_bulk_stores();
            wait_bulk_stores<0>();
            out.store(2001, out.load(6));
        }
    }
};

SIM_TEST(BulkCopies, store_reads_late) {
    const Buffers buffers;
    expect_ok<StoreIsLate>({1, 1, 1}, kShared, buffers.params);
    // The first way found -1 there, the last one the 1 of its forerunners: only what the wait brings is sure.
    EXPECT_EQ(buffers.out[5], 1.0f);
    EXPECT_EQ(buffers.out[2001], 1.0f);
    const Buffers fresh;
    sim_test::Machine machine(kTarget.arch);
    EXPECT_EQ(outcome<StoreIsLate>(machine, {1, 1, 1}, kShared, fresh.params).status, ADZE_OK);
    EXPECT_EQ(fresh.out[2000], -1.0f);
}

struct BeforeInit : TestKernel<64, BulkParams> {
    static constexpr const char* kName = "before_init";
    static void run(const Params& p) {
        SharedArena arena;
        const auto barriers = arena.take<uint64_t>(2);
        if (thread_index() == 0) mbarrier_init(barriers, 0, 1);
        sync_block();
        if (thread_index() == 0) mbarrier_arrive(barriers, p.defect == Defect::kNone ? 0 : 1);  // @before_init
    }
};

SIM_TEST(BulkCopies, mbarrier_that_was_not_made) {
    expect_defect<BeforeInit>(Defect::kNoWait,
                              {"mbarrier_arrive: there is no mbarrier at byte 8", PLACE("before_init")});
}

// What may not happen to the 8 bytes of an mbarrier once it is made.
enum class OnBarrier { kNothing, kStore, kStoreHalf, kRead, kAtomic, kCopy, kBulkLoad, kBulkStore, kInitAgain };

struct OnBarrierParams {
    TensorMap in, out;
    float* data = nullptr;
    OnBarrier what = OnBarrier::kNothing;
};

struct OverBarrier : TestKernel<64, OnBarrierParams> {
    static constexpr const char* kName = "over_barrier";
    static void run(const Params& p) {
        SharedArena box_arena, barrier_arena, halves_arena, words_arena;  // four views of the same bytes
        const auto box = box_arena.take<float>(kBoxBytes / 4, 1024);
        const auto barriers = barrier_arena.take<uint64_t>(kBoxBytes / 8, 1024);
        const auto halves = halves_arena.take<uint16_t>(kBoxBytes / 2, 1024);
        const auto words = words_arena.take<uint32_t>(kBoxBytes / 4, 1024);
        constexpr int kLast = kBoxBytes / 8 - 1;
        const auto other = box_arena.take<uint64_t>(1);
        const int32_t origin[2] = {0, 0};
        if (thread_index() == 0) {
            mbarrier_init(barriers, kLast, 1);  // @over init
            mbarrier_init(other, 0, 1);
            fence_mbarrier_init();
        }
        fence_async_proxy();
        sync_block();
        if (thread_index() == 5) {
            if (p.what == OnBarrier::kStore) words.store(2 * kLast, 1u);                       // @over store
            if (p.what == OnBarrier::kStoreHalf) halves.store(4 * kLast + 3, uint16_t{1});     // @over half
            if (p.what == OnBarrier::kRead) barriers.load(kLast);                              // @over read
            if (p.what == OnBarrier::kAtomic) atomic_add(words, 2 * kLast + 1, 1u);            // @over atomic
            if (p.what == OnBarrier::kInitAgain) mbarrier_init(barriers, kLast, 1);            // @over again
            if (p.what == OnBarrier::kBulkLoad) bulk_load<2>(box, 0, p.in, origin, other, 0);  // @over load
            if (p.what == OnBarrier::kBulkStore) bulk_store<2>(p.out, origin, box, 0);         // @over bulk store
            if (p.what == OnBarrier::kCopy) {
                copy_async<4>(box, kBoxBytes / 4 - 4, Global<const float>(p.data, 4), 0);  // @over copy
            }
            mbarrier_arrive(barriers, kLast);
        }
        mbarrier_wait(barriers, kLast, 0);
        if (thread_index() == 0) words.store(0, 1u);  // beside it
    }
};

SIM_TEST(BulkCopies, what_lies_over_an_mbarrier) {
    const Buffers buffers;
    OnBarrierParams params{buffers.params.in, buffers.params.out, buffers.params.data};
    expect_ok<OverBarrier>({2, 1, 1}, kShared, params);
    const auto check = [&](OnBarrier what, const char* does, const std::string& place) {
        params.what = what;
        expect_caught<OverBarrier>({2, 1, 1}, kShared, params,
                                   {"thread 5: race: ", does, "mbarrier_init by thread 0 at " + PLACE("over init"),
                                    "an mbarrier lives there", place});
    };
    check(OnBarrier::kStore, "write of shared memory at byte 4088 ", PLACE("over store"));
    check(OnBarrier::kStoreHalf, "write of shared memory at byte 4094 ", PLACE("over half"));
    check(OnBarrier::kRead, "read of shared memory at byte 4088 ", PLACE("over read"));
    check(OnBarrier::kAtomic, "write of shared memory at byte 4092 ", PLACE("over atomic"));
    check(OnBarrier::kCopy, "write of shared memory at byte 4088 ", PLACE("over copy"));
    check(OnBarrier::kBulkLoad, "write of shared memory at byte 4088 ", PLACE("over load"));
    check(OnBarrier::kBulkStore, "asynchronous read of shared memory at byte 4088 ", PLACE("over bulk store"));
    params.what = OnBarrier::kInitAgain;
    expect_caught<OverBarrier>(
        {2, 1, 1}, kShared, params,
        {"mbarrier_init: thread 0 has made an mbarrier at byte 4088 of shared memory before", PLACE("over again")});
}

// A load before the kernel before has ended.
struct EarlyLoad : TestKernel<64, BulkParams> {
    static constexpr const char* kName = "early_load";
    static constexpr bool kOverlaps = true;
    static void run(const Params& p) {
        SharedArena arena;
        Tile tile;
        tile.data = arena.take<float>(Tile::kElements, Tile::kAlignment);
        const auto full = arena.take<uint64_t>(1);
        if (thread_index() == 0) {
            mbarrier_init(full, 0, 1);
            fence_mbarrier_init();
            if (p.defect == Defect::kNone) wait_for_previous_kernel();
            mbarrier_arrive_expect(full, 0, kBoxBytes);
            bulk_load(tile.data, 0, p.in, {0, 0}, full, 0);  // @early
        }
        sync_block();
        mbarrier_wait(full, 0, 0);
    }
};

SIM_TEST(BulkCopies, load_before_the_previous_kernel_has_ended) {
    expect_defect<EarlyLoad>(Defect::kNoWait, {"bulk_load before wait_for_previous_kernel", PLACE("early")});
}

// Where boxes land, for each element size and swizzle, and what lies outside the tensor.

struct BoxParams {
    TensorMap in, out;
    int32_t at[3] = {};
    int elements = 0, bytes = 0;
    uint8_t* landed = nullptr;
};

struct Box : TestKernel<64, BoxParams> {
    static constexpr const char* kName = "box";
    static void run(const Params& p) {
        SharedArena arena;
        const auto tile = arena.take<uint8_t>(p.bytes, 1024);
        const auto full = arena.take<uint64_t>(1);
        if (thread_index() == 0) {
            mbarrier_init(full, 0, 1);
            fence_mbarrier_init();
            mbarrier_arrive_expect(full, 0, static_cast<uint32_t>(p.bytes));
            bulk_load(tile, 0, p.in, p.at, full, 0);
        }
        sync_block();
        mbarrier_wait(full, 0, 0);
        const Global<uint8_t> landed(p.landed, p.bytes);
        for (int i = thread_index(); i < p.bytes; i += 64) landed.store(i, tile.load(i));
        sync_block();
        if (thread_index() == 0) {
            bulk_store(p.out, p.at, tile, 0);
            commit_bulk_stores();
            wait_bulk_stores<0>();
        }
    }
};

// A tensor of 3 x 20 x 48 elements, boxes of 2 x 8 x (a swizzle's width), at corners inside and outside.
template <class T, Swizzle kSwizzle>
void check_boxes() {
    constexpr int kWidth = static_cast<int>(kSwizzle) / static_cast<int>(sizeof(T)), kHigh = 8, kDeep = 2;
    using BoxTile = SharedTile<T, kHigh * kDeep, kWidth, kSwizzle>;
    constexpr int kSizes[3] = {48, 20, 3}, kPitch = 64;
    const auto element = [](int x, int y, int z) { return static_cast<T>(1 + (x + 7 * y + 31 * z) % 120); };
    const sim_test::Array<T> in(kPitch * 20 * 3), out(kPitch * 20 * 3);
    TensorMapDesc desc{};
    desc.element_bytes = sizeof(T);
    desc.rank = 3;
    desc.swizzle_bytes = static_cast<int32_t>(kSwizzle);
    for (int d = 0; d < 3; ++d) desc.sizes[d] = kSizes[d];
    desc.strides[1] = kPitch * static_cast<int64_t>(sizeof(T)), desc.strides[2] = 20 * desc.strides[1];
    desc.box[0] = kWidth, desc.box[1] = kHigh, desc.box[2] = kDeep;
    for (int z = 0; z < 3; ++z) {
        for (int y = 0; y < 20; ++y) {
            for (int x = 0; x < kPitch; ++x)
                in[static_cast<size_t>((z * 20 + y) * kPitch + x)] = x < 48 ? element(x, y, z) : static_cast<T>(125);
        }
    }
    for (const auto& at : {std::array{0, 0, 0}, {16, 4, 1}, {32, 16, 2}, {-5, -3, -1}, {40, 15, 1}, {100, 0, 0}}) {
        sim_test::Machine machine(kTarget.arch);
        const sim_test::Array<uint8_t> landed(BoxTile::kElements * sizeof(T), 0);
        for (T& value : out) value = static_cast<T>(126);
        BoxParams params;
        desc.data = in.data();
        params.in = make_tensor_map(machine.stream(), desc);
        desc.data = out.data();
        params.out = make_tensor_map(machine.stream(), desc);
        params.bytes = static_cast<int>(landed.size());
        params.landed = landed.data();
        std::copy(at.begin(), at.end(), params.at);
        const auto got = outcome<Box>(machine, {1, 1, 1}, 8192, params);
        ASSERT_EQ(got.status, ADZE_OK) << got.message;
        const auto inside = [&](int x, int y, int z) {
            return x >= 0 && x < 48 && y >= 0 && y < 20 && z >= 0 && z < 3;
        };
        for (int z = 0; z < kDeep; ++z) {
            for (int y = 0; y < kHigh; ++y) {
                for (int x = 0; x < kWidth; ++x) {
                    T value;
                    std::memcpy(&value, landed.data() + BoxTile::index(z * kHigh + y, x) * static_cast<int>(sizeof(T)),
                                sizeof value);
                    const int tx = at[0] + x, ty = at[1] + y, tz = at[2] + z;
                    ASSERT_EQ(value, inside(tx, ty, tz) ? element(tx, ty, tz) : T{})
                        << "element " << tx << ", " << ty << ", " << tz;
                }
            }
        }
        for (int z = 0; z < 3; ++z) {
            for (int y = 0; y < 20; ++y) {
                for (int x = 0; x < kPitch; ++x) {
                    const bool in_box = x >= at[0] && x < at[0] + kWidth && y >= at[1] && y < at[1] + kHigh &&
                                        z >= at[2] && z < at[2] + kDeep;
                    ASSERT_EQ(out[static_cast<size_t>((z * 20 + y) * kPitch + x)],
                              in_box && inside(x, y, z) ? element(x, y, z) : static_cast<T>(126))
                        << "element " << x << ", " << y << ", " << z;
                }
            }
        }
    }
}

SIM_TEST(BulkCopies, boxes_land_where_tiles_say) {
    check_boxes<uint8_t, Swizzle::k32>();
    check_boxes<uint8_t, Swizzle::k16>();
    check_boxes<uint16_t, Swizzle::k32>();
    check_boxes<uint16_t, Swizzle::k64>();
    check_boxes<uint16_t, Swizzle::k16>();
    check_boxes<uint32_t, Swizzle::k32>();
    check_boxes<uint32_t, Swizzle::k64>();
    check_boxes<uint32_t, Swizzle::k128>();
}

// CUTLASS and the CUDA programming guide print the 128-byte pattern: the chunk of 16 bytes is its number in the row XOR
// the row; 64 bytes: chunk XOR half the row, in pairs of rows; 32 bytes: chunk XOR a quarter of the row.
SIM_TEST(BulkCopies, swizzles_are_the_documented_ones) {
    for (uint32_t row = 0; row < 16; ++row) {
        for (uint32_t byte = 0; byte < 128; ++byte) {
            const uint32_t chunk = byte / 16;
            EXPECT_EQ(swizzled(128, row * 128 + byte), row * 128 + (chunk ^ row % 8) * 16 + byte % 16);
            if (byte < 64) {
                EXPECT_EQ(swizzled(64, row * 64 + byte), row * 64 + (chunk ^ row / 2 % 4) * 16 + byte % 16);
            }
            if (byte < 32) {
                EXPECT_EQ(swizzled(32, row * 32 + byte), row * 32 + (chunk ^ row / 4 % 2) * 16 + byte % 16);
            }
            EXPECT_EQ(swizzled(16, row * 128 + byte), row * 128 + byte);
        }
    }
}

// The box counts as bytes and sectors: 32 rows of 128 bytes are 4 sectors each.
SIM_TEST(BulkCopies, are_counted) {
    for (const sim_test::Way& way : sim_test::every_way_and_threads()) {
        const Buffers buffers;
        sim_test::Machine machine(kTarget.arch, way);
        ASSERT_EQ(outcome<Load>(machine, {5, 1, 1}, kShared, buffers.params).status, ADZE_OK);
        const sim::Counters& counted = machine.counters();
        EXPECT_EQ(counted.global_read_bytes, 5u * 8 * kBoxBytes);
        EXPECT_EQ(counted.global_read_sectors, 5u * 8 * kBoxBytes / 32);
        EXPECT_EQ(counted.async_copy_bytes, 5u * 8 * kBoxBytes);
        EXPECT_EQ(counted.global_write_bytes, 5u * 8 * kBoxBytes);
        EXPECT_EQ(counted.global_write_sectors, 5u * 8 * kBoxBytes / 32);
        EXPECT_EQ(counted.global_requests, 5u * 8 * (1 + kBoxBytes / 128));
        EXPECT_EQ(counted.shared_bank_conflicts, 0u);
        EXPECT_EQ(counted.block_barriers, 5u * 9);
    }
}

}  // namespace bulk_copies_tests
}  // namespace ADZE_TARGET
}  // namespace adze
