// What must be said for the async proxy and for a whole warp or warp group, and by whom: sm_90a.
#include "device/bulk_copy.h"
#include "device/wgmma.h"
#include "device_kit.h"

namespace adze {
inline namespace ADZE_TARGET {
namespace async_proxy_tests {

constexpr int kElements = 256;
constexpr int64_t kShared = 40 << 10;

struct ProxyParams {
    bool good = true;
    TensorMap map;
    float* data = nullptr;
};

class Proxy {
public:
    Proxy() {
        TensorMapDesc desc{};
        desc.data = memory_.data();
        desc.element_bytes = 4;
        desc.rank = 1;
        desc.sizes[0] = desc.box[0] = kElements;
        desc.swizzle_bytes = 16;
        sim_test::Machine maker(kTarget.arch);
        params_.map = make_tensor_map(maker.stream(), desc);
        params_.data = memory_.data();
    }
    template <class Kernel>
    void expect(const std::vector<std::string>& parts) const {
        expect_detector<Kernel>({1, 1, 1}, kShared, params_, parts);
    }

private:
    sim_test::Array<float> memory_{kElements, 0.0f};
    ProxyParams params_;
};

void fill(const Shared<float>& values) {
    for (int i = thread_index(); i < kElements; i += block_threads()) values.store(i, 1.0f);  // @fill
}

// The fence is the writers' affair: one by the thread that asks for the copy does not stand for theirs.
template <int kIssuer>
struct FencedByTheIssuer : TestKernel<64, ProxyParams> {
    static constexpr const char* kName = "fenced_by_the_issuer";
    static void run(const ProxyParams& p) {
        SharedArena arena;
        const auto values = arena.take<float>(kElements, 128);
        fill(values);
        if (p.good || thread_index() == kIssuer) fence_async_proxy();
        sync_block();
        if (thread_index() != kIssuer) return;
        bulk_store<1>(p.map, {0}, values, 0);  // @store
        commit_bulk_stores();
        wait_bulk_stores<0>();
    }
};
SIM_TEST(AsyncProxy, a_fence_of_the_issuer_alone) {
    const Proxy proxy;
    const std::vector<std::string> parts{"no fence_async_proxy between them", PLACE("fill"), PLACE("store")};
    proxy.expect<FencedByTheIssuer<0>>(parts);
    proxy.expect<FencedByTheIssuer<63>>(parts);
}

struct LoadOverWrites : TestKernel<64, ProxyParams> {
    static constexpr const char* kName = "load_over_writes";
    static void run(const ProxyParams& p) {
        SharedArena arena;
        const auto values = arena.take<float>(kElements, 128);
        const auto barrier = arena.take<uint64_t>(1);
        fill(values);
        if (p.good) fence_async_proxy();
        if (thread_index() == 0) {
            mbarrier_init(barrier, 0, 1);
            fence_mbarrier_init();
        }
        sync_block();
        if (thread_index() == 0) {
            mbarrier_arrive_expect(barrier, 0, kElements * sizeof(float));
            bulk_load<1>(values, 0, p.map, {0}, barrier, 0);  // @load
        }
        mbarrier_wait(barrier, 0, 0);
        values.load(thread_index());
    }
};
SIM_TEST(AsyncProxy, ordinary_writes_before_a_bulk_load) {
    Proxy().expect<LoadOverWrites>(
        {"asynchronous write", "no fence_async_proxy between them", PLACE("fill"), PLACE("load")});
}

// wait_bulk_stores says that the source was read, not that the result can be.
struct ReadsItsStore : TestKernel<64, ProxyParams> {
    static constexpr const char* kName = "reads_its_store";
    static void run(const ProxyParams& p) {
        SharedArena arena;
        const auto values = arena.take<float>(kElements, 128);
        fill(values);
        fence_async_proxy();
        sync_block();
        if (thread_index() != 0) return;
        bulk_store<1>(p.map, {0}, values, 0);
        commit_bulk_stores();
        wait_bulk_stores<0>();
        const Global<float> memory(p.data, kElements);
        memory.store(0, 3 + memory.load(130));  // what was there before
    }
};
SIM_TEST(AsyncProxy, bulk_stores_are_seen_late) {
    const sim_test::Array<float> memory(kElements, 7.0f);
    sim_test::Machine machine(kTarget.arch);
    TensorMapDesc desc{};
    desc.data = memory.data() + 128;
    desc.element_bytes = 4;
    desc.rank = 1;
    desc.sizes[0] = desc.box[0] = 128;
    desc.swizzle_bytes = 16;
    const ProxyParams params{true, make_tensor_map(machine.stream(), desc), memory.data()};
    EXPECT_EQ(outcome<ReadsItsStore>(machine, {1, 1, 1}, kShared, params).status, ADZE_OK);
    EXPECT_EQ(memory[0], 10.0f);
    EXPECT_EQ(memory[130], 1.0f);
}

using Operand = SharedTile<bf16, 64, 64>;
using Multiply = Wgmma<bf16, 64>;

// Two operands of ones, written by the threads from `first` on.
struct Operands {
    Operand a, b;
    Operands() {
        SharedArena arena;
        a.data = arena.take<bf16>(Operand::kElements, 1024);
        b.data = arena.take<bf16>(Operand::kElements, 1024);
    }
    void fill(int first) const {
        for (int i = thread_index() - first; i < Operand::kElements; i += 128) {
            a.data.store(i, bf16{0x3f80});  // @operand
            b.data.store(i, bf16{0x3f80});
        }
        fence_async_proxy();
    }
};

struct OneWarpWaits : TestKernel<256, ProxyParams> {
    static constexpr const char* kName = "one_warp_waits";
    static void run(const ProxyParams& p) {
        const Operands operands;
        if (thread_index() >= 128) {
            operands.fill(128);
            arrive_named(1, p.good ? 256 : 160);
            return;
        }
        if (p.good || warp_index() == 0) sync_named(1, p.good ? 256 : 160);
        Multiply::C c;
        wgmma_fence();
        wgmma<Multiply>(c, operands.a, 0, 0, operands.b, 0, 0, false);
        wgmma_commit();
        wgmma_wait<0>();
    }
};
SIM_TEST(AsyncProxy, one_warp_of_a_group_waited) {
    Proxy().expect<OneWarpWaits>({"race: ", "asynchronous read", PLACE("operand")});
}

struct OtherOperands : TestKernel<128, ProxyParams> {
    static constexpr const char* kName = "other_operands";
    static void run(const ProxyParams& p) {
        const Operands operands;
        operands.fill(0);
        sync_block();
        Multiply::C c;
        wgmma_fence();
        wgmma<Multiply>(c, operands.a, 0, p.good ? 0 : warp_index() % 2 * 16, operands.b, 0, 0, false);
        wgmma_commit();
        wgmma_wait<0>();
    }
};
SIM_TEST(AsyncProxy, warps_of_a_group_name_different_operands) {
    Proxy().expect<OtherOperands>({"have issued different instructions"});
}

struct UnfencedRegisters : TestKernel<128, ProxyParams> {
    static constexpr const char* kName = "unfenced_registers";
    static void run(const ProxyParams& p) {
        const Operands operands;
        operands.fill(0);
        sync_block();
        Multiply::C c, d;
        wgmma_fence();
        wgmma<Multiply>(c, operands.a, 0, 0, operands.b, 0, 0, false);
        wgmma_commit();
        wgmma<Multiply>(d, operands.a, 0, 0, operands.b, 0, 0, false);
        wgmma_commit();
        wgmma_wait<1>();
        for (float& value : c.value) value *= 2;
        if (p.good) wgmma_fence();
        wgmma<Multiply>(c, operands.a, 0, 16, operands.b, 0, 16, true);  // @again
        wgmma_commit();
        wgmma_wait<0>();
    }
};
SIM_TEST(AsyncProxy, registers_written_between_two_wgmma) {
    Proxy().expect<UnfencedRegisters>({"wgmma: no wgmma_fence since the last wait", PLACE("again")});
}

struct HalfAWarpLoads : TestKernel<128, ProxyParams> {
    static constexpr const char* kName = "half_a_warp_loads";
    static void run(const ProxyParams& p) {
        const Operands operands;
        operands.fill(0);
        sync_block();
        if (p.good || lane_index() < 16) load_b<Mma<bf16>>(operands.b, 0, 0);
        sync_warp();
    }
};
SIM_TEST(AsyncProxy, a_fragment_loaded_by_half_a_warp) {
    Proxy().expect<HalfAWarpLoads>({"have loaded or stored fragments at different places"});
}

// Rows of kPitch elements.
template <int kPitch>
struct PitchedTile {
    using Element = bf16;
    static constexpr int kRows = 16, kColumns = 8;
    Shared<bf16> data;
    static int index(int row, int column) { return row * kPitch + column; }
};
struct MisalignedRows : TestKernel<64, ProxyParams> {
    static constexpr const char* kName = "misaligned_rows";
    static void run(const ProxyParams& p) {
        SharedArena arena;
        const auto memory = arena.take<bf16>(16 * 16);
        if (warp_index() != 0) return;
        const Mma<bf16>::C c;
        if (p.good) {
            store_c<Mma<bf16>>(PitchedTile<16>{memory}, 0, 0, c);
        } else {
            store_c<Mma<bf16>>(PitchedTile<10>{memory}, 0, 0, c);
        }
    }
};
SIM_TEST(AsyncProxy, rows_of_a_stored_fragment_are_aligned) {
    Proxy().expect<MisalignedRows>({"misaligned", "16 bytes"});
}

}  // namespace async_proxy_tests
}  // namespace ADZE_TARGET
}  // namespace adze
