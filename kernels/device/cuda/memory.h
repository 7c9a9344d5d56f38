#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

// The one register or vector of registers that moves kBytes in one instruction.
template <int kBytes>
struct Word;
template <>
struct Word<2> {
    using Type = unsigned short;
};
template <>
struct Word<4> {
    using Type = unsigned int;
};
template <>
struct Word<8> {
    using Type = uint2;
};
template <>
struct Word<16> {
    using Type = uint4;
};

// Assembly: an assignment is four stores until late in the compiler, and where the other branch has stores of single
// elements to the same places, it merged those with them and never made one store again.
ADZE_DEVICE void store_16_bytes(uint4* to, const uint4& word) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(word.x), "r"(word.y), "r"(word.z),
                 "r"(word.w)
                 : "memory");
}

template <int N, class T>
using WordOf = typename Word<static_cast<int>(sizeof(T)) * N>::Type;

template <int N, class T>
ADZE_DEVICE Vec<std::remove_const_t<T>, N> load_global(T* data, Cache cache) {
    const auto* from = reinterpret_cast<const WordOf<N, T>*>(data);
    const WordOf<N, T> word = cache == Cache::kStreamed ? __ldcs(from) : *from;
    return __builtin_bit_cast(Vec<std::remove_const_t<T>, N>, word);
}
template <class T, int N>
ADZE_DEVICE void store_global(T* data, const Vec<T, N>& value, Cache cache) {
    auto* to = reinterpret_cast<WordOf<N, T>*>(data);
    const auto word = __builtin_bit_cast(WordOf<N, T>, value);
    if (cache == Cache::kStreamed) {
        __stcs(to, word);
    } else if constexpr (sizeof(word) == 16) {
        store_16_bytes(to, word);
    } else {
        *to = word;
    }
}
template <int N, class T>
ADZE_DEVICE Vec<T, N> load_shared(const T* data) {
    return __builtin_bit_cast(Vec<T, N>, *reinterpret_cast<const WordOf<N, T>*>(data));
}
template <class T, int N>
ADZE_DEVICE void store_shared(T* data, const Vec<T, N>& value) {
    *reinterpret_cast<WordOf<N, T>*>(data) = __builtin_bit_cast(WordOf<N, T>, value);
}

extern __shared__ __align__(1024) unsigned char shared_arena[];

}  // namespace ADZE_TARGET
}  // namespace adze

#include "device/address_views.h"

namespace adze {
inline namespace ADZE_TARGET {

// As PTX names it.
template <class T>
ADZE_DEVICE uint32_t address_of(const Shared<T>& view, int index) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(shared_arena)) + view.offset(index);
}

}  // namespace ADZE_TARGET
}  // namespace adze
