/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: the policy and what it includes.
 *
 * A chain of parsers stands for the chain of includes. A file that is in the chain already is
 * refused by its identity, not its name, so that a loop by way of a symbolic link is named as one,
 * too.
 */
#include "policy/internal.h"
#include "common/io.h"

#include <glob.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define NO_FILE "not a regular file" /* -EMEDIUMTYPE */

/* ---- the machine ---- */

static int system_read(void *arg, const char *path, size_t limit, struct policy_text *out)
{
	struct policy_text text = {0};
	struct stat st;
	int r;

	r = io_read_regular(path, limit, &text.text, &text.len, &st);
	if (r < 0)
		return r;
	text.dev = st.st_dev;
	text.ino = st.st_ino;
	*out = text;
	return 0;
}

/* Why the thread's last glob() gave up: it has no argument for this, and does not keep errno. */
static _Thread_local int glob_failure;

/* A folder that does not exist holds nothing; one that cannot be read is an error. */
static int glob_error(const char *path, int error)
{
	glob_failure = error;
	return error != ENOENT;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Not glob()'s own order, which follows the locale: the order of the lines is the policy. */
static int system_glob(void *arg, const char *directory, const char *pattern, char ***paths,
		       size_t *n)
{
	_cleanup_free_ char *whole = malloc(2 * strlen(directory) + strlen(pattern) + 1);
	glob_t found = {0};
	char **list = NULL;
	char *to = whole;
	int r;

	if (!whole)
		return -ENOMEM;
	for (const char *c = directory; *c; c++) {
		if (strchr("\\*?[", *c))
			*to++ = '\\';
		*to++ = *c;
	}
	memcpy(to, pattern, strlen(pattern) + 1);
	r = glob(whole, GLOB_NOSORT, glob_error, &found);
	if (r == GLOB_NOMATCH) {
		*paths = NULL;
		*n = 0;
		return 0;
	}
	if (r)
		return r == GLOB_NOSPACE ? -ENOMEM : -glob_failure;
	list = calloc(found.gl_pathc, sizeof(*list));
	r = list ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
		list[i] = strdup(found.gl_pathv[i]);
		r = list[i] ? 0 : -ENOMEM;
	}
	if (r == 0) {
		qsort(list, found.gl_pathc, sizeof(*list), compare_paths);
		*paths = list;
		*n = found.gl_pathc;
	} else {
		for (size_t i = 0; list && i < found.gl_pathc; i++)
			free(list[i]);
		free(list);
	}
	globfree(&found);
	return r;
}

