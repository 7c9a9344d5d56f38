#!/bin/sh
# Configures and builds one CMake preset for MSBuild (cmake/Adze.Native.Build.targets), which cannot lock, cannot show
# progress, and would say much for each failure.
#
#   build-native.sh PRESET TARGET STAMP [OTHERWISE]
#
# OTHERWISE is cpu where nobody asked for PRESET, cuda, by name: if it cannot be configured (a GPU without kernels, no nvcc
# or an old one, a compiler that nvcc does not take), one line says why, and the library goes without that backend.
# One run at a time builds: `dotnet run`, `dotnet test` and MSBuild's own nodes race otherwise. Says nothing when there
# is nothing to do; progress goes to the stderr of the `dotnet` command; what went wrong goes to stdout, for MSBuild to
# make an error of. STAMP gets the time at which the build began, so that a file saved meanwhile is not missed.
set -eu

preset=$1 target=$2 stamp=$3 otherwise=${4:-}
cd "$(dirname "$0")/.."
folder=build/$preset
log=$folder/native.log
product=libadze.so tests=tests/native
[ "$preset" != sim ] || product=libadze_sim.so tests=tests/native/sim

fail() {
    echo "$1"
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

check_tools() {
    has cmake || fail "CMake 3.25 or newer is needed to build $product and is not installed (Debian, Ubuntu: apt-get install cmake)"
    version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9]*\.[0-9]*\).*/\1/p')
    [ "${version%.*}" -gt 3 ] || [ "${version#*.}" -ge 25 ] ||
        fail "CMake 3.25 or newer is needed to build $product; this is $version (pip install cmake has a newer one)"
    has ninja || has make || fail "Ninja or Make is needed to build $product and neither is installed (Debian, Ubuntu: apt-get install ninja-build)"
    has "${CXX:-c++}" || has g++ || has clang++ ||
        fail "A C++20 compiler is needed to build $product and none is installed (Debian, Ubuntu: apt-get install g++)"
}

# MSBuild swallows what its tools print. The nearest ancestor that is not one of MSBuild's worker nodes and has another
# stderr than ours is the command that a person or a script started.
find_terminal() {
    ours=$(readlink "/proc/$$/fd/2") || return 0
    pid=$PPID
    while [ "$pid" -gt 1 ]; do
        theirs=$(readlink "/proc/$pid/fd/2") || return 0
        if [ "$theirs" != "$ours" ] && ! tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q nodemode; then
            echo "/proc/$pid/fd/2"
            return 0
        fi
        pid=$(sed 's/.*) . \([0-9]*\).*/\1/' "/proc/$pid/stat")
    done
}

lock() {
    mkdir -p "$folder"
    if has flock; then
        exec 9>"$folder.lock"
        flock 9
        return
    fi
    until mkdir "$folder.lock.d" 2>/dev/null; do
        owner=$(cat "$folder.lock.d/pid" 2>/dev/null || true)
        [ -z "$owner" ] || kill -0 "$owner" 2>/dev/null || rm -rf "$folder.lock.d"
        sleep 1
    done
    echo $$ >"$folder.lock.d/pid"
    trap 'rm -rf "$folder.lock.d"' EXIT
}

# CMakeLists.txt adds the tests where it finds GoogleTest.
lacks_googletest() {
    ! grep -q "^subdirs(\"$tests\")" "$folder/CTestTestfile.cmake"
}

# With the backend that the preset means.
is_configured() {
    grep -q "^ADZE_BACKEND:[A-Z]*=$preset$" "$folder/CMakeCache.txt" 2>/dev/null &&
        { [ -f "$folder/build.ninja" ] || [ -f "$folder/Makefile" ]; }
}

fresh() {
    cmake --preset "$preset" --fresh -G "$generator" "$@"
}

# What CMake gave as its first error, on one line.
error_of() {
    awk '/^CMake Error/ { found = 1; next } found && /^[^ ]/ { exit } found { print }' "$1" | tr -s ' \n' ' ' |
        sed 's/^ //; s/ $//' | cut -c 1-300
}

configure() {
    if is_configured; then
        # Whoever installs GoogleTest after having been told to should not have to know about CMake's cache.
        [ "$target" = all ] && lacks_googletest || return 0
        cmake "$folder"
        return
    fi
    generator="Unix Makefiles"
    ! has ninja || generator=Ninja
    # Of GPU code only what this machine runs: a person waits.
    native=
    [ "$preset" != cuda ] || native=-DCMAKE_CUDA_ARCHITECTURES=native
    if [ -z "$otherwise" ]; then
        fresh $native
    elif ! fresh $native >"$folder/attempt.log" 2>&1; then
        echo "adze: without the $preset backend, see $folder/attempt.log: $(error_of "$folder/attempt.log")"
        echo "adze: -p:AdzePreset=$preset insists on it, -p:AdzePreset=$otherwise does not try"
        fresh -DADZE_BACKEND="$otherwise"
    fi
}

# "[12/80] ..." of Ninja and "[ 15%] ..." of Make become a line for each tenth.
show_progress() {
    awk -v what="adze: building $product with CMake (preset $preset)" '
        /^adze: / { print }
        /^\[ *[0-9]+\/[0-9]+\]/ { split(substr($0, 2), n, "[/\\]]"); share = int(100 * n[1] / n[2]) }
        /^\[ *[0-9]+%\] Building/ { split(substr($0, 2), n, "%"); share = n[1] + 0 }
        share > 0 && !started { print what; started = 1 }
        share >= shown + 10 { shown = share - share % 10; print "adze: " shown "%" }
        { fflush() }'
}

run() {
    {
        configure 9>&- && cmake --build "$folder" --target "$target" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" 9>&-
        echo $? >"$folder/native.rc"
    } 2>&1 | tee "$log" | show_progress
    [ "$(cat "$folder/native.rc")" = 0 ]
}

explain_failure() {
    grep -E 'CMake Error|error:|undefined reference|No such preset|ninja: error|\*\*\*' "$log" | head -n 5
    fail "the native build failed; its log is $PWD/$log"
}

check_tools
terminal=$(find_terminal 2>/dev/null)
{ [ -n "$terminal" ] && [ -w "$terminal" ] && true >>"$terminal"; } 2>/dev/null || terminal=/dev/null
lock
touch "$stamp.begun"
run >>"$terminal" || explain_failure
if [ "$target" = all ] && lacks_googletest; then
    rm -f "$stamp" "$stamp.begun"  # look for it again next time
else
    mv "$stamp.begun" "$stamp"
fi
