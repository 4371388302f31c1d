/* SPDX-License-Identifier: Apache-2.0 */
/* What stays in the store, and what leaves it: pin, unpin, rm, gc. */
#include <string.h>
#include "fs/operations/operations.h"
#include "fs/session.h"

static int say(struct operation *operation, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];

	operation_object_name(info, text);
	return operation->emit(operation, json_pack("{s:s, s:I}", "name", text, "size",
						    (json_int_t)info->size));
}

/* Without one, "all" would be meant; nobody removes everything by leaving out a word. */
static int each_named(struct operation *operation,
		      int (*each)(struct operation *operation, const struct store_info *info))
{
	if (json_array_size(json_object_get(operation->request, "digests")) == 0)
		return operation_fail(operation, -EINVAL, "no object is named");
	return operation_each_object(operation, each);
}

static int set_pin(struct operation *operation, const struct store_info *info, bool pinned)
{
	struct store_object *object;
	int r;

	r = store_object_open(operation->store, info->id, &object);
	if (r < 0)
		return r;
	r = store_object_pin(object, pinned);
	store_object_close(object);
	return r < 0 ? r : say(operation, info);
}

static int pin(struct operation *operation, const struct store_info *info)
{
	return set_pin(operation, info, true);
}

static int unpin(struct operation *operation, const struct store_info *info)
{
	return set_pin(operation, info, false);
}

static int remove_one(struct operation *operation, const struct store_info *info)
{
	char text[DIGEST_NAME_SIZE];
	int r;

	operation_object_name(info, text);
	if (info->pinned)
		return operation_fail(operation, -EBUSY, "%s: is pinned", text);
	r = operation_remove(operation, info);
	return r < 0 ? r : say(operation, info);
}

int operation_pin(struct operation *operation)
{
	return each_named(operation, pin);
}

int operation_unpin(struct operation *operation)
{
	return each_named(operation, unpin);
}

int operation_rm(struct operation *operation)
{
	return each_named(operation, remove_one);
}

int operation_gc(struct operation *operation)
{
	json_t *to = json_object_get(operation->request, "to");
	struct store_usage before, after;
	uint64_t forgotten;
	int r;

	store_usage(operation->store, &before);
	if (to && (!json_is_integer(to) || json_integer_value(to) < 0))
		return operation_fail(operation, -EINVAL, "\"to\" is not a number of bytes");
	r = store_shrink(operation->store, to ? (uint64_t)json_integer_value(to) : before.limit);
	forgotten = store_forget_bare(operation->store);
	store_usage(operation->store, &after);
	if (operation->fs && after.objects < before.objects)
		session_forget_names(operation->fs);
	if (r < 0 && r != -ENOSPC)
		return r;
	return operation->emit(operation,
			       json_pack("{s:I, s:I, s:I, s:I, s:I}", "objects", (json_int_t)after.objects,
					 "used", (json_int_t)after.used, "removed",
					 (json_int_t)(before.objects - after.objects), "freed",
					 (json_int_t)(before.used - after.used), "forgotten",
					 (json_int_t)forgotten));
}
