// Looks up the CUDA driver's functions in the libcuda.so.1 that LD_LIBRARY_PATH names: what it prints is what the tests
// expect.
#include <cstdio>

#include "device/cuda/driver.h"
#include "runtime/check.h"

int main() {
    try {
        adze::cuda_driver();
        std::printf("found\n");
        adze::cuda_virtual_memory();
        std::printf("found\n");
    } catch (const adze::Failure& failure) {
        std::printf("status %d; %s\n", failure.status, failure.message.c_str());
    }
}
