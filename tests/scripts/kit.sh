# Sourced by the tests of scripts, <name>_test.sh: each works in a temporary folder, in which it lays out as much of a
# checkout as its script wants, with fakes for compilers, profilers and programs; and ends with `finish`.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
PATH=$work/bin:$PATH
cd "$work"
expectations=0
failed=0

# needs PROGRAM...: else the test is skipped, visibly.
needs() {
    local program
    for program; do
        command -v "$program" >/dev/null || { echo "skipped: $program was not found" && exit 77; }
    done
}

# take FILE...: the checkout's own.
take() {
    local file
    for file; do mkdir -p "$(dirname "$file")" && cp "$root/$file" "$file"; done
}

# fake FILE: a program whose text is on stdin; below bin/ it is on PATH.
fake() {
    mkdir -p "$(dirname "$1")"
    { echo '#!/bin/bash' && cat; } >"$1"
    chmod +x "$1"
}

# expect CODE PATTERN COMMAND...: COMMAND ends with CODE, and a line of its output matches PATTERN, if there is one.
expect() {
    local code=$1 pattern=$2 status=0
    shift 2
    expectations=$((expectations + 1))
    "$@" >"$work/output" 2>&1 || status=$?
    [ "$status" = "$code" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$work/output"; } && return
    failed=$((failed + 1))
    echo "FAIL: $*: exit code $status, expected $code and a line like '$pattern':"
    sed 's/^/    /' "$work/output"
}

finish() {
    echo "$((expectations - failed)) passed, $failed failed"
    [ "$expectations" -gt 0 ] && [ "$failed" -eq 0 ]
}
