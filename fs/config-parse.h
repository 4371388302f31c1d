/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of the parser of weightfs.conf: config-parse.c reads lines, config-keys.c
 * knows the sections and keys. Nobody else includes this.
 */
#ifndef FS_CONFIG_PARSE_H
#define FS_CONFIG_PARSE_H

#include "fs/config.h"

#define CONFIG_NAME_MAX 64
#define CONFIG_KEYS_MAX 16
#define CONFIG_SECTIONS 6

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
};

struct config_section {
	const char *name;
	bool named;		       /* [source NAME] */
	const struct config_key *keys; /* ended by one without a name; NULL: of a later version */
	/* At its end: what concerns several keys. May be NULL. */
	void (*finish)(struct config_parser *p);
};

struct config_parser {
	const char *text, *end; /* not read yet */
	unsigned int line;	/* the one that inih has */
	char *folder;		/* of the file, absolute */

	const struct config_section *section;		      /* NULL before the first */
	void *target;					      /* what its keys fill */
	unsigned int header_line, key_lines[CONFIG_KEYS_MAX]; /* 0: not seen, like the next two */
	unsigned int section_lines[CONFIG_SECTIONS], source_lines[FETCH_SOURCES_MAX];

	struct config config;
	struct config_error *error;
	int result; /* 0 until something is wrong */
};

/* The first mistake is told: later calls change nothing. Returns 0, for inih's handler. */
int config_fail(struct config_parser *p, unsigned int line, const char *format, ...)
	printf_like(3, 4);
void config_fail_memory(struct config_parser *p);

extern const struct config_section config_sections[CONFIG_SECTIONS];

#endif
