# The simulator, and how GPU sources are compiled for its devices: for the plug-in, and for tests.

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

# In the order of adze_context_desc.device. C++ has them as ADZE_FOR_SIM_DEVICES(apply): apply(sim_sm_80) and so on.
set(sim_devices sm_80 sm_90a gfx90a sm_89)
set(sim_devices ${sim_devices} PARENT_SCOPE)
list(TRANSFORM sim_devices REPLACE "(.+)" " apply(sim_\\1)" OUTPUT_VARIABLE sim_applied)
string(JOIN "" sim_applied ${sim_applied})
set(sim_headers ${CMAKE_CURRENT_BINARY_DIR}/sim)
file(CONFIGURE OUTPUT ${sim_headers}/sim_devices.h CONTENT
    "#pragma once\n#define ADZE_FOR_SIM_DEVICES(apply)${sim_applied}\n" @ONLY)
target_include_directories(adze_interface INTERFACE ${sim_headers})

function(set_sim_options target)
  target_link_libraries(${target} PRIVATE adze_interface)
  # Contraction only where fma() is written, as on the cpu backend.
  target_compile_options(${target} PRIVATE -fno-math-errno -ffp-contract=off -Wno-unknown-pragmas)  # unroll
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)  # GCC bug 105329, in std::string's operator+
  endif()
endfunction()

# add_sim_kernels(NAME DEVICE... SOURCES...): the sources compiled for the simulated device, as target NAME_DEVICE. The
# template that two devices share would be one symbol: each device has an inline namespace of its own.
function(add_sim_kernels name device)
  string(REPLACE sm_ kSm arch ${device})  # as Arch has it
  string(REPLACE gfx kGfx arch ${arch})
  # A compiler takes a .cu file for CUDA: it gets wrappers that include them, each device its own: they are built together.
  set(wrappers "")
  foreach(source IN LISTS ARGN)
    string(REPLACE ${PROJECT_SOURCE_DIR}/ "" wrapper ${source})
    string(MAKE_C_IDENTIFIER ${wrapper} wrapper)
    set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/wrappers/${device}/${wrapper}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n" @ONLY)
    list(APPEND wrappers ${wrapper})
  endforeach()
  add_library(${name}_${device} OBJECT ${wrappers})
  target_compile_definitions(${name}_${device} PRIVATE ADZE_SIM_TARGET=sim_${device} ADZE_SIM_ARCH=${arch})
  set_sim_options(${name}_${device})
endfunction()

# -Og compiles in a third of the time that -O3 takes; tests run a sixth longer: their time goes into the simulator. With GCC
# another fifth is saved by one region for registers, nothing inlined early, and garbage never collected.
function(compile_quickly target)
  target_compile_options(${target} PRIVATE -Og)
  target_compile_definitions(${target} PRIVATE ADZE_SIM_QUICK)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -fira-region=one "SHELL:--param early-inlining-insns=0"
        "SHELL:--param ggc-min-heapsize=2000000")
  endif()
endfunction()

# The simulator: everything but the switching of fibers, which tests link in both forms.
file(GLOB simulator_sources CONFIGURE_DEPENDS device/sim/*.cpp)
list(FILTER simulator_sources EXCLUDE REGEX "fiber.cpp$")
add_library(adze_simulator OBJECT EXCLUDE_FROM_ALL runtime/cpu_pool.cpp ${simulator_sources} ${device_sources})
add_library(adze_fibers_ucontext OBJECT EXCLUDE_FROM_ALL device/sim/fiber.cpp)
add_library(adze_fibers OBJECT EXCLUDE_FROM_ALL device/sim/fiber.cpp)
target_compile_definitions(adze_fibers PRIVATE ADZE_SIM_BOOST_CONTEXT=$<BOOL:${Boost_FOUND}>)
if(Boost_FOUND)
  target_link_libraries(adze_fibers PUBLIC Boost::context)
endif()
foreach(target IN ITEMS adze_simulator adze_fibers adze_fibers_ucontext)
  set_sim_options(${target})
  target_compile_options(${target} PRIVATE -O3)  # where the time of a launch goes
endforeach()
