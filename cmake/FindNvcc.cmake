# Sets CMAKE_CUDA_COMPILER where neither the user nor CUDACXX does: nvcc on PATH, in $CUDA_PATH, or in a usual place.
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  file(GLOB installed /opt/cuda-* /usr/local/cuda-*)
  list(SORT installed COMPARE NATURAL ORDER DESCENDING)
  find_program(ADZE_NVCC nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda ${installed} PATH_SUFFIXES bin)
  if(NOT ADZE_NVCC)
    message(FATAL_ERROR "nvcc was not found on PATH, in $CUDA_PATH, /usr/local/cuda or /opt/cuda-*. "
        "Install CUDA 12.4 or newer, or, to compile on a machine without a GPU: bash .ci/install-cuda.sh")
  endif()
  set(CMAKE_CUDA_COMPILER ${ADZE_NVCC})
endif()
