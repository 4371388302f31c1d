/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks: processes in a /proc that changes while it is looked at. */
#include "tests/unit/caller-trees.h"

#include <grp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include "tests/unit/caller-standin.h"

/* ---- the scene ---- */

static struct callers *callers;

static void start(void)
{
	assert_int_equal(callers_new("proc", "cgroup", geteuid(), &callers), 0);
}

static int begin(void **state)
{
	static const char *const groups[] = {"cgroup/a.service", "cgroup/b.service",
					     "cgroup/user/x.service"};
	char pid[16];

	remove_tree("proc");
	remove_tree("cgroup");
	put_version_2("cgroup");
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		put_group(groups[i]);
	snprintf(pid, sizeof(pid), "%u", (unsigned int)getpid());
	put_self(pid);
	put_thread(100, 100, 5000);
	put_thread(100, 101, 5001);
	put_thread(200, 200, 6000);
	put_cgroup(100, "0::/a.service\n");
	put_cgroup(200, "0::/b.service\n");
	ctx = (struct fuse_ctx){.uid = 7, .gid = 8, .pid = 100};
	needs_cgroup = true;
	needs_groups = false;
	n_groups = 0;
	start();
	return 0;
}

static int end(void **state)
{
	callers_free(callers);
	return 0;
}

/* The unit of thread TID, its cgroup where it is in none, or what else there is to say. */
static const char *seen(pid_t tid)
{
	static struct caller caller;

	memset(&caller, 0xee, sizeof(caller));
	ctx.pid = tid;
	caller_of_request(callers, NULL, NULL, &caller);
	assert_int_equal(caller.who.uid, 7);
	assert_int_equal(caller.who.gid, 8);
	if (!caller.who.identified) {
		assert_null(caller.who.cgroup);
		assert_null(caller.who.unit);
		return "nobody";
	}
	return caller.who.unit ? caller.who.unit : caller.who.cgroup ? caller.who.cgroup : "none";
}

/* ---- the tests ---- */

static void test_threads(void **state)
{
	struct caller caller;

	assert_string_equal(seen(100), "a.service");
	assert_string_equal(seen(200), "b.service");
	/* A thread is in the cgroup of its process. */
	put_cgroup(101, "0::/b.service\n");
	put_file("proc/100/task/101/cgroup", "0::/b.service\n");
	assert_string_equal(seen(101), "a.service");
	ctx.pid = 101;
	caller_of_request(callers, NULL, NULL, &caller);
	assert_string_equal(caller.who.cgroup, "/a.service");
	/* The top, and what is not root's. */
	put_thread(300, 300, 1);
	put_cgroup(300, "0::/\n");
	assert_string_equal(seen(300), "/");
	put_thread(301, 301, 1);
	put_cgroup(301, "0::/user/x.service\n");
	assert_int_equal(chmod("cgroup/user", 0777), 0);
	assert_string_equal(seen(301), "/");
	put_thread(302, 302, 1);
	put_cgroup(302, "0::/a.service\n");
	assert_int_equal(chmod("cgroup", 0777), 0);
	assert_string_equal(seen(302), "none");
}

static void test_nobody(void **state)
{
	assert_string_equal(seen(0), "nobody");
	assert_string_equal(seen(999), "nobody");
	put_cgroup(100, "0::/../a.service\n");
	assert_string_equal(seen(100), "nobody");
	put_cgroup(100, "0::/c.service (deleted)\n");
	assert_string_equal(seen(100), "nobody");
	put_cgroup(100, "");
	assert_string_equal(seen(100), "nobody");
	put_cgroup(100, "0::/a.service\n");
	assert_string_equal(seen(100), "a.service");
	ctx.uid = (uid_t)-1;
	ctx.pid = 100;
	for (int i = 0; i < 2; i++) {
		struct caller caller;

		caller_of_request(callers, NULL, NULL, &caller);
		assert_false(caller.who.identified);
		ctx = (struct fuse_ctx){.uid = 7, .gid = (gid_t)-1, .pid = 100};
	}
}

