# .ci/gpu-report
source "$(dirname "$0")/kit.sh"
take .ci/gpu-report
mkdir -p bench/budgets
cat >budgets <<'CSV'
preset,file,kernels,max_seconds
cuda,glue/glue.cu,2,40
cuda,linear/linear.cu,1,30
hip,glue/glue.cu,2,40
CSV

# An object file of this build is the names of its kernels.
objects=build/cuda/kernels/CMakeFiles/adze_cuda_kernels.dir
fake toolkit/bin/cuobjdump <<'FAKE'
for arch in sm_80 sm_90a; do
    printf '\nFatbin elf code:\n================\narch = %s\n\nResource usage:\n Common:\n  GLOBAL:0\n' $arch
    sed "/ not on $arch/d; s/.*/ Function &:\n  REG:55 STACK:0 SHARED:0 LOCAL:0/" "$2"
done
FAKE
object() {
    mkdir -p "$(dirname "$objects/$1")"
    cat >"$objects/$1.o"
    echo "$2" >"$objects/$1.o.ms"
}
build() {
    rm -rf build
    cp budgets bench/budgets/compile.csv
    object glue/glue.cu 39999 <<<$'Embedding\nSiluGate'
    object linear/linear.cu 1000 <<<'LinearMma'
    echo "CMAKE_CUDA_COMPILER:FILEPATH=$work/toolkit/bin/nvcc" >build/cuda/CMakeCache.txt
    printf '%s\n' "$work/$objects/glue/glue.cu.o" "$work/$objects/linear/linear.cu.o" >build/cuda/adze_cuda_kernels.objects
}

build
expect 0 '^glue/glue.cu +2 +40.0$' .ci/gpu-report cuda
expect 0 '^total +3 +41.0$' .ci/gpu-report cuda
object old/old.cu 1000 <<<'Forgotten'  # of an earlier build
expect 0 '^total +3 +41.0$' .ci/gpu-report cuda

object linear/linear.cu 1000 <<<$'LinearMma\nLinearFma'
expect 1 '^linear/linear.cu +2 +1.0  expected 1 kernels$' .ci/gpu-report cuda
build
object glue/glue.cu 1000 <<<'Embedding'
expect 1 '^glue/glue.cu +1 +1.0  expected 2 kernels$' .ci/gpu-report cuda
object glue/glue.cu 1000 <<<$'Embedding\nSiluGate not on sm_90a'
expect 1 '^glue/glue.cu +1/2 +1.0  expected 2 kernels$' .ci/gpu-report cuda
build
object linear/linear.cu 30001 <<<'LinearMma'
expect 1 '^linear/linear.cu .* budget: 30 seconds$' .ci/gpu-report cuda

build
sed -i '/linear/d' bench/budgets/compile.csv
expect 1 '^linear/linear.cu .* has no line in bench/budgets/compile.csv$' .ci/gpu-report cuda
build
sed -i '/linear/d' build/cuda/adze_cuda_kernels.objects  # the file is gone, its object is still there
expect 1 'linear/linear.cu is in bench/budgets/compile.csv and not in the build$' .ci/gpu-report cuda
build
rm $objects/linear/linear.cu.o
expect 1 '^linear/linear.cu +was not built$' .ci/gpu-report cuda
rm -r build
expect 2 'No such file' .ci/gpu-report cuda

objects=build/hip/kernels/CMakeFiles/adze_hip_kernels.dir
fake bin/nm <<<'sed "s/^/0000 T adze::__device_stub__/" "$2"'
object glue/glue.cu 1000 <<<$'Embedding\nSiluGate'
echo "$work/$objects/glue/glue.cu.o" >build/hip/adze_hip_kernels.objects
expect 0 '^glue/glue.cu +2 +1.0$' .ci/gpu-report hip
object glue/glue.cu 1000 </dev/null
expect 1 '^glue/glue.cu +0 +1.0  expected 2 kernels$' .ci/gpu-report hip
finish
