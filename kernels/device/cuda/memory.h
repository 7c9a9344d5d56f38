// Views that are bare addresses: nothing is checked here, the simulator does.
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

template <class T>
class Global {
public:
    ADZE_HOST_DEVICE Global(T* data, int64_t) : data_(data) {}
    ADZE_HOST_DEVICE explicit Global(const adze_tensor& tensor) : data_(static_cast<T*>(tensor.data)) {}

    ADZE_DEVICE T load(int64_t index) const { return data_[index]; }
    ADZE_DEVICE void store(int64_t index, T value) const { data_[index] = value; }

    template <int N>
    ADZE_DEVICE Vec<std::remove_const_t<T>, N> load_vec(int64_t index, Cache cache = Cache::kNormal) const {
        using Packed = typename Word<static_cast<int>(sizeof(T)) * N>::Type;
        const auto* from = reinterpret_cast<const Packed*>(data_ + index);
        const Packed word = cache == Cache::kStreamed ? __ldcs(from) : *from;
        return __builtin_bit_cast(Vec<std::remove_const_t<T>, N>, word);
    }
    template <int N>
    ADZE_DEVICE void store_vec(int64_t index, const Vec<T, N>& value, Cache cache = Cache::kNormal) const {
        using Packed = typename Word<static_cast<int>(sizeof(T)) * N>::Type;
        auto* to = reinterpret_cast<Packed*>(data_ + index);
        const auto word = __builtin_bit_cast(Packed, value);
        if (cache == Cache::kStreamed) {
            __stcs(to, word);
        } else if constexpr (sizeof(word) == 16) {
            store_16_bytes(to, word);
        } else {
            *to = word;
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
extern __shared__ __align__(1024) unsigned char shared_arena[];

// A view is an offset from the arena, not a pointer: so the compiler knows each access to be one of shared memory.
template <class T>
class Shared {
public:
    ADZE_DEVICE explicit Shared(uint32_t offset) : offset_(offset) {}

    ADZE_DEVICE T load(int index) const { return *at(index); }
    ADZE_DEVICE void store(int index, T value) const { *at(index) = value; }
    template <int N>
    ADZE_DEVICE Vec<T, N> load_vec(int index) const {
        using Packed = typename Word<static_cast<int>(sizeof(T)) * N>::Type;
        return __builtin_bit_cast(Vec<T, N>, *reinterpret_cast<const Packed*>(at(index)));
    }
    template <int N>
    ADZE_DEVICE void store_vec(int index, const Vec<T, N>& value) const {
        using Packed = typename Word<static_cast<int>(sizeof(T)) * N>::Type;
        *reinterpret_cast<Packed*>(at(index)) = __builtin_bit_cast(Packed, value);
    }
    ADZE_DEVICE Shared slice(int first, int) const {
        return Shared(offset_ + static_cast<uint32_t>(first) * static_cast<uint32_t>(sizeof(T)));
    }

    // For this layer.
    ADZE_DEVICE T* at(int index) const {
        return reinterpret_cast<T*>(shared_arena + offset_ + static_cast<uint32_t>(index) * sizeof(T));
    }
    ADZE_DEVICE uint32_t address(int index) const {
        return static_cast<uint32_t>(__cvta_generic_to_shared(shared_arena)) + offset_ +
               static_cast<uint32_t>(index) * static_cast<uint32_t>(sizeof(T));
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
