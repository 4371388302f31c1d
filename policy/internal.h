/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of policy/ share.
 *
 *	load.c    files and includes      ─┐
 *	parser.c  statements               ├─► draft.c  what was read so far ─► struct policy ─► decide.c
 *	lexer.c   lines, words, errors    ─┘
 *	origin.c  the names of who asks
 *
 * Everything before `struct policy` belongs to the thread that loads; the policy itself is never
 * written again.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <stdatomic.h>
#include "policy/policy.h"

#define POLICY_NAME_MAX	     64			 /* bytes of a local name or a set's name */
#define POLICY_LINE_MAX	     ((size_t)64 << 10)	 /* bytes, without the newline */
#define POLICY_FILE_MAX	     ((size_t)16 << 20)	 /* a file of statements */
#define POLICY_SET_FILE_MAX  ((size_t)256 << 20) /* a file of digests: 3.5 million of them */
#define POLICY_INCLUDE_DEPTH 8
#define POLICY_INCLUDE_FILES 10000 /* in one load: a doubling chain of includes ends here */

/* ---- origins (origin.c) ---- */

/* As policy_origin_parse(); when -EINVAL, REASON is a static sentence: "an origin has no path". */
int must_check policy_origin_explain(const char *text, char out[POLICY_ORIGIN_SIZE],
				     const char **reason);
/* A web origin whose host begins with `*.`: OUT is the apex, the origin without that, canonical. */
int must_check policy_origin_below(const char *text, char out[POLICY_ORIGIN_SIZE],
				   const char **reason);
bool policy_name_valid(const char *name);

/* ---- lines, words, errors (lexer.c) ---- */

/* A point in a file; FILE is borrowed. */
struct place {
	const char *file;
	unsigned int line, column;
};

/* Not NUL-terminated; LEN 0 stands for the end of the line. Holds no blank, NUL or control
 * character. */
struct word {
	const char *text;
	size_t len;
	struct place place;
};

struct lexer {
	const char *next, *end;	  /* what follows the line */
	const char *start, *stop; /* the line, without its newline */
	const char *at;		  /* how far its words were taken */
	struct place place;	  /* file and line */
};

void policy_lexer_init(struct lexer *lexer, const char *file, const char *text, size_t len);
/* On to the next line, checked as text. 1; 0 after the last one; -EINVAL with ERROR set. */
int must_check policy_lexer_line(struct lexer *lexer, struct policy_error *error);
struct word policy_lexer_word(struct lexer *lexer);

bool policy_word_is(const struct word *word, const char *text);
/* NUL-terminated into OUT; false when it does not fit. */
bool must_check policy_word_copy(const struct word *word, char *out, size_t size);
/* For "%.*s": how much of a word a message shows. */
int policy_word_shown(const struct word *word);

/* Fill in ERROR. Returns -EINVAL. */
int policy_fail(struct policy_error *error, const struct place *place, const char *text, ...)
	printf_like(3, 4);

/* ---- the policy ---- */

#define POLICY_NO_RULE UINT32_MAX

enum caller_kind {
	CALLER_ANY,
	CALLER_UID,
	CALLER_GID,
};

struct caller {
	enum caller_kind kind;
	uint32_t id;	/* 0 for CALLER_ANY */
	uint32_t order; /* of the line among the caller lines */
	char *origin;
	struct policy_where where;
};

/* The kinds sort in this order: first all `*.` patterns, then all exact ones. */
#define PATTERN_ANY   '!'
#define PATTERN_BELOW '*'
#define PATTERN_EXACT '='

/* An origin pattern, once for all lines that name it. */
struct pattern {
	char *key;	   /* the kind, then the origin or apex */
	size_t first, n;   /* its pairs */
	uint32_t any_rule; /* the first line that has this pattern and `any` as target */
	uint32_t sha_deny; /* the first deny line that has this pattern and a target with SHA-256
			      digests */
	uint32_t quota_rule; /* the first line that has this pattern and a quota */
};

/* Line RULE, the first such, has this pattern and this target. */
struct pair {
	uint32_t pattern, target, rule;
};

/* Target TARGET, a set or a digest by itself, holds this digest. */
struct entry {
	struct digest_name name;
	uint32_t target;
};

