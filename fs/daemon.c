/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/daemon.h"

#include <string.h>
#include <sys/resource.h>
#include "common/clock.h"
#include "common/log.h"
#include "fs/origins/access.h"
#include "fs/origins/asking.h"
#include "fs/origins/audit.h"
#include "fs/origins/budget.h"
#include "fs/origins/caller.h"
#include "catalogs/catalogs.h"
#include "fs/names/entries.h"
#include "fs/names/hub.h"
#include "fs/names/interned.h"
#include "fs/names/positions.h"
#include "fs/names/visible.h"
#include "fs/control/control.h"
#include "fs/requests/handle.h"
#include "fs/objects/kept.h"
#include "fs/requests/node.h"
#include "fs/objects/object.h"
#include "fs/objects/parking.h"
#include "fs/requests/passthrough.h"
#include "fs/origins/pending.h"
#include "fs/origins/quota.h"
#include "fs/objects/probe.h"
#include "fs/objects/rebuild.h"
#include "fs/objects/separate.h"
#include "fs/session.h"
#include "fs/origins/view.h"

#define WRITERS	  2 /* each has one write of some MiB under way */
#define RECORDERS 2

int64_t fs_deadline(const struct weightfs *fs)
{
	int64_t limit = fs->config.fetch.read_deadline_ms;

	return limit ? clock_ms() + limit : 0;
}

/* One at least: with a pool of less than four, chunks that are kept would otherwise be all there is, for ever. */
size_t fs_spare(const struct weightfs *fs)
{
	size_t spare = pool_count(fs->pool) / 4;

	return spare > 0 ? spare : 1;
}

/* One verifier a core: they do nothing but hash and copy. */
static unsigned int verifier_count(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 1 ? 1 : cores > 16 ? 16 : (unsigned int)cores;
}

/* Every object in use costs a descriptor; the default limit (1024) is made for select(2). */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_debug("the limit of descriptors stays");
}

/* What can be meant, but hardly is. */
static void warn_of_sources(const struct config *config)
{
	for (size_t i = 0; i < config->n_sources; i++) {
		const struct fetch_source *source = &config->sources[i];

		if (!strchr(source->url, '{'))
			log_warning("source %s: its url names no digest ({sha256}, {fsverity}), so it is "
				    "the same for every object", source->name);
		if (strstr(source->url, "{fsverity") && !source->tree)
			log_warning("source %s has no tree: what is larger than a chunk cannot be "
				    "read by its fs-verity digest", source->name);
	}
}

static int start_fetch(struct weightfs *fs)
{
	const struct config *config = &fs->config;
	struct fetch_options options = {
		.sources = config->sources,
		.n_sources = config->n_sources,
		.connections = config->fetch.connections,
		.connect_timeout_ms = config->fetch.connect_timeout_ms,
		.stall_timeout_ms = config->fetch.stall_timeout_ms,
	};
	int r;

	r = pool_new(CHUNK_SIZE, (size_t)(config->fetch.memory / CHUNK_SIZE), &fs->pool);
	if (r < 0)
		return log_error_errno(r, "[fetch] memory");
	warn_of_sources(config);
	options.pool = fs->pool;
	r = fetch_new(&options, &fs->fetch);
	return r < 0 ? log_error_errno(r, "the sources cannot be set up") : 0;
}

static int start_view(struct weightfs *fs, const char *origin)
{
	const struct view *view;
	int r;

	r = view_of(fs->views, getuid(), origin, &view);
	if (r == 0)
		fs->single_view = view->number;
	return r;
}

static int start_audit(struct weightfs *fs)
{
	struct audit_options options = {
		.file = fs->config.audit.file,
		.web_origins = fs->config.audit.web_origins,
		.rate = fs->config.audit.rate,
	};

	return fs->config.audit.none ? 0 : audit_new(&options, &fs->audit);
}

/* Users' names are others, or a configured catalog has come: a policy with what it says, then itself. */
static void catalogs_renewed(void *arg, bool configured)
{
	struct weightfs *fs = arg;

	if (!configured)
		session_forget_names(fs);
	else if (policy_slot_reload(fs->policy, NULL) < 0) /* logs */
		log_debug("the catalogs stay as they are, too");
}

static uint64_t policy_begins(void *arg)
{
	struct weightfs *fs = arg;

	return catalogs_offered(fs->catalogs);
}

/* A policy came into force, made of what was offered by then: now that may be used, and the kernel shall ask again. */
static void policy_loaded(void *arg, uint64_t offered)
{
	struct weightfs *fs = arg;

	catalogs_accept(fs->catalogs, offered);
	session_forget_names(fs);
}

