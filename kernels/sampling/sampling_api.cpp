#include <cinttypes>

#include "adze/sampling.h"
#include "runtime/objects.h"

using namespace adze;

extern "C" {

adze_status adze_sampling_workspace_size(const adze_context* context, int64_t rows, int64_t vocabulary,
                                         uint64_t* bytes) {
    return guarded(__func__, [&] {
        require_pointer(context, "context");
        require_range(rows, 0, INT32_MAX, "rows");
        require_range(vocabulary, 1, INT32_MAX, "vocabulary");
        require_pointer(bytes, "bytes");
        *bytes = context->backend->sampling_workspace(context->device, rows, vocabulary);
    });
}

adze_status adze_sampling_run(adze_stream* stream, const adze_sampling_desc* desc) {
    return guarded(__func__, [&] {
        require_pointer(stream, "stream");
        const adze_sampling_desc d = read_desc(desc);
        const uint32_t stride = d.params_stride == 0 ? sizeof(adze_sampling_params) : d.params_stride;
        require(stride >= sizeof(adze_sampling_params) && stride % alignof(adze_sampling_params) == 0,
                "params_stride is %u; it must be 0 or a multiple of %zu from %zu", stride,
                alignof(adze_sampling_params), sizeof(adze_sampling_params));
        require_tensor(d.logits, kFloatTypes, kAny, kAny, "logits");
        require_range(d.logits.columns, 1, INT32_MAX, "logits.columns");
        require(reinterpret_cast<uintptr_t>(d.params) % alignof(adze_sampling_params) == 0,
                "params is %p; it must be aligned to %zu bytes", static_cast<const void*>(d.params),
                alignof(adze_sampling_params));
        if (!is_absent(d.mask)) {
            require_tensor(d.mask, dtype_bit(ADZE_DTYPE_I32), d.logits.rows, kAny, "mask");
            const int64_t words = (d.logits.columns + 31) / 32;
            require(d.mask.columns >= words, "mask.columns is %" PRId64 "; a vocabulary of %" PRId64 " needs %" PRId64,
                    d.mask.columns, d.logits.columns, words);
        }
        require_tensor(d.ids, dtype_bit(ADZE_DTYPE_I32), 1, d.logits.rows, "ids");
        require_disjoint(d.ids, "ids", d.logits, "logits", false);
        require_disjoint(d.ids, "ids", d.mask, "mask", false);
        if (d.logits.rows == 0) return;
        const uint64_t needed =
            stream->backend().sampling_workspace(stream->context->device, d.logits.rows, d.logits.columns);
        require_workspace(d.workspace, d.workspace_bytes, needed);
        require_outside(d.logits, "logits", d.workspace, needed, "workspace");
        require_outside(d.mask, "mask", d.workspace, needed, "workspace");
        require_outside(d.ids, "ids", d.workspace, needed, "workspace");
        if (d.params != nullptr) {
            require_outside(d.ids, "ids", d.params, static_cast<uint64_t>(d.logits.rows) * stride, "params");
        }
        stream->backend().sampling(stream->device, {d.logits, d.mask, d.ids, d.params, stride, d.workspace});
    });
}

}  // extern "C"
