#include "device/sim/mutation.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace adze::sim {
namespace {

const char* const kOff = std::getenv("ADZE_SIM_OFF");
const char* const kSitesFile = std::getenv("ADZE_SIM_SITES");

// "barrier@linear.cuh:120:9"
std::string name_of(SiteKind kind, const std::source_location& site) {
    constexpr const char* kinds[] = {"barrier", "wait", "fence", "guard"};
    const char* file = site.file_name();
    if (const char* slash = std::strrchr(file, '/')) file = slash + 1;
    return std::string(kinds[static_cast<int>(kind)]) + '@' + file + ':' + std::to_string(site.line()) + ':' +
           std::to_string(site.column());
}

void append_to_file(const std::string& name) {
    if (std::FILE* file = std::fopen(kSitesFile, "a")) {
        std::fprintf(file, "%s\n", name.c_str());
        std::fclose(file);
    }
}

}  // namespace

bool sites_matter = kOff != nullptr || kSitesFile != nullptr;

bool look_up_site(SiteKind kind, const std::source_location& site) {
    static std::mutex mutex;
    static std::map<const void*, bool> known;  // by place: whether it is off
    const std::scoped_lock lock(mutex);
    const auto [entry, is_new] = known.try_emplace(__builtin_bit_cast(const void*, site), false);
    if (is_new) {
        const std::string name = name_of(kind, site);
        entry->second = kOff != nullptr && name == kOff;
        if (kSitesFile != nullptr) append_to_file(name);
    }
    return entry->second;
}

}  // namespace adze::sim
