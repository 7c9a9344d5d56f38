// PTX ISA, "shfl.sync" and "vote.sync".
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

constexpr LaneMask kAllLanes = 0xffffffffu;

// The unsigned integer of T's size.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned int>;

template <class T>
ADZE_DEVICE T shuffle(T value, int lane, Site) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    return __builtin_bit_cast(T, __shfl_sync(kAllLanes, __builtin_bit_cast(Bits<T>, value), lane));
}
template <class T>
ADZE_DEVICE T shuffle_xor(T value, int mask, Site) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    return __builtin_bit_cast(T, __shfl_xor_sync(kAllLanes, __builtin_bit_cast(Bits<T>, value), mask));
}
ADZE_DEVICE LaneMask ballot(bool predicate, Site) {
    return __ballot_sync(kAllLanes, predicate);
}

}  // namespace ADZE_TARGET
}  // namespace adze
