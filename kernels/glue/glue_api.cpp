#include <cinttypes>
#include <cmath>

#include "adze/glue.h"
#include "runtime/objects.h"

namespace adze {
namespace {

constexpr int64_t kMaxNormColumns = 131072;
constexpr int64_t kMaxRotaryDim = 65536;

}  // namespace
}  // namespace adze

using namespace adze;

extern "C" {

adze_status adze_embedding_run(adze_stream* stream, const adze_embedding_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_embedding_desc d = read_desc(desc);
        require_zero(d.reserved, "reserved");
        require_tensor(d.ids, dtype_bit(ADZE_DTYPE_I32), 1, kAny, "ids");
        require_tensor(d.table, kFloatTypes, kAny, kAny, "table");
        require_tensor(d.y, kFloatTypes, d.ids.columns, d.table.columns, "y");
        require_disjoint(d.y, "y", d.table, "table", false);
        require_disjoint(d.y, "y", d.ids, "ids", false);
        if (d.y.rows != 0 && d.y.columns != 0) stream->backend().embedding(stream->device, {d.ids, d.table, d.y});
    });
}

adze_status adze_rms_norm_run(adze_stream* stream, const adze_rms_norm_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_rms_norm_desc d = read_desc(desc);
        require(d.epsilon >= 0 && std::isfinite(d.epsilon), "epsilon is %g; it must be finite and not negative",
                static_cast<double>(d.epsilon));
        require_tensor(d.x, kFloatTypes, kAny, kAny, "x");
        require_range(d.x.columns, 1, kMaxNormColumns, "x.columns");
        require_tensor(d.weight, kFloatTypes, 1, d.x.columns, "weight");
        require_tensor(d.y, kFloatTypes, d.x.rows, d.x.columns, "y");
        require_disjoint(d.y, "y", d.x, "x", true);
        require_disjoint(d.y, "y", d.weight, "weight", false);
        if (!is_absent(d.residual)) {
            require_tensor(d.residual, kFloatTypes, d.x.rows, d.x.columns, "residual");
            require_disjoint(d.residual, "residual", d.x, "x", false);
            require_disjoint(d.residual, "residual", d.y, "y", false);
            require_disjoint(d.residual, "residual", d.weight, "weight", false);
        }
        if (d.x.rows != 0) stream->backend().rms_norm(stream->device, {d.x, d.weight, d.residual, d.y, d.epsilon});
    });
}

adze_status adze_rope_run(adze_stream* stream, const adze_rope_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_rope_desc d = read_desc(desc);
        require_range(d.head_dim, 1, INT32_MAX, "head_dim");
        require_tensor(d.x, kFloatTypes, kAny, kAny, "x");
        require(d.x.columns % d.head_dim == 0, "x.columns is %" PRId64 "; it must be a multiple of head_dim, %d",
                d.x.columns, d.head_dim);
        require_tensor(d.positions, dtype_bit(ADZE_DTYPE_I32), 1, d.x.rows, "positions");
        require_tensor(d.inv_freq, dtype_bit(ADZE_DTYPE_F32), 1, kAny, "inv_freq");
        require_range(d.inv_freq.columns, 1, kMaxRotaryDim / 2, "inv_freq.columns");
        require(2 * d.inv_freq.columns <= d.head_dim,
                "inv_freq.columns is %" PRId64 "; twice it must be at most head_dim, %d", d.inv_freq.columns,
                d.head_dim);
        require_disjoint(d.x, "x", d.positions, "positions", false);
        require_disjoint(d.x, "x", d.inv_freq, "inv_freq", false);
        if (d.x.rows != 0 && d.x.columns != 0) {
            stream->backend().rope(stream->device, {d.x, d.positions, d.inv_freq, d.head_dim});
        }
    });
}

adze_status adze_silu_gate_run(adze_stream* stream, const adze_silu_gate_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_silu_gate_desc d = read_desc(desc);
        require_zero(d.reserved, "reserved");
        require_tensor(d.gate, kFloatTypes, kAny, kAny, "gate");
        require_tensor(d.up, kFloatTypes, d.gate.rows, d.gate.columns, "up");
        require_tensor(d.y, kFloatTypes, d.gate.rows, d.gate.columns, "y");
        require_disjoint(d.y, "y", d.gate, "gate", true);
        require_disjoint(d.y, "y", d.up, "up", true);
        if (d.y.rows != 0 && d.y.columns != 0) stream->backend().silu_gate(stream->device, {d.gate, d.up, d.y});
    });
}

}  // extern "C"
