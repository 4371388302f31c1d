/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landed chunks into the store, on the writers' queue: neighbours in one write, one object by one thread at a time.
 * What arrives while a write is under way is what the next one takes together.
 */
#include <utlist.h>
#include "common/log.h"
#include "fs/objects/flight.h"
#include "fs/objects/kept.h"

struct run {
	struct flight *flights[STORE_RUN_MAX];
	struct iovec buffers[STORE_RUN_MAX];
	size_t n;
};

static int by_chunk(const struct flight *a, const struct flight *b)
{
	return a->chunk < b->chunk ? -1 : 1;
}

bool writing_add(struct flight *flight)
{
	struct object *object = flight->object;
	bool begin = !object->writing;

	/* Now, before anybody is answered: a reader may close as soon as it has its bytes. */
	flight->passing = object->passing > 0 && object->keeping == 0;
	DL_INSERT_INORDER(object->unwritten, flight, by_chunk);
	object->writing = true;
	return begin;
}

static void take_run(struct object *object, struct run *run)
{
	run->n = 0;
	pthread_mutex_lock(&object->lock);
	while (object->unwritten && run->n < STORE_RUN_MAX) {
		struct flight *flight = object->unwritten;

		if (run->n > 0 && (flight->chunk != run->flights[0]->chunk + run->n ||
				   flight->passing != run->flights[0]->passing))
			break;
		DL_DELETE(object->unwritten, flight);
		run->buffers[run->n] = (struct iovec){ flight->buffer, flight->length };
		run->flights[run->n++] = flight;
	}
	pthread_mutex_unlock(&object->lock);
}

static int store_run(struct object *object, const struct run *run)
{
	int r;

	if (run->flights[0]->passing) {
		atomic_store(&object->uncached, true); /* which was said at the open */
		return -EDQUOT;
	}
	r = store_object_put_run(object->store, run->flights[0]->chunk, run->buffers, run->n);
	/* Each run tries anew: there may be room again. */
	atomic_store(&object->uncached, r < 0);
	if (r < 0 && !atomic_exchange(&object->said_uncached, true)) {
		char name[DIGEST_NAME_SIZE];

		object_name(object, name);
		log_warning_errno(r, "%s: cannot be kept, and is served uncached", name);
	}
	return r;
}

/* The buffers are not needed any more, but may be of use. True: there is more to write. */
static bool keep_run(struct object *object, const struct run *run)
{
	bool consumed[STORE_RUN_MAX], more;

	pthread_mutex_lock(&object->lock);
	for (size_t i = 0; i < run->n; i++) {
		run->flights[i]->state = FLIGHT_KEPT;
		consumed[i] = run->flights[i]->consumed;
	}
	more = object->unwritten != NULL;
	object->writing = more;
	pthread_mutex_unlock(&object->lock);
	/* In the list they are anybody's to end. */
	for (size_t i = 0; i < run->n; i++) {
		if (consumed[i])
			flight_leave(run->flights[i]);
		else
			kept_add(object->fs->kept, run->flights[i]);
	}
	return more;
}

static void write_run(struct work *work)
{
	struct object *object = container_of(work, struct object, write_work);
	struct run run;
	bool more;
	int r;

	take_run(object, &run);
	r = store_run(object, &run);
	more = keep_run(object, &run);
	kept_trim(object->fs->kept);
	if (atomic_load(&object->handles) == 0)
		kept_drop(object->fs->kept, object);
	/* What readers may not keep is no failure of who pulls. */
	object_news(object, r == -EDQUOT ? 0 : r);
	if (r == 0) {
		layout_consider(object);
		finish_if_due(object);
	}
	if (more)
		workqueue_submit(object->fs->writers, &object->write_work);
	else
		object_put(object);
}

void writing_begin(struct object *object)
{
	object->write_work.run = write_run;
	workqueue_submit(object->fs->writers, &object_ref(object)->write_work);
}
