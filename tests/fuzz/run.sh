#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the libFuzzer targets with clang and runs each on its corpus, as many at a time as there are jobs.
#
#	tests/fuzz/run.sh [TARGET…]        TARGET as in tests/fuzz/fuzz-TARGET.c; all by default
#
# FUZZ_RUNS   executions of each target (15000; 3000 of control, where each is a conversation with a daemon)
# JOBS        at a time (2)
# FUZZ_BUILD  where to build ($WEIGHTFS_BUILD/fuzz, build/fuzz)
#
# What a run finds anew stays in the build folder (corpus-TARGET); tests/fuzz/corpus/ is only read.
# An input that crashes is written there too: add it to tests/fuzz/corpus/ once it is fixed.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${FUZZ_BUILD:-${WEIGHTFS_BUILD:-$top/build}/fuzz}
jobs=${JOBS:-2}

[ $# -gt 0 ] || {
	for source in "$top"/tests/fuzz/fuzz-*.c; do
		[ -e "$source" ] || continue
		name=${source##*/fuzz-}
		set -- "$@" "${name%.c}"
	done
}

mkdir -p "$build"
build=$(cd "$build" && pwd)
[ -x "$top/configure" ] || "$top/autogen.sh" >"$build/autogen.log" 2>&1
[ -f "$build/Makefile" ] || (
	cd "$build"
	CC=clang "$top/configure" --enable-fuzzing --enable-sanitizers=address,undefined \
		>configure.log 2>&1 || {
		cat configure.log
		exit 1
	}
)

# What a target writes is in memory, and gone afterwards, also when it crashed.
TMPDIR=$(mktemp -d /dev/shm/weightfs-fuzz-XXXXXX)
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

run_target() { # NAME: prints one line, and the end of the log if it failed
	local name=$1 log=$build/fuzz-$1.log seeds=$top/tests/fuzz/corpus/$1 words=$top/tests/fuzz/$1.dict
	local runs=15000 arguments=("$build/corpus-$1")
	[ "$name" != control ] || runs=3000
	runs=${FUZZ_RUNS:-$runs}
	mkdir -p "${arguments[0]}"
	[ ! -d "$seeds" ] || arguments+=("$seeds")
	[ ! -f "$words" ] || arguments=(-dict="$words" "${arguments[@]}")
	if make -C "$build" "tests/fuzz/fuzz-$name" >"$log" 2>&1 &&
		(cd "$build" && "./tests/fuzz/fuzz-$name" -runs="$runs" -timeout=20 -rss_limit_mb=2048 \
			-artifact_prefix="$build/crash-$name-" -print_final_stats=1 "${arguments[@]}" >>"$log" 2>&1); then
		echo "fuzz-$name: ok, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs"
	else
		echo "fuzz-$name: FAILED, $log:"
		tail -n 40 "$log"
	fi
}

# All at once, by all compilers that there may be; what does not build is told by its target's log.
make -C "$build" -j"$jobs" -k "${@/#/tests/fuzz/fuzz-}" >"$build/make.log" 2>&1 || :
for name; do
	while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
		wait -n || :
	done
	run_target "$name" >"$build/result-$name" &
done
wait

passed=0
failed=0
for name; do
	cat "$build/result-$name"
	if grep -q '^fuzz-[a-z]*: ok' "$build/result-$name"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