/* getpwnam(3) lists the values of errno that mean no more than "not found". */
static bool is_not_found(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

static int system_user(void *arg, const char *name, uid_t *uid)
{
	_cleanup_free_ char *buffer = NULL;
	struct passwd entry, *found = NULL;
	int r = ERANGE;

	for (size_t size = 1024; r == ERANGE && size <= (1U << 20); size *= 4) {
		char *grown = realloc(buffer, size);

		if (!grown)
			return -ENOMEM;
		buffer = grown;
		do
			r = getpwnam_r(name, &entry, buffer, size, &found);
		while (r == EINTR);
	}
	if (!found)
		return is_not_found(r) ? -ENOENT : -r;
	*uid = entry.pw_uid;
	return 0;
}

static const struct policy_system machine = {
	.read = system_read,
	.glob = system_glob,
	.user = system_user,
};

/* ---- paths ---- */

/* The length of the folder part of FILE, with its last slash. */
static size_t folder_length(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash ? (size_t)(slash - file) + 1 : 0;
}

int policy_file_error(struct policy_error *error, const struct place *place, int r,
		      const char *path)
{
	size_t size = strlen(path) + 1;

	errno = -r;
	if (r == -EMEDIUMTYPE)
		(void)policy_fail(error, place, "%s: " NO_FILE, path);
	else
		(void)policy_fail(error, place, "%s: %m", path);
	/* A part of a path would be another one. */
	if (size <= sizeof(error->unread))
		memcpy(error->unread, path, size);
	return r;
}

int policy_resolve(struct parser *parser, const struct word *word, char *folder, char *path)
{
	size_t len = folder_length(parser->file);

	if (word->text[0] == '/')
		len = 0;
	if (!policy_word_copy(word, path, PATH_MAX) || len + word->len >= PATH_MAX)
		return policy_file_error(parser->error, &word->place, -ENAMETOOLONG, "the path");
	memcpy(folder, parser->file, len);
	folder[len] = '\0';
	return 0;
}

static int watch(struct parser *parser, const char *path)
{
	return policy_draft_path(parser->draft, path) < 0 ? policy_out_of_memory(parser) : 0;
}

/* ---- includes ---- */

/* Is the file that CHILD is about to read in its own chain? */
static int check_loop(const struct parser *child, const struct word *word)
{
	const struct parser *open = child->parent;

	if (child->dev == 0 && child->ino == 0)
		return 0;
	while (open && (open->dev != child->dev || open->ino != child->ino))
		open = open->parent;
	if (!open)
		return 0;
	if (!open->parent)
		return policy_fail(child->error, &word->place, "%s includes itself", open->file);
	return policy_fail(child->error, &word->place, "%s, included at %s:%u, includes itself",
			   open->file, open->included.file, open->included.line);
}

static int include_file(struct parser *parser, const struct word *word, const char *path)
{
	const struct policy_system *system = parser->system;
	struct parser child = {
		.system = system,
		.draft = parser->draft,
		.error = parser->error,
		.parent = parser,
		.included = word->place,
		.depth = parser->depth + 1,
		.n_files = parser->n_files,
	};
	struct policy_text text;
	int r;

	if (++*parser->n_files > POLICY_INCLUDE_FILES)
		return policy_fail(parser->error, &word->place, "more than %d files are included",
				   POLICY_INCLUDE_FILES);
	r = watch(parser, path);
	if (r < 0)
		return r;
	r = system->read(system->arg, path, POLICY_FILE_MAX, &text);
	if (r < 0)
		return policy_file_error(parser->error, &word->place, r, path);
	child.dev = text.dev;
	child.ino = text.ino;
	child.file = policy_draft_file(parser->draft, path);
	if (child.file)
		r = check_loop(&child, word);
	else
		r = policy_out_of_memory(parser);
	if (r == 0 && child.depth > POLICY_INCLUDE_DEPTH)
		r = policy_fail(parser->error, &word->place,
				"includes are nested more than %d deep", POLICY_INCLUDE_DEPTH);
	if (r == 0) {
		policy_lexer_init(&child.lexer, child.file, text.text, text.len);
		r = policy_parser_run(&child);
	}
	free(text.text);
	return r;
}

#define WILDCARDS "*?["

static void free_paths(char **paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
}

/* The folder in which a PATTERN without wildcards looks: without its backslashes. */
static int watch_literal(struct parser *parser, const char *folder, const char *pattern)
{
	char whole[2 * PATH_MAX];
	size_t len = (size_t)snprintf(whole, sizeof(whole), "%s", folder);

	for (const char *c = pattern; *c; c++) {
		if (*c == '\\' && c[1])
			c++;
		whole[len++] = *c;
	}
	while (len > 1 && whole[len - 1] == '/')
		len--;
	whole[len] = '\0';
	return watch(parser, len ? whole : ".");
}

/* Each folder in which PATTERN looks for something to match. */
static int watch_folders(struct parser *parser, const struct word *word, const char *folder,
			 const char *pattern)
{
	const struct policy_system *system = parser->system;
	char front[PATH_MAX];
	int r = 0;

	/* FRONT is what stands before a component that has a wildcard in it or in front of it. */
	for (size_t begin = 0, end; r == 0 && pattern[begin]; begin = end + (pattern[end] == '/')) {
		char **paths = NULL;
		size_t n = 0;

		end = begin + strcspn(pattern + begin, "/");
		if (strcspn(pattern, WILDCARDS) >= end)
			continue;
		snprintf(front, sizeof(front), "%.*s", (int)begin, pattern);
		if (!strpbrk(front, WILDCARDS)) {
			r = watch_literal(parser, folder, front);
			continue;
		}
		r = system->glob(system->arg, folder, front, &paths, &n);
		if (r < 0)
			return policy_file_error(parser->error, &word->place, r, front);
		for (size_t i = 0; r == 0 && i < n; i++)
			r = watch_literal(parser, paths[i], "");
		free_paths(paths, n);
	}
	return r;
}

int policy_include(struct parser *parser, const struct word *word)
{
	const struct policy_system *system = parser->system;
	char folder[PATH_MAX], path[PATH_MAX];
	char whole[2 * PATH_MAX];
	char **paths = NULL;
	size_t n = 0;
	int r;

	r = policy_resolve(parser, word, folder, path);
	if (r < 0)
		return r;
	snprintf(whole, sizeof(whole), "%s%s", folder, path);
	if (!strpbrk(path, WILDCARDS))
		return include_file(parser, word, whole);
	/* First, so that a file that comes meanwhile is seen by the watch or by the pattern. */
	r = watch_folders(parser, word, folder, path);
	if (r < 0)
		return r;
	r = system->glob(system->arg, folder, path, &paths, &n);
	if (r < 0)
		return policy_file_error(parser->error, &word->place, r, whole);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = include_file(parser, word, paths[i]);
	free_paths(paths, n);
	return r;
}

/* ---- the whole ---- */

/* TOP knows the system, where errors go, and the file's identity. PATH: where it was read, or NULL. */
static int parse(struct parser *top, const char *name, const char *path, const char *text,
		 size_t len, struct policy **out)
{
	_cleanup_(policy_draft_clear) struct draft draft = {0};
	unsigned int n_files = 0;
	int r;

	top->file = name;
	r = policy_draft_init(&draft);
	if (r == 0)
		top->file = policy_draft_file(&draft, name);
	if (r < 0 || !top->file || (path && policy_draft_path(&draft, path) < 0)) {
		top->file = name;
		return policy_out_of_memory(top);
	}
	top->draft = &draft;
	top->n_files = &n_files;
	policy_lexer_init(&top->lexer, top->file, text, len);
	r = policy_parser_run(top);
	if (r < 0)
		return r;
	r = policy_draft_finish(&draft, out, top->error);
	return r == -ENOMEM ? policy_out_of_memory(top) : r;
}

int policy_parse_with(const struct policy_system *system, const char *name, const char *text,
		      size_t len, struct policy **out, struct policy_error *error)
{
	struct parser top = {.system = system, .error = error};

	return parse(&top, name, NULL, text, len, out);
}

int policy_parse(const char *name, const char *text, size_t len, const struct policy_names *names,
		 struct policy **out, struct policy_error *error)
{
	struct policy_system system = machine;

	system.names = names;
	return policy_parse_with(&system, name, text, len, out, error);
}

int policy_load(const char *file, const struct policy_names *names, struct policy **out,
		struct policy_error *error)
{
	struct policy_system system = machine;
	struct parser top = {.system = &system, .error = error};
	struct place place = {.file = file};
	struct policy_text text;
	int r;

	system.names = names;
	r = system.read(NULL, file, POLICY_FILE_MAX, &text);
	if (r < 0) {
		errno = -r;
		(void)policy_fail(error, &place, r == -EMEDIUMTYPE ? NO_FILE : "%m");
		return r;
	}
	top.dev = text.dev;
	top.ino = text.ino;
	r = parse(&top, file, file, text.text, text.len, out);
	free(text.text);
	return r;
}
