/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of policy/ share.
 *
 *	load.c          files and includes      ─┐
 *	list.c          files of digests         │
 *	parser.c        statements               │
 *	parse-caller.c  … who is who             ├─► draft.c ─► finish.c ─► struct policy ─► decide.c, callers.c
 *	parse-set.c     … sets                   │   read so far  heavy.c                    print.c
 *	option.c        … behind `with`          │
 *	lexer.c         lines, words, errors    ─┘
 *	origin.c, idn.c, site.c  the names of who asks; international ones; what is one site
 *
 * Everything before `struct policy` belongs to the thread that loads; the policy itself is never
 * written again.
 */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include <stdatomic.h>
#include <stdio.h>
#include "policy/policy.h"

#define POLICY_NAME_MAX	     64			 /* bytes of a local name or a set's name */
#define POLICY_ORIGIN_TEXT_SIZE 1280 /* an origin as somebody writes it, in UTF-8, and NUL */
#define POLICY_HOST_SIZE     254		 /* the longest host (RFC 1035 section 2.3.4), and NUL */
#define POLICY_FILE_MAX	     ((size_t)256 << 20) /* of statements or digests: 4 million of these */
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

/*
 * The host in front of a `:` or the end of TEXT, which is not all ASCII, as ASCII; REST is what follows. Of what the
 * mapping may bring, only what a host name has is let through: TEXT cannot smuggle in a path or a port. As
 * policy_origin_explain().
 */
int must_check policy_idn(const char *text, char out[POLICY_HOST_SIZE], const char **rest,
			  const char **reason);

/* ---- sites (site.c); the list of public suffixes is part of libpsl, no file is read ---- */

/* The host of a canonical web ORIGIN; false if that is an address. */
bool policy_host(const char *origin, char out[POLICY_HOST_SIZE]);
/* The registrable domain of HOST: a part of it, or NULL. */
const char *policy_registrable(const char *host);
/* Is HOST on the list itself? A name of which the list knows nothing is not. */
bool policy_is_suffix(const char *host);

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

#define POLICY_NO_RULE	 UINT32_MAX
#define POLICY_NOT_HEAVY UINT32_MAX

enum caller_kind {
	CALLER_ANY,
	CALLER_UID,
	CALLER_GID,
	CALLER_CGROUP,
	CALLER_UNIT,
};

struct caller {
	enum caller_kind kind;
	uint32_t id;	/* of a user or group, else 0 */
	uint32_t order; /* of the line among those of its list */
	char *text;	/* a cgroup's path or a unit's name, else NULL */
	char *origin;	/* NULL: a broker */
	struct policy_where where;
};

/* The caller lines, or the broker lines. */
struct callers {
	struct caller *items; /* sorted by kind, id, text, order */
	size_t n;
};

/* The kinds sort in this order. */
#define PATTERN_ANY   '!'
#define PATTERN_BELOW '*'
#define PATTERN_EXACT '='
#define PATTERN_SITE  '~'

/* An origin pattern, once for all lines that name it. */
struct pattern {
	char *key;	   /* the kind, then the origin, the apex or the site */
	uint32_t id;	   /* its number in the order of first mention */
	size_t first, n;   /* its pairs */
	uint32_t any_rule; /* the first line that has this pattern and `any` as target, or denies what is not known yet */
	uint32_t sha_deny; /* the first deny line that has this pattern and a target with SHA-256
			      digests */
	uint32_t quota_rule;  /* the first line that has this pattern and a quota */
	uint32_t probes_rule; /* … and a budget of probes */
	uint32_t list_rule;   /* … and `list` */
	uint32_t opens_rule;  /* the first allow or ask line that has it */
	uint32_t heavy;	      /* its number among those with many pairs */
};

/* Line RULE, the first such, has this pattern and this target. */
struct pair {
	uint32_t pattern, target, rule;
};

/* Target TARGET, a set or a digest by itself, holds this digest. */
struct entry {
	struct digest_name name;
	uint32_t target;
	uint32_t heavy; /* the digest's number among those in many targets */
	bool shared;	/* some target that holds this digest is a shared set */
};

/* A set, or a digest that a line names by itself. */
struct target {
	char *name;
	bool literal; /* a digest by itself; NAME is its canonical spelling */
	bool shared;
	bool has_sha256;
	/* While loading: */
	bool defined, filled; /* it holds a digest */
	bool named; /* what it holds a catalog says, in its own time: see policy_target_is_open() */
	uint32_t missing;    /* what it was to be made of is not to be had: 1 + the number of the warning */
	struct place place;  /* where it was defined; before that, where it was first used */
	struct place denied; /* where a deny line first named it; line 0: nowhere */
};

/*
 * Is it for a catalog to say what TARGET holds, and has it said nothing (yet, or any more)? A deny line with such a set
 * matches every object: who names things may neither open them by that, nor keep a policy from being loaded.
 */
static inline bool policy_target_is_open(const struct target *target)
{
	return target->named && !target->filled;
}

struct rule {
	struct policy_decision decision;
	struct policy_probes probes;
	uint32_t pattern;
	bool any;	/* the target `any` */
	size_t first, n; /* its other targets, in rule_targets: sorted, each once */
};

