/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy of arbitrary text; what was accepted is printed, read again, and both are asked the same. Files
 * and catalogs that it names are pieces of the input: nothing outside is read. The input is cut at each line that
 * begins with "%%": the policy, then the files called 1, 2, …, which are the catalogs a, b, …, too.
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

/* Catalog `a` is piece 1: a line has a digest and a name. What `later` says is not known yet. */
static int each_name(void *arg, const char *catalog, const char *pattern,
		     int (*found)(void *found_arg, const struct digest_name *name), void *found_arg)
{
	const struct input *input = arg;
	size_t number = (size_t)(catalog[0] - 'a') + 1;
	const char *at, *end;
	int r = 0;

	if (strcmp(catalog, "later") == 0)
		return -EAGAIN;
	if (catalog[1] || number >= input->n)
		return -ENOENT;
	at = input->texts[number];
	end = at + input->lengths[number];
	while (r == 0 && at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline ? newline : end) - at);
		char digest[DIGEST_NAME_SIZE] = "", name[64] = "";
		struct digest_name parsed;

		memcpy(digest, at, len < 64 ? len : 64);
		if (len > 65)
			memcpy(name, at + 65, len - 65 < 63 ? len - 65 : 63);
		if (digest_name_parse(digest, &parsed) == 0 && policy_name_matches(pattern, name))
			r = found(found_arg, &parsed);
		at += len + 1;
	}
	return r;
}

static void must(bool good)
{
	if (!good)
		abort();
}

/* ---- the policy and what it was printed as, parsed ---- */

struct twins {
	const struct policy *a, *b;
};

struct steps {
	unsigned int n;
	struct policy_where where; /* of the last one */
	bool matched;
};

static int count_step(void *arg, const struct policy_step *step)
{
	struct steps *steps = arg;

	must(!steps->matched && step->statement[0]);
	steps->n++;
	steps->where = step->where;
	steps->matched = step->matched;
	return 0;
}

static void check_explained(const struct policy *policy, const char *origin,
			    const struct digest_pair *digests,
			    const struct policy_decision *decision)
{
	struct steps steps = {0};

	if (policy_explain(policy, origin, digests, count_step, &steps) < 0)
		return;
	must(steps.matched == (decision->where.file != NULL));
	must(!steps.matched || (steps.where.file == decision->where.file &&
				steps.where.line == decision->where.line));
}

static void decide(const struct twins *twins, const char *origin, const struct digest_pair *digests)
{
	struct policy_decision a = policy_decide(twins->a, origin, digests);
	struct policy_decision b = policy_decide(twins->b, origin, digests);

	must(a.verdict == b.verdict && a.cached == b.cached && a.list == b.list);
	must(a.shared == b.shared && a.quota == b.quota && a.wait_ms == b.wait_ms);
	must((a.where.file != NULL) == (b.where.file != NULL));
	must(a.verdict == POLICY_DENY || a.where.line);
	must(a.verdict != POLICY_DENY || !(a.cached || a.list || a.quota || a.wait_ms));
	must(!a.wait_ms || a.verdict == POLICY_ASK);
	must(!a.quota || policy_quota(twins->a, origin));
	must(!a.list || policy_lists(twins->a, origin));
	check_explained(twins->a, origin, digests, &a);
}

static void decide_all(const struct twins *twins, const char *origin)
{
	struct policy_probes a = policy_probes(twins->a, origin);
	struct policy_probes b = policy_probes(twins->b, origin);
	char dir[POLICY_ORIGIN_SIZE], again[POLICY_ORIGIN_SIZE];
	const struct policy *policy = twins->a;
	struct digest_pair digests = {0};
	size_t step = policy->n_entries / 8 + 1;

	must(a.count == b.count && a.window_ms == b.window_ms && !a.count == !a.window_ms);
	must(policy_quota(twins->a, origin) == policy_quota(twins->b, origin));
	must(policy_lists(twins->a, origin) == policy_lists(twins->b, origin));
	must(policy_origin_to_dir(origin, dir) == 0 && policy_origin_from_dir(dir, again) == 0);
	must(strcmp(again, origin) == 0);
	decide(twins, origin, &digests);
	for (size_t i = 0; i < policy->n_entries; i += step) {
		digests = digest_pair_of(&policy->entries[i].name);
		decide(twins, origin, &digests);
		/* Another one's other digest. */
		digests.has_sha256 = digests.has_fsverity = true;
		decide(twins, origin, &digests);
	}
}

