// What a launch is counted to move: by hand, and the same in every order of threads, on 1 or 3 threads of the host, with few
// and many blocks resident.
#include "device/async_copy.h"
#include "device/atomic.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace counters_tests {

constexpr int64_t kElements = 64 * 64;
constexpr uint64_t kBlocks = 6, kWarps = kBlocks * 128 / kWarpSize, kLanes = kWarpSize;

struct CounterParams {
    float* data = nullptr;
    int which = 0;
};

template <class Kernel>
void expect_counts(int which, const sim::Counters& expected) {
    const sim_test::Array<float> data(kElements, 0.0f);
    for (const sim_test::Way& way : sim_test::every_way_and_threads()) {
        sim_test::Machine machine(kTarget.arch, way);
        const auto got = outcome<Kernel>(machine, {kBlocks, 1, 1}, 32 << 10, {data.data(), which});
        ASSERT_EQ(got.status, ADZE_OK) << got.message;
        EXPECT_EQ(machine.counters(), expected) << "pattern " << which << ", " << way.name();
    }
}

// Each warp reads once, the first of the buffer's numbers.
struct Reads : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "reads";
    static void run(const Params& p) {
        const Global<const float> in(p.data, kElements);
        const Global<const uint16_t> halves(reinterpret_cast<const uint16_t*>(p.data), 2 * kElements);
        const int lane = lane_index();
        if (p.which == 0) in.load(lane);                   // neighbours
        if (p.which == 1) in.load(lane + 1);               // the same, 4 bytes further
        if (p.which == 2) in.load(8 * lane);               // a sector each
        if (p.which == 3) in.load(16 * lane);              // every second sector
        if (p.which == 4) in.load(7);                      // one for all
        if (p.which == 5) in.load_vec<4>(4 * lane);        // 16 bytes each
        if (p.which == 6) in.load_vec<4>(16 * lane);       // 16 bytes of every second sector
        if (p.which == 7) halves.load(lane);               // 2 bytes each
        if (p.which == 8) in.load(lane ^ 5);               // neighbours, in disorder
        if (p.which == 9 && lane % 4 == 0) in.load(lane);  // every fourth lane
        if (p.which == 10) in.load(kElements - 1 - lane);  // backwards
    }
};

SIM_TEST(Counters, reads) {
    const auto check = [](int which, uint64_t bytes, uint64_t sectors) {
        expect_counts<Reads>(
            which,
            {.global_read_bytes = kWarps * bytes, .global_read_sectors = kWarps * sectors, .global_requests = kWarps});
    };
    check(0, 4 * kLanes, kLanes / 8);
    check(1, 4 * kLanes, kLanes / 8 + 1);
    check(2, 4 * kLanes, kLanes);
    check(3, 4 * kLanes, kLanes);
    check(4, 4 * kLanes, 1);
    check(5, 16 * kLanes, kLanes / 2);
    check(6, 16 * kLanes, kLanes);
    check(7, 2 * kLanes, kLanes / 16);
    check(8, 4 * kLanes, kLanes / 8);
    check(9, kLanes, kLanes / 8);
    check(10, 4 * kLanes, kLanes / 8);
}

struct Writes : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "writes";
    static void run(const Params& p) {
        const Global<float> out(p.data, kElements);
        const Global<int32_t> counter(reinterpret_cast<int32_t*>(p.data), 1);
        const int lane = lane_index();
        if (p.which == 0) out.store(lane, 1.0f);
        if (p.which == 1) out.store(10 * lane, 1.0f);
        if (p.which == 2) out.store_vec<2>(2 * lane, Vec<float, 2>{});
    }
};

SIM_TEST(Counters, writes) {
    const auto check = [](int which, uint64_t bytes, uint64_t sectors) {
        expect_counts<Writes>(which, {.global_write_bytes = kWarps * bytes,
                                      .global_write_sectors = kWarps * sectors,
                                      .global_requests = kWarps});
    };
    check(0, 4 * kLanes, kLanes / 8);
    check(1, 4 * kLanes, kLanes);  // 40 bytes apart: never two in one
    check(2, 8 * kLanes, kLanes / 4);
}

// Lanes go different ways; what they do at one place for the n-th time is one instruction.
struct Divergent : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "divergent";
    static void run(const Params& p) {
        const Global<const float> in(p.data, kElements);
        const int lane = lane_index();
        if (p.which == 0) {  // two branches: two requests
            if (lane % 2 == 0) {
                in.load(lane);
            } else {
                in.load(lane);
            }
        }
        if (p.which == 1) {  // as many rounds as the lane says: 4 requests of less and less lanes
            for (int i = 0; i <= lane % 4; ++i) in.load(lane);
        }
        if (p.which == 2) {  // lanes that miss the first load of the first round come to it in the second
            for (int i = 0; i < 2; ++i) {
                if (i == 1 || lane % 2 == 0) in.load(lane);
                in.load(64 + lane);
            }
        }
        if (p.which == 3) {  // the same between two meetings, apart
            in.load(lane);
            for (int i = 0; i < 2; ++i) {
                if (i == lane % 2) in.load(128 + lane);
                sync_warp();
            }
        }
    }
};

