// The rules of tensor maps (CUDA driver API, cuTensorMapEncodeTiled): each broken one is named.
#include "device/tensor_map.h"

#include <array>

#include "kit.h"

namespace tensor_map_tests {

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
    const auto got = sim_test::outcome_of([&] { adze::tensor_map_arguments(desc); });
    EXPECT_EQ(got.status, ADZE_ERROR_INVALID_ARGUMENT) << part;
    sim_test::expect_in(got.message, {"tensor map: ", part}, "");
}

TEST(TensorMaps, each_broken_rule_is_refused) {
    const auto got = sim_test::outcome_of([] { adze::tensor_map_arguments(good_map()); });
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
    EXPECT_EQ(sim_test::outcome_of([&] { adze::tensor_map_arguments(wide); }).status, ADZE_OK);
}

// What the driver is told, in cuda.h's own numbers.
TEST(TensorMaps, arguments_of_the_encoder) {
    TensorMapDesc desc = good_map();
    desc.rank = 5;
    desc.sizes[2] = 7, desc.sizes[3] = 1, desc.sizes[4] = 3;
    desc.strides[0] = 7, desc.strides[2] = 4096, desc.strides[3] = 0, desc.strides[4] = (int64_t{1} << 40) - 16;
    desc.box[2] = 3, desc.box[3] = 1, desc.box[4] = 2;
    const adze::TensorMapArguments got = adze::tensor_map_arguments(desc);
    EXPECT_EQ(got.type, 1u);  // CU_TENSOR_MAP_DATA_TYPE_UINT16
    EXPECT_EQ(got.rank, 5u);
    EXPECT_EQ(got.data, desc.data);
    EXPECT_EQ(std::to_array(got.sizes), (std::array<uint64_t, 5>{100, uint64_t{1} << 32, 7, 1, 3}));
    EXPECT_EQ(std::to_array(got.strides), (std::array<uint64_t, 4>{208, 4096, 0, (uint64_t{1} << 40) - 16}));
    EXPECT_EQ(std::to_array(got.box), (std::array<uint32_t, 5>{64, 256, 3, 1, 2}));
    EXPECT_EQ(got.swizzle, 3u);  // CU_TENSOR_MAP_SWIZZLE_128B
    EXPECT_EQ(std::to_array(got.kSteps), (std::array<uint32_t, 5>{1, 1, 1, 1, 1}));
    EXPECT_EQ(got.kInterleave, 0u);
    EXPECT_EQ(got.kPromotion, 2u);  // CU_TENSOR_MAP_L2_PROMOTION_L2_128B
    EXPECT_EQ(got.kFill, 0u);
    // Each size of an element and of a swizzle, as the driver numbers it and back.
    for (const auto& [bytes, type] : {std::pair{1, 0u}, {2, 1u}, {4, 2u}}) {
        for (const auto& [swizzle, mode] : {std::pair{16, 0u}, {32, 1u}, {64, 2u}, {128, 3u}}) {
            desc.element_bytes = bytes;
            desc.box[0] = 16 / bytes;
            desc.swizzle_bytes = swizzle;
            const adze::TensorMapArguments arguments = adze::tensor_map_arguments(desc);
            EXPECT_EQ(arguments.type, type);
            EXPECT_EQ(arguments.element_bytes(), static_cast<uint32_t>(bytes));
            EXPECT_EQ(arguments.swizzle, mode);
            EXPECT_EQ(arguments.swizzle_bytes(), static_cast<uint32_t>(swizzle));
        }
    }
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

}  // namespace tensor_map_tests
