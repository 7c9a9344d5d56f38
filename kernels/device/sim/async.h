// Asynchronous copies under way, memory barriers, and wgmma: what a block has asked for and not yet waited for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <source_location>
#include <vector>

#include "device/sim/shadow.h"

namespace adze::sim {

// One cp.async: data is read when it lands.
struct CopyUnderWay {
    uint32_t to, bytes;
    const void* from;  // NULL: zeros
    uint32_t group;
};

struct ThreadCopies {
    std::vector<CopyUnderWay> copies;
    uint32_t groups = 0;  // closed so far
};

struct BlockCopies {
    void reset() {}
};

}  // namespace adze::sim
