// Attention's schedule for random plans and batches: every key that a row sees is dealt once, to blocks with even shares, and
// nothing outgrows what the plan took memory for.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <set>
#include <tuple>

#include "attention/attention.h"
#include "kit/allocations.h"
#include "kit/random.h"

namespace {

using namespace adze;

struct Batch {
    std::vector<int32_t> qo{0}, kv{0}, last;
    std::vector<int64_t> mask{0};

    adze_attention_batch view() const {
        return {sizeof(adze_attention_batch), int32_t(last.size()), qo.data(), kv.data(), last.data(), mask.data()};
    }
    void add(int64_t qo_len, int64_t kv_len, int64_t page_size, int64_t mask_words) {
        const int64_t pages = (kv_len + page_size - 1) / page_size;
        qo.push_back(int32_t(qo.back() + qo_len));
        kv.push_back(int32_t(kv.back() + pages));
        last.push_back(int32_t(pages == 0 ? 0 : kv_len - (pages - 1) * page_size));
        mask.push_back(mask.back() + mask_words);
    }
};

/// The keys of one row, or of a tile of rows.
struct Seen {
    int64_t sinks, begin, end;  // [0, sinks) and [begin, end)

    bool key(int64_t t) const { return t < end && (t < sinks || t >= begin); }
    bool unit(int64_t u) const {
        const int64_t first = u * kKeyUnit, last = std::min(first + kKeyUnit, end) - 1;
        return first <= last && (first < sinks || last >= begin);
    }
};

class AttentionSchedule : public testing::Test {
protected:
    kit::Random random = kit::Random::of_this_test();

    int64_t keys() { return random.pick<int64_t>({1, 17, 128, 700, 5000, 40000}); }

    AttentionPlan random_plan() {
        AttentionPlan plan{};
        AttentionShape& s = plan.shape;
        s.num_kv_heads = int32_t(random.integer(1, 2));
        s.num_q_heads = s.num_kv_heads * random.pick<int32_t>({1, 2, 4, 5, 8, 16, 130});
        s.head_dim_qk = s.head_dim_v = 8;
        s.page_size = random.pick<int32_t>({1, 3, 16, 128, 5000});
        s.causal = random.coin();
        if (random.coin()) {
            s.window = int32_t(random.integer(1, keys()));
            if (random.coin()) s.sink_tokens = int32_t(random.integer(1, keys()));
        }
        s.max_sequences = int32_t(random.integer(1, 20));
        s.max_q_tokens = random.pick<int64_t>({1, 20, 300, 2000});
        s.max_q_len = int32_t(random.coin() ? s.max_q_tokens : random.integer(1, s.max_q_tokens));
        s.max_kv_pages = (random.integer(1, 4) * keys() + s.page_size - 1) / s.page_size;
        for (int i = 0; i < kRowTiles; ++i) {
            plan.split.blocks[i] = int32_t(random.pick<int32_t>({0, 1, 2, 7, 33, 264}));
            plan.split.fixed_keys[i] = random.pick<int64_t>(
                {0, 0, AttentionSplit::kWhole, i < kRowTiles - 1 ? kKeyUnit * random.integer(1, 9) : 0});
        }
        if (random.integer(0, 3) == 0) {
            for (int32_t& blocks : plan.split.blocks) blocks = 0;
            plan.split.most_pieces = random.integer(1, 40);
        }
        reserve_schedule(plan);
        return plan;
    }

    /// Within the plan's capacities, which it fills now and then.
    Batch random_batch(const AttentionShape& s) {
        Batch batch;
        const int64_t sequences = random.coin() ? s.max_sequences : random.integer(0, s.max_sequences);
        for (int64_t i = 0; i < sequences; ++i) {
            const int64_t tokens_left = s.max_q_tokens - batch.qo.back(), pages_left = s.max_kv_pages - batch.kv.back();
            const int64_t longest = std::min<int64_t>(s.max_q_len, tokens_left);
            const int64_t qo_len =
                random.pick<int64_t>({0, std::min<int64_t>(1, longest), longest, random.integer(0, longest)});
            const int64_t most = std::min(pages_left * s.page_size, keys());
            batch.add(qo_len, random.pick<int64_t>({0, most, random.integer(0, most)}), s.page_size,
                      random.integer(0, 3));
        }
        return batch;
    }

