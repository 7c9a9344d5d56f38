// Thread and block indices: CUDA's special registers.
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
    return {blockIdx.x, blockIdx.y, blockIdx.z};
}
ADZE_DEVICE Index3 grid_blocks() {
    return {gridDim.x, gridDim.y, gridDim.z};
}

}  // namespace ADZE_TARGET
}  // namespace adze
