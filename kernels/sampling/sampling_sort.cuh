// A block sorts what its threads hold: Batcher's bitonic sort, in registers, by shuffles within a warp and through
// shared memory beyond it. 91 rounds for 8192 places, whatever they are; no bank conflicts.
#pragma once

#include "device/barrier.h"
#include "device/memory.h"
#include "device/warp.h"

namespace adze {
inline namespace ADZE_TARGET {

template <int kThreads, int kHeld>
class BlockSort {
public:
    static constexpr int kExchanged = 8;  // at a time
    static constexpr int64_t kSharedBytes = int64_t{kExchanged} * kThreads * sizeof(uint64_t);
    static_assert((kThreads & (kThreads - 1)) == 0 && (kHeld & (kHeld - 1)) == 0 && kHeld % kExchanged == 0);

    ADZE_DEVICE explicit BlockSort(SharedArena& arena) : exchange_(arena.take<uint64_t>(kExchanged * kThreads)) {}

    // The largest first: thread t gets ranks t * kHeld to t * kHeld + kHeld - 1.
    ADZE_DEVICE void falling(uint64_t (&held)[kHeld]) const {
#pragma unroll
        for (int run = 2; run < kHeld; run *= 2) {
#pragma unroll
            for (int distance = run / 2; distance > 0; distance /= 2) {
#pragma unroll
                for (int i = 0; i < kHeld; ++i) {
                    if ((i & distance) == 0) order(held[i], held[i | distance], (i & run) == 0);
                }
            }
        }
        for (int threads = 1; threads <= kThreads; threads *= 2) {  // of a run
            const bool falls = (thread_index() & threads) == 0;
            for (int distance = threads / 2; distance > 0; distance /= 2) {
                const bool keep_larger = ((thread_index() & distance) == 0) == falls;
                if (distance < kWarpSize) {
#pragma unroll
                    for (int i = 0; i < kHeld; ++i) keep(held[i], shuffle_xor(held[i], distance), keep_larger);
                } else {
                    exchange(held, distance, keep_larger);
                }
            }
#pragma unroll
            for (int distance = kHeld / 2; distance > 0; distance /= 2) {
#pragma unroll
                for (int i = 0; i < kHeld; ++i) {
                    if ((i & distance) == 0) order(held[i], held[i | distance], falls);
                }
            }
        }
    }

private:
    ADZE_DEVICE static void order(uint64_t& first, uint64_t& second, bool falls) {
        const bool swap = (first < second) == falls;
        const uint64_t kept = swap ? second : first;
        second = swap ? first : second;
        first = kept;
    }
    ADZE_DEVICE static void keep(uint64_t& own, uint64_t other, bool larger) {
        own = (other > own) == larger ? other : own;
    }
    ADZE_DEVICE void exchange(uint64_t (&held)[kHeld], int distance, bool keep_larger) const {
#pragma unroll
        for (int first = 0; first < kHeld; first += kExchanged) {
#pragma unroll
            for (int i = 0; i < kExchanged; ++i) exchange_.store(i * kThreads + thread_index(), held[first + i]);
            sync_block();
#pragma unroll
            for (int i = 0; i < kExchanged; ++i) {
                keep(held[first + i], exchange_.load(i * kThreads + (thread_index() ^ distance)), keep_larger);
            }
            sync_block();
        }
    }

    Shared<uint64_t> exchange_;
};

}  // namespace ADZE_TARGET
}  // namespace adze
