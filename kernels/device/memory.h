// Typed views of global and shared memory: no raw pointers in kernels. Indices and counts are in elements, 64-bit in
// global memory. Vectors of N elements are 2, 4, 8 or 16 bytes and must be aligned to their size.
#pragma once

#include "adze/base.h"
#include "device/target.h"
#include "numeric/host_device.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
    T value[N];
    ADZE_DEVICE T& operator[](int i) { return value[i]; }
    ADZE_DEVICE const T& operator[](int i) const { return value[i]; }
};

enum class Cache {
    kNormal,
    kStreamed,  // read or written once: do not keep it in L1, evict it first from L2
};

// Global<T>: `count` elements from `data`. In the simulator an access outside them is an error, and so is one to memory
// of the context that was released.
//
//   Global(T* data, int64_t count)
//   explicit Global(const adze_tensor&)             all that it spans: (rows - 1) * row_stride + columns elements
//   T load(int64_t index)                           void store(int64_t index, T value)
//   Vec<T, N> load_vec<N>(int64_t index, Cache)     void store_vec<N>(int64_t index, const Vec<T, N>&, Cache)
//   bool aligned(int bytes, int64_t stride = 0)     whether vectors of `bytes` can start at every multiple of `stride`
//   bool is_null()
//
// Shared<T>: `count` elements of the block's shared memory, which holds undefined bytes at first (NaN in the simulator).
//
//   T load(int index)                               void store(int index, T value)
//   Vec<T, N> load_vec<N>(int index)                void store_vec<N>(int index, const Vec<T, N>&)
//   Shared slice(int first, int count)
// load_words<N>(Shared<T>, int index): the N words that begin at a 1-byte element, aligned to them all.
// load_used(Shared<int32_t>, int index, int32_t (&out)[N]): N words, of which a GPU loads, one by one, those that are used. The
//   simulator cannot know which, and takes all, by 16 bytes if N is a multiple of 4; then they must be aligned so.
//
// SharedArena: hands out the block's dynamic shared memory in order. Every thread makes one and takes the same views.
//
//   Shared<T> take<T>(int count, int alignment_bytes = 16)

// What SharedArena::take adds up to, for the launch: the bytes used after one more view.
ADZE_HOST_DEVICE constexpr int64_t add_shared(int64_t used_bytes, int64_t bytes, int64_t alignment_bytes = 16) {
    return (used_bytes + alignment_bytes - 1) / alignment_bytes * alignment_bytes + bytes;
}

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(memory.h)
