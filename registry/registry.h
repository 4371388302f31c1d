/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What registries of models say: replies of their APIs, as lists of files. Nothing here asks anybody: who does gives the
 * bytes of replies, and is told what to ask for next. Replies are untrusted input: bounded, strict, fuzzed.
 *
 * Everything returns 0 or -errno, sets outputs on success only, logs nothing, may be called by any thread; what is wrong
 * with a reply is said in one line for people, printable.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "common/digest.h"

#define REGISTRY_PROBLEM_SIZE  256
#define REGISTRY_FILES_MAX     100000
#define REGISTRY_URLS_MAX      16
#define REGISTRY_GIT_BLOB_SIZE 20 /* SHA-1 */

/* A file of a model, as its registry has it. */
struct registry_file {
	char *path; /* below the model: "onnx/model.onnx"; one that a catalog may have as a name (components, no "..") */
	uint64_t size;
	bool has_size;
	bool has_sha256;
	struct digest sha256;
	/*
	 * What is known of its bytes instead, where the registry has no SHA-256: they have to be fetched and hashed.
	 * SHA-1 of "blob SIZE\0" and the bytes.
	 */
	bool has_git_blob;
	uint8_t git_blob[REGISTRY_GIT_BLOB_SIZE];
	char *urls[REGISTRY_URLS_MAX]; /* absolute */
	size_t n_urls;
};

struct registry_files {
	struct registry_file *files;
	size_t n, capacity;
};

/* Takes over what is in FILE. 0, -E2BIG or -ENOMEM; then FILE is the caller's yet. */
int must_check registry_files_add(struct registry_files *files, struct registry_file *file);
void registry_file_clear(struct registry_file *file);
void registry_files_clear(struct registry_files *files);

/* ---- text ---- */

/* TEXT, in which all but the unreserved characters of RFC 3986 and those of SAFE is percent-encoded; to be freed. NULL: no memory. */
char *registry_url_encode(const char *text, const char *safe);
/*
 * The first target that is `rel="next"` in VALUE, a Link header (RFC 8288), as it stands there: it may be relative. OUT is to
 * be freed. -ENOENT: there is none; -EINVAL: it is no such header.
 */
int must_check registry_link_next(const char *value, char **out);
/* What the body of a refusal says for people, as registries of several kinds write it; printable. False: nothing. */
bool registry_error_text(const char *body, size_t len, char out[REGISTRY_PROBLEM_SIZE]);

/* ---- bytes ---- */

/* SHA-256 of DATA. 0 or -ENOMEM. */
int must_check registry_sha256(const void *data, size_t len, struct digest *out);
/* 2 LEN hex digits in lower case, and the end of TEXT, to bytes. -EINVAL. */
int must_check registry_from_hex(const char *text, uint8_t *out, size_t len);
/* The id that git gives to a file of these bytes. */
int must_check registry_git_blob(const void *bytes, size_t len, uint8_t out[REGISTRY_GIT_BLOB_SIZE]);
/*
 * BYTES are what FILE was fetched as: it has their SHA-256 and size from now on. -EBADMSG with PROBLEM: they are not what its
 * registry says that it is.
 */
int must_check registry_file_hash(struct registry_file *file, const void *bytes, size_t len,
				  char problem[REGISTRY_PROBLEM_SIZE]);

#endif
