/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of our own: files that are made up, and a handful of users. For tests of what parses. */
#ifndef TESTS_POLICY_MACHINE_H
#define TESTS_POLICY_MACHINE_H

#include <fnmatch.h>
#include "policy/internal.h"

#define A32 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B32 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define A64 A32 A32
#define B64 B32 B32

struct fake_file {
	const char *path, *text;
};

/* ARG is an array of fake_file that ends with a NULL path, sorted where a glob is used. */
static inline int fake_read(void *arg, const char *path, size_t limit, struct policy_text *out)
{
	const struct fake_file *files = arg;

	for (size_t i = 0; files && files[i].path; i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		out->text = strdup(files[i].text);
		out->len = strlen(files[i].text);
		out->dev = 1;
		out->ino = i + 1;
		return out->text ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static inline int fake_glob(void *arg, const char *directory, const char *pattern, char ***paths,
		     size_t *n)
{
	const struct fake_file *files = arg;
	size_t skip = strlen(directory);

	if (!strcmp(pattern, "/locked/*"))
		return -EACCES;
	*paths = calloc(100, sizeof(**paths));
	*n = 0;
	assert_non_null(*paths);
	for (size_t i = 0; files && files[i].path; i++) {
		if (!strncmp(files[i].path, directory, skip) &&
		    !fnmatch(pattern, files[i].path + skip, FNM_PATHNAME))
			(*paths)[(*n)++] = strdup(files[i].path);
	}
	return 0;
}

static inline int fake_user(void *arg, const char *name, uid_t *uid)
{
	if (!strcmp(name, "anna") || !strcmp(name, "translator")) {
		*uid = 1001;
		return 0;
	}
	return !strcmp(name, "broken") ? -EIO : -ENOENT;
}

static inline int parse(const struct fake_file *files, const char *name, const char *text, size_t len,
		 struct policy **out, char message[1024])
{
	struct policy_system system = {fake_read, fake_glob, fake_user, (void *)(uintptr_t)files};
	struct policy_error error = {.file = "untouched"};
	int r = policy_parse_with(&system, name, text, len, out, &error);

	policy_error_format(&error, message, 1024);
	return r;
}

static inline struct policy *parse_good(const struct fake_file *files, const char *text)
{
	struct policy *policy = NULL;
	char message[1024];

	if (parse(files, "/etc/p", text, strlen(text), &policy, message) < 0)
		fail_msg("%s", message);
	/* An output of errors is set by errors only. */
	assert_string_equal(message, "untouched: ");
	return policy;
}

#endif
