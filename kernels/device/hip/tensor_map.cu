#include "device/launch.h"
#include "device/tensor_map.h"
#include "runtime/check.h"

namespace adze {

TensorMap make_tensor_map(LaunchStream&, const TensorMapDesc&) {
    fail(ADZE_ERROR_NOT_SUPPORTED, "AMD's devices have no tensor maps");
}

}  // namespace adze
