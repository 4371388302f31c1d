/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/separate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include "common/log.h"

/*
 * What is kept for nobody who has it open. More than a page or two of a site need; a site that begins more at once loses the
 * oldest.
 */
#define IDLE_MAX	1024
#define IDLE_VIEW_MAX	64 /* of one view */
#define UNCHARGED_MAX	16 /* of one view: small ones that came with their look-up, and were never opened */
#define IDLE_TREES_MAX	((uint64_t)64 << 20) /* bytes of fronts */
#define IDLE_STORE_PART 8		     /* of the store's size */
#define HEIRS_MAX	65536

/* Without holes, as it is compared by its bytes. */
struct key {
	uint32_t view;
	struct digest_name name;
};
static_assert(sizeof(struct key) == sizeof(uint32_t) + sizeof(struct digest_name), "no holes");

struct separate {
	struct key key;
	struct object *object; /* counted */
	struct separate *prev, *next;
	UT_hash_handle hh;
};

struct heir {
	uint64_t id, heir;
	struct heir *next;
	UT_hash_handle hh;
};

struct separates {
	pthread_mutex_t lock;
	struct separate *table;	 /* protected by lock: by key */
	struct separate *oldest; /* protected by lock: by last use */
	struct heir *heirs;	 /* protected by lock: by id, in the order in which they came */
};

int separates_new(struct separates **out)
{
	struct separates *separates = calloc(1, sizeof(*separates));

	if (!separates)
		return -ENOMEM;
	pthread_mutex_init(&separates->lock, NULL);
	*out = separates;
	return 0;
}

/* With the lock held. It is whoever calls who puts the object and frees it, without the lock. */
static void take_out(struct separates *separates, struct separate *separate)
{
	HASH_DEL(separates->table, separate);
	DL_DELETE(separates->oldest, separate);
}

static void drop_list(struct separate *list)
{
	while (list) {
		struct separate *next = list->next;

		object_put(list->object);
		free(list);
		list = next;
	}
}

void separates_free(struct separates *separates)
{
	struct heir *heir, *next_heir;

	if (!separates)
		return;
	HASH_CLEAR(hh, separates->table);
	drop_list(separates->oldest);
	HASH_ITER (hh, separates->heirs, heir, next_heir) {
		HASH_DEL(separates->heirs, heir);
		free(heir);
	}
	pthread_mutex_destroy(&separates->lock);
	free(separates);
}

/* ---- finding ---- */

/* With the lock held; used now. */
static struct separate *find(struct separates *separates, const struct key *key)
{
	struct separate *separate;

	HASH_FIND(hh, separates->table, key, sizeof(*key), separate);
	if (separate) {
		DL_DELETE(separates->oldest, separate);
		DL_APPEND(separates->oldest, separate);
	}
	return separate;
}

int separate_find(struct weightfs *fs, uint32_t view, const struct digest_name *name,
		  struct store_info *out)
{
	struct separates *separates = fs->separates;
	const struct key key = {view, *name};
	struct separate *separate;
	struct object *object = NULL;

	pthread_mutex_lock(&separates->lock);
	separate = find(separates, &key);
	if (separate)
		object = object_ref(separate->object);
	pthread_mutex_unlock(&separates->lock);
	if (!object)
		return -ENOENT;
	store_object_info(object->store, out);
	object_put(object);
	return 0;
}

uint64_t separate_heir(struct weightfs *fs, uint64_t id)
{
	struct separates *separates = fs->separates;
	struct heir *heir;
	uint64_t result;

	pthread_mutex_lock(&separates->lock);
	HASH_FIND(hh, separates->heirs, &id, sizeof(id), heir);
	result = heir ? heir->heir : 0;
	pthread_mutex_unlock(&separates->lock);
	return result;
}

/* ---- what is kept, and for how long ---- */

struct idle {
	uint64_t objects, bytes, trees;
};

static bool is_too_much(const struct idle *idle, const struct store_usage *usage)
{
	return idle->objects > IDLE_MAX || idle->trees > IDLE_TREES_MAX ||
	       idle->bytes > usage->limit / IDLE_STORE_PART;
}

/* With the lock held: nobody but the table has it, and MINE references. (Who has its id may take one: it is begun anew then.) */
static bool is_idle(const struct separate *separate, unsigned int mine)
{
	return atomic_load(&separate->object->references) == 1 + mine;
}

static void count(const struct separate *separate, struct idle *idle, int sign)
{
	const struct object *object = separate->object;
	uint64_t size = store_object_size(object->store);
	uint64_t factor = (uint64_t)(int64_t)sign;

	idle->objects += factor;
	idle->trees += factor * (atomic_load(&object->tree) ? verify_front_size(size) : 0);
	/* Its room is taken with the first byte. */
	idle->bytes += factor * (store_object_fd(object->store) >= 0 ? size : 0);
}

