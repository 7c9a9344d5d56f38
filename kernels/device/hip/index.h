// Thread and block indices: HIP's coordinate built-ins.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE int thread_index() {
    return static_cast<int>(threadIdx.x);
}
ADZE_DEVICE int block_threads() {
    return static_cast<int>(blockDim.x);
}
ADZE_DEVICE Index3 block_index() {
    return {static_cast<uint32_t>(blockIdx.x), static_cast<uint32_t>(blockIdx.y), static_cast<uint32_t>(blockIdx.z)};
}
ADZE_DEVICE Index3 grid_blocks() {
    return {static_cast<uint32_t>(gridDim.x), static_cast<uint32_t>(gridDim.y), static_cast<uint32_t>(gridDim.z)};
}

}  // namespace ADZE_TARGET
}  // namespace adze
