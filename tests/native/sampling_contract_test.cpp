// sampling refuses what the header forbids, says why, and writes nothing.
#include "kit/refusal.h"
#include "kit/sampling_case.h"

namespace {

using kit::SamplingCall;
using kit::Tensor;

class SamplingContract : public kit::OnMachine {
protected:
    SamplingCall call{context, Tensor(ADZE_DTYPE_F32, 3, 70).fill(kit::normal(random)),
                      std::vector<adze_sampling_params>(3, {1, 5, 0.9f, 0.1f, 3, 4}),
                      std::vector<kit::Allowed>(3, kit::Allowed(70, true))};

    void refuse(const std::string& argument, const std::string& value, void (*spoil)(adze_sampling_desc&)) {
        adze_sampling_desc desc = call.desc();
        spoil(desc);
        call.ids.poison();
        EXPECT_TRUE(kit::invalid(adze_sampling_run(stream, &desc), "adze_sampling_run", argument, value));
        EXPECT_TRUE(call.ids.unchanged()) << argument << " = " << value;
    }
};
ADZE_ON_EACH_BACKEND(SamplingContract);

TEST_P(SamplingContract, RunChecksEveryArgument) {
    refuse("params_stride", "4", [](auto& d) { d.params_stride = 4; });
    refuse("logits.dtype", "", [](auto& d) { d.logits.dtype = ADZE_DTYPE_I32; });
    refuse("logits.columns", "0", [](auto& d) { d.logits.columns = 0; });
    refuse("logits.rows", "-1", [](auto& d) { d.logits.rows = -1; });
    refuse("logits.row_stride", "69", [](auto& d) { d.logits.row_stride = 69; });
    refuse("logits.data", "", [](auto& d) { d.logits.data = nullptr; });
    refuse("logits", "", [](auto& d) { d.logits = {}; });
    refuse("params", "", [](auto& d) {
        d.params = reinterpret_cast<const adze_sampling_params*>(reinterpret_cast<const char*>(d.params) + 1);
    });
    refuse("mask.columns", "2", [](auto& d) { d.mask.columns = 2; });
    refuse("mask.rows", "2", [](auto& d) { d.mask.rows = 2; });
    refuse("mask.rows", "1", [](auto& d) { d.mask.rows = 1; });
    refuse("mask.dtype", "", [](auto& d) { d.mask.dtype = ADZE_DTYPE_F32; });
    refuse("mask.data", "", [](auto& d) { d.mask.data = nullptr; });
    refuse("ids.columns", "2", [](auto& d) { d.ids.columns = 2; });
    refuse("ids.rows", "3", [](auto& d) { d.ids.rows = 3, d.ids.columns = 1, d.ids.row_stride = 1; });
    refuse("ids.dtype", "", [](auto& d) { d.ids.dtype = ADZE_DTYPE_F32; });
    refuse("ids.data", "", [](auto& d) { d.ids.data = nullptr; });
    EXPECT_TRUE(kit::invalid(adze_sampling_run(stream, nullptr), "adze_sampling_run", "desc"));
    const adze_sampling_desc desc = call.desc();
    EXPECT_TRUE(kit::invalid(adze_sampling_run(nullptr, &desc), "adze_sampling_run", "stream"));
}

TEST_P(SamplingContract, RunChecksItsWorkspace) {
    if (call.workspace.bytes() == 0) GTEST_SKIP() << "sampling on cpu needs no workspace";
    refuse("workspace", "", [](auto& d) { d.workspace = nullptr; });
    refuse("workspace_bytes", "", [](auto& d) { d.workspace_bytes -= 1; });
    refuse("workspace", "", [](auto& d) { d.workspace = static_cast<char*>(d.workspace) + 4; });
}

TEST_P(SamplingContract, WorkspaceSizeChecksEveryArgument) {
    const std::string function = "adze_sampling_workspace_size";
    uint64_t bytes = 5;
    EXPECT_TRUE(kit::invalid(adze_sampling_workspace_size(nullptr, 1, 10, &bytes), function, "context"));
    EXPECT_TRUE(kit::invalid(adze_sampling_workspace_size(context, -1, 10, &bytes), function, "rows", "-1"));
    EXPECT_TRUE(kit::invalid(adze_sampling_workspace_size(context, 1, -3, &bytes), function, "vocabulary", "-3"));
    EXPECT_TRUE(kit::invalid(adze_sampling_workspace_size(context, 1, 10, nullptr), function, "bytes"));
    EXPECT_EQ(bytes, 5u);
    const adze_status status = adze_sampling_workspace_size(context, INT64_MAX, INT64_MAX, &bytes);
    EXPECT_TRUE(status == ADZE_ERROR_INVALID_ARGUMENT || (status == ADZE_OK && bytes < 1 << 30)) << "it overflowed";
}

TEST_P(SamplingContract, StructSizes) {
    const adze_sampling_desc desc = call.desc();
    kit::check_struct_size(desc, "adze_sampling_run", [&](auto* d) { return adze_sampling_run(stream, d); });
}

}  // namespace
