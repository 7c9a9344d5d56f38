// Barriers between some of a block's warps.
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace named_barriers_tests {

constexpr int64_t kShared = 4096;

// Warps 0 and 1 hand numbers to each other, warps 2 and 3 likewise by another barrier.
struct PairsOfWarps : TestKernel<128> {
    static constexpr const char* kName = "pairs_of_warps";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        const int t = thread_index(), id = 1 + t / 64;
        for (int round = 0; round < 3; ++round) {
            s.store(t, 1.0f);  // @pairs write
            if (p.good) sync_named(id, 64);
            s.load(t ^ 32);  // @pairs read
            if (p.good) sync_named(id, 64);
        }
    }
};

SIM_TEST(NamedBarriers, missing) {
    expect_detector<PairsOfWarps>({3, 1, 1}, kShared, {},
                                  {"race: ", "no barrier between them", PLACE("pairs write"), PLACE("pairs read")});
}

// A barrier of two warps orders nothing for the others.
struct OnlyTheTwo : TestKernel<128> {
    static constexpr const char* kName = "only_the_two";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128);
        s.store(thread_index(), 1.0f);  // @two write
        if (warp_index() < 2) sync_named(1, 64);
        if (p.good && warp_index() == 1) s.load(0);
        if (!p.good && warp_index() == 2) s.load(0);  // @two read
    }
};

SIM_TEST(NamedBarriers, order_only_who_meets) {
    expect_detector<OnlyTheTwo>({2, 1, 1}, kShared, {}, {"race: ", PLACE("two write"), PLACE("two read")});
}

// Two warps read a pair of words; who has not met them must not write one of the two.
struct PairReadByTwoWarps : TestKernel<128> {
    static constexpr const char* kName = "pair_read_by_two_warps";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(2);
        if (warp_index() < 2) {
            sync_named(1, 64);
            s.load_vec<2>(0);  // @pair_of_two read
            sync_named(1, 64);
        } else {
            for (int i = 0; i < 8; ++i) shuffle(1.0f, 0);  // so that the reads come first
        }
        if (thread_index() == (p.good ? 0 : 127)) s.store(1, 1.0f);  // @pair_of_two write
    }
};

SIM_TEST(NamedBarriers, missing_after_many_read_a_pair) {
    expect_detector<PairReadByTwoWarps>({2, 1, 1}, kShared, {},
                                        {"race: ", PLACE("pair_of_two write"), PLACE("pair_of_two read")});
}

// Every lane reads the same word, then one thread of the other warp writes it.
struct BroadcastThenWrite : TestKernel<64> {
    static constexpr const char* kName = "broadcast_then_write";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<float>(1);
        for (int round = 0; round < 4; ++round) {
            if (thread_index() == 40) s.store(0, static_cast<float>(round));
            sync_named(2, 64);
            s.load(0);
            sync_named(3, 64);
        }
    }
};

SIM_TEST(NamedBarriers, none_after_all_lanes_read) {
    expect_ok<BroadcastThenWrite>({3, 1, 1}, kShared, {});
}

// A producer that does not wait for its consumers' barrier, only tells them; two slots.
struct ProducerArrives : TestKernel<128> {
    static constexpr const char* kName = "producer_arrives";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(2 * 32);
        constexpr int kFull = 1, kEmpty = 3, kRounds = 6;  // + slot
        if (warp_index() == 0) {
            for (int i = 0; i < kRounds; ++i) {
                if (p.good || i < 2) sync_named(kEmpty + i % 2, 128);  // the bad one does not look whether it is empty
                s.store(i % 2 * 32 + lane_index(), static_cast<float>(i));  // @producer write
                arrive_named(kFull + i % 2, 128);
            }
        } else {
            for (int slot = 0; slot < 2; ++slot) arrive_named(kEmpty + slot, 128);
            for (int i = 0; i < kRounds; ++i) {
                sync_named(kFull + i % 2, 128);
                const float got = s.load(i % 2 * 32 + 31 - lane_index());  // @consumer read
                if (p.good && got != static_cast<float>(i)) Global<float>(p.data, 0).store(0, 0);
                if (p.good && i + 2 < kRounds) arrive_named(kEmpty + i % 2, 128);
            }
        }
    }
};

SIM_TEST(NamedBarriers, producer_and_consumers) {
    expect_detector<ProducerArrives>({3, 1, 1}, kShared, {},
                                     {"race: ", PLACE("producer write"), PLACE("consumer read")});
}

// Misuse.

struct WrongCount : TestKernel<128> {
    static constexpr const char* kName = "wrong_count";
    static void run(const Params& p) {
        if (warp_index() < 2) sync_named(1, p.good || warp_index() == 0 ? 64 : 128);  // @count
    }
};
SIM_TEST(NamedBarriers, differing_counts) {
    expect_detector<WrongCount>({1, 1, 1}, 0, {}, {"sync_named: threads is ", ", others said ", PLACE("count")});
}

struct TooFew : TestKernel<128> {
    static constexpr const char* kName = "too_few";
    static void run(const Params& p) {
        if (warp_index() < 2) sync_named(1, p.good ? 64 : 128);  // @too_few
        sync_block();                                            // @too_few block
    }
};
SIM_TEST(NamedBarriers, that_too_few_reach) {
    expect_detector<TooFew>({1, 1, 1}, 0, {},
                            {"deadlock: threads ", "0-63 wait in sync_named at " + PLACE("too_few"),
                             "64-127 wait in sync_block at " + PLACE("too_few block")});
}

struct WrongId : TestKernel<64> {
    static constexpr const char* kName = "wrong_id";
    static void run(const Params& p) {
        sync_named(p.good ? 15 : 16, 64);  // @id
    }
};
SIM_TEST(NamedBarriers, without_such_an_id) {
    expect_detector<WrongId>({1, 1, 1}, 0, {}, {"sync_named: id is 16; allowed is 1 to 15", PLACE("id")});
}

}  // namespace named_barriers_tests
}  // namespace ADZE_TARGET
}  // namespace adze
