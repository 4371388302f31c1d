/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How opens begin and end. The store, libfuse and the device are stand-ins; handles, modes and the work queue are
 * the real ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include "fs/objects/kept.h"
#include "fs/origins/quota.h"
#include "fs/requests/handle.h"
#include "fs/requests/node.h"
#include "fs/requests/opening.h"
#include "fs/requests/passthrough.h"
#include "fs/requests/wire.h"
#include "tests/unit/fuse-standin.h"

#define OBJECT 42
#define GIB    ((uint64_t)1 << 30)

/* ---- stand-ins ---- */

struct store_object {
	atomic_bool complete;
	int fd;
	uint64_t size;
};

bool store_object_complete(const struct store_object *object)
{
	return atomic_load(&object->complete);
}

int store_object_fd(const struct store_object *object)
{
	return object->fd;
}

uint64_t store_object_size(const struct store_object *object)
{
	return object->size;
}

/* Views 3 and 7 opened the object at some time. */
int store_next_user(struct store *store, uint64_t id, uint32_t after, uint32_t *view,
		    int64_t *last_open)
{
	if (id != OBJECT || after >= 7)
		return -ENOENT;
	*view = after < 3 ? 3 : 7;
	*last_open = 1;
	return 0;
}

void quota_close(struct handle *handle)
{
}

void kept_drop(struct kept *kept, const struct object *object)
{
}

void object_put(struct object *object)
{
	atomic_fetch_sub(&object->references, 1);
}

static struct {
	int reply_error; /* what the next replies end with */
	bool keep_cache; /* of the last one */
	int32_t backing_id;
	unsigned int opened, closed;
} device;

int wire_reply_open(fuse_req_t request, struct fuse_file_info *fi, int32_t backing_id)
{
	device.keep_cache = fi->keep_cache;
	device.backing_id = backing_id;
	fuse_reply_err(request, 0);
	return device.reply_error;
}

int32_t wire_backing_open(int dev, int fd)
{
	return (int32_t)++device.opened;
}

void wire_backing_close(int dev, int32_t id)
{
	device.closed++;
}

/* What was dropped: nodes, each with the bytes from its start on. */
static struct {
	pthread_mutex_t lock;
	struct {
		uint64_t node, bytes;
	} nodes[8];
	size_t n;
	unsigned int gaps;
	int error;
	struct passthrough *watched; /* nobody may open what is being dropped */
} dropped = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	pthread_mutex_lock(&dropped.lock);
	if (dropped.n == 0 || dropped.nodes[dropped.n - 1].node != ino) {
		dropped.nodes[dropped.n].node = ino;
		dropped.nodes[dropped.n++].bytes = 0;
	}
	dropped.gaps += dropped.nodes[dropped.n - 1].bytes != (uint64_t)off ||
			passthrough_claim_idle(dropped.watched, ino);
	dropped.nodes[dropped.n - 1].bytes += (uint64_t)len;
	pthread_mutex_unlock(&dropped.lock);
	return dropped.error;
}

/* ---- each test has ---- */

struct scene {
	struct weightfs fs;
	struct store_object store;
	struct object object;
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	if (!scene || passthrough_new(true, &scene->fs.passthrough) < 0)
		return -1;
	passthrough_begin(scene->fs.passthrough, true, 1, 1);
	scene->fs.session = (struct fuse_session *)scene; /* only passed on */
	atomic_store(&scene->fs.serving, true);
	scene->store.fd = 5;
	scene->store.size = 3 * GIB + 5;
	scene->object.fs = &scene->fs;
	scene->object.id = OBJECT;
	scene->object.store = &scene->store;
	memset(&device, 0, sizeof(device));
	dropped.n = 0;
	dropped.gaps = 0;
	dropped.error = 0;
	dropped.watched = scene->fs.passthrough;
	*state = scene;
	return workqueue_new(1, "background", &scene->fs.background);
}

/* Whatever a test opened, it has released. */
static int teardown(void **state)
{
	struct scene *scene = *state;
	struct passthrough_counts counts;
	int r = 0;

	workqueue_free(scene->fs.background);
	passthrough_counts(scene->fs.passthrough, &counts);
	if (counts.cached + counts.through || device.opened != device.closed || dropped.gaps ||
	    atomic_load(&scene->object.references) || atomic_load(&scene->object.handles))
		r = -1;
	passthrough_free(scene->fs.passthrough);
	handle_close_all();
	free(scene);
	return r;
}

/* All that was left to the background has been done. */
static void settle(struct scene *scene)
{
	workqueue_free(scene->fs.background);
	assert_int_equal(workqueue_new(1, "background", &scene->fs.background), 0);
}

static uint64_t node_of(uint32_t view, unsigned int slot)
{
	return node_id(
		(struct node){.kind = NODE_OBJECT, .view = view, .object = OBJECT, .slot = slot});
}

static int try_open(struct scene *scene, uint32_t view, unsigned int slot, uint64_t *fh)
{
	struct fuse_file_info fi = {0};
	struct outcome outcome;
	fuse_req_t request = standin_request(&scene->fs, 0, &outcome);
	int r;

	atomic_fetch_add(&scene->object.references, 1);
	assert_int_equal(handle_open(&scene->object, &fi.fh), 0);
	handle_get(fi.fh)->node = node_of(view, slot);
	r = opening_reply(request, &fi);
	assert_int_equal(atomic_load(&outcome.answers), 1);
	*fh = fi.fh;
	return r;
}

