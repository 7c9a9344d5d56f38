# tests/mutations/sweep.sh, on two simulated devices of a program that is none
source "$(dirname "$0")/kit.sh"
needs git
take tests/mutations/sweep.sh
mkdir -p kernels/glue build/sim
git init -q . && git config user.email test@example.org && git config user.name test
for line in $(seq 40); do echo "  if (guard(i < $line)) store(i);"; done >kernels/glue/glue.cuh
git add kernels
touch build/sim/libadze_sim.so

# `sites` has the places of the kernel, `caught` those whose absence a test notices.
fake build/cpu/adze_tests <<'FAKE'
here=$(dirname "$0")/../..
if [ -n "${ADZE_SIM_SITES:-}" ]; then cat "$here/sites" "$here/sites" >>"$ADZE_SIM_SITES"; exit "$(cat "$here/clean")"; fi
! grep -qxF "$ADZE_SIM_OFF" "$here/caught" || { echo "race: write of shared memory"; exit 1; }
FAKE
for line in $(seq 40); do echo "guard@glue.cuh:$line:9"; done >sites
echo 0 >clean
sweep() {
    tests/mutations/sweep.sh --devices "0 1" --jobs 2 "$@"
}
reason() {
    echo "guard glue.cuh | if (guard(i < $1)) store(i); | what it keeps out is written again"
}

cp sites caught
echo '# reasons' >tests/mutations/survivors.txt
expect 0 '^40 of 40 sites caught, 100.0 %; 0 survivors without a reason$' sweep
expect 0 '^caught +guard@glue.cuh:40:9 sim:0 race: write of shared memory$' sweep

sed -i '40d' caught
expect 1 '^39 of 40 sites caught, 97.5 %; 1 survivors without a reason$' sweep
reason 40 >>tests/mutations/survivors.txt
expect 0 '^39 of 40 sites caught, 97.5 %; 0 survivors without a reason$' sweep
expect 0 'what it keeps out is written again$' sweep

reason 39 >>tests/mutations/survivors.txt
expect 1 '^no survivor any more: guard glue.cuh \| if \(guard\(i < 39\)\)' sweep
expect 0 '^1 of 1 sites caught' sweep --only ':1:'  # of a part, reasons may lack survivors
sed -i '39d' caught
expect 0 '^38 of 40 sites caught, 95.0 %; 0 survivors' sweep
sed -i '38d' caught
reason 38 >>tests/mutations/survivors.txt
expect 1 '^37 of 40 sites caught, 92.5 %; 0 survivors without a reason$' sweep

echo 1 >clean
expect 1 'the tests fail on sim:0 with nothing switched off' sweep
echo 0 >clean
: >sites
expect 1 '^0 of 0 sites' sweep
rm build/sim/libadze_sim.so
expect 2 'build the presets cpu and sim first' sweep
finish
