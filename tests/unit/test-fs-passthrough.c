/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modes and backing ids of nodes, against a model of what the kernel insists on: no two modes and no two backing
 * files on one inode at a time, and only ids that are registered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "fs/requests/passthrough.h"
#include "fs/requests/wire.h"

#define DEVICE 70
#define PROBE  80
#define FD     90
#define IDS    4096

/* ---- stands in for fs/requests/wire.c: the kernel's table of backing files ---- */

static struct {
	pthread_mutex_t lock;
	bool registered[IDS]; /* protected by lock, like the rest */
	int32_t next;
	unsigned int opened, closed, wrong;
	int error;		/* that registering fails with; 0: it works */
	unsigned int fail_each; /* every so many registrations fail; 0: none */
	unsigned int calls;
	int last_fd;
} kernel = {.lock = PTHREAD_MUTEX_INITIALIZER};

int32_t wire_backing_open(int device, int fd)
{
	int32_t id;

	sched_yield();
	pthread_mutex_lock(&kernel.lock);
	kernel.wrong += device != DEVICE;
	kernel.last_fd = fd;
	kernel.calls++;
	if (kernel.error) {
		id = -kernel.error;
	} else if (kernel.fail_each && kernel.calls % kernel.fail_each == 0) {
		id = -ENOMEM;
	} else {
		do
			kernel.next = kernel.next % (IDS - 1) + 1;
		while (kernel.registered[kernel.next]);
		id = kernel.next;
		kernel.registered[id] = true;
		kernel.opened++;
	}
	pthread_mutex_unlock(&kernel.lock);
	return id;
}

void wire_backing_close(int device, int32_t id)
{
	sched_yield();
	pthread_mutex_lock(&kernel.lock);
	kernel.wrong += device != DEVICE || id <= 0 || id >= IDS || !kernel.registered[id];
	kernel.registered[id] = false;
	kernel.closed++;
	pthread_mutex_unlock(&kernel.lock);
}

static int setup(void **state)
{
	struct passthrough *passthrough;

	kernel.error = 0;
	kernel.fail_each = kernel.opened = kernel.closed = kernel.wrong = kernel.calls = 0;
	if (passthrough_new(true, &passthrough) < 0)
		return -1;
	passthrough_begin(passthrough, true, DEVICE, PROBE);
	kernel.opened = kernel.closed = 0;
	*state = passthrough;
	return 0;
}

/* Every test gives everything back. */
static int teardown(void **state)
{
	struct passthrough_counts counts;

	passthrough_counts(*state, &counts);
	passthrough_free(*state);
	return counts.cached + counts.through == 0 && kernel.opened == kernel.closed &&
			       kernel.wrong == 0
		       ? 0
		       : -1;
}

static int32_t open_node(struct passthrough *passthrough, uint64_t node, int fd)
{
	int32_t id = -1;

	assert_int_equal(passthrough_open(passthrough, node, fd, &id), 0);
	return id;
}

static void assert_counts(struct passthrough *passthrough, uint64_t through, uint64_t cached)
{
	struct passthrough_counts counts;

	passthrough_counts(passthrough, &counts);
	assert_int_equal(counts.through, through);
	assert_int_equal(counts.cached, cached);
}

/* ---- is it possible? ---- */

static void assert_off(bool wanted, bool agreed, int error, const char *reason)
{
	struct passthrough *passthrough;

	kernel.error = error;
	assert_int_equal(passthrough_new(wanted, &passthrough), 0);
	assert_int_equal(passthrough_wanted(passthrough), wanted);
	assert_false(passthrough_active(passthrough));
	passthrough_begin(passthrough, agreed, DEVICE, PROBE);
	assert_false(passthrough_active(passthrough));
	assert_non_null(strstr(passthrough_reason(passthrough), reason));
	kernel.calls = 0;
	assert_int_equal(open_node(passthrough, 5, FD), 0);
	assert_int_equal(kernel.calls, 0);
	assert_counts(passthrough, 0, 1);
	assert_true(passthrough_close(passthrough, 5));
	passthrough_free(passthrough);
	kernel.error = 0;
}

static void test_reasons(void **state)
{
	assert_off(false, true, 0, "-o nopassthrough");
	assert_off(true, false, 0, "kernel does not offer");
	assert_off(true, true, EPERM, "CAP_SYS_ADMIN");
	assert_off(true, true, ELOOP, "stacked filesystem");
	assert_off(true, true, EOPNOTSUPP, strerror(EOPNOTSUPP));
}

