#!/usr/bin/env bash
# Switches off, one after another, every barrier, wait, fence and guard that the simulated kernels come by, and sees
# whether the native tests notice. Nothing is rebuilt: the simulator takes ADZE_SIM_OFF.
#
#   tests/mutations/sweep.sh [--devices "0 1 2 3"] [--only PATTERN] [--jobs N]
#
# Wants the presets cpu and sim built. Prints a line a site, the survivors with the reason that survivors.txt gives why
# each is harmless, and the share caught. Fails under 95 %, or where a survivor has no reason, or a reason no survivor.
set -euo pipefail
cd "$(dirname "$0")/../.."

devices="0 1 2 3" only=. jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
        --devices) devices=$2 ;;
        --only) only=$2 ;;
        --jobs) jobs=$2 ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
tests=$PWD/build/cpu/adze_tests reasons=$PWD/tests/mutations/survivors.txt
[ -x "$tests" ] && [ -e build/sim/libadze_sim.so ] || { echo "build the presets cpu and sim first" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The suites that an operator's file is for; the device layer's own files are for all.
suites_of() {
    case $1 in
        *@linear.*) echo 'Gpu/Linear.*' ;;
        *@attention*) echo 'Gpu/Attention*:Gpu/Graph.*' ;;
        *@sm90_attention.* | *@sm90_widening.*) echo 'Gpu/Prefill.*' ;;
        *@kv_append.*) echo 'Gpu/KvAppend.*:Gpu/Graph.*' ;;
        *@glue.*) echo 'Gpu/Glue.*' ;;
        *@sampling*) echo 'Gpu/Sampling.*' ;;
        *) echo 'Gpu/*' ;;
    esac
}

# run_tests DEVICE FILTER: quiet; fails where a test does, or nothing ends.
run_tests() {
    ADZE_SEED=1 ADZE_TEST_DEVICES=sim:$1 timeout 300 "$tests" --gtest_brief=1 --gtest_fail_fast --gtest_filter="$2" >"$3" 2>&1
}

# try SITE: says "caught" or "survived" with the device that decided.
try() {
    local site=$1 device log
    log=$(mktemp -p "$work")
    for device in $devices; do
        grep -qxF "$site" "$work/sites.$device" || continue
        local verdict=0
        ADZE_SIM_OFF=$site run_tests "$device" "$(suites_of "$site")" "$log" || verdict=$?
        if [ $verdict -gt 1 ] && [ $verdict -lt 128 ] || [ $verdict -eq 137 ]; then  # slow, or killed: somebody has to look
            echo "survived $site"
            return
        elif [ $verdict -ne 0 ]; then
            echo "caught   $site sim:$device $(grep -m1 -oE 'race: .*|deadlock.*|out of bounds.*|beyond the bound.*|relative error.*|expected exactly.*|under way.*' "$log" | cut -c1-100)"
            return
        fi
    done
    echo "survived $site"
}

for device in $devices; do
    # A clean run lists the sites; several threads may name one more than once.
    ADZE_SIM_SITES=$work/raw.$device run_tests "$device" 'Gpu/*' "$work/log" ||
        { tail -n 30 "$work/log"; echo "the tests fail on sim:$device with nothing switched off"; exit 1; }
    sort -u "$work/raw.$device" | grep -E -- "$only" >"$work/sites.$device" || true
done
sort -u "$work"/sites.* >"$work/sites"

export -f try suites_of run_tests
export work tests devices
xargs -P "$jobs" -I{} bash -c 'try "$1"' _ {} <"$work/sites" | tee "$work/result"

# A reason is for "KIND FILE | SOURCE LINE", so that it outlives a shift of lines.
unexplained=0 survivors=0
while read -r _ site; do
    survivors=$((survivors + 1))
    kind=${site%%@*} place=${site#*@}
    file=${place%%:*} rest=${place#*:} line=${rest%%:*}
    path=$(git ls-files "kernels/**/$file" "kernels/$file" | head -n 1)
    text=$(sed -n "${line}s/^ *//p" "$path")
    reason=$(grep -F "$kind $file | $text |" "$reasons" | head -n 1 | sed 's/.*| //' || true)
    echo "$kind $file | $text |" >>"$work/explained"
    [ -n "$reason" ] || unexplained=$((unexplained + 1))
    printf 'survivor: %s\n    %s\n    %s\n' "$site" "$text" "${reason:-NO REASON GIVEN in tests/mutations/survivors.txt}"
done < <(grep '^survived' "$work/result" | sort || true)
# Without --only, each reason must have a survivor.
stale=0
if [ "$only" = . ]; then
    while IFS= read -r entry; do
        grep -qF "${entry%|*}|" "$work/explained" 2>/dev/null || { echo "no survivor any more: $entry"; stale=$((stale + 1)); }
    done < <(grep -vE '^(#|$)' "$reasons" || true)
fi
total=$(wc -l <"$work/sites")
caught=$((total - survivors))
awk -v c=$caught -v t="$total" -v u=$unexplained -v s=$stale 'BEGIN {
    printf "%d of %d sites caught, %.1f %%; %d survivors without a reason\n", c, t, 100 * c / t, u
    exit !(t > 0 && c >= 0.95 * t && u == 0 && s == 0) }'