int daemon_start(struct weightfs *fs, const struct settings *settings, struct config *config,
		 struct policy_slot *policy)
{
	struct store_options options;
	int r;

	*fs = (struct weightfs){
		.config = *config,
		.policy = policy,
		.started = time(NULL),
		.started_ms = clock_ms(),
	};
	config_defaults(config); /* it is ours now */
	r = node_make_key();
	if (r < 0)
		return log_error_errno(r, "no random numbers");
	raise_descriptor_limit();
	fs->offline = settings->offline || fs->config.fetch.offline;
	r = settings_store_options(settings, &fs->config, &options);
	if (r == 0)
		r = store_open(&options, &fs->store); /* logs */
	if (r == 0)
		r = rebuild_if_due(fs->store, session_asked_to_stop);
	if (r < 0)
		return r;
	fs->config.fetch.offline = fs->offline;
	r = catalogs_new(&fs->config, store_path(fs->store), &fs->catalogs);
	if (r == 0)
		r = policy_slot_begin(fs->policy, catalogs_policy_names(fs->catalogs)); /* logs */
	if (r == 0)
		r = start_fetch(fs);
	if (r == 0)
		r = start_audit(fs);
	if (r < 0)
		return r;
	if ((r = workqueue_new(verifier_count(), "verify", &fs->verifiers)) < 0 ||
	    (r = workqueue_new(WRITERS, "write", &fs->writers)) < 0 ||
	    (r = workqueue_new(RECORDERS, "record", &fs->records)) < 0 ||
	    (r = kept_new(fs->pool, fs_spare(fs), &fs->kept)) < 0 ||
	    (r = workqueue_new(2, "background", &fs->background)) < 0 ||
	    (r = workqueue_new(1, "list", &fs->listings)) < 0 ||
	    (r = callers_new("/proc", "/sys/fs/cgroup", 0, &fs->callers)) < 0 ||
	    (r = parking_new(&fs->parking)) < 0 || (r = views_new(fs->store, &fs->views)) < 0 ||
	    (r = objects_new(&fs->objects)) < 0 || (r = probes_new(&fs->probes)) < 0 ||
	    (r = separates_new(&fs->separates)) < 0 ||
	    (r = pendings_new(&fs->pendings)) < 0 || (r = asking_new(&fs->asking)) < 0 ||
	    (r = passthrough_new(!settings->nopassthrough, &fs->passthrough)) < 0)
		return log_error_errno(r, "the daemon cannot be set up");
	if (settings->origin) {
		r = start_view(fs, settings->origin);
		if (r < 0)
			return log_error_errno(r, "origin %s", settings->origin);
	}
	r = policy_slot_follow(fs->policy, policy_begins, policy_loaded, fs);
	if (r < 0)
		return log_error_errno(r, "the policy cannot be followed");
	r = catalogs_follow(fs->catalogs, catalogs_renewed, fs);
	if (r < 0)
		return log_error_errno(r, "the catalogs cannot be followed");
	quota_sweep(fs);
	return control_new(fs, settings->socket, &fs->control);
}

void daemon_stop(struct weightfs *fs)
{
	atomic_store(&fs->stopping, true);
	catalogs_unfollow(fs->catalogs);
	control_free(fs->control);
	policy_slot_unfollow(fs->policy);
	/* What is done in the background makes views ask anew, and who is served then uses queues that end before that does. */
	asking_stop(fs->asking);
	/* Ends every transfer; what has come already is verified, stored and answered. */
	fetch_stop(fs->fetch);
	workqueue_free(fs->listings);
	workqueue_free(fs->verifiers);
	workqueue_free(fs->writers);
	workqueue_free(fs->records);
	workqueue_free(fs->background);
	fetch_free(fs->fetch);
	parking_free(fs->parking);
	session_end(fs);
	handle_close_all();
	kept_free(fs->kept);
	passthrough_free(fs->passthrough);
	probes_free(fs->probes);
	asking_free(fs->asking);
	pendings_free(fs->pendings);
	separates_free(fs->separates);
	budgets_free();
	visible_free();
	entries_free();
	hub_free();
	positions_free();
	interned_free();
	objects_free(fs->objects);
	views_free(fs->views);
	callers_free(fs->callers);
	pool_free(fs->pool);
	catalogs_free(fs->catalogs);
	store_close(fs->store);
	audit_free(fs->audit); /* whoever answered requests has ended */
	policy_slot_free(fs->policy);
	config_free(&fs->config);
}
