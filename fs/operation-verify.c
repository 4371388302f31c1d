/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored bytes are read again, past the page cache, and checked. What is wrong leaves the store: of a
 * complete object everything, of a partial one the chunks that are wrong. The next open fetches it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "fs/operations.h"
#include "verify/verify.h"

struct outcome {
	uint64_t wrong; /* chunks */
	uint64_t checked;
	char reason[64];
};

/* From the disk, not from memory: what matters is what is stored. */
static int read_stored(struct store_object *object, uint64_t chunk, void *buffer, size_t length)
{
	int fd = store_object_fd(object);

	posix_fadvise(fd, (off_t)(chunk * CHUNK_SIZE), (off_t)length, POSIX_FADV_DONTNEED);
	return store_object_read(object, chunk * CHUNK_SIZE, buffer, length);
}

static int check_chunks(struct operation *operation, struct store_object *object,
			const struct verify_tree *tree, struct outcome *outcome)
{
	uint64_t size = store_object_size(object);
	_cleanup_free_ void *buffer = malloc(CHUNK_SIZE);

	if (!buffer)
		return -ENOMEM;
	for (uint64_t chunk = 0; chunk < chunk_count(size); chunk++) {
		size_t length = chunk_length(size, chunk);
		int r;

		if (store_object_presence(object, chunk) == STORE_ABSENT)
			continue;
		r = read_stored(object, chunk, buffer, length);
		if (r == 0)
			r = verify_tree_check(tree, chunk, buffer, length);
		outcome->checked += length;
		if (r < 0) {
			if (outcome->wrong++ == 0)
				snprintf(outcome->reason, sizeof(outcome->reason),
					 "chunk %" PRIu64 " is damaged", chunk);
			if (!store_object_complete(object))
				store_object_drop(object, chunk);
		}
		if (chunk % 16 == 15) {
			r = operation->emit(operation, json_pack("{s:I, s:I}", "progress",
								 (json_int_t)outcome->checked,
								 "of", (json_int_t)size));
			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int check_object(struct operation *operation, const struct store_info *info,
			struct store_object *object, struct outcome *outcome)
{
	_cleanup_free_ void *front = NULL;
	struct verify_tree *tree;
	size_t len;
	int r;

	r = store_object_front(object, &front, &len);
	if (r == 0)
		r = verify_tree_new(info->size, &info->digests.fsverity, front, len, &tree);
	if (r < 0) {
		outcome->wrong = 1;
		snprintf(outcome->reason, sizeof(outcome->reason), "its tree is damaged");
		return 0;
	}
	r = check_chunks(operation, object, tree, outcome);
	verify_tree_free(tree);
	return r;
}

static int report(struct operation *operation, const struct store_info *info,
		  const struct outcome *outcome)
{
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return operation->emit(operation,
			       json_pack("{s:s, s:b, s:I, s:I, s:s}", "name", text, "ok",
					 outcome->wrong == 0, "size", (json_int_t)info->size,
					 "wrong_chunks", (json_int_t)outcome->wrong, "reason",
					 outcome->reason));
}

static int each(struct operation *operation, const struct store_info *info)
{
	struct outcome outcome = { 0 };
	struct store_object *object;
	bool complete;
	int r;

	/* An unattested one is checked as a whole when it has come, one that lacks its front when that has. */
	if (!info->digests.has_fsverity || info->lacks_front)
		return 0;
	r = store_object_open(operation->store, info->id, &object);
	if (r < 0)
		return r;
	if (info->complete && !store_object_complete(object)) {
		/* The store noticed by itself. */
		outcome.wrong = 1;
		snprintf(outcome.reason, sizeof(outcome.reason), "its file is gone or cut short");
	} else {
		r = check_object(operation, info, object, &outcome);
	}
	/* It may have become so meanwhile, and then no chunk was dropped. */
	complete = info->complete || store_object_complete(object);
	store_object_close(object);
	if (r != 0)
		return r;
	if (outcome.wrong > 0 && complete)
		r = operation_remove(operation, info);
	return r < 0 ? r : report(operation, info, &outcome);
}

int operation_verify(struct operation *operation)
{
	return operation_each_object(operation, each);
}
