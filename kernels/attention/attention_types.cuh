// What an instance of attention's kernel is made of: its constants, tiles, shared memory, and what a lane keeps.
#pragma once

#include <type_traits>

#include "attention/attention_item.cuh"
#include "device/async_copy.h"
#include "device/quantised.h"
#include "runtime/gpu_rows.cuh"

namespace adze {
inline namespace ADZE_TARGET {

template <class Stored>
constexpr bool kIsQuantised = sizeof(Stored) == 1;
// What a cache's numbers are multiplied as.
template <class Stored>
using Multiplied = std::conditional_t<kIsQuantised<Stored>, bf16, Stored>;

// What one load serves, as QuantisedKeys and QuantisedValues have it, of tiles that hold operands.
struct PlainKeys {
    static constexpr int kSteps = 1;
};
struct PlainValues {
    static constexpr int kTiles = 1;
};

// f32 results as ResultTile has them, but for lanes that store four neighbours of a row: of 32 lanes, 8 of two rows go
// together, of 64 8 of one row; those of int4x2 are 8 columns apart.
template <int kRowCount, int kColumnCount>
struct ResultRunTile {
    static constexpr int kColumns = kColumnCount, kElements = kRowCount * kColumns;

    Shared<float> data;

    ADZE_DEVICE static constexpr int index(int row, int column) {
        const int chunk = column / 4 ^ column / 32 ^ (kWarpSize == 32 ? (row & 1) * 5 : 0);
        return row * kColumns + chunk * 4 + column % 4;
    }
};

//   Stored         format of the cache
//   kDimQk, kDimV  the head dims, or more
//   kRowCount      rows that a block takes at a time
template <class Stored, int kDimQk, int kDimV, int kRowCount>
struct AttentionTypes {
    using T = Multiplied<Stored>;
    static constexpr bool kQuantised = kIsQuantised<Stored>;
    static constexpr int kStoredBits = static_cast<int>(sizeof(Stored)) * 8 / kPerByte<Stored>;
    static constexpr const char* kName = kRowCount == 16   ? "attention_16"
                                         : kRowCount == 64 ? "attention_64"
                                                           : "attention_128";
    static constexpr AttentionTile kShape = attention_tile(kTarget.arch, kDimQk, kDimV, kRowCount, kStoredBits);
    static constexpr int kThreads = kShape.warps() * kWarpSize;
    using Params = AttentionKernelParams;
    static constexpr bool runs_on(Arch) { return true; }

    using M = Mma<T>;
    using C = typename M::C;
    static constexpr int kWarps = kShape.warps(), kKeyWarps = kShape.key_warps, kRowBlocks = kShape.row_blocks;
    static constexpr int kWarpRows = kRowBlocks * M::kM;
    static constexpr int kTileKeys = kShape.keys, kWarpKeys = kTileKeys / kKeyWarps, kStages = kShape.stages;
    static_assert(M::kM == kRowBlock && kShape.row_warps * kWarpRows == kRowCount);
    static_assert(kThreads >= kTileKeys && (kShape.row_warps == 1 || kKeyWarps == 1));
    static_assert(kKeyUnit % kTileKeys == 0 &&
                  32 % kWarpKeys == 0);  // a piece begins a tile; a warp's keys are in one word
    // Copies under way while a tile is multiplied: without asynchronous ones, those that registers hold.
    static constexpr int kAhead = kTarget.async_copy ? kStages - 1 : 1;
    // Several parts of p and q, and f16's units of values, cost registers that two blocks of rows a warp do not leave, nor
    // the most rows of the largest head, nor many whose values are widened.
    static constexpr bool kHasParts = kRowBlocks == 1 && !(kDimV > 128 && kRowCount > (kQuantised ? 16 : 64)),
                          kHasUnits = kHasParts && std::is_same_v<T, f16>;

    using TileQ = SharedTile<T, kRowCount, kDimQk>;
    template <int kDims>
    using StoredTile =
        std::conditional_t<kQuantised, QuantisedTile<Stored, kTileKeys, kDims>, SharedTile<Stored, kTileKeys, kDims>>;
    using TileK = StoredTile<kDimQk>;
    using TileV = StoredTile<kDimV>;
    using Keys = std::conditional_t<kQuantised, QuantisedKeys<M, TileK>, PlainKeys>;
    using Values = std::conditional_t<kQuantised, QuantisedValues<M, TileV>, PlainValues>;
    // Columns of queries that are multiplied together: a panel, or what one load of keys serves.
    static constexpr int kPanel = Keys::kSteps * M::kK > TileQ::kPanel ? Keys::kSteps* M::kK : TileQ::kPanel;
    using PanelQ = SharedTile<T, kRowCount, kPanel>;
    using PanelK = SharedTile<T, kTileKeys, kPanel>;
    // Of a warp, at the end.
    using TileO = std::conditional_t<kQuantised, ResultRunTile<M::kM, 64>, ResultTile<M::kM, 64>>;
    using Table = KeyTable<kTileKeys, kAhead + 2>;

    static constexpr int kChunk = 8;                     // elements of 16 bytes
    static constexpr int kKeyTiles = kWarpKeys / M::kN;  // accumulators of a warp's scores
    static constexpr int kKeySteps = kWarpKeys / M::kK;  // operands of its weights
    static constexpr int kDimTiles = kDimV / M::kN, kDimSteps = kDimQk / M::kK;
    // The largest head leaves no registers for the queries of several steps: they come anew for each tile of keys.
    static constexpr bool kHoldsQueries = kPerByte<Stored> == 1 || kKeyTiles > 2 || kDimV <= 128;
    static constexpr int kSlots = C::kRows;
    static constexpr bool kIsF16 = std::is_same_v<T, f16>;
    // p is at most 1; times this power of two, all of f16's 11 bits are there for p down to 2^-28, and 22 to 2^-17.
    static constexpr float kWeightExponent = kIsF16 ? 14.0f : 0.0f, kWeightUnit = kIsF16 ? 0x1p-14f : 1.0f;
    // The widest instances for 8 bits, whose addresses take more registers on sm_80 and sm_89, have none left for phi there.
    static constexpr bool kCanUnify = !kIsF16 && !((kTarget.arch == Arch::kSm80 || kTarget.arch == Arch::kSm89) &&
                                                   kStoredBits == 8 && kDimQk == 256 && kRowCount == 16);
    static constexpr float kSmallestUnit = 1.17549435e-38f;

    // The host's kTarget is not the device's.
    static constexpr int64_t shared_bytes(Arch arch, int q_parts) {
        const AttentionTile shape = attention_tile(arch, kDimQk, kDimV, kRowCount, kStoredBits);
        const int slots = arch == Arch::kGfx90a ? 3 : shape.stages + 1;
        int64_t bytes = add_shared(0, int64_t{slots} * shape.keys * Table::kEntryBytes);
        bytes = add_shared(bytes, kRowCount * 12);
        bytes = add_shared(bytes, kWarps * kWarpRows * 8);
        bytes = add_shared(bytes, kWarps * 4);
        bytes = add_shared(bytes, 8);
        bytes = add_shared(bytes, sizeof(AttentionItem));
        bytes = add_shared(bytes, sizeof(Softmax));
        bytes = add_shared(bytes, sizeof(KeyTiles<kTileKeys>));
        bytes = add_shared(bytes, kWarps * int64_t{sizeof(Limits)});
        const int64_t stage = int64_t{shape.keys} * (kDimQk + kDimV) * kStoredBits / 8;
        const int64_t results = add_shared(bytes, kWarps * int64_t{TileO::kElements} * 4, TileK::kAlignment);
        bytes = add_shared(bytes, shape.stages * stage, TileK::kAlignment);
        bytes = add_shared(bytes, int64_t{q_parts} * TileQ::kElements * 2, TileQ::kAlignment);
        return results > bytes ? results : bytes;  // they take the place of tiles and queries
    }

    // The keys that some of a warp's rows see, and those that all do: between them masks are needed.
    struct Limits {
        int32_t some_begin = 0, some_end = 0, all_begin = 0, all_end = 0, sink_end;

        Limits() = default;
        ADZE_DEVICE Limits(const AttentionShape& s, const AttentionItem& item, int first_row)
            : sink_end(item.sink_end(s)) {
            if (first_row >= item.rows) return;
            const int32_t first = item.token(first_row);
            const int32_t last =
                item.token(first_row + kWarpRows < item.rows ? first_row + kWarpRows - 1 : item.rows - 1);
            some_begin = item.seen_begin(s, first);
            some_end = item.seen_end(s, last);
            if (item.mask_begin >= 0) return;
            all_begin = item.seen_begin(s, last);
            all_end = item.seen_end(s, first);
        }
        ADZE_DEVICE bool none(int32_t key) const {
            return key >= some_end || (key + kWarpKeys <= some_begin && key >= sink_end);
        }
        ADZE_DEVICE bool all(int32_t key) const {
            return key + kWarpKeys <= all_end && (key >= all_begin || key + kWarpKeys <= sink_end);
        }
    };

    // How a piece's logits become weights: exp2((score * multiplier - shift) * scale), for f16 times a power of two.
    struct Softmax {
        bool unified;
        bool transforms;    // scores are made logits before, not by the multiplier
        float factor;       // of scores, in all
        float value_scale;  // of sums

        ADZE_DEVICE float score_factor() const { return transforms ? 1.0f : factor; }
        ADZE_DEVICE float multiplier() const { return unified ? score_factor() : 1.0f; }
        ADZE_DEVICE float scale() const { return unified ? kLog2E : score_factor() * kLog2E; }
    };

    struct SharedParts {
        SharedArena arena;
        Table table = Table::take(arena);
        Shared<float> units = arena.template take<float>(kRowCount), slopes = arena.template take<float>(kRowCount),
                      phis = arena.template take<float>(kRowCount);                     // of rows
        Shared<float> statistics = arena.template take<float>(kWarps * kWarpRows * 2);  // of each warp's rows
        Shared<int32_t> fits = arena.template take<int32_t>(kWarps);
        Shared<int32_t> works = arena.template take<int32_t>(2);  // of the block: the first, and the one after the last
        SharedStruct<AttentionItem> item = SharedStruct<AttentionItem>::take(arena);
        SharedStruct<Softmax> softmax = SharedStruct<Softmax>::take(arena);
        SharedStruct<KeyTiles<kTileKeys>> tiles = SharedStruct<KeyTiles<kTileKeys>>::take(arena);
        SharedStruct<Limits> limits = SharedStruct<Limits>::take(arena, kWarps);
        SharedArena before_ring = arena;
        Shared<Stored> ring;
        Shared<T> queries;  // how many is known at run time: last

        ADZE_DEVICE explicit SharedParts(int q_parts)
            : ring(arena.template take<Stored>(kStages * (TileK::kElements + TileV::kElements), TileK::kAlignment)),
              queries(arena.template take<T>(q_parts * TileQ::kElements, TileQ::kAlignment)) {}

        ADZE_DEVICE TileK keys(int stage) const {
            return {ring.slice(stage * (TileK::kElements + TileV::kElements), TileK::kElements)};
        }
        ADZE_DEVICE TileV values(int stage) const {
            return {ring.slice(stage * (TileK::kElements + TileV::kElements) + TileK::kElements, TileV::kElements)};
        }
        ADZE_DEVICE TileQ query_part(int part) const {
            return {queries.slice(part * TileQ::kElements, TileQ::kElements)};
        }
    };

    // What a lane knows of its rows of a block of 16. The maximum is of scores before the factor; unified, of the lane's
    // own.
    struct Rows {
        int32_t token[kSlots];
        float maximum[kSlots], total[kSlots];
        float value_unit[kSlots];  // f16 with scales by token: what the weights were divided by
    };
    struct State {
        Rows rows[kRowBlocks];
        C sums[kRowBlocks][kDimTiles];
    };
};

}  // namespace ADZE_TARGET
}  // namespace adze
