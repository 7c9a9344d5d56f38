// Tiles of quantised keys and values for sm_90a's prefill: wgmma takes K and V from shared memory only, so they are widened
// there, by all warps of the producers, each for keys of its own. 16 bytes of a token come asynchronously to a place of the
// thread's, kRaw - 1 tiles of K or V ahead, go to the tile's stage as numbers of T, exactly, and are wgmma's after a fence.
// Scales come beside them, for the consumers to apply to logits and weights in f32.
//
// Floor: K and V of 128 keys with head dims of 128 are 64 times 32 chunks of 16 numbers; at some 80 instructions for 32 of them
// that takes 1300 of a scheduler's issue slots where the tensor cores take 2048 cycles and the consumers 1100 slots: issue
// slots are the bound. An estimate, nothing is measured.
#pragma once

#include "attention/sm90_attention.cuh"
#include "device/quantised.h"

namespace adze {
inline namespace ADZE_TARGET {

template <class Prefill>
struct Sm90Widening {
    using Params = typename Prefill::Params;
    using Storage = typename Prefill::Storage;
    using Piece = typename Prefill::Piece;
    using Place = typename Prefill::Place;
    using Share = typename Prefill::Share;
    using TileK = typename Prefill::TileK;
    using TileV = typename Prefill::TileV;
    using T = typename TileK::Element;
    using Stored = typename Prefill::StoredElement;
    static constexpr int kRaw = Prefill::kRaw, kRawBytes = Prefill::kRawBytes, kTileKeys = Prefill::kTileKeys;
    static constexpr int kWarpKeys = kTileKeys / Prefill::kGroupWarps, kChunk = TileK::kChunk;

    ADZE_DEVICE static void run(const Params& p, const Storage& s, int warp) {
        Place place;
        uint32_t q_parity = 0;
        int raw = 0;
        const Share share(p);
#pragma unroll 1
        for (int work = share.begin; work < share.end; ++work) {
            const Piece piece(p, work, share.num_work);
            if (piece.is_empty()) continue;
            Prefill::bring_rows(p, piece, s, warp / Prefill::kQueryFillers,
                                warp % Prefill::kQueryFillers * Prefill::kFilledRows, q_parity);
            Asking asking{piece.kv_begin, raw, place.scales, false, 0, 0};
            asking.find(p, piece, warp);
#pragma unroll 1
            for (int i = 0; i < kRaw - 1; ++i) ask(p, piece, s, warp, asking);
#pragma unroll 1
            for (int tile = piece.kv_begin; tile < piece.kv_end; tile = piece.next_tile(tile)) {
                ask(p, piece, s, warp, asking);
                wait_copies<kRaw - 1>();
                mbarrier_wait(s.k_free, place.stage, place.parity ^ 1);
                widen(s, warp, raw, s.k_tile(place.stage));
                fill(s.k_full, place.stage);
                ask(p, piece, s, warp, asking);
                wait_copies<kRaw - 1>();
                mbarrier_wait(s.v_free, place.stage, place.parity ^ 1);
                widen(s, warp, raw, s.v_tile(place.stage));
                fill(s.v_full, place.stage);
                place.advance();
            }
        }
    }

private:
    // The next tile to ask for, of K or of V. The lane's key there is known one step before it is used.
    struct Asking {
        int tile, raw, scales;
        bool values;
        int32_t page, slot;  // page -1: no row sees the key, or the lane has none

        ADZE_DEVICE void find(const Params& p, const Piece& piece, int warp) {
            const int position = tile + warp * kWarpKeys + lane_index(), index = position / p.shape.page_size;
            const bool seen = guard(lane_index() < kWarpKeys && tile < piece.kv_end && piece.sees(position));
            slot = position - index * p.shape.page_size;
            page = seen ? Global<const int32_t>(p.kv_indices).load(piece.first_page + index) : -1;
        }
    };

    ADZE_DEVICE static void fill(const Shared<uint64_t>& full, int index) {
        fence_async_proxy();
        sync_warp();
        if (lane_index() == 0) mbarrier_arrive(full, index);
    }
    ADZE_DEVICE static int next_raw(int raw) {
        return raw + 1 == kRaw ? 0 : raw + 1;
    }

    ADZE_DEVICE static void ask(const Params& p, const Piece& piece, const Storage& s, int warp, Asking& asking) {
        if (asking.tile < piece.kv_end) {
            if (asking.values) {
                ask_tile<TileV>(p, p.v, p.shape.head_dim_v, s, warp, asking);
                asking.tile = piece.next_tile(asking.tile);
                asking.find(p, piece, warp);
            } else {
                ask_tile<TileK>(p, p.k, p.shape.head_dim_qk, s, warp, asking);
                ask_scale(p, p.k, s, warp, 0, asking);
                ask_scale(p, p.v, s, warp, kTileKeys, asking);
                asking.scales = Prefill::next_scales(asking.scales);
            }
            asking.values = !asking.values;
            asking.raw = next_raw(asking.raw);
        }
        commit_copies();
    }
    template <class Tile>
    ADZE_DEVICE static void ask_tile(const Params& p, const adze_kv_cache& cache, int head_dim, const Storage& s,
                                     int warp, const Asking& asking) {
        constexpr int kRowChunks = row_chunks<Tile>();
        const Global<const Stored> memory = cache_memory<Stored>(cache, p.shape, head_dim);
        const int64_t elements = asking.page * cache.page_stride + asking.slot * cache.token_stride +
                                 int64_t{block_index().y} * cache.head_stride;
        const int64_t first = asking.page < 0 ? -1 : elements / kPerByte<Stored>;
#pragma unroll 1
        for (int i = lane_index(); i < kWarpKeys * kRowChunks; i += kWarpSize) {
            const int64_t from = shuffle(first, i / kRowChunks);
            const int column = i % kRowChunks * 16;
            const bool inside = guard(from >= 0 && column < stored_elements<Stored>(head_dim));
            copy_async<16>(s.raw, raw_place(warp, asking.raw, i), memory, inside ? from + column : 0, inside);
        }
    }
    ADZE_DEVICE static void ask_scale(const Params& p, const adze_kv_cache& c, const Storage& s, int warp, int first,
                                      const Asking& asking) {
        if (lane_index() >= kWarpKeys) return;
        const int64_t count = (c.num_pages - 1) * c.scale_page_stride + (p.shape.page_size - 1) * c.scale_token_stride +
                              (p.shape.num_kv_heads - 1) * c.scale_head_stride + 1;
        const int64_t index = asking.page * c.scale_page_stride + asking.slot * c.scale_token_stride +
                              int64_t{block_index().y} * c.scale_head_stride;
        const bool inside = asking.page >= 0;
        copy_async<1>(s.scales, asking.scales + first + warp * kWarpKeys + lane_index(),
                      Global<const float>(c.scales, count), inside ? index : 0, inside);
    }
    template <class Tile>
    static constexpr int row_chunks() {  // of 16 bytes of the cache
        return Tile::kColumns / kPerByte<Stored> / 16;
    }
    // Chunk i of the warp's.
    ADZE_DEVICE static int raw_place(int warp, int raw, int i) {
        return raw * kRawBytes + (i / kWarpSize * kWarpGroup + warp * kWarpSize + i % kWarpSize) * 16;
    }
    template <class Tile>
    ADZE_DEVICE static void widen(const Storage& s, int warp, int& raw, const Tile& to) {
        constexpr int kRowChunks = row_chunks<Tile>(), kParts = 2 * kPerByte<Stored>;  // chunks of T from one
#pragma unroll 2
        for (int i = lane_index(); i < kWarpKeys * kRowChunks; i += kWarpSize) {
            const int row = warp * kWarpKeys + i / kRowChunks, first = i % kRowChunks * 16 * kPerByte<Stored>;
            const auto chunk = s.raw.template load_vec<16>(raw_place(warp, raw, i));
            auto words = __builtin_bit_cast(Vec<uint32_t, 4>, chunk);
            // In the order of their parts, 8 lanes meet in no bank.
            const int flip = (i / (8 / kParts) ^ row) % kParts;
            flip_words<2>(words, (flip & kParts / 2) != 0);
            if constexpr (kParts == 4) flip_words<1>(words, (flip & 1) != 0);
#pragma unroll
            for (int part = 0; part < kParts; ++part)
                to.store_chunk(row, first + (part ^ flip) * kChunk, widen_part(words, part));
        }
        raw = next_raw(raw);
    }
    // Words i and i ^ kStep change places.
    template <int kStep>
    ADZE_DEVICE static void flip_words(Vec<uint32_t, 4>& words, bool flips) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if ((i & kStep) != 0) continue;
            const uint32_t low = words[i], high = words[i + kStep];
            words[i] = flips ? high : low;
            words[i + kStep] = flips ? low : high;
        }
    }
    // 8 numbers in order.
    ADZE_DEVICE static typename TileK::Chunk widen_part(const Vec<uint32_t, 4>& words, int part) {
        constexpr int kHalf = 2 * kPerByte<Stored>, kWords = 2 / kPerByte<Stored>;
        Vec<uint32_t, 4> out;
#pragma unroll
        for (int w = 0; w < kWords; ++w) {
            const auto pairs = widen_pairs<T, Stored>(words[part * kWords + w]);
#pragma unroll
            for (int i = 0; i < kHalf; i += 2) {
                out[w * kHalf + i / 2] = (pairs[i] & 0xffffu) | pairs[i + 1] << 16;
                out[w * kHalf + (kHalf + i) / 2] = pairs[i] >> 16 | (pairs[i + 1] & 0xffff0000u);
            }
        }
        return __builtin_bit_cast(typename TileK::Chunk, out);
    }
};

}  // namespace ADZE_TARGET
}  // namespace adze
