/* SPDX-License-Identifier: Apache-2.0 */
/* oci:REGISTRY/NAME and ollama:NAME: registry/oci.h says what is asked for. */
#include "commands/import/oci.h"

#include <stdio.h>
#include <string.h>
#include "commands/import/sources.h"
#include "common/bearer.h"
#include "common/log.h"

struct lookup {
	struct import_talk *talk;
	struct oci_reference reference;
	struct oci_user user;
	bool ollama;
	bool with_credential; /* without it would not answer */
	bool challenged;      /* it gives out tokens */
	char *header;	      /* value of the Authorization header that is sent now; NULL: none */
	struct import_advice advice;
	char login[1024], refused[1024]; /* of the advice */
	char problem[REGISTRY_PROBLEM_SIZE];
};

static void set_header(struct lookup *lookup, char *header)
{
	if (lookup->header)
		explicit_bzero(lookup->header, strlen(lookup->header));
	free(lookup->header);
	lookup->header = header;
}

static struct import_get request(const struct lookup *lookup, const char *url)
{
	return (struct import_get){
		.url = url,
		.what = "the manifest",
		.authorization = lookup->header,
		.accept = OCI_ACCEPT,
		.users_own = true,
		.max = OCI_MANIFEST_MAX,
	};
}

static const char *credential(const struct lookup *lookup)
{
	return lookup->with_credential ? lookup->user.authorization : NULL;
}

static void prepare_advice(struct lookup *lookup)
{
	const char *registry = lookup->reference.registry;
	const struct oci_user *user = &lookup->user;

	if (lookup->ollama)
		snprintf(lookup->login, sizeof(lookup->login),
			 "it is private, or there is no such model: check the name; keys of Ollama are not "
			 "used here");
	else
		snprintf(lookup->login, sizeof(lookup->login),
			 "it is private, or there is no such model: check the name, or run `podman login %s` "
			 "or `docker login %s`%s%s%s", registry, registry, user->problem[0] ? " (" : "",
			 user->problem, user->problem[0] ? ")" : "");
	snprintf(lookup->refused, sizeof(lookup->refused),
		 "the credential in %s is not accepted for it: run `podman login %s` or `docker login %s` "
		 "again", user->file ? user->file : "", registry, registry);
	lookup->advice.unauthorized = lookup->login;
	lookup->advice.missing = "no such model or tag there: check the name";
}

static int refuse(struct lookup *lookup, const struct import_get *get,
		  const struct fetch_document *document)
{
	/* A token that everybody gets is no credential. */
	lookup->advice.refused = lookup->advice.forbidden =
		lookup->with_credential ? lookup->refused : lookup->login;
	return import_refused(lookup->talk, get, &lookup->advice, document);
}

/* ---- tokens ---- */

static bool is_refusal(unsigned int status)
{
	return status == 401 || status == 403 || status == 404;
}

/* At the registry that the user named? */
static bool is_own(const struct lookup *lookup, const char *url)
{
	size_t len = strlen(lookup->reference.base);

	return !strncmp(url, lookup->reference.base, len) && strchr("/?", url[len]);
}

/*
 * A token of the realm that the registry named. It is given the registry's credential wherever it is, as docker does: the
 * registry could ask for it itself. 1: refused; then it is said if SAY.
 */
static int get_token(struct lookup *lookup, const struct bearer_challenge *challenge, bool say)
{
	_cleanup_free_ char *url = NULL, *token = NULL;
	struct fetch_document document;
	struct import_get get = {
		.what = "a token",
		.authorization = credential(lookup),
	};
	char *header;
	int r;

	r = bearer_token_url(challenge, &url);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		return import_fail(lookup->talk, -EPROTO, "%s: tokens are given out at no URL",
				   lookup->reference.base);
	get.url = url;
	get.users_own = is_own(lookup, url);
	r = import_ask(lookup->talk, &get, &document);
	if (r < 0)
		return r;
	if (document.status != 200) {
		r = say || !is_refusal(document.status) ? refuse(lookup, &get, &document) : 1;
		fetch_document_release(&document);
		return r;
	}
	r = bearer_token_parse(document.body, document.len, &token);
	fetch_document_release(&document);
	if (r == -ENOMEM || (r == 0 && asprintf(&header, "Bearer %s", token) < 0))
		return -ENOMEM;
	if (r < 0)
		return import_fail(lookup->talk, -EPROTO, "%s gives out no tokens", url);
	explicit_bzero(token, strlen(token));
	set_header(lookup, header);
	return 0;
}

/* What DOCUMENT asks for is in the header from now on. 1: it cannot be had; then it is said if SAY. */
static int answer_challenge(struct lookup *lookup, const struct import_get *get,
			    const struct fetch_document *document, bool say)
{
	const char *value = document->www_authenticate ? document->www_authenticate : "";
	struct bearer_challenge challenge;
	char *header;

	/* Whom the registry led to has no say in where its credential goes. */
	if (lookup->with_credential && !is_own(lookup, document->url))
		return say ? refuse(lookup, get, document) : 1;
	if (bearer_challenge_parse(value, &challenge) == 0) {
		lookup->challenged = true;
		return get_token(lookup, &challenge, say);
	}
	if (!credential(lookup) || !bearer_challenge_has(value, "Basic"))
		return say ? refuse(lookup, get, document) : 1;
	header = strdup(credential(lookup));
	if (!header)
		return -ENOMEM;
	set_header(lookup, header);
	return 0;
}

/* ---- asking ---- */

