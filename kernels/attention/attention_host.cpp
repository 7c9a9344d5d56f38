// The split-KV schedule of a batch: which rows against which keys, and which block does it.
#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <type_traits>

#include "attention/attention.h"
#include "runtime/check.h"

namespace adze {
namespace {

int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// The keys that a tile of rows sees: two runs of units, since with a window the sinks come first.
struct Tile {
    int32_t sequence;
    int64_t row_begin, row_end;
    int64_t sink_units;         // from position 0 on
    int64_t first_unit, units;  // after the sinks; how many in both runs
    int64_t end;                // keys

    int64_t unit(int64_t i) const { return i < sink_units ? i : first_unit + i - sink_units; }
    int64_t key_begin(int64_t i) const { return unit(i) * kKeyUnit; }
    int64_t key_end(int64_t i) const { return std::min((unit(i - 1) + 1) * kKeyUnit, end); }
    int64_t rows() const { return row_end - row_begin; }
    // How many of its units lie below a unit of the sequence.
    int64_t units_below(int64_t unit) const {
        return std::min(unit, sink_units) + std::clamp<int64_t>(unit - first_unit, 0, units - sink_units);
    }
};

int64_t block_count(const AttentionPlan& plan, int height) {
    return std::max(plan.split.blocks[height], 1);
}

Tile make_tile(const AttentionShape& shape, const AttentionSchedule& schedule, int32_t sequence, int64_t row_begin,
               int64_t row_end) {
    const auto s = static_cast<size_t>(sequence);
    const int64_t kv_len = schedule.kv_len[s];
    const int64_t past = kv_len - (schedule.qo_indptr[s + 1] - schedule.qo_indptr[s]);
    const int64_t last = past + (row_end - 1) / shape.group(), first = past + row_begin / shape.group();
    Tile tile{sequence, row_begin, row_end, 0, 0, 0, 0};
    tile.end = shape.causal ? std::clamp<int64_t>(last + 1, 0, kv_len) : kv_len;
    if (shape.window > 0) tile.first_unit = std::clamp<int64_t>(first - shape.window + 1, 0, tile.end) / kKeyUnit;
    tile.sink_units = divide_up(std::min<int64_t>(shape.sink_tokens, tile.end), kKeyUnit);
    if (tile.sink_units >= tile.first_unit) tile.sink_units = tile.first_unit;  // one run
    tile.units = tile.sink_units + divide_up(tile.end, kKeyUnit) - tile.first_unit;
    return tile;
}

// Deals the tiles of one height to blocks: evenly, in order, and cut where a block's share ends.
class Dealer {
public:
    Dealer(const AttentionPlan& plan, AttentionSchedule& schedule, int height)
        : shape_(plan.shape),
          schedule_(schedule),
          height_(height),
          blocks_(block_count(plan, height)),
          fixed_units_(plan.split.fixed_keys[height] / kKeyUnit),
          pieces_left_(plan.split.most_pieces == 0 ? INT64_MAX : plan.split.most_pieces) {}

    void run() {
        block_ends_ = &schedule_.block_work[height_];
        block_ends_->assign(1, static_cast<int32_t>(schedule_.work.size()));
        int64_t total = 0;
        for_each_tile([&](const Tile& tile) { total += cost(tile); });
        share_ = std::max(divide_up(total, blocks_), kPieceCost + 1);
        for_each_tile([&](const Tile& tile) { fixed_units_ > 0 ? deal_fixed(tile) : deal_even(tile); });
        const bool has_work = static_cast<int32_t>(schedule_.work.size()) > block_ends_->back();
        schedule_.used_blocks[height_] = static_cast<int32_t>(block_ends_->size() - 1) + (has_work ? 1 : 0);
        block_ends_->resize(static_cast<size_t>(blocks_) + 1, static_cast<int32_t>(schedule_.work.size()));
    }

private:
    // Even splits make most tiles one piece; who goes on with another's pays for that himself.
    int64_t cost(const Tile& tile) const {
        int64_t pieces = fixed_units_ > 0 ? 0 : 1;
        if (fixed_units_ > 0) pieces = count_fixed(tile);
        return kPieceCost * pieces + tile.units;
    }

    int64_t count_fixed(const Tile& tile) const {
        int64_t pieces = 0;
        for_each_fixed_piece(tile, fixed_units_, [&](int64_t, int64_t) { ++pieces; });
        return pieces;
    }

