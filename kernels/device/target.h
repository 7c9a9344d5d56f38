// What a kernel's source is compiled for. Kernels are written against the headers of this folder alone, in CUDA's style,
// and hold no inline assembly and no vendor's name. Each header has one subject: it declares the functions with their
// contract, and includes the implementation for the target at hand, of which there are three:
//
//   cuda/   nvcc: intrinsics and PTX, several architectures in one compilation
//   hip/    hipcc: builtins, gfx90a
//   sim/    the host's compiler: the simulator; once per simulated device, from a generated wrapper that includes the .cu
//
// Everything that is compiled for a target lives in an inline namespace of its own, ADZE_TARGET: the same template
// compiled for two targets would else be one symbol, and the linker would keep one of the two bodies.
#pragma once

#include "device/arch.h"

#if defined(__CUDACC__)
    #define ADZE_DEVICE_LAYER cuda
    #define ADZE_TARGET target_cuda
    #define ADZE_DEVICE __device__ __forceinline__
#elif defined(__HIPCC__)
    #define ADZE_DEVICE_LAYER hip
    #define ADZE_TARGET target_hip
    #define ADZE_DEVICE __device__ __forceinline__
#elif defined(ADZE_SIM_TARGET)  // sim_sm_80 and so on, with ADZE_SIM_ARCH, an Arch
    #define ADZE_DEVICE_LAYER sim
    #define ADZE_TARGET ADZE_SIM_TARGET
    #define ADZE_DEVICE inline
#else
    #error "device headers are for GPU sources, which only nvcc, hipcc and the simulator's wrappers compile"
#endif

// #include ADZE_DEVICE_HEADER(barrier.h) names device/sim/barrier.h and so on.
#define ADZE_QUOTE_(text) #text
#define ADZE_QUOTE(text) ADZE_QUOTE_(text)
// clang-format off
#define ADZE_DEVICE_HEADER(subject) ADZE_QUOTE(device/ADZE_DEVICE_LAYER/subject)
// clang-format on

// Defines kTarget, kWarpSize, LaneMask and Site: where in the source a device-layer function is called. The simulator
// names it in errors, groups the lanes of a warp by it and switches single calls off; elsewhere it is empty.
#include ADZE_DEVICE_HEADER(target.h)