struct policy {
	atomic_uint references;
	char **files; /* what `where` points to */
	size_t n_files;
	struct caller *callers; /* sorted by kind, id, order */
	size_t n_callers;
	bool needs_groups;
	struct policy_decision *rules; /* in the order of the lines: the index is the precedence */
	size_t n_rules;
	struct pattern *patterns; /* [0] is `any`; the others sorted by key */
	size_t n_patterns, n_below;
	struct pair *pairs; /* sorted, one for a (pattern, target) */
	size_t n_pairs;
	struct entry *entries; /* sorted, each once */
	size_t n_entries;
};

void policy_free(struct policy *policy); /* NULL is allowed */

/* ---- what was read so far (draft.c) ---- */

struct interned;

/* A set, or a digest that a line names by itself. */
struct target {
	char *name;
	bool defined;
	bool has_sha256;
	struct place place; /* where it was defined; before that, where it was first used */
};

struct draft {
	struct policy *policy; /* not sorted yet */
	struct target *targets;
	size_t n_targets;
	struct interned *pattern_ids, *target_ids;
};

/* All: 0 or -ENOMEM, unless they take an ERROR; then also -EINVAL. */
int must_check policy_draft_init(struct draft *draft);
void policy_draft_clear(struct draft *draft);
/* A copy of a file's name that lives as long as the policy, or NULL. */
const char *must_check policy_draft_file(struct draft *draft, const char *name);
int must_check policy_draft_caller(struct draft *draft, enum caller_kind kind, uint32_t id,
				   const char *origin, const struct place *place);
/* The number of the set or digest called NAME. PLACE is kept if this is its first mention. */
int must_check policy_draft_target(struct draft *draft, const char *name, const struct place *place,
				   uint32_t *target);
int must_check policy_draft_entry(struct draft *draft, uint32_t target,
				  const struct digest_name *name);
int must_check policy_draft_pattern(struct draft *draft, char kind, const char *origin,
				    uint32_t *pattern);
/* RULE's `where` is filled in from PLACE. The lines' pairs are added to the last rule. */
int must_check policy_draft_rule(struct draft *draft, struct policy_decision rule,
				 const struct place *place);
int must_check policy_draft_pair(struct draft *draft, uint32_t pattern, uint32_t target);
void policy_draft_pair_any(struct draft *draft, uint32_t pattern);
/* The options of the last rule, which has this pattern. */
void policy_draft_options(struct draft *draft, uint32_t pattern, const struct policy_decision *rule);
/* All was read: is every set that is used defined? Sorts, and hands over the policy. */
int must_check policy_draft_finish(struct draft *draft, struct policy **out,
				   struct policy_error *error);

/* ---- files (load.c), statements (parser.c) and their options (option.c) ---- */

/* A file as it was read. DEV and INO tell whether it is the same one again; both 0: not known. */
struct policy_text {
	char *text;
	size_t len;
	dev_t dev;
	ino_t ino;
};

/* What loading asks of the machine; tests and the fuzzer bring their own. All return 0 or -errno.
 */
struct policy_system {
	int (*read)(void *arg, const char *path, size_t limit, struct policy_text *out);
	/* The paths that DIRECTORY (taken literally) followed by PATTERN matches, sorted by byte
	 * values. */
	int (*glob)(void *arg, const char *directory, const char *pattern, char ***paths,
		    size_t *n);
	int (*user)(void *arg, const char *name, uid_t *uid); /* -ENOENT: no such user */
	void *arg;
};

/* One file being read; the chain of parents is the chain of includes. */
struct parser {
	const struct policy_system *system;
	struct draft *draft;
	struct policy_error *error;
	const char *file;
	dev_t dev;
	ino_t ino;
	struct lexer lexer;
	const struct parser *parent;
	struct place included; /* in the parent */
	unsigned int depth;
	unsigned int *n_files; /* of the whole load */
};

/* Reads all statements of PARSER's lexer. */
int must_check policy_parser_run(struct parser *parser);
/* "EXPECTED expected, not 'WORD'". Returns -EINVAL. */
int policy_unexpected(struct parser *parser, const struct word *word, const char *expected);
#define POLICY_OPTIONS "'cached', 'list' or 'quota=SIZE'"
/* One of those, PART, into RULE. */
int must_check policy_option(struct parser *parser, const struct word *part,
			     struct policy_decision *rule);
int must_check policy_include(struct parser *parser, const struct word *path);
int must_check policy_set_file(struct parser *parser, uint32_t target, const struct word *path);

int must_check policy_parse_with(const struct policy_system *system, const char *name,
				 const char *text, size_t len, struct policy **out,
				 struct policy_error *error);

#endif
