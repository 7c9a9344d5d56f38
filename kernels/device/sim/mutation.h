// Call sites of barriers, waits, fences and guards in the kernels, each of which can be switched off to see whether the
// tests notice: ADZE_SIM_OFF=barrier@linear.cuh:120:9 does that; ADZE_SIM_SITES=FILE appends those that a process came by.
#pragma once

#include <cstdint>
#include <source_location>

namespace adze::sim {

enum class SiteKind : uint8_t { kBarrier, kWait, kFence, kGuard };

extern bool sites_matter;  // one of the two variables is set
bool look_up_site(SiteKind kind, const std::source_location& site);

inline bool is_off(SiteKind kind, const std::source_location& site) {
    return __builtin_expect(sites_matter, false) && look_up_site(kind, site);
}

}  // namespace adze::sim
