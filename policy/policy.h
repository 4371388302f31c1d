/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may open what. A policy file is parsed into an immutable `struct policy`; a reload makes a new one.
 *
 * One statement a line, `#` begins a comment, first match wins, no match is deny (weightfs-policy(5)).
 * A file that does not parse is refused whole, with file:line:column.
 * The decision needs no I/O and no allocation, and looks at nothing but the policy.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"
#include "common/digest.h"

/* ---- origins ---- */

/*
 * An origin is a web origin `scheme://host[:port]` (RFC 6454; https or http; host lowercase, IDN as
 * punycode, default port left out) or a local name `[a-z][a-z0-9._-]*`, of 64 bytes at most. `any` and `none`
 * are no names, nor is what begins with `https_` or `http_`, as directories of web origins do. Its directory
 * name is `https_app.example.com_0` (scheme_host_port, 0 for the scheme's default; an IPv6 host is
 * written as Chromium does, `[__1]`), or the local name itself.
 */
#define POLICY_ORIGIN_SIZE 320 /* longest origin or directory name, and NUL */

/* The canonical form of TEXT. 0, -EINVAL or -ENOMEM. */
int must_check policy_origin_parse(const char *text, char out[POLICY_ORIGIN_SIZE]);
bool policy_origin_is_web(const char *origin);
/* Between the two canonical spellings. 0, -EINVAL or -ENOMEM: one origin has exactly one directory name. */
int must_check policy_origin_to_dir(const char *origin, char out[POLICY_ORIGIN_SIZE]);
int must_check policy_origin_from_dir(const char *dir, char out[POLICY_ORIGIN_SIZE]);

/* ---- loading ---- */

struct policy;

struct policy_error {
	char file[512];
	unsigned int line, column; /* from 1; 0: the file as a whole */
	char message[256];
};

/*
 * Load FILE and what it includes (a glob, sorted; at most 8 deep). Paths in a file are relative to its folder.
 * 0, -EINVAL for a syntax error, or the -errno of a file that cannot be read; ERROR says which and where.
 */
int must_check policy_load(const char *file, struct policy **out, struct policy_error *error);
/* The same from memory; NAME stands for the file in errors. include and file sets are resolved as files. */
int must_check policy_parse(const char *name, const char *text, size_t len, struct policy **out,
			    struct policy_error *error);
/* "FILE:LINE:COLUMN: MESSAGE" (without the zero parts). */
void policy_error_format(const struct policy_error *error, char *out, size_t size);

/* Reference counting, any thread. */
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* NULL is allowed */

/* ---- deciding ---- */

/* Where a statement stands; FILE lives as long as the policy. NULL file: no statement matched. */
struct policy_where {
	const char *file;
	unsigned int line;
};

/*
 * Who asks. IDENTIFIED is false when the caller's process cannot be known (pid 0: a foreign pid
 * namespace; an unmapped uid): such a caller matches no line, not even `any`.
 */
struct policy_caller {
	bool identified;
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary; may be NULL where policy_needs_groups() is false */
	size_t n_groups;
};

/* Does a `caller gid` line exist, so that the caller's groups have to be found out? */
bool policy_needs_groups(const struct policy *policy);

/* The caller's origin, valid as long as the policy; NULL if none. WHERE (may be NULL): the line. */
const char *policy_origin_of(const struct policy *policy, const struct policy_caller *caller,
			     struct policy_where *where);

struct policy_decision {
	bool allow;
	bool cached; /* may open what is complete here; fetches nothing */
	bool list;   /* readdir shows it */
	uint64_t quota; /* bytes that the origin may have in use; 0: any number */
	struct policy_where where;
};

/*
 * May ORIGIN (canonical; NULL, which has none, is denied) open the object known as DIGESTS? One whose
 * SHA-256 is not known matches every deny line that names SHA-256 digests, and no allow line through them.
 */
struct policy_decision policy_decide(const struct policy *policy, const char *origin,
				     const struct digest_pair *digests);

/*
 * The quota of ORIGIN (canonical; NULL has none): that of the first line that may match it and has one. For what is
 * said about an origin as a whole; an open has the quota of the line that decides. 0: none.
 */
uint64_t policy_quota(const struct policy *policy, const char *origin);

#endif
