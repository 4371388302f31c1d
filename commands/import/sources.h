/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be imported by name: a *spec*, "SCHEME:REST" or a file, is looked up where its scheme says, in the process of
 * the command, as its user, with what the user's environment says. What comes out is a list of files, which the daemon is
 * given (the operation `import`, catalogs/imports.h); it fetches their bytes when they are wanted.
 *
 * How to ask a registry: commands/import/get.h.
 */
#ifndef COMMANDS_IMPORT_SOURCES_H
#define COMMANDS_IMPORT_SOURCES_H

#include <jansson.h>
#include "commands/import/get.h"
#include "registry/registry.h"

/* What a spec stands for. All is the structure's own. */
struct import_found {
	struct registry_files files; /* each with its SHA-256, its size, a URL at least */
	/*
	 * In front of the files' paths, with a "/" between: "Qwen/Qwen3-0.6B@<revision>". The revision is one that never
	 * stands for other bytes. NULL: a file whose path is one by itself.
	 */
	char *folder;
	char *selected;	     /* the part of it that the spec is about: a path below; NULL: all */
	json_t *refs;	     /* as in struct import_request; NULL: none */
	bool gated;	     /* it cannot be had without a credential */
	char *authorization; /* of who is asked for it: the value of a header; NULL: none */
	bool token_challenge;
	size_t n_failed; /* files that were left out because they could not be had, each logged */
};

void import_found_clear(struct import_found *found);

struct import_source {
	const char *scheme;  /* "hf": its specs begin with "hf:" */
	const char *suffix;  /* ".meta4": specs without a scheme that end so are its own, too; NULL */
	const char *catalog; /* the folder below name/: one of those in catalogs/imports.h */
	const char *form;    /* for people: "hf:ORG/REPO[@REVISION][/FILE]" */
	/* REST is what is behind the scheme. OUT is empty. 0, or -errno, logged; what is in OUT then is cleared by the caller. */
	int (*find)(struct import_talk *talk, const char *rest, struct import_found *out);
};

/* A line each in commands/import/sources.c, which has the table. */
extern const struct import_source import_source_hf, import_source_ollama, import_source_oci,
	import_source_metalink, import_source_ipfs;

/* Whose SPEC is, REST behind its scheme. NULL: it is none. */
const struct import_source *import_source_of(const char *spec, const char **rest);
/* The I-th of all; NULL: there are no more. */
const struct import_source *import_source_at(size_t i);

#endif
