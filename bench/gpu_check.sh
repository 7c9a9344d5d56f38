#!/usr/bin/env bash
# Checks everything on a machine with a GPU: builds for its architecture alone with the CUDA toolkit that is there, runs
# the device layer's probes, compares layouts and bytes moved with the simulator's, runs native tests, the C# demo, the
# probes under compute-sanitizer, benchmarks, and PyTorch's attention in the same shapes. Each step has a time limit; one that fails or hangs is shown, and the
# others still run. Prints one table; exit code 1 if any step failed.
#
# Such a machine may have no GoogleTest, no Google Benchmark, no .NET and no network. What it lacks is carried along:
#
#   bench/gpu_check.sh --pack             on a development machine: fills gpu_carry/ (below 30 MB; git ignores it)
#   bench/gpu_check.sh                    on the GPU machine, with the checkout and gpu_carry/ copied there
#   bench/gpu_check.sh --only STEP,...    some steps: build layouts probes tests demo traffic memcheck bench peers
#   bench/gpu_check.sh --within 570       ends after so many seconds, without the steps that no time is left for
#   bench/gpu_check.sh --device sim:1     without a GPU: the steps on a simulated device, to check this script
#
# Logs of the steps are in build/gpu_check/; $OUT, where it is set, gets them in one archive, and the table. From there
# `adze bench attention --results bench.json peers.json` makes the table that docs/performance.md shows.
set -uo pipefail
export LC_ALL=C DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
cd "$(dirname "$0")/.."
root=$PWD
script=$root/bench/$(basename "$0")
carry=$root/gpu_carry
logs=$root/build/gpu_check
device=cuda:0
only=
within=
jobs=$(nproc)

usage() {
    sed -n '2,/^set/{/^#/!d; s/^# \{0,1\}//; p}' "$0"
}

# ---- packing ----

# A configured build/NAME whose programs come from there.
build_here() {
    cmake --preset "$1" >/dev/null && cmake --build --preset "$1" --parallel "$jobs" --target "${@:2}" >/dev/null
}

pack_googletest() {
    local source=/usr/src/googletest
    [ -e $source/CMakeLists.txt ] || { echo "$source is missing (Debian: apt-get install googletest libgtest-dev)"; return 1; }
    mkdir -p "$carry/googletest/googletest"
    cp $source/CMakeLists.txt "$carry/googletest/"
    cp -r $source/googletest/{CMakeLists.txt,cmake,include,src} "$carry/googletest/googletest/"
}

# Debian has Google Benchmark as a shared library only; it needs no more than the C and C++ libraries.
pack_benchmark() {
    local library=/usr/lib/x86_64-linux-gnu/libbenchmark.so name
    [ -e $library ] || { echo "$library is missing (Debian: apt-get install libbenchmark-dev)"; return 1; }
    name=$(objdump -p $library | awk '$1 == "SONAME" { print $2 }')
    mkdir -p "$carry/benchmark/include"
    cp -r /usr/include/benchmark "$carry/benchmark/include/"
    cp -L $library "$carry/benchmark/$name"
    cat >"$carry/benchmark/benchmarkConfig.cmake" <<CMAKE
add_library(benchmark::benchmark SHARED IMPORTED)
set_target_properties(benchmark::benchmark PROPERTIES IMPORTED_LOCATION \${CMAKE_CURRENT_LIST_DIR}/$name
    INTERFACE_INCLUDE_DIRECTORIES \${CMAKE_CURRENT_LIST_DIR}/include)
CMAKE
}