    static int64_t past(const AttentionPlan& plan, int32_t s) {
        const auto at = size_t(s);
        return plan.schedule.kv_len[at] - (plan.schedule.qo_indptr[at + 1] - plan.schedule.qo_indptr[at]);
    }
    /// What the rows [begin, end) of a sequence see between them.
    static Seen seen(const AttentionPlan& plan, int32_t s, int64_t begin, int64_t end) {
        const AttentionShape& shape = plan.shape;
        const int64_t first = past(plan, s) + begin / shape.group(), last = past(plan, s) + (end - 1) / shape.group();
        const int64_t kv_len = plan.schedule.kv_len[size_t(s)];
        const int64_t keys = shape.causal ? std::clamp<int64_t>(last + 1, 0, kv_len) : kv_len;
        return {std::min<int64_t>(shape.sink_tokens, keys),
                shape.window == 0 ? 0 : std::max<int64_t>(first - shape.window + 1, 0), keys};
    }

    /// The pieces of one tile, which begin at work[first]; returns what they cost, each.
    std::vector<int64_t> check_tile(const AttentionPlan& plan, size_t first, size_t count) {
        const std::vector<AttentionWork>& work = plan.schedule.work;
        const AttentionWork& tile = work[first];
        const Seen keys = seen(plan, tile.sequence, tile.row_begin, tile.row_end);
        std::vector<int64_t> cost;
        int64_t unit = 0;  // everything below it was dealt or is not seen
        for (size_t i = first; i < first + count; ++i) {
            EXPECT_EQ(work[i].row_end, tile.row_end);
            EXPECT_EQ(work[i].kv_begin % kKeyUnit, 0);
            const int64_t begin = work[i].kv_begin / kKeyUnit, end = (work[i].kv_end + kKeyUnit - 1) / kKeyUnit;
            if (begin == end) {  // zeros are to be written
                EXPECT_EQ(count, 1u);
                EXPECT_FALSE(keys.unit(0) || keys.unit((keys.end - 1) / kKeyUnit));
            } else {
                for (; unit < begin; ++unit) EXPECT_FALSE(keys.unit(unit)) << "unit " << unit << " was left out";
                EXPECT_EQ(unit, begin) << "overlaps the piece before";
                EXPECT_TRUE(keys.unit(begin) && keys.unit(end - 1)) << "begins or ends with what nobody sees";
                EXPECT_EQ(work[i].kv_end, std::min(end * kKeyUnit, keys.end));
            }
            cost.push_back(kPieceCost);
            for (; unit < end; ++unit) cost.back() += keys.unit(unit) ? 1 : 0;
        }
        for (; unit * kKeyUnit < keys.end; ++unit) EXPECT_FALSE(keys.unit(unit)) << "unit " << unit << " was left out";
        return cost;
    }

    /// Rows, keys and partial rows of every tile of a height; returns the cost of every piece.
    std::vector<int64_t> check_height(const AttentionPlan& plan, int height,
                                      std::set<std::pair<int32_t, int64_t>>& rows,
                                      std::vector<AttentionMerge>& merges) {
        const std::vector<AttentionWork>& work = plan.schedule.work;
        std::vector<int64_t> cost;
        const auto end = size_t(plan.schedule.block_work[height].back());
        for (size_t first = size_t(plan.schedule.block_work[height].front()), next; first < end; first = next) {
            const AttentionWork& tile = work[first];
            for (next = first;
                 next < end && work[next].sequence == tile.sequence && work[next].row_begin == tile.row_begin;)
                ++next;
            const auto s = size_t(tile.sequence);
            const int64_t all =
                int64_t{plan.schedule.qo_indptr[s + 1] - plan.schedule.qo_indptr[s]} * plan.shape.group();
            EXPECT_EQ(row_tile_of(all), height);
            EXPECT_EQ(tile.row_begin % kTileRows[height], 0);
            EXPECT_EQ(tile.row_end, std::min(tile.row_begin + kTileRows[height], all));
            EXPECT_TRUE(rows.insert({tile.sequence, tile.row_begin}).second) << "a tile comes twice";
            const std::vector<int64_t> of_tile = check_tile(plan, first, next - first);
            cost.insert(cost.end(), of_tile.begin(), of_tile.end());
            if (next - first == 1) {
                EXPECT_EQ(tile.partial, -1);
                continue;
            }
            const int64_t height_of_tile = tile.row_end - tile.row_begin;
            for (size_t i = first; i < next; ++i)
                EXPECT_EQ(work[i].partial, tile.partial + int64_t(i - first) * height_of_tile);
            merges.push_back({tile.row_begin, tile.row_end, tile.partial, tile.sequence, int32_t(next - first)});
        }
        return cost;
    }

