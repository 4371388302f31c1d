/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog is asked for once, and what comes is refused or put in the place of what is here.
 *
 * One that comes has to be signed, to be of this name, not to have expired, and to have a serial that is higher than all
 * that were taken, or the same bytes. None of its names may be that of another object than in the one that is loaded: names
 * are fixed to a revision. Only then it is kept, durably, and only when it is kept it is offered to the policy, and used.
 */
#include "catalogs/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "fetch/document.h"

#define TOTAL_MS       ((int64_t)15 * 60 * 1000) /* of one exchange: others wait for the thread meanwhile */
#define HEADERS_MAX    32
#define HEADERS_SIZE   ((size_t)64 << 10)
#define ATTEMPTS       2 /* if they do not fit: both files may have been replaced between two requests */

struct refresh {
	struct catalogs *catalogs;
	struct configured *configured;
	const struct config_catalog *config;
	struct catalog_part *part; /* what was taken last; NULL. Ours alone takes another meanwhile */
	int dir;
	int64_t deadline_ms;
	char *headers_text;
	const char *headers[HEADERS_MAX];
	size_t n_headers;
	char *reason; /* CATALOG_REASON_SIZE */
};

static int printf_like(3, 4) refuse(struct refresh *refresh, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(refresh->reason, CATALOG_REASON_SIZE, format, args);
	va_end(args);
	return error;
}

/* ---- asking ---- */

static bool is_wanted(void *arg, uint64_t received)
{
	const struct refresh *refresh = arg;

	return !atomic_load(&refresh->catalogs->stop) && clock_ms() < refresh->deadline_ms;
}

/* A header a line; they are not quoted, as they may be secret. */
static int read_headers(struct refresh *refresh)
{
	const char *path = refresh->config->header_file;
	char *rest, *line;
	struct stat st;
	size_t len;
	int r;

	if (!path)
		return 0;
	r = io_read_regular(path, HEADERS_SIZE, &refresh->headers_text, &len, &st);
	if (r < 0)
		return refuse(refresh, r, "%s: %s", path, strerror(-r));
	rest = refresh->headers_text;
	while ((line = strsep(&rest, "\n"))) {
		line[strcspn(line, "\r")] = '\0';
		if (!*line || *line == '#')
			continue;
		if (refresh->n_headers == HEADERS_MAX)
			return refuse(refresh, -E2BIG, "%s: more than %d headers", path, HEADERS_MAX);
		refresh->headers[refresh->n_headers++] = line;
	}
	return 0;
}

/* 200, or 304 if ETAG is not NULL; else it is refused. */
static int ask(struct refresh *refresh, const char *url, const char *etag, int fd, uint64_t max,
	       struct fetch_document *out)
{
	const struct config *config = refresh->catalogs->config;
	const struct config_catalog *catalog = refresh->config;
	const struct fetch_document_request request = {
		.url = url,
		.allow_http = catalog->allow_http,
		.allow_private = catalog->allow_private,
		.ca_file = catalog->ca_file,
		.headers = refresh->headers,
		.n_headers = refresh->n_headers,
		.etag = etag,
		.max = max,
		.fd = fd,
		.connect_timeout_ms = config->fetch.connect_timeout_ms,
		.stall_timeout_ms = config->fetch.stall_timeout_ms,
		.wanted = is_wanted,
		.arg = refresh,
	};
	char message[FETCH_MESSAGE_SIZE];
	int r;

	refresh->deadline_ms = clock_ms() + TOTAL_MS;
	r = fetch_document_get(&request, out, message);
	if (r == -ECANCELED && !atomic_load(&refresh->catalogs->stop))
		r = -ETIMEDOUT;
	if (r < 0)
		return refuse(refresh, r, "%s: %s", url, message);
	if (out->status == 200 || (out->status == 304 && etag))
		return 0;
	r = refuse(refresh, out->status == 404 || out->status == 410 ? -ENOENT : -EPROTO, "%s: HTTP %u", url,
		   out->status);
	fetch_document_release(out);
	return r;
}

/* ---- is it taken? ---- */

static bool is_same(const struct verify_object *a, const struct verify_object *b)
{
	const struct digest_pair *x = &a->digests, *y = &b->digests;

	return verify_objects_agree(a, b) &&
	       ((x->has_sha256 && y->has_sha256) || (x->has_fsverity && y->has_fsverity)) &&
	       (!x->has_sha256 || !y->has_sha256 || digest_equal(&x->sha256, &y->sha256)) &&
	       (!x->has_fsverity || !y->has_fsverity || digest_equal(&x->fsverity, &y->fsverity));
}