/* Nobody looks at a process without a reason. */
static void test_not_needed(void **state)
{
	needs_cgroup = false;
	assert_string_equal(seen(999), "none");
	assert_string_equal(seen(100), "none");
	assert_string_equal(seen(0), "nobody");
	needs_groups = true;
	n_groups = 3;
	assert_string_equal(seen(100), "none");
	n_groups = CALLER_GROUPS_MAX;
	assert_string_equal(seen(100), "none");
	/* The one that matters may be among those that are not looked at. */
	n_groups = CALLER_GROUPS_MAX + 1;
	assert_string_equal(seen(100), "nobody");
	n_groups = -ESRCH;
	assert_string_equal(seen(100), "nobody");
}

/* ---- what changes while it is looked at ---- */

static void (*meanwhile)(void);

/* Whoever reads the cgroup of 100 waits in the middle of its look. */
static void *change(void *arg)
{
	int fd = open("proc/100/cgroup", O_WRONLY);

	if (fd < 0)
		abort();
	meanwhile();
	if (write(fd, "0::/a.service\n", 14) != 14)
		abort();
	close(fd);
	return NULL;
}

static const char *seen_while(pid_t tid, void (*what)(void))
{
	const char *result;
	pthread_t thread;

	atomic_fetch_add(&now_ms, 1000);
	meanwhile = what;
	unlink("proc/100/cgroup");
	assert_int_equal(mkfifo("proc/100/cgroup", 0644), 0);
	assert_int_equal(pthread_create(&thread, NULL, change, NULL), 0);
	result = seen(tid);
	pthread_join(thread, NULL);
	/* Nor is it remembered. */
	put_cgroup(100, "0::/b.service\n");
	put_thread(100, 100, 5000);
	put_thread(100, 101, 5001);
	if (!strcmp(result, "nobody"))
		assert_string_equal(seen(tid), "b.service");
	return result;
}

static void nothing(void)
{
}

static void reuse_process(void)
{
	put_thread(100, 100, 5002);
}

static void reuse_thread(void)
{
	put_thread(100, 101, 5003);
}

static void leave_process(void)
{
	remove_tree("proc/100/task/101");
	put_thread(200, 101, 5001);
}

static void vanish(void)
{
	unlink("proc/101/status");
}

static void begin_to_die(void)
{
	put_stat("proc/100/stat", 100, EXITS, 5000);
}

static void test_two_looks(void **state)
{
	assert_string_equal(seen_while(100, nothing), "a.service");
	assert_string_equal(seen_while(101, nothing), "a.service");
	assert_string_equal(seen_while(100, reuse_process), "nobody");
	assert_string_equal(seen_while(101, reuse_process), "nobody");
	assert_string_equal(seen_while(101, reuse_thread), "nobody");
	assert_string_equal(seen_while(101, leave_process), "nobody");
	assert_string_equal(seen_while(101, vanish), "nobody");
	assert_string_equal(seen_while(101, begin_to_die), "nobody");
	assert_string_equal(seen_while(101, nothing), "a.service");
}

/* ---- what is kept ---- */

static void test_kept(void **state)
{
	assert_string_equal(seen(101), "a.service");
	put_cgroup(100, "0::/b.service\n");
	/* Kept by process, not by thread, and not for long. */
	assert_string_equal(seen(100), "a.service");
	atomic_fetch_add(&now_ms, CALLER_KEEP_MS - 1);
	assert_string_equal(seen(101), "a.service");
	atomic_fetch_add(&now_ms, 1);
	assert_string_equal(seen(101), "b.service");
	put_cgroup(100, "0::/a.service\n");
	assert_string_equal(seen(100), "b.service");
	/* Another process with the same number; one that is gone. */
	put_thread(100, 100, 7000);
	assert_string_equal(seen(100), "a.service");
	remove_tree("proc/100");
	assert_string_equal(seen(100), "nobody");
}