    void check_blocks(const AttentionPlan& plan, int height, const std::vector<int64_t>& cost) {
        const std::vector<int32_t>& ends = plan.schedule.block_work[height];
        const int64_t blocks = std::max(plan.split.blocks[height], 1);
        ASSERT_EQ(std::ssize(ends), blocks + 1);
        EXPECT_TRUE(std::is_sorted(ends.begin(), ends.end()));
        const auto used = size_t(plan.schedule.used_blocks[height]);
        EXPECT_EQ(ends[used], ends.back()) << "a block beyond the used ones has work";
        EXPECT_TRUE(used == 0 || ends[used - 1] < ends[used]) << "the last used block has no work";
        const bool fixed = plan.split.fixed_keys[height] != 0;
        int64_t total = 0;
        const size_t first = size_t(ends[0]);
        for (size_t i = 0; i < cost.size(); ++i) {
            const AttentionWork *piece = &plan.schedule.work[first + i], *before = piece - 1;
            const bool goes_on = i > 0 && before->sequence == piece->sequence && before->row_begin == piece->row_begin;
            total += cost[i] - (goes_on && !fixed ? kPieceCost : 0);
        }
        const int64_t share = std::max((total + blocks - 1) / blocks, kPieceCost + 1);
        const int64_t more = !fixed         ? 2 * (share / kSlackPart) + kPieceCost
                             : cost.empty() ? 0
                                            : *std::max_element(cost.begin(), cost.end());
        for (size_t b = 0; b < size_t(blocks); ++b) {
            const auto at = [&](int32_t work) { return cost.begin() + (work - ends[0]); };
            EXPECT_LE(std::accumulate(at(ends[b]), at(ends[b + 1]), int64_t{0}), share + more)
                << "block " << b << " of " << blocks << ", share " << share;
        }
    }

    void check_capacities(const AttentionPlan& plan) {
        const adze::AttentionSchedule& schedule = plan.schedule;
        EXPECT_LE(std::ssize(schedule.work), max_work(plan));
        EXPECT_LE(std::ssize(schedule.merges), max_merges(plan));
        EXPECT_LE(schedule.partial_rows, partial_rows(plan).count);
        const auto bytes = size_t(attention_image_bytes(plan));
        constexpr size_t kFence = 64;
        std::vector<std::byte> image(bytes + kFence, std::byte{0xa5});
        const uint64_t used = write_attention_image(plan, image.data());
        EXPECT_LE(used, bytes);
        EXPECT_TRUE(
            std::all_of(image.begin() + long(used), image.end(), [](std::byte b) { return b == std::byte{0xa5}; }));
        const AttentionDevicePlan view = attention_image_view(plan, image.data());
        EXPECT_EQ(view.counts->num_sequences, schedule.num_sequences);
        EXPECT_EQ(view.counts->num_merges, std::ssize(schedule.merges));
        EXPECT_EQ(view.counts->num_q_tokens, schedule.qo_indptr.back());
        const auto same = [](const auto& values, const auto* section) {
            return std::memcmp(values.data(), section, values.size() * sizeof *section) == 0;
        };
        EXPECT_TRUE(same(schedule.qo_indptr, view.qo_indptr) && same(schedule.kv_indptr, view.kv_indptr) &&
                    same(schedule.kv_len, view.kv_len) && same(schedule.merges, view.merges) &&
                    same(schedule.work, view.work));
        for (int i = 0; i < kRowTiles; ++i) {
            EXPECT_EQ(view.block_work[i] == nullptr, i > highest_row_tile(plan.shape));
            EXPECT_TRUE(view.block_work[i] == nullptr || same(schedule.block_work[i], view.block_work[i]));
        }
    }

