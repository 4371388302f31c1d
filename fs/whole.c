/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unattested objects: only the SHA-256 is known, which no part of the file can be checked against. So
 * all of it is fetched, in parallel, hashed in order behind the fetch, and only then opened.
 *
 * Attempts. One fetches all chunks that are absent from any source that is not excluded. If the hash
 * comes out wrong and one source served everything, that one lied; if several did, each is tried
 * alone. Chunks that an earlier daemon received count, too; if they spoil the hash, nobody is blamed and
 * all is fetched anew. When no source is left, another one may know another size.
 *
 * `pending` counts transfers, and chunks on the way to the store; the attempt ends when it is zero and
 * either something failed, or everything is hashed.
 */
#include <inttypes.h>
#include <stdio.h>
#include "common/log.h"
#include "fs/handle.h"

struct opening {
	struct parked parked;
	struct fuse_file_info fi;
	bool opened; /* the kernel knows the handle */
	struct opening *next;
};

struct whole {
	struct object *object;
	struct opening *openings; /* protected by the object's lock, like all to `hashing` */
	unsigned int pending;
	int error;
	uint64_t contributed; /* sources that served chunks in this attempt */
	bool hashing;
	bool resumed; /* some chunks came from an earlier daemon */
	/* Between attempts, and in the hash job: one thread at a time. */
	uint64_t lied, suspects, sized;
	bool lied_grew;
	uint64_t hashed; /* chunks */
	struct verify_stream *stream;
	struct work hash_work, end_work;
	struct fetch_request size_request;
	char message[FETCH_MESSAGE_SIZE]; /* of the last failure */
};

struct whole_transfer {
	struct fetch_request request;
	struct whole *whole;
	struct whole_transfer *next;
};

struct arrival {
	struct work work;
	struct whole *whole;
	uint64_t chunk;
	void *buffer;
	size_t length;
};

static void begin_attempt(struct whole *whole, uint64_t excluded);

/* ---- those who wait ---- */

static void destroy_opening(struct parked *parked)
{
	struct opening *opening = container_of(parked, struct opening, parked);

	if (!opening->opened)
		handle_close(opening->fi.fh);
	free(opening);
}

static void answer_opening(struct weightfs *fs, struct opening *opening, int error)
{
	if (unpark(fs->parking, &opening->parked)) {
		fuse_req_t request = opening->parked.request;

		/* A reply that finds nobody (-ENOENT) brings no RELEASE either. */
		if (error < 0)
			fuse_reply_err(request, -error);
		else
			opening->opened = fuse_reply_open(request, &opening->fi) == 0;
	}
	parked_unref(&opening->parked);
}

/* With the object's lock held. */
static bool anybody_waits(const struct whole *whole)
{
	for (const struct opening *opening = whole->openings; opening; opening = opening->next) {
		if (parked_waits(&opening->parked))
			return true;
	}
	return false;
}

/* The fetch is over: answer all, and let the next open begin a new one. */
static void conclude(struct whole *whole, int error)
{
	struct object *object = whole->object;
	struct opening *opening;

	pthread_mutex_lock(&object->lock);
	object->whole = NULL;
	opening = whole->openings;
	pthread_mutex_unlock(&object->lock);
	if (error < 0 && error != -ECANCELED) {
		char name[DIGEST_NAME_SIZE];

		object_name(object, name);
		if (whole->message[0])
			object_set_error(object, whole->message);
		log_error_errno(error, "%s: cannot be fetched whole: %s", name,
				whole->message[0] ? whole->message : "no source is left");
	}
	while (opening) {
		struct opening *next = opening->next;

		answer_opening(object->fs, opening, error == -ECANCELED ? -EINTR : error);
		opening = next;
	}
	verify_stream_free(whole->stream);
	free(whole);
	object_put(object);
}

/* ---- the verdict: on the background thread, it syncs ---- */

static int accept_result(struct whole *whole, struct verify_result *result)
{
	struct object *object = whole->object;
	struct digest_pair digests = {
		.has_sha256 = true,
		.sha256 = result->sha256,
		.has_fsverity = true,
		.fsverity = *verify_tree_fsverity(result->tree),
	};
	const void *front;
	size_t len;
	int r;

	front = verify_tree_front(result->tree, &len);
	r = store_object_finish(object->store, &digests, front, len);
	if (r < 0)
		return r;
	atomic_store(&object->tree, steal_pointer(result->tree));
	finish_drop_twin(object);
	return 0;
}

