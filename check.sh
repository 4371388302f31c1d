#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Everything that has to hold, on one machine, as root:
#
#	./check.sh [--strict]          all stages
#	./check.sh [--strict] quick    one build, its unit and integration tests, and the lints
#	./check.sh [--strict] STAGE…   some: build unit integration nopassthrough lint quickstart
#	                               asan tsan fuzz distcheck bench
#
# The bench stage is a short form of `make bench`: it fails because of wrong bytes, never of speed.
#
# Builds out of tree in build/ ($WEIGHTFS_BUILD), with the sanitizers' builds in folders below it; logs
# are in build/logs/. The last line is `N passed, N failed, N skipped`; the status tells whether
# anything failed. With --strict, or CI=true, a skipped test counts as failed unless
# tests/skip-allowed.txt knows it.
#
# WEIGHTFS_LONG=1   the long forms of the outage and crash tests; each integration test in all builds that it can run in
# WEIGHTFS_BENCH_SIZE, WEIGHTFS_BENCH_ROUNDS   of the bench stage (64M, 1)
# FUZZ_RUNS=N       executions of each fuzz target (see tests/fuzz/run.sh)
# SECOND_TRY=no     a test that failed once has failed
# JOBS=N            parallel compilations (2)
# KEEP_GOING=no     stop at the first stage that fails

# Functions are called by name (stage_…, check NAME FUNCTION); words are meant to be split.
# shellcheck disable=SC2317,SC2046
set -euo pipefail

top=$(cd "$(dirname "$0")" && pwd)
build=${WEIGHTFS_BUILD:-$top/build}
jobs=${JOBS:-2}
strict=
[ "${CI:-}" = true ] && strict=yes
all=(build unit integration nopassthrough lint quickstart asan tsan fuzz distcheck bench)
stages=()
for arg; do
	case $arg in
	--strict) strict=yes ;;
	quick) stages+=(build unit integration lint) ;;
	build | unit | integration | nopassthrough | lint | quickstart | asan | tsan | fuzz | distcheck | bench) stages+=("$arg") ;;
	*)
		sed -n '3,/^$/{/^#/s/^# \{0,1\}//p}' "$0" >&2
		exit 2
		;;
	esac
