/* SPDX-License-Identifier: Apache-2.0 */
/* hf:ORG/REPO[@REVISION][/FILE]: registry/hf.h says what is asked for. */
#include "commands/import/hf.h"

#include <stdio.h>
#include <string.h>
#include "commands/import/bytes.h"
#include "commands/import/sources.h"
#include "registry/hf.h"

#define PAGES_MAX 1000

struct lookup {
	struct import_talk *talk;
	struct hf_user user;
	struct hf_spec spec;
	struct hf_model model;
	bool with_token; /* the hub would not answer without */
	struct import_advice advice;
	char forbidden[512];
	char problem[REGISTRY_PROBLEM_SIZE];
};

static struct import_get request(const struct lookup *lookup, const char *url, const char *what)
{
	return (struct import_get){
		.url = url,
		.what = what,
		.authorization = lookup->with_token ? lookup->user.authorization : NULL,
		.users_own = lookup->user.own_endpoint,
	};
}

/*
 * First without the token, so that what everybody may read does not become this user's alone; once it was needed, it is sent
 * with all that follows.
 */
static int ask(struct lookup *lookup, const char *url, const char *what, struct fetch_document *out)
{
	struct import_get get = request(lookup, url, what);
	int r;

	if (!url)
		return -ENOMEM;
	r = import_ask(lookup->talk, &get, out);
	if (r < 0 || lookup->with_token || !lookup->user.authorization ||
	    (out->status != 401 && out->status != 403))
		return r;
	fetch_document_release(out);
	lookup->with_token = true;
	get = request(lookup, url, what);
	return import_ask(lookup->talk, &get, out);
}

static int get(struct lookup *lookup, const char *url, const char *what, struct fetch_document *out)
{
	struct fetch_document document;
	int r;

	r = ask(lookup, url, what, &document);
	if (r == 0 && document.status != 200) {
		struct import_get asked = request(lookup, url, what);

		r = import_refused(lookup->talk, &asked, &lookup->advice, &document);
		fetch_document_release(&document);
	}
	if (r == 0)
		*out = document;
	return r;
}

static int bad_reply(struct lookup *lookup, int r)
{
	return r == -ENOMEM ? r : import_fail(lookup->talk, r, "%s: %s", lookup->user.endpoint,
					      lookup->problem);
}

/* ---- the model ---- */

static int find_model(struct lookup *lookup)
{
	_cleanup_free_ char *url = hf_model_url(lookup->user.endpoint, &lookup->spec);
	struct fetch_document document;
	int r;

	r = get(lookup, url, "the model", &document);
	if (r < 0)
		return r;
	r = hf_model_parse(document.body, document.len, &lookup->model, lookup->problem);
	fetch_document_release(&document);
	return r < 0 ? bad_reply(lookup, r) : 0;
}

/* Anybody may see the list of a gated model's files, so that alone does not tell whether they can be had. */
static int check_access(struct lookup *lookup)
{
	_cleanup_free_ char *url = hf_check_url(lookup->user.endpoint, &lookup->spec);
	struct fetch_document document;
	int r;

	if (!lookup->model.restricted)
		return 0;
	lookup->advice.unauthorized = "not everybody may read it: set HF_TOKEN or run "
				      "`huggingface-cli login`";
	r = ask(lookup, url, "leave to read the model", &document);
	if (r < 0)
		return r;
	/* Who imitates the hub may not know this question. */
	if (document.status == 401 || document.status == 403) {
		struct import_get asked = request(lookup, url, "leave to read the model");

		r = import_refused(lookup->talk, &asked, &lookup->advice, &document);
	}
	fetch_document_release(&document);
	return r;
}

/* ---- its files ---- */

/* "https://host:port", of an absolute URL. */
static size_t origin_length(const char *url)
{
	const char *begin = strstr(url, "://");

	return begin ? (size_t)(begin + 3 - url) + strcspn(begin + 3, "/?#") : 0;
}

static bool same_origin(const char *a, const char *b)
{
	size_t len = origin_length(a);

	return len > 0 && origin_length(b) == len && strncmp(a, b, len) == 0;
}

/*
 * What follows DOCUMENT; OUT is NULL at the end, else to be freed. A token would go there: never to another host than the
 * hub, wherever that led to.
 */