/* The bytes are wrong: who brought them? */
static void find_liar(struct whole *whole)
{
	struct weightfs *fs = whole->object->fs;
	uint64_t contributed = whole->contributed;
	char name[DIGEST_NAME_SIZE];

	object_name(whole->object, name);
	snprintf(whole->message, sizeof(whole->message), "the bytes received do not have this digest");
	if (whole->resumed) {
		log_warning("%s: what was received earlier does not verify; fetching it anew", name);
		whole->lied_grew = true; /* as good as: the next attempt is another one */
	} else if (contributed && !(contributed & (contributed - 1))) {
		fetch_blame(fs->fetch, (unsigned int)__builtin_ctzll(contributed), name);
		whole->lied |= contributed;
		whole->lied_grew = true;
	} else {
		whole->suspects |= contributed;
	}
}

static void size_known(struct fetch_request *request, const struct fetch_result *result);

static bool size_wanted(struct fetch_request *request)
{
	struct whole *whole = container_of(request, struct whole, size_request);
	bool wanted;

	pthread_mutex_lock(&whole->object->lock);
	wanted = anybody_waits(whole);
	pthread_mutex_unlock(&whole->object->lock);
	return wanted && !atomic_load(&whole->object->fs->stopping);
}

static const struct fetch_ops size_ops = { .wanted = size_wanted, .done = size_known };

static void next_attempt(struct whole *whole, int error)
{
	if (whole->suspects) {
		uint64_t alone = whole->suspects & -whole->suspects;

		whole->suspects &= ~alone;
		begin_attempt(whole, ~alone);
	} else if (whole->lied_grew) {
		whole->lied_grew = false;
		begin_attempt(whole, whole->lied);
	} else if (error == -EIO || error == -ENOENT) {
		whole->size_request = (struct fetch_request){
			.kind = FETCH_SIZE,
			.ops = &size_ops,
			.digests = object_digests(whole->object),
			.excluded = whole->lied | whole->sized,
		};
		fetch_submit(whole->object->fs->fetch, &whole->size_request);
	} else {
		conclude(whole, error);
	}
}

/* On the background thread: nothing is on its way any more. */
static void end_attempt(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, end_work);
	struct object *object = whole->object;
	struct verify_result result;
	int error = whole->error;
	bool waits;

	pthread_mutex_lock(&object->lock);
	waits = anybody_waits(whole);
	pthread_mutex_unlock(&object->lock);
	if (error == -ECANCELED && waits && !atomic_load(&object->fs->stopping)) {
		/* Somebody came after wanted() said that nobody was there. */
		begin_attempt(whole, whole->lied);
		return;
	}
	if (error == 0)
		error = verify_stream_finish(whole->stream, &result);
	if (error == 0) {
		struct digest_pair digests = object_digests(object);

		if (digest_equal(&result.sha256, &digests.sha256)) {
			error = accept_result(whole, &result);
			verify_tree_free(result.tree);
			conclude(whole, error);
			return;
		}
		verify_tree_free(result.tree);
		find_liar(whole);
		error = store_object_reset(object->store);
		if (error == 0)
			error = -EIO;
	}
	next_attempt(whole, error);
}

/* On the fetch thread. */
static void size_known(struct fetch_request *request, const struct fetch_result *result)
{
	struct whole *whole = container_of(request, struct whole, size_request);

	if (result->error < 0) {
		if (!whole->message[0])
			snprintf(whole->message, sizeof(whole->message), "%s", result->message);
		conclude(whole, result->error == -ENOENT ? -EIO : result->error);
		return;
	}
	whole->sized |= (uint64_t)1 << result->source;
	if (result->size == store_object_size(whole->object->store)) {
		next_attempt(whole, -EIO); /* asks the next source */
		return;
	}
	whole->error = store_object_resize(whole->object->store, result->size);
	if (whole->error < 0)
		conclude(whole, whole->error);
	else
		begin_attempt(whole, whole->lied);
}

/*
 * ---- hashing in order, behind the fetch: in the background, a chunk at a time, so that the verifiers
 * never get work from there (they are stopped first) ----
 */

/* With the object's lock held: an attempt is over when nothing is pending and this says so. */
static bool hash_done(const struct whole *whole)
{
	return whole->hashed == chunk_count(store_object_size(whole->object->store));
}

