/* SPDX-License-Identifier: Apache-2.0 */
/* What an import has beside its objects: references, which folders are gated, how hosts are asked. */
#include "catalogs/imports-internal.h"

#include <ctype.h>
#include <curl/curl.h>
#include <string.h>

#define REFS_MAX 20000 /* of a NAME, all repositories together */

json_t *import_rest_new(void)
{
	return json_pack("{s:{}, s:{}, s:{}}", "refs", "gated", "hosts");
}

size_t import_folder_length(const char *name)
{
	const char *at = strchr(name, '@'), *end = at ? strchr(at, '/') : NULL;

	return end ? (size_t)(end - name) + 1 : 0;
}

/* "https://huggingface.co:443"; to be freed. -EINVAL, -ENOMEM. */
static int host_of(const char *text, char **out)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLU *url = curl_url();
	int r = -EINVAL;

	if (!url)
		return -ENOMEM;
	if (curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		r = asprintf(out, "%s://%s:%s", scheme, host, port) < 0 ? -ENOMEM : 0;
	for (char *c = r == 0 ? *out : NULL; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return r;
}

/* ---- what may be said ---- */

static bool is_name(const char *text)
{
	return text && !verify_name_refused(text, strlen(text));
}

/* REPOSITORY@REVISION; to be freed, NULL without memory. */
static char *folder_of(const char *repository, const char *revision)
{
	char *folder;

	return asprintf(&folder, "%s@%s", repository, revision) < 0 ? NULL : folder;
}

static bool is_folder(const struct verify_catalog *entries, const char *path)
{
	struct verify_place place;

	return verify_catalog_lookup(entries, path, &place) == 0 && place.folder;
}

static bool are_refs(const json_t *refs)
{
	const char *repository, *ref;
	json_t *of, *revision;
	size_t n = 0;

	if (!json_is_object(refs))
		return false;
	json_object_foreach((json_t *)refs, repository, of) {
		if (!is_name(repository) || !json_is_object(of))
			return false;
		json_object_foreach(of, ref, revision) {
			const char *text = json_string_value(revision);

			if (!is_name(ref) || !is_name(text) || strchr(text, '/') || ++n > REFS_MAX)
				return false;
		}
	}
	return true;
}

static bool is_authorization(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return len > 0 && len <= IMPORT_AUTHORIZATION_MAX;
}

static bool are_hosts(const json_t *hosts)
{
	const char *host;
	json_t *value;

	if (!json_is_object(hosts) || json_object_size(hosts) > IMPORT_HOSTS_MAX)
		return false;
	json_object_foreach((json_t *)hosts, host, value) {
		json_t *authorization = json_object_get(value, "authorization");

		if (!json_is_object(value) || !json_is_boolean(json_object_get(value, "token_challenge")) ||
		    (authorization && !is_authorization(json_string_value(authorization))))
			return false;
	}
	return true;
}

static bool are_folders(const json_t *gated)
{
	const char *folder;
	json_t *value;

	if (!json_is_object(gated))
		return false;
	json_object_foreach((json_t *)gated, folder, value) {
		if (!json_is_true(value) || import_folder_length(folder) != strlen(folder))
			return false;
	}
	return true;
}

/* ---- to and from text ---- */

int import_rest_parse(const char *text, size_t len, json_t **out)
{
	_cleanup_(cleanup_json) json_t *rest = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	if (json_object_size(rest) != 3 || !are_refs(json_object_get(rest, "refs")) ||
	    !are_folders(json_object_get(rest, "gated")) || !are_hosts(json_object_get(rest, "hosts")))
		return -EUCLEAN;
	*out = steal_pointer(rest);
	return 0;
}

char *import_rest_format(const json_t *rest)
{
	return json_dumps(rest, JSON_INDENT(1));
}

static int compare_folders(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int show_gated(json_t *gated, struct import *out)
{
	const char *folder;
	json_t *value;

	out->gated = calloc(json_object_size(gated) + 1, sizeof(*out->gated));
	if (!out->gated)
		return -ENOMEM;
	json_object_foreach(gated, folder, value) {
		out->gated[out->n_gated] = strdup(folder);
		if (!out->gated[out->n_gated])
			return -ENOMEM;
		out->n_gated++;
	}
	qsort(out->gated, out->n_gated, sizeof(*out->gated), compare_folders);
	return 0;
}

static int show_host(const char *name, const json_t *value, struct import_host *out)
{
	const char *authorization = json_string_value(json_object_get(value, "authorization"));

	out->host = strdup(name);
	out->authorization = authorization ? strdup(authorization) : NULL;
	out->token_challenge = json_is_true(json_object_get(value, "token_challenge"));
	return out->host && (out->authorization || !authorization) ? 0 : -ENOMEM;
}

int import_rest_show(const json_t *rest, struct import *out)
{
	json_t *hosts = json_object_get(rest, "hosts"), *refs = json_object_get(rest, "refs"), *value;
	const char *host;
	int r = show_gated(json_object_get(rest, "gated"), out);

	out->hosts = calloc(json_object_size(hosts) + 1, sizeof(*out->hosts));
	if (!out->hosts)
		r = -ENOMEM;
	json_object_foreach(hosts, host, value) {
		if (r == 0)
			r = show_host(host, value, &out->hosts[out->n_hosts++]);
	}
	if (r == 0 && json_object_size(refs) > 0)
		out->refs = json_incref(refs);
	return r;
}

const struct import_host *import_host_of(const struct import *import, const char *url)
{
	_cleanup_free_ char *host = NULL;

	if (import->n_hosts == 0 || host_of(url, &host) < 0)
		return NULL;
	for (size_t i = 0; i < import->n_hosts; i++) {
		if (!strcmp(import->hosts[i].host, host))
			return &import->hosts[i];
	}
	return NULL;
}

bool import_is_gated(const struct import *import, const char *name)
{
	size_t len = import->n_gated > 0 ? import_folder_length(name) : 0;
	_cleanup_free_ char *folder = len > 0 ? strndup(name, len) : NULL;

	if (len == 0)
		return false;
	/* Without memory it is: what is said to be gated is shown to fewer. */
	return !folder || bsearch(&folder, import->gated, import->n_gated, sizeof(*import->gated), compare_folders);
}

/* ---- merging ---- */

static int add_refs(json_t *refs, const json_t *new, const struct verify_catalog *entries,
		    struct verify_problem *problem)
{
	const char *repository, *ref;
	json_t *of, *revision;

	if (!are_refs(new))
		return import_refuse(problem, -EINVAL, "\"refs\" is not {REPOSITORY: {REF: REVISION}}");
	json_object_foreach((json_t *)new, repository, of) {
		json_t *mine = json_object_get(refs, repository);

		if (!mine && json_object_set_new(refs, repository, mine = json_object()) < 0)
			return import_refuse(problem, -ENOMEM, "no memory");
		json_object_foreach(of, ref, revision) {
			const char *text = json_string_value(revision);
			_cleanup_free_ char *folder = folder_of(repository, text);

			if (!folder || json_object_set_new(mine, ref, json_string(text)) < 0)
				return import_refuse(problem, -ENOMEM, "no memory");
			if (!is_folder(entries, folder))
				return import_refuse(problem, -EINVAL, "refs: nothing is named %.160s/…", folder);
		}
	}
	return are_refs(refs) ? 0 : import_refuse(problem, -E2BIG, "more than %d refs", REFS_MAX);
}

static int add_gated_name(json_t *gated, const char *name, struct verify_problem *problem)
{
	size_t len = import_folder_length(name);
	_cleanup_free_ char *folder = len > 0 ? strndup(name, len) : NULL;

	if (len == 0)
		return import_refuse(problem, -EINVAL, "\"%.160s\" is in no folder with a revision (\"@\"), so it "
				     "cannot be gated", name);
	return folder && json_object_set_new(gated, folder, json_true()) == 0 ?
		       0 : import_refuse(problem, -ENOMEM, "no memory");
}

static int add_gated(json_t *gated, const struct verify_catalog *new, struct verify_problem *problem)
{
	const struct verify_catalog_info *info = verify_catalog_info(new);
	struct verify_object object;

	for (size_t i = 0; i < info->n_objects; i++) {
		verify_catalog_object(new, i, &object);
		for (unsigned int j = 0; j < object.n_names; j++) {
			int r = add_gated_name(gated, verify_object_name(new, &object, j), problem);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Call EACH for the host of each URL (NULL: it has none, as those of ipfs:), until it returns other than 0. */
static int each_host(const struct verify_catalog *catalog, int (*each)(void *arg, char *host), void *arg)
{
	const struct verify_catalog_info *info = verify_catalog_info(catalog);
	char url[VERIFY_URL_MAX + 1];
	struct verify_object object;
	int r = 0;

	for (size_t i = 0; r == 0 && i < info->n_objects; i++) {
		verify_catalog_object(catalog, i, &object);
		for (unsigned int j = 0; r == 0 && j < object.n_urls; j++) {
			_cleanup_free_ char *host = NULL;

			r = host_of(verify_object_url(catalog, &object, j, url), &host);
			if (r == 0 || r == -EINVAL)
				r = each(arg, host);
		}
	}
	return r;
}

static int note_only_host(void *arg, char *host)
{
	char **only = arg;

	if (!host)
		return -EXDEV;
	if (*only)
		return strcmp(*only, host) ? -EXDEV : 0;
	*only = strdup(host);
	return *only ? 0 : -ENOMEM;
}

static int add_host(json_t *hosts, const struct import_request *request, const struct verify_catalog *new,
		    struct verify_problem *problem)
{
	_cleanup_free_ char *host = NULL;
	json_t *value;
	int r = each_host(new, note_only_host, &host);

	if (r < 0 || !host)
		return import_refuse(problem, r == -ENOMEM ? r : -EINVAL,
				     "what needs a credential or a token has to have URLs, and all of one host");
	value = json_object_get(hosts, host);
	if (!value && json_object_set_new(hosts, host, value = json_pack("{s:b}", "token_challenge", 0)) < 0)
		return import_refuse(problem, -ENOMEM, "no memory");
	if (request->token_challenge)
		json_object_set_new(value, "token_challenge", json_true());
	if (request->gated)
		json_object_set_new(value, "authorization", json_string(request->authorization));
	if (json_object_size(hosts) > IMPORT_HOSTS_MAX)
		return import_refuse(problem, -E2BIG, "credentials for more than %d hosts", IMPORT_HOSTS_MAX);
	return 0;
}

int import_rest_add(json_t *rest, const struct import_request *request, const struct verify_catalog *new,
		    struct verify_problem *problem)
{
	int r = 0;

	if (request->authorization && !is_authorization(request->authorization))
		return import_refuse(problem, -EINVAL, "the credential is not one line of at most %d printable "
				     "ASCII characters", IMPORT_AUTHORIZATION_MAX);
	if (request->gated && !request->authorization)
		return import_refuse(problem, -EINVAL, "what is gated needs a credential");
	if (request->refs)
		r = add_refs(json_object_get(rest, "refs"), request->refs, new, problem);
	if (r == 0 && request->gated)
		r = add_gated(json_object_get(rest, "gated"), new, problem);
	if (r == 0 && (request->gated || request->token_challenge))
		r = add_host(json_object_get(rest, "hosts"), request, new, problem);
	return r;
}

/* ---- what goes ---- */

/* References for which KEEP is not true go. */
static void filter_refs(json_t *refs, bool (*keep)(const void *arg, const char *folder), const void *arg)
{
	const char *repository, *ref;
	json_t *of, *revision;
	void *next, *next_ref;

	json_object_foreach_safe(refs, next, repository, of) {
		json_object_foreach_safe(of, next_ref, ref, revision) {
			_cleanup_free_ char *folder = folder_of(repository, json_string_value(revision));

			if (folder && !keep(arg, folder))
				json_object_del(of, ref);
		}
		if (json_object_size(of) == 0)
			json_object_del(refs, repository);
	}
}

static void filter_gated(json_t *gated, bool (*keep)(const void *arg, const char *folder), const void *arg)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(gated, next, name, value) {
		_cleanup_free_ char *folder = strndup(name, strlen(name) - 1);

		if (folder && !keep(arg, folder))
			json_object_del(gated, name);
	}
}

static bool is_elsewhere(const void *arg, const char *folder)
{
	return !import_is_in(folder, arg);
}

static bool is_there(const void *arg, const char *folder)
{
	return is_folder(arg, folder);
}

void import_rest_drop(json_t *rest, const char *folder)
{
	filter_refs(json_object_get(rest, "refs"), is_elsewhere, folder);
	filter_gated(json_object_get(rest, "gated"), is_elsewhere, folder);
}

struct used_hosts {
	const json_t *known;
	json_t *used;
};

static int note_host(void *arg, char *host)
{
	struct used_hosts *hosts = arg;
	json_t *value = host ? json_object_get(hosts->known, host) : NULL;

	return !value || json_object_set(hosts->used, host, value) == 0 ? 0 : -ENOMEM;
}

int import_rest_prune(json_t *rest, const struct verify_catalog *entries)
{
	struct used_hosts hosts = { json_object_get(rest, "hosts"), NULL };
	json_t *gated = json_object_get(rest, "gated"), *value;
	const char *host;
	int r;

	filter_refs(json_object_get(rest, "refs"), is_there, entries);
	filter_gated(gated, is_there, entries);
	if (json_object_size(hosts.known) == 0)
		return 0;
	/* A credential that nothing is gated for is not kept. */
	json_object_foreach(json_object_get(rest, "hosts"), host, value) {
		if (json_object_size(gated) == 0)
			json_object_del(value, "authorization");
	}
	hosts.used = json_object();
	r = hosts.used ? each_host(entries, note_host, &hosts) : -ENOMEM;
	if (r < 0)
		json_decref(hosts.used);
	else if (json_object_set_new(rest, "hosts", hosts.used) < 0)
		r = -ENOMEM;
	return r;
}
