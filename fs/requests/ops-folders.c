/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READDIR below name/ and hub/: by the bytes of names, from the catalogs, of what the policy lets be listed. The store is not
 * looked at, unless all that a view may have is what is there (`cached`).
 *
 * On fs->listings (ops-list.c).
 */
#include <string.h>
#include "common/log.h"
#include "fs/names/entries.h"
#include "fs/names/interned.h"
#include "fs/names/positions.h"
#include "fs/names/visible.h"
#include "fs/origins/policy-slot.h"
#include "fs/requests/ops.h"

/* The shortest entry of a reply: struct fuse_dirent and a short name. */
#define ENTRY_SIZE 40
#define SCAN_BATCH 512

struct names_listing {
	struct weightfs *fs;
	const struct view *view;
	struct node node;
	const char *path;
	struct listing *listing;
	struct catalog_set *set;
	struct folders folders;
};

/* ---- what is shown ---- */

static bool shows_file(const struct names_listing *names, const struct entry *entry)
{
	struct visible visible;

	if (!visible_object(names->fs, names->view, names->set, entry->catalog, &entry->object,
			    &visible, NULL) ||
	    view_refusal(&visible.decision) < 0 || !visible.decision.list)
		return false;
	return !visible.decision.cached || ops_lists_stored(names->fs, names->view, &visible.name);
}

static bool shows_folder(const struct names_listing *names, const struct entry *entry, const char *path)
{
	unsigned int mode = VISIBLE_PATIENT | VISIBLE_LISTED;
	struct folders folders;
	int r;

	/* Nearly always there is one catalog, and where its names are is known. */
	if (names->folders.kind == FOLDERS_FILES && names->folders.n == 1)
		return visible_names(names->fs, names->view, names->set, entry->catalog,
				     &entry->names, mode) == 1;
	r = folders_find(names->set, names->view->uid, path, &folders);
	if (r < 0)
		return false;
	r = visible_folders(names->fs, names->view, names->set, &folders, mode);
	folders_release(&folders);
	return r == 1;
}

static bool shows_ref(const struct names_listing *names, const char *ref)
{
	const struct hub_snapshot *snapshot =
		hub_ref(&names->folders.repo, &names->folders.snapshots, ref);

	return snapshot && visible_names(names->fs, names->view, names->set, snapshot->catalog,
					 &snapshot->names, VISIBLE_PATIENT | VISIBLE_LISTED) == 1;
}

static bool shows(const struct names_listing *names, const struct entry *entry, const char *path)
{
	switch (entry->kind) {
	case ENTRY_FILE:
		return shows_file(names, entry);
	case ENTRY_REF:
		return shows_ref(names, entry->name);
	default:
		return shows_folder(names, entry, path);
	}
}

/* 1: full. */
static int show(const struct names_listing *names, const struct entry *entry)
{
	_cleanup_free_ char *path = folders_join(names->path, entry->name);
	off_t position = position_of(names->node.object, entry->name);
	struct stat st = { .st_mode = entry->kind == ENTRY_FOLDER ? S_IFDIR : S_IFREG };

	if (!path)
		return -ENOMEM;
	if (!shows(names, entry, path))
		return 0;
	if (entry->kind == ENTRY_FILE)
		ops_fill_object(&(struct store_info){ .name = digest_pair_name(&entry->object.digests) }, &st);
	else
		st.st_ino = interned_inode(path);
	if (!ops_list(names->listing, entry->name, &st, position))
		return 1;
	position_told(position, entry->name);
	return 0;
}

/* ---- from where on ---- */

/* Call FOUND for what is behind AFTER, BATCH at a time, until it returns other than 0, which is passed on. */
static int each_entry(const struct names_listing *names, char after[NAME_MAX + 1], size_t batch,
		      int (*found)(const struct names_listing *names, const struct entry *entry, void *arg),
		      void *arg)
{
	struct entries entries = { .more = true };
	int r = 0;

	while (r == 0 && entries.more && !atomic_load(&names->fs->stopping)) {
		r = entries_of(names->set, names->view->uid, &names->folders, after, batch, &entries);
		if (r < 0)
			return r;
		for (size_t i = 0; i < entries.n && r == 0; i++)
			r = found(names, &entries.at[i], arg);
		if (entries.n > 0)
			memcpy(after, entries.at[entries.n - 1].name, NAME_MAX + 1);
		free(entries.at);
	}
	return r;
}

struct wanted {
	off_t position;
	char *out;
};

static int is_at(const struct names_listing *names, const struct entry *entry, void *arg)
{
	struct wanted *wanted = arg;

	if (position_of(names->node.object, entry->name) != wanted->position)
		return 0;
	memcpy(wanted->out, entry->name, NAME_MAX + 1);
	return 1;
}

/* The name at OFFSET, "" for what is before all of them. False: there is none; it cannot be said where to go on. */
static bool find_position(const struct names_listing *names, off_t offset, char out[NAME_MAX + 1])
{
	struct wanted wanted = { offset, out };
	char after[NAME_MAX + 1] = "";

	out[0] = '\0';
	if (offset < POSITIONS_FIRST || position_name(offset, out))
		return true;
	return each_entry(names, after, SCAN_BATCH, is_at, &wanted) == 1;
}

static int show_each(const struct names_listing *names, const struct entry *entry, void *arg)
{
	return show(names, entry);
}

static bool may_list(struct weightfs *fs, const struct view *view)
{
	struct policy *policy = policy_slot_get(fs->policy);
	bool lists = policy_lists(policy, view->origin);

	policy_unref(policy);
	return lists;
}

void ops_list_names(struct weightfs *fs, const struct view *view, struct node node,
		    struct listing *listing, off_t offset)
{
	struct names_listing names = {
		.fs = fs,
		.view = view,
		.node = node,
		.path = interned_path(node.object),
		.listing = listing,
	};
	char after[NAME_MAX + 1];

	if (!names.path || !may_list(fs, view) || !visible_any(fs, view))
		return;
	names.set = catalogs_get(fs->catalogs);
	if (folders_find(names.set, view->uid, names.path, &names.folders) == 0) {
		if (find_position(&names, offset, after) &&
		    each_entry(&names, after, listing->size / ENTRY_SIZE + 1, show_each, NULL) < 0)
			log_debug("a listing is not all there is");
		folders_release(&names.folders);
	}
	catalog_set_unref(names.set);
}
