// What this machine can do at most, measured in the run whose results are compared with it: the bandwidth of a plain
// multi-threaded copy (bytes read plus bytes written) and the f32 multiply-add peak of an instruction set.
#pragma once
#include <string>

namespace bench {

/// Threads that both the ceilings and the library's default context use: one per available core.
int num_threads();

/// Bytes or FLOP, and the seconds from the threads' common start to the last one's end.
struct Measured {
    double amount, seconds;
    double rate() const { return amount / seconds; }
};

/// Bytes of a memcpy over 128 MiB in all threads, once, now.
Measured measure_copy();
/// FLOP of independent multiply-adds in registers in all threads, once, now. `architecture` is as in
/// adze_device_info: "avx512", "avx2", or anything else for what the compiler makes of plain C++. Two FLOP each.
Measured measure_fma(const std::string& architecture);

/// The best of a few of the above, measured again when the last time is some seconds ago: neighbours on a shared
/// machine come and go, so a ceiling belongs close to what is held against it.
double copy_ceiling();
double fma_ceiling(const std::string& architecture);

}  // namespace bench