/* With what there is, answering one challenge. 1: refused; then it is said if SAY. */
static int attempt(struct lookup *lookup, const char *url, bool say, struct fetch_document *out)
{
	struct fetch_document document;
	bool challenged = false;

	for (;;) {
		struct import_get get = request(lookup, url);
		int r = import_ask(lookup->talk, &get, &document);

		if (r < 0)
			return r;
		if (document.status == 200) {
			*out = document;
			return 0;
		}
		if (document.status == 401 && !challenged)
			r = answer_challenge(lookup, &get, &document, say);
		else if (say || !is_refusal(document.status))
			r = refuse(lookup, &get, &document);
		else
			r = 1;
		fetch_document_release(&document);
		if (r != 0)
			return r;
		challenged = true;
	}
}

/*
 * First without the credential, so that what everybody may read does not become this user's alone; once it was needed, it is
 * used for all that follows.
 */
static int ask(struct lookup *lookup, const char *url, struct fetch_document *out)
{
	bool more = lookup->user.authorization && !lookup->with_credential;
	int r;

	if (!url)
		return -ENOMEM;
	r = attempt(lookup, url, !more, out);
	if (r <= 0)
		return r;
	lookup->with_credential = true;
	set_header(lookup, NULL);
	return attempt(lookup, url, true, out);
}

/* URL's manifest; EXPECTED: which has to be it. */
static int get_manifest(struct lookup *lookup, const char *url, const struct digest *expected,
			struct oci_manifest *out)
{
	struct fetch_document document;
	struct oci_reply reply;
	int r;

	r = ask(lookup, url, &document);
	if (r < 0)
		return r;
	reply = (struct oci_reply){
		.body = document.body,
		.len = document.len,
		.content_type = document.content_type,
		.content_digest = document.content_digest,
		.expected = expected,
	};
	r = oci_manifest_parse(&reply, &lookup->reference, out, lookup->problem);
	fetch_document_release(&document);
	return r < 0 && r != -ENOMEM ? import_fail(lookup->talk, r, "%s: %s", lookup->reference.base,
						   lookup->problem) :
				       r;
}

static int find_manifest(struct lookup *lookup, struct oci_manifest *out)
{
	const struct oci_reference *reference = &lookup->reference;
	const struct digest *expected = reference->has_digest ? &reference->digest : NULL;
	struct digest next;

	for (unsigned int depth = 0; depth <= OCI_INDEX_DEPTH; depth++) {
		_cleanup_free_ char *url = oci_manifest_url(reference, expected);
		int r = get_manifest(lookup, url, expected, out);

		if (r < 0 || !out->index)
			return r;
		next = out->next;
		expected = &next;
	}
	return import_fail(lookup->talk, -ELOOP, "%s: indexes in indexes, more than %d", reference->base,
			   OCI_INDEX_DEPTH);
}

/* ---- all together ---- */

static int describe(struct lookup *lookup, struct oci_manifest *manifest, struct import_found *out)
{
	const struct oci_reference *reference = &lookup->reference;
	char hex[DIGEST_HEX_SIZE];

	digest_to_hex(&manifest->digest, hex);
	out->files = manifest->files;
	manifest->files = (struct registry_files){ 0 };
	if (asprintf(&out->folder, "%s@%s", reference->folder, hex) < 0) {
		out->folder = NULL;
		return -ENOMEM;
	}
	if (!reference->has_digest) {
		out->refs = json_pack("{s:{s:s}}", reference->folder, reference->tag, hex);
		if (!out->refs)
			return -ENOMEM;
	}
	out->gated = lookup->with_credential;
	out->token_challenge = lookup->challenged;
	if (out->gated)
		out->authorization = strdup(lookup->user.authorization);
	return !out->gated || out->authorization ? 0 : -ENOMEM;
}

static int look_up(struct lookup *lookup, const char *rest, struct import_found *out)
{
	struct oci_manifest manifest = { 0 };
	int r;

	r = lookup->ollama ? ollama_reference_parse(rest, getenv("WEIGHTFS_OLLAMA_REGISTRY"),
						    &lookup->reference, lookup->problem) :
			     oci_reference_parse(rest, &lookup->reference, lookup->problem);
	if (r < 0)
		return r == -ENOMEM ? r : import_fail(lookup->talk, r, "%s", lookup->problem);
	if (!lookup->ollama)
		r = oci_user_init(&lookup->reference, &lookup->user);
	if (r < 0)
		return r;
	prepare_advice(lookup);
	r = find_manifest(lookup, &manifest);
	if (r == 0)
		r = describe(lookup, &manifest, out);
	registry_files_clear(&manifest.files);
	return r;
}

static int find(struct import_talk *talk, const char *rest, bool ollama, struct import_found *out)
{
	struct lookup lookup = { .talk = talk, .ollama = ollama };
	int r;

	r = look_up(&lookup, rest, out);
	if (r == -ENOMEM)
		import_fail(talk, r, "no memory");
	set_header(&lookup, NULL);
	oci_reference_clear(&lookup.reference);
	oci_user_release(&lookup.user);
	return r;
}

static int find_oci(struct import_talk *talk, const char *rest, struct import_found *out)
{
	return find(talk, rest, false, out);
}

static int find_ollama(struct import_talk *talk, const char *rest, struct import_found *out)
{
	return find(talk, rest, true, out);
}

const struct import_source import_source_oci = {
	.scheme = "oci",
	.catalog = "oci",
	.form = "oci:REGISTRY/NAME[:TAG|@sha256:DIGEST]",
	.find = find_oci,
};

const struct import_source import_source_ollama = {
	.scheme = "ollama",
	.catalog = "ollama",
	.form = "ollama:[HOST/][NAMESPACE/]NAME[:TAG]",
	.find = find_ollama,
};
