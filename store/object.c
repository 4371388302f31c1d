/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open objects: shared, counted, claimed.
 *
 *	absent → loading → open → (removed) → freed with the last reference
 *
 * - An object is in store->objects from before it is loaded until its last reference goes, so one
 * id never has two. Others who open it while it loads wait for the one that does.
 * - An id is never used again, so a removed object that is still open is in nobody's way.
 * - fd and map are replaced, never changed under a reader: what they replace stays until the end.
 * - complete goes back to false only when a chunk is found damaged (repair.c): who relies on it twice asks twice.
 */
#include "store/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "common/log.h"
#include "store/bare.h"

struct object_label object_label(const struct store_object *object)
{
	struct object_label label;

	digest_name_format(&object->name, label.text);
	return label;
}

void object_claim(struct store_object *object)
{
	struct store *store = object->store;

	pthread_mutex_lock(&store->lock);
	object->exclusives++; /* no new shares from here on */
	while (object->changing || object->sharing)
		pthread_cond_wait(&store->changed, &store->lock);
	object->changing = true;
	pthread_mutex_unlock(&store->lock);
}

void object_unclaim(struct store_object *object)
{
	struct store *store = object->store;

	pthread_mutex_lock(&store->lock);
	object->exclusives--;
	object->changing = false;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

void object_share(struct store_object *object)
{
	struct store *store = object->store;

	pthread_mutex_lock(&store->lock);
	while (object->exclusives)
		pthread_cond_wait(&store->changed, &store->lock);
	object->sharing++;
	pthread_mutex_unlock(&store->lock);
}

void object_unshare(struct store_object *object)
{
	struct store *store = object->store;

	pthread_mutex_lock(&store->lock);
	if (--object->sharing == 0 && object->exclusives)
		pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

void object_set_record(struct store_object *object, const struct record *record)
{
	if (object->record.size != record->size || object->record.pinned != record->pinned)
		accounts_change(object->store, object->id, record->size, record->pinned);
	pthread_mutex_lock(&object->store->lock);
	if (object->record.gated != record->gated)
		resident_set_gated(object->store, object->id, record->gated);
	object->record = *record;
	pthread_mutex_unlock(&object->store->lock);
	atomic_store(&object->complete, record->complete);
}

void object_set_map(struct store_object *object, struct map *map)
{
	map->retired = atomic_load(&object->map);
	atomic_store(&object->map, map);
}

/*
 * Whoever reads asks for large pieces anyway. The kernel's readahead would bring pages of holes, where a direct write
 * would have to find them, and large folios, of which a part cannot be given up.
 */
static void object_advise(int fd)
{
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

int object_set_fd(struct store_object *object, int fd)
{
	int old = atomic_load(&object->fd);
	int *fds;

	if (old >= 0) {
		fds = realloc(object->old_fds, (object->n_old_fds + 1) * sizeof(*fds));
		if (!fds)
			return -ENOMEM;
		object->old_fds = fds;
		object->old_fds[object->n_old_fds++] = old;
	}
	object_advise(fd);
	atomic_store(&object->fd, fd);
	return 0;
}

/* ---- loading ---- */

struct loading {
	struct store_object *object;
	struct map *map;
	bool foreign; /* another boot's chunks were seen */
};

static int load_chunk(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
		      size_t len)
{
	struct loading *loading = arg;
	uint64_t chunk = schema_get_u64(key + 9);
	bool now =
		len == STORE_BOOT_ID_SIZE && !memcmp(value, loading->object->store->boot_id, len);

	if (chunk >= loading->map->chunks)
		return 0;
	loading->foreign |= !now;
	/* Of an unattested object nothing is verified before the end: the bit means "received". */
	map_set(loading->map, chunk,
		loading->object->record.digests.has_fsverity ? STORE_HINT : STORE_PRESENT);
	return 0;
}

/* The descriptor, -1 when there is no file, and its size; or -errno below that. */
static int open_file(struct store_object *object, int *out, uint64_t *there)
{
	struct store *store = object->store;
	char path[STORE_FILE_PATH_SIZE];
	_cleanup_close_ int fd = -1;
	struct stat st;

	*out = -1;
	store_file_path(&object->name, path);
	fd = openat(store->objects_fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s/objects/%s cannot be opened", store->path, path);
	*there = (uint64_t)st.st_size;
	if (S_ISREG(st.st_mode))
		*out = steal_fd(&fd);
	return 0;
}

/* What the records say is not on the disk (any more): begin anew. */
static void load_nothing(struct store_object *object)
{
	if (object->record.complete)
		log_warning("%s: the file of %s is gone, it is no longer complete",
			    object->store->path, object_label(object).text);
	map_fill(atomic_load(&object->map), STORE_ABSENT);
	if (object_make_partial(object) < 0)
		log_debug("%s: recorded with the first chunk", object_label(object).text);
}

static int load_presence(struct store_object *object, struct map *map)
{
	struct schema_key chunks = schema_key_id(SCHEMA_PRESENCE, object->id);
	struct loading loading = {.object = object, .map = map};
	int r = db_scan(object->store->db, &chunks, chunks.len, load_chunk, &loading);

	if (r < 0)
		return r;
	/* Nothing can tell good chunks of an unattested object from those that a power cut spoiled.
	 */
	if (!loading.foreign || object->record.digests.has_fsverity)
		return 0;
	load_nothing(object);
	return 0;
}

static int load_file(struct store_object *object, struct map *map)
{
	uint64_t there = 0;
	int fd, r;

	r = open_file(object, &fd, &there);
	if (r < 0)
		return r;
	/* What is left of an unattested object is of no use. */
	if (fd >= 0 && there != object->record.size && !object->record.digests.has_fsverity)
		close(steal_fd(&fd));
	if (fd < 0) {
		load_nothing(object);
		return 0;
	}
	atomic_store(&object->fd, fd);
	object_advise(fd);
	if (object->record.complete)
		map_fill(map, STORE_HINT);
	else
		r = load_presence(object, map);
	if (r == 0 && there != object->record.size)
		object_mend_size(object, fd, there);
	return r;
}

static int load(struct store_object *object)
{
	struct store *store = object->store;
	int64_t last_open;
	struct map *map;
	int r;

	r = record_read(store, object->id, &object->record);
	if (r < 0)
		return r;
	object->name = record_name(&object->record);
	r = record_last_open(store, object->id, &last_open);
	if (r < 0)
		return r;
	atomic_store(&object->last_open, last_open);
	r = map_new(object->record.size, &map);
	if (r < 0)
		return r;
	atomic_store(&object->map, map);
	r = object->record.file ? load_file(object, map) : 0;
	atomic_store(&object->complete, object->record.complete);
	return r;
}

/* ---- references ---- */

static void object_free(struct store_object *object)
{
	int fd = atomic_load(&object->fd);

	if (object->separate)
		separate_end(object);
	cleanup_close(&fd);
	for (size_t i = 0; i < object->n_old_fds; i++)
		close(object->old_fds[i]);
	free(object->old_fds);
	map_free(atomic_load(&object->map));
	free(object);
}

/* Locked. Was it the last? Then it is out of the table. */
static bool unref(struct store_object *object)
{
	assert(object->refs > 0);
	if (--object->refs > 0)
		return false;
	HASH_DEL(object->store->objects, object);
	resident_set_open(object->store, object->id, false);
	if (object->load_error == 0 && !object->removed && !object->record.file && !object->record.pinned)
		bare_add(object->store, object->id);
	else
		bare_remove(object->store, object->id);
	return true;
}

struct store_object *object_new(struct store *store, uint64_t id)
{
	struct store_object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->store = store;
	object->id = id;
	atomic_init(&object->charged, id);
	object->refs = 1;
	object->loading = true;
	atomic_store(&object->fd, -1);
	return object;
}

/* Wait until it is loaded, and stays; the reference is gone on an error. */
static int wait_loaded(struct store_object *object)
{
	struct store *store = object->store;
	bool last = false;
	int r;

	pthread_mutex_lock(&store->lock);
	while (object->loading || object->leaving)
		pthread_cond_wait(&store->changed, &store->lock);
	r = object->removed ? -ENOENT : object->load_error;
	if (r < 0)
		last = unref(object);
	pthread_mutex_unlock(&store->lock);
	if (last)
		object_free(object);
	return r;
}

int store_object_open(struct store *store, uint64_t id, struct store_object **out)
{
	struct store_object *fresh = object_new(store, id), *object;
	int r;

	if (!fresh)
		return -ENOMEM;
	pthread_mutex_lock(&store->lock);
	HASH_FIND(hh, store->objects, &id, sizeof(id), object);
	if (object) {
		object->refs++;
	} else {
		HASH_ADD(hh, store->objects, id, sizeof(id), fresh);
		resident_set_open(store, id, true);
	}
	pthread_mutex_unlock(&store->lock);
	if (object) {
		free(fresh);
	} else {
		object = fresh;
		r = load(object);
		pthread_mutex_lock(&store->lock);
		object->load_error = r;
		object->loading = false;
		pthread_cond_broadcast(&store->changed);
		pthread_mutex_unlock(&store->lock);
	}
	r = wait_loaded(object);
	if (r == 0)
		*out = object;
	return r;
}

void store_object_close(struct store_object *object)
{
	struct store *store;
	bool last;

	if (!object)
		return;
	store = object->store;
	pthread_mutex_lock(&store->lock);
	last = unref(object);
	pthread_mutex_unlock(&store->lock);
	if (last)
		object_free(object);
}

/* ---- what is known ---- */

/* Locked. */
static void describe(struct store_object *object, struct store_info *out)
{
	struct map *map = atomic_load(&object->map);

	*out = (struct store_info){
		.id = object->id,
		.size = object->record.size,
		.digests = object->record.digests,
		.name = object->name,
		.complete = object->record.complete,
		.pinned = object->record.pinned,
		.doubtful = object->record.doubtful,
		.lacks_front = object->record.lacks_front,
		.told = object->record.told,
		.gated = object->record.gated,
		.claimed = object->record.claimed,
		.separate = object->separate,
		.present =
			object->record.complete ? object->record.size : atomic_load(&map->recorded),
		.last_open = atomic_load(&object->last_open),
	};
}

void store_object_info(struct store_object *object, struct store_info *out)
{
	pthread_mutex_lock(&object->store->lock);
	describe(object, out);
	pthread_mutex_unlock(&object->store->lock);
}

bool object_peek(struct store *store, uint64_t id, int *result, struct store_info *out)
{
	struct store_object *object;
	bool known;

	pthread_mutex_lock(&store->lock);
	HASH_FIND(hh, store->objects, &id, sizeof(id), object);
	known = object && !object->loading && object->load_error == 0;
	if (known) {
		*result = object->removed ? -ENOENT : 0;
		if (!object->removed)
			describe(object, out);
	}
	pthread_mutex_unlock(&store->lock);
	return known;
}

uint64_t store_object_size(const struct store_object *object)
{
	return atomic_load(&((struct store_object *)object)->map)->size;
}

bool store_object_complete(const struct store_object *object)
{
	return atomic_load_explicit(&object->complete, memory_order_acquire);
}

int store_object_fd(const struct store_object *object)
{
	return atomic_load_explicit(&object->fd, memory_order_acquire);
}
