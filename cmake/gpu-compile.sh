#!/bin/sh
# Runs one compilation of GPU code: keeps the seconds that it took beside the object file (cmake/gpu-report.sh shows
# them), and fails on what ptxas says without calling it a warning: C7508 and C7510 and their like, wgmma serialised.
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
begun=$(date +%s%N)
"$@" >"$log" 2>&1
code=$?
cat "$log" >&2
[ "$code" = 0 ] || exit "$code"
milliseconds=$((($(date +%s%N) - begun) / 1000000))
if grep -q '(C75[0-9][0-9])' "$log"; then
    echo "error: ptxas gives performance away, see above" >&2
    rm -f "$object"
    exit 1
fi
[ -z "$object" ] || echo "$milliseconds" >"$object.ms"
