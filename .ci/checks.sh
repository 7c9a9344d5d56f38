# Sourced by .ci/run: runs checks, counts them, and at the end shows again what failed, since of a long log only the end is kept.
passed=0
failed=0
failures=()
failure_logs=()
declare -A seconds=()
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# failure NAME LOG: LOG ends with what went wrong.
failure() {
    failed=$((failed + 1))
    failures+=("$1")
    failure_logs+=("$2")
}

# check NAME COMMAND...: counts one check, shows its output only when it fails.
check() {
    local name=$1 start=$SECONDS log
    log=$(mktemp -p "$logs")
    shift
    if "$@" >"$log" 2>&1; then
        seconds[$name]=$((SECONDS - start))
        passed=$((passed + 1))
        echo "ok    $name (${seconds[$name]} s)"
    else
        seconds[$name]=$((SECONDS - start))
        failure "$name" "$log"
        echo "FAIL  $name (${seconds[$name]} s)"
        tail -n 200 "$log"
    fi
}

# within LIMIT NAME CHECK...: the checks together took at most LIMIT seconds. The limits are promised for two cores.
within() {
    local limit=$1 name=$2 sum=0 part
    shift 2
    for part; do
        [ -n "${seconds[$part]:-}" ] || { check "$name: no check is called $part" false; return; }
        sum=$((sum + seconds[$part]))
    done
    name="$name: $sum s, at most $limit s"
    if [ "$(nproc)" -lt 2 ]; then echo "      $name (not asserted on one core)"; else check "$name" [ "$sum" -le "$limit" ]; fi
}

finish() {
    local i name
    for name in "${failures[@]}"; do echo "failed: $name"; done
    for i in "${!failures[@]}"; do
        printf '\n---- %s\n' "${failures[$i]}"
        tail -c $((8000 / ${#failures[@]})) "${failure_logs[$i]}"
    done
    echo
    echo "$passed passed, $failed failed"
    [ $failed -eq 0 ]
}
