/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READDIR of a view: that of names is in ops-folders.c, here is that of hash/: what is stored, and the policy lets be listed.
 *
 * For most views in the order of the store's ids. For a web origin neither the order nor the places between its entries, nor
 * the time that it takes, may tell what others have: the names that it can have are gone through, those of `shared` sets and
 * those that it fetched itself, by digest.
 *
 * All of it on one thread of its own: a listing takes as long as there is to look at, and whoever lists in a loop holds up
 * those who list.
 */
#include <stdlib.h>
#include <string.h>
#include "common/log.h"
#include "fs/objects/separate.h"
#include "fs/origins/access.h"
#include "fs/origins/budget.h"
#include "fs/requests/ops.h"

struct objects_listing {
	struct weightfs *fs;
	const struct view *view;
	struct listing *listing;
	bool counted; /* the view has a probe budget */
};

/* Known is not stored: a recursive grep must not download it. */
static bool is_listed(const struct objects_listing *objects, const struct store_info *info)
{
	struct policy_decision decision = view_decide(objects->fs, objects->view, &info->digests);

	if (view_refusal(&decision) < 0 || !decision.list)
		return false;
	/* What somebody had with his credential is not there for others. */
	if (view_is_apart(objects->view, &decision, info->gated) && !ops_has(objects->fs, objects->view, info))
		return false;
	/* Whose look-ups are counted finds by a listing what it has, and nothing else. */
	if (objects->counted && !ops_has(objects->fs, objects->view, info))
		return false;
	return info->complete || (info->present > 0 && !decision.cached);
}

static bool list(const struct objects_listing *objects, const struct digest_name *name,
		 const struct store_info *info, off_t next)
{
	char text[DIGEST_NAME_SIZE];
	struct stat st;

	digest_name_format(name, text);
	ops_fill_object(info, &st);
	return ops_list(objects->listing, text, &st, next);
}

/* ---- all that is stored ---- */

/* 1: full. */
static int list_stored(void *arg, const struct store_info *info)
{
	const struct objects_listing *objects = arg;
	struct digest_name name = digest_pair_name(&info->digests);

	if (!is_listed(objects, info))
		return 0;
	return list(objects, &name, info, (off_t)info->id + 2) ? 0 : 1;
}

/* Offsets are an object's id + 2: stable while others come and go. */
static int list_all(struct objects_listing *objects, off_t offset)
{
	return store_each(objects->fs->store, offset > 2 ? (uint64_t)offset - 2 : 0, list_stored,
			  objects);
}

/* ---- what one may have by name ---- */

#define BATCH 256

/*
 * Offsets: the kind, and as much of the digest as fits. Two names that differ in the rest only would be found one at a time:
 * nobody can make such digests.
 */
#define PLACE_KIND  62
#define PLACE_SHIFT 3
#define PLACE_FIRST 4

static uint64_t prefix_of(const struct digest_name *name)
{
	uint64_t prefix = 0;

	for (size_t i = 0; i < sizeof(prefix); i++)
		prefix = prefix << 8 | name->digest.bytes[i];
	return prefix;
}

static off_t place_of(const struct digest_name *name)
{
	return (off_t)((uint64_t)name->kind << PLACE_KIND |
		       ((prefix_of(name) >> PLACE_SHIFT) + PLACE_FIRST));
}

/* The last name that has this place. */
static struct digest_name name_at(off_t place)
{
	struct digest_name name = {.kind = (uint64_t)place >> PLACE_KIND ? DIGEST_FSVERITY : DIGEST_SHA256};
	uint64_t rest = (uint64_t)place & (((uint64_t)1 << PLACE_KIND) - 1);
	uint64_t prefix = rest < PLACE_FIRST ? 0 : rest - PLACE_FIRST;

	memset(&name.digest, rest < PLACE_FIRST ? 0 : 0xff, DIGEST_SIZE);
	prefix = prefix << PLACE_SHIFT | (rest < PLACE_FIRST ? 0 : (1 << PLACE_SHIFT) - 1);
	for (size_t i = 0; i < sizeof(prefix); i++)
		name.digest.bytes[i] = (uint8_t)(prefix >> (56 - 8 * i));
	return name;
}

static int by_name(const void *a, const void *b)
{
	return digest_name_compare(a, b);
}

/* Names behind AFTER, BATCH of each sort at most. */
struct names {
	struct digest_name after, names[3 * BATCH];
	size_t n, end;		 /* END: where the sort that is added has to stop */
	bool cut;		 /* a sort was longer */
	struct digest_name last; /* of those that were: nothing behind it is known yet */
};

/* 1: enough of this sort. In order. */
static int add_name(void *arg, const struct digest_name *name)
{
	struct names *names = arg;

	if (digest_name_compare(name, &names->after) <= 0)
		return 0;
	names->names[names->n++] = *name;
	if (names->n < names->end)
		return 0;
	if (!names->cut || digest_name_compare(name, &names->last) < 0)
		names->last = *name;
	names->cut = true;
	return 1;
}

/* In no order, and few: those that do not fit are listed when they are published. */
static int add_separate(void *arg, const struct digest_name *name)
{
	struct names *names = arg;

	if (digest_name_compare(name, &names->after) > 0)
		names->names[names->n++] = *name;
	return names->n < names->end ? 0 : 1;
}