# The whole runtime with it, trimmed, without the parts that debuggers need and without libadze.so: the GPU machine's own
# takes its place.
pack_demo() {
    local demo=$root/build/gpu_check/published
    rm -rf "$demo"
    dotnet publish src/Adze.Cli/Adze.Cli.csproj -c Release -r linux-x64 --self-contained -p:PublishTrimmed=true \
        -p:DebugType=none -p:AdzePreset=cpu -o "$demo" || return 1
    rm -f "$demo"/{libadze.so,createdump,libmscordaccore.so,libmscordbi.so,libcoreclrtraceptprovider.so} "$demo"/*.xml
    tar -C "$demo" -czf "$carry/demo.tar.gz" .
}

pack_simulated() {
    local index=0 architecture
    build_here sim adze_sim adze_layout_dump && build_here cpu adze adze_traffic || return 1
    mkdir -p "$carry/simulated"
    for architecture in sm_80 sm_90a gfx90a sm_89; do
        build/sim/adze_layout_dump $architecture | gzip -n >"$carry/simulated/layouts.$architecture.gz" &&
            ADZE_BENCH_DEVICE=sim:$index build/cpu/adze_traffic >"$carry/simulated/traffic.$architecture.csv" || return 1
        index=$((index + 1))
    done
}

pack() {
    local part failed=0
    rm -rf "$carry"
    mkdir -p "$carry" "$logs"
    for part in googletest benchmark simulated demo; do
        if "pack_$part" >"$logs/pack.$part.log" 2>&1; then
            printf '%-12s %8s\n' $part "$(du -shc "$carry/$part"* | awk 'END { print $1 }')"
        else
            printf '%-12s FAIL\n' $part
            tail -n 30 "$logs/pack.$part.log"
            failed=1
        fi
    done
    local kilobytes
    kilobytes=$(du -sk "$carry" | cut -f 1)
    printf '%-12s %7dK\n' together "$kilobytes"
    [ "$kilobytes" -lt 30000 ] || { echo "gpu_carry is larger than 30 MB"; failed=1; }
    return $failed
}

# ---- steps: each prints its key figure on its last line; exit code 0 ok, 77 cannot run here (and says why) ----

skip() {
    echo "$*"
    return 77
}

programs() {
    if [ "$backend" = cuda ]; then echo "$root/build/cuda"; else echo "$root/build/cpu"; fi
}

# 90 becomes 90a: there is no kernel for plain sm_90.
capability() {
    nvidia-smi --id="${device#*:}" --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d '. '
}

carried_googletest() {
    [ -d "$carry/googletest" ] || return 0
    cmake -S "$carry/googletest" -B build/googletest -DBUILD_GMOCK=OFF -DCMAKE_BUILD_TYPE=Release -Wno-dev \
        -DCMAKE_INSTALL_PREFIX="$root/build/googletest/installed" -DCMAKE_INSTALL_LIBDIR=lib &&
        cmake --build build/googletest --parallel "$jobs" --target install
}

step_build() {
    local start=$SECONDS options=()
    carried_googletest || return 1
    [ -d build/googletest/installed ] && options+=(-DGTest_DIR="$root/build/googletest/installed/lib/cmake/GTest")
    [ -d "$carry/benchmark" ] && options+=(-Dbenchmark_DIR="$carry/benchmark")
    if [ "$backend" = cuda ]; then
        chmod +x cmake/gpu-compile.sh  # in case what copied the checkout forgot
        cmake --preset cuda -DCMAKE_CUDA_ARCHITECTURES="$ADZE_CHECK_ARCHITECTURE-real" "${options[@]}" || return 1
    else
        build_here sim adze_sim adze_layout_dump adze_device_tests && cmake --preset cpu "${options[@]}" || return 1
    fi
    # What one broken file leaves whole is of use to the other steps.
    local keep_going=(-k)
    [ ! -e "$(programs)/build.ninja" ] || keep_going=(-k 0)
    if ! cmake --build "$(programs)" --parallel "$jobs" -- "${keep_going[@]}" 2>&1 | tee "$logs/build.txt"; then
        grep -E -A 3 'error|undefined reference' "$logs/build.txt" | head -n 50
        echo "the build failed"
        return 1
    fi
    [ -x "$(programs)/adze_tests" ] || { echo "no native tests: GoogleTest was not found and is not in gpu_carry/"; return 1; }
    [ -x "$(programs)/adze_bench" ] || { echo "no benchmarks: Google Benchmark was not found and is not in gpu_carry/"; return 1; }
    echo "$(ls -l "$(programs)"/libadze.so.*.* | awk '{ printf "%.1f MB", $5 / 1e6 }') libadze.so, $((SECONDS - start)) s on $jobs cores"
}

step_layouts() {
    local simulated="$carry/simulated/layouts.$architecture.gz"
    [ -e "$simulated" ] || { echo "$simulated is missing: bench/gpu_check.sh --pack makes it"; return 1; }
    "build/$backend/adze_layout_dump" "$architecture" >"$logs/layouts.txt" || return 1
    if ! gzip -dc "$simulated" | diff - "$logs/layouts.txt" >"$logs/layouts.diff"; then
        head -n 20 "$logs/layouts.diff"
        echo "$(grep -c '^>' "$logs/layouts.diff") of $(wc -l <"$logs/layouts.txt") lines differ from simulated $architecture"
        return 1
    fi
    echo "$(wc -l <"$logs/layouts.txt") lines as on simulated $architecture"
}

# one_test PROGRAM TEST: a line with its verdict; what it printed only where it failed.
one_test() {
    local log status=0
    log=$(timeout -k 5 60 "$1" --gtest_filter="$2" 2>&1) || status=$?
    if [ $status -ne 0 ]; then
        printf 'FAIL     %s: exit code %d\n%s\n' "$2" $status "$(tail -n 25 <<<"$log" | sed 's/^/    /')"
    elif grep -q '^\[  PASSED  \] 1 test' <<<"$log"; then
        echo "ok       $2"
    else
        echo "skipped  $2"
    fi
}
export -f one_test

# run_tests PROGRAM FILTER: each test in a process of its own, so that one that hangs or breaks the GPU fails alone.
run_tests() {
    local results=$logs/$step.results
    "$1" --gtest_list_tests --gtest_filter="$2" | awk '/^[^ ].*\.$/ { suite = $1 } /^  / { print suite $1 }' |
        xargs -P "$jobs" -I{} bash -c 'one_test "$@"' _ "$1" {} >"$results"
    grep -v '^ok ' "$results"
    [ -s "$results" ] || { echo "it has no test for this device"; return 1; }
    awk '{ ++count[$1] } END {
        printf "%d tests passed, %d skipped, %d failed\n", count["ok"], count["skipped"], count["FAIL"]
        exit !(count["ok"] > 0 && count["FAIL"] == 0) }' "$results"
}

step_probes() {
    run_tests "build/$backend/adze_device_tests" 'Devices/*'
}

step_tests() {
    # Those of the GPU; the cpu backend's run everywhere.
    ADZE_TEST_DEVICES=$device run_tests "$(programs)/adze_tests" 'Gpu/*'
}

step_memcheck() {
    [ "$backend" = cuda ] || { skip "for GPUs only"; return; }
    command -v compute-sanitizer >/dev/null || { skip "compute-sanitizer is not on PATH"; return; }
    compute-sanitizer --tool memcheck --error-exitcode 9 build/cuda/adze_device_tests --gtest_brief=1 >"$logs/memcheck.txt" 2>&1
    local status=$?
    cat "$logs/memcheck.txt"
    ! grep -q 'Device not supported' "$logs/memcheck.txt" || { skip "compute-sanitizer does not support this machine's device"; return; }
    return $status
}

metrics=l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum,l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum
copies=l1tex__t_sectors_pipe_lsu_mem_global_op_ldgsts.sum  # asynchronous copies; older profilers lack it
dram=dram__bytes_read.sum,dram__bytes_write.sum

# One line a launch: kernel, grid, sectors read, sectors written, and bytes read and written in DRAM.
profile() {
    local wanted=$metrics,$dram
    ! ncu --query-metrics 2>/dev/null | grep -q "^${copies%.sum} " || wanted=$wanted,$copies
    ADZE_BENCH_DEVICE=$device ncu --clock-control none --csv --page raw --print-units base --metrics "$wanted" \
        "$(programs)/adze_traffic" >"$logs/ncu.csv" 2>"$logs/ncu.err" || return 1
    python3 - "$logs/ncu.csv" <<'PYTHON'
import csv, sys
lines = [line for line in open(sys.argv[1]) if line.startswith('"')]
rows = list(csv.DictReader(lines))
number = lambda row, name: sum(float(row[key].replace(',', '') or 0) for key in row if key and key.startswith(name))
for row in rows:
    if not row['ID']: continue  # the line of units
    grid = 'x'.join(part.strip() for part in row['Grid Size'].strip('()').split(','))
    read = number(row, 'l1tex__t_sectors_pipe_lsu_mem_global_op_ld')  # ld and ldgsts
    print(row['Kernel Name'].replace(',', ';'), grid, int(read), int(number(row, 'l1tex__t_sectors_pipe_lsu_mem_global_op_st')),
          int(number(row, 'dram__bytes_read')), int(number(row, 'dram__bytes_write')), sep=',')
PYTHON
}

# compare_traffic SIMULATED MEASURED: a line a kernel; fails where the two differ by more than 2 %, and 64 sectors.
compare_traffic() {
    awk -F, '
        function off(a, b) { d = a > b ? a - b : b - a; return d > 64 && d > 0.02 * (a > b ? a : b) }
        NR == FNR { kernel[FNR] = $1; grid[FNR] = $2; read[FNR] = $3; write[FNR] = $4; count = FNR; next }
        FNR == 1 { printf "%-20s %12s %12s %12s %12s %12s %12s\n", "kernel", "grid", "read: sim", "gpu", "written: sim", "gpu", "dram bytes" }
        {
            ++measured
            bad = $2 != grid[FNR] || off($3, read[FNR]) || off($4, write[FNR])
            wrong += bad
            ratio = read[FNR] + write[FNR] > 0 ? ($3 + $4) / (read[FNR] + write[FNR]) : 0
            if (ratio > worst) worst = ratio
            printf "%-20s %12s %12d %12d %12d %12d %12d%s\n", kernel[FNR], $2, read[FNR], $3, write[FNR], $4, $5 + $6, bad ? "  differs" : ""
        }
        END {
            if (measured != count) { printf "%d launches, simulated %d\n", measured, count; exit 1 }
            printf "%d of %d launches as simulated, at most %.3f of the simulated sectors\n", count - wrong, count, worst
            exit wrong > 0 || count == 0
        }' "$1" "$2"
}

step_traffic() {
    local simulated="$carry/simulated/traffic.$architecture.csv"
    [ -e "$simulated" ] || { echo "$simulated is missing: bench/gpu_check.sh --pack makes it"; return 1; }
    if [ "$backend" != cuda ]; then
        ADZE_BENCH_DEVICE=$device "$(programs)/adze_traffic" | sed 's/$/,0,0/' >"$logs/traffic.csv" || return 1
    else
        command -v ncu >/dev/null || { skip "no profiler: ncu is not on PATH"; return; }
        if ! profile >"$logs/traffic.csv"; then
            tail -n 15 "$logs/ncu.csv" "$logs/ncu.err"
            if grep -qE 'ERR_NVGPUCTRPERM|LibraryNotLoaded|not supported' "$logs/ncu.csv" "$logs/ncu.err"; then
                skip "the profiler may not read this machine's counters"
                return
            fi
            return 1
        fi
    fi
    compare_traffic "$simulated" "$logs/traffic.csv"
}

step_bench() {
    local filter="${ADZE_CHECK_BENCH:--ceiling}"
    ADZE_BENCH_DEVICE=$device "$(programs)/adze_bench" --benchmark_filter="$filter" --benchmark_repetitions=1 \
        --benchmark_report_aggregates_only=false --benchmark_out="$logs/bench.json" --benchmark_out_format=json || return 1
    awk -F'[:,]' '/"name"/ { name = $0; sub(/.*"name": "/, "", name); sub(/".*/, "", name) }
        /"of_copy"/ { if ($2 + 0 > best) { best = $2 + 0; which = name }; ++count }
        END { if (!count) { print "no benchmark ran"; exit 1 }
              printf "%d benchmarks, at best %.0f %% of a copy (%s)\n", count, 100 * best, which }' "$logs/bench.json"
}

