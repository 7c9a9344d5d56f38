// Asynchronous copies under way, memory barriers, and wgmma: what a block has asked for and not yet waited for. All of it
// happens as late as it may: when somebody waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <source_location>
#include <vector>

#include "device/sim/shadow.h"
#include "device/tensor_map.h"

namespace adze::sim {

// One cp.async; its source is read when it lands.
struct CopyUnderWay {
    uint32_t to, bytes;
    const void* from;  // NULL: zeros
    uint32_t group;
    std::source_location site;
};

struct StoreUnderWay {
    TensorMapArguments map;
    int32_t at[kMaxRank];
    uint32_t from;
    uint32_t group;
    std::source_location site;
};

// One thread's share of a wgmma.
struct GroupMultiply {
    void* c;
    size_t c_bytes;
    std::vector<std::byte> c_before;  // of the first under way that accumulates in c
    bool is_first = false;
    std::vector<std::byte> a_registers;  // empty: a comes from shared memory
    uint64_t a = 0, b = 0;               // descriptors
    bool rows_b, accumulate;
    int m, n, k;
    uint32_t element_bytes;
    void (*compute)(const Block& block, const Thread* threads, size_t begin, size_t end);
    uint32_t group = 0;
    std::source_location site;

    bool is_like(const GroupMultiply& o) const {
        return a == o.a && b == o.b && a_registers.empty() == o.a_registers.empty() && accumulate == o.accumulate &&
               compute == o.compute && n == o.n && rows_b == o.rows_b && group == o.group;
    }
};

struct ThreadCopies {
    std::vector<CopyUnderWay> copies;
    uint32_t groups = 0;  // closed so far
    std::vector<StoreUnderWay> stores;
    std::vector<std::pair<StoreUnderWay, std::vector<std::byte>>> sources_read;  // of stores whose source is free again
    uint32_t store_groups = 0;
    std::vector<GroupMultiply> multiplies;
    uint32_t multiply_groups = 0;
    uint32_t issued = 0;  // wgmma so far
    bool multiplies_fenced = false;

    void reset();
};

struct Mbarrier {
    int expected, pending;
    int64_t bytes = 0;  // announced and not yet come
    uint32_t phase = 0;
    int maker;             // thread
    bool visible = false;  // to the copy engine
    Clock clock, ended;    // of this phase so far, of the last
};

struct LoadUnderWay {
    TensorMapArguments map;
    int32_t at[kMaxRank];
    uint32_t to;
    int thread;
    std::source_location site;
};

struct BlockCopies {
    std::map<uint32_t, Mbarrier> barriers;               // by their place in shared memory
    std::map<uint32_t, std::deque<LoadUnderWay>> loads;  // by barrier

    void reset() {
        barriers.clear();
        loads.clear();
    }
};

}  // namespace adze::sim
