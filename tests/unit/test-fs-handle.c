/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: numbers that are used again, found without a lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include "fs/objects/kept.h"
#include "fs/origins/quota.h"
#include "fs/requests/handle.h"

static struct weightfs fs;

/* Stand-ins: for fs/objects/kept.c, and for fs/objects/object.c: the reference that a handle takes over. */
void quota_close(struct handle *handle)
{
}

void kept_drop(struct kept *kept, const struct object *object)
{
	assert_ptr_equal(kept, NULL);
}

void object_put(struct object *object)
{
	atomic_fetch_sub(&object->references, 1);
}

static void test_reuse(void **state)
{
	struct object a = {.fs = &fs, .references = 3}, b = {.fs = &fs, .references = 1};
	uint64_t first, second, third;

	assert_int_equal(handle_open(&a, &first), 0);
	assert_int_equal(handle_open(&a, &second), 0);
	assert_true(first != second);
	assert_int_equal(atomic_load(&a.handles), 2);
	assert_int_equal(atomic_load(&a.references), 3); /* taken over */
	assert_ptr_equal(handle_get(first)->object, &a);
	handle_get(first)->prefetch = calloc(1, sizeof(struct prefetch)); /* freed with it */
	handle_close(first);
	assert_int_equal(atomic_load(&a.handles), 1);
	assert_int_equal(atomic_load(&a.references), 2);

	/* The number is used again, and remembers nothing. */
	assert_int_equal(handle_open(&b, &third), 0);
	assert_true(third == first);
	assert_ptr_equal(handle_get(third)->object, &b);
	assert_null(handle_get(third)->prefetch);
	assert_ptr_equal(handle_get(second)->object, &a);
	handle_close(second);
	handle_close(third);
	assert_int_equal(atomic_load(&b.references), 0);
	assert_int_equal(atomic_load(&a.references), 1);
	handle_close_all();
}

#define MOST ((size_t)1 << 20)

static void test_all(void **state)
{
	struct object object = {.fs = &fs, .references = MOST + 1};
	struct handle *first;
	uint64_t fh = 0;

	assert_int_equal(handle_open(&object, &fh), 0);
	first = handle_get(fh);
	for (size_t i = 1; i < MOST; i++) {
		if (handle_open(&object, &fh) != 0 || fh != i)
			fail_msg("handle %zu", i);
	}
	/* They are never moved. */
	assert_ptr_equal(handle_get(0), first);
	fh = 12345;
	assert_int_equal(handle_open(&object, &fh), -ENFILE);
	assert_int_equal(fh, 12345);
	assert_int_equal(atomic_load(&object.handles), MOST);
	assert_int_equal(atomic_load(&object.references), MOST + 1);
	handle_close(777);
	assert_int_equal(handle_open(&object, &fh), 0);
	assert_int_equal(fh, 777);
	atomic_fetch_add(&object.references, 1);
	/* Those that are still open are closed, those that are not are let alone. */
	handle_close(5);
	handle_close_all();
	assert_int_equal(atomic_load(&object.handles), 0);
	assert_int_equal(atomic_load(&object.references), 1);
	/* And all begins anew. */
	assert_int_equal(handle_open(&object, &fh), 0);
	assert_int_equal(fh, 0);
	handle_close_all();
	assert_int_equal(atomic_load(&object.references), 0);
}

#define THREADS 6
#define OPEN	40
#define ROUNDS	20000

struct user {
	struct object object;
	unsigned int seed;
	unsigned int wrong;
};

static void leave_mark(struct handle *handle, uint64_t mark)
{
	handle->prefetch = calloc(1, sizeof(*handle->prefetch));
	if (!handle->prefetch)
		abort();
	handle->prefetch->streams.last_span = mark;
}

/* Each handle is its opener's, with what its opener left in it. */
static void *use_handles(void *arg)
{
	struct user *user = arg;
	uint64_t open[OPEN], marks[OPEN];
	size_t n = 0;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		size_t at;

		user->seed = user->seed * 1103515245 + 12345;
		if (n == 0 || (n < OPEN && user->seed >> 30 & 1)) {
			atomic_fetch_add(&user->object.references, 1);
			if (handle_open(&user->object, &open[n]) < 0)
				abort();
			marks[n] = user->seed;
			user->wrong += handle_get(open[n])->prefetch != NULL;
			leave_mark(handle_get(open[n]), marks[n]);
			n++;
			continue;
		}
		at = (user->seed >> 8) % n;
		user->wrong += handle_get(open[at])->object != &user->object ||
			       handle_get(open[at])->prefetch->streams.last_span != marks[at];
		handle_close(open[at]);
		open[at] = open[--n];
		marks[at] = marks[n];
	}
	while (n > 0)
		handle_close(open[--n]);
	return NULL;
}

static void test_threads(void **state)
{
	struct user users[THREADS];
	pthread_t threads[THREADS];
	struct object object = {.fs = &fs, .references = 1};
	uint64_t fh;

	memset(users, 0, sizeof(users));
	for (unsigned int i = 0; i < THREADS; i++) {
		users[i].seed = i + 1;
		users[i].object.fs = &fs;
		assert_int_equal(pthread_create(&threads[i], NULL, use_handles, &users[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(users[i].wrong, 0);
		assert_int_equal(atomic_load(&users[i].object.handles), 0);
		assert_int_equal(atomic_load(&users[i].object.references), 0);
	}
	/* Never more numbers than handles that were open at a time. */
	assert_int_equal(handle_open(&object, &fh), 0);
	assert_true(fh < THREADS * OPEN);
	handle_close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("fs-handle", tests, NULL, NULL);
}
