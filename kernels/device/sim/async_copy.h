#pragma once

#include "device/sim/block.h"
#include "device/sim/memory_checks.h"

namespace adze {
inline namespace ADZE_TARGET {

template <int N, class T>
inline void copy_async(const Shared<T>& to, int to_index, const Global<const T>& from, int64_t from_index, bool inside,
                       Site site) {
    constexpr uint32_t kBytes = sizeof(T) * N;
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
    if constexpr (!kTarget.async_copy) {
        to.template store_vec<N>(
            to_index, inside ? from.template load_vec<N>(from_index, Cache::kNormal, site) : Vec<T, N>{}, site);
    } else {
        const uint32_t offset = to.template at<N>("asynchronous copy", to_index, site);
        const T* source = nullptr;
        if (inside) {
            source = from.template at<N>("asynchronous copy", from_index, site);
            sim::note_global(sim::Access::kGlobalRead, source, kBytes, site);
        } else {
            from.template aligned_at<N>("asynchronous copy", from_index, site);
        }
        sim::current->block->copy_async(offset, source, kBytes, site);
    }
}
inline void commit_copies(Site) {
    ++sim::current->copies.groups;
}
template <int kGroups>
inline void wait_copies(Site site) {
    if constexpr (kTarget.async_copy) sim::current->block->wait_copies(kGroups, site);
}

}  // namespace ADZE_TARGET
}  // namespace adze