static void test_active(void **state)
{
	struct passthrough *passthrough;

	assert_int_equal(passthrough_new(true, &passthrough), 0);
	/* Opens that come before INIT is through are cached, and stay so. */
	assert_int_equal(open_node(passthrough, 5, FD), 0);
	assert_non_null(passthrough_reason(passthrough));
	kernel.opened = kernel.closed = 0;
	passthrough_begin(passthrough, true, DEVICE, PROBE);
	assert_true(passthrough_active(passthrough));
	assert_null(passthrough_reason(passthrough));
	assert_int_equal(kernel.last_fd, PROBE);
	assert_int_equal(kernel.opened, 1);
	assert_int_equal(kernel.closed, 1);
	assert_int_equal(open_node(passthrough, 5, FD), 0);
	assert_false(passthrough_close(passthrough, 5));
	assert_true(passthrough_close(passthrough, 5));
	passthrough_free(passthrough);
}

/* ---- modes ---- */

static void test_one_id_a_node(void **state)
{
	struct passthrough *passthrough = *state;
	int32_t id = open_node(passthrough, 8, FD), other;

	assert_true(id > 0);
	assert_int_equal(kernel.last_fd, FD);
	assert_int_equal(open_node(passthrough, 8, FD), id);
	assert_int_equal(open_node(passthrough, 8, FD), id);
	assert_int_equal(kernel.opened, 1);
	/* The same file in another view, or slot, is another inode to the kernel. */
	other = open_node(passthrough, 9, FD);
	assert_true(other > 0 && other != id);
	assert_counts(passthrough, 4, 0);
	assert_false(passthrough_close(passthrough, 8));
	assert_false(passthrough_close(passthrough, 8));
	assert_int_equal(kernel.closed, 0);
	assert_true(passthrough_close(passthrough, 8));
	assert_int_equal(kernel.closed, 1);
	assert_false(kernel.registered[id]);
	assert_true(kernel.registered[other]);
	assert_true(passthrough_close(passthrough, 9));
	assert_counts(passthrough, 0, 0);
}

static void test_first_open_fixes_the_mode(void **state)
{
	struct passthrough *passthrough = *state;
	int32_t id;

	/* Partial at first, complete later: cached as long as anybody has it. */
	assert_int_equal(open_node(passthrough, 8, -1), 0);
	assert_int_equal(open_node(passthrough, 8, FD), 0);
	assert_false(passthrough_close(passthrough, 8));
	assert_int_equal(open_node(passthrough, 8, FD), 0);
	assert_counts(passthrough, 0, 2);
	assert_false(passthrough_close(passthrough, 8));
	assert_true(passthrough_close(passthrough, 8));
	assert_int_equal(kernel.opened, 0);
	/* And anew. */
	id = open_node(passthrough, 8, FD);
	assert_true(id > 0);
	assert_int_equal(open_node(passthrough, 8, FD), id);
	assert_counts(passthrough, 2, 0);
	assert_false(passthrough_close(passthrough, 8));
	/* Found to be damaged: nobody else gets at it past us. */
	assert_int_equal(passthrough_open(passthrough, 8, -1, &id), -ESTALE);
	assert_counts(passthrough, 1, 0);
	assert_true(passthrough_close(passthrough, 8));
	assert_int_equal(open_node(passthrough, 8, -1), 0);
	assert_true(passthrough_close(passthrough, 8));
}

static void test_registering_fails(void **state)
{
	struct passthrough *passthrough = *state;

	kernel.error = ENOMEM;
	assert_int_equal(open_node(passthrough, 8, FD), 0);
	kernel.error = 0;
	/* It could be registered now, but the mode is fixed. */
	assert_int_equal(open_node(passthrough, 8, FD), 0);
	assert_counts(passthrough, 0, 2);
	assert_true(open_node(passthrough, 9, FD) > 0);
	assert_true(passthrough_active(passthrough));
	passthrough_close(passthrough, 9);
	passthrough_close(passthrough, 8);
	passthrough_close(passthrough, 8);
	assert_true(open_node(passthrough, 8, FD) > 0);
	passthrough_close(passthrough, 8);
}

static void test_claims(void **state)
{
	struct passthrough *passthrough = *state;

	open_node(passthrough, 8, FD);
	open_node(passthrough, 9, -1);
	assert_false(passthrough_claim_idle(passthrough, 8));
	assert_false(passthrough_claim_idle(passthrough, 9));
	assert_true(passthrough_claim_idle(passthrough, 10));
	assert_false(passthrough_claim_idle(passthrough, 10));
	assert_counts(passthrough, 1, 1);
	passthrough_unclaim(passthrough, 10);
	passthrough_close(passthrough, 8);
	passthrough_close(passthrough, 9);
	assert_true(passthrough_claim_idle(passthrough, 8));
	passthrough_unclaim(passthrough, 8);
	assert_true(open_node(passthrough, 10, FD) > 0);
	passthrough_close(passthrough, 10);
}

