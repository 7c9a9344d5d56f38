// HIP's atomic functions, and those of the compiler with order and scope.
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <class T>
ADZE_DEVICE T atomic_add(const Global<T>& memory, int64_t index, T value, Site) {
    return atomicAdd(memory.at(index), value);
}
template <class T>
ADZE_DEVICE T atomic_max(const Global<T>& memory, int64_t index, T value, Site) {
    return atomicMax(memory.at(index), value);
}
template <class T>
ADZE_DEVICE T atomic_add(const Shared<T>& memory, int index, T value, Site) {
    return atomicAdd(memory.at(index), value);
}
template <class T>
ADZE_DEVICE T atomic_max(const Shared<T>& memory, int index, T value, Site) {
    return atomicMax(memory.at(index), value);
}

ADZE_DEVICE uint32_t load_acquire(const Global<uint32_t>& memory, int64_t index, Site) {
    return __hip_atomic_load(memory.at(index), __ATOMIC_ACQUIRE, __HIP_MEMORY_SCOPE_AGENT);
}
ADZE_DEVICE void store_release(const Global<uint32_t>& memory, int64_t index, uint32_t value, Site) {
    __hip_atomic_store(memory.at(index), value, __ATOMIC_RELEASE, __HIP_MEMORY_SCOPE_AGENT);
}

}  // namespace ADZE_TARGET
}  // namespace adze