static uint64_t open_slot(struct scene *scene, uint32_t view, unsigned int slot)
{
	uint64_t fh;

	assert_int_equal(try_open(scene, view, slot, &fh), 0);
	return fh;
}

static void assert_dropped(size_t index, uint32_t view)
{
	assert_true(index < dropped.n);
	assert_int_equal(dropped.nodes[index].node, node_of(view, 0));
	assert_true(dropped.nodes[index].bytes >= 3 * GIB + 5);
}

/* ---- replies ---- */

static void test_partial_is_cached(void **state)
{
	struct scene *scene = *state;
	uint64_t fh = open_slot(scene, 3, 0), other;

	assert_int_equal(device.backing_id, 0);
	assert_true(device.keep_cache);
	atomic_store(&scene->store.complete, true);
	other = open_slot(scene, 3, 0);
	assert_int_equal(device.backing_id, 0);
	assert_true(device.keep_cache);
	opening_end(&scene->fs, fh);
	opening_end(&scene->fs, other);
}

static void test_complete_is_passed_through(void **state)
{
	struct scene *scene = *state;
	uint64_t fh, other;

	atomic_store(&scene->store.complete, true);
	fh = open_slot(scene, 3, 1);
	assert_int_equal(device.backing_id, 1);
	assert_false(device.keep_cache);
	/* OPEN serves either slot in any state. */
	other = open_slot(scene, 3, 0);
	assert_int_equal(device.backing_id, 2);
	assert_false(device.keep_cache);
	opening_end(&scene->fs, fh);
	opening_end(&scene->fs, other);
	/* An empty object may have no file. */
	scene->store.fd = -1;
	scene->store.size = 0;
	fh = open_slot(scene, 3, 1);
	assert_int_equal(device.backing_id, 0);
	opening_end(&scene->fs, fh);
}

static void test_nobody_takes_the_reply(void **state)
{
	struct scene *scene = *state;
	struct passthrough_counts counts;
	uint64_t fh, failed;

	atomic_store(&scene->store.complete, true);
	device.reply_error = -ENOENT;
	assert_int_equal(try_open(scene, 3, 1, &failed), -ENOENT);
	assert_int_equal(device.opened, 1);
	assert_int_equal(device.closed, 1);
	handle_close(failed); /* the caller's */
	device.reply_error = 0;
	fh = open_slot(scene, 3, 1);
	device.reply_error = -ENOENT;
	assert_int_equal(try_open(scene, 3, 1, &failed), -ENOENT);
	handle_close(failed);
	passthrough_counts(scene->fs.passthrough, &counts);
	assert_int_equal(counts.through, 1);
	assert_int_equal(device.closed, 1);
	opening_end(&scene->fs, fh);
}

/* ---- what is dropped ---- */

static void test_last_release_drops(void **state)
{
	struct scene *scene = *state;
	uint64_t a = open_slot(scene, 3, 0), b = open_slot(scene, 3, 0), c = open_slot(scene, 7, 0);

	atomic_store(&scene->store.complete, true);
	opening_completed(&scene->object);
	opening_end(&scene->fs, a);
	settle(scene);
	assert_int_equal(dropped.n, 0);
	opening_end(&scene->fs, b);
	settle(scene);
	assert_int_equal(dropped.n, 1);
	assert_dropped(0, 3);
	opening_end(&scene->fs, c);
	settle(scene);
	assert_int_equal(dropped.n, 2);
	assert_dropped(1, 7);
}

static void test_completion_drops(void **state)
{
	struct scene *scene = *state;
	uint64_t fh = open_slot(scene, 3, 0);

	/* While it is partial, what was read may be read again. */
	opening_end(&scene->fs, fh);
	settle(scene);
	assert_int_equal(dropped.n, 0);
	fh = open_slot(scene, 7, 0);
	atomic_store(&scene->store.complete, true);
	opening_completed(&scene->object);
	assert_int_equal(dropped.n, 1); /* not what is open in view 7 */
	assert_dropped(0, 3);
	opening_end(&scene->fs, fh);
	settle(scene);
	assert_int_equal(dropped.n, 2);
	assert_dropped(1, 7);
}

static void test_slot_1_is_kept(void **state)
{
	struct scene *scene = *state;
	uint64_t fh;

	atomic_store(&scene->store.complete, true);
	fh = open_slot(scene, 3, 1);
	opening_end(&scene->fs, fh);
	settle(scene);
	assert_int_equal(dropped.n, 0);
}

static void test_unknown_to_the_kernel(void **state)
{
	struct scene *scene = *state;

	dropped.error = -ENOENT;
	atomic_store(&scene->store.complete, true);
	opening_completed(&scene->object);
	assert_int_equal(dropped.n, 2);
	assert_true(dropped.nodes[0].bytes < scene->store.size); /* asked once each */
	assert_int_equal(dropped.nodes[1].node, node_of(7, 0));
	/* At the end of the daemon nothing waits for the kernel. */
	dropped.n = 0;
	atomic_store(&scene->fs.stopping, true);
	opening_completed(&scene->object);
	assert_int_equal(dropped.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_partial_is_cached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_complete_is_passed_through, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_takes_the_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_release_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_completion_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slot_1_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_to_the_kernel, setup, teardown),
	};

	return cmocka_run_group_tests_name("fs-opening", tests, NULL, NULL);
}
