// Thread and block indices: the compiler's built-ins.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE int thread_index() {
    return static_cast<int>(__builtin_amdgcn_workitem_id_x());
}
ADZE_DEVICE int block_threads() {
    return static_cast<int>(__builtin_amdgcn_workgroup_size_x());  // no block is partial, which blockDim allows for
}
ADZE_DEVICE Index3 block_index() {
    return {__builtin_amdgcn_workgroup_id_x(), __builtin_amdgcn_workgroup_id_y(), __builtin_amdgcn_workgroup_id_z()};
}
ADZE_DEVICE Index3 grid_blocks() {
    return {static_cast<uint32_t>(gridDim.x), static_cast<uint32_t>(gridDim.y), static_cast<uint32_t>(gridDim.z)};
}

}  // namespace ADZE_TARGET
}  // namespace adze