    void check(const AttentionPlan& plan, const Batch& batch) {
        const adze::AttentionSchedule& schedule = plan.schedule;
        std::set<std::pair<int32_t, int64_t>> rows;
        std::vector<AttentionMerge> merges;
        EXPECT_EQ(schedule.block_work[0].front(), 0);
        EXPECT_EQ(schedule.block_work[kRowTiles - 1].back(), std::ssize(schedule.work));
        for (int height = 0; height < kRowTiles; ++height) {
            if (height > 0) {
                EXPECT_EQ(schedule.block_work[height].front(), schedule.block_work[height - 1].back());
            }
            check_blocks(plan, height, check_height(plan, height, rows, merges));
        }
        size_t tiles = 0;
        for (size_t s = 0; s < batch.last.size(); ++s) {
            const int64_t all = int64_t{batch.qo[s + 1] - batch.qo[s]} * plan.shape.group();
            const int64_t height = kTileRows[row_tile_of(std::max<int64_t>(all, 1))];
            tiles += size_t((all + height - 1) / height);
            EXPECT_EQ(schedule.mask_begin[s], batch.mask[s + 1] > batch.mask[s] ? batch.mask[s] : -1);
        }
        EXPECT_EQ(rows.size(), tiles);
        EXPECT_EQ(schedule.mask_words, batch.mask.back());
        int64_t partial = 0;  // the merges' partial rows lie one after the other
        ASSERT_EQ(schedule.merges.size(), merges.size());
        for (size_t i = 0; i < merges.size(); ++i) {
            const auto fields = [](const AttentionMerge& m) {
                return std::tie(m.row_begin, m.row_end, m.partial, m.sequence, m.count);
            };
            EXPECT_EQ(fields(schedule.merges[i]), fields(merges[i]));
            EXPECT_EQ(merges[i].partial, partial);
            partial += merges[i].count * (merges[i].row_end - merges[i].row_begin);
        }
        EXPECT_EQ(schedule.partial_rows, partial);
        check_capacities(plan);
    }