# In the shapes of the bench step, and compared with its results where they are there.
step_peers() {
    [ "$backend" = cuda ] || { skip "for GPUs only"; return; }
    python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null ||
        { skip "python3 has no PyTorch that sees a GPU"; return; }
    local against=()
    [ ! -s "$logs/bench.json" ] || against=(--against "$logs/bench.json")
    ADZE_BENCH_DEVICE=$device "$(programs)/adze_bench" --benchmark_list_tests --benchmark_filter=/bf16/contiguous/stable/ |
        python3 "$root/bench/peers/attention_peers.py" --device "$device" --out "$logs/peers.json" "${against[@]}"
}

step_demo() {
    [ -e "$carry/demo.tar.gz" ] || { echo "$carry/demo.tar.gz is missing: bench/gpu_check.sh --pack publishes it"; return 1; }
    local demo=$root/build/gpu_check/demo
    rm -rf "$demo" && mkdir -p "$demo" && tar -C "$demo" -xzf "$carry/demo.tar.gz" &&
        cp -L "$(programs)/libadze.so" "$demo/" || return 1
    ADZE_PLUGIN_PATH=$root/build/sim "$demo/adze" demo --backend "$backend" --device "${device#*:}" >"$logs/demo.txt" 2>&1
    local status=$?
    cat "$logs/demo.txt"
    local verdict
    verdict=$(grep -m 1 -E '(passed|failed)$' "$logs/demo.txt") &&
        echo "$verdict, $(grep -m 1 '^completion' "$logs/demo.txt" | tr -s ' ')"
    return $status
}

