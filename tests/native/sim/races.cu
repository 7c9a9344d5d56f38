// Accesses to shared memory that no barrier orders, and correct ones beside them.
#include "device/async_copy.h"
#include "device/atomic.h"
#include "device/reduce.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace races_tests {

constexpr int64_t kShared = 4096;

struct BlockBarrier : TestKernel<128> {
    static constexpr const char* kName = "block_barrier";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        const int t = thread_index();
        s.store(t, 1.0f);  // @block_barrier write
        if (p.good) sync_block();
        const float other = s.load((t + kWarpSize) % 128);  // @block_barrier read
        if (other != 1.0f && p.good) Global<float>(p.data, 0).store(0, 0);
    }
};

SIM_TEST(Races, missing_block_barrier) {
    expect_detector<BlockBarrier>({5, 2, 1}, kShared, {},
                                  {"race: ", " of shared memory at byte ", "no barrier between them",
                                   PLACE("block_barrier write"), PLACE("block_barrier read")});
}

// The barrier behind the reads of a tile that is filled again.
struct BarrierAfterRead : TestKernel<128> {
    static constexpr const char* kName = "barrier_after_read";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        for (int round = 0; round < 3; ++round) {
            s.store(thread_index(), 1.0f);  // @barrier_after_read write
            sync_block();
            for (int i = 0; i < 128; ++i) s.load(i);  // @barrier_after_read read
            if (p.good) sync_block();
        }
    }
};

SIM_TEST(Races, missing_barrier_before_the_next_round) {
    expect_detector<BarrierAfterRead>({2, 1, 1}, kShared, {},
                                      {"race: ", " of shared memory", "no barrier between them",
                                       PLACE("barrier_after_read write"), PLACE("barrier_after_read read")});
}

struct WarpSync : TestKernel<128> {
    static constexpr const char* kName = "warp_sync";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        const int first = warp_index() * kWarpSize;
        if (lane_index() % 2 == 0) s.store(first + lane_index(), 1.0f);  // @warp_sync write
        if (p.good) sync_warp();
        if (lane_index() % 2 == 1) s.load(first + lane_index() - 1);  // @warp_sync read
        if (p.good) sync_warp();
        s.store(first + (lane_index() ^ 1), 2.0f);  // @warp_sync write again
    }
};

SIM_TEST(Races, missing_warp_sync_after_divergence) {
    expect_detector<WarpSync>({3, 1, 1}, kShared, {}, {"race: ", "no barrier between them", PLACE("warp_sync write")});
}

// A shuffle is no barrier for memory.
struct ShuffleIsNoSync : TestKernel<64> {
    static constexpr const char* kName = "shuffle_is_no_sync";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(64);
        s.store(thread_index(), 1.0f);  // @shuffle write
        shuffle_xor(1.0f, 1);
        if (p.good) sync_warp();
        s.load(thread_index() ^ 1);  // @shuffle read
    }
};

SIM_TEST(Races, shuffle_does_not_order_memory) {
    expect_detector<ShuffleIsNoSync>({1, 1, 1}, kShared, {}, {"race: ", PLACE("shuffle write"), PLACE("shuffle read")});
}

struct TwoWriters : TestKernel<64> {
    static constexpr const char* kName = "two_writers";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<int32_t>(64);
        const int t = thread_index();
        s.store(p.good ? t : t == 63 ? 7 : t, 1);  // @two_writers
        sync_block();
        if (t == 7) s.store(7, 2);
    }
};

SIM_TEST(Races, two_threads_write_one_word) {
    expect_detector<TwoWriters>({2, 1, 1}, kShared, {},
                                {"race: write of shared memory at byte 28 and the write by thread ",
                                 "no barrier between them", PLACE("two_writers")});
}

struct WarpSyncIsNoBlockBarrier : TestKernel<128> {
    static constexpr const char* kName = "warp_sync_is_no_block_barrier";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        s.store(thread_index(), 1.0f);  // @warp_for_block write
        if (p.good) {
            sync_block();
        } else {
            sync_warp();
        }
        s.load((thread_index() + 64) % 128);  // @warp_for_block read
    }
};

