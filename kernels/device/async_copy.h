// Copies from global to shared memory that the warp does not wait for (cp.async, sm_80 on). What they write is undefined
// until the copying thread has waited for it, and other threads see it after a barrier that follows. Where the target
// has none (kTarget.async_copy is false) they are done at once.
#pragma once

#include "device/memory.h"
#include "device/swizzle.h"

namespace adze {
inline namespace ADZE_TARGET {

// Copies N elements, 4, 8 or 16 bytes, both sides aligned to that; where not `inside`, nothing is read and zeros are
// written.
template <int N, class T>
ADZE_DEVICE void copy_async(const Shared<T>& to, int to_index, const Global<const T>& from, int64_t from_index,
                            bool inside = true, Site site = Site::current());
// Closes the group of this thread's copies since the last call.
ADZE_DEVICE void commit_copies(Site site = Site::current());
// Until at most the kGroups latest groups of this thread are under way.
template <int kGroups>
ADZE_DEVICE void wait_copies(Site site = Site::current());

}  // namespace ADZE_TARGET
}  // namespace adze

#include ADZE_DEVICE_HEADER(async_copy.h)

namespace adze {
inline namespace ADZE_TARGET {

// The 16 bytes from (row, column) of a tile on; `column` is a multiple of Tile::kChunk.
template <class Tile>
ADZE_DEVICE void copy_chunk_async(const Tile& tile, int row, int column,
                                  const Global<const typename Tile::Element>& from, int64_t from_index,
                                  bool inside = true, Site site = Site::current()) {
    if constexpr (Tile::kSwapsHalves) {
        typename Tile::Chunk chunk{};
        if (inside) chunk = from.template load_vec<Tile::kChunk>(from_index, Cache::kNormal, site);
        tile.store_chunk(row, column, chunk, site);
    } else {
        copy_async<Tile::kChunk>(tile.data, Tile::index(row, column), from, from_index, inside, site);
    }
}

}  // namespace ADZE_TARGET
}  // namespace adze