# ---- the table ----

steps=(build layouts probes tests demo traffic memcheck bench peers)
any_failed=0
any_ok=0

# Those of CUDA are often beside the PATH.
find_tools() {
    local folder
    for folder in /usr/local/cuda/bin $(ls -dr /usr/local/cuda-*/bin /opt/cuda-*/bin 2>/dev/null) /opt/nvidia/nsight-compute/* /usr/local/nvidia/bin; do
        [ ! -d "$folder" ] || PATH=$PATH:$folder
    done
    # In a build folder that is there, its own generator stays.
    ! command -v ninja >/dev/null || export CMAKE_GENERATOR=Ninja
}

describe_machine() {
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader
    nvcc --version | grep release
    cmake --version | head -n 1
    "${CXX:-c++}" --version | head -n 1
    command -v ninja ncu compute-sanitizer
} 2>&1

# Seconds that a step may take on a GPU; simulated devices are slow, and nobody pays for their time.
limit_of() {
    case $1 in
        build) echo 360 ;;
        peers) echo 240 ;;  # most of it FlexAttention's compiler
        tests | bench) echo 150 ;;
        *) echo 90 ;;
    esac
}

# Prints the step's line of the table, at once: whoever is stopped has what was found until then.
run_step() {
    local name=$1 log=$logs/step.$1.log start=$SECONDS verdict figure limit=0
    [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || return 0
    [ "$backend" != cuda ] || limit=$(limit_of "$name")
    if [ -n "$within" ]; then
        local left=$((within - SECONDS))
        [ "$limit" -gt 0 ] && [ "$limit" -lt "$left" ] || limit=$left
    fi
    if [ -n "$within" ] && [ "$limit" -lt 1 ]; then
        verdict=skipped
        figure="no time was left"
    else
        echo "== $name"
        timeout -k 5 "$limit" bash "$script" --step "$name" --device "$device" >"$log" 2>&1
        case $? in
            0) verdict=ok && any_ok=1 ;;
            77) verdict=skipped ;;
            124 | 137) verdict=FAIL && echo "stopped after $limit s" >>"$log" ;;
            *) verdict=FAIL ;;
        esac
        figure=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1)
    fi
    if [ $verdict = FAIL ]; then
        any_failed=1
        tail -n 60 "$log"
    fi
    printf '%-10s %-8s %6d  %s\n' "$name" $verdict $((SECONDS - start)) "${figure:0:110}" | tee -a "$logs/table.txt"
    [ -z "${OUT:-}" ] || { cp "$logs/table.txt" "$OUT/"; tar -C "$logs" --exclude=./demo --exclude=./published -czf "$OUT/gpu_check.tar.gz" .; }
}

step=
while [ $# -gt 0 ]; do
    case $1 in
        --pack) pack; exit ;;
        --only) only=$2; shift ;;
        --within) within=$2; shift ;;
        --device) device=$2; shift ;;
        --step) step=$2; shift ;;  # how this script calls itself
        *) usage; exit 2 ;;
    esac
    shift
done
for name in ${only//,/ }; do
    [[ " ${steps[*]} " == *" $name "* ]] || { echo "no such step: $name" && usage && exit 2; }
done
backend=${device%%:*}
mkdir -p "$logs"
find_tools
case $device in
    cuda:*)
        export ADZE_CHECK_ARCHITECTURE=${ADZE_CHECK_ARCHITECTURE:-$(capability 2>/dev/null)}
        case $ADZE_CHECK_ARCHITECTURE in
            90*) architecture=sm_90a ;;
            89) architecture=sm_89 ;;
            8*) architecture=sm_80 ;;
            *) echo "nvidia-smi names no GPU that there are kernels for; try --device sim:1, or --pack"; exit 1 ;;
        esac ;;
    sim:0) architecture=sm_80 ;;
    sim:1) architecture=sm_90a ;;
    sim:2) architecture=gfx90a ;;
    sim:3) architecture=sm_89 ;;
    *) usage; exit 2 ;;
esac
if [ -n "$step" ]; then "step_$step"; exit; fi

describe_machine
rm -f "$logs"/*.{txt,log,csv,json,results}
printf '%-10s %-8s %6s  %s\n' step verdict seconds "key figures ($device, $architecture)" >"$logs/table.txt"
for name in "${steps[@]}"; do run_step $name; done
echo
cat "$logs/table.txt"
[ $any_ok = 1 ] || { echo "nothing was checked" && exit 1; }
exit $any_failed