static int next_page(struct lookup *lookup, const struct fetch_document *document, char **out)
{
	_cleanup_free_ char *reference = NULL, *url = NULL;
	int r;

	*out = NULL;
	if (!document->link)
		return 0;
	r = registry_link_next(document->link, &reference);
	if (r == -ENOENT || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (r == 0)
		r = fetch_url_resolve(document->url, reference, &url);
	if (r < 0)
		return import_fail(lookup->talk, -EPROTO, "the list of files goes on at no URL");
	if (!same_origin(url, document->url) || (lookup->with_token && !same_origin(url, lookup->user.endpoint)))
		return import_fail(lookup->talk, -EPROTO,
				   "the list of files goes on at another host: %s", url);
	*out = steal_pointer(url);
	return 0;
}

static int list_files(struct lookup *lookup, struct registry_files *files)
{
	_cleanup_free_ char *url = hf_tree_url(lookup->user.endpoint, &lookup->spec, &lookup->model);

	for (unsigned int pages = 0; pages < PAGES_MAX; pages++) {
		struct fetch_document document;
		char *next = NULL;
		int r;

		r = get(lookup, url, "the list of files", &document);
		if (r < 0)
			return r;
		r = hf_tree_parse(document.body, document.len, files, lookup->problem);
		if (r < 0)
			r = bad_reply(lookup, r);
		else
			r = next_page(lookup, &document, &next);
		fetch_document_release(&document);
		if (r < 0 || !next)
			return r;
		free(url);
		url = next;
	}
	return import_fail(lookup->talk, -E2BIG, "the list of files has more than %d pages", PAGES_MAX);
}

static bool is_selected(const struct lookup *lookup, const char *path)
{
	size_t len = lookup->spec.path ? strlen(lookup->spec.path) : 0;

	return len == 0 || (!strncmp(path, lookup->spec.path, len) && (!path[len] || path[len] == '/'));
}

/* The files that are wanted, with their URLs. */
static int select_files(struct lookup *lookup, struct registry_files *files)
{
	size_t n = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct registry_file *file = &files->files[i];

		if (!is_selected(lookup, file->path)) {
			registry_file_clear(file);
			continue;
		}
		file->urls[0] = hf_file_url(lookup->user.endpoint, &lookup->spec, &lookup->model,
					    file->path);
		if (!file->urls[0])
			return -ENOMEM;
		file->n_urls = 1;
		if (n != i) {
			files->files[n] = *file;
			*file = (struct registry_file){ 0 };
		}
		n++;
	}
	files->n = n;
	if (n > 0)
		return 0;
	return import_fail(lookup->talk, -ENOENT, lookup->spec.path ? "no such file in %s at %s" :
								      "there are no files in %s at %s",
			   lookup->spec.repo, lookup->spec.revision);
}

/* ---- all together ---- */

static int describe(struct lookup *lookup, struct import_found *out)
{
	if (asprintf(&out->folder, "%s@%s", lookup->spec.repo, lookup->model.commit) < 0) {
		out->folder = NULL;
		return -ENOMEM;
	}
	out->selected = steal_pointer(lookup->spec.path);
	out->refs = json_pack("{s:{s:s}}", lookup->spec.repo, lookup->spec.revision,
			      lookup->model.commit);
	out->gated = lookup->with_token;
	if (out->gated)
		out->authorization = strdup(lookup->user.authorization);
	return out->refs && (!out->gated || out->authorization) ? 0 : -ENOMEM;
}

static int look_up(struct lookup *lookup, const char *rest, struct import_found *out)
{
	struct import_get like;
	int r;

	r = hf_spec_parse(rest, &lookup->spec, lookup->problem);
	if (r < 0)
		return r == -ENOMEM ? r : import_fail(lookup->talk, r, "%s", lookup->problem);
	snprintf(lookup->forbidden, sizeof(lookup->forbidden),
		 "accept the model's terms at %s/%s, as the user whose token it is",
		 lookup->user.endpoint, lookup->spec.repo);
	r = find_model(lookup);
	if (r == 0)
		r = check_access(lookup);
	if (r == 0)
		r = list_files(lookup, &out->files);
	if (r == 0)
		r = select_files(lookup, &out->files);
	like = request(lookup, NULL, NULL);
	if (r == 0)
		r = import_hash_files(lookup->talk, &like, &lookup->advice, out);
	return r == 0 ? describe(lookup, out) : r;
}

static int find(struct import_talk *talk, const char *rest, struct import_found *out)
{
	struct lookup lookup = {
		.talk = talk,
		.advice = {
			.unauthorized = "it needs a token, or there is no such model: set HF_TOKEN or run "
					"`huggingface-cli login`",
			.refused = "the token is not accepted: check HF_TOKEN, or run "
				   "`huggingface-cli login` again",
			.forbidden = lookup.forbidden,
			.missing = "no such model or revision, or it is private: check the name, or set "
				   "HF_TOKEN",
		},
	};
	int r;

	r = hf_user_init(&lookup.user);
	if (r == 0 && lookup.user.offline)
		r = import_fail(talk, -ENODATA, "HF_HUB_OFFLINE is set: nobody is asked");
	if (r == 0)
		r = look_up(&lookup, rest, out);
	if (r == -ENOMEM)
		import_fail(talk, r, "no memory");
	hf_spec_clear(&lookup.spec);
	hf_user_release(&lookup.user);
	return r;
}

const struct import_source import_source_hf = {
	.scheme = "hf",
	.catalog = "hf",
	.form = "hf:ORG/REPO[@REVISION][/FILE]",
	.find = find,
};
