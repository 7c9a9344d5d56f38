// Bounds and alignment of global and shared memory, what memory holds at first, and how much shared memory there is.
#include <cmath>
#include <tuple>

#include "device/async_copy.h"
#include "device/atomic.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace memory_tests {

struct ReadPast : TestKernel<64> {
    static constexpr const char* kName = "read_past";
    static void run(const Params& p) {
        const Global<const float> in(p.data, p.count);
        const int t = thread_index();
        if (guard(p.good ? t < p.count : t <= p.count)) in.load(t);  // @read_past
    }
};

SIM_TEST(Memory, one_read_past_a_view) {
    const sim_test::Array<float> data(50, 0.0f);
    expect_detector<ReadPast>(
        {3, 1, 1}, 0, {.data = data.data(), .count = 50},
        {"thread 50: read of 4 bytes at 0x", "out of bounds: element 50 of a view of 50 elements", PLACE("read_past")});
}

struct WritePast : TestKernel<64> {
    static constexpr const char* kName = "write_past";
    static void run(const Params& p) {
        const Global<float> out(p.data, p.count);
        const int t = thread_index();
        if (t < 16) out.store_vec<4>(4 * t + (p.good || t < 15 ? 0 : 4), Vec<float, 4>{});  // @write_past
    }
};

SIM_TEST(Memory, one_write_past_a_view) {
    const sim_test::Array<float> data(64, 0.0f);
    expect_detector<WritePast>({1, 2, 1}, 0, {.data = data.data(), .count = 64},
                               {"thread 15: write of 16 bytes at 0x",
                                "out of bounds: element 64 of a view of 64 elements", PLACE("write_past")});
}

struct BeforeTheView : TestKernel<64> {
    static constexpr const char* kName = "before_the_view";
    static void run(const Params& p) {
        const Global<const float> in(p.data, p.count);
        in.load(thread_index() - (p.good ? 0 : 1));  // @before
    }
};

SIM_TEST(Memory, one_read_before_a_view) {
    const sim_test::Array<float> data(64, 0.0f);
    expect_detector<BeforeTheView>({1, 1, 1}, 0, {.data = data.data(), .count = 64},
                                   {"thread 0: read", "out of bounds: element -1 of a view", PLACE("before")});
}

struct ViewBeyond : TestKernel<64> {
    static constexpr const char* kName = "view_beyond";
    static void run(const Params& p) {
        const Global<const float> in(p.data, p.good ? p.count : p.count + 1);  // @view_beyond
        in.load(0);
    }
};

struct OfTensor : TestKernel<64, adze_tensor> {
    static constexpr const char* kName = "of_tensor";
    static void run(const Params& p) {
        const Global<const float> in(p);  // @of_tensor
        in.load(0);
    }
};

SIM_TEST(Memory, a_view_beyond_its_buffer) {
    const sim_test::Array<float> data(100, 0.0f);
    expect_detector<ViewBeyond>({2, 1, 1}, 0, {.data = data.data(), .count = 100},
                                {"a view of 404 bytes at 0x", "reaches beyond its buffer", PLACE("view_beyond")});
    // Likewise where it begins before it.
    expect_caught<ViewBeyond>({2, 1, 1}, 0, {.data = data.data() - 1, .count = 10}, {"reaches beyond its buffer"});
    adze_tensor fits{};
    fits.data = data.data();
    fits.rows = 4;
    fits.columns = 10;
    fits.row_stride = 30;
    adze_tensor wider = fits;
    wider.columns = 11;
    expect_ok<OfTensor>({1, 1, 1}, 0, fits);
    expect_caught<OfTensor>({1, 1, 1}, 0, wider,
                            {"a view of 404 bytes", "reaches beyond its buffer", PLACE("of_tensor")});
}

SIM_TEST(Memory, a_released_buffer) {
    for (const sim_test::Way& way : sim_test::every_way()) {
        sim_test::Machine machine(kTarget.arch, way);
        auto* data = static_cast<float*>(sim::sim_allocate(64 * sizeof(float)));
        const TestParams params{.data = data, .count = 64};
        EXPECT_EQ(outcome<ReadPast>(machine, {2, 1, 1}, 0, params).status, ADZE_OK);
        sim::sim_release(data);
        const auto got = outcome<ReadPast>(machine, {2, 1, 1}, 0, params);
        EXPECT_EQ(got.status, ADZE_ERROR_DEVICE);
        sim_test::expect_in(got.message,
                            {"read_past on sim device ", "block (", "thread ", "a view of 256 bytes at 0x",
                             "lies in a buffer that was released", "memory.cu:"},
                            way.name());
    }
}

