/* SPDX-License-Identifier: Apache-2.0 */
/* How models are called: REGISTRY/NAME:TAG@DIGEST (the grammar of the OCI distribution specification), and Ollama's short form. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "registry/internal.h"
#include "registry/oci.h"

#define LOWER	"abcdefghijklmnopqrstuvwxyz0123456789"
#define LETTERS LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define TAG_MAX 128

#define OLLAMA_HOST "registry.ollama.ai"
#define DOCKER_HUB  "docker.io"

static int refuse(char problem[REGISTRY_PROBLEM_SIZE], const char *text, const char *what)
{
	char shown[REGISTRY_SHOWN_SIZE];

	return registry_refuse(problem, -EINVAL, "\"%s\" %s",
			       registry_shown(text, strlen(text), shown), what);
}

void oci_reference_clear(struct oci_reference *reference)
{
	free(reference->registry);
	free(reference->name);
	free(reference->tag);
	free(reference->base);
	free(reference->folder);
	*reference = (struct oci_reference){0};
}

/* NULL: no memory. */
static char *print(const char *format, ...) printf_like(1, 2);

static char *print(const char *format, ...)
{
	va_list args;
	char *out;
	int n;

	va_start(args, format);
	n = vasprintf(&out, format, args);
	va_end(args);
	return n < 0 ? NULL : out;
}

/* ---- what may stand where ---- */

/* HOST or HOST:PORT, HOST a name or an address, [ADDRESS] of version 6. */
static bool is_registry(const char *text)
{
	size_t host = *text == '[' ? strspn(text + 1, ":.0123456789abcdefABCDEF") + 1
				   : strspn(text, LETTERS ".-");
	const char *port = text + host;

	if (*text == '[') {
		if (host < 3 || *port++ != ']')
			return false;
	} else if (host == 0 || strchr("-.", text[0]) || strchr("-.", port[-1]) ||
		   strstr(text, "..")) {
		return false;
	}
	return !*port || (*port == ':' && port[1] && strspn(port + 1, "0123456789") < 6 &&
			  strlen(port + 1) == strspn(port + 1, "0123456789"));
}

/* Components of lowercase letters and digits, with ".", "_", "__" or any number of "-" between. */
static bool is_name(const char *text)
{
	for (;;) {
		size_t n = strspn(text, LOWER);

		if (n == 0)
			return false;
		text += n;
		if (!*text)
			return true;
		if (*text == '-')
			text += strspn(text, "-");
		else if (text[0] == '_' && text[1] == '_')
			text += 2;
		else if (strchr("._/", *text))
			text++;
		else
			return false;
	}
}

static bool is_tag(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= TAG_MAX && strspn(text, LETTERS "_.-") == len && *text != '.' &&
	       *text != '-';
}