SIM_TEST(Races, warp_sync_instead_of_a_block_barrier) {
    expect_detector<WarpSyncIsNoBlockBarrier>({2, 1, 1}, kShared, {},
                                              {"race: ", PLACE("warp_for_block write"), PLACE("warp_for_block read")});
}

// An atomic update does not order what lies around it.
struct AtomicIsNoBarrier : TestKernel<64> {
    static constexpr const char* kName = "atomic_is_no_barrier";
    static void run(const Params& p) {
        SharedArena arena;
        const auto sum = arena.take<int32_t>(1);
        if (thread_index() == 0) sum.store(0, 0);  // @atomic store
        if (p.good) sync_block();
        atomic_add(sum, 0, 1);  // @atomic add
        sync_block();
        if (p.good && sum.load(0) != 64) Global<float>(p.data, 0).store(0, 0);
    }
};

SIM_TEST(Races, atomic_before_the_barrier) {
    expect_detector<AtomicIsNoBarrier>({2, 1, 1}, kShared, {}, {"race: ", PLACE("atomic store"), PLACE("atomic add")});
}

// The plain write before the barrier is known; the update after it is not.
struct AtomicAfterOwnWrite : TestKernel<64> {
    static constexpr const char* kName = "atomic_after_own_write";
    static void run(const Params& p) {
        SharedArena arena;
        const auto sum = arena.take<int32_t>(1);
        if (thread_index() == 0) sum.store(0, 0);
        sync_block();
        if (thread_index() == 0) atomic_add(sum, 0, 1);  // @own_write add
        if (p.good) sync_block();
        if (thread_index() == 63) sum.load(0);  // @own_write read
    }
};

SIM_TEST(Races, atomic_after_a_write_that_is_known) {
    expect_detector<AtomicAfterOwnWrite>({2, 1, 1}, kShared, {},
                                         {"race: ", PLACE("own_write add"), PLACE("own_write read")});
}

// Neighbours write the parts of one word; another thread reads, or writes, what one of them wrote.
template <class T, bool kReads>
struct PartsOfAWord : TestKernel<128> {
    static constexpr const char* kName = "parts_of_a_word";
    static constexpr int kParts = 4 / static_cast<int>(sizeof(T));
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<T>(16);
        const int t = thread_index();
        if (t < kParts) s.store(8 + t, T{1});  // @part write
        if (p.good) sync_block();
        if (t != 127) return;
        if (kReads) {
            s.load(8);  // @part read
        } else {
            s.store(8, T{2});  // @part write again
        }
    }
};

template <class T>
void check_parts_of_a_word() {
    const std::string at = "shared memory at byte " + std::to_string(8 * sizeof(T)) + " and ";
    expect_detector<PartsOfAWord<T, true>>({2, 1, 1}, kShared, {},
                                           {"race: ", at, PLACE("part write"), PLACE("part read")});
    expect_detector<PartsOfAWord<T, false>>({2, 1, 1}, kShared, {},
                                            {"race: ", at, PLACE("part write"), PLACE("part write again")});
}

SIM_TEST(Races, with_the_first_of_two_writers_of_a_word) {
    check_parts_of_a_word<uint16_t>();
}
SIM_TEST(Races, with_the_first_of_four_writers_of_a_word) {
    check_parts_of_a_word<uint8_t>();
}

// A whole word and a part of it.
struct WholeAndPart : TestKernel<64> {
    static constexpr const char* kName = "whole_and_part";
    static void run(const Params& p) {
        SharedArena arena;
        const auto halves = arena.take<uint16_t>(4);
        const int t = thread_index();
        if (t < 4) halves.store(t, uint16_t{1});  // @whole write
        if (p.good) sync_block();
        if (t == 63) halves.load_vec<4>(0);  // @whole read
        sync_block();
        if (t == 0) halves.store_vec<4>(0, {});  // together again
        sync_block();
        if (t == 1) halves.load(3);
    }
};

