// linear refuses what its header forbids, says why, and writes nothing.
#include "kit/linear_case.h"
#include "kit/refusal.h"

namespace {

using kit::LinearCall;
using kit::Tensor;

class LinearContract : public kit::OnMachine {
protected:
    LinearCall call{
        context, {3, 5, 7, ADZE_DTYPE_F32, ADZE_DTYPE_BF16, ADZE_DTYPE_F32, ADZE_DTYPE_F32}, kit::integers(random)};

    void refuse(const std::string& argument, const std::string& value, void (*spoil)(adze_linear_desc&)) {
        adze_linear_desc desc = call.desc();
        spoil(desc);
        call.y.poison();
        EXPECT_TRUE(kit::invalid(adze_linear_run(stream, &desc), "adze_linear_run", argument, value));
        EXPECT_TRUE(call.y.unchanged()) << argument << " = " << value;
    }
};
ADZE_ON_EACH_BACKEND(LinearContract);

TEST_P(LinearContract, RunChecksEveryArgument) {
    refuse("x.columns", "6", [](auto& d) { d.x.columns = 6; });
    refuse("x.columns", "-7", [](auto& d) { d.x.columns = -7; });
    refuse("x.rows", "-1", [](auto& d) { d.x.rows = -1; });
    refuse("x.row_stride", "6", [](auto& d) { d.x.row_stride = 6; });
    refuse("x.row_stride", "-7", [](auto& d) { d.x.row_stride = -7; });
    refuse("x.dtype", "", [](auto& d) { d.x.dtype = ADZE_DTYPE_I32; });
    refuse("x.dtype", "", [](auto& d) { d.x.dtype = adze_dtype(99); });
    refuse("x.data", "", [](auto& d) { d.x.data = nullptr; });
    refuse("x.data", "", [](auto& d) { d.x.data = static_cast<char*>(d.x.data) + 1; });
    refuse("x.reserved", "3", [](auto& d) { d.x.reserved = 3; });
    refuse("x", "", [](auto& d) { d.x = {}; });
    refuse("y.columns", "4", [](auto& d) { d.y.columns = 4; });
    refuse("y.rows", "2", [](auto& d) { d.y.rows = 2; });
    refuse("y.row_stride", "4", [](auto& d) { d.y.row_stride = 4; });
    refuse("y.dtype", "", [](auto& d) { d.y.dtype = ADZE_DTYPE_I32; });
    refuse("y.data", "", [](auto& d) { d.y.data = nullptr; });
    refuse("y.data", "", [](auto& d) { d.y.data = static_cast<char*>(d.y.data) - 2; });
    refuse("y.reserved", "1", [](auto& d) { d.y.reserved = 1; });
    refuse("y", "", [](auto& d) { d.y = {}; });
    refuse("bias.columns", "4", [](auto& d) { d.bias.columns = 4; });
    refuse("bias.rows", "2", [](auto& d) { d.bias.rows = 2; });
    refuse("bias.dtype", "", [](auto& d) { d.bias.dtype = ADZE_DTYPE_I32; });
    refuse("bias.data", "", [](auto& d) { d.bias.data = nullptr; });
    refuse("bias.dtype", "", [](auto& d) { d.bias.dtype = ADZE_DTYPE_NONE; });
    refuse("weight", "", [](auto& d) { d.weight = nullptr; });
    refuse("reserved", "5", [](auto& d) { d.reserved = 5; });
    refuse("y", "", [](auto& d) { d.y.data = static_cast<float*>(d.x.data) + 2; });
    EXPECT_TRUE(kit::invalid(adze_linear_run(stream, nullptr), "adze_linear_run", "desc"));
    const adze_linear_desc desc = call.desc();
    EXPECT_TRUE(kit::invalid(adze_linear_run(nullptr, &desc), "adze_linear_run", "stream"));
    EXPECT_TRUE(call.y.unchanged());
}

TEST_P(LinearContract, RunChecksItsWorkspace) {
    // A weight and M for which the library wants a workspace, should there be one.
    LinearCall large(context, {64, 300, 700, ADZE_DTYPE_BF16, ADZE_DTYPE_BF16}, kit::integers(random));
    adze_linear_desc desc = large.desc();
    if (desc.workspace_bytes == 0) GTEST_SKIP() << "linear on cpu needs no workspace";
    desc.workspace_bytes -= 1;
    EXPECT_TRUE(kit::invalid(adze_linear_run(stream, &desc), "adze_linear_run", "workspace_bytes",
                             std::to_string(desc.workspace_bytes)));
    for (adze_tensor adze_linear_desc::*tensor : {&adze_linear_desc::x, &adze_linear_desc::y}) {
        desc = large.desc();
        (desc.*tensor).data = desc.workspace;
        EXPECT_TRUE(kit::invalid(adze_linear_run(stream, &desc), "adze_linear_run",
                                 tensor == &adze_linear_desc::x ? "x.data" : "y.data"));
    }
    desc = large.desc();
    desc.workspace = nullptr;
    EXPECT_TRUE(kit::invalid(adze_linear_run(stream, &desc), "adze_linear_run", "workspace"));
    desc = large.desc();
    desc.workspace = static_cast<char*>(desc.workspace) + 16;
    EXPECT_TRUE(kit::invalid(adze_linear_run(stream, &desc), "adze_linear_run", "workspace"));
    EXPECT_TRUE(large.y.unchanged());
}

TEST_P(LinearContract, TensorsMayNotWrapAroundTheAddressSpace) {
    refuse("x", "", [](auto& d) { d.x.row_stride = INT64_MAX / 2; });
    refuse("y", "", [](auto& d) { d.y.row_stride = INT64_MAX / 4; });
}

TEST_P(LinearContract, WeightAndStreamAreOfOneContext) {
    const kit::Context other = kit::make_context();
    const kit::Stream foreign = kit::make_stream(other);
    const adze_linear_desc desc = call.desc();
    call.y.poison();
    EXPECT_TRUE(kit::invalid(adze_linear_run(foreign, &desc), "adze_linear_run", "weight"));
    EXPECT_TRUE(call.y.unchanged());
}

TEST_P(LinearContract, WeightCreateChecksEveryArgument) {
    Tensor w = Tensor(ADZE_DTYPE_F32, 5, 7).fill(kit::integers(random));
    const adze_weight_desc good{sizeof good, w.dtype(), w.data(), 5, 7, 7};
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        adze_weight_desc desc = good;
        spoil(desc);
        adze_weight* out = nullptr;
        EXPECT_TRUE(kit::invalid(adze_weight_create(context, &desc, &out), "adze_weight_create", argument, value));
        EXPECT_EQ(out, nullptr);
    };
    refuse("dtype", "", [](auto& d) { d.dtype = ADZE_DTYPE_NONE; });
    refuse("dtype", "", [](auto& d) { d.dtype = ADZE_DTYPE_I32; });
    refuse("dtype", "", [](auto& d) { d.dtype = adze_dtype(-1); });
    refuse("data", "", [](auto& d) { d.data = nullptr; });
    refuse("data", "", [](auto& d) { d.data = static_cast<const char*>(d.data) + 1; });
    refuse("rows", "0", [](auto& d) { d.rows = 0; });
    refuse("rows", "-3", [](auto& d) { d.rows = -3; });
    refuse("columns", "0", [](auto& d) { d.columns = 0; });
    refuse("columns", "-1", [](auto& d) { d.columns = -1; });
    // The next product would wrap the bytes of its tiles.
    refuse("rows x columns", "2147483647 x 2147483647", [](auto& d) { d.rows = d.columns = INT32_MAX; });
    refuse("row_stride", "6", [](auto& d) { d.row_stride = 6; });
    refuse("row_stride", "-7", [](auto& d) { d.row_stride = -7; });
    adze_weight* out = nullptr;
    EXPECT_TRUE(kit::invalid(adze_weight_create(nullptr, &good, &out), "adze_weight_create", "context"));
    EXPECT_TRUE(kit::invalid(adze_weight_create(context, nullptr, &out), "adze_weight_create", "desc"));
    EXPECT_TRUE(kit::invalid(adze_weight_create(context, &good, nullptr), "adze_weight_create", "weight"));
    uint64_t bytes = 7;
    EXPECT_TRUE(kit::invalid(adze_linear_workspace_size(nullptr, 1, &bytes), "adze_linear_workspace_size", "weight"));
    EXPECT_TRUE(
        kit::invalid(adze_linear_workspace_size(call.weight, -1, &bytes), "adze_linear_workspace_size", "rows", "-1"));
    EXPECT_TRUE(
        kit::invalid(adze_linear_workspace_size(call.weight, 1, nullptr), "adze_linear_workspace_size", "bytes"));
    EXPECT_EQ(bytes, 7u);
}

