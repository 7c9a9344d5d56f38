// Views that are bare addresses: nothing is checked here, the simulator does.
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

template <class T>
class Global {
public:
    ADZE_HOST_DEVICE Global(T* data, int64_t) : data_(data) {}
    ADZE_HOST_DEVICE explicit Global(const adze_tensor& tensor) : data_(static_cast<T*>(tensor.data)) {}

    ADZE_DEVICE T load(int64_t index) const { return data_[index]; }
    ADZE_DEVICE void store(int64_t index, T value) const { data_[index] = value; }

    template <int N>
    ADZE_DEVICE Vec<std::remove_const_t<T>, N> load_vec(int64_t index, Cache cache = Cache::kNormal) const {
        using Element = std::remove_const_t<T>;
        const auto* from = reinterpret_cast<const Lanes<Element, N>*>(data_ + index);
        if (cache == Cache::kStreamed) return vec_of<Element, N>(__builtin_nontemporal_load(in_global(from)));
        return vec_of<Element, N>(*from);
    }
    template <int N>
    ADZE_DEVICE void store_vec(int64_t index, const Vec<T, N>& value, Cache cache = Cache::kNormal) const {
        auto* to = reinterpret_cast<Lanes<T, N>*>(data_ + index);
        if (cache == Cache::kStreamed) {
            __builtin_nontemporal_store(lanes_of(value), in_global(to));
        } else {
            *to = lanes_of(value);
        }
    }

    ADZE_DEVICE bool aligned(int bytes, int64_t stride = 0) const {
        const auto low_bits = reinterpret_cast<uint64_t>(data_) | static_cast<uint64_t>(stride) * sizeof(T);
        return (low_bits & static_cast<uint64_t>(bytes - 1)) == 0;
    }
    ADZE_DEVICE bool is_null() const { return data_ == nullptr; }

    // For this layer.
    ADZE_DEVICE T* at(int64_t index) const { return data_ + index; }

private:
    T* data_;
};

// The block's dynamic shared memory; all of it, since there is no other.
extern __shared__ __attribute__((aligned(1024))) unsigned char shared_arena[];

// A view is an offset from the arena, not a pointer: so the compiler knows each access to be one of shared memory.
template <class T>
class Shared {
public:
    ADZE_DEVICE explicit Shared(uint32_t offset) : offset_(offset) {}

    ADZE_DEVICE T load(int index) const { return *at(index); }
    ADZE_DEVICE void store(int index, T value) const { *at(index) = value; }
    template <int N>
    ADZE_DEVICE Vec<T, N> load_vec(int index) const {
        return vec_of<T, N>(*reinterpret_cast<const Lanes<T, N>*>(at(index)));
    }
    template <int N>
    ADZE_DEVICE void store_vec(int index, const Vec<T, N>& value) const {
        *reinterpret_cast<Lanes<T, N>*>(at(index)) = lanes_of(value);
    }
    ADZE_DEVICE Shared slice(int first, int) const {
        return Shared(offset_ + static_cast<uint32_t>(first) * static_cast<uint32_t>(sizeof(T)));
    }

    // For this layer.
    ADZE_DEVICE T* at(int index) const {
        return reinterpret_cast<T*>(shared_arena + offset_ + static_cast<uint32_t>(index) * sizeof(T));
    }

private:
    uint32_t offset_;  // bytes
};

class SharedArena {
public:
    template <class T>
    ADZE_DEVICE Shared<T> take(int count, int alignment_bytes = 16) {
        const auto alignment = static_cast<uint32_t>(alignment_bytes);
        const uint32_t first = (used_ + alignment - 1) / alignment * alignment;
        used_ = first + static_cast<uint32_t>(count) * static_cast<uint32_t>(sizeof(T));
        return Shared<T>(first);
    }

private:
    uint32_t used_ = 0;
};

}  // namespace ADZE_TARGET
}  // namespace adze
