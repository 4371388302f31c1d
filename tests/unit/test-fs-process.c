/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of processes, and what it had better not say. */
#include "tests/unit/caller-trees.h"

#include <errno.h>
#include "fs/origins/process.h"

static int proc;
static struct process process;

static int begin(void **state)
{
	remove_tree("proc");
	put_thread(100, 100, 5000);
	put_thread(100, 101, 5001);
	proc = open("proc", O_PATH | O_DIRECTORY);
	return proc < 0 ? -1 : 0;
}

static int end(void **state)
{
	return close(proc);
}

/* What process_of() returns; `process` is untouched by an error. */
static int found(pid_t tid)
{
	struct process before = {1, 2, 3};
	int r;

	process = before;
	r = process_of(proc, tid, &process);
	if (r < 0)
		assert_true(process_is_same(&process, &before));
	return r;
}

static void test_threads(void **state)
{
	struct process leader;

	assert_int_equal(found(100), 0);
	leader = process;
	assert_int_equal(leader.pid, 100);
	assert_int_equal(leader.start, 5000);
	assert_int_equal(found(101), 0);
	assert_int_equal(process.pid, 100);
	assert_int_equal(process.start, 5000);
	assert_int_equal(process.thread_start, 5001);
	assert_false(process_is_same(&leader, &process));
	assert_int_equal(found(102), -ENOENT);
	assert_int_equal(found(0), -ENOENT);
	assert_int_equal(found(-1), -ENOENT);
	/* A thread that says so, but is not among those of the process. */
	remove_tree("proc/100/task/101");
	assert_int_equal(found(101), -ENOENT);
	assert_int_equal(found(100), 0);
}

static void test_odd(void **state)
{
	static const char *const odd_status[] = {
		"",
		"Name:\tx\nPid:\t100\n",
		"Name:\tx\nTgid:\t100\n",
		"Name:\tx\nTgid:\t100\nPid:\t101\n",
		"Name:\tx\nTgid:\t0\nPid:\t100\n",
		"Name:\tx\nTgid:\t-1\nPid:\t100\n",
		"Name:\tx\nTgid:\t4294967396\nPid:\t100\n",
		"Name:\tx\nTgid:\t100 1\nPid:\t100\n",
		"Tgid:\t100\nPid:\t100\n",
		"Name:\tx\nTgid:\t100\nPid:\t100",
	};
	static const char *const odd_stat[] = {
		"",
		"100 (x S 1 1 1 1 1 4194560 5 6 7 8 9 10 11 12 20 0 3 0 5000 3100672\n",
		"100 (x) S 1 1 1 1 1\n",
		"100 (x) S 1 1 1 1 1 a 5 6 7 8 9 10 11 12 20 0 3 0 5000 3100672\n",
		"100 (x) S 1 1 1 1 1 4194560 5 6 7 8 9 10 11 12 20 0 3 0\n",
		"100 (x) S 1 1 1 1 1 4194560 5 6 7 8 9 10 11 12 20 0 3 0 -1 3100672\n",
		"100 (x) S 1 1 1 1 1 4194560 5 6 7 8 9 10 11 12 20 0 3 0 99999999999999999999 1\n",
		"100 (x) S 1 1 1 1 1 4194560 5 6 7 8 9 10 11 12 20 0 3 0 5000",
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd_status); i++) {
		put_file("proc/100/status", odd_status[i]);
		if (found(100) != -EBADMSG)
			fail_msg("status %zu", i);
	}
	put_thread(100, 100, 5000);
	for (size_t i = 0; i < ARRAY_SIZE(odd_stat); i++) {
		put_file("proc/100/stat", odd_stat[i]);
		if (found(100) != -EBADMSG)
			fail_msg("stat %zu", i);
	}
	put_thread(100, 100, 5000);
	assert_int_equal(found(100), 0);
}

/* A process whose first thread ends is at the top of all hierarchies of version 1, says the kernel. */
static void test_dying(void **state)
{
	put_stat("proc/100/stat", 100, EXITS, 5000);
	assert_int_equal(found(100), -EOWNERDEAD);
	assert_int_equal(found(101), -EOWNERDEAD);
	put_stat("proc/100/stat", 100, RUNS, 5000);
	put_stat("proc/100/task/101/stat", 101, EXITS, 5001);
	assert_int_equal(found(101), -EOWNERDEAD);
	assert_int_equal(found(100), 0);
}

static void test_read(void **state)
{
	char *text = NULL;

	assert_int_equal(found(101), 0);
	put_cgroup(100, "0::/a\n");
	assert_int_equal(process_read(proc, &process, "cgroup", 6, &text), 0);
	assert_string_equal(text, "0::/a\n");
	free(text);
	text = NULL;
	assert_int_equal(process_read(proc, &process, "cgroup", 5, &text), -EFBIG);
	assert_int_equal(process_read(proc, &process, "nothing", 5, &text), -ENOENT);
	put_cgroup(100, "");
	assert_int_equal(truncate("proc/100/cgroup", 3), 0); /* three NULs */
	assert_int_equal(process_read(proc, &process, "cgroup", 5, &text), -EBADMSG);
	assert_null(text);
}

/* This process in the real /proc, and in one of another namespace. */
static void test_numbers(void **state)
{
	int real = open("/proc", O_PATH | O_DIRECTORY);
	char numbers[64];

	assert_true(real >= 0);
	assert_true(process_numbers_are_ours(real));
	close(real);
	assert_false(process_numbers_are_ours(proc));
	snprintf(numbers, sizeof(numbers), "%u", (unsigned int)getpid());
	put_self(numbers);
	assert_true(process_numbers_are_ours(proc));
	snprintf(numbers, sizeof(numbers), "4711\t%u", (unsigned int)getpid());
	put_self(numbers);
	assert_false(process_numbers_are_ours(proc));
	put_self("4711");
	assert_false(process_numbers_are_ours(proc));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threads, begin, end),
		cmocka_unit_test_setup_teardown(test_odd, begin, end),
		cmocka_unit_test_setup_teardown(test_dying, begin, end),
		cmocka_unit_test_setup_teardown(test_read, begin, end),
		cmocka_unit_test_setup_teardown(test_numbers, begin, end),
	};

	return cmocka_run_group_tests_name("fs-process", tests, trees_begin, trees_end);
}