static int check_names(struct refresh *refresh, const struct verify_catalog *entries)
{
	const struct verify_catalog *before = refresh->part->catalog.entries;
	const struct verify_catalog_info *info = verify_catalog_info(before);

	for (size_t i = 0; i < info->n_objects; i++) {
		struct verify_object object;

		if (atomic_load_explicit(&refresh->catalogs->stop, memory_order_relaxed))
			return refuse(refresh, -ECANCELED, "not wanted any more");
		verify_catalog_object(before, i, &object);
		for (unsigned int j = 0; j < object.n_names; j++) {
			const char *name = verify_object_name(before, &object, j);
			struct verify_place place;

			if (verify_catalog_lookup(entries, name, &place) < 0 || place.folder ||
			    is_same(&object, &place.object))
				continue;
			return refuse(refresh, -EINVAL, "line %zu: %.200s is another object than in serial %" PRIu64,
				      place.object.index + 2, name, info->serial);
		}
	}
	return 0;
}

static bool is_loaded(const struct refresh *refresh, const struct verify_catalog_info *info)
{
	return refresh->part && !memcmp(verify_catalog_info(refresh->part->catalog.entries)->hash, info->hash,
					sizeof(info->hash));
}

static int check(struct refresh *refresh, const struct verify_catalog *entries)
{
	const struct verify_catalog_info *info = verify_catalog_info(entries);
	const struct catalog_state *state = &refresh->configured->state;

	if (state->taken && info->serial == state->serial && memcmp(info->hash, state->hash, sizeof(info->hash)))
		return refuse(refresh, -EINVAL, "serial %" PRIu64 " again, and it is another file", info->serial);
	if (is_loaded(refresh, info))
		return 0;
	if (time(NULL) >= info->expires)
		return refuse(refresh, -EINVAL, "line 1: it has expired");
	return refresh->part ? check_names(refresh, entries) : 0;
}

/* ---- taking it ---- */

static int write_state(struct refresh *refresh, const struct catalog_state *state)
{
	int r = catalog_state_write(refresh->dir, refresh->config->name, state);

	return r < 0 ? refuse(refresh, r, "it cannot be kept: %s", strerror(-r)) : 0;
}

/* STATE, whose strings are taken over, is what is remembered from now on. */
static void set_state(struct refresh *refresh, struct catalog_state *state)
{
	struct configured *configured = refresh->configured;
	char *before;

	pthread_mutex_lock(&refresh->catalogs->lock);
	before = configured->state.etag == state->etag ? NULL : configured->state.etag;
	configured->state = *state;
	pthread_mutex_unlock(&refresh->catalogs->lock);
	free(before);
}

/* ENTRIES is taken over in any case. 1: another one was taken. */
static int take(struct refresh *refresh, struct verify_catalog *entries, const char *etag)
{
	const struct verify_catalog_info *info = verify_catalog_info(entries);
	bool loaded = is_loaded(refresh, info) &&
		      !memcmp(&verify_catalog_info(refresh->part->catalog.entries)->key, &info->key,
			      sizeof(info->key));
	struct catalog_state state = {.serial = info->serial, .taken = true, .asked = time(NULL)};
	struct catalog_part *part = NULL;
	int r = 0;

	state.changed = loaded ? refresh->configured->state.changed : state.asked;
	memcpy(state.hash, info->hash, sizeof(state.hash));
	if (etag && !(state.etag = strdup(etag)))
		r = -ENOMEM;
	if (r < 0 || loaded)
		verify_catalog_unref(entries);
	else
		r = catalogs_part(refresh->configured, entries, &part);
	if (r == 0)
		r = catalog_kept_replace(refresh->dir, refresh->config->name, &state);
	if (r < 0) {
		catalog_part_unref(part);
		free(state.etag);
		return refuse(refresh, r, "it cannot be kept: %s", strerror(-r));
	}
	set_state(refresh, &state);
	if (!part)
		return 0;
	catalogs_offer(refresh->catalogs, refresh->configured, part);
	return 1;
}

/* It is what is here: only that it was asked for is new. */
static int not_modified(struct refresh *refresh)
{
	struct catalog_state state = refresh->configured->state;

	state.asked = time(NULL);
	set_state(refresh, &state);
	return write_state(refresh, &state);
}

static int load(struct refresh *refresh, int fd, const struct fetch_document *signature,
		struct verify_catalog **out)
{
	const struct config_catalog *config = refresh->config;
	struct verify_catalog_rules rules;
	struct verify_problem problem;
	int r;

	catalog_rules_of(config, refresh->configured->state.serial, &refresh->catalogs->stop, &rules);
	r = verify_catalog_load(fd, signature->body, signature->len, config->keys, config->n_keys, &rules, out,
				&problem);
	if (r < 0 && problem.line)
		return refuse(refresh, r, "line %u: %s", problem.line, problem.text);
	return r < 0 ? refuse(refresh, r, "%s", problem.text) : 0;
}