/*
 * With the object's lock held, by whoever just ended something: is the attempt over? Then that thread, and
 * no other, calls end(). For everybody else WHOLE may be gone as soon as the lock is dropped.
 */
static bool must_check claim_end(struct whole *whole)
{
	if (whole->pending > 0 || whole->hashing || (whole->error == 0 && !hash_done(whole)))
		return false;
	whole->pending = 1; /* the end itself */
	return true;
}

static void end(struct whole *whole)
{
	workqueue_submit(whole->object->fs->background, &whole->end_work);
}

/* With the object's lock held: is there a next chunk to hash, now? */
static bool hashable(const struct whole *whole)
{
	return whole->error == 0 && !hash_done(whole) &&
	       store_object_presence(whole->object->store, whole->hashed) == STORE_PRESENT;
}

static int hash_next(struct whole *whole)
{
	struct store_object *store = whole->object->store;
	size_t length = chunk_length(store_object_size(store), whole->hashed);
	_cleanup_free_ void *data = malloc(length);
	int r;

	if (!data)
		return -ENOMEM;
	r = store_object_read(store, whole->hashed * CHUNK_SIZE, data, length);
	return r < 0 ? r : verify_stream_update(whole->stream, data, length);
}

static void hash_chunk(struct work *work)
{
	struct whole *whole = container_of(work, struct whole, hash_work);
	struct object *object = whole->object;
	int r = hash_next(whole);
	bool more, last;

	pthread_mutex_lock(&object->lock);
	if (r < 0 && whole->error == 0)
		whole->error = r;
	whole->hashed++;
	more = hashable(whole);
	whole->hashing = more;
	last = claim_end(whole);
	pthread_mutex_unlock(&object->lock);
	if (more)
		workqueue_submit(object->fs->background, &whole->hash_work);
	else if (last)
		end(whole);
}

static void hash_if_due(struct whole *whole)
{
	struct object *object = whole->object;
	bool begin;

	pthread_mutex_lock(&object->lock);
	begin = !whole->hashing && hashable(whole);
	if (begin)
		whole->hashing = true;
	pthread_mutex_unlock(&object->lock);
	if (begin)
		workqueue_submit(object->fs->background, &whole->hash_work);
}

/* ---- fetching ---- */

/* One of the pending ones is over. */
static void over(struct whole *whole, int error)
{
	struct object *object = whole->object;
	bool last;

	pthread_mutex_lock(&object->lock);
	if (error < 0 && whole->error == 0)
		whole->error = error;
	whole->pending--;
	last = claim_end(whole);
	pthread_mutex_unlock(&object->lock);
	if (last)
		end(whole);
}

/* The deadline of an open is one on stalls: every chunk sets it anew. */
static void note_progress(struct whole *whole)
{
	struct object *object = whole->object;
	int64_t deadline = fs_deadline(object->fs);
	struct opening *list;

	/* Later ones are put in front, so what follows LIST stays as it is. */
	pthread_mutex_lock(&object->lock);
	list = whole->openings;
	for (struct opening *opening = list; opening; opening = opening->next)
		parked_ref(&opening->parked);
	pthread_mutex_unlock(&object->lock);
	while (list) {
		struct opening *next = list->next;

		park_until(object->fs->parking, &list->parked, deadline);
		parked_unref(&list->parked);
		list = next;
	}
}

/* On a verifier. */
static void store_arrival(struct work *work)
{
	struct arrival *arrival = container_of(work, struct arrival, work);
	struct whole *whole = arrival->whole;
	struct object *object = whole->object;
	int r;

	r = store_object_put(object->store, arrival->chunk, arrival->buffer, arrival->length);
	pool_put(object->fs->pool, arrival->buffer);
	free(arrival);
	if (r == 0) {
		note_progress(whole);
		hash_if_due(whole);
	}
	over(whole, r);
}

static void transfer_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
			   unsigned int source)
{
	struct whole_transfer *transfer = container_of(request, struct whole_transfer, request);
	struct whole *whole = transfer->whole;
	struct object *object = whole->object;
	struct arrival *arrival = malloc(sizeof(*arrival));

	pthread_mutex_lock(&object->lock);
	whole->contributed |= (uint64_t)1 << source;
	if (arrival)
		whole->pending++;
	else if (whole->error == 0)
		whole->error = -ENOMEM;
	pthread_mutex_unlock(&object->lock);
	if (!arrival) {
		pool_put(object->fs->pool, buffer);
		return;
	}
	*arrival = (struct arrival){ { store_arrival }, whole, index, buffer, len };
	workqueue_submit(object->fs->verifiers, &arrival->work);
}