    /// A sequence's pieces, whatever block has them.
    static std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> pieces(const AttentionPlan& plan, int32_t s) {
        std::vector<std::tuple<int64_t, int64_t, int64_t, int64_t>> out;
        for (const AttentionWork& w : plan.schedule.work) {
            if (w.sequence == s) out.emplace_back(w.row_begin, w.row_end, w.kv_begin, w.kv_end);
        }
        return out;
    }
};

TEST_F(AttentionSchedule, DealsWhatIsSeenOnceEvenlyAndWithinCapacity) {
    for (int round = 0; round < 800 && !HasFailure(); ++round) {
        AttentionPlan plan = random_plan();
        for (int update = 0; update < 3; ++update) {
            const Batch batch = random_batch(plan.shape);
            build_schedule(plan, batch.view());
            check(plan, batch);
        }
    }
}

TEST_F(AttentionSchedule, FixedSplitsDependOnTheSequenceAlone) {
    for (int round = 0; round < 100 && !HasFailure(); ++round) {
        AttentionPlan plan = random_plan();
        for (int64_t& fixed : plan.split.fixed_keys) {
            if (fixed == 0) fixed = AttentionSplit::kWhole;
        }
        plan.split.most_pieces = 0;
        reserve_schedule(plan);
        const Batch batch = random_batch(plan.shape);
        build_schedule(plan, batch.view());
        AttentionPlan alone = plan;
        for (int32_t& blocks : alone.split.blocks) blocks = int32_t(random.integer(0, 300));
        reserve_schedule(alone);
        for (int32_t s = 0; s < int32_t(batch.last.size()); ++s) {
            const auto at = size_t(s);
            Batch one;
            one.add(batch.qo[at + 1] - batch.qo[at], plan.schedule.kv_len[at], plan.shape.page_size, 0);
            build_schedule(alone, one.view());
            EXPECT_EQ(pieces(alone, 0), pieces(plan, s));
            for (const auto& [row_begin, row_end, kv_begin, kv_end] : pieces(plan, s)) {
                const int64_t fixed =
                    plan.split.fixed_keys[row_tile_of(int64_t{batch.qo[at + 1] - batch.qo[at]} * plan.shape.group())];
                EXPECT_TRUE(kv_begin == kv_end || kv_begin / fixed == (kv_end - 1) / fixed)
                    << kv_begin << ' ' << kv_end;
            }
        }
    }
}

// What bounds the pieces bounds the workspace, however long the reservations; the first tiles have what there is.
TEST_F(AttentionSchedule, TilesAreWholeWhereThereIsNoRoomForTheirPieces) {
    AttentionPlan plan{};
    plan.shape.num_q_heads = plan.shape.num_kv_heads = 1;
    plan.shape.head_dim_qk = plan.shape.head_dim_v = 8;
    plan.shape.page_size = 1 << 20;
    plan.shape.causal = true;
    plan.shape.max_sequences = 64, plan.shape.max_q_len = 40, plan.shape.max_q_tokens = 64;
    plan.shape.max_kv_pages = 64;
    plan.split = {{}, {2048, 2048, AttentionSplit::kWhole}, 10};
    reserve_schedule(plan);
    EXPECT_EQ(partial_rows(plan).count, 10 * 16 + 10 * 40);
    Batch batch;
    for (const int64_t kv_len : {5 * 2048, 7 * 2048, 2048, 5 * 2048, 2 * 2048}) batch.add(1, kv_len, 1 << 20, 0);
    batch.add(40, 9 * 2048, 1 << 20, 0);
    build_schedule(plan, batch.view());
    check(plan, batch);
    const auto count = [&](int32_t s) { return pieces(plan, s).size(); };
    EXPECT_EQ((std::array{count(0), count(1), count(2), count(3), count(4), count(5)}),
              (std::array<size_t, 6>{5, 1, 1, 5, 1, 9}));
}

// One long sequence among short ones is what even shares are for.
TEST_F(AttentionSchedule, EveryBlockHasWorkWhereThereIsEnough) {
    AttentionPlan plan{};
    plan.shape.num_q_heads = plan.shape.num_kv_heads = plan.shape.page_size = 1;
    plan.shape.head_dim_qk = plan.shape.head_dim_v = 8;
    plan.shape.causal = true;
    plan.shape.max_sequences = 9, plan.shape.max_q_len = 1, plan.shape.max_q_tokens = 9;
    plan.shape.max_kv_pages = 200000;
    plan.split.blocks[0] = 66;
    reserve_schedule(plan);
    Batch batch;
    batch.add(1, 131072, 1, 0);
    for (int i = 0; i < 8; ++i) batch.add(1, random.integer(1, 500), 1, 0);
    build_schedule(plan, batch.view());
    check(plan, batch);
    EXPECT_GE(plan.schedule.used_blocks[0], 60);  // all, but that shares are whole units
}

TEST_F(AttentionSchedule, BlocksOfAHeadFillWaves) {
    EXPECT_EQ(blocks_of_head(264, 8), 33);
    EXPECT_EQ(blocks_of_head(264, 7), 37);
    EXPECT_EQ(blocks_of_head(132, 96), 4);
    EXPECT_EQ(blocks_of_head(132, 133), 4);
    EXPECT_EQ(blocks_of_head(1, 5), 1);
    for (int slots = 1; slots <= 300; ++slots) {
        for (int heads = 1; heads <= 200; ++heads) {
            const int64_t blocks = blocks_of_head(slots, heads), all = blocks * heads;
            const int64_t offered = (all + slots - 1) / slots * slots;
            ASSERT_LE(offered - all, offered / 5) << slots << ' ' << heads;
            ASSERT_GE(blocks, std::max(slots / heads, 1)) << slots << ' ' << heads;
        }
    }
}

TEST_F(AttentionSchedule, UpdatesAllocateNothing) {
    if (!kit::allocations_counted()) GTEST_SKIP() << "a sanitizer owns the allocator";
    for (int round = 0; round < 100; ++round) {
        AttentionPlan plan = random_plan();
        const Batch batch = random_batch(plan.shape);
        const uint64_t before = kit::allocations();
        build_schedule(plan, batch.view());
        EXPECT_EQ(kit::allocations(), before);
    }
}

}  // namespace
