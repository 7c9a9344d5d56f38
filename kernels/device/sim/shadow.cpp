#include "device/sim/shadow.h"

#include <algorithm>
#include <cstdio>

#include "device/sim/block.h"

namespace adze::sim {
namespace {

constexpr uint16_t kEngine = kMaxThreads;  // as a writer: the copy engine

}  // namespace

void join(Clock& into, const Clock& from) {
    if (into.size() < from.size()) into.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void Shadow::reset(Block& block, uint32_t bytes) {
    block_ = &block;
    words_.assign((bytes + kWordBytes - 1) / kWordBytes,
                  Word{0, 0, 0, 0, kNobody, kNobody, 0, 0, false, false, 0, nullptr, nullptr});
    read_stamps_.clear();
}

// visit(word, mask of the word's bytes, offset)
template <class Visit>
void Shadow::for_words(uint32_t offset, uint32_t bytes, Visit&& visit) {
    for (uint32_t at = offset; at < offset + bytes;) {
        const uint32_t next = std::min((at / kWordBytes + 1) * kWordBytes, offset + bytes);
        const uint32_t first = at % kWordBytes;
        visit(words_[at / kWordBytes], static_cast<uint8_t>(((1u << (next - at)) - 1) << first), at);
        at = next;
    }
}

bool Shadow::knows_write(const Thread& thread, const Word& word) const {
    return word.writer == kNobody || block_->knows(thread, word.writer, word.write_stamp);
}

bool Shadow::knows_reads(const Thread& thread, const Word& word) {
    if (word.reader == kNobody) return true;
    if (word.reader != kMany) return block_->knows(thread, word.reader, word.read_stamp);
    if (word.read_stamp <= block_->base) return true;
    const int lanes = thread.warp->lanes;
    for (uint32_t rest = word.reader_warps; rest != 0; rest &= rest - 1) {
        const int first = __builtin_ctz(rest) * lanes;
        for (int i = 0; i < lanes; ++i) {
            const Stamp stamp = word.readers == 0 ? word.read_stamp : *stamp_of(word, first + i);
            if (stamp != 0 && !block_->knows(thread, first + i, stamp)) return false;
        }
    }
    return true;
}

Stamp* Shadow::stamp_of(const Word& word, int thread) {
    return &read_stamps_[(word.readers - 1) * static_cast<size_t>(block_->num_threads) + static_cast<size_t>(thread)];
}

// Remembers a read. A reader that knows of the reads before stands for them: who knows of it, knows of them. `has_met`:
// the thread may know of any since the last block barrier.
void Shadow::note_read(Thread& thread, Word& word, bool has_met) {
    const auto self = static_cast<uint16_t>(thread.index);
    if (word.reader != self) {
        if (word.reader == kNobody || word.read_stamp <= block_->base || (has_met && knows_reads(thread, word))) {
            word.reader = self;
            word.read_bytes = 0;
            word.reader_warps = 0;
        } else {
            tell_readers_apart(word, thread.warp->lanes);
            word.reader = kMany;
        }
    }
    if (word.reader == kMany && word.readers != 0) *stamp_of(word, thread.index) = block_->now;
    word.reader_warps |= 1u << thread.warp->index;
    word.read_stamp = block_->now;
}

// Several threads read the word: where barriers of less than the block are in use, each one's stamp counts.
void Shadow::tell_readers_apart(Word& word, int lanes) {
    if (!block_->has_clocks || (word.reader == kMany && word.readers != 0)) return;
    const auto count = static_cast<size_t>(block_->num_threads);
    if (word.readers == 0) {
        word.readers = static_cast<uint32_t>(read_stamps_.size() / count) + 1;
        read_stamps_.resize(read_stamps_.size() + count);
    }
    std::fill_n(stamp_of(word, 0), count, 0);
    if (word.reader != kMany) {
        *stamp_of(word, word.reader) = word.read_stamp;
        return;
    }
    for (uint32_t rest = word.reader_warps; rest != 0; rest &= rest - 1)
        std::fill_n(stamp_of(word, __builtin_ctz(rest) * lanes), lanes, word.read_stamp);
}

void Shadow::access(Thread& thread, Shadowed kind, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    if (kind == Shadowed::kRead) {
        read(thread, offset, bytes, site);
    } else {
        write(thread, kind == Shadowed::kAtomic, offset, bytes, site);
    }
}

void Shadow::read(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    const Stamp base = block_->base;
    // Whether it may know of reads since the last block barrier at all.
    const bool has_met = !thread.clock.empty() || thread.warp->base > base;
    for_words(offset, bytes, [&](Word& word, uint8_t mask, uint32_t at) {
        if (word.in_flight) report(thread, "read", at, word, true, "has not been waited for", site);
        if (word.write_stamp > base && (word.write_bytes & mask) != 0 && !knows_write(thread, word)) {
            report(thread, "read", at, word, true, "no barrier between them", site);
        }
        note_read(thread, word, has_met);
        word.read_bytes |= mask;
        word.read_site = WarpTraffic::key(site);
    });
}

void Shadow::write(Thread& thread, bool atomic, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    const Stamp base = block_->base;
    const auto self = static_cast<uint16_t>(thread.index);
    for_words(offset, bytes, [&](Word& word, uint8_t mask, uint32_t at) {
        if (word.in_flight) report(thread, "write", at, word, true, "has not been waited for", site);
        if (word.held != 0) report(thread, "write", at, word, false, "has not been waited for", site);
        if (word.write_stamp > base && (word.write_bytes & mask) != 0 && !(atomic && word.atomic) &&
            !knows_write(thread, word)) {
            report(thread, "write", at, word, true, "no barrier between them", site);
        }
        if (word.read_stamp > base && (word.read_bytes & mask) != 0 && !knows_reads(thread, word)) {
            report(thread, "write", at, word, false, "no barrier between them", site);
        }
        if ((word.read_bytes & ~mask) == 0)
            word.reader = kNobody, word.read_bytes = 0;  // who knows the write knows them
        // An atomic update after one's own plain write does not hide that write from the others.
        if (atomic && word.writer == self && !word.atomic) return;
        if (word.writer != self) word.write_bytes = 0;
        word.write_bytes |= mask;
        word.writer = self;
        word.write_stamp = block_->now;
        word.write_site = WarpTraffic::key(site);
        word.atomic = atomic;
    });
}

// The writer's own fence: it alone knows where its write went.
void Shadow::require_fenced(const Thread& thread, const char* does, uint32_t at, const Word& word,
                            const std::source_location& site) const {
    if (word.writer >= kEngine) return;  // nobody's, or the engine's own
    if (word.write_stamp <= block_->threads[word.writer].proxy_fence) return;
    report(thread, does, at, word, true, "no fence_async_proxy between them", site);
}

void Shadow::take_off(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine,
                      const std::source_location& site) {
    if (by_engine) {
        for_words(offset, bytes, [&](Word& word, uint8_t, uint32_t at) {
            if (!word.in_flight) require_fenced(thread, "asynchronous write", at, word, site);
        });
    }
    access(thread, Shadowed::kWrite, offset, bytes, site);
    for_words(offset, bytes, [](Word& word, uint8_t, uint32_t) { word.in_flight = true; });
}

void Shadow::land(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine) {
    for_words(offset, bytes, [&](Word& word, uint8_t, uint32_t) {
        word.in_flight = false;
        word.writer = by_engine ? kEngine : static_cast<uint16_t>(thread.index);
        word.write_stamp = block_->now;
    });
}

void Shadow::hold(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    require_readable(thread, offset, bytes, site);
    for_words(offset, bytes, [&](Word& word, uint8_t, uint32_t) {
        ++word.held;
        word.read_site = WarpTraffic::key(site);
    });
}

void Shadow::require_readable(const Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site) {
    const Stamp base = block_->base;
    for (uint32_t at = offset / kWordBytes * kWordBytes; at < offset + bytes; at += kWordBytes) {
        const Word& word = words_[at / kWordBytes];
        if (word.in_flight) report(thread, "asynchronous read", at, word, true, "has not been waited for", site);
        if (word.write_stamp > base && !knows_write(thread, word))
            report(thread, "asynchronous read", at, word, true, "no barrier between them", site);
        require_fenced(thread, "asynchronous read", at, word, site);
    }
}

void Shadow::release(uint32_t offset, uint32_t bytes) {
    for_words(offset, bytes, [](Word& word, uint8_t, uint32_t) { --word.held; });
}

void Shadow::release_to(Thread& thread, uint32_t offset, uint32_t bytes) {
    for_words(offset, bytes, [&](Word& word, uint8_t mask, uint32_t) {
        --word.held;
        note_read(thread, word, true);
        word.read_bytes |= mask;
    });
}

void Shadow::report(const Thread&, const char* does, uint32_t offset, const Word& word, bool with_write,
                    const char* why, const std::source_location& site) const {
    const void* other = with_write ? word.write_site : word.read_site;
    const uint16_t who = with_write ? word.writer : word.reader;
    char thread[32];
    std::snprintf(thread, sizeof thread, "thread %d", who);
    if (who >= kEngine) {
        std::snprintf(thread, sizeof thread, "%s",
                      who == kMany     ? "several threads"
                      : who == kEngine ? "the copy engine"
                                       : "an asynchronous operation");
    }
    const char* what = with_write ? (word.in_flight ? "the asynchronous copy" : "the write")
                                  : (word.held != 0 ? "the asynchronous read" : "the read");
    block_->fail(site, "race: %s of shared memory at byte %u and %s by %s at %s: %s", does, offset, what, thread,
                 Place(__builtin_bit_cast(Site, other)).text, why);
}

}  // namespace adze::sim