static bool transfer_wanted(struct fetch_request *request)
{
	struct whole_transfer *transfer = container_of(request, struct whole_transfer, request);
	struct whole *whole = transfer->whole;
	bool wanted;

	pthread_mutex_lock(&whole->object->lock);
	wanted = whole->error == 0 && anybody_waits(whole);
	pthread_mutex_unlock(&whole->object->lock);
	return wanted && !atomic_load(&whole->object->fs->stopping);
}

static void transfer_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct whole_transfer *transfer = container_of(request, struct whole_transfer, request);
	struct whole *whole = transfer->whole;

	free(transfer);
	if (result->error < 0 && result->error != -ECANCELED && result->message[0])
		snprintf(whole->message, sizeof(whole->message), "%s", result->message);
	over(whole, result->error);
}

static const struct fetch_ops transfer_ops = {
	.chunk = transfer_chunk,
	.wanted = transfer_wanted,
	.done = transfer_done,
};

/* The transfers for all absent chunks, as large as they may be. */
static int plan(struct whole *whole, uint64_t excluded, struct whole_transfer **out)
{
	struct store_object *store = whole->object->store;
	uint64_t size = store_object_size(store), chunks = chunk_count(size);
	struct whole_transfer *open = NULL, **last = out;

	*out = NULL;
	for (uint64_t chunk = 0; chunk < chunks; chunk++) {
		if (store_object_presence(store, chunk) == STORE_PRESENT) {
			whole->resumed = true;
			open = NULL;
			continue;
		}
		if (open && open->request.count < FETCH_CHUNKS_MAX) {
			open->request.count++;
			continue;
		}
		open = calloc(1, sizeof(*open));
		if (!open)
			return -ENOMEM;
		open->whole = whole;
		open->request = (struct fetch_request){
			.kind = FETCH_CHUNKS,
			.ops = &transfer_ops,
			.digests = object_digests(whole->object),
			.size = size,
			.first = chunk,
			.count = 1,
			.excluded = excluded,
		};
		*last = open;
		last = &open->next;
		whole->pending++;
	}
	return 0;
}

/* Nothing is pending: the state is this thread's. Takes over the fate of WHOLE. */
static void begin_attempt(struct whole *whole, uint64_t excluded)
{
	struct object *object = whole->object;
	struct whole_transfer *list;
	int r;

	verify_stream_free(steal_pointer(whole->stream));
	r = verify_stream_new(&whole->stream);
	pthread_mutex_lock(&object->lock);
	whole->error = 0;
	whole->contributed = 0;
	whole->hashed = 0;
	whole->resumed = false;
	whole->pending = 1; /* this function */
	pthread_mutex_unlock(&object->lock);
	if (r == 0)
		r = plan(whole, excluded, &list);
	else
		list = NULL;
	while (list) {
		struct whole_transfer *next = list->next;

		/* A plan that ran out of memory is carried out as far as it goes, and fails. */
		fetch_submit(object->fs->fetch, &list->request);
		list = next;
	}
	hash_if_due(whole);
	over(whole, r);
}

void whole_open(struct object *object, fuse_req_t request, const struct fuse_file_info *fi)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	struct whole *made = calloc(1, sizeof(*made)), *begin = NULL;
	struct weightfs *fs = object->fs;

	if (!opening || !made) {
		free(opening);
		free(made);
		handle_close(fi->fh);
		fuse_reply_err(request, ENOMEM);
		return;
	}
	parked_init(&opening->parked, request, PARKED_WAIT, destroy_opening);
	opening->fi = *fi;
	park(fs->parking, &opening->parked, fs_deadline(fs));

	pthread_mutex_lock(&object->lock);
	if (!object->whole && !store_object_complete(object->store)) {
		begin = object->whole = steal_pointer(made);
		begin->object = object_ref(object);
		begin->hash_work.run = hash_chunk;
		begin->end_work.run = end_attempt;
	}
	if (object->whole) {
		opening->next = object->whole->openings;
		object->whole->openings = opening;
		opening = NULL;
	}
	pthread_mutex_unlock(&object->lock);
	free(made);
	if (begin)
		begin_attempt(begin, 0);
	if (opening)
		answer_opening(fs, opening, 0); /* it became complete a moment ago */
}