/* What each pattern is about: itself, something below it. */
static void decide_pattern(const struct twins *twins, const char *key)
{
	char below[POLICY_ORIGIN_SIZE + 8], origin[POLICY_ORIGIN_SIZE];
	const char *host = strstr(key, "://");

	if (!key[1])
		return;
	decide_all(twins, key + 1);
	if (!host)
		return;
	snprintf(below, sizeof(below), "%.*sx.%s", (int)(host + 3 - key - 1), key + 1, host + 3);
	if (policy_origin_parse(below, origin) == 0)
		decide_all(twins, origin);
}

static void same_caller(const struct twins *twins, const struct policy_caller *caller)
{
	const char *a = policy_origin_of(twins->a, caller, NULL);
	const char *b = policy_origin_of(twins->b, caller, NULL);

	must(!a == !b && (!a || strcmp(a, b) == 0));
	must(policy_is_broker(twins->a, caller, NULL) == policy_is_broker(twins->b, caller, NULL));
}

static void same_callers(const struct twins *twins, const struct callers *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct caller *line = &list->items[i];
		char below[256];
		struct policy_caller caller = {
			.identified = true,
			.uid = line->id,
			.gid = line->id + (line->kind != CALLER_GID),
			.cgroup = line->kind == CALLER_CGROUP ? line->text : NULL,
			.unit = line->kind == CALLER_UNIT ? line->text : NULL,
		};

		same_caller(twins, &caller);
		must(policy_origin_of(twins->a, &caller, NULL) ||
		     policy_is_broker(twins->a, &caller, NULL));
		if (!caller.cgroup)
			continue;
		snprintf(below, sizeof(below), "%s/x", line->text);
		caller.cgroup = below;
		same_caller(twins, &caller);
	}
}

static void same_sets(const struct twins *twins)
{
	for (size_t i = 0; i < twins->a->n_entries; i += twins->a->n_entries / 16 + 1) {
		const struct entry *entry = &twins->a->entries[i];
		const struct target *target = &twins->a->targets[entry->target];
		struct digest_pair digests = digest_pair_of(&entry->name);

		must(policy_has_set(twins->a, target->name) == !target->literal);
		must(policy_has_set(twins->b, target->name) == !target->literal);
		must(policy_set_holds(twins->a, target->name, &digests) == !target->literal);
		must(policy_set_holds(twins->b, target->name, &digests) == !target->literal);
	}
}

/* Those that say why a line is not what it was. */
static void drop_comments(char *text)
{
	char *to = text;

	for (const char *from = text; *from;) {
		size_t len = strcspn(from, "\n") + 1; /* the last line ends, too */

		if (*from != '#')
			to = (char *)memmove(to, from, len) + len;
		from += len;
	}
	*to = '\0';
}

/* What is printed can be read, decides the same and is printed the same. */
static void check_print(const struct policy *policy)
{
	_cleanup_free_ char *text = NULL, *again = NULL;
	struct policy_system none = {0};
	struct policy_error error;
	struct policy *copy;
	struct twins twins = {policy, NULL};

	must(policy_print(policy, &text) == 0);
	must(policy_parse_with(&none, "printed", text, strlen(text), &copy, &error) == 0);
	must(policy_print(copy, &again) == 0);
	drop_comments(text);
	must(strcmp(text, again) == 0);
	must(!policy_warning(copy, 0) && !policy_path(copy, 0));
	twins.b = copy;
	for (size_t i = 0; i < policy->callers.n; i++)
		decide_all(&twins, policy->callers.items[i].origin);
	for (size_t i = 0; i < policy->n_patterns; i++)
		decide_pattern(&twins, policy->patterns[i].key);
	same_callers(&twins, &policy->callers);
	same_callers(&twins, &policy->brokers);
	same_sets(&twins);
	policy_unref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {0};
	struct policy_names names = {each_name, &input};
	struct policy_system system = {read_piece, glob_pieces, user, &input, &names};
	struct policy_error error;
	struct policy *policy;
	char message[1024];

	cut((const char *)data, size, &input);
	if (policy_parse_with(&system, "p", input.texts[0], input.lengths[0], &policy, &error) <
	    0) {
		policy_error_format(&error, message, sizeof(message));
		must(error.message[0]);
		return 0;
	}
	for (size_t i = 0; policy_warning(policy, i); i++)
		must(policy_warning(policy, i)->message[0]);
	check_print(policy);
	policy_unref(policy);
	return 0;
}
