/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/object.h"

#include <assert.h>
#include <string.h>
#include <utlist.h>
#include "common/log.h"

struct objects {
	pthread_mutex_t lock;
	struct object *table; /* protected by lock */
};

int objects_new(struct objects **out)
{
	struct objects *objects = calloc(1, sizeof(*objects));

	if (!objects)
		return -ENOMEM;
	pthread_mutex_init(&objects->lock, NULL);
	*out = objects;
	return 0;
}

void objects_free(struct objects *objects)
{
	if (!objects)
		return;
	assert(!objects->table);
	pthread_mutex_destroy(&objects->lock);
	free(objects);
}

static void destroy(struct object *object)
{
	store_object_close(object->store);
	verify_tree_free(atomic_load(&object->tree));
	layout_clear(&object->layout);
	pthread_mutex_destroy(&object->lock);
	free(object->last_error);
	free(object);
}

static void set_tree(struct object *object, struct verify_tree *tree, bool by_whole)
{
	pthread_mutex_lock(&object->lock);
	if (!atomic_load(&object->tree) && (by_whole || !object->whole))
		atomic_store(&object->tree, steal_pointer(tree));
	pthread_mutex_unlock(&object->lock);
	verify_tree_free(tree);
}

void object_set_tree(struct object *object, struct verify_tree *tree)
{
	set_tree(object, tree, false);
}

void object_set_tree_of_whole(struct object *object, struct verify_tree *tree)
{
	set_tree(object, tree, true);
}

static int load_tree(struct object *object)
{
	_cleanup_free_ void *front = NULL;
	struct verify_tree *tree;
	struct store_info info;
	size_t len;
	int r;

	store_object_info(object->store, &info);
	if (!info.digests.has_fsverity)
		return -ENODATA;
	r = store_object_front(object->store, &front, &len);
	if (r == 0)
		r = verify_tree_new(info.size, &info.digests.fsverity, front, len, &tree);
	/* Its front was lost: what a source has to give is no error of the store's. */
	if (r < 0 && info.lacks_front)
		return -ENODATA;
	if (r < 0) {
		char name[DIGEST_NAME_SIZE];

		digest_name_format(&info.name, name);
		log_error_errno(r, "%s: the tree kept in the store is not usable", name);
		return -EIO;
	}
	object_set_tree(object, tree);
	return 0;
}

int object_tree(struct object *object, const struct verify_tree **tree)
{
	const struct verify_tree *known = atomic_load(&object->tree);
	int r = known ? 0 : load_tree(object);

	if (r == 0 && !known)
		known = atomic_load(&object->tree);
	if (r == 0 && !known)
		r = -EBUSY;
	if (r == 0)
		*tree = known;
	return r;
}

/* NULL: no memory. One reference; in no table. */
static struct object *make(struct weightfs *fs, uint64_t id)
{
	struct object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->fs = fs;
	object->id = id;
	atomic_init(&object->references, 1);
	layout_init(&object->layout);
	pthread_mutex_init(&object->lock, NULL);
	return object;
}

int object_adopt(struct weightfs *fs, struct store_object *store, struct verify_tree *tree,
		 uint32_t view, const struct knowledge *known, struct object **out)
{
	struct store_info info;
	struct object *object;

	store_object_info(store, &info);
	object = make(fs, info.id);
	if (!object)
		return -ENOMEM;
	object->view = view;
	object->gated = known->gated;
	object->claimed = known->claimed;
	object->store = store;
	atomic_init(&object->tree, tree);
	pthread_mutex_lock(&fs->objects->lock);
	HASH_ADD(hh, fs->objects->table, id, sizeof(object->id), object);
	pthread_mutex_unlock(&fs->objects->lock);
	*out = object;
	return 0;
}