SIM_TEST(Races, between_parts_of_a_word_and_all_of_it) {
    expect_detector<WholeAndPart>({2, 1, 1}, kShared, {}, {"race: ", PLACE("whole write"), PLACE("whole read")});
}

// 8 bytes are remembered together until a word of them is accessed.
struct PairThenWord : TestKernel<64> {
    static constexpr const char* kName = "pair_then_word";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(2);
        if (thread_index() == 0) s.store_vec<2>(0, {});  // @pair write
        if (p.good) sync_block();
        if (thread_index() == 63) s.load(1);  // @pair read
    }
};

SIM_TEST(Races, between_a_pair_of_words_and_one) {
    expect_detector<PairThenWord>({2, 1, 1}, kShared, {},
                                  {"race: ", "at byte 4", PLACE("pair write"), PLACE("pair read")});
}

// And again once they are written together.
struct WordsThenPair : TestKernel<64> {
    static constexpr const char* kName = "words_then_pair";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(2);
        if (thread_index() == 0) s.store(0, 1.0f), s.store(1, 1.0f), s.store_vec<2>(0, {});  // @joined write
        if (p.good) sync_block();
        if (thread_index() == 63) s.load(1);  // @joined read
    }
};

SIM_TEST(Races, with_a_pair_that_was_written_by_words) {
    expect_detector<WordsThenPair>({2, 1, 1}, kShared, {}, {"race: ", PLACE("joined write"), PLACE("joined read")});
}

// Correct uses.

// Each word of a pair belongs to another thread.
struct WordsApart : TestKernel<128> {
    static constexpr const char* kName = "words_apart";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        const int t = thread_index();
        s.load_vec<2>(t & ~1);
        sync_block();
        for (int i = 0; i < 3; ++i) {
            s.load(t);
            s.store(t, static_cast<float>(i));
        }
        sync_block();
        s.load_vec<2>((t & ~1) ^ 64);
    }
};
SIM_TEST(Races, none_between_owners_of_words) {
    expect_ok<WordsApart>({3, 1, 1}, kShared, {});
}

// Each half of a word belongs to another thread, which reads and writes it as it likes.
struct HalvesApart : TestKernel<128> {
    static constexpr const char* kName = "halves_apart";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<uint16_t>(128);
        const int t = thread_index();
        s.load_vec<2>(t & ~1);  // all of it, and both know of both
        sync_block();
        for (int i = 0; i < 3; ++i) {
            s.load(t);
            shuffle_xor(1.0f, 1);  // the neighbour has read its own
            s.store(t, static_cast<uint16_t>(i));
            shuffle_xor(1.0f, 1);
        }
    }
};
SIM_TEST(Races, none_between_owners_of_halves) {
    expect_ok<HalvesApart>({3, 1, 1}, kShared, {});
}

struct HalfWords : TestKernel<128> {
    static constexpr const char* kName = "half_words";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<uint16_t>(128);
        const int t = thread_index();
        s.store(t, static_cast<uint16_t>(t));
        s.load(t);
        s.store(t, static_cast<uint16_t>(t + 1));
        sync_block();
        s.load((t + 1) % 128);
    }
};
SIM_TEST(Races, none_between_halves_of_a_word) {
    expect_ok<HalfWords>({3, 1, 1}, kShared, {});
}

// A sum over a warp in place: each lane reads its neighbour's number and, after a sync, changes its own.
struct ScanInPlace : TestKernel<128> {
    static constexpr const char* kName = "scan_in_place";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<int32_t>(128);
        const int lane = lane_index(), at = thread_index();
        s.store(at, 1);
        sync_warp();
        for (int step = 1; step < kWarpSize; step *= 2) {
            const int other = lane >= step ? s.load(at - step) : 0;
            sync_warp();
            s.store(at, s.load(at) + other);
            sync_warp();
        }
        Global<float>(p.data, p.count).store(at, static_cast<float>(s.load(at)));
    }
};
SIM_TEST(Races, none_in_a_scan_in_place) {
    const sim_test::Array<float> sums(128);
    expect_ok<ScanInPlace>({2, 1, 1}, kShared, {.data = sums.data(), .count = 128});
    for (size_t i = 0; i < 128; ++i) EXPECT_EQ(sums[i], static_cast<float>(i % kWarpSize + 1));
}

