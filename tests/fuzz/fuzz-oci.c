/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What OCI registries might answer, what other programs might leave behind as credentials, and what users might ask for. Input: what it
 * is (1 byte), then its text.
 *
 * What is taken keeps the rules: names that a catalog may have, URLs without a stray character, headers of one line.
 */
#include <stdio.h>
#include "common/bearer.h"
#include "common/name.h"
#include "registry/oci.h"
#include "tests/fuzz/target.h"

enum {
	REFERENCE,
	OLLAMA,
	MANIFEST,
	CREDENTIALS,
	CHALLENGE,
	TOKEN,
	KINDS,
};

/* One line, for people. */
static void require_reason(int r, const char *problem)
{
	require(r == -EINVAL || r == -E2BIG || r == -EBADMSG || r == -ENOENT);
	require((problem[0] || r == -ENOENT) && strlen(problem) < REGISTRY_PROBLEM_SIZE);
	for (const char *c = problem; *c; c++)
		require(*c >= ' ' && *c <= '~');
}

static void require_printable(const char *text)
{
	require(text && *text);
	for (; *text; text++)
		require(*text > ' ' && *text <= '~' && *text != '\\');
}

static void require_url(char *url)
{
	require_printable(url);
	require(!strncmp(url, "https://", 8) && !strpbrk(url, "?#@"));
	free(url);
}

static void try_reference(const char *text, bool ollama)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct oci_reference reference;
	int r = ollama ? ollama_reference_parse(text, NULL, &reference, problem) :
			 oci_reference_parse(text, &reference, problem);

	if (r < 0) {
		require_reason(r, problem);
		return;
	}
	require(reference.tag || reference.has_digest);
	require(!name_refused(reference.folder, strlen(reference.folder)));
	require(!strchr(reference.folder, '@'));
	require_url(oci_manifest_url(&reference, NULL));
	require_url(oci_manifest_url(&reference, &reference.digest));
	require_url(oci_blob_url(&reference, &reference.digest));
	oci_reference_clear(&reference);
}

static void try_manifest(const struct oci_reference *reference, const char *text, size_t len)
{
	struct oci_reply reply = {.body = text, .len = len};
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct oci_manifest manifest;
	int r = oci_manifest_parse(&reply, reference, &manifest, problem);

	if (r < 0) {
		require_reason(r, problem);
		return;
	}
	require(manifest.index == (manifest.files.n == 0));
	for (size_t i = 0; i < manifest.files.n; i++) {
		const struct registry_file *file = &manifest.files.files[i];

		require(!name_refused(file->path, strlen(file->path)));
		require(file->has_size && file->size <= (uint64_t)INT64_MAX && file->has_sha256);
		require(file->n_urls == 1);
		require_printable(file->urls[0]);
	}
	registry_files_clear(&manifest.files);
}

static void try_credentials(const struct oci_reference *reference, const char *text, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "", *found;
	int r = oci_credentials_find(text, len, reference, &found, problem);

	if (r < 0) {
		require_reason(r, problem);
		return;
	}
	require(!strncmp(found, "Basic ", 6));
	require_printable(found + 6);
	free(found);
}

static void try_challenge(const char *text)
{
	struct bearer_challenge challenge;
	int r = bearer_challenge_parse(text, &challenge);
	char *url;

	require(r == 0 || r == -EINVAL || r == -ENOENT);
	if (r < 0)
		return;
	require(challenge.realm[0] && bearer_challenge_has(text, "bearer"));
	if (bearer_token_url(&challenge, &url) < 0)
		return;
	for (const char *c = url; *c; c++)
		require(*c > ' ' && *c <= '~' && *c != '#');
	free(url);
}

static void try_token(const char *text, size_t len)
{
	char *token;

	if (bearer_token_parse(text, len, &token) < 0)
		return;
	for (const char *c = token; *c; c++)
		require(*c > ' ' && *c <= '~');
	free(token);
}

static void try_text(int kind, const char *bytes, const char *text, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	struct oci_reference reference;

	require(oci_reference_parse("docker.io/org/model", &reference, problem) == 0);
	switch (kind) {
	case REFERENCE:
	case OLLAMA:
		try_reference(text, kind == OLLAMA);
		break;
	case MANIFEST:
		try_manifest(&reference, bytes, len);
		break;
	case CREDENTIALS:
		try_credentials(&reference, bytes, len);
		break;
	case CHALLENGE:
		try_challenge(text);
		break;
	default:
		try_token(bytes, len);
		break;
	}
	oci_reference_clear(&reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char *text;

	if (len < 1)
		return 0;
	text = strndup((const char *)input + 1, len - 1);
	require(text != NULL);
	try_text(input[0] % KINDS, (const char *)input + 1, text, len - 1);
	free(text);
	return 0;
}