done
[ ${#stages[@]} -gt 0 ] || stages=("${all[@]}")

mkdir -p "$build/logs"
build=$(cd "$build" && pwd)
logs=$build/logs
export PYTHONDONTWRITEBYTECODE=1
# A pyenv or a virtual environment may come first in PATH: pytest is Debian's.
python=/usr/bin/python3

passed=0
failed=0
skipped=0
started=$SECONDS

# Adds a stage's counts, prints its line, and its log if anything of it failed.
account() { # NAME LOG PASSED FAILED SKIPPED SECONDS
	passed=$((passed + $3))
	failed=$((failed + $4))
	skipped=$((skipped + $5))
	if [ "$4" != 0 ]; then
		printf -- '---- %s:\n' "$2"
		tail -n "${LOG_LINES:-200}" "$2"
		printf -- '----\n'
	fi
	printf '%-28s %5d passed %4d failed %4d skipped %5ds\n' "$1" "$3" "$4" "$5" "$6"
	if [ "$4" != 0 ] && [ "${KEEP_GOING:-yes}" = no ]; then
		finish
	fi
}

finish() {
	echo "took $((SECONDS - started)) s; logs in $logs"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
	exit
}

# A check that is one command: passed or failed, as a whole. In the background, because only there a
# function of ours ends at its first error (bash ignores -e within an `if`).
check() { # NAME COMMAND…
	local name=$1 log=$logs/${1//[ \/]/-}.log begin=$SECONDS
	shift
	"$@" >"$log" 2>&1 </dev/null &
	if wait "$!"; then
		account "$name" "$log" 1 0 0 $((SECONDS - begin))
	else
		account "$name" "$log" 0 1 0 $((SECONDS - begin))
		return 1
	fi
}

tally() {
	if [ -n "$strict" ]; then
		"$python" "$top/tests/tools/tally.py" --strict "$top/tests/skip-allowed.txt" "$@"
	else
		"$python" "$top/tests/tools/tally.py" "$@"
	fi
}

# ---- building --------------------------------------------------------------------------------------

make_configure() {
	if [ ! "$top/configure" -nt "$top/configure.ac" ]; then
		"$top/autogen.sh"
	fi
}

# Configured once for each set of options; make finds out itself when that is outdated.
build_in() { # FOLDER CONFIGURE-OPTIONS…
	local folder=$1
	shift
	make_configure
	mkdir -p "$folder"
	cd "$folder"
	if [ ! -f Makefile ] || [ "$(cat .options 2>/dev/null)" != "$*" ]; then
		"$top/configure" "$@"
		echo "$*" >.options
	fi
	make -j"$jobs"
}

# ---- running tests ---------------------------------------------------------------------------------

suppressions=$top/tests/tools/sanitizer
unit_environment=(
	"ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1"
	"LSAN_OPTIONS=suppressions=$suppressions/lsan.supp:print_suppressions=0"
	"UBSAN_OPTIONS=print_stacktrace=1"
	"TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1:suppressions=$suppressions/tsan.supp"
)

unit_tests() { # NAME FOLDER [VARIABLE=VALUE of make…]
	local log=$logs/$1.log begin=$SECONDS counts status=0
	rm -f "$2"/tests/unit/*.log
	# Many of them wait.
	env "${unit_environment[@]}" make -C "$2" -j"$((2 * jobs))" check VERBOSE=1 "${@:3}" >"$log" 2>&1 || status=$?
	shopt -s nullglob
	counts=$(tally "$2"/tests/unit/*.log 2>>"$log")
	shopt -u nullglob
	local p f s
	read -r p f s <<<"$counts"
	# It failed without a failing test: it did not build, or a program ended badly.
	[ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
	[ $((p + f + s)) -gt 0 ] || {
		echo "no unit test ran" >>"$log"
		f=1
	}
	account "$1" "$log" "$p" "$f" "$s" $((SECONDS - begin))
}

run_pytest() { # FOLDER SANITIZER MODEL-SIZE XML ARGUMENT…
	rm -f "$4"
	WEIGHTFS=$1/weightfs WEIGHTFS_SANITIZER=$2 WEIGHTFS_MODEL_SIZE=${WEIGHTFS_MODEL_SIZE:-$3} \
		"$python" -m pytest "${@:5}" -q --color=no --junitxml="$4" </dev/null
}

# Where each file of integration tests runs, so that all of it takes no longer than it has to. What takes apart what others
# made (files, replies, requests, policies, the disk) runs under AddressSanitizer, where threads meet under
# ThreadSanitizer, what is about time, the machine and the shipped build in that one; what matters most there, too. A stage
# that is asked for by itself runs all that it can, and so do all of them in the long form.
others_words=(abuse adopt asking audit catalogs cli explain faults hostile import_hf import_others known library names
	nodes policy publish rebuild records repair tls tree user)
threads=(callers claims leaks matrix mmap passthrough pull quota read reload room sharing)
in_each=(matrix passthrough read)

integration_files() { # NAME…
	printf "$top/tests/integration/test_%s.py\n" "$@"
}

is_among() { # WORD WORD…
	[[ " ${*:2} " == *" $1 "* ]]
}

# What the build without sanitizers need not run, but for tests that need it: the other two do.
elsewhere() {
	local name
	is_among asan "${stages[@]}" && is_among tsan "${stages[@]}" && [ -z "${WEIGHTFS_LONG:-}" ] || return 0
	for name in "${others_words[@]}" "${threads[@]}"; do
		is_among "$name" "${in_each[@]}" || printf 'test_%s ' "$name"
	done
}

# Three files at a time: most of their time is spent waiting for somebody's deadline. Should a few fail, a machine that
# was busy with the others may be why: they are run once more, by themselves. What passes then counts, and is named as
# flaky all the same: it wants to be looked at. $SECOND_TRY=no: there is none.
integration_tests() { # NAME FOLDER SANITIZER MODEL-SIZE MARKERS [TEST…]
	local log=$logs/$1.log xml=$logs/$1.xml begin=$SECONDS counts="0 0 0" status=0 names=()
	local tests=("${@:6}")
	[ ${#tests[@]} -gt 0 ] || tests=("$top/tests/integration")
	make -C "$2" -j"$jobs" $(test_tools) >"$logs/$1-tools.log" 2>&1 || status=$?
	run_pytest "${@:2:3}" "$xml" "${tests[@]}" -m "$5" --durations=15 -n 3 --dist loadfile \
		>"$log" 2>&1 || status=$?
	[ ! -f "$xml" ] || counts=$(tally "$xml" 2>>"$log")
	local p f s
	read -r p f s <<<"$counts"
	[ "$status" = 0 ] || [ "$f" -gt 0 ] || f=1
	[ ! -f "$xml" ] || mapfile -t names < <("$python" "$top/tests/tools/tally.py" --failed "$xml" | grep .)
	if [ "${SECOND_TRY:-yes}" = yes ] && [ ${#names[@]} = "$f" ] && [ "$f" -gt 0 ] && [ "$f" -le 3 ] &&
		run_pytest "${@:2:3}" "$logs/$1-again.xml" "${names[@]/#/$top/tests/integration/}" \
			>"$logs/$1-again.log" 2>&1; then
		printf 'flaky, passed when run alone (%s): %s\n' "$log" "${names[*]}"
		p=$((p + f))
		f=0
	fi
	account "$1" "$log" "$p" "$f" "$s" $((SECONDS - begin))
}

# ---- lints -----------------------------------------------------------------------------------------

sources() { # REGEX of names
	cd "$top"
	{ git ls-files -co --exclude-standard 2>/dev/null || find . -type f; } |
		grep -v '^\(\./\)\{0,1\}build' | grep "$1"
}

lint_shell() {
	cd "$top"
	shellcheck $(grep -lE '^#!/bin/(ba)?sh' $(sources .))
}

lint_python() {
	cd "$top"
	"$python" - $(sources '\.py$') <<'EOF'
import ast, sys
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        ast.parse(file.read(), path)
EOF
}

lint_man() {
	local pages=("$top"/man/*.[1-8])
	[ -e "${pages[0]}" ] || {
		echo "no manual page"
		return 1
	}
	mandoc -Tlint -Wwarning "${pages[@]}"
}

# The first line of every source file, and that none hides a second thing by its length.
lint_sources() {
	cd "$top"
	local bad=0 file
	while read -r file; do
		[ "$(head -n 1 "$file")" = '/* SPDX-License-Identifier: Apache-2.0 */' ] || {
			echo "$file: no licence line"
			bad=1
		}
		[ "$(wc -l <"$file")" -le 450 ] || {
			echo "$file: $(wc -l <"$file") lines"
			bad=1
		}
	done < <(sources '\.[ch]$')
	return "$bad"
}

# What each folder may include, see HACKING.md.
lint_layers() {
	cd "$top"
	local folder others bad=0
	local base='verify policy registry fetch store common'
	while read -r folder others; do
		if grep -rnE '^#include "[a-z]+/' --include='*.[ch]' "$folder" | grep -vE "\"(${others// /|}|$folder)/"; then
			bad=1
		fi
	done <<-END
		common
		verify common
		policy common
		registry common
		fetch common
		store common
		config $base
		catalogs config $base
		fs catalogs config $base
		commands fs catalogs config $base
	END
	return "$bad"
}

# ---- nothing may be left ---------------------------------------------------------------------------

# All that the tests mount and start names a folder below this one.
TMPDIR=$(mktemp -d "${TMPDIR:-/var/tmp}/weightfs-check-XXXXXX")
chmod 755 "$TMPDIR"
export TMPDIR
trap 'rm -rf --one-file-system "$TMPDIR"' EXIT

leftovers() {
	local left=0
	if grep -F "$TMPDIR" /proc/self/mounts; then
		left=1
	fi
	if pgrep -af "$TMPDIR"; then
		left=1
	fi
	return "$left"
}

# ---- the stages ------------------------------------------------------------------------------------

stage_build() { check build build_in "$build" --enable-werror; }
stage_unit() { unit_tests unit "$build"; }
stage_integration() {
	local size=512M
	[ -z "${WEIGHTFS_LONG:-}" ] || size=1G
	WEIGHTFS_ELSEWHERE=$(elsewhere) integration_tests integration "$build" "" "$size" ""
}
# Once more where complete objects take the other way to their readers.
stage_nopassthrough() {
	WEIGHTFS_MOUNT_OPTIONS=nopassthrough integration_tests nopassthrough "$build" "" 96M "not heavy" \
		$(integration_files nodes read)
}

stage_lint() {
	check lint-shell lint_shell || :
	check lint-python lint_python || :
	check lint-man lint_man || :
	check lint-sources lint_sources || :
	check lint-layers lint_layers || :
}

stage_quickstart() { check quickstart "$top/quickstart.sh" || :; }

sanitized() { # NAME FOLDER SANITIZER FILE…
	local files=("${@:4}")
	[ -z "${WEIGHTFS_LONG:-}" ] || mapfile -t files < <(printf '%s\n' "${others_words[@]}" "${threads[@]}" | sort -u)
	integration_tests "${@:1:3}" 96M "not native and not heavy" $(integration_files "${files[@]}")
}

stage_asan() {
	check asan-build build_in "$build/asan" --enable-werror \
		--enable-sanitizers=address,undefined CFLAGS='-g -O1' || return 0
	unit_tests asan-unit "$build/asan"
	sanitized asan-integration "$build/asan" address "${others_words[@]}"
}

# Those in which there is more than one thread, by their own doing or that of what they test. One that kills what it
# tests learns nothing from a sanitizer of threads, and takes a minute.
threaded_tests() {
	cd "$top"
	grep -lE 'pthread_create|workqueue_new|fetch_new|fetch-harness|fetch_document_get|catalogs_follow' \
		tests/unit/test-*.c | grep -v test-store-crash | sed 's/\.c$//' | tr '\n' ' '
}

# What the integration tests run beside the program.
test_tools() {
	cd "$top"
	grep -l '^int main' tests/tools/*.c | sed 's/\.c$//' | tr '\n' ' '
}

stage_tsan() {
	check tsan-build build_in "$build/tsan" --enable-werror \
		--enable-sanitizers=thread CFLAGS='-g -O1' || return 0
	unit_tests tsan-unit "$build/tsan" TESTS="$(threaded_tests)" check_PROGRAMS="$(threaded_tests) $(test_tools)"
	sanitized tsan-integration "$build/tsan" thread "${threads[@]}"
}

stage_fuzz() {
	local log=$logs/fuzz.log begin=$SECONDS p f s
	FUZZ_BUILD=$build/fuzz JOBS=$jobs \
		"$top/tests/fuzz/run.sh" >"$log" 2>&1 </dev/null || :
	read -r p f s < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' \
		"$log" | tail -n 1) || :
	# Without a summary it did not get that far.
	account fuzz "$log" "${p:-0}" "${f:-1}" "${s:-0}" $((SECONDS - begin))
}

stage_distcheck() {
	check distcheck-configure build_in "$build" --enable-werror || return 0
	# All of it builds from the tarball, and installs; the tests were run before.
	check distcheck env "${unit_environment[@]}" make -C "$build" -j"$jobs" distcheck \
		TESTS=tests/unit/test-common check_PROGRAMS=tests/unit/test-common || :
}

stage_bench() {
	check bench-build build_in "$build" --enable-werror || return 0
	check bench env WEIGHTFS_BENCH_SIZE="${WEIGHTFS_BENCH_SIZE:-64M}" \
		WEIGHTFS_BENCH_ROUNDS="${WEIGHTFS_BENCH_ROUNDS:-1}" \
		make -C "$build" bench BENCH_JSON=bench-short.json || :
}

check deps "$top/deps.sh" || finish
for stage in "${stages[@]}"; do
	"stage_$stage" || [ "$stage" != build ] || finish
done
check leftovers leftovers || :
finish