static int collect(const struct objects_listing *objects, const struct policy *policy,
		   struct names *names)
{
	struct weightfs *fs = objects->fs;
	uint32_t view = objects->view->number;
	int r;

	names->n = 0;
	names->cut = false;
	names->end = BATCH;
	r = store_each_own(fs->store, view, &names->after, add_name, names);
	names->end = names->n + BATCH;
	if (r >= 0)
		r = policy_each_shared(policy, &names->after, add_name, names);
	names->end = names->n + BATCH;
	if (r >= 0)
		r = separates_each(fs, view, add_separate, names);
	qsort(names->names, names->n, sizeof(names->names[0]), by_name);
	return r < 0 ? r : 0;
}

/* What the view has under NAME. */
static int find(const struct objects_listing *objects, const struct digest_name *name,
		struct store_info *out)
{
	struct digest_pair pair = digest_pair_of(name);
	struct policy_decision decision = view_decide(objects->fs, objects->view, &pair);

	if (view_is_apart(objects->view, &decision, false))
		return ops_find_apart(objects->fs, objects->view, name, out);
	return store_lookup(objects->fs->store, name, out);
}

/* One that can be found by two names is listed by one. 1: full. */
static int list_name(const struct objects_listing *objects, const struct digest_name *name)
{
	struct digest_name canonical;
	struct store_info info, same;

	if (find(objects, name, &info) < 0 || !is_listed(objects, &info))
		return 0;
	canonical = digest_pair_name(&info.digests);
	if (digest_name_compare(&canonical, name) != 0 && find(objects, &canonical, &same) == 0 &&
	    same.id == info.id)
		return 0;
	return list(objects, name, &info, place_of(name)) ? 0 : 1;
}

static int list_own(struct objects_listing *objects, const struct policy *policy,
		    struct names *names)
{
	int r;

	for (;;) {
		r = collect(objects, policy, names);
		for (size_t i = 0; i < names->n && r == 0; i++) {
			if (names->cut && digest_name_compare(&names->names[i], &names->last) > 0)
				break;
			if (i > 0 && digest_name_compare(&names->names[i], &names->names[i - 1]) == 0)
				continue;
			r = list_name(objects, &names->names[i]);
		}
		if (r != 0 || !names->cut)
			return r;
		names->after = names->last;
	}
}

static int list_by_name(struct objects_listing *objects, off_t offset)
{
	struct policy *policy = policy_slot_get(objects->fs->policy);
	bool lists = policy_lists(policy, objects->view->origin);
	struct names *names = lists ? malloc(sizeof(*names)) : NULL;
	int r = lists ? -ENOMEM : 0;

	if (names) {
		names->after = name_at(offset);
		r = list_own(objects, policy, names);
	}
	free(names);
	policy_unref(policy);
	return r;
}

/* ---- READDIR ---- */

struct listing_job {
	struct work work;
	struct weightfs *fs;
	struct node node;
	struct listing listing;
	off_t offset;
};

bool ops_lists_stored(struct weightfs *fs, const struct view *view, const struct digest_name *name)
{
	struct objects_listing objects = {
		.fs = fs,
		.view = view,
		.counted = budget_is_kept(fs, view),
	};
	struct store_info info;

	return find(&objects, name, &info) == 0 && is_listed(&objects, &info);
}

/* Offsets 1 and 2 are `.` and `..`. */
static void list_dots(struct listing_job *job)
{
	static const char *const names[] = { ".", ".." };
	struct stat st;

	ops_fill_fixed(job->node, &st);
	for (off_t at = job->offset; at < 2; at++)
		(void)ops_list(&job->listing, names[at], &st, at + 1);
}

static void list_objects(struct listing_job *job, const struct view *view)
{
	struct objects_listing objects = {
		.fs = job->fs,
		.view = view,
		.listing = &job->listing,
		.counted = budget_is_kept(job->fs, view),
	};
	int r = view->web ? list_by_name(&objects, job->offset) : list_all(&objects, job->offset);

	/* What could not be read is said in the log; the rest is listed. */
	if (r < 0)
		log_debug("a listing is not all there is");
}

static void run(struct work *work)
{
	struct listing_job *job = container_of(work, struct listing_job, work);
	const struct view *view = view_get(job->fs->views, job->node.view);

	list_dots(job);
	if (view && job->node.kind == NODE_HASH)
		list_objects(job, view);
	else if (view)
		ops_list_names(job->fs, view, job->node, &job->listing, job->offset);
	fuse_reply_buf(job->listing.request, job->listing.data, job->listing.used);
	free(job->listing.data);
	free(job);
}

void ops_list_later(struct weightfs *fs, fuse_req_t request, struct node node, size_t size,
		    off_t offset)
{
	struct listing_job *job = calloc(1, sizeof(*job));
	char *data = malloc(size);

	if (!job || !data) {
		free(job);
		free(data);
		fuse_reply_err(request, ENOMEM);
		return;
	}
	*job = (struct listing_job){
		.work.run = run,
		.fs = fs,
		.node = node,
		.listing = { .request = request, .data = data, .size = size },
		.offset = offset,
	};
	workqueue_submit(fs->listings, &job->work);
}
