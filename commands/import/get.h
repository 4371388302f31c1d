/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations with registries: asking for a document, being patient with those who are busy, and saying what to do when
 * it is refused. For commands: what goes wrong is logged here, with the spec in front.
 */
#ifndef COMMANDS_IMPORT_GET_H
#define COMMANDS_IMPORT_GET_H

#include "commands/commands.h"
#include "fetch/document.h"

/* One spec being looked up. */
struct import_talk {
	const char *spec;	   /* for messages */
	const struct settings *settings;
	struct config *config;
	const char *ca_file;	   /* PEM, instead of the system's; NULL: the system's */
	bool allow_private;	   /* the user's configuration says so for all */
	bool silent;		   /* show no progress */
	struct progress progress;
};

/* One request. */
struct import_get {
	const char *url;
	const char *what; /* for people: "the list of files" */
	const char *authorization; /* value of the header; NULL: none */
	const char *accept;	   /* the same */
	/* The user named this place himself, and it may be http:// or have a private address. */
	bool users_own;
	uint64_t max; /* bytes; 0: IMPORT_REPLY_MAX */
	bool size_only; /* as in struct fetch_document_request */
};

#define IMPORT_REPLY_MAX ((uint64_t)16 << 20)

/* What to do about a refusal, each half a sentence: "<spec>: <these>". NULL: what HTTP says. */
struct import_advice {
	const char *unauthorized; /* 401 without a credential */
	const char *refused;	  /* 401 with one */
	const char *forbidden;	  /* 403 */
	const char *missing;	  /* 404, 410 */
};

/*
 * GET it; those who say 429 or 5xx are asked again for a while, when they say, and it is said that they are waited for. 0: an
 * answer of any other status, to be released. Else -errno, logged, with host and reason.
 */
int must_check import_ask(struct import_talk *talk, const struct import_get *get,
			  struct fetch_document *out);
/* The same; other than 200 is logged with what ADVICE says, and what the reply says of it. -EACCES, -ENOENT, -EPROTO. */
int must_check import_get(struct import_talk *talk, const struct import_get *get,
			  const struct import_advice *advice, struct fetch_document *out);
/* That part of it: why GET was answered with DOCUMENT. Returns -errno. */
int import_refused(struct import_talk *talk, const struct import_get *get,
		   const struct import_advice *advice, const struct fetch_document *document);
/* Log "<spec>: …", without what was shown of progress; returns ERROR. */
int import_fail(struct import_talk *talk, int error, const char *format, ...) printf_like(3, 4);

#endif
