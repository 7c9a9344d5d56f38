# bench/gpu_check.sh on a machine whose GPU, compilers and programs are fakes
source "$(dirname "$0")/kit.sh"
needs python3
take bench/gpu_check.sh
unset OUT
fake bin/nvidia-smi <<<'[[ $* != *compute_cap* ]] || echo 9.0'
for program in nvcc cmake c++; do fake bin/$program <<<'exit 0'; done

# What the simulator said, carried along.
lay_out() {
    rm -rf build gpu_carry
    mkdir -p build/cuda gpu_carry/simulated gpu_carry/demo
    touch build/cuda/libadze.so build/cuda/libadze.so.0.1.0
    printf 'mma row 0 col %d\n' 0 1 2 3 | gzip -n >gpu_carry/simulated/layouts.sm_90a.gz
    printf '%s\n' RmsNorm,64x1x1,10000,5000 Linear,32x1x1,20000,100 >gpu_carry/simulated/traffic.sm_90a.csv
    fake gpu_carry/demo/adze <<<'echo "completion {}"; echo "8 checks passed"'
    tar -C gpu_carry/demo -czf gpu_carry/demo.tar.gz .

    mkdir -p cmake && touch cmake/gpu-compile.sh
    fake bin/cmake <<<'exit 0'
    fake build/cuda/adze_layout_dump <<<'printf "mma row 0 col %d\n" 0 1 2 3'
    fake build/cuda/adze_device_tests <<'FAKE'
case $1 in
    --gtest_list_tests) printf 'Running main() from here\nDevices/DeviceLayer.\n  MovesVectors/cuda  # GetParam() = 0\n  Multiplies/cuda\n' ;;
    *) echo '[  PASSED  ] 1 test.' ;;
esac
FAKE
    cp build/cuda/adze_device_tests build/cuda/adze_tests
    fake bin/ncu <<'FAKE'
[ "$1" != --query-metrics ] || exit 0
echo '==PROF== Connected'
echo '"ID","Kernel Name","Grid Size","l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum","l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum","dram__bytes_read.sum","dram__bytes_write.sum"'
echo '"","","","sector","sector","byte","byte"'
echo '"0","void kernel_entry<RmsNorm>(T1, Params)","(64, 1, 1)","10,050","5,000","320,000","160,000"'
echo '"1","Linear","(32, 1, 1)","20,000","100","640,000","3,200"'
FAKE
    fake build/cuda/adze_traffic </dev/null
    fake bin/compute-sanitizer <<<'echo "========= ERROR SUMMARY: 0 errors"'
    fake build/cuda/adze_bench <<'FAKE'
for argument; do
    [[ $argument != --benchmark_out=* ]] || out=${argument#*=}
    [[ $argument != --benchmark_list_tests ]] || { echo "decode/bf16/contiguous/stable/batch:1/context:512"; exit; }
done
printf '"name": "rms_norm/2048",\n"of_copy": 0.91,\n' >"$out"
FAKE
    export PYTHONPATH=$work/modules
    mkdir -p modules bench/peers
    echo 'class cuda: is_available = staticmethod(lambda: True)' >modules/torch.py
    cat >bench/peers/attention_peers.py <<'FAKE'
import sys
open(sys.argv[sys.argv.index('--out') + 1], 'w').write('{}')
print(f'{sys.stdin.read().strip()} on {sys.argv[sys.argv.index("--device") + 1]}'
      f'{" against " + open(sys.argv[sys.argv.index("--against") + 1]).readline().strip() if "--against" in sys.argv else ""}')
FAKE
}
gpu_check() {
    bash bench/gpu_check.sh "$@"
}

lay_out
expect 0 '^build +ok' gpu_check
expect 0 '^layouts +ok +[0-9]+  4 lines as on simulated sm_90a$' gpu_check
expect 0 '^probes +ok +[0-9]+  2 tests passed, 0 skipped, 0 failed$' gpu_check
expect 0 '^demo +ok +[0-9]+  8 checks passed, completion \{\}$' gpu_check
expect 0 '^traffic +ok +[0-9]+  2 of 2 launches as simulated, at most 1.003 of the simulated sectors$' gpu_check
expect 0 '^memcheck +ok .* 0 errors$' gpu_check
expect 0 '^bench +ok +[0-9]+  1 benchmarks, at best 91 % of a copy \(rms_norm/2048\)$' gpu_check

expect 0 '^peers +ok +[0-9]+  decode/bf16/contiguous/stable/batch:1/context:512 on cuda:0 against "name": "rms_norm/2048",$' gpu_check
expect 0 '^peers +ok +[0-9]+  decode/bf16/contiguous/stable/batch:1/context:512 on cuda:0$' gpu_check --only peers
sed -i 's/True/False/' modules/torch.py
expect 1 '^peers +skipped +[0-9]+  python3 has no PyTorch that sees a GPU$' gpu_check --only peers
echo 'raise ImportError' >modules/torch.py
expect 0 '^peers +skipped +[0-9]+  python3 has no PyTorch that sees a GPU$' gpu_check --only bench,peers

