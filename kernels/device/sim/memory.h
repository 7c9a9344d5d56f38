#pragma once

#include <bit>
#include <cstring>

#include "device/sim/memory_checks.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T>
class Global {
public:
    using Element = std::remove_const_t<T>;

    Global(T* data, int64_t count, Site site = Site::current())
        : data_(data),
          count_(count),
          granules_(sim::require_accessible(data, static_cast<uint64_t>(count) * sizeof(T), site)) {}
    explicit Global(const adze_tensor& t, Site site = Site::current())
        : Global(static_cast<T*>(t.data), t.rows == 0 ? 0 : (t.rows - 1) * t.row_stride + t.columns, site) {}

    Element load(int64_t index, Site site = Site::current()) const {
        return load_vec<1>(index, Cache::kNormal, site)[0];
    }
    void store(int64_t index, Element value, Site site = Site::current()) const {
        store_vec<1>(index, Vec<Element, 1>{value}, Cache::kNormal, site);
    }
    template <int N>
    Vec<Element, N> load_vec(int64_t index, Cache = Cache::kNormal, Site site = Site::current()) const {
        const T* address = at<N>("read", index, site);
        sim::note_global(sim::Access::kGlobalRead, address, sizeof(T) * N, site);
        Vec<Element, N> out;
        std::memcpy(&out, address, sizeof out);
        return out;
    }
    template <int N>
    void store_vec(int64_t index, const Vec<Element, N>& value, Cache = Cache::kNormal,
                   Site site = Site::current()) const {
        static_assert(!std::is_const_v<T>);
        T* address = at<N>("write", index, site);
        sim::note_global(sim::Access::kGlobalWrite, address, sizeof(T) * N, site);
        std::memcpy(address, &value, sizeof value);
    }
    bool aligned(int bytes, int64_t stride = 0) const {
        return (reinterpret_cast<uintptr_t>(data_) | static_cast<uint64_t>(stride) * sizeof(T)) %
                   static_cast<unsigned>(bytes) ==
               0;
    }
    bool is_null() const { return data_ == nullptr; }

    // For the layer: checked, not counted.
    template <int N>
    T* at(const char* does, int64_t index, const Site& site) const {
        static_assert(sizeof(T) * N <= 16 && (sizeof(T) * N & (sizeof(T) * N - 1)) == 0);
        if (index < 0 || index > count_ - N) sim::fail_outside(does, data_, count_, index, N, sizeof(T), site);
        if (granules_ != nullptr) sim::require_mapped(*granules_, does, data_ + index, sizeof(T) * N, site);
        return aligned_at<N>(does, index, site);
    }
    // Perhaps outside: nothing is read there, but the address must still be one that an instruction takes.
    template <int N>
    T* aligned_at(const char* does, int64_t index, const Site& site) const {
        T* address = data_ + index;
        if (reinterpret_cast<uintptr_t>(address) % (sizeof(T) * N) != 0)
            sim::fail_misaligned(does, address, sizeof(T) * N, site);
        return address;
    }

private:
    T* data_;
    int64_t count_;
    const sim::Granules* granules_;  // NULL: there is memory all over
};

template <class T>
class Shared {
public:
    Shared() = default;
    T load(int index, Site site = Site::current()) const { return load_vec<1>(index, site)[0]; }
    void store(int index, T value, Site site = Site::current()) const { store_vec<1>(index, Vec<T, 1>{value}, site); }
    template <int N>
    Vec<T, N> load_vec(int index, Site site = Site::current()) const {
        static_assert(sizeof(T) * N <= 16 && (sizeof(T) * N & (sizeof(T) * N - 1)) == 0);
        const uint32_t offset = at<N>("read", index, site);
        Vec<T, N> out;
        std::memcpy(&out, sim::touch_shared(sim::Access::kSharedRead, offset, sizeof out, site), sizeof out);
        return out;
    }
    template <int N>
    void store_vec(int index, const Vec<T, N>& value, Site site = Site::current()) const {
        static_assert(sizeof(T) * N <= 16 && (sizeof(T) * N & (sizeof(T) * N - 1)) == 0);
        const uint32_t offset = at<N>("write", index, site);
        std::memcpy(sim::touch_shared(sim::Access::kSharedWrite, offset, sizeof value, site), &value, sizeof value);
    }
    Shared slice(int first, int count, Site site = Site::current()) const {
        Shared out(offset_ + static_cast<uint32_t>(first) * sizeof(T), count);
        if (first < 0 || count < 0 || first > count_ - count)
            sim::fail_shared("slice", offset_, first, count_, sizeof(T), site);
        return out;
    }

    // For the layer: the offset of N elements in the block's shared memory, checked, neither counted nor shadowed.
    template <int N>
    uint32_t at(const char* does, int64_t index, const Site& site) const {
        if (index < 0 || index > count_ - N) sim::fail_shared(does, offset_, index, count_, sizeof(T), site);
        const uint32_t offset = offset_ + static_cast<uint32_t>(index) * sizeof(T);
        if (sizeof(T) * N <= 16 && offset % (sizeof(T) * N) != 0) {
            sim::fail_misaligned(does, sim::current->block->shared(offset), sizeof(T) * N, site);
        }
        return offset;
    }

private:
    friend class SharedArena;
    Shared(uint32_t offset, int count) : offset_(offset), count_(count) {}
    uint32_t offset_ = 0;
    int count_ = 0;
};

template <int N, class T>
inline Vec<uint32_t, N> load_words(const Shared<T>& view, int index, Site site = Site::current()) {
    return std::bit_cast<Vec<uint32_t, N>>(view.template load_vec<4 * N / sizeof(T)>(index, site));
}

template <int N>
inline void load_used(const Shared<int32_t>& view, int index, int32_t (&out)[N], Site site = Site::current()) {
    constexpr int kStep = N % 4 == 0 ? 4 : 1;
    for (int i = 0; i < N; i += kStep) {
        const Vec<int32_t, kStep> words = view.template load_vec<kStep>(index + i, site);
        std::memcpy(&out[i], &words, sizeof words);
    }
}

class SharedArena {
public:
    template <class T>
    Shared<T> take(int count, int alignment_bytes = 16, Site site = Site::current()) {
        return {sim::take_shared(used_, static_cast<uint64_t>(count) * sizeof(T), alignment_bytes, site), count};
    }

private:
    uint32_t used_ = 0;
};

}  // namespace ADZE_TARGET
}  // namespace adze
