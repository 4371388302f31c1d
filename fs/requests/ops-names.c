/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LOOKUP below name/ and hub/. Files are the nodes of hash/: a name is turned into a digest, and that is looked up. Folders are
 * there if something below them is visible; where that takes longer to find out than a FUSE thread may, it is done where
 * listings are made.
 */
#include <stdio.h>
#include <string.h>
#include "catalogs/catalogs.h"
#include "common/stats.h"
#include "fs/names/interned.h"
#include "fs/names/visible.h"
#include "fs/origins/refused.h"
#include "fs/requests/ops.h"

/* A LOOKUP of NAME in NODE, or an OPEN of NODE, a ref (NAME ""). */
struct finding {
	struct weightfs *fs;
	fuse_req_t request;
	struct node node;
	struct fuse_file_info fi;
	char name[NAME_MAX + 1];
	unsigned int mode; /* enum visible_mode */
	/* Worked out from that: */
	const struct view *view;
	const char *path;
	struct catalog_set *set;
};

/* ---- the answers: 0, or -errno that is still to be replied; -EAGAIN: it takes longer ---- */

/* OWNER: for whom alone it is there; CATALOG_EVERYBODY. */
static int reply_folder(const struct finding *finding, const char *path, enum node_kind kind, uid_t owner)
{
	double timeout = fs_timeout(finding->fs);
	struct fuse_entry_param entry = {
		.generation = 1,
		.attr_timeout = timeout,
		.entry_timeout = timeout,
	};
	struct node node = { .kind = kind, .view = finding->node.view };
	int r;

	r = interned_number(path, owner, &node.object);
	if (r < 0)
		return r == -ENOSPC ? -ENOENT : r;
	entry.ino = node_id(node);
	ops_fill_fixed(node, &entry.attr);
	fuse_reply_entry(finding->request, &entry);
	return 0;
}

static int find_object(const struct finding *finding, const struct catalog *catalog,
		       const struct verify_object *object)
{
	struct weightfs *fs = finding->fs;
	struct visible visible, why;

	if (!visible_object(fs, finding->view, finding->set, catalog, object, &visible, &why)) {
		if (why.decision.verdict == POLICY_DENY) {
			stats_add(STAT_DENIED, 1);
			audit_refused(fs, finding->request, finding->view, &object->digests,
				      &why.decision, "lookup");
		}
		return -ENOENT;
	}
	ops_lookup_digest(fs, finding->request, finding->view, &visible.name);
	return 0;
}

/* The ref NAME of FOLDERS: as visible as what it stands for. 1 or -errno. OWNER: whose catalog says so. */
static int find_ref(const struct finding *finding, const struct folders *folders, const char *name,
		    char commit[HUB_COMMIT_SIZE], uid_t *owner)
{
	const struct hub_snapshot *snapshot = hub_ref(&folders->repo, &folders->snapshots, name);
	int r;

	if (!snapshot)
		return -ENOENT;
	r = visible_names(finding->fs, finding->view, finding->set, snapshot->catalog, &snapshot->names,
			  finding->mode);
	if (r == 1) {
		memcpy(commit, snapshot->commit, HUB_COMMIT_SIZE);
		*owner = snapshot->catalog->owner;
	}
	return r == 0 ? -ENOENT : r;
}

static uid_t owner_of(const struct folders *folders)
{
	uid_t owner = folders->n > 0 ? folders->at[0].catalog->owner : CATALOG_EVERYBODY;

	for (size_t i = 1; i < folders->n; i++) {
		if (folders->at[i].catalog->owner != owner)
			return CATALOG_EVERYBODY;
	}
	return owner;
}

/* NAME, which is no file. */
static int find_folder(const struct finding *finding, const char *path)
{
	struct folders folders;
	uid_t owner;
	int r;

	r = folders_find(finding->set, finding->view->uid, path, &folders);
	if (r < 0)
		return r;
	r = visible_folders(finding->fs, finding->view, finding->set, &folders, finding->mode);
	owner = owner_of(&folders);
	folders_release(&folders);
	return r < 0 ? r : r == 0 ? -ENOENT : reply_folder(finding, path, NODE_FOLDER, owner);
}