/* The signature of what is in FD, and what both say. */
static int receive(struct refresh *refresh, int fd, const char *etag)
{
	const struct config_catalog *config = refresh->config;
	struct verify_catalog *entries;
	struct fetch_document signature;
	_cleanup_close_ int signature_fd = -1;
	int r;

	r = ask(refresh, config->signature, NULL, -1, VERIFY_SIGNATURE_MAX, &signature);
	if (r < 0)
		return r;
	r = catalog_kept_create(refresh->dir, config->name, "minisig", &signature_fd);
	if (r == 0)
		r = io_write(signature_fd, signature.body, signature.len);
	if (r < 0)
		refuse(refresh, r, "it cannot be kept: %s", strerror(-r));
	else
		r = load(refresh, fd, &signature, &entries);
	fetch_document_release(&signature);
	if (r < 0)
		return r;
	r = check(refresh, entries);
	if (r < 0) {
		verify_catalog_unref(entries);
		return r;
	}
	return take(refresh, entries, etag);
}

/* 1: what was taken last is another one now; 0: it is as before. */
static int attempt(struct refresh *refresh)
{
	const struct config_catalog *config = refresh->config;
	const char *etag = refresh->part ? refresh->configured->state.etag : NULL;
	struct fetch_document document;
	_cleanup_close_ int fd = -1;
	int r;

	r = catalog_kept_create(refresh->dir, config->name, "jsonl", &fd);
	if (r < 0)
		return refuse(refresh, r, "%s/catalogs: %s", refresh->catalogs->path, strerror(-r));
	r = ask(refresh, config->url, etag, fd, VERIFY_SIGNED_MAX, &document);
	if (r < 0)
		return r;
	r = document.status == 304 ? not_modified(refresh) : receive(refresh, fd, document.etag);
	fetch_document_release(&document);
	return r;
}

static int run(struct refresh *refresh)
{
	int r;

	refresh->dir = catalog_kept_open(refresh->catalogs->path, true);
	if (refresh->dir < 0)
		return refuse(refresh, refresh->dir, "%s/catalogs: %s", refresh->catalogs->path,
			      strerror(-refresh->dir));
	r = read_headers(refresh);
	for (unsigned int i = 0; r == 0 && i < ATTEMPTS; i++) {
		r = attempt(refresh);
		if (r != -EBADMSG)
			break;
		r = i + 1 < ATTEMPTS ? 0 : r;
	}
	catalog_kept_sweep(refresh->dir, refresh->config->name, &refresh->configured->state);
	close(refresh->dir);
	free(refresh->headers_text);
	return r;
}

/* ---- one at a time ---- */

static void claim(struct catalogs *catalogs, struct configured *configured)
{
	pthread_mutex_lock(&catalogs->lock);
	while (configured->refreshing)
		pthread_cond_wait(&catalogs->woken, &catalogs->lock);
	configured->refreshing = true;
	pthread_mutex_unlock(&catalogs->lock);
}

/* A failure that was said before is not said again. */
static void finish(struct catalogs *catalogs, struct configured *configured, int r, const char *reason)
{
	bool news = false;

	pthread_mutex_lock(&catalogs->lock);
	configured->refreshing = false;
	if (r >= 0) {
		configured->error[0] = '\0';
		configured->failures = 0;
	} else if (!atomic_load(&catalogs->stop)) {
		news = strcmp(configured->error, reason) != 0;
		snprintf(configured->error, sizeof(configured->error), "%s", reason);
		configured->failures++;
		configured->failed++;
	}
	configured->due_ms = catalog_next_due(configured, r);
	pthread_cond_broadcast(&catalogs->woken);
	pthread_mutex_unlock(&catalogs->lock);
	if (news)
		log_warning("catalog %s: %s", configured->config->name, reason);
}

static uint64_t kept_back(struct catalogs *catalogs, const struct configured *configured)
{
	uint64_t serial = 0;

	pthread_mutex_lock(&catalogs->lock);
	if (configured->offer)
		serial = verify_catalog_info(configured->coming->catalog.entries)->serial;
	pthread_mutex_unlock(&catalogs->lock);
	return serial;
}

/* What was taken, now or before, into use. NEWS: now. */
static int bring_into_use(struct catalogs *catalogs, struct configured *configured, bool news,
			  char reason[CATALOG_REASON_SIZE])
{
	uint64_t serial = kept_back(catalogs, configured);

	if (!serial)
		return 0;
	catalogs_changed(catalogs, true);
	serial = kept_back(catalogs, configured);
	if (!serial)
		return 0;
	snprintf(reason, CATALOG_REASON_SIZE, "serial %" PRIu64 " is kept back until the policy can be loaded", serial);
	if (news)
		log_warning("catalog %s: %s", configured->config->name, reason);
	return -EAGAIN;
}

int catalog_refresh(struct catalogs *catalogs, struct configured *configured, char reason[CATALOG_REASON_SIZE])
{
	struct refresh refresh = {
		.catalogs = catalogs,
		.configured = configured,
		.config = configured->config,
		.reason = reason,
	};
	int r;

	claim(catalogs, configured);
	pthread_mutex_lock(&catalogs->lock);
	refresh.part = catalogs_newest(configured);
	pthread_mutex_unlock(&catalogs->lock);
	r = run(&refresh);
	catalog_part_unref(refresh.part);
	finish(catalogs, configured, r, reason);
	return r < 0 ? r : bring_into_use(catalogs, configured, r > 0, reason);
}