enum class Reach { kRead, kWrite, kUpdate, kPoll, kCopy };

struct ReachParams {
    bool good = true;
    float* data = nullptr;
    int64_t count = 0;
    Reach reach = Reach::kRead;
};

// The last thread leaves the memory.
struct Reaches : TestKernel<64, ReachParams> {
    static constexpr const char* kName = "reaches";
    static void run(const Params& p) {
        SharedArena arena;
        const auto shared = arena.take<float>(256);
        const Global<float> memory(p.data, p.count);
        const Global<const float> source(p.data, p.count);
        const Global<uint32_t> words(reinterpret_cast<uint32_t*>(p.data), p.count);
        const int last = p.good ? 62 : 63, at = 4 * (thread_index() < last ? thread_index() : last);
        if (p.reach == Reach::kRead) memory.load_vec<4>(at);                                 // @reaches read
        if (p.reach == Reach::kWrite) memory.store(at, 1.0f);                                // @reaches write
        if (p.reach == Reach::kUpdate) atomic_add(words, at, 1u);                            // @reaches update
        if (p.reach == Reach::kPoll) load_acquire(words, at);                                // @reaches poll
        if (p.reach == Reach::kCopy) copy_async<4>(shared, 4 * thread_index(), source, at);  // @reaches copy
        commit_copies();
        wait_copies<0>();
    }
};

SIM_TEST(Memory, what_is_reserved_and_not_mapped) {
    const sim_test::Reserved reserved;
    ReachParams params{.data = reserved.before_end(63 * 16), .count = 4 * 64 + 1000};
    for (const auto& [reach, message, place] : {std::tuple{Reach::kRead, "read of 16 bytes", PLACE("reaches read")},
                                                {Reach::kWrite, "write of 4 bytes", PLACE("reaches write")},
                                                {Reach::kUpdate, "update of 4 bytes", PLACE("reaches update")},
                                                {Reach::kPoll, "read of 4 bytes", PLACE("reaches poll")},
                                                {Reach::kCopy, "of 16 bytes", PLACE("reaches copy")}}) {
        params.reach = reach;
        params.good = true;
        expect_ok<Reaches>({2, 1, 1}, 1024, params);
        params.good = false;
        expect_caught<Reaches>({2, 1, 1}, 1024, params,
                               {"thread 63: ", message, " where its buffer is reserved and not mapped", place});
    }
    // All of the addresses may be viewed, and no more.
    expect_caught<ViewBeyond>({2, 1, 1}, 0,
                              {.good = false,
                               .data = reserved.before_end(0),
                               .count = static_cast<int64_t>(2 * sim_test::Reserved::kGranule / sizeof(float))},
                              {"reaches beyond its buffer"});
    sim::sim_unmap(reserved.data(), sim_test::Reserved::kGranule);
    params.good = true;
    expect_caught<Reaches>({2, 1, 1}, 1024, params, {"reserved and not mapped"});
}

SIM_TEST(Memory, mapped_memory_is_nan_at_first) {
    const sim_test::Reserved reserved;
    for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(std::isnan(*reserved.before_end(4)));
        *reserved.before_end(4) = 1;
        ASSERT_TRUE(sim::sim_unmap(reserved.data(), sim_test::Reserved::kGranule));
        EXPECT_DEATH(*reserved.before_end(4) = 2, "");
        ASSERT_TRUE(sim::sim_map(reserved.data(), sim_test::Reserved::kGranule));
    }
}

// Host code that leaves a buffer meets a page without access at once.
SIM_TEST(Memory, red_zones_stop_the_host_too) {
    const sim_test::Array<char> data(1000);  // rounded up to 1024
    EXPECT_DEATH(data.data()[1024] = 0, "");
    EXPECT_DEATH(data.data()[1024 - 4096 - 1] = 0,
                 "");  // its page begins 3 KiB before it; what lies before the red zone is anybody's
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data.data()) % 256, 0u);
}

struct Misaligned : TestKernel<64> {
    static constexpr const char* kName = "misaligned";
    static void run(const Params& p) {
        const Global<const float> in(p.data, p.count);
        in.load_vec<4>(4 * thread_index() + (p.good || thread_index() != 33 ? 0 : 2));  // @misaligned
    }
};

SIM_TEST(Memory, a_misaligned_16_byte_load) {
    const sim_test::Array<float> data(4 * 64 + 4, 0.0f);
    expect_detector<Misaligned>({2, 1, 1}, 0, {.data = data.data(), .count = 4 * 64 + 4},
                                {"thread 33: read of 16 bytes at 0x", "misaligned", PLACE("misaligned")});
}

