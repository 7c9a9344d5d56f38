#include <cinttypes>

#include "glue/glue.h"
#include "runtime/check.h"

namespace adze {

void require_ids(const adze_tensor& ids, int64_t limit, const char* name) {
    const auto* values = static_cast<const int32_t*>(ids.data);
    for (int64_t i = 0; i < ids.columns; ++i) {
        require(values[i] >= 0 && values[i] < limit, "%s[%" PRId64 "] is %d; allowed is 0 to %" PRId64, name, i,
                values[i], limit - 1);
    }
}

}  // namespace adze
