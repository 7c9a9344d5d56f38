// The rules of tensor maps (CUDA driver API, cuTensorMapEncodeTiled): each broken one is named.
#include "device/tensor_map.h"

#include "kit.h"

namespace {

using adze::TensorMapDesc;

TensorMapDesc good_map() {
    TensorMapDesc desc{};
    desc.data = reinterpret_cast<void*>(uintptr_t{4096});
    desc.element_bytes = 2;
    desc.rank = 2;
    desc.sizes[0] = 100, desc.sizes[1] = int64_t{1} << 32;
    desc.strides[1] = 208;
    desc.box[0] = 64, desc.box[1] = 256;
    desc.swizzle_bytes = 128;
    return desc;
}

template <class Break>
void expect_refused(const char* part, Break&& break_it) {
    TensorMapDesc desc = good_map();
    break_it(desc);
    const auto got = sim_test::outcome_of([&] { adze::require_tensor_map(desc); });
    EXPECT_EQ(got.status, ADZE_ERROR_INVALID_ARGUMENT) << part;
    sim_test::expect_in(got.message, {"tensor map: ", part}, "");
}

TEST(TensorMaps, each_broken_rule_is_refused) {
    const auto got = sim_test::outcome_of([] { adze::require_tensor_map(good_map()); });
    EXPECT_EQ(got.status, ADZE_OK) << got.message;
    expect_refused("data is", [](auto& d) { d.data = reinterpret_cast<void*>(uintptr_t{4104}); });
    expect_refused("data is", [](auto& d) { d.data = nullptr; });
    for (int bytes : {0, 3, 8, -1}) {
        expect_refused("element_bytes is", [&](auto& d) { d.element_bytes = bytes; });
    }
    for (int rank : {0, 6, -1}) expect_refused("rank is", [&](auto& d) { d.rank = rank; });
    for (int64_t size : {int64_t{0}, int64_t{-1}, (int64_t{1} << 32) + 1}) {
        expect_refused("sizes[0]", [&](auto& d) { d.sizes[0] = size; });
        expect_refused("sizes[1]", [&](auto& d) { d.sizes[1] = size; });
    }
    for (int64_t stride : {int64_t{8}, int64_t{-16}, int64_t{1} << 40})
        expect_refused("strides[1]", [&](auto& d) { d.strides[1] = stride; });
    for (int box : {0, 257, -1}) {
        expect_refused("box[0]", [&](auto& d) { d.box[0] = box; });
        expect_refused("box[1]", [&](auto& d) { d.box[1] = box; });
    }
    expect_refused("a row of the box", [](auto& d) { d.box[0] = 60; });   // 120 bytes
    expect_refused("a row of the box", [](auto& d) { d.box[0] = 128; });  // 256 bytes, swizzled by 128
    for (int swizzle : {0, 8, 48, 256}) {
        expect_refused("swizzle_bytes is", [&](auto& d) { d.swizzle_bytes = swizzle; });
    }
    // Unswizzled rows may be longer; strides of dimension 0 and what lies beyond the rank are not read.
    TensorMapDesc wide = good_map();
    wide.swizzle_bytes = 16;
    wide.box[0] = 256;
    wide.strides[0] = 7;
    wide.sizes[2] = -1;
    EXPECT_EQ(sim_test::outcome_of([&] { adze::require_tensor_map(wide); }).status, ADZE_OK);
}

TEST(TensorMaps, only_where_there_are_bulk_copies) {
    using adze::Arch;
    for (Arch arch : {Arch::kSm80, Arch::kSm89, Arch::kSm90a, Arch::kGfx90a}) {
        sim_test::Machine machine(arch);
        const auto got = sim_test::outcome_of([&] { adze::make_tensor_map(machine.stream(), good_map()); });
        EXPECT_EQ(got.status, arch == Arch::kSm90a ? ADZE_OK : ADZE_ERROR_NOT_SUPPORTED);
        if (arch != Arch::kSm90a) sim_test::expect_in(got.message, {machine.device().name, "has no bulk copies"}, "");
    }
}

}  // namespace