# fails STEP FIGURE FILE: with the program on stdin in FILE's place STEP fails, and what follows still runs.
fails() {
    lay_out
    fake "$3"
    expect 1 "^$1 +FAIL +[0-9]+  $2" gpu_check
    expect 1 '^bench +(ok|FAIL)' gpu_check
}

fails build 'the build failed$' bin/cmake <<<'[ $1 != --build ] || { echo "linear.cu(3): error: expected a \";\""; exit 2; }'
expect 1 'linear.cu\(3\): error: expected' gpu_check --only build
expect 1 '^layouts +ok' gpu_check
fails layouts '1 of 4 lines differ from simulated sm_90a$' build/cuda/adze_layout_dump <<<'printf "mma row 0 col %d\n" 0 1 3 3'
fails layouts '0 of 3 lines differ' build/cuda/adze_layout_dump <<<'printf "mma row 0 col %d\n" 0 1 2'
fails probes '1 tests passed, 0 skipped, 1 failed$' build/cuda/adze_device_tests <<'FAKE'
[ $1 != --gtest_list_tests ] || { printf 'DeviceLayer.\n  Moves\n  Multiplies\n'; exit; }
[[ $1 == *Moves ]] || { echo "an illegal memory access was encountered"; exit 3; }
echo '[  PASSED  ] 1 test.'
FAKE
expect 1 '^ +an illegal memory access was encountered' gpu_check --only probes
fails tests '0 tests passed, 1 skipped, 0 failed$' build/cuda/adze_tests <<'FAKE'
[ $1 != --gtest_list_tests ] || { printf 'Gpu/Glue.\n  Norm/cuda0\n'; exit; }
echo '[  SKIPPED ] 1 test.'
FAKE
fails tests 'it has no test for this device$' build/cuda/adze_tests </dev/null
fails traffic '1 of 2 launches as simulated' bin/ncu <<'FAKE'
[ "$1" != --query-metrics ] || exit 0
echo '"ID","Kernel Name","Grid Size","l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum","l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum"'
echo '"0","RmsNorm","(64, 1, 1)","10,000","5,000"'
echo '"1","Linear","(32, 1, 1)","20,500","100"'
FAKE
sed -i 's/20,500/20,000/; s/(32, 1, 1)/(32, 2, 1)/' bin/ncu
expect 1 '^traffic +FAIL +[0-9]+  1 of 2 launches as simulated' gpu_check --only traffic
sed -i '$d' bin/ncu
expect 1 '^traffic +FAIL +[0-9]+  1 launches, simulated 2' gpu_check --only traffic
fake bin/ncu <<<'echo "==ERROR== ERR_NVGPUCTRPERM"; exit 1'
expect 1 '^traffic +skipped +[0-9]+  the profiler may not read' gpu_check --only traffic
lay_out
fake gpu_carry/demo/adze <<<'echo "completion {}"; echo "7 checks passed, 1 failed"; exit 1'
tar -C gpu_carry/demo -czf gpu_carry/demo.tar.gz .
expect 1 '^demo +FAIL +[0-9]+  7 checks passed, 1 failed' gpu_check
fails memcheck '.* 1 errors$' bin/compute-sanitizer <<<'echo "========= ERROR SUMMARY: 1 errors"; exit 9'
fails bench 'no benchmark ran$' build/cuda/adze_bench <<'FAKE'
for argument; do [[ $argument != --benchmark_out=* ]] || : >"${argument#*=}"; done
FAKE

fails peers '0 of 6 measured$' bench/peers/attention_peers.py <<'FAKE'
import sys
print('0 of 6 measured')
sys.exit(1)
FAKE

# What hangs is stopped; what no time is left for is said to be skipped; the archive has what was found until then.
lay_out
fake build/cuda/adze_layout_dump <<<'echo "mma row 0 col 0"; sleep 60'
mkdir out
export OUT=$work/out
expect 1 '^layouts +FAIL +[0-9]+  stopped after [0-9]+ s$' gpu_check --within 8
expect 0 '^probes +skipped +0  no time was left$' cat out/table.txt
expect 0 'step.layouts.log$' tar -tzf out/gpu_check.tar.gz
expect 0 '^2$' sh -c 'ls out | wc -l'
unset OUT

# What checks nothing is no success.
lay_out
expect 2 'no such step: layout$' gpu_check --only build,layout
expect 1 '^nothing was checked$' gpu_check --within 0
rm -rf gpu_carry
expect 1 '^layouts +FAIL .*--pack makes it$' gpu_check
expect 1 '^demo +FAIL .*--pack publishes it$' gpu_check

fake bin/nvidia-smi <<<'echo 7.5'
expect 1 'nvidia-smi names no GPU that there are kernels for' gpu_check
finish