static int load(struct weightfs *fs, uint64_t id, struct object **out)
{
	struct object *object = make(fs, id);
	const struct verify_tree *tree;
	struct store_info info;
	int r;

	if (!object)
		return -ENOMEM;
	r = store_object_open(fs->store, id, &object->store);
	if (r < 0) {
		destroy(object);
		return r;
	}
	store_object_info(object->store, &info);
	object->gated = info.gated;
	/*
	 * A complete object is read without its tree, as long as nothing of it is doubted. Whoever opens one that lacks it gets
	 * it first (fs/objects/front.c).
	 */
	if (info.digests.has_fsverity && !info.complete && !info.lacks_front)
		r = object_tree(object, &tree);
	if (r < 0) {
		destroy(object);
		return r;
	}
	*out = object;
	return 0;
}

static struct object *find(struct objects *objects, uint64_t id)
{
	struct object *object;

	pthread_mutex_lock(&objects->lock);
	HASH_FIND(hh, objects->table, &id, sizeof(id), object);
	if (object)
		object_ref(object);
	pthread_mutex_unlock(&objects->lock);
	return object;
}

int object_get(struct weightfs *fs, uint64_t id, struct object **out)
{
	struct object *object = find(fs->objects, id), *loaded;
	int r;

	if (object) {
		*out = object;
		return 0;
	}
	/* Loading reads from the disk, so it is done without the lock; of two threads one drops its own. */
	r = load(fs, id, &loaded);
	if (r < 0)
		return r;
	pthread_mutex_lock(&fs->objects->lock);
	HASH_FIND(hh, fs->objects->table, &id, sizeof(id), object);
	if (object)
		object_ref(object);
	else
		HASH_ADD(hh, fs->objects->table, id, sizeof(id), loaded);
	pthread_mutex_unlock(&fs->objects->lock);
	if (object)
		destroy(loaded);
	*out = object ? object : loaded;
	return 0;
}

struct object *object_ref(struct object *object)
{
	atomic_fetch_add(&object->references, 1);
	return object;
}

void object_put(struct object *object)
{
	struct objects *objects;
	bool last;

	if (!object)
		return;
	objects = object->fs->objects;
	pthread_mutex_lock(&objects->lock);
	last = atomic_fetch_sub(&object->references, 1) == 1;
	if (last)
		HASH_DEL(objects->table, object);
	pthread_mutex_unlock(&objects->lock);
	if (last)
		destroy(object);
}

int object_info_in_use(struct weightfs *fs, uint64_t id, struct store_info *out)
{
	struct object *object = find(fs->objects, id);

	if (!object)
		return -ENOENT;
	store_object_info(object->store, out);
	object_put(object);
	return 0;
}

struct digest_pair object_digests(struct object *object)
{
	struct store_info info;

	store_object_info(object->store, &info);
	return info.digests;
}

void object_name(struct object *object, char out[DIGEST_NAME_SIZE])
{
	struct digest_pair digests = object_digests(object);
	struct digest_name name = digest_pair_name(&digests);

	digest_name_format(&name, out);
}

void object_set_error(struct object *object, const char *message)
{
	char *copy = strdup(message), *old;

	pthread_mutex_lock(&object->lock);
	old = object->last_error;
	object->last_error = copy;
	pthread_mutex_unlock(&object->lock);
	free(old);
}

void object_news(struct object *object, int error)
{
	struct puller *puller;

	pthread_mutex_lock(&object->lock);
	DL_FOREACH (object->pullers, puller) {
		puller->news = true;
		if (error < 0 && puller->error == 0)
			puller->error = error;
		pthread_cond_signal(&puller->changed);
	}
	pthread_mutex_unlock(&object->lock);
}

char *object_last_error(struct weightfs *fs, uint64_t id)
{
	struct object *object = find(fs->objects, id);
	char *copy = NULL;

	if (!object)
		return NULL;
	pthread_mutex_lock(&object->lock);
	if (object->last_error)
		copy = strdup(object->last_error);
	pthread_mutex_unlock(&object->lock);
	object_put(object);
	return copy;
}