static void make_lower(char *text)
{
	for (; *text; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
}

/* ---- references ---- */

/* Cuts "@sha256:…" off TEXT. */
static int take_digest(char *text, struct oci_reference *reference,
		       char problem[REGISTRY_PROBLEM_SIZE])
{
	char *at = strchr(text, '@');

	if (!at)
		return 0;
	*at++ = '\0';
	if (strncmp(at, "sha256:", 7) != 0)
		return refuse(problem, at, "is no digest that is known here: only sha256: is");
	if (strlen(at + 7) != DIGEST_HEX_SIZE - 1 ||
	    digest_from_hex(at + 7, &reference->digest) < 0)
		return refuse(problem, at, "is not sha256: and 64 lowercase hex digits");
	reference->has_digest = true;
	return 0;
}

/* Cuts ":TAG" off NAME. */
static int take_tag(char *name, struct oci_reference *reference,
		    char problem[REGISTRY_PROBLEM_SIZE])
{
	char *colon = strchr(name, ':');

	if (colon)
		*colon++ = '\0';
	if (colon && !is_tag(colon))
		return refuse(problem, colon, "is no tag");
	if (!colon && reference->has_digest)
		return 0;
	reference->tag = strdup(colon ? colon : "latest");
	return reference->tag ? 0 : -ENOMEM;
}

static int take_place(const char *registry, const char *name, struct oci_reference *reference)
{
	bool hub = !strcmp(registry, DOCKER_HUB);

	reference->registry = strdup(registry);
	reference->name = hub && !strchr(name, '/') ? print("library/%s", name) : strdup(name);
	reference->base = print("https://%s", hub ? "registry-1.docker.io" : registry);
	if (!reference->registry || !reference->name || !reference->base)
		return -ENOMEM;
	reference->folder = print("%s/%s", registry, reference->name);
	return reference->folder ? 0 : -ENOMEM;
}

static int parse_oci(char *text, struct oci_reference *reference,
		     char problem[REGISTRY_PROBLEM_SIZE])
{
	char *slash;
	int r = take_digest(text, reference, problem);

	if (r < 0)
		return r;
	slash = strchr(text, '/');
	/* What Docker takes for a name on its own hub. */
	if (!slash ||
	    (!memchr(text, '.', (size_t)(slash - text)) &&
	     !memchr(text, ':', (size_t)(slash - text)) && strncmp(text, "localhost/", 10) != 0))
		return refuse(problem, text,
			      "has no registry in front of it, as in ghcr.io/ORG/NAME");
	*slash = '\0';
	if (!is_registry(text))
		return refuse(problem, text, "is no registry");
	make_lower(text);
	r = take_tag(slash + 1, reference, problem);
	if (r < 0)
		return r;
	if (!is_name(slash + 1) || strlen(text) + 1 + strlen(slash + 1) > OCI_NAME_MAX)
		return refuse(problem, slash + 1, "is no name of a repository");
	return take_place(text, slash + 1, reference);
}

static int parse(const char *text, const char *base, struct oci_reference *out,
		 int (*parse_text)(char *, struct oci_reference *, char *),
		 char problem[REGISTRY_PROBLEM_SIZE])
{
	_cleanup_(oci_reference_clear) struct oci_reference reference = {0};
	_cleanup_free_ char *copy = strdup(text);
	int r;

	if (!copy)
		return -ENOMEM;
	r = parse_text(copy, &reference, problem);
	if (r < 0)
		return r;
	if (base && !strcmp(reference.registry, OLLAMA_HOST)) {
		free(reference.base);
		reference.base = strdup(base);
		if (!reference.base)
			return -ENOMEM;
		while (*base && reference.base[strlen(reference.base) - 1] == '/')
			reference.base[strlen(reference.base) - 1] = '\0';
	}
	*out = reference;
	reference = (struct oci_reference){0};
	return 0;
}

int oci_reference_parse(const char *text, struct oci_reference *out,
			char problem[REGISTRY_PROBLEM_SIZE])
{
	return parse(text, NULL, out, parse_oci, problem);
}

/* ---- Ollama's ---- */

/* What its registry has in place of a name: letters of either case. */
static bool is_ollama_part(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= 80 && strspn(text, LETTERS "_.-") == len &&
	       strspn(text, LETTERS "_") > 0;
}

static int parse_ollama(char *text, struct oci_reference *reference,
			char problem[REGISTRY_PROBLEM_SIZE])
{
	const char *host = OLLAMA_HOST, *space = "library";
	char *model, *slash = strrchr(text, '/');
	bool elsewhere;
	int r;

	if (strchr(text, '@'))
		return refuse(problem, text,
			      "has a digest, which Ollama's names do not: oci: takes it");
	model = slash ? slash + 1 : text;
	if (slash) {
		*slash = '\0';
		slash = strrchr(text, '/');
		space = slash ? slash + 1 : text;
	}
	if (slash) {
		*slash = '\0';
		host = text;
		make_lower(text);
	}
	if (!is_registry(host))
		return refuse(problem, host, "is no registry");
	r = take_tag(model, reference, problem);
	if (r < 0)
		return r;
	if (!is_ollama_part(space) || !is_ollama_part(model))
		return refuse(problem, is_ollama_part(space) ? model : space,
			      "is no name of a model: [HOST/][NAMESPACE/]NAME[:TAG]");
	elsewhere = strcmp(host, OLLAMA_HOST) != 0;
	reference->registry = strdup(host);
	reference->name = print("%s/%s", space, model);
	reference->base = print("https://%s", host);
	reference->folder =
		elsewhere ? print("%s/%s/%s", host, space, model) : print("%s/%s", space, model);
	return reference->registry && reference->name && reference->base && reference->folder
		       ? 0
		       : -ENOMEM;
}

int ollama_reference_parse(const char *text, const char *base, struct oci_reference *out,
			   char problem[REGISTRY_PROBLEM_SIZE])
{
	return parse(text, base, out, parse_ollama, problem);
}

/* ---- what to ask for ---- */

char *oci_manifest_url(const struct oci_reference *reference, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE], named[7 + DIGEST_HEX_SIZE];

	if (!digest && reference->has_digest)
		digest = &reference->digest;
	if (digest) {
		digest_to_hex(digest, hex);
		snprintf(named, sizeof(named), "sha256:%s", hex);
	}
	return print("%s/v2/%s/manifests/%s", reference->base, reference->name,
		     digest ? named : reference->tag);
}

char *oci_blob_url(const struct oci_reference *reference, const struct digest *digest)
{
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(digest, hex);
	return print("%s/v2/%s/blobs/sha256:%s", reference->base, reference->name, hex);
}
