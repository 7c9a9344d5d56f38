// Which of the machine code that was built runs on a device.
#pragma once

#include <cstring>
#include <string_view>

#include "device/arch.h"

namespace adze {

struct GpuCode {
    const char* name;  // as in CMake's lists of architectures
    int major, minor;  // compute capability; 0 on AMD
    Arch arch;
};

// Best first. Code of a capability runs on all later ones of the same major version; that of 90a on 9.0 alone.
inline constexpr GpuCode kCudaCode[] = {
    {"90a", 9, 0, Arch::kSm90a},
    {"89", 8, 9, Arch::kSm89},
    {"80", 8, 0, Arch::kSm80},
};
inline constexpr GpuCode kHipCode[] = {{"gfx90a", 0, 0, Arch::kGfx90a}};

// `built`: names, separated by ", ".
inline bool was_built(std::string_view built, std::string_view name) {
    while (!built.empty()) {
        const size_t comma = built.find(", ");
        if (built.substr(0, comma) == name) return true;
        built = comma == std::string_view::npos ? "" : built.substr(comma + 2);
    }
    return false;
}

inline const GpuCode* find_cuda_code(std::string_view built, int major, int minor) {
    for (const GpuCode& code : kCudaCode) {
        if (was_built(built, code.name) && code.major == major && minor >= code.minor) return &code;
    }
    return nullptr;
}

inline const GpuCode* find_hip_code(std::string_view built, std::string_view name) {
    for (const GpuCode& code : kHipCode) {
        if (was_built(built, code.name) && name == code.name) return &code;
    }
    return nullptr;
}

}  // namespace adze
