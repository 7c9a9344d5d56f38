# The cuda backend, a part of libadze.so. Sets cuda_objects, cuda_libraries and cuda_architectures for libadze.cmake.

include(${PROJECT_SOURCE_DIR}/cmake/FindNvcc.cmake)
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
  message(FATAL_ERROR "CUDA 12.4 or newer is needed; ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}")
endif()
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25.1 does not know that nvcc 12 has C++20
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)

# What kernels know: machine code of these, no PTX. Others run the nearest below, as sm_86 runs sm_80's.
if(CMAKE_CUDA_ARCHITECTURES STREQUAL native)
  set(wanted ${CMAKE_CUDA_ARCHITECTURES_NATIVE})
  if(NOT wanted)
    message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES is native, and this machine has no GPU that nvcc sees")
  endif()
else()
  set(wanted ${CMAKE_CUDA_ARCHITECTURES})
endif()
set(known "")
foreach(architecture IN LISTS wanted)
  string(REGEX REPLACE "-real$" "" architecture ${architecture})
  if(architecture MATCHES "^90a?$")
    list(APPEND known 90a)  # sm_90 without its wgmma is of no use
  elseif(architecture STREQUAL 89)
    list(APPEND known 89)
  elseif(architecture MATCHES "^8[0-8]$")
    list(APPEND known 80)
  else()
    message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES has ${architecture}; there are kernels for 80, 89 and 90a")
  endif()
endforeach()
list(REMOVE_DUPLICATES known)
list(JOIN known ", " cuda_architectures)
list(TRANSFORM known APPEND -real OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)

find_package(CUDAToolkit REQUIRED GLOBAL)
file(GLOB layer_sources CONFIGURE_DEPENDS device/cuda/*.cu)
add_library(adze_cuda_kernels OBJECT ${gpu_sources} ${layer_sources})
target_link_libraries(adze_cuda_kernels PRIVATE adze_interface)
set(device_code adze_cuda_kernels)
if(ADZE_BUILD_TESTS)
  # Here, not beside their tests: CMake knows how to compile CUDA only in the folder that enables it, and below.
  add_library(adze_cuda_probes OBJECT
      ${probe_sources} ${probe_folder}/probe_devices_cuda.cu ${layer_sources})
  target_link_libraries(adze_cuda_probes PRIVATE adze_interface)
  target_include_directories(adze_cuda_probes PRIVATE ${probe_folder}/..)
  list(APPEND device_code adze_cuda_probes)
endif()
foreach(target IN LISTS device_code)
  # Contraction only where fma() is written, as on every backend: else a result could depend on the tile that computed it.
  target_compile_options(${target} PRIVATE -Xptxas=--warning-as-error -fmad=false --expt-relaxed-constexpr)
  set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/gpu-compile.sh)
  # For .ci/gpu-report and .ci/machine-code: what earlier builds left behind is not theirs.
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/${target}.objects CONTENT "$<JOIN:$<TARGET_OBJECTS:${target}>,\n>\n")
endforeach()

add_library(adze_cuda OBJECT runtime/cuda_backend.cpp device/cuda/driver.cpp ${device_sources})
target_link_libraries(adze_cuda PRIVATE adze_interface)
target_include_directories(adze_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_compile_definitions(adze_cuda PRIVATE ADZE_GPU_ARCHITECTURES="${cuda_architectures}")

set(cuda_objects $<TARGET_OBJECTS:adze_cuda_kernels> $<TARGET_OBJECTS:adze_cuda>)
set(cuda_libraries CUDA::cudart_static)