SIM_TEST(Counters, divergent_lanes) {
    constexpr uint64_t kRow = kLanes / 8;  // sectors of a warp's neighbours
    expect_counts<Divergent>(0, {.global_read_bytes = kWarps * 4 * kLanes,
                                 .global_read_sectors = kWarps * 2 * kRow,
                                 .global_requests = kWarps * 2});
    expect_counts<Divergent>(1, {.global_read_bytes = kWarps * 4 * kLanes * (1 + 2 + 3 + 4) / 4,
                                 .global_read_sectors = kWarps * 4 * kRow,
                                 .global_requests = kWarps * 4});
    // First load: all lanes, then the even ones again; second load: all lanes twice.
    expect_counts<Divergent>(2, {.global_read_bytes = kWarps * 4 * (kLanes * 3 + kLanes / 2),
                                 .global_read_sectors = kWarps * 4 * kRow,
                                 .global_requests = kWarps * 4});
    expect_counts<Divergent>(3, {.global_read_bytes = kWarps * 4 * 2 * kLanes,
                                 .global_read_sectors = kWarps * 3 * kRow,
                                 .global_requests = kWarps * 3,
                                 .warp_barriers = kWarps * 2});
}

// 32 banks of 4 bytes; 128 bytes a pass.
struct Banks : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "counted_banks";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(64 * 64);
        const int lane = lane_index();
        if (p.which == 0) s.load(lane);
        if (p.which == 1) s.load(2 * lane);
        if (p.which == 2) s.load(32 * lane);
        if (p.which == 3) s.load(33 * lane);
        if (p.which == 4) s.load(5);
        if (p.which == 5) s.load_vec<4>(4 * lane);
        if (p.which == 6) s.load_vec<4>(32 * lane);
        if (p.which == 7) s.load_vec<2>(2 * lane);
        if (p.which == 8) s.load(lane / 2 * 32);
        if (p.which == 9) s.load_vec<4>(36 * (lane % 8) + lane / 8 * 4);  // rows of 144 bytes
        if (p.which == 10) s.store_vec<4>(36 * (lane % 8) + lane / 8 * 4 + warp_index() * 512, {});
        if (p.which == 11) s.load_vec<2>(lane % 16 * 32 + lane / 16 * 2);
    }
};

SIM_TEST(Counters, bank_conflicts) {
    const auto check = [](int which, uint64_t of_32_lanes) {
        expect_counts<Banks>(
            which, {.shared_requests = kWarps, .shared_bank_conflicts = kWarps * of_32_lanes * (kLanes / 32)});
    };
    check(0, 0);
    check(1, 1);   // two words in each even bank
    check(2, 31);  // one bank gives 32
    check(3, 0);
    check(4, 0);      // broadcast
    check(5, 0);      // 8 lanes a pass, each all banks
    check(6, 4 * 7);  // 4 passes of 8 lanes, all in the same 4 banks
    check(7, 0);
    check(8, 15);  // pairs share a word
    // With 64 lanes, reads of 16 bytes take lanes 0 to 3 with 20 to 23, and so on: of two rows a chunk meets another's.
    check(9, kLanes == 32 ? 0 : 4);
    check(10, 0);
    check(11, 2 * 15);  // 2 passes of 16 lanes, all in the same 2 banks
}

struct SharedWrites : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "shared_writes";
    static void run(const Params&) {
        SharedArena arena;
        const auto s = arena.take<float>(128 * 2);
        s.store(2 * thread_index(), 1.0f);
        sync_block();
        s.load(2 * thread_index());
        sync_block();
    }
};

SIM_TEST(Counters, shared_writes_and_barriers) {
    expect_counts<SharedWrites>(0, {.shared_requests = kWarps * 2,
                                    .shared_bank_conflicts = kWarps * 2 * kLanes / 32,
                                    .block_barriers = kBlocks * 2});
}

// Lanes outside the tensor read nothing, and write zeros with the others.
struct Copies : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "copies";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(128 * 4);
        const Global<const float> in(p.data, kElements);
        for (int round = 0; round < 3; ++round) {
            copy_async<4>(s, 4 * thread_index(), in, 4 * lane_index(), lane_index() % 8 != round);
            commit_copies();
            wait_copies<0>();
        }
    }
};

SIM_TEST(Counters, asynchronous_copies) {
    // Of each 8 lanes, 128 bytes in 4 sectors, 7 read in each round. No meeting parts the rounds, so a lane's first read
    // counts with the others' first: only the third lacks lanes 0, 1 and 2 of 8, and with 0 and 1 a sector.
    expect_counts<Copies>(0, {.global_read_bytes = kWarps * 3 * 16 * kLanes * 7 / 8,
                              .global_read_sectors = kWarps * (3 * kLanes / 2 - kLanes / 8),
                              .global_requests = kWarps * 3,
                              .shared_requests = kWarps * 3,
                              .async_copy_bytes = kTarget.async_copy ? kWarps * 3 * 16 * kLanes : 0});
}

struct Atomics : TestKernel<128, CounterParams> {
    static constexpr const char* kName = "counted_atomics";
    static void run(const Params& p) { atomic_add(Global<int32_t>(reinterpret_cast<int32_t*>(p.data), 1), 0, 1); }
};

SIM_TEST(Counters, atomics) {
    expect_counts<Atomics>(
        0, {.global_read_bytes = kWarps * 4 * kLanes, .global_read_sectors = kWarps, .global_requests = kWarps});
}

}  // namespace counters_tests
}  // namespace ADZE_TARGET
}  // namespace adze
