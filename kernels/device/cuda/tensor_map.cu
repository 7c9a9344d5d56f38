// CUDA driver API, "Tensor Map Object Management".
#include "device/cuda/driver.h"
#include "device/launch.h"
#include "device/tensor_map.h"
#include "runtime/check.h"

namespace adze {
using Arguments = TensorMapArguments;
static_assert(CU_TENSOR_MAP_DATA_TYPE_UINT8 == 0 && CU_TENSOR_MAP_DATA_TYPE_UINT16 == 1 &&
              CU_TENSOR_MAP_DATA_TYPE_UINT32 == 2);
static_assert(CU_TENSOR_MAP_SWIZZLE_NONE == 0 && CU_TENSOR_MAP_SWIZZLE_32B == 1 && CU_TENSOR_MAP_SWIZZLE_64B == 2 &&
              CU_TENSOR_MAP_SWIZZLE_128B == 3);
static_assert(CU_TENSOR_MAP_INTERLEAVE_NONE == Arguments::kInterleave &&
              CU_TENSOR_MAP_L2_PROMOTION_L2_128B == Arguments::kPromotion &&
              CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE == Arguments::kFill);

TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc) {
    const Arguments arguments = tensor_map_arguments(desc);
    if (stream.arch() != Arch::kSm90a) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "architecture %d has no tensor maps", static_cast<int>(stream.arch()));
    }
    CUtensorMap encoded;
    const CUresult result = cuda_driver().tensor_map_encode_tiled(
        &encoded, static_cast<CUtensorMapDataType>(arguments.type), arguments.rank, arguments.data, arguments.sizes,
        arguments.strides, arguments.box, Arguments::kSteps, static_cast<CUtensorMapInterleave>(Arguments::kInterleave),
        static_cast<CUtensorMapSwizzle>(arguments.swizzle), static_cast<CUtensorMapL2promotion>(Arguments::kPromotion),
        static_cast<CUtensorMapFloatOOBfill>(Arguments::kFill));
    if (result != CUDA_SUCCESS) {
        const char* name = "an unknown error";
        cuda_driver().get_error_name(result, &name);
        fail(ADZE_ERROR_DEVICE, "cuTensorMapEncodeTiled: %s", name);
    }
    static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));
    TensorMap map;
    std::memcpy(&map, &encoded, sizeof map);
    return map;
}

}  // namespace adze
