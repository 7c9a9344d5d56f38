#include "device/sim/traffic.h"

#include <algorithm>
#include <array>
#include <bit>

namespace adze::sim {
namespace {

constexpr uint32_t kSectorBytes = 32;
constexpr uint32_t kBanks = 32, kBankBytes = 4;

// Distinct sectors among the lanes' ranges.
uint64_t count_sectors(const uint64_t* address, uint64_t lanes, uint32_t bytes) {
    std::array<uint64_t, 128> sectors;
    size_t count = 0;
    bool rising = true;
    for (uint64_t rest = lanes; rest != 0; rest &= rest - 1) {
        const uint64_t start = address[std::countr_zero(rest)];
        for (uint64_t s = start / kSectorBytes; s <= (start + bytes - 1) / kSectorBytes; ++s) {
            if (count != 0 && s == sectors[count - 1]) continue;
            rising &= count == 0 || s > sectors[count - 1];
            sectors[count++] = s;
        }
    }
    if (rising) return count;
    std::sort(sectors.begin(), sectors.begin() + count);
    return static_cast<uint64_t>(std::unique(sectors.begin(), sectors.begin() + count) - sectors.begin());
}

// Passes over the banks that a group of lanes takes: the most distinct words that one bank must give. Accesses are
// aligned, so two of `bytes` bytes (a power of two) either meet in all their banks or in none.
uint64_t passes(const uint64_t* address, uint64_t lanes, uint32_t bytes) {
    const uint32_t unit = std::max(bytes, kBankBytes), slots = kBanks * kBankBytes / unit;
    const int shift = std::countr_zero(unit);
    uint32_t taken = 0;
    bool meet = false;
    for (uint64_t rest = lanes; rest != 0; rest &= rest - 1) {
        const uint32_t slot = 1u << ((address[std::countr_zero(rest)] >> shift) & (slots - 1));
        meet |= (taken & slot) != 0;
        taken |= slot;
    }
    if (!meet) return 1;                                    // as most do
    std::array<std::array<uint64_t, 32>, kBanks> distinct;  // units of each slot
    std::array<uint8_t, kBanks> count{};
    uint8_t most = 0;
    for (uint64_t rest = lanes; rest != 0; rest &= rest - 1) {
        const uint64_t at = address[std::countr_zero(rest)] >> shift;
        const size_t slot = at & (slots - 1);
        const auto end = distinct[slot].begin() + count[slot];
        if (std::find(distinct[slot].begin(), end, at) != end) continue;
        *end = at;
        most = std::max(most, ++count[slot]);
    }
    return most;
}

// The lanes of the p-th part of an access: as many as fill the banks once (8 of 16 bytes). On gfx90a, reads of 16 bytes take
// quads of lanes from both halves of 32: 0 to 3 with 20 to 23, 4 to 7 with 16 to 19, and so on. As measured on gfx942
// (github.com/nod-ai/amd-shark-ai, docs/empirical-lds/cdna3info.md, and AMD's note on LDS bank conflicts in CK-Tile).
uint64_t lanes_together(int part, int count, bool in_quads) {
    if (!in_quads) return ((uint64_t{1} << count) - 1) << part * count;
    const int half = part / 4 * 32, quad = part % 4;
    return uint64_t{0xf} << (half + quad * 4) | uint64_t{0xf} << (half + 16 + (quad ^ 1) * 4);
}

uint64_t count_conflicts(const uint64_t* address, uint64_t lanes, uint32_t bytes, int warp_size, bool reads) {
    const int together = std::min<int>(32, static_cast<int>(kBanks * kBankBytes / std::max(bytes, kBankBytes)));
    uint64_t conflicts = 0;
    for (int i = 0; i < warp_size / together; ++i) {
        const uint64_t part = lanes & lanes_together(i, together, reads && bytes == 16 && warp_size == 64);
        if (part != 0) conflicts += passes(address, part, bytes) - 1;
    }
    return conflicts;
}

}  // namespace

Counters& Counters::operator+=(const Counters& o) {
    global_read_bytes += o.global_read_bytes, global_write_bytes += o.global_write_bytes;
    global_read_sectors += o.global_read_sectors, global_write_sectors += o.global_write_sectors;
    global_requests += o.global_requests;
    shared_requests += o.shared_requests, shared_bank_conflicts += o.shared_bank_conflicts;
    matrix_instructions += o.matrix_instructions, matrix_multiply_adds += o.matrix_multiply_adds;
    block_barriers += o.block_barriers, warp_barriers += o.warp_barriers;
    async_copy_bytes += o.async_copy_bytes;
    return *this;
}

// The first occurrence of the place that the lane has not come to yet, or a new one.
uint32_t WarpTraffic::find(int lane, const void* where, Access access) {
    size_t p = 0;
    while (p < places_.size() && (places_[p].site != where || places_[p].access != access)) ++p;
    if (p == places_.size()) places_.push_back({where, access, kNone});
    uint32_t next = kNone;
    for (uint32_t i = places_[p].last; i != kNone && (groups_[i].lanes >> lane & 1) == 0; i = groups_[i].before)
        next = i;
    if (next != kNone) return next;
    if (used_ == groups_.size()) {
        groups_.emplace_back();
        addresses_.emplace_back();
    }
    Group& group = groups_[used_];
    group.site = where;
    group.access = access;
    group.lanes = 0;
    group.before = places_[p].last;
    places_[p].last = used_;
    return used_++;
}

void WarpTraffic::settle(Counters& counters) {
    for (uint32_t i = 0; i < used_; ++i) {
        const Group& group = groups_[i];
        const uint64_t* address = addresses_[i].data();
        const auto asked = static_cast<uint64_t>(std::popcount(group.lanes)) * group.bytes;
        switch (group.access) {
            case Access::kGlobalRead:
                ++counters.global_requests;
                counters.global_read_bytes += asked;
                counters.global_read_sectors += count_sectors(address, group.lanes, group.bytes);
                break;
            case Access::kGlobalWrite:
                ++counters.global_requests;
                counters.global_write_bytes += asked;
                counters.global_write_sectors += count_sectors(address, group.lanes, group.bytes);
                break;
            case Access::kSharedRead:
            case Access::kSharedWrite:
                ++counters.shared_requests;
                counters.shared_bank_conflicts +=
                    count_conflicts(address, group.lanes, group.bytes, warp_size_, group.access == Access::kSharedRead);
                break;
        }
    }
    clear();
}

}  // namespace adze::sim
