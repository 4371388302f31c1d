/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with files in it, and a watch of them, for the tests of fs/origins/watch.c. */
#ifndef TESTS_WATCH_TESTING_H
#define TESTS_WATCH_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include "common/clock.h"
#include "fs/origins/watch.h"

#define LONG_MS	 10000 /* for what has to come */
#define SHORT_MS 150   /* for what must not */

static char base[PATH_MAX];

/* ---- files, by their paths below the test's folder ---- */

static inline const char *in(const char *path)
{
	static char whole[4][PATH_MAX];
	static unsigned int turn;

	turn = (turn + 1) % ARRAY_SIZE(whole);
	snprintf(whole[turn], PATH_MAX, "%.2000s/%s", base, path);
	return whole[turn];
}

static inline int begin_file(const char *path, int flags)
{
	int fd = open(in(path), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "text\n", 5), 5);
	return fd;
}

static inline void put_file(const char *path)
{
	close(begin_file(path, O_TRUNC));
}

static inline void put_folder(const char *path)
{
	assert_int_equal(mkdir(in(path), 0700), 0);
}

static inline void put_link(const char *path, const char *target)
{
	assert_int_equal(symlink(target, in(path)), 0);
}

static inline void move(const char *from, const char *to)
{
	assert_int_equal(rename(in(from), in(to)), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void take_away(const char *path)
{
	assert_int_equal(nftw(in(path), remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* ---- a watch ---- */

static inline struct watch *watch_of(const char *path)
{
	const char *paths[] = { in(path) };
	struct watch *watch;

	assert_int_equal(watch_new(&watch), 0);
	assert_true(watch_set(watch, paths, 1));
	assert_false(watch_set(watch, paths, 1));
	return watch;
}

static inline enum watch_reason wait_for(struct watch *watch, int64_t ms)
{
	const struct itimerspec in_time = { .it_value = { ms / 1000, ms % 1000 * 1000000 } };
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	enum watch_reason why;

	assert_true(timer >= 0);
	assert_int_equal(timerfd_settime(timer, 0, &in_time, NULL), 0);
	why = watch_wait(watch, timer);
	close(timer);
	return why;
}

/* Of PATH; then as somebody does who has read it anew. True: there was something new to be watched. */
static inline bool expect_change(struct watch *watch, const char *path)
{
	const char *paths[] = { in(path) };
	bool anew;

	assert_int_equal(wait_for(watch, LONG_MS), WATCH_CHANGED);
	anew = watch_set(watch, paths, 1);
	assert_false(anew && watch_set(watch, paths, 1));
	return anew;
}

static inline void write_and_expect(const char *written, struct watch *watch, const char *path)
{
	put_file(written);
	expect_change(watch, path);
}

static inline void expect_nothing(struct watch *watch)
{
	assert_int_equal(wait_for(watch, SHORT_MS), WATCH_WOKEN);
}

static int setup(void **state)
{
	char made[] = "/tmp/weightfs-watch-XXXXXX";

	if (!mkdtemp(made) || !realpath(made, base))
		return -1;
	put_folder("etc");
	put_file("etc/policy");
	return 0;
}

static int teardown(void **state)
{
	take_away("");
	return 0;
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
