# Sets ADZE_NVCC, for all who look for nvcc: $CUDACXX, else nvcc on PATH, in $CUDA_PATH, or in a usual place. As a script
# (cmake -P) it fails where there is none.
if(NOT "$ENV{CUDACXX}" STREQUAL "")
  separate_arguments(named UNIX_COMMAND "$ENV{CUDACXX}")  # flags may follow
  list(GET named 0 named)
  find_program(ADZE_NVCC ${named})
else()
  file(GLOB installed /opt/cuda-* /usr/local/cuda-*)
  list(SORT installed COMPARE NATURAL ORDER DESCENDING)
  find_program(ADZE_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda ${installed} PATH_SUFFIXES bin)
endif()
if(CMAKE_SCRIPT_MODE_FILE AND NOT ADZE_NVCC)
  message(FATAL_ERROR "nvcc was not found")
endif()
