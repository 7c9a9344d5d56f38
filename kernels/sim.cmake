# libadze_sim.so: the GPU kernels compiled by the host's compiler, once for each simulated device, and the simulator that
# runs them.

# Boost.Context switches fibers tens of times as fast as ucontext, which asks the kernel for the signal mask.
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost QUIET COMPONENTS context)
if(NOT Boost_FOUND)
  set(Boost_USE_STATIC_LIBS OFF)
  find_package(Boost QUIET COMPONENTS context)
endif()
if(NOT Boost_FOUND)
  message(STATUS "Boost.Context was not found: the simulator takes ucontext, which is slower (Debian: apt-get install libboost-context-dev)")
endif()

function(set_sim_options target)
  target_link_libraries(${target} PRIVATE adze_interface)
  # Contraction only where fma() is written, as on the cpu backend.
  target_compile_options(${target} PRIVATE -O3 -fno-math-errno -ffp-contract=off -Wno-unknown-pragmas)  # unroll
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # GCC bug 105329, in std::string's operator+
  endif()
endfunction()

# add_sim_kernels(NAME DEVICE... SOURCES...): the sources compiled for the simulated device, as target NAME_DEVICE. The
# template that two devices share would be one symbol: each device has an inline namespace of its own.
function(add_sim_kernels name device)
  set(arch_sm_80 80)
  set(arch_sm_89 89)
  set(arch_sm_90a 90)
  set(arch_gfx90a 910)
  # A compiler takes a .cu file for CUDA: it gets wrappers that include them.
  set(wrappers "")
  foreach(source IN LISTS ARGN)
    string(REPLACE ${PROJECT_SOURCE_DIR}/ "" wrapper ${source})
    string(MAKE_C_IDENTIFIER ${wrapper} wrapper)
    set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/wrappers/${wrapper}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n" @ONLY)
    list(APPEND wrappers ${wrapper})
  endforeach()
  add_library(${name}_${device} OBJECT ${wrappers})
  target_compile_definitions(${name}_${device} PRIVATE ADZE_SIM_TARGET=sim_${device} ADZE_SIM_ARCH=${arch_${device}})
  set_sim_options(${name}_${device})
endfunction()

set(sim_devices sm_80 sm_90a gfx90a sm_89)
foreach(device IN LISTS sim_devices)
  add_sim_kernels(adze_sim ${device} ${gpu_sources})
  list(APPEND kernel_objects $<TARGET_OBJECTS:adze_sim_${device}>)
endforeach()

# The simulator: everything but the switching of fibers, which tests link in both forms.
file(GLOB simulator_sources CONFIGURE_DEPENDS device/sim/*.cpp)
list(FILTER simulator_sources EXCLUDE REGEX "fiber.cpp$")
add_library(adze_simulator OBJECT runtime/cpu_pool.cpp ${simulator_sources} ${device_sources})
add_library(adze_fibers_ucontext OBJECT EXCLUDE_FROM_ALL device/sim/fiber.cpp)
add_library(adze_fibers OBJECT device/sim/fiber.cpp)
target_compile_definitions(adze_fibers PRIVATE ADZE_SIM_BOOST_CONTEXT=$<BOOL:${Boost_FOUND}>)
if(Boost_FOUND)
  target_link_libraries(adze_fibers PUBLIC Boost::context)
endif()
foreach(target IN ITEMS adze_simulator adze_fibers adze_fibers_ucontext)
  set_sim_options(${target})
endforeach()

add_plugin(sim runtime/sim_backend.cpp ${kernel_objects} $<TARGET_OBJECTS:adze_simulator>)
set_sim_options(adze_sim)
target_link_libraries(adze_sim PRIVATE adze_fibers)
