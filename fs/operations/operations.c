/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/operations/operations.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "catalogs/catalogs.h"
#include "common/io.h"
#include "fs/origins/policy-slot.h"
#include "fs/session.h"

static const struct entry {
	const char *name;
	int (*run)(struct operation *operation);
	bool privileged; /* changes the store, or tells of everybody's objects */
	enum operation_need need;
} operations[] = {
	{ "ls", operation_ls, true, NEEDS_STORE },
	{ "add", operation_add, true, NEEDS_ROOM },
	{ "pin", operation_pin, true, NEEDS_STORE },
	{ "unpin", operation_unpin, true, NEEDS_STORE },
	{ "rm", operation_rm, true, NEEDS_STORE },
	{ "gc", operation_gc, true, NEEDS_ROOM },
	{ "verify", operation_verify, true, NEEDS_STORE },
	{ "explain", operation_explain, false, NEEDS_STORE },
	{ "pull", operation_pull, false, NEEDS_SOURCES },
	{ "catalogs", operation_list_catalogs, false, NEEDS_STORE },
	{ "catalog-refresh", operation_refresh_catalogs, true, NEEDS_SOURCES },
	{ "import", operation_import, false, NEEDS_STORE },
	{ "imports", operation_imports, false, NEEDS_STORE },
	{ "import-remove", operation_import_remove, false, NEEDS_STORE },
	{ "status", operation_status, false, NEEDS_DAEMON },
	{ "reload", operation_reload, true, NEEDS_DAEMON },
	{ "metrics", operation_metrics, true, NEEDS_DAEMON },
	{ "pending", operation_pending, false, NEEDS_DAEMON },
	{ "grant", operation_grant, false, NEEDS_STORE },
	{ "deny", operation_deny, false, NEEDS_STORE },
	{ "revoke", operation_revoke, false, NEEDS_STORE },
	{ "grants", operation_grants, false, NEEDS_STORE },
	{ "locate", operation_locate, false, NEEDS_STORE },
};

bool operation_is_privileged(uid_t uid)
{
	return uid == 0 || uid == getuid();
}

int operation_fail(struct operation *operation, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(operation->message, sizeof(operation->message), format, args);
	va_end(args);
	return error;
}

static const struct entry *find(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(operations); i++) {
		if (!strcmp(name, operations[i].name))
			return &operations[i];
	}
	return NULL;
}

enum operation_need operation_needs(const char *name)
{
	const struct entry *entry = find(name);

	return entry ? entry->need : NEEDS_STORE;
}

int operation_run(struct operation *operation)
{
	const char *name = json_string_value(json_object_get(operation->request, "op"));
	const struct entry *entry = find(name);

	if (!entry)
		return operation_fail(operation, -EINVAL, "unknown operation: %s",
				      name ? name : "(none)");
	if (entry->privileged && !operation->privileged)
		return operation_fail(operation, -EPERM,
				      "%s: only for root and the owner of the store", name);
	return entry->run(operation);
}

static int for_named(struct operation *operation, const char *text,
		     int (*each)(struct operation *operation, const struct store_info *info))
{
	struct digest_name name;
	struct store_info info;
	int r;

	if (!text || digest_name_parse(text, &name) < 0)
		return operation_fail(operation, -EINVAL, "not a digest: %s", text ? text : "");
	r = store_lookup(operation->store, &name, &info);
	if (r == -ENOENT)
		return operation_fail(operation, r, "%s: not in the store", text);
	if (r < 0)
		return operation_fail(operation, r, "%s: the store cannot be read", text);
	return each(operation, &info);
}

int operation_each_object(struct operation *operation,
			  int (*each)(struct operation *operation, const struct store_info *info))
{
	json_t *digests = json_object_get(operation->request, "digests"), *value;
	struct store_info info = { 0 };
	size_t index;
	int r = 0;

	if (json_array_size(digests) > 0) {
		json_array_foreach(digests, index, value) {
			r = for_named(operation, json_string_value(value), each);
			if (r < 0)
				return r;
		}
		return 0;
	}
	while ((r = store_next(operation->store, info.id, &info)) == 0) {
		r = each(operation, &info);
		if (r != 0)
			return r;
	}
	return r == -ENOENT ? 0 : operation_fail(operation, r, "the store cannot be read");
}

int operation_view(struct operation *operation, uint32_t *number)
{
	const char *origin = policy_origin_of(operation->policy, &operation->caller, NULL);

	return store_view(operation->store, operation->caller.uid, origin ? origin : "local", number);
}

enum policy_verdict operation_verdict(const struct operation *operation, const char *origin,
				      const struct digest_pair *digests)
{
	enum policy_verdict verdict = policy_decide(operation->policy, origin, digests).verdict;
	struct policy *now;

	if (!operation->fs || verdict == POLICY_DENY)
		return verdict;
	now = policy_slot_get(operation->fs->policy);
	verdict = policy_decide(now, origin, digests).verdict;
	policy_unref(now);
	return verdict;
}

struct catalogs *operation_catalogs(struct operation *operation)
{
	return operation->fs ? operation->fs->catalogs : catalogs_later_get(operation->catalogs);
}

void operation_object_name(const struct store_info *info, char out[DIGEST_NAME_SIZE])
{
	struct digest_name name = digest_pair_name(&info->digests);

	digest_name_format(&name, out);
}

int operation_remove(struct operation *operation, const struct store_info *info)
{
	int r = store_remove(operation->store, info->id);

	if (operation->fs)
		session_forget_names(operation->fs);
	return r;
}

uint64_t operation_buffers_used(const struct weightfs *fs)
{
	return (pool_count(fs->pool) - pool_available(fs->pool)) * CHUNK_SIZE;
}

/* proc(5), /proc/PID/statm: the second number, in pages. */
uint64_t operation_resident_memory(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long pages = 0;
	size_t len;

	if (io_read_file("/proc/self/statm", 4096, &text, &len) < 0 ||
	    sscanf(text, "%*s %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

const char *operation_state(const struct store_info *info)
{
	return info->complete ? "complete" : info->present > 0 ? "partial" : "known";
}
