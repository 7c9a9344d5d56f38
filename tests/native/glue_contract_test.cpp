// The small operators refuse what the header forbids, say why, and write nothing.
#include "kit/glue_case.h"
#include "kit/refusal.h"

namespace {

using kit::Tensor;

class GlueContract : public kit::OnMachine {
protected:
    Tensor x = Tensor(ADZE_DTYPE_F32, 3, 8).fill(kit::normal(random));
    Tensor other = Tensor(ADZE_DTYPE_BF16, 3, 8).fill(kit::normal(random));
    Tensor weight = Tensor(ADZE_DTYPE_F16, 1, 8).fill(kit::normal(random));
    Tensor table = Tensor(ADZE_DTYPE_F32, 10, 8).fill(kit::normal(random));
    Tensor y = Tensor(ADZE_DTYPE_F32, 3, 8).poison();
    Tensor ids = kit::vector_i32({0, 9, 4});
    Tensor inv_freq = kit::vector_f32({1, 0.5f});

    template <class Desc>
    auto refuser(const Desc& good, const std::string& function, adze_status (*run)(adze_stream*, const Desc*)) {
        EXPECT_TRUE(kit::invalid(run(stream, nullptr), function, "desc"));
        EXPECT_TRUE(kit::invalid(run(nullptr, &good), function, "stream"));
        return
            [this, good, function, run](const std::string& argument, const std::string& value, void (*spoil)(Desc&)) {
                Desc desc = good;
                spoil(desc);
                EXPECT_TRUE(kit::invalid(run(stream, &desc), function, argument, value));
                EXPECT_TRUE(y.unchanged() && x.unchanged() && other.unchanged()) << argument << " = " << value;
            };
    }
};
ADZE_ON_EACH_BACKEND(GlueContract);

TEST_P(GlueContract, Embedding) {
    const adze_embedding_desc good{sizeof good, 0, ids.view(), table.view(), y.view()};
    const auto refuse = refuser(good, "adze_embedding_run", adze_embedding_run);
    refuse("reserved", "1", [](auto& d) { d.reserved = 1; });
    refuse("ids.dtype", "", [](auto& d) { d.ids.dtype = ADZE_DTYPE_F32; });
    refuse("ids.rows", "2", [](auto& d) { d.ids.rows = 2, d.ids.columns = 1, d.ids.row_stride = 1; });
    refuse("ids.data", "", [](auto& d) { d.ids.data = nullptr; });
    refuse("columns", "7", [](auto& d) { d.table.columns = 7; });
    refuse("table.dtype", "", [](auto& d) { d.table.dtype = ADZE_DTYPE_I32; });
    refuse("table.data", "", [](auto& d) { d.table.data = nullptr; });
    refuse("y.rows", "2", [](auto& d) { d.y.rows = 2; });
    refuse("y.dtype", "", [](auto& d) { d.y.dtype = ADZE_DTYPE_I32; });
    refuse("y.row_stride", "7", [](auto& d) { d.y.row_stride = 7; });
    for (int32_t bad : {-1, 10, INT32_MAX, INT32_MIN}) {
        const Tensor wrong = kit::vector_i32({0, 1, bad});
        adze_embedding_desc desc = good;
        desc.ids = wrong.view();
        y.poison();
        if (!checks_indices()) {
            ADZE_EXPECT_OK(adze_embedding_run(stream, &desc));
            for (int64_t c = 0; c < 8; ++c) {
                EXPECT_EQ(y.at(0, c), table.at(0, c));
                EXPECT_EQ(y.at(1, c), table.at(1, c));
                EXPECT_TRUE(std::isnan(y.at(2, c))) << bad;
            }
            continue;
        }
        EXPECT_TRUE(kit::invalid(adze_embedding_run(stream, &desc), "adze_embedding_run", "ids", std::to_string(bad)));
        EXPECT_TRUE(y.unchanged()) << "not even the rows before the wrong one";
    }
    kit::check_struct_size(good, "adze_embedding_run", [&](auto* d) { return adze_embedding_run(stream, d); });
}

TEST_P(GlueContract, RmsNorm) {
    const adze_rms_norm_desc good{sizeof good, 1e-6f, x.view(), weight.view(), other.view(), y.view()};
    const auto refuse = refuser(good, "adze_rms_norm_run", adze_rms_norm_run);
    refuse("epsilon", "-1", [](auto& d) { d.epsilon = -1; });
    refuse("epsilon", "", [](auto& d) { d.epsilon = NAN; });
    refuse("epsilon", "", [](auto& d) { d.epsilon = INFINITY; });
    refuse("x.dtype", "", [](auto& d) { d.x.dtype = ADZE_DTYPE_I32; });
    refuse("x", "", [](auto& d) { d.x = {}; });
    refuse("weight.columns", "7", [](auto& d) { d.weight.columns = 7; });
    refuse("weight.rows", "2", [](auto& d) { d.weight.rows = 2; });
    refuse("weight", "", [](auto& d) { d.weight = {}; });
    refuse("residual.rows", "2", [](auto& d) { d.residual.rows = 2; });
    refuse("residual.columns", "6", [](auto& d) { d.residual.columns = 6; });
    refuse("residual.dtype", "", [](auto& d) { d.residual.dtype = ADZE_DTYPE_I32; });
    refuse("residual.data", "", [](auto& d) { d.residual.data = nullptr; });
    refuse("y.columns", "7", [](auto& d) { d.y.columns = 7; });
    refuse("y.rows", "4", [](auto& d) { d.y.rows = 4; });
    // y may be x and nothing else: not x shifted, not the residual.
    refuse("y", "", [](auto& d) { d.y.data = static_cast<float*>(d.x.data) + 1; });
    refuse("y", "", [](auto& d) { d.y = d.residual; });
    refuse("residual", "", [](auto& d) { d.residual = d.x; });
    adze_rms_norm_desc desc = good;
    kit::check_struct_size(desc, "adze_rms_norm_run", [&](auto* d) { return adze_rms_norm_run(stream, d); });
}

TEST_P(GlueContract, Rope) {
    const adze_rope_desc good{sizeof good, 4, x.view(), ids.view(), inv_freq.view()};
    const auto refuse = refuser(good, "adze_rope_run", adze_rope_run);
    refuse("head_dim", "3", [](auto& d) { d.head_dim = 3; });
    refuse("head_dim", "0", [](auto& d) { d.head_dim = 0; });
    refuse("head_dim", "-4", [](auto& d) { d.head_dim = -4; });
    refuse("x.columns", "8", [](auto& d) { d.head_dim = 5; });
    refuse("x.dtype", "", [](auto& d) { d.x.dtype = ADZE_DTYPE_I32; });
    refuse("x.data", "", [](auto& d) { d.x.data = nullptr; });
    refuse("positions.columns", "2", [](auto& d) { d.positions.columns = 2; });
    refuse("positions.dtype", "", [](auto& d) { d.positions.dtype = ADZE_DTYPE_F32; });
    refuse("inv_freq.dtype", "", [](auto& d) { d.inv_freq.dtype = ADZE_DTYPE_F16; });
    refuse("inv_freq.data", "", [](auto& d) { d.inv_freq.data = nullptr; });
    const Tensor negative = kit::vector_i32({0, 1, -2});
    adze_rope_desc desc = good;
    desc.positions = negative.view();
    if (checks_indices()) {
        EXPECT_TRUE(kit::invalid(adze_rope_run(stream, &desc), "adze_rope_run", "positions", "-2"));
        EXPECT_TRUE(x.unchanged());
    }
    kit::check_struct_size(good, "adze_rope_run", [&](auto* d) { return adze_rope_run(stream, d); });
}

TEST_P(GlueContract, RopeFrequencies) {
    Tensor out = Tensor(ADZE_DTYPE_F32, 1, 4).poison();
    float* values = reinterpret_cast<float*>(out.data());
    const adze_rope_frequencies_desc good{sizeof good, 8, 1e4, ADZE_ROPE_SCALING_LLAMA3, 0, 8, 1, 4, 8192};
    const auto refuse = [&](const std::string& argument, const std::string& value, auto spoil) {
        adze_rope_frequencies_desc desc = good;
        spoil(desc);
        EXPECT_TRUE(kit::invalid(adze_rope_frequencies(&desc, values), "adze_rope_frequencies", argument, value));
        EXPECT_TRUE(out.unchanged()) << argument;
    };
    refuse("rotary_dim", "7", [](auto& d) { d.rotary_dim = 7; });
    refuse("rotary_dim", "0", [](auto& d) { d.rotary_dim = 0; });
    refuse("rotary_dim", "-2", [](auto& d) { d.rotary_dim = -2; });
    refuse("theta", "0", [](auto& d) { d.theta = 0; });
    refuse("theta", "", [](auto& d) { d.theta = NAN; });
    refuse("scaling", "3", [](auto& d) { d.scaling = adze_rope_scaling(3); });
    refuse("reserved", "1", [](auto& d) { d.reserved = 1; });
    refuse("factor", "0", [](auto& d) { d.factor = 0; });
    refuse("low_freq_factor", "0", [](auto& d) { d.low_freq_factor = 0; });
    refuse("high_freq_factor", "1", [](auto& d) { d.high_freq_factor = 1; });
    refuse("original_context", "-1", [](auto& d) { d.original_context = -1; });
    EXPECT_TRUE(kit::invalid(adze_rope_frequencies(nullptr, values), "adze_rope_frequencies", "desc"));
    EXPECT_TRUE(kit::invalid(adze_rope_frequencies(&good, nullptr), "adze_rope_frequencies", "inv_freq"));
    kit::check_struct_size(good, "adze_rope_frequencies", [&](auto* d) { return adze_rope_frequencies(d, values); });
}

TEST_P(GlueContract, SiluGate) {
    const adze_silu_gate_desc good{sizeof good, 0, x.view(), other.view(), y.view()};
    const auto refuse = refuser(good, "adze_silu_gate_run", adze_silu_gate_run);
    refuse("reserved", "1", [](auto& d) { d.reserved = 1; });
    refuse("up.rows", "2", [](auto& d) { d.up.rows = 2; });
    refuse("up.columns", "7", [](auto& d) { d.up.columns = 7; });
    refuse("y.rows", "4", [](auto& d) { d.y.rows = 4; });
    refuse("y.columns", "9", [](auto& d) { d.y.columns = 9, d.y.row_stride = 9; });
    refuse("gate.dtype", "", [](auto& d) { d.gate.dtype = ADZE_DTYPE_I32; });
    refuse("gate.data", "", [](auto& d) { d.gate.data = nullptr; });
    refuse("gate.data", "", [](auto& d) { d.gate.data = static_cast<char*>(d.gate.data) + 2; });
    refuse("gate", "", [](auto& d) { d.gate = {}; });
    refuse("y", "", [](auto& d) { d.y.data = static_cast<float*>(d.gate.data) + 3; });
    kit::check_struct_size(good, "adze_silu_gate_run", [&](auto* d) { return adze_silu_gate_run(stream, d); });
}

}  // namespace
