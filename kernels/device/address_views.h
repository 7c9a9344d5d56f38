// Views of memory that are bare addresses, for cuda/ and hip/: nothing is checked here, the simulator does. Those define
// before, of vectors of N elements,
//
//   load_global<N>(const T*, Cache), store_global(T*, const Vec<T, N>&, Cache), load_shared<N>(const T*),
//   store_shared(T*, const Vec<T, N>&)
//
// and shared_arena, the block's dynamic shared memory: all of it, since there is no other.
#pragma once

#include <type_traits>

namespace adze {
inline namespace ADZE_TARGET {

template <class T>
class Global {
public:
    using Element = std::remove_const_t<T>;

    ADZE_HOST_DEVICE Global(T* data, int64_t) : data_(data) {}
    ADZE_HOST_DEVICE explicit Global(const adze_tensor& tensor) : data_(static_cast<T*>(tensor.data)) {}

    ADZE_DEVICE T load(int64_t index) const { return data_[index]; }
    ADZE_DEVICE void store(int64_t index, T value) const { data_[index] = value; }
    template <int N>
    ADZE_DEVICE Vec<Element, N> load_vec(int64_t index, Cache cache = Cache::kNormal, Site = {}) const {
        return load_global<N>(data_ + index, cache);
    }
    template <int N>
    ADZE_DEVICE void store_vec(int64_t index, const Vec<T, N>& value, Cache cache = Cache::kNormal) const {
        store_global(data_ + index, value, cache);
    }

    ADZE_DEVICE bool aligned(int bytes, int64_t stride = 0) const {
        const auto low_bits = reinterpret_cast<uint64_t>(data_) | static_cast<uint64_t>(stride) * sizeof(T);
        return (low_bits & static_cast<uint64_t>(bytes - 1)) == 0;
    }
    ADZE_DEVICE bool is_null() const { return data_ == nullptr; }

    // For the layer.
    ADZE_DEVICE T* at(int64_t index) const { return data_ + index; }

private:
    T* data_;
};

// A view is an offset from the arena, not a pointer: so the compiler knows each access to be one of shared memory.
template <class T>
class Shared {
public:
    ADZE_DEVICE explicit Shared(uint32_t offset) : offset_(offset) {}

    ADZE_DEVICE T load(int index) const { return *at(index); }
    ADZE_DEVICE void store(int index, T value) const { *at(index) = value; }
    template <int N>
    ADZE_DEVICE Vec<T, N> load_vec(int index, Site = {}) const {
        return load_shared<N>(at(index));
    }
    template <int N>
    ADZE_DEVICE void store_vec(int index, const Vec<T, N>& value, Site = {}) const {
        store_shared(at(index), value);
    }
    ADZE_DEVICE Shared slice(int first, int) const { return Shared(offset(first)); }

    // For the layer: in bytes from the arena's start.
    ADZE_DEVICE uint32_t offset(int index) const {
        return offset_ + static_cast<uint32_t>(index) * static_cast<uint32_t>(sizeof(T));
    }
    ADZE_DEVICE T* at(int index) const { return reinterpret_cast<T*>(shared_arena + offset(index)); }

private:
    uint32_t offset_;
};

template <int N, class T>
ADZE_DEVICE Vec<uint32_t, N> load_words(const Shared<T>& view, int index, Site = {}) {
    return load_shared<N>(reinterpret_cast<const uint32_t*>(view.at(index)));
}

template <int N>
ADZE_DEVICE void load_used(const Shared<int32_t>& view, int index, int32_t (&out)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) out[i] = view.load(index + i);
}

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