/* All that goes because there is too much of everybody's. */
static struct separate *take_too_much(struct separates *separates, const struct store_usage *usage)
{
	struct separate *separate, *next, *gone = NULL;
	struct idle idle = {0};

	DL_FOREACH (separates->oldest, separate) {
		if (is_idle(separate, 0))
			count(separate, &idle, 1);
	}
	DL_FOREACH_SAFE (separates->oldest, separate, next) {
		if (!is_too_much(&idle, usage))
			break;
		if (!is_idle(separate, 0))
			continue;
		count(separate, &idle, -1);
		take_out(separates, separate);
		LL_PREPEND(gone, separate);
	}
	return gone;
}

/* What one view has idle, the oldest first. */
struct of_view {
	struct object *objects[IDLE_MAX]; /* counted */
	size_t n;
};

static void collect_idle(struct separates *separates, uint32_t view, struct of_view *of_view)
{
	struct separate *separate;

	pthread_mutex_lock(&separates->lock);
	DL_FOREACH (separates->oldest, separate) {
		if (separate->key.view == view && is_idle(separate, 0) && of_view->n < IDLE_MAX)
			of_view->objects[of_view->n++] = object_ref(separate->object);
	}
	pthread_mutex_unlock(&separates->lock);
}

/* Which of them go: what the quota released, as from an empty store; then the oldest of what is too much. The first N. */
static size_t choose(const struct of_view *of_view, bool goes[IDLE_MAX])
{
	size_t uncharged = 0, kept = 0, n = 0;

	/* The newest first, which stay. */
	for (size_t i = of_view->n; i-- > 0;) {
		struct object *object = of_view->objects[i];
		bool here = store_object_fd(object->store) >= 0;
		bool charged = store_uses_object(object->fs->store, object->view, object->id);

		goes[i] = kept >= IDLE_VIEW_MAX;
		if (here && !charged) {
			goes[i] |= store_object_size(object->store) > CHUNK_SIZE ||
				   uncharged >= UNCHARGED_MAX;
			uncharged++;
		}
		kept += !goes[i];
		n += goes[i];
	}
	return n;
}

static void trim_view(struct weightfs *fs, uint32_t view)
{
	struct separates *separates = fs->separates;
	struct of_view *of_view = calloc(1, sizeof(*of_view));
	struct separate *separate, *next, *gone = NULL;
	bool goes[IDLE_MAX];

	if (!of_view)
		return; /* the next one does it */
	collect_idle(separates, view, of_view);
	if (choose(of_view, goes) > 0) {
		pthread_mutex_lock(&separates->lock);
		DL_FOREACH_SAFE (separates->oldest, separate, next) {
			for (size_t i = 0; separate->key.view == view && i < of_view->n; i++) {
				if (!goes[i] || of_view->objects[i] != separate->object ||
				    !is_idle(separate, 1))
					continue;
				take_out(separates, separate);
				LL_PREPEND(gone, separate);
				break;
			}
		}
		pthread_mutex_unlock(&separates->lock);
	}
	drop_list(gone);
	for (size_t i = 0; i < of_view->n; i++)
		object_put(of_view->objects[i]);
	free(of_view);
}

void separates_trim(struct weightfs *fs, uint32_t view)
{
	struct separates *separates = fs->separates;
	struct store_usage usage;
	struct separate *gone;

	trim_view(fs, view);
	store_usage(fs->store, &usage);
	pthread_mutex_lock(&separates->lock);
	gone = take_too_much(separates, &usage);
	pthread_mutex_unlock(&separates->lock);
	drop_list(gone);
}

/* ---- beginning ---- */

static int make_object(struct weightfs *fs, const struct key *key, const struct knowledge *known,
		       struct verify_tree *tree, struct object **out)
{
	struct store_object *store;
	int r;

	r = store_separate_new(fs->store, &known->digests, known->size, &store);
	if (r < 0)
		return r;
	r = object_adopt(fs, store, tree, key->view, known, out);
	if (r < 0)
		store_object_close(store);
	return r;
}

