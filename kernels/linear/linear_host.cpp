#include <algorithm>
#include <cstring>

#include "linear/linear.h"
#include "runtime/check.h"

namespace adze {
namespace {

template <class Element>
void pack_elements(const Element* source, int64_t row_stride, int64_t n, int64_t k, int64_t panel, Element* packed) {
    const int64_t first = panel * kPanel, lanes = std::min(kPanel, n - first);
    Element* out = packed + panel * k * kPanel;
    if (lanes < kPanel) std::memset(out, 0, static_cast<size_t>(k * kPanel) * sizeof(Element));
    for (int64_t lane = 0; lane < lanes; ++lane) {
        const Element* row = source + (first + lane) * row_stride;
        for (int64_t i = 0; i < k; ++i) out[i * kPanel + lane] = row[i];
    }
}

}  // namespace

uint64_t linear_workspace_bytes(int64_t rows, int64_t k) {
    return (static_cast<uint64_t>(rows) * static_cast<uint64_t>(k) * sizeof(float) + 255) / 256 * 256;
}

uint64_t packed_weight_bytes(adze_dtype dtype, int64_t n, int64_t k) {
    return static_cast<uint64_t>((n + kPanel - 1) / kPanel * kPanel * k * dtype_bytes(dtype));
}

void pack_panel(const void* source, int64_t row_stride, const WeightView& packed, int64_t panel) {
    void* data = const_cast<void*>(packed.data);
    if (dtype_bytes(packed.dtype) == 4) {
        pack_elements(static_cast<const uint32_t*>(source), row_stride, packed.n, packed.k, panel,
                      static_cast<uint32_t*>(data));
    } else {
        pack_elements(static_cast<const uint16_t*>(source), row_stride, packed.n, packed.k, panel,
                      static_cast<uint16_t*>(data));
    }
}

}  // namespace adze
