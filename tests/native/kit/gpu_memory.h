// Host memory that a GPU reaches at the same address. Tests hand operators plain fenced memory; where a GPU is tested, that
// memory is made known to its driver. Drivers are loaded at run time: tests build and run where there is none.
#pragma once
#include <cstddef>
#include <memory>

namespace kit {

/// Whether a GPU, not a simulated one, is among the devices to test (gpu_machines()).
bool has_gpu();

/// Makes whole pages of host memory accessible to the GPUs, until the last owner goes. NULL where there is no GPU; a
/// driver that refuses ends the program with a message, since every test would fail.
std::shared_ptr<void> share_with_gpu(void* data, size_t bytes);

/// Memory for both sides that is taken up as it is touched; NULL where there is no GPU. Throws where a GPU has less free
/// memory than that: more can hang it.
std::shared_ptr<void> allocate_for_gpu(size_t bytes);

/// Ends the program, naming the running test: a GPU that has failed does not recover, and all later tests would fail.
/// Called after each failed test, too, that leaves a GPU so.
[[noreturn]] void give_up_on_gpu(const char* message);

}  // namespace kit
