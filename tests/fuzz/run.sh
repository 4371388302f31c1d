#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the libFuzzer targets with clang and runs each on its corpus.
#
#	tests/fuzz/run.sh [TARGET…]        TARGET as in tests/fuzz/fuzz-TARGET.c; all by default
#
# FUZZ_RUNS   executions of each target (50000; 10000 of control, where each is a conversation with a daemon)
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

passed=0
failed=0
for name; do
	target=tests/fuzz/fuzz-$name
	log=$build/fuzz-$name.log
	seeds=$top/tests/fuzz/corpus/$name
	found=$build/corpus-$name
	mkdir -p "$found"
	runs=50000
	[ "$name" != control ] || runs=10000
	runs=${FUZZ_RUNS:-$runs}
	set -- "$found"
	[ ! -d "$seeds" ] || set -- "$@" "$seeds"
	words=$top/tests/fuzz/$name.dict
	[ ! -f "$words" ] || set -- -dict="$words" "$@"
	if make -C "$build" -j"$jobs" "$target" >"$log" 2>&1 &&
		(cd "$build" && "./$target" -runs="$runs" -timeout=20 -rss_limit_mb=2048 \
			-artifact_prefix="$build/crash-$name-" -print_final_stats=1 "$@" >>"$log" 2>&1); then
		passed=$((passed + 1))
		executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
		echo "fuzz-$name: ok, ${executed:-?} runs"
	else
		failed=$((failed + 1))
		echo "fuzz-$name: FAILED, $log:"
		tail -n 40 "$log"
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