struct MisalignedShared : TestKernel<64> {
    static constexpr const char* kName = "misaligned_shared";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<uint16_t>(64 * 8 + 8);
        s.store_vec<8>(8 * thread_index() + (p.good ? 0 : 4), Vec<uint16_t, 8>{});  // @misaligned_shared
    }
};

SIM_TEST(Memory, a_misaligned_16_byte_store_to_shared_memory) {
    expect_detector<MisalignedShared>({2, 1, 1}, 4096, {},
                                      {"write of 16 bytes at 0x", "misaligned", PLACE("misaligned_shared")});
}

struct SharedPast : TestKernel<64> {
    static constexpr const char* kName = "shared_past";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(64);
        arena.take<float>(64);                             // there is memory behind it, but not the view's
        s.store(thread_index() + (p.good ? 0 : 1), 1.0f);  // @shared_past
    }
};

SIM_TEST(Memory, one_write_past_a_view_of_shared_memory) {
    expect_detector<SharedPast>(
        {2, 1, 1}, 4096, {},
        {"thread 63: write of shared memory, out of bounds: element 64 of 64 elements", PLACE("shared_past")});
}

struct Slice : TestKernel<64> {
    static constexpr const char* kName = "slice";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<float>(64);
        const auto part = s.slice(32, p.good ? 32 : 33);  // @slice
        if (thread_index() < 32) part.store(thread_index(), 1.0f);
    }
};

SIM_TEST(Memory, a_slice_past_a_view_of_shared_memory) {
    expect_detector<Slice>({1, 1, 1}, 4096, {}, {"slice of shared memory, out of bounds", PLACE("slice")});
}

struct Arena : TestKernel<64> {
    static constexpr const char* kName = "arena";
    static void run(const Params& p) {
        SharedArena arena;
        arena.take<float>(1);
        const auto s = arena.take<float>(p.good ? 252 : 253);  // @arena
        s.store(thread_index(), 1.0f);
    }
};

SIM_TEST(Memory, more_shared_memory_than_the_launch_asked_for) {
    static_assert(add_shared(add_shared(0, 4), 252 * 4) == 1024);
    expect_detector<Arena>(
        {2, 1, 1}, 1024, {},
        {"the arena gives out 1028 bytes of shared memory; the launch asked for 1024", PLACE("arena")});
}

SIM_TEST(Memory, more_shared_memory_than_the_device_has) {
    sim_test::Machine machine(kTarget.arch);
    const int64_t limit = machine.stream().shared_limit();
    constexpr Arch arch = kTarget.arch;
    EXPECT_EQ(limit, 1024 * (arch == Arch::kSm80 ? 163 : arch == Arch::kSm90a ? 227 : arch == Arch::kSm89 ? 99 : 64));
    EXPECT_EQ(outcome<Arena>(machine, {1, 1, 1}, limit, {}).status, ADZE_OK);
    const auto got = outcome<Arena>(machine, {1, 1, 1}, limit + 1, {});
    EXPECT_EQ(got.status, ADZE_ERROR_NOT_SUPPORTED);
    sim_test::expect_in(got.message,
                        {"kernel arena needs " + std::to_string(limit + 1) + " bytes of shared memory",
                         "the device has " + std::to_string(limit)},
                        "");
}

// Shared memory starts as NaN, in every block, whatever the block before left there; so does device memory.
struct AtFirst : TestKernel<128> {
    static constexpr const char* kName = "at_first";
    static void run(const Params& p) {
        SharedArena arena;
        const auto s = arena.take<uint32_t>(128);
        const auto word = s.load(thread_index());
        Global<float>(p.data, p.count).store(block_index().x * 128 + thread_index(), __builtin_bit_cast(float, word));
        s.store(thread_index(), 5u);
    }
};

SIM_TEST(Memory, shared_memory_is_nan_at_first) {
    for (const sim_test::Way& way : sim_test::every_way_and_threads()) {
        const sim_test::Array<float> out(10 * 128, 0.0f);
        sim_test::Machine machine(kTarget.arch, way);
        for (int again = 0; again < 2; ++again) {
            const auto got = outcome<AtFirst>(machine, {10, 1, 1}, 512, {.data = out.data(), .count = 1280});
            EXPECT_EQ(got.status, ADZE_OK) << got.message;
            for (const float value : out) ASSERT_EQ(__builtin_bit_cast(uint32_t, value), 0xffffffffu) << way.name();
        }
    }
    const sim_test::Array<float> fresh(1000);
    for (const float value : fresh) ASSERT_TRUE(std::isnan(value));
}

}  // namespace memory_tests
}  // namespace ADZE_TARGET
}  // namespace adze
