#include "device/sim/async.h"

#include <cstring>

#include "device/sim/block.h"
#include "device/sim/memory_checks.h"
#include "device/sim/mutation.h"

namespace adze::sim {
namespace {

constexpr auto kEngine = static_cast<size_t>(kMaxThreads);  // in clocks

TensorMapArguments decode(const TensorMap& map) {
    TensorMapArguments arguments;
    std::memcpy(&arguments, &map, sizeof arguments);
    return arguments;
}

uint32_t box_bytes(const TensorMapArguments& map) {
    uint32_t bytes = map.element_bytes();
    for (uint32_t d = 0; d < map.rank; ++d) bytes *= map.box[d];
    return bytes;
}

// visit(address of a row of the box or NULL where it is outside, offset of the row in the box, elements of it inside);
// rows begin at a non-negative element: what lies left of the tensor is told by `skipped` elements.
template <class Visit>
void for_box_rows(const TensorMapArguments& map, const int32_t* at, Visit&& visit) {
    const auto element_bytes = static_cast<int64_t>(map.element_bytes());
    int64_t rows = 1;
    for (uint32_t d = 1; d < map.rank; ++d) rows *= map.box[d];
    const int64_t row_bytes = map.box[0] * element_bytes;
    for (int64_t row = 0; row < rows; ++row) {
        bool inside = true;
        int64_t rest = row, offset = 0;
        for (uint32_t d = 1; d < map.rank; ++d) {
            const int64_t index = at[d] + rest % map.box[d];
            rest /= map.box[d];
            inside &= index >= 0 && index < static_cast<int64_t>(map.sizes[d]);
            offset += index * static_cast<int64_t>(map.strides[d - 1]);
        }
        const int64_t first = std::max<int64_t>(0, -int64_t{at[0]});
        const int64_t last = std::min<int64_t>(map.box[0], static_cast<int64_t>(map.sizes[0]) - at[0]);
        std::byte* address = inside && first < last
                                 ? static_cast<std::byte*>(map.data) + offset + (at[0] + first) * element_bytes
                                 : nullptr;
        visit(address, static_cast<uint32_t>(row * row_bytes + first * element_bytes),
              static_cast<uint32_t>(std::max<int64_t>(0, last - first) * element_bytes));
    }
}

uint64_t sectors_of(const void* address, uint32_t bytes) {
    const auto start = reinterpret_cast<uint64_t>(address);
    return bytes == 0 ? 0 : (start + bytes - 1) / 32 - start / 32 + 1;
}

}  // namespace

void ThreadCopies::reset() {
    copies.clear(), stores.clear(), sources_read.clear(), multiplies.clear();
    groups = store_groups = multiply_groups = issued = 0;
    multiplies_fenced = false;
}

// cp.async

void Block::copy_async(uint32_t to, const void* from, uint32_t bytes, const Site& site) {
    Thread& self = *current;
    self.warp->traffic.note(self.lane, self.cursor, Access::kSharedWrite, to, bytes, site);
    shadow.take_off(self, to, bytes, false, site);
    std::memset(shared(to), 0xff, bytes);
    self.copies.copies.push_back({to, bytes, from, self.copies.groups, site});
    counters.async_copy_bytes += bytes;
}

void Block::wait_copies(uint32_t groups_left, const Site& site) {
    if (is_off(SiteKind::kWait, site)) return;
    Thread& self = *current;
    auto& under_way = self.copies.copies;
    size_t left = 0;
    for (const CopyUnderWay& copy : under_way) {
        if (copy.group + groups_left >= self.copies.groups) {
            under_way[left++] = copy;
            continue;
        }
        if (copy.from != nullptr) {
            std::memcpy(shared(copy.to), copy.from, copy.bytes);
        } else {
            std::memset(shared(copy.to), 0, copy.bytes);
        }
        shadow.land(self, copy.to, copy.bytes, false);
    }
    under_way.resize(left);
}

// mbarriers

void Block::mbarrier_init(uint32_t at, int arrivals, const Site& site) {
    if (arrivals < 1 || arrivals >= 1 << 20)
        fail(site, "mbarrier_init: arrivals is %d; allowed is 1 to 2^20 - 1", arrivals);
    if (const auto found = copies.barriers.find(at); found != copies.barriers.end()) {
        fail(site, "mbarrier_init: thread %d has made an mbarrier at byte %u of shared memory before",
             found->second.maker, at);
    }
    Thread& self = *current;
    shadow.make_mbarrier(self, at, site);
    Mbarrier barrier;
    barrier.expected = barrier.pending = arrivals;
    barrier.maker = self.index;
    copies.barriers[at] = barrier;
}

void Block::fence_mbarrier_init(const Site& site) {
    if (is_off(SiteKind::kFence, site)) return;
    for (auto& [at, barrier] : copies.barriers) {
        if (barrier.maker == current->index) barrier.visible = true;
    }
}

Mbarrier& Block::mbarrier(uint32_t at, const char* does, const Site& site) {
    const auto found = copies.barriers.find(at);
    if (found == copies.barriers.end()) fail(site, "%s: there is no mbarrier at byte %u of shared memory", does, at);
    shadow.use_mbarrier(*current, at, site);
    return found->second;
}

// The phase ends when all has come.
void Block::settle_phase(Mbarrier& barrier) {
    if (barrier.pending != 0 || barrier.bytes != 0) return;
    barrier.ended = std::move(barrier.clock);
    barrier.clock.clear();
    barrier.pending = barrier.expected;
    ++barrier.phase;
    wake_all();
}

void Block::mbarrier_arrive(uint32_t at, uint32_t bytes, const Site& site) {
    if (bytes == 0 && is_off(SiteKind::kBarrier, site)) return;
    Mbarrier& barrier = mbarrier(at, "mbarrier_arrive", site);
    if (barrier.pending == 0) fail(site, "mbarrier_arrive: all %d arrivals of the phase have come", barrier.expected);
    publish(*current, barrier.clock);
    barrier.bytes += bytes;
    --barrier.pending;
    settle_phase(barrier);
}

void Block::mbarrier_wait(uint32_t at, uint32_t parity, const Site& site) {
    if (is_off(SiteKind::kWait, site)) return;
    if (parity > 1) fail(site, "mbarrier_wait: parity is %u; it is 0 or 1", parity);
    Mbarrier& barrier = mbarrier(at, "mbarrier_wait", site);
    wait_until("mbarrier_wait", site, [&] {
        while ((barrier.phase & 1) == parity && !copies.loads[at].empty()) land_load(at, barrier);
        return (barrier.phase & 1) != parity;
    });
    learn(*current, barrier.ended);
}

void Block::fence_async_proxy(const Site& site) {
    if (!is_off(SiteKind::kFence, site)) current->proxy_fence = now++;
}

// Bulk copies

void Block::require_box(const TensorMapArguments& map, int rank, uint32_t shared_at, const char* does,
                        const Site& site) {
    if (static_cast<int>(map.rank) != rank)
        fail(site, "%s: the tensor map has %u dimensions, the call %d", does, map.rank, rank);
    const uint32_t alignment = map.swizzle_bytes() == 16 ? 128 : 1024;
    if (shared_at % alignment != 0) {
        fail(site, "%s: shared memory at byte %u, misaligned: it must be aligned to %u bytes", does, shared_at,
             alignment);
    }
    if (shared_at + box_bytes(map) > grid->shared_bytes)
        fail(site, "%s: the box of %u bytes at byte %u ends outside the block's shared memory", does, box_bytes(map),
             shared_at);
    if (current->must_wait) fail(site, "%s before wait_for_previous_kernel", does);
}

void Block::bulk_load(uint32_t to, const TensorMap& tensor_map, const int32_t* at, int rank, uint32_t barrier_at,
                      const Site& site) {
    Thread& self = *current;
    const TensorMapArguments map = decode(tensor_map);
    require_box(map, rank, to, "bulk_load", site);
    if (!mbarrier(barrier_at, "bulk_load", site).visible)
        fail(site, "bulk_load: no fence_mbarrier_init after mbarrier_init");
    shadow.take_off(self, to, box_bytes(map), true, site);
    std::memset(shared(to), 0xff, box_bytes(map));
    LoadUnderWay load{map, {}, to, self.index, site};
    std::copy(at, at + rank, load.at);
    copies.loads[barrier_at].push_back(load);
    wake_all();  // who waits for the barrier lets it land
    counters.async_copy_bytes += box_bytes(map);
    for_box_rows(map, at, [&](const std::byte* address, uint32_t, uint32_t bytes) {
        if (address == nullptr) return;
        const Granules* granules = require_accessible(address, bytes, site);
        if (granules != nullptr) require_mapped(*granules, "bulk_load", address, bytes, site);
        counters.global_read_bytes += bytes;
        counters.global_read_sectors += sectors_of(address, bytes);
    });
    ++counters.global_requests;
}

// The oldest copy for a barrier arrives, and its bytes count.
void Block::land_load(uint32_t barrier_at, Mbarrier& barrier) {
    auto& waiting = copies.loads[barrier_at];
    const LoadUnderWay load = waiting.front();
    waiting.pop_front();
    const uint32_t bytes = box_bytes(load.map);
    std::memset(shared(load.to), 0, bytes);
    for_box_rows(load.map, load.at, [&](const std::byte* address, uint32_t offset, uint32_t row_bytes) {
        for (uint32_t i = 0; address != nullptr && i < row_bytes; i += load.map.element_bytes()) {
            std::memcpy(shared(load.to + swizzled(load.map.swizzle_bytes(), offset + i)), address + i,
                        load.map.element_bytes());
        }
    });
    shadow.land(threads[static_cast<size_t>(load.thread)], load.to, bytes, true);
    barrier.clock.resize(kEngine + 1);
    barrier.clock[kEngine] = now++;
    barrier.bytes -= bytes;
    settle_phase(barrier);
}

void Block::bulk_store(const TensorMap& tensor_map, const int32_t* at, int rank, uint32_t from, const Site& site) {
    Thread& self = *current;
    const TensorMapArguments map = decode(tensor_map);
    require_box(map, rank, from, "bulk_store", site);
    shadow.hold(self, from, box_bytes(map), site);
    StoreUnderWay store{map, {}, from, self.copies.store_groups, site};
    std::copy(at, at + rank, store.at);
    self.copies.stores.push_back(store);
    for_box_rows(map, at, [&](const std::byte* address, uint32_t, uint32_t bytes) {
        if (address == nullptr) return;
        const Granules* granules = require_accessible(address, bytes, site);
        if (granules != nullptr) require_mapped(*granules, "bulk_store", address, bytes, site);
        counters.global_write_bytes += bytes;
        counters.global_write_sectors += sectors_of(address, bytes);
    });
    ++counters.global_requests;
}

void Block::wait_bulk_stores(uint32_t groups_left, const Site& site) {
    if (is_off(SiteKind::kWait, site)) return;
    Thread& self = *current;
    auto& stores = self.copies.stores;
    size_t left = 0;
    for (const StoreUnderWay& store : stores) {
        if (store.group + groups_left >= self.copies.store_groups) {
            stores[left++] = store;
            continue;
        }
        const std::byte* source = shared(store.from);
        self.copies.sources_read.push_back({store, {source, source + box_bytes(store.map)}});
        shadow.release_to(self, store.from, box_bytes(store.map));
    }
    stores.resize(left);
}

// Global memory is written when the thread ends: only the kernel's end, or a wait that the layer does not have, tells more
// than that the source was read.
void Block::finish_bulk_stores(Thread& thread) {
    for (const auto& [store, source] : thread.copies.sources_read) {
        for_box_rows(store.map, store.at, [&](std::byte* address, uint32_t offset, uint32_t row_bytes) {
            const uint32_t step = store.map.element_bytes();
            for (uint32_t i = 0; address != nullptr && i < row_bytes; i += step) {
                std::memcpy(address + i, &source[swizzled(store.map.swizzle_bytes(), offset + i)], step);
            }
        });
    }
    thread.copies.sources_read.clear();
}

// wgmma

// Where element (row, k) of an operand lies: groups of 8 rows (or 8 k, if the tile holds [k][row]) of 128 bytes, whose
// 16-byte chunks are XORed with the row within the group; PTX ISA, "Strides" and "Swizzling modes".
const std::byte* Block::operand(uint64_t descriptor, int row, int k, uint32_t element_bytes, bool rows) const {
    const auto field = [&](int bit) { return static_cast<uint32_t>(descriptor >> bit & 0x3fff) << 4; };
    const uint32_t start = field(0), leading = field(16), stride = field(32);
    const auto r = static_cast<uint32_t>(row), j = static_cast<uint32_t>(k);
    uint32_t address = start;
    if (rows) {
        const uint32_t panel = 128 / element_bytes;
        address += r / panel * leading + j / 8 * stride + j % 8 * 128 + r % panel * element_bytes;
    } else {
        address += r / 8 * stride + r % 8 * 128 + j * element_bytes;
    }
    return shared_ + swizzled(128, address);
}

// Operands consist of whole chunks of 16 bytes.
template <class Visit>
void Block::for_operands(const GroupMultiply& what, Visit&& visit) {
    constexpr uint32_t kChunkBytes = 16;
    const int chunk = static_cast<int>(kChunkBytes / what.element_bytes);
    const auto each = [&](uint64_t descriptor, int count, bool rows) {
        for (int r = 0; r < count; r += rows ? chunk : 1) {
            for (int k = 0; k < what.k; k += rows ? 1 : chunk) {
                const std::byte* address = operand(descriptor, r, k, what.element_bytes, rows);
                visit(static_cast<uint32_t>(address - shared_), kChunkBytes);
            }
        }
    };
    if (what.a_registers.empty()) each(what.a, what.m, false);
    each(what.b, what.n, what.rows_b);
}

// Each warp must know what it asks for; the first to ask holds it for the group. What all the block knew then is not
// looked at again: nobody can have written there since.
void Block::hold_operands(const GroupMultiply& what, const Site& site) {
    Thread& self = *current;
    Group& group = groups_[static_cast<size_t>(self.index / kWarpGroup)];
    if (++self.copies.issued > group.held) {
        group.held = self.copies.issued;
        bool all_know = true;
        for_operands(what, [&](uint32_t offset, uint32_t bytes) {
            if (offset + bytes > grid->shared_bytes)
                fail(site, "wgmma: an operand ends outside the block's shared memory");
            all_know &= shadow.hold(self, offset, bytes, site);
        });
        if (!all_know) group.uncommon = self.copies.issued;
    } else if (self.copies.issued <= group.uncommon) {
        for_operands(what,
                     [&](uint32_t offset, uint32_t bytes) { shadow.require_readable(self, offset, bytes, site); });
    }
}

void Block::wgmma_fence(const Site& site) {
    if (!is_off(SiteKind::kFence, site)) current->copies.multiplies_fenced = true;
}

void Block::wgmma_issue(GroupMultiply operation, const Site& site) {
    Thread& self = *current;
    bool is_first = true;
    for (const GroupMultiply& other : self.copies.multiplies) is_first &= other.c != operation.c;
    // First handed over: a failure leaves this function without destroying what it holds.
    self.copies.multiplies.push_back(std::move(operation));
    GroupMultiply& what = self.copies.multiplies.back();
    if (!self.copies.multiplies_fenced) fail(site, "wgmma: no wgmma_fence since the last wait");
    what.group = self.copies.multiply_groups;
    what.site = site;
    what.is_first = is_first;
    auto* c = static_cast<std::byte*>(what.c);
    if (is_first) what.c_before.assign(c, c + what.c_bytes);
    std::memset(c, 0xff, what.c_bytes);
    if (self.lane == 0) hold_operands(what, site);
}

void Block::wgmma_wait(uint32_t groups_left, const Site& site) {
    if (is_off(SiteKind::kWait, site)) return;
    meet_group("wgmma_wait", site, [&](Thread& first) {
        Thread* group = &first;
        auto& operations = first.copies.multiplies;
        size_t done = 0;
        while (done < operations.size() && operations[done].group + groups_left < first.copies.multiply_groups) ++done;
        for (int t = 0; t < kWarpGroup; ++t) {
            const auto& mine = group[t].copies;
            bool same =
                mine.multiplies.size() == operations.size() && mine.multiply_groups == first.copies.multiply_groups;
            for (size_t i = 0; same && i < operations.size(); ++i) same = mine.multiplies[i].is_like(operations[i]);
            if (!same) fail(site, "wgmma: threads of the warp group have issued different instructions");
        }
        for (size_t begin = 0, end = 0; begin < done; begin = end) {
            while (end < done && operations[end].c == operations[begin].c) ++end;
            for (int t = 0; t < kWarpGroup; ++t) {
                const GroupMultiply& mine = group[t].copies.multiplies[begin];
                if (mine.is_first) std::memcpy(mine.c, mine.c_before.data(), mine.c_bytes);
            }
            operations[begin].compute(*this, group, begin, end);
        }
        for (size_t i = 0; i < done; ++i) {
            const GroupMultiply& what = operations[i];
            for_operands(what, [&](uint32_t offset, uint32_t bytes) { shadow.release(offset, bytes); });
            ++counters.matrix_instructions;
            counters.matrix_multiply_adds += static_cast<uint64_t>(what.m) * static_cast<uint64_t>(what.n * what.k);
        }
        for (int t = 0; t < kWarpGroup; ++t) hand_over(group[t].copies, done);
    });
}

// Drops the operations that are done; accumulators that a later one still writes become undefined again.
void Block::hand_over(ThreadCopies& mine, size_t done) {
    auto& operations = mine.multiplies;
    for (size_t i = done; i < operations.size(); ++i) {
        GroupMultiply& later = operations[i];
        bool first = true;
        for (size_t j = done; j < i; ++j) first &= operations[j].c != later.c;
        if (!first || later.is_first) continue;
        auto* c = static_cast<std::byte*>(later.c);
        later.is_first = true;
        later.c_before.assign(c, c + later.c_bytes);
        std::memset(c, 0xff, later.c_bytes);
    }
    operations.erase(operations.begin(), operations.begin() + static_cast<long>(done));
    if (done != 0) mine.multiplies_fenced = false;  // the registers may be written now
}

}  // namespace adze::sim
