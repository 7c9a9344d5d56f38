#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

template <int kBytes>
struct Unsigned;
template <>
struct Unsigned<1> {
    using Type = uint8_t;
};
template <>
struct Unsigned<2> {
    using Type = uint16_t;
};
template <>
struct Unsigned<4> {
    using Type = uint32_t;
};
template <>
struct Unsigned<8> {
    using Type = uint64_t;
};

// A Vec as the compiler's own vector, which one instruction moves. Element by element: a bit cast would go through the
// stack, from where the compiler does not always bring it back.
template <class T, int N>
using Lanes = typename Unsigned<sizeof(T)>::Type __attribute__((ext_vector_type(N)));

template <class T, int N>
ADZE_DEVICE Lanes<T, N> lanes_of(const Vec<T, N>& value) {
    Lanes<T, N> lanes;
#pragma unroll
    for (int i = 0; i < N; ++i) lanes[i] = __builtin_bit_cast(typename Unsigned<sizeof(T)>::Type, value[i]);
    return lanes;
}
template <class T, int N>
ADZE_DEVICE Vec<T, N> vec_of(Lanes<T, N> lanes) {
    Vec<T, N> value;
#pragma unroll
    for (int i = 0; i < N; ++i) {
        const typename Unsigned<sizeof(T)>::Type lane = lanes[i];
        value[i] = __builtin_bit_cast(T, lane);
    }
    return value;
}

// A pointer of another type than that of ordinary accesses, or the compiler would merge the two branches on Cache into
// one ordinary access before it sees which is taken.
template <class T>
using InGlobal = T __attribute__((address_space(1)));
template <class T>
ADZE_DEVICE InGlobal<T>* in_global(T* data) {
    return (InGlobal<T>*)data;  // no C++ cast changes address spaces
}

template <int N, class T>
ADZE_DEVICE Vec<std::remove_const_t<T>, N> load_global(T* data, Cache cache) {
    using Element = std::remove_const_t<T>;
    const auto* from = reinterpret_cast<const Lanes<Element, N>*>(data);
    if (cache == Cache::kStreamed) return vec_of<Element, N>(__builtin_nontemporal_load(in_global(from)));
    return vec_of<Element, N>(*from);
}
template <class T, int N>
ADZE_DEVICE void store_global(T* data, const Vec<T, N>& value, Cache cache) {
    auto* to = reinterpret_cast<Lanes<T, N>*>(data);
    if (cache == Cache::kStreamed) {
        __builtin_nontemporal_store(lanes_of(value), in_global(to));
    } else {
        *to = lanes_of(value);
    }
}
template <int N, class T>
ADZE_DEVICE Vec<T, N> load_shared(const T* data) {
    return vec_of<T, N>(*reinterpret_cast<const Lanes<T, N>*>(data));
}
template <class T, int N>
ADZE_DEVICE void store_shared(T* data, const Vec<T, N>& value) {
    *reinterpret_cast<Lanes<T, N>*>(data) = lanes_of(value);
}

extern __shared__ __attribute__((aligned(1024))) unsigned char shared_arena[];

}  // namespace ADZE_TARGET
}  // namespace adze

#include "device/address_views.h"
