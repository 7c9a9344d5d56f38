# .ci/machine-code, its cuda half: hip's differs in how the disassembly is had.
source "$(dirname "$0")/kit.sh"
needs python3
take .ci/machine-code
mkdir -p build/cuda bench/budgets
cat >bench/budgets/machine_code.csv <<'CSV'
# targets, kernel, registers, instructions
targets,kernel,registers,instructions
sm_*,Linear,64,HMMA.*>=2 LDG.E.128=1
sm_90a,Bulk,32,UTMALDG.2D=1
sm_80 sm_89,Bulk,none,
CSV
echo "CMAKE_CUDA_COMPILER:FILEPATH=$work/toolkit/bin/nvcc" >build/cuda/CMakeCache.txt
echo "$work/linear.cu.o" >build/cuda/adze_cuda_kernels.objects
echo "$work/bulk.cu.o" >build/cuda/adze_cuda_probes.objects
fake bin/c++filt <<<'printf "%s\n" "$@"'

# An object file is the arguments of `code` and `usage` below.
fake toolkit/bin/cuobjdump <<'FAKE'
kernel=$(basename "$2" .cu.o)
for target in sm_80 sm_89 sm_90a; do
    . "$2"
    if [ "$1" = -sass ]; then
        printf '\tcode for %s\n\t\tFunction : %s\n' $target ${kernel^}
        for name in $instructions; do printf '        /*0010*/                   @P0 %s R2, R4 ;\n' $name; done
    else
        printf 'arch = %s\n Function %s:\n' $target ${kernel^}
        printf '  REG:%s STACK:%s SHARED:%s LOCAL:0 CONSTANT[0]:1\n' $registers $stack $shared
    fi
done
FAKE
build() {
    cat >linear.cu.o <<'OBJECT'
instructions="LDG.E.128 HMMA.16816.F32 HMMA.16816.F32 EXIT" registers=64 stack=0 shared=0
[ $target != sm_90a ] || shared=1024  # the system's
OBJECT
    cat >bulk.cu.o <<'OBJECT'
instructions=EXIT registers=8 stack=0 shared=0
[ $target != sm_90a ] || { instructions="UTMALDG.2D EXIT" shared=1024; }
OBJECT
}

# fails MESSAGE FILE LINE: with LINE at the end of FILE, one fault or several are found, MESSAGE among them.
fails() {
    build
    echo "$3" >>"$2"
    expect 1 "$1" .ci/machine-code cuda
}

build
expect 0 '6 kernels x targets, 0 faults' .ci/machine-code cuda
fails 'sm_89 Linear: 1 times HMMA.*, expected >=2' linear.cu.o '[ $target != sm_89 ] || instructions="LDG.E.128 HMMA.16816.F32 EXIT"'
fails 'sm_80 Linear: 2 times LDG.E.128, expected =1' linear.cu.o 'instructions+=" LDG.E.128"'
fails 'sm_80 Linear: 2 accesses to local memory' linear.cu.o 'instructions+=" LDL.64 STL"'
fails 'sm_80 Linear: 1 accesses to memory of an unknown kind' linear.cu.o 'instructions+=" LD.E.128"'
fails 'sm_80 Linear: 65 registers, budget 64' linear.cu.o registers=65
fails 'sm_80 Linear: 16 bytes of stack' linear.cu.o stack=16
fails 'sm_90a Linear: 32 bytes of static shared memory' linear.cu.o '[ $target != sm_90a ] || shared=1056'
fails 'sm_80 Bulk: has code, expected none' bulk.cu.o 'instructions="LDS EXIT"'
build
sed 's/sm_\*,Linear/sm_*,Other/' bench/budgets/machine_code.csv >other.csv
expect 1 'sm_80 Linear: no row gives its registers' .ci/machine-code cuda other.csv
expect 1 'sm_80 has no kernel Other' .ci/machine-code cuda other.csv
rm bulk.cu.o  # of an object that the build lists and that is not there, nothing can be said
expect 1 '' .ci/machine-code cuda
finish
