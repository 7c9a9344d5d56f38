// Tensor maps: what the bulk copy engine knows of a tensor in global memory (CUDA driver API, cuTensorMapEncodeTiled).
// Dimension 0 is the innermost and dense. Host code makes them; kernels take them by value in their Params.
#pragma once

#include "adze/base.h"
#include "device/swizzle.h"
#include "device/target.h"
#include "device/tensor_map_desc.h"

namespace adze {

class LaunchStream;

inline namespace ADZE_TARGET {

// Host code. Fails also where the target has no bulk copies.
TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc);

}  // namespace ADZE_TARGET
}  // namespace adze