/* However many come, little is kept, and what is said is right. */
static void test_many(void **state)
{
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int pid = 1000; pid < 1000 + 3000; pid++) {
			if (round == 0) {
				put_thread(pid, pid, pid);
				put_cgroup(pid, pid % 3 ? "0::/a.service\n" : "0::/b.service\n");
			}
			assert_string_equal(seen((pid_t)pid), pid % 3 ? "a.service" : "b.service");
		}
	}
	/* Of a set of four places, the oldest has gone: five that share one, of which the first was moved. */
	for (unsigned int i = 0; i < 5; i++) {
		put_thread(10000 + 256 * i, 10000 + 256 * i, 1);
		put_cgroup(10000 + 256 * i, "0::/a.service\n");
		assert_string_equal(seen((pid_t)(10000 + 256 * i)), "a.service");
		put_cgroup(10000 + 256 * i, "0::/b.service\n");
		atomic_fetch_add(&now_ms, 1);
	}
	assert_string_equal(seen(10000 + 256 * 1), "a.service");
	assert_string_equal(seen(10000 + 256 * 4), "a.service");
	assert_string_equal(seen(10000), "b.service");
}

struct looker {
	unsigned int pid;
	const char *unit;
	unsigned int wrong;
};

static void *look(void *arg)
{
	struct looker *looker = arg;
	struct caller caller;

	ctx = (struct fuse_ctx){.uid = 7, .gid = 8, .pid = (pid_t)looker->pid};
	for (unsigned int i = 0; i < 5000; i++) {
		caller_of_request(callers, NULL, NULL, &caller);
		looker->wrong += !caller.who.identified || !caller.who.unit ||
				 strcmp(caller.who.unit, looker->unit);
		atomic_fetch_add(&now_ms, i % 20 == 0);
	}
	return NULL;
}

