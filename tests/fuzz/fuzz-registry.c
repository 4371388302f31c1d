/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What huggingface.co might answer, and what users might ask for. Input: what it is (1 byte), then its text.
 *
 * What is taken keeps the rules: names that a catalog may have, commits that are no paths, URLs without a stray character.
 */
#include <stdio.h>
#include "common/name.h"
#include "common/utf8.h"
#include "registry/hf.h"
#include "tests/fuzz/target.h"

enum {
	SPEC,
	MODEL,
	TREE,
	LINK,
	REFUSAL,
	KINDS,
};

/* One line, for people. */
static void require_reason(int r, const char *problem)
{
	require(r == -EINVAL || r == -E2BIG);
	require(problem[0] && strlen(problem) < REGISTRY_PROBLEM_SIZE);
	require(utf8_is_plain(problem, strlen(problem)));
}

static void require_url(char *url)
{
	require(url != NULL);
	for (const char *c = url; *c; c++)
		require(*c > ' ' && *c <= '~' && *c != '\\' && *c != '#');
	free(url);
}

static void try_spec(const char *text)
{
	static const struct hf_model model = { .commit = "c1899de289a04d12100db370d81485cdf75e47ca" };
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct hf_spec spec;
	int r = hf_spec_parse(text, &spec, problem);

	if (r < 0) {
		require_reason(r, problem);
		return;
	}
	require(!name_refused(spec.repo, strlen(spec.repo)) && strchr(spec.repo, '/'));
	require(!name_refused(spec.revision, strlen(spec.revision)));
	require_url(hf_model_url("https://hub", &spec));
	require_url(hf_tree_url("https://hub", &spec, &model));
	if (spec.path) {
		require(!name_refused(spec.path, strlen(spec.path)));
		require_url(hf_file_url("https://hub", &spec, &model, spec.path));
	}
	hf_spec_clear(&spec);
}

static void try_model(const char *text, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct hf_model model;
	int r = hf_model_parse(text, len, &model, problem);

	if (r < 0)
		require_reason(r, problem);
	else
		require(strspn(model.commit, "0123456789abcdef") == strlen(model.commit) &&
			strlen(model.commit) >= 40);
}

static void try_tree(const char *text, size_t len)
{
	char problem[REGISTRY_PROBLEM_SIZE] = "";
	struct registry_files files = { 0 };
	int r = hf_tree_parse(text, len, &files, problem);

	if (r < 0)
		require_reason(r, problem);
	for (size_t i = 0; i < files.n; i++) {
		const struct registry_file *file = &files.files[i];

		require(!name_refused(file->path, strlen(file->path)));
		require(file->has_size && file->size <= (uint64_t)1 << 62);
		require(file->has_sha256 != file->has_git_blob);
	}
	registry_files_clear(&files);
}

static void try_link(const char *text)
{
	char *url;
	int r = registry_link_next(text, &url);

	require(r == 0 || r == -ENOENT || r == -EINVAL);
	if (r == 0) {
		require(strstr(text, url) != NULL);
		free(url);
	}
}

static void try_refusal(const char *text, size_t len)
{
	char said[REGISTRY_PROBLEM_SIZE];

	if (registry_error_text(text, len, said))
		require_reason(-EINVAL, said);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	char *text;

	if (len < 1)
		return 0;
	text = strndup((const char *)input + 1, len - 1);
	require(text != NULL);
	switch (input[0] % KINDS) {
	case SPEC:
		try_spec(text);
		break;
	case MODEL:
		try_model((const char *)input + 1, len - 1);
		break;
	case TREE:
		try_tree((const char *)input + 1, len - 1);
		break;
	case LINK:
		try_link(text);
		break;
	default:
		try_refusal((const char *)input + 1, len - 1);
		break;
	}
	free(text);
	return 0;
}