TEST_P(LinearContract, AWeightThatCannotBeHeldIsNoCrash) {
    // 2^61 elements: the size overflows or the allocation fails; both are an error with a message.
    const float one = 1;
    const adze_weight_desc desc{sizeof desc, ADZE_DTYPE_F32, &one, int64_t{1} << 31, int64_t{1} << 30, 0};
    adze_weight* out = nullptr;
    const adze_status status = adze_weight_create(context, &desc, &out);
    EXPECT_TRUE(status == ADZE_ERROR_OUT_OF_MEMORY || status == ADZE_ERROR_INVALID_ARGUMENT)
        << adze_status_name(status);
    EXPECT_EQ(out, nullptr);
}

TEST_P(LinearContract, StructSizes) {
    const adze_linear_desc desc = call.desc();
    kit::check_struct_size(desc, "adze_linear_run", [&](auto* d) { return adze_linear_run(stream, d); });
    Tensor w = Tensor(ADZE_DTYPE_F32, 5, 7).fill(kit::integers(random));
    const adze_weight_desc weight{sizeof weight, w.dtype(), w.data(), 5, 7, 0};
    kit::check_struct_size(weight, "adze_weight_create", [&](const adze_weight_desc* d) {
        adze_weight* raw = nullptr;
        const adze_status status = adze_weight_create(context, d, &raw);
        const kit::Weight weight(raw);
        return status;
    });
}

}  // namespace