/* More processes than places, at a time: each is seen where it is. */
static void test_at_once(void **state)
{
	struct looker lookers[6];
	pthread_t threads[ARRAY_SIZE(lookers)];

	for (unsigned int i = 0; i < ARRAY_SIZE(lookers); i++) {
		lookers[i] = (struct looker){10000 + 256 * i, i % 2 ? "a.service" : "b.service", 0};
		put_thread(lookers[i].pid, lookers[i].pid, 1);
		put_cgroup(lookers[i].pid, i % 2 ? "0::/a.service\n" : "0::/b.service\n");
		assert_int_equal(pthread_create(&threads[i], NULL, look, &lookers[i]), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(lookers); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(lookers[i].wrong, 0);
	}
}

static void test_namespaces(void **state)
{
	char numbers[64];

	/* A /proc of another namespace: one above ours, one that does not show us, none at all. */
	snprintf(numbers, sizeof(numbers), "4711\t%u", (unsigned int)getpid());
	put_self(numbers);
	callers_free(callers);
	start();
	assert_string_equal(seen(100), "nobody");
	remove_tree("proc/self");
	callers_free(callers);
	start();
	assert_string_equal(seen(100), "nobody");
	remove_tree("proc");
	callers_free(callers);
	start();
	assert_string_equal(seen(100), "nobody");
	needs_cgroup = false;
	assert_string_equal(seen(100), "none");
}

/* ---- sockets ---- */

static void test_peer(void **state)
{
	struct caller caller;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	put_thread((unsigned int)getpid(), (unsigned int)getpid(), 5000);
	put_cgroup((unsigned int)getpid(), "0::/a.service\n");
	caller_of_peer(callers, NULL, sockets[0], 5000, &caller);
	assert_true(caller.who.identified);
	assert_int_equal(caller.who.uid, geteuid());
	assert_string_equal(caller.who.unit, "a.service");
	/* Whoever has the number began after the connection did. */
	caller_of_peer(callers, NULL, sockets[0], 4999, &caller);
	assert_false(caller.who.identified);
	assert_int_equal(caller.who.uid, geteuid());
	needs_cgroup = false;
	caller_of_peer(callers, NULL, sockets[0], 4999, &caller);
	assert_true(caller.who.identified);
	/* No socket, nobody. */
	caller_of_peer(callers, NULL, -1, 5000, &caller);
	assert_false(caller.who.identified);
	assert_int_equal(caller.who.uid, (uid_t)-1);
	close(sockets[0]);
	close(sockets[1]);
	atomic_store(&now_ms, 123456);
	assert_int_equal(caller_now(), 123456 * sysconf(_SC_CLK_TCK) / 1000);
}

/* A peer with N groups, where they matter, and where they do not. */
static void check_groups(size_t n, bool identified)
{
	static gid_t groups[CALLER_GROUPS_MAX + 1];
	struct caller caller;
	int sockets[2];

	for (size_t i = 0; i < n; i++)
		groups[i] = (gid_t)(1000 + i);
	assert_int_equal(setgroups(n, groups), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	needs_groups = true;
	caller_of_peer(callers, NULL, sockets[0], 5000, &caller);
	assert_int_equal(caller.who.identified, identified);
	assert_int_equal(caller.who.n_groups, identified ? n : 0);
	caller_of_self(NULL, &caller);
	assert_int_equal(caller.who.identified, identified);
	needs_groups = false;
	caller_of_peer(callers, NULL, sockets[0], 5000, &caller);
	assert_true(caller.who.identified);
	close(sockets[0]);
	close(sockets[1]);
}

static void test_groups_of_a_peer(void **state)
{
	if (geteuid() != 0)
		skip();
	needs_cgroup = false;
	check_groups(3, true);
	check_groups(CALLER_GROUPS_MAX, true);
	check_groups(CALLER_GROUPS_MAX + 1, false);
	check_groups(0, true);
}

/* In the real /proc: this process, its own thread. */
static void *find_self(void *arg)
{
	struct callers *real;
	struct caller *caller = arg;

	if (callers_new("/proc", "/sys/fs/cgroup", 0, &real) < 0)
		abort();
	ctx.pid = gettid();
	caller_of_request(real, NULL, NULL, caller);
	callers_free(real);
	return NULL;
}

static void test_self(void **state)
{
	struct caller caller, of_thread;
	pthread_t thread;

	needs_cgroup = false;
	caller_of_self(NULL, &caller);
	assert_true(caller.who.identified);
	assert_int_equal(caller.who.uid, getuid());
	needs_cgroup = true;
	caller_of_self(NULL, &caller);
	assert_int_equal(pthread_create(&thread, NULL, find_self, &of_thread), 0);
	pthread_join(thread, NULL);
	assert_int_equal(caller.who.identified, of_thread.who.identified);
	if (!caller.who.identified || !caller.who.cgroup)
		skip(); /* no cgroups here, or none of root's */
	assert_string_equal(caller.who.cgroup, of_thread.who.cgroup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threads, begin, end),
		cmocka_unit_test_setup_teardown(test_nobody, begin, end),
		cmocka_unit_test_setup_teardown(test_not_needed, begin, end),
		cmocka_unit_test_setup_teardown(test_two_looks, begin, end),
		cmocka_unit_test_setup_teardown(test_kept, begin, end),
		cmocka_unit_test_setup_teardown(test_many, begin, end),
		cmocka_unit_test_setup_teardown(test_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_namespaces, begin, end),
		cmocka_unit_test_setup_teardown(test_peer, begin, end),
		cmocka_unit_test_setup_teardown(test_groups_of_a_peer, begin, end),
		cmocka_unit_test_setup_teardown(test_self, begin, end),
	};

	return cmocka_run_group_tests_name("fs-caller", tests, trees_begin, trees_end);
}
