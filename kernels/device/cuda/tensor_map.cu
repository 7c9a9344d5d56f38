// CUDA driver API, "Tensor Map Object Management".
#include "device/cuda/driver.h"
#include "device/launch.h"
#include "device/tensor_map.h"
#include "runtime/check.h"

namespace adze {
namespace {

// Of elements only the size matters: what is outside the tensor reads as zero bits in every format.
CUtensorMapDataType element_type(int32_t bytes) {
    return bytes == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
           : bytes == 2 ? CU_TENSOR_MAP_DATA_TYPE_UINT16
                        : CU_TENSOR_MAP_DATA_TYPE_UINT32;
}

CUtensorMapSwizzle swizzle_mode(int32_t bytes) {
    return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
           : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
           : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                         : CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace

TensorMap make_tensor_map(LaunchStream& stream, const TensorMapDesc& desc) {
    require_tensor_map(desc);
    if (stream.arch() != Arch::kSm90a) {
        fail(ADZE_ERROR_NOT_SUPPORTED, "architecture %d has no tensor maps", static_cast<int>(stream.arch()));
    }
    cuuint64_t sizes[kMaxRank], strides[kMaxRank];
    cuuint32_t box[kMaxRank], steps[kMaxRank];
    for (int i = 0; i < desc.rank; ++i) {
        sizes[i] = static_cast<cuuint64_t>(desc.sizes[i]);
        box[i] = static_cast<cuuint32_t>(desc.box[i]);
        steps[i] = 1;
        if (i > 0) strides[i - 1] = static_cast<cuuint64_t>(desc.strides[i]);
    }
    CUtensorMap encoded;
    const CUresult result = cuda_driver().tensor_map_encode_tiled(
        &encoded, element_type(desc.element_bytes), static_cast<cuuint32_t>(desc.rank), desc.data, sizes, strides, box,
        steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_mode(desc.swizzle_bytes), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
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
