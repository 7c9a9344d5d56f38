# .ci/checks.sh, and .ci/run with fakes of all that it starts
source "$(dirname "$0")/kit.sh"
take .ci/checks.sh .ci/run
mkdir -p src bindings tests

# scenario: the lines on stdin, after checks.sh.
scenario() {
    { echo 'source .ci/checks.sh' && cat; } >scenario.sh
}

fake bin/nproc <<<'echo 2'
scenario <<'SCENARIO'
check good true
check bad sh -c 'echo first; seq 10000; echo the reason; exit 3'
check worse sh -c 'echo another reason; exit 1'
finish
SCENARIO
expect 1 '^1 passed, 2 failed$' bash scenario.sh
bash scenario.sh | tail -c 9000 >end
expect 0 '^failed: bad$' cat end
expect 0 '^the reason$' sed -n '/^---- bad/,/^---- worse/p' end
expect 0 '^another reason$' sed -n '/^---- worse/,$p' end
expect 0 '^1 passed, 2 failed$' tail -n 1 end

scenario <<'SCENARIO'
seconds=([cuda]=700 [hip]=500)
within 1200 "both compile" cuda hip
finish
SCENARIO
expect 0 '^ok +both compile: 1200 s, at most 1200 s' bash scenario.sh
sed -i 's/500/501/' scenario.sh
expect 1 '^FAIL +both compile: 1201 s, at most 1200 s' bash scenario.sh
sed -i 's/cuda hip$/cuda hop/' scenario.sh
expect 1 'no check is called hop' bash scenario.sh
fake bin/nproc <<<'echo 1'
sed -i 's/cuda hop$/cuda hip/' scenario.sh
expect 0 'not asserted on one core' bash scenario.sh

# The whole run, with fakes.
fake bin/nproc <<<'echo 2'
for program in g++ make clang-format apt-get ctest ldd git; do fake bin/$program <<<'exit 0'; done
fake bin/cmake <<'FAKE'
mkdir -p build/cuda
echo 'exit 0' >build/cuda/adze_c99_client && chmod +x build/cuda/adze_c99_client
FAKE
fake bin/dotnet <<'FAKE'
[ "$1" != test ] || echo "Passed!  - Failed:     0, Passed:    12, Skipped:     0, Total:    12, Duration: 1 s - A.dll (net10.0)"
FAKE
for script in toolchains gpu-report machine-code; do fake .ci/$script <<<'echo fine'; done
expect 0 '^ok +a fresh clone builds: [0-9]+ s, at most 300 s' bash .ci/run
expect 0 '^ok +GPU code compiles: [0-9]+ s, at most 1200 s' bash .ci/run
expect 0 '^[0-9]+ passed, 0 failed$' bash .ci/run

fake .ci/machine-code <<<'echo "FAULT sm_80 LinearMma: 4 local-memory instructions"; exit 1'
bash .ci/run | tail -n 10 >end
expect 0 'FAULT sm_80 LinearMma' cat end
expect 0 '^[0-9]+ passed, 2 failed$' tail -n 1 end

fake .ci/machine-code <<<'exit 0'
fake bin/dotnet <<'FAKE'
[ "$1" = test ] || exit 0
echo "  Failed Adze.Text.Tests.Tokens_are_words [3 ms]"
echo "  Error Message: expected 3, actual 4"
for i in $(seq 100); do echo "Passed!  - Failed:     0, Passed:    12, Skipped:     0, Total:    12 - $i.dll"; done
echo "Failed!  - Failed:     2, Passed:    12, Skipped:     0, Total:    12, Duration: 1 s - A.dll (net10.0)"
exit 1
FAKE
bash .ci/run | tail -n 40 >end
expect 0 '^failed: dotnet test Kernels.sln: Adze.Text.Tests.Tokens_are_words$' cat end
expect 0 'expected 3, actual 4' cat end
expect 0 '^[0-9]+ passed, 2 failed$' tail -n 1 end

fake bin/dotnet <<<'exit 0'
expect 1 '^failed: dotnet test Kernels.sln: no test' bash .ci/run
finish
