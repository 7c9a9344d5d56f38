// Counts what a launch moves. Lanes of a warp run one after another, so their accesses are put together again by call
// site and occurrence: the n-th time that lanes come to a place between two meetings of their warp is one instruction.
// Exact, and the same for every order of threads.
#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <vector>

namespace adze::sim {

struct Counters {
    uint64_t global_read_bytes = 0, global_write_bytes = 0;      // asked for
    uint64_t global_read_sectors = 0, global_write_sectors = 0;  // of 32 bytes, distinct within an instruction
    uint64_t global_requests = 0;                                // instructions of a warp
    uint64_t shared_requests = 0, shared_bank_conflicts = 0;     // extra passes over the banks
    uint64_t matrix_instructions = 0, matrix_multiply_adds = 0;
    uint64_t block_barriers = 0, warp_barriers = 0;  // met, not arrivals
    uint64_t async_copy_bytes = 0;                   // into shared memory, bulk copies included

    Counters& operator+=(const Counters& other);
    bool operator==(const Counters&) const = default;
};

enum class Access : uint8_t { kGlobalRead, kGlobalWrite, kSharedRead, kSharedWrite };

// The accesses of one warp since it last met.
class WarpTraffic {
public:
    void reset(int warp_size) {
        warp_size_ = warp_size;
        clear();
    }
    // `cursor` is the lane's own: where it expects its next access.
    void note(int lane, uint32_t& cursor, Access access, uint64_t address, uint32_t bytes,
              const std::source_location& site) {
        const void* where = key(site);
        uint32_t i = cursor;
        if (i >= used_ || !is_next(groups_[i], lane, where, access)) i = find(lane, where, access);
        Group& group = groups_[i];
        group.bytes = bytes;
        group.lanes |= uint64_t{1} << lane;
        addresses_[i][static_cast<uint32_t>(lane)] = address;
        cursor = i + 1;
    }
    // Adds what was noted to `counters`, and begins anew; the lanes' cursors must be set to 0.
    void settle(Counters& counters);

    static const void* key(const std::source_location& site) {
        static_assert(sizeof(site) == sizeof(void*));  // one pointer: equal for equal places
        return __builtin_bit_cast(const void*, site);
    }

private:
    static constexpr uint32_t kNone = UINT32_MAX;
    struct Group {
        const void* site;
        uint64_t lanes;
        Access access;
        uint32_t bytes;
        uint32_t before;  // the occurrence before this one
    };
    using Addresses = std::array<uint64_t, 64>;  // of a group's lanes
    // One kind of access of a place, which may make several: a copy reads and writes.
    struct Place {
        const void* site;
        Access access;
        uint32_t last;  // occurrence
    };
    // Whether the group is the first occurrence that the lane has not come to yet.
    bool is_next(const Group& group, int lane, const void* where, Access access) const {
        return group.site == where && group.access == access && (group.lanes >> lane & 1) == 0 &&
               (group.before == kNone || (groups_[group.before].lanes >> lane & 1) != 0);
    }
    uint32_t find(int lane, const void* where, Access access);
    void clear() {
        used_ = 0;
        places_.clear();
    }

    int warp_size_ = 32;
    uint32_t used_ = 0;
    // Apart, since each access looks at groups and at one lane's address.
    std::vector<Group> groups_;
    std::vector<Addresses> addresses_;
    std::vector<Place> places_;
};

}  // namespace adze::sim
