// Who touched each 8 bytes of a block's shared memory last, and whether later accesses are ordered after it; where they are
// accessed by parts, who touched each word, and of such a word each byte. Every access carries the stamp of its moment; a
// thread knows, of every other, up to which stamp it has synchronised with it (clocks in the sense of Lamport; a vector of
// them a thread only where barriers of less than the block are in use).
#pragma once

#include <array>
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
    // must have been fenced. Multiples of 16 bytes. True: all threads of the block know of the writes, and nobody may write
    // there until the release.
    bool hold(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    void release(uint32_t offset, uint32_t bytes);
    // What hold checks, and no more.
    void require_readable(const Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    // The same for the running thread alone, which has waited: others must synchronise with it before they write there.
    void release_to(Thread& thread, uint32_t offset, uint32_t bytes);
    // From now on a memory barrier lies there: no access to it is right but its use, by threads that know of its making.
    void make_mbarrier(Thread& thread, uint32_t offset, const std::source_location& site);
    void use_mbarrier(const Thread& thread, uint32_t offset, const std::source_location& site);

private:
    static constexpr uint32_t kChunkBytes = 16, kMbarrierBytes = 8;
    // Most accesses are of 16 bytes, on gfx90a of 8.
    static constexpr uint32_t kPairBytes = 8, kWordBytes = 4;
    static constexpr uint16_t kNobody = 0xffff, kMany = 0xfffe;
    enum class State : uint8_t { kOpen, kInFlight, kMbarrier };
    // What is remembered of a pair of words, of a word of one that is apart, or of a byte of a word that is apart.
    struct Unit {
        Stamp write_stamp = 0, read_stamp = 0;
        uint32_t reader_warps = 0;
        uint32_t readers = 0;  // if not 0, the place in read_stamps_ of what each thread has read
        uint16_t writer = kNobody, reader = kNobody;
        State state = State::kOpen;
        bool atomic = false;
        bool is_apart = false;  // its parts count, and not what is here
        uint32_t parts = 0;     // their place in words_ or bytes_, once it was apart
        const void *write_site = nullptr, *read_site = nullptr;
    };
    // What the async proxy reads, always 16 bytes at a time.
    struct Chunk {
        uint32_t held = 0;       // by so many reads
        bool is_common = false;  // all threads know what was written there, it was fenced, and nobody wrote since
        const void* read_site = nullptr;
    };
    void read(Thread& thread, uint32_t offset, uint32_t bytes, const std::source_location& site);
    void write(Thread& thread, bool atomic, uint32_t offset, uint32_t bytes, const std::source_location& site);
    template <class Visit>
    void for_units(uint32_t offset, uint32_t bytes, Visit&& visit);
    template <uint32_t kBytes, class Visit>
    void visit_unit(Unit& unit, uint32_t begin, uint32_t end, Visit&& visit);
    template <uint32_t kBytes, class Visit>
    void visit_parts(Unit& unit, uint32_t begin, uint32_t end, Visit&& visit);
    template <uint32_t kBytes>
    auto& parts_of(const Unit& unit);
    template <uint32_t kBytes>
    void take_apart(Unit& unit);
    template <uint32_t kBytes>
    void join_written(Unit& unit, uint32_t begin, uint32_t end);
    void put_together(Unit& unit, const Unit& as);
    template <uint32_t kBytes>
    bool is_settled(const Unit& unit);
    Chunk& chunk_of(uint32_t offset) { return chunks_[offset / kChunkBytes]; }
    Stamp* stamp_of(const Unit& unit, int thread);
    void take_readers(Unit& unit);
    void note_read(Thread& thread, Unit& unit, bool has_met);
    void tell_readers_apart(Unit& unit, int lanes);
    void require_open(const char* does, uint32_t at, const Unit& unit, const std::source_location& site) const;
    void require_written(const Thread& thread, const char* does, uint32_t at, const Unit& unit,
                         const std::source_location& site) const;
    void require_fenced(const char* does, uint32_t at, const Unit& unit, const std::source_location& site) const;
    void require_readable(const Thread& thread, uint32_t at, const Unit& unit, const std::source_location& site) const;
    bool is_fenced(const Unit& unit) const;
    bool knows_write(const Thread& thread, const Unit& unit) const;
    bool knows_reads(const Thread& thread, const Unit& unit);
    [[noreturn]] void report(const char* does, uint32_t offset, const Unit& unit, const char* what, const char* why,
                             const std::source_location& site) const;
    [[noreturn]] void report(const char* does, uint32_t offset, const char* what, uint16_t who, const void* where,
                             const char* why, const std::source_location& site) const;

    Block* block_ = nullptr;
    std::vector<Unit> pairs_;
    std::vector<Chunk> chunks_;
    std::vector<std::array<Unit, kPairBytes / kWordBytes>> words_;  // of pairs that are or were apart
    std::vector<std::array<Unit, kWordBytes>> bytes_;               // of words
    std::vector<Stamp> read_stamps_;                                // by thread, of the units that several read
};

}  // namespace adze::sim