    // Up to every multiple of the fixed length in the sequence.
    template <class Visit>
    static void for_each_fixed_piece(const Tile& tile, int64_t fixed_units, const Visit& visit) {
        int64_t begin = 0;
        do {
            const int64_t border = tile.units == 0 ? 0 : (tile.unit(begin) / fixed_units + 1) * fixed_units;
            const int64_t end = tile.units_below(border);
            visit(begin, end);
            begin = end;
        } while (begin < tile.units);
    }

    template <class Visit>
    void for_each_tile(const Visit& visit) const {
        for (int32_t s = 0; s < schedule_.num_sequences; ++s) {
            const auto at = static_cast<size_t>(s);
            const int64_t rows = int64_t{schedule_.qo_indptr[at + 1] - schedule_.qo_indptr[at]} * shape_.group();
            if (rows == 0 || row_tile_of(rows) != height_) continue;
            for (int64_t row = 0; row < rows; row += kTileRows[height_])
                visit(make_tile(shape_, schedule_, s, row, std::min(row + kTileRows[height_], rows)));
        }
    }

    int64_t share_end() const { return static_cast<int64_t>(block_ends_->size()) * share_; }
    bool is_last_block() const { return static_cast<int64_t>(block_ends_->size()) == blocks_; }
    void next_block() { block_ends_->push_back(static_cast<int32_t>(schedule_.work.size())); }

    void deal_even(const Tile& tile) {
        const int64_t slack = share_ / kSlackPart;
        const size_t first = schedule_.work.size();
        position_ += kPieceCost;
        int64_t dealt = 0;
        do {
            const int64_t left = tile.units - dealt, room = share_end() - position_;
            const bool whole = is_last_block() || left <= room + slack;
            if (!whole && room <= slack) {  // the rest is not worth a piece
                next_block();
                continue;
            }
            const int64_t units = whole ? left : room;
            add_piece(tile, dealt, dealt + units);
            dealt += units;
            position_ += units;
            while (!is_last_block() && position_ >= share_end() - slack) next_block();
            if (whole) break;
        } while (true);
        finish_tile(tile, first);
    }

    // Where the plan has no room for a tile's pieces it is whole.
    int64_t take_fixed_units(const Tile& tile) {
        const int64_t pieces = count_fixed(tile);
        if (pieces > pieces_left_) return AttentionSplit::kWhole / kKeyUnit;
        if (pieces > 1) pieces_left_ -= pieces;
        return fixed_units_;
    }

    void deal_fixed(const Tile& tile) {
        const size_t first = schedule_.work.size();
        for_each_fixed_piece(tile, take_fixed_units(tile), [&](int64_t begin, int64_t end) {
            const int64_t piece = kPieceCost + end - begin;
            while (!is_last_block() && position_ + piece / 2 >= share_end()) next_block();
            add_piece(tile, begin, end);
            position_ += piece;
        });
        finish_tile(tile, first);
    }

    void add_piece(const Tile& tile, int64_t begin, int64_t end) {
        const bool empty = begin == end;
        schedule_.work.push_back({tile.row_begin, tile.row_end, empty ? 0 : tile.key_begin(begin),
                                  empty ? 0 : tile.key_end(end), -1, tile.sequence, 0});
    }

    // Several pieces write partial results, which are merged.
    void finish_tile(const Tile& tile, size_t first) {
        const size_t count = schedule_.work.size() - first;
        if (count == 1) return;
        schedule_.merges.push_back(
            {tile.row_begin, tile.row_end, schedule_.partial_rows, tile.sequence, static_cast<int32_t>(count)});
        for (size_t i = first; i < schedule_.work.size(); ++i) {
            schedule_.work[i].partial = schedule_.partial_rows;
            schedule_.partial_rows += tile.rows();
        }
    }

