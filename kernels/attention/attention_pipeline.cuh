// Tiles of keys and values on their way to shared memory.
#pragma once

#include "attention/attention_types.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionPipeline : AttentionTypes<Stored, kDimQk, kDimV, kRowCount> {
    using Types = AttentionTypes<Stored, kDimQk, kDimV, kRowCount>;
    using typename Types::Params;
    using typename Types::SharedParts;
    using typename Types::TileK;
    using typename Types::TileV;
    using Types::kQuantised;
    using Types::kStages;
    using Types::kThreads;
    using Types::kTileKeys;

    // A tile's vectors on their way to shared memory; zeros where no row sees them, so that nothing but numbers is
    // multiplied, and beyond the head in quantised tiles, whose operands have numbers from all of a panel. Where copies are
    // not asynchronous the tile waits in registers for its place.
    template <class Tile>
    struct TileLoader {
        static constexpr int kVector = Tile::kChunk;  // elements of 16 bytes
        static constexpr int kChunks = Tile::kColumns / kVector, kCount = Tile::kChunks;
        static constexpr int kLoads = (kCount + kThreads - 1) / kThreads;
        // Loops in which a tile waits in registers are unrolled. Else addresses that are kept for the next tile cost
        // registers, of which the largest head's widened values leave none; and few caches are not aligned.
        static constexpr int kTogether = !kTarget.async_copy ? kLoads : kPerByte<Stored> == 2 && kDimV > 128 ? 1 : 4;
        static constexpr int kUnaligned = kTarget.async_copy ? 1 : kLoads;
        Vec<Stored, kVector> waiting[kTarget.async_copy ? 1 : kLoads];

        ADZE_DEVICE void load(const adze_kv_cache& cache, const AttentionShape& s, int head_dim,
                              const Shared<int64_t>& offsets, int slot, const Tile& tile) {
            const Global<const Stored> memory = cache_memory<Stored>(cache, s, head_dim);
            const int columns = stored_elements<Stored>(head_dim);
            const bool aligned = memory.aligned(16, cache.page_stride) && memory.aligned(16, cache.token_stride) &&
                                 memory.aligned(16, cache.head_stride);
            if (aligned) {
#pragma unroll kTogether
                for (int i = 0; i < kLoads; ++i) {
                    const int row = row_of(i), column = column_of(i);
                    if (!takes_part(i, columns)) continue;
                    const int64_t offset = offsets.load(slot * kTileKeys + row);
                    const bool inside = guard(offset >= 0) && (!kQuantised || column < columns);
                    const int64_t index = inside ? offset / kPerByte<Stored> + column : 0;
                    if constexpr (kTarget.async_copy) {
                        copy_chunk_async(tile, row, column, memory, index, inside);
                    } else {
                        waiting[i] = {};
                        if (inside) waiting[i] = memory.template load_vec<kVector>(index);
                    }
                }
                return;
            }
#pragma unroll kUnaligned
            for (int i = 0; i < kLoads; ++i) {
                if (!takes_part(i, columns)) continue;
                const int64_t offset = offsets.load(slot * kTileKeys + row_of(i));
                Vec<Stored, kVector> chunk{};
#pragma unroll
                for (int j = 0; j < kVector; ++j) {
                    if (guard(offset >= 0) && (!kQuantised || column_of(i) < columns))
                        chunk[j] = memory.load(offset + column_of(i) + j);
                }
                if constexpr (kTarget.async_copy) {
                    tile.store_chunk(row_of(i), column_of(i), chunk);
                } else {
                    waiting[i] = chunk;
                }
            }
        }
        ADZE_DEVICE void land(int head_dim, const Tile& tile) const {
#pragma unroll
            for (int i = 0; i < kLoads; ++i) {
                if (takes_part(i, stored_elements<Stored>(head_dim)))
                    tile.store_chunk(row_of(i), column_of(i), waiting[i]);
            }
        }

    private:
        ADZE_DEVICE static int row_of(int i) {
            const int at = thread_index() + i * kThreads;
            return kQuantised ? Tile::chunk_row(at) : at / kChunks;
        }
        ADZE_DEVICE static int column_of(int i) {
            const int at = thread_index() + i * kThreads;
            return kQuantised ? Tile::chunk_column(at) : at % kChunks * kVector;
        }
        ADZE_DEVICE static bool takes_part(int i, int columns) {
            const bool exists = kCount % kThreads == 0 || thread_index() + i * kThreads < kCount;
            return exists && (kQuantised || column_of(i) < columns);
        }
    };

    // The tiles that are under way.
    struct Pipeline {
        TileLoader<TileK> keys;
        TileLoader<TileV> values;

        ADZE_DEVICE void load(const Params& p, const SharedParts& shared, int slot, int stage) {
            keys.load(p.k, p.shape, p.shape.head_dim_qk, shared.table.k_offset, slot, shared.keys(stage));
            values.load(p.v, p.shape, p.shape.head_dim_v, shared.table.v_offset, slot, shared.values(stage));
        }
        // When it returns the oldest tile is in its place, and all warps are done with the one before.
        ADZE_DEVICE void wait(const Params& p, const SharedParts& shared) {
            if constexpr (kTarget.async_copy) {
                wait_copies<kStages - 2>();
                sync_block();
            } else {
                sync_block();
                keys.land(p.shape.head_dim_qk, shared.keys(0));
                values.land(p.shape.head_dim_v, shared.values(0));
                sync_block();
            }
        }
    };
};

}  // namespace ADZE_TARGET
}  // namespace adze
