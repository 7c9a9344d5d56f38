// The state of the GPU that gpu_plugin.cpp makes up, which the plug-in exports as fake_gpu.
#pragma once
#include <cstddef>
#include <set>

struct FakeGpu {
    size_t granularity = 4096;  // that the vendor's runtime recommends
    bool has_virtual_memory = true;
    int memory_left = 1000;  // granules
    bool refuses_access = false;
    std::set<const void*> mapped, accessible;  // granules
    int reservations = 0;
    int pinned = 0;  // host buffers
};