int separate_begin(struct weightfs *fs, uint32_t view, const struct digest_name *name,
		   const struct knowledge *known, struct verify_tree *tree, struct object **out)
{
	struct separates *separates = fs->separates;
	struct separate *made = calloc(1, sizeof(*made)), *there;
	struct object *object = NULL;
	int r;

	if (!made)
		return -ENOMEM;
	made->key = (struct key){view, *name};
	r = make_object(fs, &made->key, known, tree, &made->object);
	if (r < 0) {
		free(made);
		return r;
	}
	pthread_mutex_lock(&separates->lock);
	there = find(separates, &made->key);
	if (!there) {
		HASH_ADD(hh, separates->table, key, sizeof(made->key), made);
		DL_APPEND(separates->oldest, made);
	}
	object = object_ref(there ? there->object : made->object);
	pthread_mutex_unlock(&separates->lock);
	if (there) {
		object_put(made->object);
		free(made);
	}
	separates_trim(fs, view);
	*out = object;
	return 0;
}

/* ---- the end: it becomes the store's ---- */

bool separate_is_due(const struct object *object)
{
	return object->view && !atomic_load(&object->published) &&
	       store_uses_object(object->fs->store, object->view, object->id);
}

/* With the lock held: nobody finds OBJECT any more. What is returned is to be dropped. */
static struct separate *withdraw(struct separates *separates, struct object *object)
{
	struct separate *separate;

	DL_SEARCH_SCALAR(separates->oldest, separate, object, object);
	if (separate) {
		take_out(separates, separate);
		separate->next = NULL;
	}
	return separate;
}

void separate_drop(struct object *object)
{
	struct separates *separates = object->fs->separates;
	struct separate *gone;

	pthread_mutex_lock(&separates->lock);
	gone = withdraw(separates, object);
	pthread_mutex_unlock(&separates->lock);
	drop_list(gone);
}

/* OBJECT is HEIR now; nobody finds it by its name any more. Who has its node still does. */
static void hand_over(struct separates *separates, struct object *object, uint64_t heir)
{
	struct heir *note = calloc(1, sizeof(*note)), *oldest = NULL;
	struct separate *gone;

	pthread_mutex_lock(&separates->lock);
	if (note) {
		*note = (struct heir){.id = object->id, .heir = heir};
		if (HASH_COUNT(separates->heirs) >= HEIRS_MAX) {
			oldest = separates->heirs;
			HASH_DEL(separates->heirs, oldest);
		}
		HASH_ADD(hh, separates->heirs, id, sizeof(note->id), note);
	}
	gone = withdraw(separates, object);
	pthread_mutex_unlock(&separates->lock);
	free(oldest);
	drop_list(gone);
}

/*
 * From now on the view reads what may be others' file, and by its time would know whether somebody else had read it: what is
 * not too large is in the page cache then, whosever it is.
 */
#define WARM_MAX ((uint64_t)256 << 20)

static void warm(const struct object *object, const struct store_info *info)
{
	struct store_object *published;
	_cleanup_free_ char *buffer = info->size <= WARM_MAX ? malloc(CHUNK_SIZE) : NULL;
	int r = 0;

	if (!buffer || store_object_open(object->fs->store, info->id, &published) < 0)
		return;
	for (uint64_t at = 0; at < info->size && r == 0 && !atomic_load(&object->fs->stopping); at += CHUNK_SIZE)
		r = store_object_read(published, at, buffer, chunk_length(info->size, at / CHUNK_SIZE));
	store_object_close(published);
}

void separate_publish(struct object *object)
{
	struct weightfs *fs = object->fs;
	const struct verify_tree *tree;
	char name[DIGEST_NAME_SIZE];
	struct store_info info;
	const void *front;
	size_t len;
	int r;

	if (!separate_is_due(object) || atomic_exchange(&object->published, true))
		return;
	object_name(object, name);
	r = object_tree(object, &tree);
	if (r == 0) {
		front = verify_tree_front(tree, &len);
		r = store_separate_publish(object->store, object->view, object->gated, front, len, &info);
	}
	if (r == -EBUSY)
		log_warning("%s: is pinned, and not all here: what a view fetched with a credential stays apart", name);
	else if (r < 0)
		log_error_errno(r, "%s: what a view fetched for itself does not become the store's", name);
	if (r < 0)
		return;
	warm(object, &info);
	hand_over(fs->separates, object, info.id);
}

/* ---- listing ---- */

int separates_each(struct weightfs *fs, uint32_t view, store_name_found found, void *arg)
{
	struct separates *separates = fs->separates;
	struct separate *separate;
	struct digest_name *names;
	size_t n = 0;
	int r = 0;

	pthread_mutex_lock(&separates->lock);
	names = calloc(HASH_COUNT(separates->table) + 1, sizeof(*names));
	DL_FOREACH (separates->oldest, separate) {
		if (names && separate->key.view == view)
			names[n++] = separate->key.name;
	}
	pthread_mutex_unlock(&separates->lock);
	for (size_t i = 0; i < n && r == 0; i++)
		r = found(arg, &names[i]);
	free(names);
	return names ? r : -ENOMEM;
}
