/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of the parser of weightfs.conf: parse.c reads lines, keys.c
 * knows the sections and keys. Nobody else includes this.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include "config/config.h"

#define CONFIG_NAME_MAX 64
#define CONFIG_KEYS_MAX 16
#define CONFIG_SECTIONS 8

struct config_parser;

/* A key, and how its value gets into the structure of its section, at OFFSET. */
struct config_key {
	const char *name;
	/* -EINVAL or -ERANGE: the value is not EXPECTED. NULL: the key is of a later version. */
	int (*set)(struct config_parser *p, const struct config_key *key, const char *value,
		   void *field);
	size_t offset;
	int64_t min, max;
	const char *expected;
	bool repeatable;
};

struct config_section {
	const char *name;
	const struct config_key *keys; /* ended by one without a name; NULL: of a later version */
	/* At its end: what concerns several keys. May be NULL. */
	void (*finish)(struct config_parser *p);
	/* [source NAME]: makes room for it, and sets TARGET if that worked. NULL: it takes no name. */
	void (*open)(struct config_parser *p, const char *name);
};

struct config_parser {
	const char *text, *end; /* not read yet */
	unsigned int line;	/* the one that inih has */
	char *folder;		/* of the file, absolute */

	const struct config_section *section;		      /* NULL before the first */
	void *target;					      /* what its keys fill */
	const char *target_name;			      /* NULL: its section takes none */
	unsigned int header_line, key_lines[CONFIG_KEYS_MAX]; /* 0: not seen, like the next two */
	unsigned int section_lines[CONFIG_SECTIONS], source_lines[FETCH_SOURCES_MAX],
		catalog_lines[CONFIG_CATALOGS_MAX];

	struct config config;
	struct config_error *error;
	int result; /* 0 until something is wrong */
};

/* The first mistake is told: later calls change nothing. Returns 0, for inih's handler. */
int config_fail(struct config_parser *p, unsigned int line, const char *format, ...)
	printf_like(3, 4);
void config_fail_memory(struct config_parser *p);

/* ---- values: what SET is ---- */

int config_set_int(struct config_parser *p, const struct config_key *key, const char *value,
		   void *field);
int config_set_time(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field);
int config_set_bool(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field);
int config_set_text(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field);
int config_set_path(struct config_parser *p, const struct config_key *key, const char *value,
		    void *field);

#define CONFIG_TIME_MAX_MS ((int64_t)7 * 24 * 60 * 60 * 1000) /* in 32 bits of milliseconds, as libcurl keeps it */
#define CONFIG_A_PATH	   "a path without \"~\""
#define CONFIG_A_PRIORITY  "a whole number from -1000 to 1000"
#define CONFIG_YES_OR_NO   "yes or no"

/* ---- catalog.c: [catalog NAME] ---- */

extern const struct config_key config_catalog_keys[];
void config_catalog_open(struct config_parser *p, const char *name);
void config_catalog_finish(struct config_parser *p);
void config_catalog_release(struct config_catalog *catalog);

extern const struct config_section config_sections[CONFIG_SECTIONS];

#endif
