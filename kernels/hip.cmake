# libadze_hip.so, by hipcc: CMake's own HIP language does not work with every distribution's ROCm.

if(NOT CMAKE_CXX_COMPILER MATCHES "hipcc$")
  message(FATAL_ERROR "ADZE_BACKEND=hip needs CMAKE_CXX_COMPILER=hipcc, as the preset hip has it; it is ${CMAKE_CXX_COMPILER}")
endif()
set(ADZE_HIP_ARCHITECTURES gfx90a CACHE STRING "AMD architectures to compile for")
list(JOIN ADZE_HIP_ARCHITECTURES ", " hip_architectures)
list(TRANSFORM ADZE_HIP_ARCHITECTURES PREPEND --offload-arch= OUTPUT_VARIABLE offload)

# Only the kernels are HIP's language; the rest is C++ for the host.
file(GLOB layer_sources CONFIGURE_DEPENDS device/hip/*.cu)
add_library(adze_hip_kernels OBJECT ${gpu_sources} ${layer_sources})
set(device_code adze_hip_kernels)
if(ADZE_BUILD_TESTS)
  add_library(adze_hip_probes OBJECT ${probe_sources})  # compiled for .ci/machine-code, never linked
  target_include_directories(adze_hip_probes PRIVATE ${probe_folder}/..)
  list(APPEND device_code adze_hip_probes)
endif()
set_source_files_properties(${gpu_sources} ${layer_sources} ${probe_sources} PROPERTIES LANGUAGE CXX)
foreach(target IN LISTS device_code)
  target_link_libraries(${target} PRIVATE adze_interface)
  target_compile_options(${target} PRIVATE -x hip ${offload} -O3 -fno-math-errno -ffp-contract=off)
  set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/gpu-compile.sh)
  # For .ci/gpu-report and .ci/machine-code: what earlier builds left behind is not theirs.
  file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/${target}.objects CONTENT "$<JOIN:$<TARGET_OBJECTS:${target}>,\n>\n")
endforeach()

add_plugin(hip runtime/hip_backend.cpp ${device_sources} $<TARGET_OBJECTS:adze_hip_kernels>)
# With an architecture named, hipcc does not look for the machine's own.
target_compile_options(adze_hip PRIVATE -x c++ ${offload} -Wno-unused-command-line-argument)
target_compile_definitions(adze_hip PRIVATE __HIP_PLATFORM_AMD__ ADZE_GPU_ARCHITECTURES="${hip_architectures}")
target_link_options(adze_hip PRIVATE --hip-link ${offload})
