# libadze_sim.so: the GPU kernels compiled by the host's compiler, once for each simulated device, and the simulator that
# runs them.

# A compiler takes a .cu file for CUDA: it gets wrappers that include them.
foreach(source IN LISTS gpu_sources)
  string(REGEX REPLACE "\\.cu$" ".cpp" wrapper ${CMAKE_CURRENT_BINARY_DIR}/wrappers/${source})
  file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n" @ONLY)
  list(APPEND wrappers ${wrapper})
endforeach()

# The template that two devices share would be one symbol: each device has an inline namespace of its own.
foreach(device IN ITEMS sm_80:80 sm_90a:90 gfx90a:910 sm_89:89)
  string(REPLACE ":" ";" device ${device})
  list(POP_FRONT device name arch)
  add_library(adze_sim_${name} OBJECT ${wrappers})
  target_link_libraries(adze_sim_${name} PRIVATE adze_interface)
  target_compile_definitions(adze_sim_${name} PRIVATE ADZE_SIM_TARGET=sim_${name} ADZE_SIM_ARCH=${arch})
  list(APPEND kernel_objects $<TARGET_OBJECTS:adze_sim_${name}>)
  list(APPEND targets adze_sim_${name})
endforeach()

file(GLOB simulator_sources CONFIGURE_DEPENDS device/sim/*.cpp)
add_plugin(sim runtime/sim_backend.cpp runtime/cpu_pool.cpp ${simulator_sources} ${device_sources} ${kernel_objects})

# Boost.Context switches fibers tens of times as fast as ucontext, which asks the kernel for the signal mask.
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost QUIET COMPONENTS context)
if(NOT Boost_FOUND)
  set(Boost_USE_STATIC_LIBS OFF)
  find_package(Boost QUIET COMPONENTS context)
endif()
if(Boost_FOUND)
  target_link_libraries(adze_sim PRIVATE Boost::context)
else()
  message(STATUS "Boost.Context was not found: the simulator takes ucontext, which is slower (Debian: apt-get install libboost-context-dev)")
endif()

foreach(target IN LISTS targets ITEMS adze_sim)
  target_compile_definitions(${target} PRIVATE ADZE_SIM_BOOST_CONTEXT=$<BOOL:${Boost_FOUND}>)
  # Contraction only where fma() is written, as on the cpu backend.
  target_compile_options(${target} PRIVATE -O3 -fno-math-errno -ffp-contract=off -Wno-unknown-pragmas)  # unroll
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # GCC bug 105329, in std::string's operator+
  endif()
endforeach()
