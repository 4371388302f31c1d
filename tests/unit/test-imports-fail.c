/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports when the disk fails, or the process dies, at each call in turn that changes something: what is there afterwards is
 * the old state or the new one, and it can be changed again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "tests/unit/imports-testing.h"

/* ---- calls that fail ---- */

static int at = -1; /* calls to go; -1: none fails */
static int error;   /* 0: the process ends */

static bool fails(void)
{
	if (at < 0 || at-- > 0)
		return false;
	if (error == 0)
		_exit(9);
	errno = error;
	return true;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return fails() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags)
{
	return fails() ? -1 : __real_unlinkat(fd, name, flags);
}

int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
	return fails() ? -1 : __real_mkdirat(fd, name, mode);
}

int __real_io_write(int fd, const void *buf, size_t len);
int __wrap_io_write(int fd, const void *buf, size_t len);
int __wrap_io_write(int fd, const void *buf, size_t len)
{
	return fails() ? -errno : __real_io_write(fd, buf, len);
}

int __real_fflush(FILE *file);
int __wrap_fflush(FILE *file);
int __wrap_fflush(FILE *file)
{
	return fails() ? EOF : __real_fflush(file);
}

/* ---- */

struct change {
	const char *before, *after;
	int (*make)(void);
};

static const struct import_request gated = { .gated = true, .authorization = "Bearer 2" };

/* The request's own descriptor is no part of it. */
static int add_second(void)
{
	struct import_request request = gated;
	json_t *refs = json_loads("{\"o/m\":{\"main\":\"2\"}}", 0, NULL);
	int r, calls = at;

	at = -1;
	request.name = "hf";
	request.owner = UID;
	request.refs = refs;
	request.fd = catalog_of(OBJECT(B, "5", "\"" HF "b\"", "\"o/m@2/x\""));
	at = calls;
	r = imports_add(store, &request, &added, &problem);
	close(request.fd);
	json_decref(refs);
	return r;
}

static int remove_first(void)
{
	size_t n;

	return imports_remove(store, UID, "hf", "o/m@1", &n, &problem);
}

static int remove_all(void)
{
	size_t n;

	return imports_remove(store, UID, "hf", NULL, &n, &problem);
}

static void add_first(void)
{
	assert_int_equal(add_with((struct import_request){ 0 },
				  OBJECT(A, "3", "", "\"o/m@1/x\"") OBJECT(C, "9", "", "\"p@1/x\""),
				  "{\"o/m\":{\"main\":\"1\"}}"), 0);
}

#define FIRST  "a:3[o/m@1/x]()c:9[p@1/x]() {\"o/m\":{\"main\":\"1\"}}"
#define SECOND "b:5[o/m@2/x](" HF "b) {\"o/m\":{\"main\":\"2\"}} gated=o/m@2/ https://hf.example:443=Bearer 2"
#define BOTH   "a:3[o/m@1/x]()c:9[p@1/x]()b:5[o/m@2/x](" HF "b) {\"o/m\":{\"main\":\"2\"}} gated=o/m@2/ " \
	       "https://hf.example:443=Bearer 2"

static const struct change changes[] = {
	{ "", SECOND, add_second },
	{ FIRST, BOTH, add_second },
	{ FIRST, "c:9[p@1/x]()", remove_first },
	{ FIRST, "", remove_all },
};

static void begin(const struct change *change)
{
	make_store();
	if (*change->before)
		add_first();
	assert_string_equal(show(UID), change->before);
}

/* What is there is one of both, and a change is possible again. */
static void end(const struct change *change, bool failed)
{
	const char *now = show(UID);

	assert_true(!strcmp(now, change->before) || !strcmp(now, change->after));
	if (!failed || strcmp(now, change->before) != 0)
		assert_string_equal(now, change->after);
	else
		assert_int_equal(change->make(), 0);
	assert_string_equal(show(UID), change->after);
	remove_store();
}

static void fail_each(const struct change *change, int with)
{
	bool failed = true;

	for (int i = 0; failed; i++) {
		int r;

		assert_true(i < 100);
		begin(change);
		at = i;
		error = with;
		r = change->make();
		failed = at < 0;
		at = -1;
		if (r == 0)
			assert_string_equal(show(UID), change->after);
		else
			assert_true(failed && strlen(problem.text) > 0);
		end(change, r < 0);
	}
}

static void test_errors(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		fail_each(&changes[i], ENOSPC);
		fail_each(&changes[i], EIO);
	}
}

static void kill_each(const struct change *change)
{
	bool killed = true;

	for (int i = 0; killed; i++) {
		int status;
		pid_t pid;

		assert_true(i < 100);
		begin(change);
		pid = fork();
		if (pid == 0) {
			at = i;
			error = 0;
			_exit(change->make() < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
		killed = WEXITSTATUS(status) == 9;
		end(change, killed);
	}
}

static void test_kills(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		kill_each(&changes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
