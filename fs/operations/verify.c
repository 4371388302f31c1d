/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored bytes are read again, past the page cache, and checked. Chunks that are wrong leave the store, and whoever
 * reads them next fetches them.
 */
#include <inttypes.h>
#include <stdio.h>
#include "fs/objects/object.h"
#include "catalogs/catalogs.h"
#include "fs/operations/operations.h"
#include "fs/objects/scrub.h"

struct outcome {
	struct operation *operation;
	uint64_t size;
	uint64_t wrong; /* chunks */
	json_t *chunks; /* which ones */
	char reason[128];
};

static int tell_progress(void *arg, uint64_t done)
{
	const struct outcome *outcome = arg;

	return outcome->operation->emit(outcome->operation,
					json_pack("{s:I, s:I}", "progress", (json_int_t)done, "of",
						  (json_int_t)outcome->size));
}

static void note_damaged(void *arg, uint64_t chunk)
{
	struct outcome *outcome = arg;

	json_array_append_new(outcome->chunks, json_integer((json_int_t)chunk));
}

/* Who has it open past us reads what is damaged until it has come again; what nobody has open is not fetched. */
static void fetch_again(struct outcome *outcome, const struct store_info *info)
{
	struct weightfs *fs = outcome->operation->fs;
	struct object *object;
	size_t index;
	json_t *chunk;

	if (!fs || fs->offline || object_get(fs, info->id, &object) < 0)
		return;
	json_array_foreach(outcome->chunks, index, chunk)
		if (atomic_load(&object->handles) > 0)
			pipeline_fetch(object, CATALOG_NOBODY,
				       (struct chunk_run){ (uint64_t)json_integer_value(chunk), 1 });
	object_put(object);
}

static int check_chunks(struct outcome *outcome, struct store_object *object,
			const struct verify_tree *tree)
{
	json_t *rate = json_object_get(outcome->operation->request, "rate");
	const struct scrub scrub = {
		.object = object,
		.tree = tree,
		.rate = (uint64_t)json_integer_value(rate),
		.progress = tell_progress,
		.damaged = note_damaged,
		.arg = outcome,
	};
	uint64_t wrong;
	int r = scrub_run(&scrub, &wrong);

	outcome->wrong += wrong;
	if (outcome->wrong > 0)
		snprintf(outcome->reason, sizeof(outcome->reason),
			 "%" PRIu64 " of %" PRIu64 " chunks damaged or gone; who reads them fetches them",
			 outcome->wrong, chunk_count(outcome->size));
	return r;
}

/* The store noticed by itself, as it opened the file, that it is gone or cut short. */
static void note_gone(struct outcome *outcome, const struct store_object *object)
{
	for (uint64_t chunk = 0; chunk < chunk_count(outcome->size); chunk++) {
		if (store_object_presence(object, chunk) != STORE_ABSENT)
			continue;
		note_damaged(outcome, chunk);
		outcome->wrong++;
	}
}

static int check_object(struct outcome *outcome, const struct store_info *info,
			struct store_object *object)
{
	_cleanup_free_ void *front = NULL;
	struct verify_tree *tree;
	size_t len;
	int r;

	r = store_object_front(object, &front, &len);
	if (r == 0)
		r = verify_tree_new(info->size, &info->digests.fsverity, front, len, &tree);
	/* That there is no memory, or that the database cannot be read now, says nothing of it. */
	if (r < 0 && r != -EBADMSG && r != -EMSGSIZE && r != -EINVAL && r != -ENODATA)
		return r;
	if (r < 0) {
		outcome->wrong = chunk_count(outcome->size);
		snprintf(outcome->reason, sizeof(outcome->reason),
			 "its tree is damaged; it was taken out of the store");
		return operation_remove(outcome->operation, info);
	}
	r = check_chunks(outcome, object, tree);
	verify_tree_free(tree);
	if (outcome->wrong > 0)
		fetch_again(outcome, info);
	return r;
}

static int report(struct outcome *outcome, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return outcome->operation->emit(
		outcome->operation,
		json_pack("{s:s, s:b, s:I, s:I, s:O, s:s}", "name", text, "ok", outcome->wrong == 0,
			  "size", (json_int_t)info->size, "wrong_chunks",
			  (json_int_t)outcome->wrong, "chunks", outcome->chunks, "reason",
			  outcome->reason));
}

static int verify(struct outcome *outcome, const struct store_info *info)
{
	struct store_object *object;
	int r;

	r = store_object_open(outcome->operation->store, info->id, &object);
	if (r < 0)
		return r == -ENOENT ? 0 : r; /* it went meanwhile */
	if (info->complete && !store_object_complete(object))
		note_gone(outcome, object);
	r = check_object(outcome, info, object);
	store_object_close(object);
	return r < 0 ? r : report(outcome, info);
}

static int each(struct operation *operation, const struct store_info *info)
{
	struct outcome outcome = { .operation = operation, .size = info->size };
	int r;

	/* An unattested one is checked as a whole when it has come, one that lacks its front when that has. */
	if (!info->digests.has_fsverity || info->lacks_front)
		return 0;
	outcome.chunks = json_array();
	r = outcome.chunks ? verify(&outcome, info) : -ENOMEM;
	json_decref(outcome.chunks);
	return r;
}

int operation_verify(struct operation *operation)
{
	json_t *rate = json_object_get(operation->request, "rate");

	if (rate && (!json_is_integer(rate) || json_integer_value(rate) < 0))
		return operation_fail(operation, -EINVAL, "rate: not a number of bytes a second");
	return operation_each_object(operation, each);
}
