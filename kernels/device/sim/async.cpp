#include "device/sim/async.h"

#include <cstring>

#include "device/sim/block.h"
#include "device/sim/mutation.h"

namespace adze::sim {

void Block::copy_async(uint32_t to, const void* from, uint32_t bytes, const Site& site) {
    Thread& self = *current;
    self.warp->traffic.note(self.lane, self.cursor, Access::kSharedWrite, to, bytes, site);
    shadow.take_off(self, to, bytes, site);
    std::memset(shared(to), 0xff, bytes);
    self.copies.copies.push_back({to, bytes, from, self.copies.groups});
    counters.async_copy_bytes += bytes;
}

void Block::wait_copies(uint32_t groups_left, const Site& site) {
    if (is_off(SiteKind::kWait, site)) return;
    Thread& self = *current;
    auto& copies_ = self.copies.copies;
    size_t left = 0;
    for (const CopyUnderWay& copy : copies_) {
        if (copy.group + groups_left >= self.copies.groups) {
            copies_[left++] = copy;
            continue;
        }
        if (copy.from != nullptr) {
            std::memcpy(shared(copy.to), copy.from, copy.bytes);
        } else {
            std::memset(shared(copy.to), 0, copy.bytes);
        }
        shadow.land(self, copy.to, copy.bytes, false);
    }
    copies_.resize(left);
}

}  // namespace adze::sim
