// PTX ISA, "cp.async".
#pragma once

namespace adze {
inline namespace ADZE_TARGET {

template <int N, class T>
ADZE_DEVICE void copy_async(const Shared<T>& to, int to_index, const Global<const T>& from, int64_t from_index,
                            bool inside, Site) {
    constexpr int kBytes = N * static_cast<int>(sizeof(T));
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    const int read = inside ? kBytes : 0;  // the rest is filled with zeros
    if constexpr (kBytes == 16) {          // past L1, which only this size can
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address_of(to, to_index)),
                     "l"(from.at(from_index)), "r"(read)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address_of(to, to_index)),
                     "l"(from.at(from_index)), "n"(kBytes), "r"(read)
                     : "memory");
    }
}
ADZE_DEVICE void commit_copies(Site) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kGroups>
ADZE_DEVICE void wait_copies(Site) {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

}  // namespace ADZE_TARGET
}  // namespace adze
