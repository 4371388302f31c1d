/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `docker login`, `podman login` and `skopeo login` leave behind: {"auths": {"ghcr.io": {"auth": "<base64>"}}}. A key is a
 * registry, or in podman's files a part of one ("quay.io/org"); Docker's own hub is called by an old URL.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "registry/oci-internal.h"

#define DOCKER_HUB     "docker.io"
#define DOCKER_HUB_KEY "index.docker.io"
#define AUTH_MAX       8192

static bool in_place(const char *key, size_t len, const char *place)
{
	return !strncasecmp(key, place, len) && (place[len] == '\0' || place[len] == '/');
}

/* How much of REFERENCE's place KEY is about, in bytes; 0: it is another's. */
static size_t matches(const char *key, const struct oci_reference *reference)
{
	char place[OCI_NAME_MAX + 32];
	const char *scheme = strstr(key, "://");
	size_t len;

	key = scheme ? scheme + 3 : key;
	len = strlen(key);
	/* Docker's are URLs of the API: https://index.docker.io/v1/ */
	while (len > 0 && key[len - 1] == '/')
		len--;
	if (scheme && len > 3 &&
	    (!memcmp(key + len - 3, "/v1", 3) || !memcmp(key + len - 3, "/v2", 3)))
		len -= 3;
	snprintf(place, sizeof(place), "%s/%s", reference->registry, reference->name);
	if (len > 0 && in_place(key, len, place))
		return len;
	if (!strcmp(reference->registry, DOCKER_HUB) && len == strlen(DOCKER_HUB_KEY) &&
	    in_place(key, len, DOCKER_HUB_KEY))
		return 1; /* what is called by its name is nearer */
	return 0;
}

static bool is_base64(const char *text)
{
	size_t len =
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

	return len > 0 && strlen(text) - len == strspn(text + len, "=") && strlen(text) <= AUTH_MAX;
}

static int refuse(char problem[REGISTRY_PROBLEM_SIZE], int error, const char *key, const char *what)
{
	char shown[REGISTRY_SHOWN_SIZE];

	return registry_refuse(problem, error, "the credential of %s %s",
			       registry_shown(key, strlen(key), shown), what);
}

static int take_entry(const char *key, const json_t *entry, char **out,
		      char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *auth = json_string_value(json_object_get(entry, "auth"));

	if (json_object_get(entry, "identitytoken"))
		return refuse(problem, -ENOENT, key,
			      "is an identity token, which is not used here");
	if (!auth || !*auth)
		return refuse(problem, -ENOENT, key,
			      "is kept by a credential helper, which is not asked here");
	if (!is_base64(auth))
		return refuse(problem, -EINVAL, key, "is not base64");
	if (asprintf(out, "Basic %s", auth) < 0)
		return -ENOMEM;
	return 0;
}

static bool has_helper(const json_t *json, const struct oci_reference *reference)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)json_object_get(json, "credHelpers"), key,
			    value) if (matches(key, reference) > 0) return true;
	return json_string_length(json_object_get(json, "credsStore")) > 0;
}

static int find(const json_t *json, const struct oci_reference *reference, char **out,
		char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *key, *best = NULL;
	json_t *entry, *found = NULL;
	size_t most = 0;

	json_object_foreach(json_object_get(json, "auths"), key, entry)
	{
		size_t len = matches(key, reference);

		if (len > most) {
			most = len;
			best = key;
			found = entry;
		}
	}
	if (best)
		return take_entry(best, found, out, problem);
	if (has_helper(json, reference))
		return refuse(problem, -ENOENT, reference->registry,
			      "may be kept by a credential helper, which is not asked here");
	problem[0] = '\0';
	return -ENOENT;
}

int oci_credentials_find(const char *text, size_t len, const struct oci_reference *reference,
			 char **out, char problem[REGISTRY_PROBLEM_SIZE])
{
	json_error_t error;
	json_t *json = json_loadb(text, len, 0, &error);
	int r;

	if (!json)
		return registry_refuse(problem, -EINVAL, "line %d is no JSON", error.line);
	r = find(json, reference, out, problem);
	json_decref(json);
	return r;
}
