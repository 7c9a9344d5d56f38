# cmake/build-native.sh and cmake/FindNvcc.cmake
source "$(dirname "$0")/kit.sh"
cmake=$(command -v cmake)
take cmake/build-native.sh

# Configures like CMake, but for the backend cuda where the file `no-cuda` has CMake's words.
fake bin/cmake <<'FAKE'
case "$*" in
    --version) echo "cmake version 3.25.1" ;;
    --preset*)
        echo "$*" >>calls
        preset=$2 backend=$2
        [[ $* != *-DADZE_BACKEND=cpu* ]] || backend=cpu
        if [ "$backend" = cuda ] && [ -e no-cuda ]; then cat no-cuda >&2; exit 1; fi
        echo "ADZE_BACKEND:STRING=$backend" >"build/$preset/CMakeCache.txt"
        touch "build/$preset/Makefile"
        ;;
    --build*) echo "[ 50%] Building CXX object x.o" && sed -n 's/ADZE_BACKEND:STRING=/built /p' "$2/CMakeCache.txt" >"$2/libadze.so" ;;
esac
FAKE
# Progress goes to the first ancestor whose stderr is another.
build() { sh cmake/build-native.sh "$@" 2>/dev/null; }
reset() { rm -rf build calls no-cuda; }

expect 0 'adze: 50%' build cuda adze stamp cpu
expect 0 '^built cuda$' cat build/cuda/libadze.so
expect 0 '-DCMAKE_CUDA_ARCHITECTURES=native$' cat calls
expect 0 '' build cuda adze stamp cpu
expect 0 '^1$' grep -c . calls  # not again

# A GPU without kernels, an old nvcc, none: the library goes without.
reset
cat >no-cuda <<'WORDS'
-- Configuring
CMake Error at kernels/cuda.cmake:51 (message):
  this machine's GPU is of 75-real; there are kernels for 80
  to 89 and 90a


-- Configuring incomplete, errors occurred!
WORDS
expect 0 "^adze: without the cuda backend.*: this machine's GPU is of 75-real; there are kernels for 80 to 89 and 90a\$" \
    build cuda adze stamp cpu
expect 0 '^built cpu$' cat build/cuda/libadze.so
expect 0 '^adze: -p:AdzePreset=cuda insists on it, -p:AdzePreset=cpu does not try$' build cuda adze stamp cpu
# Whoever asks for it by name gets the error, also where it went without before.
expect 1 'CMake Error at kernels/cuda.cmake:51' build cuda adze stamp
# Once it can be had it is.
rm no-cuda
expect 0 '' build cuda adze stamp cpu
expect 0 '^built cuda$' cat build/cuda/libadze.so

# Presets that are asked for are as they are.
reset
expect 0 '' build cpu adze stamp
expect 0 '^--preset cpu --fresh -G [A-Za-z ]*$' cat calls

# One look-up of nvcc for all: $CUDACXX goes first, then PATH.
found() { "$cmake" -P "$work/look.cmake"; }
cat >look.cmake <<LOOK
include($root/cmake/FindNvcc.cmake)
message("nvcc: \${ADZE_NVCC}")
LOOK
fake bin/nvcc </dev/null
fake mine/nvcc-13 </dev/null
unset CUDACXX
expect 0 "^nvcc: $work/bin/nvcc\$" found
export CUDACXX=$work/mine/nvcc-13
expect 0 "^nvcc: $work/mine/nvcc-13\$" found
export CUDACXX="$work/mine/nvcc-13 -ccbin g++-12"
expect 0 "^nvcc: $work/mine/nvcc-13\$" found
export CUDACXX=$work/gone
expect 1 'nvcc was not found' found
finish
