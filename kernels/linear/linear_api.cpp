#include <cinttypes>
#include <memory>

#include "adze/linear.h"
#include "runtime/objects.h"

using namespace adze;

extern "C" {

adze_status adze_weight_create(adze_context* context, const adze_weight_desc* desc, adze_weight** weight) {
    return guarded(__func__, [&] {
        require_pointer(weight, "weight");
        *weight = nullptr;
        require_pointer(context, "context");
        const adze_weight_desc full = read_desc(desc);
        require_range(full.rows, 1, INT32_MAX, "rows");
        require_range(full.columns, 1, INT32_MAX, "columns");
        constexpr int64_t kMaxElements = int64_t{1} << 48;
        require(full.columns <= kMaxElements / full.rows,
                "rows x columns is %" PRId64 " x %" PRId64 "; allowed is up to 2^48 elements", full.rows, full.columns);
        const int64_t row_stride = full.row_stride == 0 ? full.columns : full.row_stride;
        require(row_stride >= full.columns, "row_stride is %" PRId64 "; it must be 0 or at least columns, %" PRId64,
                row_stride, full.columns);
        // Read only: the tensor view has no const form.
        require_tensor({const_cast<void*>(full.data), full.rows, full.columns, row_stride, full.dtype, 0}, kFloatTypes,
                       kAny, kAny, "weight");
        auto made = std::make_unique<adze_weight>(context);
        made->bytes = context->backend->weight_bytes(context->device, full.dtype, full.rows, full.columns);
        made->allocate(made->bytes);
        made->view = {full.dtype, full.rows, full.columns, made->owned};
        context->backend->pack_weight(context->device, full.data, row_stride, made->view);
        *weight = made.release();
    });
}

adze_status adze_weight_destroy(adze_weight* weight) {
    return guarded(__func__, [&] { destroy(weight); });
}

uint64_t adze_weight_bytes(const adze_weight* weight) {
    return weight == nullptr ? 0 : weight->bytes;
}

adze_status adze_linear_workspace_size(const adze_weight* weight, int64_t rows, uint64_t* bytes) {
    return guarded(__func__, [&] {
        require_pointer(weight, "weight");
        require_pointer(bytes, "bytes");
        require_range(rows, 0, INT64_MAX / weight->view.k / 8, "rows");
        *bytes = weight->backend().linear_workspace(weight->context->device, weight->view, rows);
    });
}

adze_status adze_linear_run(adze_stream* stream, const adze_linear_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_linear_desc full = read_desc(desc);
        require_zero(full.reserved, "reserved");
        require_pointer(full.weight, "weight");
        require_same_context(*full.weight, "weight", *stream);
        const WeightView& weight = full.weight->view;
        require_tensor(full.x, kFloatTypes, kAny, weight.k, "x");
        require_tensor(full.y, kFloatTypes, full.x.rows, weight.n, "y");
        if (!is_absent(full.bias)) require_tensor(full.bias, kFloatTypes, 1, weight.n, "bias");
        require_disjoint(full.y, "y", full.x, "x", false);
        require_disjoint(full.y, "y", full.bias, "bias", false);
        if (full.x.rows == 0) return;
        const uint64_t needed = stream->backend().linear_workspace(stream->context->device, weight, full.x.rows);
        require_workspace(full.workspace, full.workspace_bytes, needed);
        require_outside(full.x, "x", full.workspace, needed, "workspace");
        require_outside(full.y, "y", full.workspace, needed, "workspace");
        require_outside(full.bias, "bias", full.workspace, needed, "workspace");
        stream->backend().linear(stream->device, {weight, full.x, full.y, full.bias, full.workspace});
    });
}

}  // extern "C"
