# libadze.so: the C ABI and the cpu backend, and the cuda backend where cuda.cmake came before.

# The cpu kernels are compiled once per instruction set, each in a namespace of its own (ADZE_ISA).
set(cpu_kernel_sources
    attention/attention_cpu.cpp
    glue/glue_cpu.cpp
    linear/linear_cpu.cpp
    runtime/cpu_kernels.cpp
    sampling/sampling_cpu.cpp)

set(isas portable)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND isas avx2 avx512)
endif()
set(flags_portable "")
set(flags_avx2 -mavx2 -mfma -mf16c)
set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND flags_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)  # GCC bug 105593, in its own avx512fintrin.h
endif()

foreach(isa IN LISTS isas)
  add_library(adze_cpu_${isa} OBJECT ${cpu_kernel_sources})
  target_include_directories(adze_cpu_${isa} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} include)
  target_compile_definitions(adze_cpu_${isa} PRIVATE ADZE_ISA=${isa})
  # Contraction only where fma() is written: a row's result may not depend on which loop the compiler put it in.
  target_compile_options(adze_cpu_${isa} PRIVATE -O3 -ffp-contract=off -fno-math-errno ${flags_${isa}})
  list(APPEND isa_objects $<TARGET_OBJECTS:adze_cpu_${isa}>)
endforeach()
set(ADZE_CPU_ISAS ${isas} PARENT_SCOPE)
list(TRANSFORM isas PREPEND ADZE_HAS_ OUTPUT_VARIABLE isa_definitions)
list(TRANSFORM isa_definitions TOUPPER)

# Everything but the exports, so that tests of internals can link it.
add_library(adze_objects OBJECT
    ${shared_host_sources}
    attention/attention_api.cpp
    attention/kv_cache.cpp
    glue/glue_api.cpp
    glue/rope_host.cpp
    linear/linear_api.cpp
    runtime/abi_layout.cpp
    runtime/backends.cpp
    runtime/context.cpp
    runtime/cpu_backend.cpp
    runtime/cpu_pool.cpp
    runtime/failure.cpp
    runtime/memory.cpp
    runtime/reserved_memory.cpp
    runtime/staging.cpp
    runtime/stream.cpp
    runtime/version.cpp
    sampling/sampling_api.cpp)
target_link_libraries(adze_objects PUBLIC adze_interface)
target_compile_definitions(adze_objects PRIVATE ${isa_definitions})
if(ADZE_BACKEND STREQUAL cuda)
  target_compile_definitions(adze_objects PRIVATE ADZE_HAS_CUDA ADZE_GPU_ARCHITECTURES="${cuda_architectures}")
endif()

if(ADZE_SOURCE_BUILD)
  set_source_files_properties(runtime/backends.cpp PROPERTIES COMPILE_DEFINITIONS
      ADZE_SOURCE_BUILD_ROOT="${PROJECT_SOURCE_DIR}/build")
endif()

add_library(adze SHARED $<TARGET_OBJECTS:adze_objects> ${isa_objects} ${cuda_objects})
target_include_directories(adze PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(adze PRIVATE ${cuda_libraries} Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(adze PRIVATE -Wl,--no-undefined -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/libadze.map)
set_target_properties(adze PROPERTIES SOVERSION 0 VERSION ${PROJECT_VERSION} LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/libadze.map)

install(TARGETS adze)
install(DIRECTORY include/adze TYPE INCLUDE)