// All read one word; after the barrier one writes it, after another all read it.
struct Broadcast : TestKernel<256> {
    static constexpr const char* kName = "broadcast";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<float>(32);
        for (int round = 0; round < 5; ++round) {
            if (thread_index() == round) s.store(0, 1.0f);
            sync_block();
            for (int i = 0; i < 3; ++i) s.load(0);
            sync_block();
        }
    }
};
SIM_TEST(Races, none_in_a_broadcast) {
    expect_ok<Broadcast>({2, 1, 1}, kShared, {});
}

struct Atomics : TestKernel<256> {
    static constexpr const char* kName = "atomics";
    static void run(const Params& p) {
        SharedArena arena;
        const auto histogram = arena.take<int32_t>(8);
        const auto largest = arena.take<uint32_t>(1);
        const auto sum = arena.take<float>(1);
        const int t = thread_index();
        if (t < 8) histogram.store(t, 0);
        if (t == 0) largest.store(0, 0), sum.store(0, 0);
        sync_block();
        atomic_add(histogram, t % 8, 1);
        atomic_max(largest, 0, static_cast<uint32_t>(t * 7 % 256));
        atomic_add(sum, 0, 0.5f);
        sync_block();
        const Global<float> out(p.data, p.count);
        if (t < 8) out.store(t, static_cast<float>(histogram.load(t)));
        if (t == 8) out.store(8, static_cast<float>(largest.load(0)));
        if (t == 9) out.store(9, sum.load(0));
        const Global<int32_t> counter(reinterpret_cast<int32_t*>(p.data + 10), 1);
        atomic_add(counter, 0, 1);
    }
};
SIM_TEST(Races, none_between_atomics) {
    for (const sim_test::Way& way : sim_test::every_way_and_threads()) {
        const sim_test::Array<float> out(11, 0.0f);
        sim_test::Machine machine(kTarget.arch, way);
        const auto got = outcome<Atomics>(machine, {6, 1, 1}, kShared, {.data = out.data(), .count = 10});
        EXPECT_EQ(got.status, ADZE_OK) << way.name() << ": " << got.message;
        for (size_t i = 0; i < 8; ++i) EXPECT_EQ(out[i], 32.0f);
        EXPECT_EQ(out[8], 255.0f);
        EXPECT_EQ(out[9], 128.0f);
        EXPECT_EQ(__builtin_bit_cast(int32_t, out[10]), 6 * 256) << way.name();
    }
}

// Scratch that is used again at once.
struct Reductions : TestKernel<256> {
    static constexpr const char* kName = "reductions";
    static void run(const Params& p) {
        SharedArena arena;
        const auto scratch = arena.take<float>(kMaxWarps);
        const Global<float> out(p.data, p.count);
        for (int round = 0; round < 4; ++round) {
            const float sum = reduce_block(static_cast<float>(thread_index() + round), Add{}, 0.0f, scratch);
            out.store(round * 256 + thread_index(), sum);
        }
    }
};
SIM_TEST(Races, none_in_reductions) {
    const sim_test::Array<float> out(4 * 256);
    expect_ok<Reductions>({2, 1, 1}, kShared, {.data = out.data(), .count = 4 * 256});
    for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], static_cast<float>(255 * 128 + 256 * (i / 256)));
}

// Whole warps may leave before the others' barrier.
struct WarpsLeave : TestKernel<256> {
    static constexpr const char* kName = "warps_leave";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<float>(256);
        s.store(thread_index(), 1.0f);
        if (warp_index() % 2 == 1) return;
        sync_block();
        s.load((thread_index() + kWarpSize) % 256);
    }
};
SIM_TEST(Races, none_when_whole_warps_leave) {
    expect_ok<WarpsLeave>({3, 1, 1}, kShared, {});
}

}  // namespace races_tests
}  // namespace ADZE_TARGET
}  // namespace adze