    const AttentionShape& shape_;
    AttentionSchedule& schedule_;
    const int height_;
    const int64_t blocks_, fixed_units_;
    int64_t pieces_left_;  // of split tiles
    std::vector<int32_t>* block_ends_ = nullptr;
    int64_t share_ = 0;
    int64_t position_ = 0;  // cost of what was dealt
};

// ---- capacities ----

int64_t max_tile_rows(const AttentionShape& s, int height) {
    return std::min(kTileRows[height], int64_t{s.max_q_len} * s.group());
}

int64_t max_tiles(const AttentionShape& s, int height) {
    if (height > highest_row_tile(s)) return 0;
    const int64_t sequences = std::min<int64_t>(s.max_sequences, s.max_q_tokens);
    return height < kRowTiles - 1 ? sequences : s.max_q_tokens * s.group() / kTileRows[height] + sequences;
}

int64_t max_keys(const AttentionShape& s) {
    return s.max_kv_pages * s.page_size;
}

// Pieces of tiles that are split, and these tiles.
struct Splits {
    int64_t pieces, tiles;
};
Splits max_splits(const AttentionPlan& plan, int height) {
    const int64_t tiles = max_tiles(plan.shape, height), fixed = plan.split.fixed_keys[height];
    if (tiles == 0 || max_keys(plan.shape) <= kKeyUnit || fixed == AttentionSplit::kWhole) return {0, 0};
    if (fixed == 0) {  // every cut makes one piece more
        const int64_t cuts = block_count(plan, height) - 1;
        return {2 * cuts, std::min(cuts, tiles)};
    }
    // One tile a sequence: n keys make at most n / fixed + 1 pieces.
    const int64_t split = std::min(tiles, max_keys(plan.shape) / (fixed + 1));
    const int64_t pieces = split == 0 ? 0 : max_keys(plan.shape) / fixed + split, most = plan.split.most_pieces;
    return most == 0 ? Splits{pieces, split} : Splits{std::min(pieces, most), std::min(split, most / 2)};
}

// The image's sections in order, each aligned to 16 bytes: sizing, viewing and filling all take this walk.
struct Image {
    AttentionDevicePlan sections{};
    uint64_t bytes = 0;
};

Image lay_out(const AttentionPlan& plan, const void* base) {
    const AttentionShape& s = plan.shape;
    Image image;
    const auto take = [&](auto*& section, int64_t count) {
        section = reinterpret_cast<std::remove_reference_t<decltype(section)>>(reinterpret_cast<uintptr_t>(base) +
                                                                               image.bytes);
        image.bytes = (image.bytes + static_cast<uint64_t>(count) * sizeof *section + 15) / 16 * 16;
    };
    take(image.sections.counts, 1);
    take(image.sections.qo_indptr, int64_t{s.max_sequences} + 1);
    take(image.sections.kv_indptr, int64_t{s.max_sequences} + 1);
    take(image.sections.kv_len, s.max_sequences);
    if (s.max_mask_words > 0) take(image.sections.mask_begin, s.max_sequences);
    for (int i = 0; i <= highest_row_tile(s); ++i) take(image.sections.block_work[i], block_count(plan, i) + 1);
    take(image.sections.merges, max_merges(plan));
    take(image.sections.work, max_work(plan));
    return image;
}

// Where the copy ends.
template <class T>
uintptr_t put(const T* section, const T* values, size_t count) {
    if (count > 0) std::memcpy(const_cast<T*>(section), values, count * sizeof(T));
    return reinterpret_cast<uintptr_t>(section + count);
}
template <class T>
uintptr_t put(const T* section, const std::vector<T>& values) {
    return put(section, values.data(), values.size());
}

void take_batch(const AttentionShape& shape, const adze_attention_batch& batch, AttentionSchedule& schedule) {
    schedule.num_sequences = batch.num_sequences;
    schedule.qo_indptr.assign(1, 0);
    schedule.kv_indptr.assign(1, 0);
    schedule.kv_len.clear();
    schedule.mask_begin.clear();
    schedule.mask_words = 0;
    if (batch.mask_indptr != nullptr) schedule.mask_words = batch.mask_indptr[batch.num_sequences];
    for (size_t s = 0; s < static_cast<size_t>(batch.num_sequences); ++s) {
        schedule.qo_indptr.push_back(batch.qo_indptr[s + 1]);
        schedule.kv_indptr.push_back(batch.kv_indptr[s + 1]);
        const int64_t pages = batch.kv_indptr[s + 1] - batch.kv_indptr[s];
        schedule.kv_len.push_back(pages == 0 ? 0 : (pages - 1) * shape.page_size + batch.kv_last_page_len[s]);
        const int64_t* masks = batch.mask_indptr;
        schedule.mask_begin.push_back(masks != nullptr && masks[s + 1] > masks[s] ? masks[s] : -1);
    }
}

}  // namespace

int32_t blocks_of_head(int32_t slots, int32_t heads) {
    const auto in_waves = [&](int64_t blocks) { return divide_up(blocks, slots) * slots; };
    int64_t blocks = std::max(slots / heads, 1);
    while (in_waves(blocks * heads) * 4 > blocks * heads * 5) ++blocks;  // ends: slots * heads are whole waves
    return static_cast<int32_t>(blocks);
}

int64_t max_work(const AttentionPlan& plan) {
    int64_t work = 0;
    for (int i = 0; i < kRowTiles; ++i) work += max_tiles(plan.shape, i) + max_splits(plan, i).pieces;
    return work;
}

int64_t max_merges(const AttentionPlan& plan) {
    int64_t merges = 0;
    for (int i = 0; i < kRowTiles; ++i) merges += max_splits(plan, i).tiles;
    return merges;
}

PartialRows partial_rows(const AttentionPlan& plan) {
    int64_t rows = 0;
    for (int i = 0; i < kRowTiles; ++i) rows += max_splits(plan, i).pieces * max_tile_rows(plan.shape, i);
    return {rows, plan.shape.num_kv_heads, plan.shape.head_dim_v};
}

void reserve_schedule(AttentionPlan& plan) {
    AttentionSchedule& schedule = plan.schedule;
    const auto sequences = static_cast<size_t>(plan.shape.max_sequences);
    schedule.qo_indptr.reserve(sequences + 1);
    schedule.kv_indptr.reserve(sequences + 1);
    schedule.kv_len.reserve(sequences);
    schedule.mask_begin.reserve(sequences);
    schedule.work.reserve(static_cast<size_t>(max_work(plan)));
    schedule.merges.reserve(static_cast<size_t>(max_merges(plan)));
    for (int i = 0; i < kRowTiles; ++i) schedule.block_work[i].reserve(static_cast<size_t>(block_count(plan, i)) + 1);
    build_schedule(plan, {});
}

void build_schedule(AttentionPlan& plan, const adze_attention_batch& batch) {
    AttentionSchedule& schedule = plan.schedule;
    take_batch(plan.shape, batch, schedule);
    schedule.work.clear();
    schedule.merges.clear();
    schedule.partial_rows = 0;
    for (int height = 0; height < kRowTiles; ++height) Dealer(plan, schedule, height).run();
}

uint64_t attention_image_bytes(const AttentionPlan& plan) {
    return lay_out(plan, nullptr).bytes;
}

AttentionDevicePlan attention_image_view(const AttentionPlan& plan, const void* base) {
    return lay_out(plan, base).sections;
}

uint64_t write_attention_image(const AttentionPlan& plan, void* image) {
    const AttentionSchedule& schedule = plan.schedule;
    const AttentionDevicePlan to = attention_image_view(plan, image);
    const AttentionCounts counts{schedule.num_sequences, static_cast<int32_t>(schedule.merges.size()),
                                 schedule.qo_indptr.back(), 0};
    put(to.counts, &counts, 1);
    put(to.qo_indptr, schedule.qo_indptr);
    put(to.kv_indptr, schedule.kv_indptr);
    put(to.kv_len, schedule.kv_len);
    if (to.mask_begin != nullptr) put(to.mask_begin, schedule.mask_begin);
    for (int i = 0; i < kRowTiles; ++i) {
        if (to.block_work[i] != nullptr) put(to.block_work[i], schedule.block_work[i]);
    }
    put(to.merges, schedule.merges);
    return put(to.work, schedule.work) - reinterpret_cast<uintptr_t>(image);
}

uint64_t attention_workspace_bytes(const AttentionPlan& plan) {
    const auto bytes = static_cast<uint64_t>(partial_rows(plan).floats()) * sizeof(float);
    return (bytes + 255) / 256 * 256;
}

void require_page_ids(const AttentionPlan& plan, const adze_tensor& kv_indices, int64_t num_pages) {
    const auto* ids = static_cast<const int32_t*>(kv_indices.data);
    for (int32_t i = 0; i < plan.schedule.kv_indptr.back(); ++i) {
        require(ids[i] >= 0 && ids[i] < num_pages, "kv_indices[%d] is %d; the cache has %" PRId64 " pages", i, ids[i],
                num_pages);
    }
}

}  // namespace adze
