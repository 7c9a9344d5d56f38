# libadze_sim.so: the GPU kernels compiled by the host's compiler, once for each simulated device, and the simulator that
# runs them.

include(simulator.cmake)

set(sources ${gpu_sources})
list(REMOVE_ITEM sources linear/linear.cu)
foreach(device IN LISTS sim_devices)
  add_sim_kernels(adze_sim ${device} ${sources})
  compile_quickly(adze_sim_${device})
  target_precompile_headers(adze_sim_${device} PRIVATE device/launch.h device/mma.h device/reduce.h runtime/check.h)
  add_sim_kernels(adze_sim_linear ${device} linear/linear.cu)  # most of the demo's time goes into it
  list(APPEND kernel_objects $<TARGET_OBJECTS:adze_sim_${device}> $<TARGET_OBJECTS:adze_sim_linear_${device}>)
endforeach()

add_plugin(sim runtime/sim_backend.cpp ${kernel_objects} $<TARGET_OBJECTS:adze_simulator>)
set_sim_options(adze_sim)
target_link_libraries(adze_sim PRIVATE adze_fibers)
