#!/bin/sh
# Runs one compilation of GPU code: keeps the processor time that it took beside the object file, for .ci/gpu-report, and
# fails on what ptxas says without calling it a warning: C7508, C7510 and their like, by which wgmma is serialised.
#
#   gpu-compile.sh COMPILER ARGUMENT...
set -u
object=
previous=
for argument; do
    [ "$previous" != -o ] || object=$argument
    previous=$argument
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1
code=$?
cat "$log" >&2
[ "$code" = 0 ] || exit "$code"
if grep -q '(C75[0-9][0-9])' "$log"; then
    echo "error: ptxas gives performance away, see above" >&2
    rm -f "$object"
    exit 1
fi
# The second line is the children's: "1m2.345s 0m0.678s".
times >"$log"
[ -z "$object" ] || awk -F '[ms ]+' 'NR == 2 { printf "%d\n", 1000 * (60 * ($1 + $3) + $2 + $4) }' "$log" >"$object.ms"
