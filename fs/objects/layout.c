/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/layout.h"

#include <errno.h>
#include "common/log.h"
#include "fs/objects/object.h"

#define SETTLED UINT64_MAX /* for `needed`: there will be no further attempt */

static void parse(struct work *work);

void layout_init(struct layout *layout)
{
	atomic_init(&layout->tensors, NULL);
	atomic_init(&layout->needed, 1); /* of the first chunk */
	atomic_init(&layout->busy, false);
	layout->work.run = parse;
}

void layout_clear(struct layout *layout)
{
	tensors_free(atomic_load(&layout->tensors));
}

const struct tensors *layout_tensors(struct layout *layout)
{
	return atomic_load_explicit(&layout->tensors, memory_order_acquire);
}

/* Is [OFFSET, OFFSET + LEN) here, and verified? The last chunk first: it comes last. */
static bool is_here(struct object *object, uint64_t offset, uint64_t len)
{
	uint64_t first = offset / CHUNK_SIZE;

	for (uint64_t chunk = chunk_count(offset + len); chunk-- > first;) {
		if (store_object_presence(object->store, chunk) != STORE_PRESENT)
			return false;
	}
	return true;
}

static int read_verified(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct object *object = arg;

	if (!is_here(object, offset, len))
		return -ENODATA;
	return store_object_read(object->store, offset, buf, len);
}

/* The next attempt needs the first NEED bytes. It must need more than this one, or it would be the last. */
static bool want_more(struct object *object, uint64_t need)
{
	struct layout *layout = &object->layout;

	if (need <= atomic_load(&layout->needed))
		return false;
	atomic_store(&layout->needed, need);
	pipeline_fetch(object, atomic_load(&layout->uid), (struct chunk_run){0, chunk_count(need)});
	return true;
}

static void parse(struct work *work)
{
	struct object *object = container_of(work, struct object, layout.work);
	struct layout *layout = &object->layout;
	struct tensors *tensors = NULL;
	uint64_t need;
	bool again;
	int r;

	r = tensors_parse(store_object_size(object->store), read_verified, object, &tensors, &need);
	again = r == -ENODATA && want_more(object, need);
	if (r == 0) {
		log_debug("object %llu: %zu tensors", (unsigned long long)object->id,
			  tensors_count(tensors));
		atomic_store_explicit(&layout->tensors, tensors, memory_order_release);
	}
	if (!again)
		atomic_store(&layout->needed, SETTLED);
	atomic_store(&layout->busy, false);
	/* What was missing may have come before it was said to be. */
	layout_consider(object);
	object_put(object);
}

void layout_consider(struct object *object)
{
	struct layout *layout = &object->layout;
	uint64_t needed = atomic_load(&layout->needed);

	if (needed == SETTLED || needed > store_object_size(object->store) ||
	    atomic_load(&object->fs->stopping) || !is_here(object, 0, needed) ||
	    atomic_exchange(&layout->busy, true))
		return;
	/* Another attempt may have ended in between. */
	if (atomic_load(&layout->needed) != needed) {
		atomic_store(&layout->busy, false);
		return;
	}
	object_ref(object);
	workqueue_submit(object->fs->background, &layout->work);
}