static int find_in(const struct finding *finding, const struct folders *folders)
{
	_cleanup_free_ char *path = folders_join(finding->path, finding->name);
	char commit[HUB_COMMIT_SIZE];
	const struct catalog *catalog;
	struct verify_place place;
	uid_t owner;
	int r;

	if (!path)
		return -ENOMEM;
	if (folders->kind == FOLDERS_REFS) {
		r = find_ref(finding, folders, finding->name, commit, &owner);
		return r < 0 ? r : reply_folder(finding, path, NODE_REF, owner);
	}
	if (folders->kind != FOLDERS_FILES)
		return find_folder(finding, path);
	r = folders_lookup(folders, finding->name, &catalog, &place);
	if (r < 0)
		return r;
	return place.folder ? find_folder(finding, path) : find_object(finding, catalog, &place.object);
}

static int find_name(const struct finding *finding)
{
	struct folders folders;
	int r;

	r = folders_find(finding->set, finding->view->uid, finding->path, &folders);
	if (r < 0)
		return r;
	r = find_in(finding, &folders);
	folders_release(&folders);
	return r;
}

/* ---- refs ---- */

/* What it stands for at the open it stands for until the close: its text gets a number, too. */
static int open_ref(struct finding *finding)
{
	const char *ref = strrchr(finding->path, '/') + 1;
	_cleanup_free_ char *folder = strndup(finding->path, (size_t)(ref - finding->path - 1));
	char commit[HUB_COMMIT_SIZE];
	struct folders folders;
	uint64_t number;
	uid_t owner;
	int r;

	if (!folder)
		return -ENOMEM;
	r = folders_find(finding->set, finding->view->uid, folder, &folders);
	if (r < 0)
		return r;
	r = find_ref(finding, &folders, ref, commit, &owner);
	folders_release(&folders);
	if (r < 0)
		return r;
	r = interned_number(commit, owner, &number);
	if (r < 0)
		return r;
	finding->fi.fh = OPS_REF_HANDLE | number;
	fuse_reply_open(finding->request, &finding->fi);
	return 0;
}

void ops_read_ref(fuse_req_t request, uint64_t fh, size_t size, off_t offset)
{
	const char *commit = interned_path(fh & ~OPS_REF_HANDLE);
	size_t len = strlen(commit);

	if ((uint64_t)offset >= len)
		len = 0;
	else
		len -= (size_t)offset;
	fuse_reply_buf(request, commit + (len ? offset : 0), size < len ? size : len);
}

/* ---- on which thread ---- */

static int try(struct finding *finding)
{
	int r;

	finding->view = view_get(finding->fs->views, finding->node.view);
	finding->path = interned_path(finding->node.object);
	if (!finding->view || !finding->path)
		return -ESTALE;
	if (!visible_any(finding->fs, finding->view))
		return -ENOENT;
	finding->set = catalogs_get(finding->fs->catalogs);
	r = *finding->name ? find_name(finding) : open_ref(finding);
	catalog_set_unref(finding->set);
	return r;
}

struct finding_job {
	struct work work;
	struct finding finding;
};

static void run(struct work *work)
{
	struct finding_job *job = container_of(work, struct finding_job, work);
	int r = try(&job->finding);

	/* The daemon stops. */
	if (r == -EAGAIN)
		r = -EIO;
	if (r < 0)
		fuse_reply_err(job->finding.request, -r);
	free(job);
}

static void find(struct finding *finding)
{
	struct finding_job *job;
	int r = try(finding);

	if (r == -EAGAIN) {
		job = calloc(1, sizeof(*job));
		r = job ? 0 : -ENOMEM;
		if (job) {
			job->work.run = run;
			job->finding = *finding;
			job->finding.mode = VISIBLE_PATIENT;
			workqueue_submit(finding->fs->listings, &job->work);
		}
	}
	if (r < 0)
		fuse_reply_err(finding->request, -r);
}

void ops_lookup_name(struct weightfs *fs, fuse_req_t request, struct node node, const char *name)
{
	struct finding finding = { .fs = fs, .request = request, .node = node };

	snprintf(finding.name, sizeof(finding.name), "%s", name);
	find(&finding);
}

void ops_open_ref(struct weightfs *fs, fuse_req_t request, struct node node, struct fuse_file_info *fi)
{
	struct finding finding = { .fs = fs, .request = request, .node = node, .fi = *fi };

	find(&finding);
}
