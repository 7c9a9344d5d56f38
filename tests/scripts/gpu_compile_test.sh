# cmake/gpu-compile.sh
source "$(dirname "$0")/kit.sh"
script=$root/cmake/gpu-compile.sh

fake compiler <<'FAKE'
echo "compiled $*" >kernel.o
FAKE
expect 0 '' sh "$script" ./compiler -c kernel.cu -o kernel.o
expect 0 '^[0-9]+$' cat kernel.o.ms
expect 0 '^compiled -c kernel.cu -o kernel.o$' cat kernel.o

for code in C7508 C7510; do
    fake compiler <<FAKE
echo compiled >kernel.o
echo "ptxas info    : ($code) Potential Performance Loss: wgmma.mma_async instructions are serialized" >&2
FAKE
    expect 1 "\($code\)" sh "$script" ./compiler -c kernel.cu -o kernel.o
    expect 1 '' test -e kernel.o  # else the next build would take it
done

fake compiler <<'FAKE'
echo 'kernel.cu(3): error: expected a ";"' >&2
exit 7
FAKE
rm -f kernel.o.ms
expect 7 'expected a ";"' sh "$script" ./compiler -c kernel.cu -o kernel.o
expect 1 '' test -e kernel.o.ms
finish
