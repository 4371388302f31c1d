/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy of arbitrary text, then questions to what was accepted. Files that it names are pieces
 * of the input: nothing outside is read. The input is cut at each line that begins with "%%": the
 * policy, then the files called 1, 2, ….
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

#define FILES_MAX 8

struct input {
	const char *texts[FILES_MAX];
	size_t lengths[FILES_MAX];
	size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Which file PATH means, 0 if none. */
static size_t file_number(const struct input *input, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (name[0] < '1' || name[0] > '9' || name[1] || (size_t)(name[0] - '0') >= input->n)
		return 0;
	return (size_t)(name[0] - '0');
}

static int read_piece(void *arg, const char *path, size_t limit, struct policy_text *out)
{
	const struct input *input = arg;
	size_t number = file_number(input, path);
	size_t len = input->lengths[number];
	char *text;

	if (number == 0)
		return -ENOENT;
	/* Exactly as long as its text, so that a read beyond it is seen. */
	text = malloc(len ? len : 1);
	if (!text)
		return -ENOMEM;
	memcpy(text, input->texts[number], len);
	*out = (struct policy_text){text, len, 1, number};
	return 0;
}

static int glob_pieces(void *arg, const char *directory, const char *pattern, char ***paths,
		       size_t *n)
{
	const struct input *input = arg;
	char **list = calloc(FILES_MAX, sizeof(*list));
	size_t count = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 1; i < input->n; i++) {
		char name[2] = {(char)('0' + i)};

		list[count] = strdup(name);
		count += list[count] != NULL;
	}
	*paths = list;
	*n = count;
	return 0;
}

static int user(void *arg, const char *name, uid_t *uid)
{
	*uid = (uid_t)strlen(name);
	return name[0] == 'x' ? -EIO : name[0] == 'y' ? -ENOENT : 0;
}

static void cut(const char *data, size_t size, struct input *input)
{
	const char *end = data + size;

	input->texts[0] = data;
	for (const char *line = data; line < end && input->n < FILES_MAX - 1;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end;

		if (end - line >= 2 && line[0] == '%' && line[1] == '%') {
			input->lengths[input->n] = (size_t)(line - input->texts[input->n]);
			input->texts[++input->n] = next;
		}
		line = next;
	}
	input->lengths[input->n] = (size_t)(end - input->texts[input->n]);
	input->n++;
}

/* Each name of the universe that the policy itself made, and what a broker might ask. */
static void ask(const struct policy *policy)
{
	struct digest_pair digests = {0};

	for (size_t i = 0; i < policy->callers.n + policy->n_patterns; i++) {
		const char *origin = i < policy->callers.n
					     ? policy->callers.items[i].origin
					     : policy->patterns[i - policy->callers.n].key + 1;
		char dir[POLICY_ORIGIN_SIZE], again[POLICY_ORIGIN_SIZE];
		struct policy_decision decision;

		if (policy->n_entries) {
			digests = digest_pair_of(&policy->entries[i % policy->n_entries].name);
		}
		decision = policy_decide(policy, origin, &digests);
		if (decision.verdict != POLICY_DENY && !decision.where.line)
			abort();
		if (decision.quota && (decision.verdict == POLICY_DENY || policy_quota(policy, origin) == 0))
			abort();
		if (!*origin)
			continue;
		if (policy_origin_to_dir(origin, dir) < 0 ||
		    policy_origin_from_dir(dir, again) < 0 || strcmp(again, origin) != 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {0};
	struct policy_system system = {read_piece, glob_pieces, user, &input};
	struct policy_caller caller = {.identified = true, .uid = 3, .gid = 100};
	struct policy_where where;
	struct policy_error error;
	struct policy *policy;
	char message[1024];

	cut((const char *)data, size, &input);
	if (policy_parse_with(&system, "p", input.texts[0], input.lengths[0], &policy, &error) <
	    0) {
		policy_error_format(&error, message, sizeof(message));
		if (!error.message[0])
			abort();
		return 0;
	}
	policy_origin_of(policy, &caller, &where);
	ask(policy);
	policy_unref(policy);
	return 0;
}
