// Device addresses of which some have memory: what is behind adze_buffer_reserve().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/backend.h"

namespace adze {

class ReservedMemory {
public:
    ReservedMemory(const BackendTable& backend, DeviceContext* context, uint64_t bytes);
    ~ReservedMemory();  // nothing uses it any more
    ReservedMemory(const ReservedMemory&) = delete;
    ReservedMemory& operator=(const ReservedMemory&) = delete;

    void* data() const { return data_; }
    uint64_t granularity() const { return granularity_; }

    // Ranges in bytes, inside. Every granule that the range touches has memory afterwards, or nothing has changed.
    void map(uint64_t offset, uint64_t bytes);
    // No granule that lies wholly inside has memory afterwards. Nothing uses it any more.
    void unmap(uint64_t offset, uint64_t bytes);
    // Where the first byte without memory is; the range's end: all have it.
    uint64_t first_unmapped(uint64_t offset, uint64_t bytes) const;

private:
    struct Run {
        size_t begin, end;  // granules
    };
    // Those of [begin, end) that have memory, or have none.
    std::vector<Run> runs(size_t begin, size_t end, bool mapped) const;
    void set(const Run& run, bool mapped);

    const BackendTable& backend_;
    DeviceContext* const context_;
    const uint64_t bytes_, granularity_, granules_;
    void* const data_;
    std::vector<bool> mapped_;  // of each granule
};

}  // namespace adze
