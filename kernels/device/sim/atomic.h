#pragma once

#include <atomic>

#include "device/sim/memory_checks.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T, class Op>
inline T update_global(const Global<T>& memory, int64_t index, Op&& op, const Site& site) {
    T* address = memory.template at<1>("update", index, site);
    sim::note_global(sim::Access::kGlobalRead, address, sizeof(T), site);
    std::atomic_ref<T> word(*address);
    T before = word.load();
    while (!word.compare_exchange_weak(before, op(before))) {
    }
    return before;
}
template <class T, class Op>
inline T update_shared(const Shared<T>& memory, int index, Op&& op, const Site& site) {
    sim::Thread& self = *sim::current;
    const uint32_t offset = memory.template at<1>("update", index, site);
    self.warp->traffic.note(self.lane, self.cursor, sim::Access::kSharedWrite, offset, sizeof(T), site);
    self.block->shadow.access(self, sim::Shadowed::kAtomic, offset, sizeof(T), site);
    T before, after;
    std::memcpy(&before, self.block->shared(offset), sizeof before);
    after = op(before);
    std::memcpy(self.block->shared(offset), &after, sizeof after);
    return before;
}

template <class T>
inline T atomic_add(const Global<T>& memory, int64_t index, T value, Site site) {
    return update_global(
        memory, index, [value](T x) { return static_cast<T>(x + value); }, site);
}
template <class T>
inline T atomic_max(const Global<T>& memory, int64_t index, T value, Site site) {
    return update_global(
        memory, index, [value](T x) { return x > value ? x : value; }, site);
}
template <class T>
inline T atomic_add(const Shared<T>& memory, int index, T value, Site site) {
    return update_shared(
        memory, index, [value](T x) { return static_cast<T>(x + value); }, site);
}
template <class T>
inline T atomic_max(const Shared<T>& memory, int index, T value, Site site) {
    return update_shared(
        memory, index, [value](T x) { return x > value ? x : value; }, site);
}

// Each look gives way first: to the block's other threads, then to other blocks.
inline uint32_t load_acquire(const Global<uint32_t>& memory, int64_t index, Site site) {
    uint32_t* address = memory.at<1>("read", index, site);
    sim::require_previous_kernel(site);
    sim::current->block->poll(site);
    return std::atomic_ref<uint32_t>(*address).load(std::memory_order_acquire);
}
inline void store_release(const Global<uint32_t>& memory, int64_t index, uint32_t value, Site site) {
    uint32_t* address = memory.at<1>("write", index, site);
    sim::note_global(sim::Access::kGlobalWrite, address, sizeof value, site);
    std::atomic_ref<uint32_t>(*address).store(value, std::memory_order_release);
}

}  // namespace ADZE_TARGET
}  // namespace adze
