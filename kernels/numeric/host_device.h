// Functions that host and device code share. Always inlined: cpu kernels are compiled once per instruction set, and an
// out-of-line copy made with one set would be merged by the linker into code that runs on another.
#pragma once

#if defined(__HIPCC__)
    #include <hip/hip_runtime.h>
#endif

#if defined(__CUDACC__) || defined(__HIPCC__)
    #define ADZE_HOST_DEVICE __host__ __device__ __forceinline__
#else
    #define ADZE_HOST_DEVICE inline __attribute__((always_inline))
#endif
