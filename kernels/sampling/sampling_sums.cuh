// Sums over a block in 64 bits: of integers, so that they are the same in any order.
#pragma once

#include "device/memory.h"
#include "device/reduce.h"

namespace adze {
inline namespace ADZE_TARGET {

constexpr int kTokenVectors = 2;  // of 8 tokens, that a thread holds

// Inclusive sum over the lanes up to this one.
ADZE_DEVICE uint64_t scan_warp(uint64_t value) {
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
        const uint64_t before = shuffle(value, lane_index() - distance);
        if (lane_index() >= distance) value += before;
    }
    return value;
}

// Sums and maxima over the block, for kThreads threads. One barrier each: the scratch is used by turns.
template <int kThreads>
class BlockSums {
public:
    static constexpr int kWarps = kThreads / kWarpSize;
    static constexpr int kScratch = 2 * 4 * kWarps;

    ADZE_DEVICE explicit BlockSums(SharedArena& arena) : scratch_(arena.take<uint64_t>(kScratch)) {}

    // Four sums at once: lanes first share out which they go on with, so that six exchanges do for twenty.
    ADZE_DEVICE void add(uint64_t (&sums)[4]) {
        const bool upper = lane_index() % 2 != 0, odd = lane_index() / 2 % 2 != 0;
        const uint64_t first = (upper ? sums[2] : sums[0]) + shuffle_xor(upper ? sums[0] : sums[2], 1);
        const uint64_t second = (upper ? sums[3] : sums[1]) + shuffle_xor(upper ? sums[1] : sums[3], 1);
        uint64_t sum = (odd ? second : first) + shuffle_xor(odd ? first : second, 2);
        sum = reduce(sum, Add{}, kWarpSize / 4, 4);
        const int base = next_turn();
        if (lane_index() < 4) scratch_.store(base + warp_index() * 4 + (upper ? 2 : 0) + (odd ? 1 : 0), sum);
        sync_block();
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[i] = 0;
        for (int warp = 0; warp < kWarps; ++warp) {
            const auto low = scratch_.template load_vec<2>(base + warp * 4);
            const auto high = scratch_.template load_vec<2>(base + warp * 4 + 2);
            sums[0] += low[0], sums[1] += low[1], sums[2] += high[0], sums[3] += high[1];
        }
    }

    ADZE_DEVICE uint64_t max(uint64_t value) {
        value = reduce(value, Max{});
        const int base = next_turn();
        if (lane_index() == 0) scratch_.store(base + warp_index(), value);
        sync_block();
        for (int warp = 0; warp < kWarps; ++warp) value = Max{}(value, scratch_.load(base + warp));
        return value;
    }

    // What the threads before this one hold.
    ADZE_DEVICE uint64_t scan(uint64_t value) {
        const uint64_t upto = scan_warp(value);
        const int base = next_turn();
        if (lane_index() == kWarpSize - 1) scratch_.store(base + warp_index(), upto);
        sync_block();
        uint64_t before = upto - value;
        for (int warp = 0; warp < warp_index(); ++warp) before += scratch_.load(base + warp);
        return before;
    }

    // A sum for each warp and vector, in the order of the tokens: sum v of warp w is at(v * kWarps + w) until the next
    // call. (They lie so that the two of a warp are in different banks.)
    ADZE_DEVICE void spread(const uint64_t (&of_thread)[kTokenVectors]) {
        const bool odd = lane_index() % 2 != 0;
        uint64_t sum = (odd ? of_thread[1] : of_thread[0]) + shuffle_xor(odd ? of_thread[0] : of_thread[1], 1);
        sum = reduce(sum, Add{}, kWarpSize / 2, 2);
        base_ = next_turn();
        if (lane_index() < 2) scratch_.store(base_ + lane_index() * (kWarps + 1) + warp_index(), sum);
        sync_block();
    }
    ADZE_DEVICE uint64_t at(int segment) const {
        return scratch_.load(base_ + segment + segment / kWarps);
    }

private:
    ADZE_DEVICE int next_turn() {
        return (turn_ ^= 1) * 4 * kWarps;
    }

    Shared<uint64_t> scratch_;
    int turn_ = 0, base_ = 0;
};

}  // namespace ADZE_TARGET
}  // namespace adze
