// Who touched each word of a block's shared memory last, and whether later accesses are ordered after it. Every access
// carries the stamp of its moment; a thread knows, of every other, up to which stamp it has synchronised with it
// (clocks in the sense of Lamport; a vector of them a thread only where barriers of less than the block are in use).
#pragma once

#include <cstdint>
#include <source_location>
#include <vector>

namespace adze::sim {

struct Thread;
class Block;

using Stamp = uint32_t;

// Stamps by thread; the last entry stands for the copy engine.
using Clock = std::vector<Stamp>;
void join(Clock& into, const Clock& from);

enum class Shadowed : uint8_t { kRead, kWrite, kAtomic };

class Shadow {
public:
    void reset(Block& block, uint32_t bytes);
    // Checks and remembers an access of the running thread to [offset, offset + bytes).
    void access(Thread& thread, Shadowed kind, uint32_t offset, uint32_t bytes, const std::source_location& site);
    // An asynchronous copy of the thread writes there from now on, until it lands.
    // `by_engine`: the copy engine does, so that ordinary writes there must have been fenced.
    void take_off(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine, const std::source_location& site);
    // `by_engine`: the copy engine wrote it, and who waits for its barrier knows.
    void land(Thread& thread, uint32_t offset, uint32_t bytes, bool by_engine);
    // The async proxy (copy engine, wgmma) reads on behalf of the running thread until `release`: ordinary writes there
    // must have been fenced.
    void hold(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    void release(uint32_t offset, uint32_t bytes);
    // What hold checks, and no more.
    void require_readable(const Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    // The same for the running thread alone, which has waited: others must synchronise with it before they write there.
    void release_to(Thread& thread, uint32_t offset, uint32_t bytes);

private:
    static constexpr uint32_t kWordBytes = 4;
    static constexpr uint16_t kNobody = 0xffff, kMany = 0xfffe;
    struct Word {
        Stamp write_stamp, read_stamp;
        uint32_t reader_warps;
        uint32_t readers;  // if not 0, the place in read_stamps_ of what each thread has read
        uint16_t writer, reader;
        uint8_t write_bytes, read_bytes;  // masks
        bool atomic, in_flight;
        uint32_t held;  // by reads of the async proxy
        const void *write_site, *read_site;
    };
    void read(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    void write(Thread& thread, bool atomic, uint32_t offset, uint32_t bytes, const std::source_location& site);
    template <class Visit>
    void for_words(uint32_t offset, uint32_t bytes, Visit&& visit);
    Stamp* stamp_of(const Word& word, int thread);
    void note_read(Thread& thread, Word& word, bool has_met);
    void tell_readers_apart(Word& word, int lanes);
    void require_fenced(const Thread& thread, const char* does, uint32_t at, const Word& word,
                        const std::source_location& site) const;
    bool knows_write(const Thread& thread, const Word& word) const;
    bool knows_reads(const Thread& thread, const Word& word);
    [[noreturn]] void report(const Thread& thread, const char* does, uint32_t offset, const Word& word, bool with_write,
                             const char* why, const std::source_location& site) const;

    Block* block_ = nullptr;
    std::vector<Word> words_;
    std::vector<Stamp> read_stamps_;  // by thread, of the words that several read
};

}  // namespace adze::sim
