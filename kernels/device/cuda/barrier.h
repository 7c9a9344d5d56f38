// PTX ISA, "Parallel Synchronization and Communication Instructions".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

ADZE_DEVICE void sync_block(Site) {
    __syncthreads();
}
ADZE_DEVICE void sync_warp(Site) {
    __syncwarp();
}
ADZE_DEVICE void sync_named(int id, int threads, Site) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
ADZE_DEVICE void arrive_named(int id, int threads, Site) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
ADZE_DEVICE void fence_device(Site) {
    __threadfence();
}
ADZE_DEVICE bool guard(bool inside, Site) {
    return inside;
}

}  // namespace ADZE_TARGET
}  // namespace adze