/* ---- threads ---- */

#define NODES	5
#define THREADS 6
#define ROUNDS	30000
#define OPEN	8

/* What the kernel has of a node: counted after the reply, given up before the RELEASE. */
static struct {
	pthread_mutex_t lock;
	unsigned int opens; /* protected by lock, like the rest */
	int32_t id;
} inodes[NODES];
static atomic_uint violations;

static void kernel_opens(uint64_t node, int32_t id)
{
	bool registered;

	pthread_mutex_lock(&kernel.lock);
	registered = id == 0 || kernel.registered[id];
	pthread_mutex_unlock(&kernel.lock);
	pthread_mutex_lock(&inodes[node].lock);
	if (!registered || (inodes[node].opens > 0 && inodes[node].id != id))
		atomic_fetch_add(&violations, 1);
	inodes[node].opens++;
	inodes[node].id = id;
	pthread_mutex_unlock(&inodes[node].lock);
}

static void kernel_releases(uint64_t node)
{
	pthread_mutex_lock(&inodes[node].lock);
	inodes[node].opens--;
	pthread_mutex_unlock(&inodes[node].lock);
}

static bool kernel_has(uint64_t node)
{
	bool has;

	pthread_mutex_lock(&inodes[node].lock);
	has = inodes[node].opens > 0;
	pthread_mutex_unlock(&inodes[node].lock);
	return has;
}

/* A claimed node is nobody's. */
static void claim(struct passthrough *passthrough, uint64_t node)
{
	if (!passthrough_claim_idle(passthrough, node))
		return;
	for (int i = 0; i < 3; i++) {
		if (kernel_has(node))
			atomic_fetch_add(&violations, 1);
		sched_yield();
	}
	passthrough_unclaim(passthrough, node);
}

struct user {
	struct passthrough *passthrough;
	unsigned int seed;
	unsigned int through, cached;
};

static unsigned int draw(struct user *user, unsigned int sides)
{
	user->seed = user->seed * 1103515245 + 12345;
	return (user->seed >> 8) % sides;
}

static void *use_nodes(void *arg)
{
	struct user *user = arg;
	uint64_t open[OPEN];
	size_t n = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint64_t node = draw(user, NODES);
		unsigned int what = draw(user, 8);

		if (what == 0) {
			claim(user->passthrough, node);
		} else if (n < OPEN && what < 4) {
			int fd = draw(user, 3) ? FD : -1, r;
			int32_t id;

			r = passthrough_open(user->passthrough, node, fd, &id);
			if (r == -ESTALE && fd < 0)
				continue; /* it is passed through at the moment */
			if (r < 0)
				abort();
			*(id ? &user->through : &user->cached) += 1;
			/* Some replies find nobody. */
			if (draw(user, 10) == 0) {
				passthrough_close(user->passthrough, node);
				continue;
			}
			kernel_opens(node, id);
			open[n++] = node;
		} else if (n > 0) {
			size_t at = draw(user, (unsigned int)n);

			kernel_releases(open[at]);
			passthrough_close(user->passthrough, open[at]);
			open[at] = open[--n];
		}
	}
	while (n > 0) {
		kernel_releases(open[--n]);
		passthrough_close(user->passthrough, open[n]);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct user users[THREADS];
	pthread_t threads[THREADS];
	unsigned int through = 0, cached = 0;

	kernel.fail_each = 7;
	for (size_t i = 0; i < NODES; i++)
		pthread_mutex_init(&inodes[i].lock, NULL);
	for (unsigned int i = 0; i < THREADS; i++) {
		users[i] = (struct user){.passthrough = *state, .seed = i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, use_nodes, &users[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		through += users[i].through;
		cached += users[i].cached;
	}
	assert_int_equal(atomic_load(&violations), 0);
	/* Both modes were seen, and ids came and went. */
	assert_true(through > 1000 && cached > 1000);
	assert_true(kernel.opened > 100);
	assert_counts(*state, 0, 0);
	for (size_t i = 0; i < NODES; i++)
		pthread_mutex_destroy(&inodes[i].lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_active),
		cmocka_unit_test_setup_teardown(test_one_id_a_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_open_fixes_the_mode, setup, teardown),
		cmocka_unit_test_setup_teardown(test_registering_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests_name("fs-passthrough", tests, NULL, NULL);
}
