#include "device/sim/shadow.h"

#include <algorithm>
#include <cstdio>

#include "device/sim/block.h"

namespace adze::sim {
namespace {

constexpr uint16_t kEngine = kMaxThreads;  // as a writer: the copy engine
template <uint32_t kBytes>
constexpr uint32_t kPartBytes = kBytes == 8 ? 4 : 1;  // a word of a pair, a byte of a word

}  // namespace

void join(Clock& into, const Clock& from) {
    if (into.size() < from.size()) into.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void Shadow::reset(Block& block, uint32_t bytes) {
    block_ = &block;
    pairs_.assign((bytes + kPairBytes - 1) / kPairBytes, Unit());
    chunks_.assign((bytes + kChunkBytes - 1) / kChunkBytes, Chunk());
    words_.clear(), bytes_.clear();
    read_stamps_.clear();
}

template <uint32_t kBytes>
auto& Shadow::parts_of(const Unit& unit) {
    if constexpr (kBytes == kPairBytes) {
        return words_[unit.parts - 1];
    } else {
        return bytes_[unit.parts - 1];
    }
}

// visit(unit, offset): pairs of words, but words or bytes of those of which a part is or was accessed.
template <class Visit>
void Shadow::for_units(uint32_t offset, uint32_t bytes, Visit&& visit) {
    const uint32_t end = offset + bytes;
    for (uint32_t at = offset; at < end;) {
        const uint32_t next = std::min((at / kPairBytes + 1) * kPairBytes, end);
        visit_unit<kPairBytes>(pairs_[at / kPairBytes], at, next, visit);
        at = next;
    }
}

template <uint32_t kBytes, class Visit>
void Shadow::visit_unit(Unit& unit, uint32_t begin, uint32_t end, Visit&& visit) {
    if constexpr (kBytes == 1) {
        visit(unit, begin);
    } else if (end - begin == kBytes && !unit.is_apart) {
        visit(unit, begin);
    } else {
        visit_parts<kBytes>(unit, begin, end, visit);
    }
}

// The same for a part of a unit, or for one that is apart and, if nothing of it matters any longer, together again.
template <uint32_t kBytes, class Visit>
__attribute__((noinline)) void Shadow::visit_parts(Unit& unit, uint32_t begin, uint32_t end, Visit&& visit) {
    constexpr uint32_t kPart = kPartBytes<kBytes>;
    if (!unit.is_apart) take_apart<kBytes>(unit);
    if (end - begin == kBytes && chunk_of(begin).held == 0 && is_settled<kBytes>(unit)) {
        put_together(unit, Unit());
        return visit(unit, begin);
    }
    auto& parts = parts_of<kBytes>(unit);
    for (uint32_t at = begin; at < end;) {
        const uint32_t next = std::min((at / kPart + 1) * kPart, end);
        visit_unit<kPart>(parts[at % kBytes / kPart], at, next, visit);
        at = next;
    }
}

template <uint32_t kBytes>
void Shadow::take_apart(Unit& unit) {
    if (unit.parts == 0) {
        const auto add = [](auto& all) {
            all.emplace_back();
            return static_cast<uint32_t>(all.size());
        };
        unit.parts = kBytes == kPairBytes ? add(words_) : add(bytes_);
    }
    unit.is_apart = true;
    for (Unit& part : parts_of<kBytes>(unit)) {
        const uint32_t own = part.readers;
        put_together(part, unit);
        if (unit.reader != kMany) continue;
        if (unit.readers == 0) {
            part.readers = 0;
        } else {
            if (own == 0) take_readers(part);
            std::copy_n(stamp_of(unit, 0), block_->num_threads, stamp_of(part, 0));
        }
    }
}

// From now on the unit is one again, and what is remembered of it is that of `as`.
void Shadow::put_together(Unit& unit, const Unit& as) {
    const uint32_t parts = unit.parts, readers = unit.readers;
    unit = as;
    unit.is_apart = false;
    unit.parts = parts;
    unit.readers = readers;
}

// Units of which all has been written at once are so.
template <uint32_t kBytes>
void Shadow::join_written(Unit& unit, uint32_t begin, uint32_t end) {
    if constexpr (kBytes > 1) {
        if (!unit.is_apart) return;
        constexpr uint32_t kPart = kPartBytes<kBytes>;
        auto& parts = parts_of<kBytes>(unit);
        for (uint32_t at = begin / kPart * kPart; at < end; at += kPart)
            join_written<kPart>(parts[at % kBytes / kPart], std::max(at, begin), std::min(at + kPart, end));
        if (end - begin == kBytes) put_together(unit, parts[0]);
    }
}

// All threads know what happened to it, and so does the async proxy.
template <uint32_t kBytes>
bool Shadow::is_settled(const Unit& unit) {
    if constexpr (kBytes > 1) {
        if (unit.is_apart) {
            const auto& parts = parts_of<kBytes>(unit);
            return std::all_of(parts.begin(), parts.end(),
                               [&](const Unit& part) { return is_settled<kPartBytes<kBytes>>(part); });
        }
    }
    return unit.state == State::kOpen && unit.write_stamp <= block_->base &&
           (unit.reader == kNobody || unit.read_stamp <= block_->base) && is_fenced(unit);
}

bool Shadow::knows_write(const Thread& thread, const Unit& unit) const {
    return unit.writer == kNobody || block_->knows(thread, unit.writer, unit.write_stamp);
}

bool Shadow::knows_reads(const Thread& thread, const Unit& unit) {
    if (unit.reader == kNobody) return true;
    if (unit.reader != kMany) return block_->knows(thread, unit.reader, unit.read_stamp);
    if (unit.read_stamp <= block_->base) return true;
    const int lanes = thread.warp->lanes;
    for (uint32_t rest = unit.reader_warps; rest != 0; rest &= rest - 1) {
        const int first = __builtin_ctz(rest) * lanes;
        for (int i = 0; i < lanes; ++i) {
            const Stamp stamp = unit.readers == 0 ? unit.read_stamp : *stamp_of(unit, first + i);
            if (stamp != 0 && !block_->knows(thread, first + i, stamp)) return false;
        }
    }
    return true;
}

Stamp* Shadow::stamp_of(const Unit& unit, int thread) {
    return &read_stamps_[(unit.readers - 1) * static_cast<size_t>(block_->num_threads) + static_cast<size_t>(thread)];
}

void Shadow::take_readers(Unit& unit) {
    const auto count = static_cast<size_t>(block_->num_threads);
    unit.readers = static_cast<uint32_t>(read_stamps_.size() / count) + 1;
    read_stamps_.resize(read_stamps_.size() + count);
}

// Remembers a read. A reader that knows of the reads before stands for them: who knows of it, knows of them. `has_met`:
// the thread may know of any since the last block barrier.
void Shadow::note_read(Thread& thread, Unit& unit, bool has_met) {
    const auto self = static_cast<uint16_t>(thread.index);
    if (unit.reader != self) {
        if (unit.reader == kNobody || unit.read_stamp <= block_->base || (has_met && knows_reads(thread, unit))) {
            unit.reader = self;
            unit.reader_warps = 0;
        } else {
            tell_readers_apart(unit, thread.warp->lanes);
            unit.reader = kMany;
        }
    }
    if (unit.reader == kMany && unit.readers != 0) *stamp_of(unit, thread.index) = block_->now;
    unit.reader_warps |= 1u << thread.warp->index;
    unit.read_stamp = block_->now;
}

// Several threads read the unit: where barriers of less than the block are in use, each one's stamp counts.
void Shadow::tell_readers_apart(Unit& unit, int lanes) {
    if (!block_->has_clocks || (unit.reader == kMany && unit.readers != 0)) return;
    if (unit.readers == 0) take_readers(unit);
    std::fill_n(stamp_of(unit, 0), block_->num_threads, 0);
    if (unit.reader != kMany) {
        *stamp_of(unit, unit.reader) = unit.read_stamp;
        return;
    }
    for (uint32_t rest = unit.reader_warps; rest != 0; rest &= rest - 1)
        std::fill_n(stamp_of(unit, __builtin_ctz(rest) * lanes), lanes, unit.read_stamp);
}

void Shadow::access(Thread& thread, Shadowed kind, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    if (kind == Shadowed::kRead) {
        read(thread, offset, bytes, site);
    } else {
        write(thread, kind == Shadowed::kAtomic, offset, bytes, site);
    }
}

void Shadow::require_open(const char* does, uint32_t at, const Unit& unit, const std::source_location& site) const {
    if (unit.state == State::kInFlight)
        report(does, at, unit, "the asynchronous copy", "has not been waited for", site);
    if (unit.state == State::kMbarrier) report(does, at, unit, "mbarrier_init", "an mbarrier lives there", site);
}

void Shadow::require_written(const Thread& thread, const char* does, uint32_t at, const Unit& unit,
                             const std::source_location& site) const {
    if (unit.write_stamp > block_->base && !knows_write(thread, unit))
        report(does, at, unit, "the write", "no barrier between them", site);
}

void Shadow::read(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    // Whether it may know of reads since the last block barrier at all.
    const bool has_met = !thread.clock.empty() || thread.warp->base > block_->base;
    for_units(offset, bytes, [&](Unit& unit, uint32_t at) {
        require_open("read", at, unit, site);
        require_written(thread, "read", at, unit, site);
        note_read(thread, unit, has_met);
        unit.read_site = WarpTraffic::key(site);
    });
}

void Shadow::write(Thread& thread, bool atomic, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    const Stamp base = block_->base;
    const auto self = static_cast<uint16_t>(thread.index);
    for_units(offset, bytes, [&](Unit& unit, uint32_t at) {
        require_open("write", at, unit, site);
        Chunk& chunk = chunk_of(at);
        if (chunk.held != 0) {
            report("write", at, "the asynchronous read", kNobody, chunk.read_site, "has not been waited for", site);
        }
        chunk.is_common = false;
        if (!(atomic && unit.atomic)) require_written(thread, "write", at, unit, site);
        if (unit.read_stamp > base && !knows_reads(thread, unit))
            report("write", at, "the read", unit.reader, unit.read_site, "no barrier between them", site);
        unit.reader = kNobody;  // who knows the write knows them
        // An atomic update after one's own plain write does not hide that write from the others.
        if (atomic && unit.writer == self && !unit.atomic && unit.write_stamp > base) return;
        unit.writer = self;
        unit.write_stamp = block_->now;
        unit.write_site = WarpTraffic::key(site);
        unit.atomic = atomic;
    });
    if (atomic || words_.empty()) return;
    for (uint32_t at = offset / kPairBytes * kPairBytes; at < offset + bytes; at += kPairBytes) {
        join_written<kPairBytes>(pairs_[at / kPairBytes], std::max(at, offset),
                                 std::min(at + kPairBytes, offset + bytes));
    }
}

// The writer's own fence: it alone knows where its write went.
bool Shadow::is_fenced(const Unit& unit) const {
    return unit.writer >= kEngine || unit.write_stamp <= block_->threads[unit.writer].proxy_fence;
}

void Shadow::require_fenced(const char* does, uint32_t at, const Unit& unit, const std::source_location& site) const {
    if (!is_fenced(unit)) report(does, at, unit, "the write", "no fence_async_proxy between them", site);
}

void Shadow::take_off(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine,
                      const std::source_location& site) {
    if (by_engine) {
        for_units(offset, bytes, [&](Unit& unit, uint32_t at) {
            if (unit.state == State::kOpen) require_fenced("asynchronous write", at, unit, site);
        });
    }
    access(thread, Shadowed::kWrite, offset, bytes, site);
    for_units(offset, bytes, [](Unit& unit, uint32_t) { unit.state = State::kInFlight; });
}

void Shadow::land(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine) {
    for_units(offset, bytes, [&](Unit& unit, uint32_t) {
        unit.state = State::kOpen;
        unit.writer = by_engine ? kEngine : static_cast<uint16_t>(thread.index);
        unit.write_stamp = block_->now;
    });
}

bool Shadow::hold(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    bool all_common = true;
    for (uint32_t at = offset; at < offset + bytes; at += kChunkBytes) {
        Chunk& chunk = chunk_of(at);
        if (!chunk.is_common) {
            chunk.is_common = true;
            for_units(at, kChunkBytes, [&](Unit& unit, uint32_t place) {
                require_readable(thread, place, unit, site);
                chunk.is_common &= unit.write_stamp <= block_->base;
            });
        }
        ++chunk.held;
        chunk.read_site = WarpTraffic::key(site);
        all_common &= chunk.is_common;
    }
    return all_common;
}

void Shadow::require_readable(const Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    for_units(offset, bytes, [&](const Unit& unit, uint32_t at) { require_readable(thread, at, unit, site); });
}

void Shadow::require_readable(const Thread& thread, uint32_t at, const Unit& unit,
                              const std::source_location& site) const {
    require_open("asynchronous read", at, unit, site);
    require_written(thread, "asynchronous read", at, unit, site);
    require_fenced("asynchronous read", at, unit, site);
}

void Shadow::release(uint32_t offset, uint32_t bytes) {
    for (uint32_t at = offset; at < offset + bytes; at += kChunkBytes) --chunk_of(at).held;
}

void Shadow::release_to(Thread& thread, uint32_t offset, uint32_t bytes) {
    release(offset, bytes);
    for_units(offset, bytes, [&](Unit& unit, uint32_t at) {
        note_read(thread, unit, true);
        unit.read_site = chunk_of(at).read_site;
    });
}

void Shadow::make_mbarrier(Thread& thread, uint32_t offset, const std::source_location& site) {
    write(thread, false, offset, kMbarrierBytes, site);
    for_units(offset, kMbarrierBytes, [](Unit& unit, uint32_t) { unit.state = State::kMbarrier; });
}

void Shadow::use_mbarrier(const Thread& thread, uint32_t offset, const std::source_location& site) {
    for_units(offset, kMbarrierBytes,
              [&](const Unit& unit, uint32_t at) { require_written(thread, "use of an mbarrier", at, unit, site); });
}

void Shadow::report(const char* does, uint32_t offset, const Unit& unit, const char* what, const char* why,
                    const std::source_location& site) const {
    report(does, offset, what, unit.writer, unit.write_site, why, site);
}

void Shadow::report(const char* does, uint32_t offset, const char* what, uint16_t who, const void* where,
                    const char* why, const std::source_location& site) const {
    char thread[32];
    std::snprintf(thread, sizeof thread, "thread %d", who);
    if (who >= kEngine) {
        std::snprintf(thread, sizeof thread, "%s",
                      who == kMany     ? "several threads"
                      : who == kEngine ? "the copy engine"
                                       : "an asynchronous operation");
    }
    block_->fail(site, "race: %s of shared memory at byte %u and %s by %s at %s: %s", does, offset, what, thread,
                 Place(__builtin_bit_cast(Site, where)).text, why);
}

}  // namespace adze::sim
