/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: a line of JSON for each refusal, to a file or to the log (weightfs.conf(5), [audit]).
 *
 * Whoever refuses never waits for the file: records go through a queue of fixed size to a thread that writes them. Lines
 * are limited in rate, so that who asks in a loop fills no disk; what is left out, for that or because the queue is full, is
 * counted in the next line.
 */
#ifndef FS_ORIGINS_AUDIT_H
#define FS_ORIGINS_AUDIT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"
#include "policy/policy.h"

#define AUDIT_FILE_SIZE 512

struct audit;

struct audit_options {
	const char *file;  /* absolute, appended to; NULL: the log. Copied */
	bool web_origins;  /* their names, and what they asked for, are told */
	unsigned int rate; /* lines a second; as many at once after a second without */
};

/* What was refused to whom. */
struct audit_record {
	const char *operation; /* static, like decision: "lookup", "open" */
	const char *decision;  /* "deny", "ask", "probes" */
	uid_t uid;
	pid_t pid; /* a thread of the caller, as it is here */
	bool web;  /* the origin is one of the web */
	bool web_directory; /* that is whose directory was asked for */
	char origin[POLICY_ORIGIN_SIZE]; /* "": none */
	char digest[DIGEST_NAME_SIZE];   /* "": none, it was a directory that was asked for */
	char directory[NAME_MAX + 16];   /* "UID" or "UID/NAME", as it was asked for: any bytes */
	char file[AUDIT_FILE_SIZE];      /* "": no line of the policy decided */
	unsigned int line;
};

/* 0 or -errno, logged: the file cannot be opened. */
int must_check audit_new(const struct audit_options *options, struct audit **out);
/* What is in the queue is written. NULL is allowed. */
void audit_free(struct audit *audit);

/*
 * Is there to be a line about a refusal to UID now? If not, it is counted. A part of the rate is for those who are refused
 * little. Any thread, like all of these; AUDIT NULL: there
 * is no audit.
 */
bool audit_admits(struct audit *audit, uid_t uid);
/* The line. */
void audit_add(struct audit *audit, const struct audit_record *record);
/* The file may have been renamed: open it by its name again. */
void audit_reopen(struct audit *audit);

#endif
