// The CUDA driver's functions that the runtime has no form of. They are looked up when first asked for, so that the
// library loads where no driver is.
#pragma once

#include <cuda.h>

namespace adze {

struct CudaDriver {
    decltype(&cuGetErrorName) get_error_name;
    decltype(&cuTensorMapEncodeTiled) tensor_map_encode_tiled;
};

// Fails with UNAVAILABLE and the reason.
const CudaDriver& cuda_driver();

}  // namespace adze
