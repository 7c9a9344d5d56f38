// CUDA's atomic functions, and PTX ISA, "Memory Consistency Model".
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

// CUDA's functions know int, unsigned, unsigned long long and float; uint64_t is another type of the same size.
template <class T>
using AtomicWord = std::conditional_t<sizeof(T) == 8, unsigned long long, T>;

template <class T>
ADZE_DEVICE T atomic_add(const Global<T>& memory, int64_t index, T value, Site) {
    return atomicAdd(reinterpret_cast<AtomicWord<T>*>(memory.at(index)), static_cast<AtomicWord<T>>(value));
}
template <class T>
ADZE_DEVICE T atomic_max(const Global<T>& memory, int64_t index, T value, Site) {
    return atomicMax(reinterpret_cast<AtomicWord<T>*>(memory.at(index)), static_cast<AtomicWord<T>>(value));
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
    uint32_t value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(memory.at(index)) : "memory");
    return value;
}
ADZE_DEVICE void store_release(const Global<uint32_t>& memory, int64_t index, uint32_t value, Site) {
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(memory.at(index)), "r"(value) : "memory");
}

}  // namespace ADZE_TARGET
}  // namespace adze