struct policy {
	atomic_uint references;
	char **files; /* what `where` points to */
	size_t n_files;
	char **paths; /* what is to be watched: sorted, each once */
	size_t n_paths;
	struct policy_error *warnings;
	size_t n_warnings;
	struct callers callers, brokers;
	bool needs_groups, needs_cgroup;
	struct rule *rules; /* in the order of the lines: the index is the precedence */
	size_t n_rules;
	uint32_t *rule_targets;
	size_t n_rule_targets;
	struct pattern *patterns; /* [0] is `any`; the others sorted by key */
	size_t n_patterns, n_below, n_site;
	struct pair *pairs; /* sorted, one for a (pattern, target) */
	size_t n_pairs;
	struct target *targets; /* sorted by name */
	size_t n_targets;
	struct entry *entries; /* sorted, each once */
	size_t n_entries;
	uint32_t *heavy; /* for each heavy digest, one for each heavy pattern: their first line */
	size_t n_heavy;	 /* heavy patterns */
};

/* Each pattern that ORIGIN matches. */
void policy_each_pattern(const struct policy *policy, const char *origin,
			 void (*visit)(void *arg, const struct pattern *pattern), void *arg);
/* The line that decides, as in policy_decide(), or POLICY_NO_RULE. */
uint32_t policy_find_rule(const struct policy *policy, const char *origin,
			  const struct digest_pair *digests);

void policy_free(struct policy *policy); /* NULL is allowed */

/* ---- what was read so far (draft.c) ---- */

struct interned;

struct draft {
	struct policy *policy; /* not sorted yet */
	struct interned *pattern_ids, *target_ids;
};

/* All: 0 or -ENOMEM, unless they take an ERROR; then also -EINVAL. */
int must_check policy_draft_init(struct draft *draft);
void policy_draft_clear(struct draft *draft);
/* A copy of a file's name that lives as long as the policy, or NULL. */
const char *must_check policy_draft_file(struct draft *draft, const char *name);
/* PATH is to be watched. */
int must_check policy_draft_path(struct draft *draft, const char *path);
int must_check policy_draft_warning(struct draft *draft, const struct policy_error *warning);
/* CALLER's text and origin are copied, its `where` is filled in from PLACE. Without an origin it is a broker. */
int must_check policy_draft_caller(struct draft *draft, const struct caller *caller,
				   const struct place *place);
/* The number of the set or digest called NAME. PLACE is kept if this is its first mention. */
int must_check policy_draft_target(struct draft *draft, const char *name, const struct place *place,
				   uint32_t *target);
int must_check policy_draft_entry(struct draft *draft, uint32_t target,
				  const struct digest_name *name);
/* Take back all entries but the first N: those of TARGET, which had none before. */
void policy_draft_cut(struct draft *draft, uint32_t target, size_t n);
int must_check policy_draft_pattern(struct draft *draft, char kind, const char *origin,
				    uint32_t *pattern);
/* A rule; its targets and options are then added to the last one. */
int must_check policy_draft_rule(struct draft *draft, enum policy_verdict verdict, uint32_t pattern,
				 const struct place *place);
int must_check policy_draft_pair(struct draft *draft, uint32_t target);
void policy_draft_pair_any(struct draft *draft);
/* Also writes down which of its pattern's rules is the first to have one. */
void policy_draft_options(struct draft *draft, const struct rule *options);
/* The table of what is heavy (heavy.c); all else is sorted. 0 or -ENOMEM. */
int must_check policy_find_heavy(struct policy *policy);
/* All was read: is every set that is used defined (finish.c)? Sorts, and hands over the policy. */
int must_check policy_draft_finish(struct draft *draft, struct policy **out,
				   struct policy_error *error);

/* ---- files (load.c, list.c) and statements (parser.c, parse-*.c, option.c) ---- */

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
	const struct policy_names *names; /* NULL: there are no catalogs */
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
int policy_out_of_memory(struct parser *parser); /* returns -ENOMEM */
/* The next word of the line: any, this one, none. */
int must_check policy_take(struct parser *parser, const char *expected, struct word *word);
int must_check policy_take_keyword(struct parser *parser, const char *keyword);
int must_check policy_take_end(struct parser *parser);
/* Is PATH components with one slash between each two, none of them empty, `.` or `..`? */
bool policy_components_valid(const char *path);
/* WORD as an origin. */
int must_check policy_take_origin(struct parser *parser, const struct word *word,
				  char origin[POLICY_ORIGIN_SIZE]);
/* ITEM of a list with commas; LIST goes on behind it, with a NULL text after the last one. */
struct word policy_split(struct word *list);

/* Statements: KEYWORD was read. */
int must_check policy_parse_caller(struct parser *parser, const struct word *keyword);
int must_check policy_parse_broker(struct parser *parser, const struct word *keyword);
int must_check policy_parse_set(struct parser *parser, const struct word *keyword);
bool policy_set_name_valid(const char *name);

#define POLICY_OPTIONS "'cached', 'list', 'quota=SIZE', 'probes=N/TIME' or 'wait=TIME'"
/* One of those, PART, into RULE. */
int must_check policy_option(struct parser *parser, const struct word *part, struct rule *rule);
int must_check policy_include(struct parser *parser, const struct word *path);

/* The file's path, in two parts: the folder that it is relative to (empty if it is absolute), and itself. */
int must_check policy_resolve(struct parser *parser, const struct word *word, char *folder,
			      char *path); /* both of PATH_MAX */
/* "PATH: why" into ERROR. Returns R, a -errno. */
int policy_file_error(struct policy_error *error, const struct place *place, int r,
		      const char *path);
/* SHARED: a list that is missing or bad makes a warning and an empty set. */
int must_check policy_set_file(struct parser *parser, uint32_t target, const struct word *path,
			       bool shared);
/* TARGET could not be filled: empty it, and warn of WHY. 0 or -ENOMEM. */
int must_check policy_set_missing(struct parser *parser, uint32_t target, size_t n_entries,
				  const struct policy_error *why);

int must_check policy_parse_with(const struct policy_system *system, const char *name,
				 const char *text, size_t len, struct policy **out,
				 struct policy_error *error);

#endif
