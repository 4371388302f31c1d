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

/* The canonical form of TEXT, in which a host may be an international one in UTF-8. 0, -EINVAL or -ENOMEM. */
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
	char unread[512]; /* the file that could not be read, if that was it; else "" */
};

/* What sets by name are made of: `set NAME name CATALOG:PATTERN`. */
struct policy_names {
	/*
	 * Call FOUND for each digest of an object whose name in CATALOG matches PATTERN, as policy_name_matches() says,
	 * until it returns other than 0, which is passed on. -ENOENT: there is no such catalog. -EAGAIN: there is, but what it
	 * says is not known yet; until then deny lines with such a set match every object, and for other lines it is
	 * empty. Anything else but 0: the policy is refused.
	 */
	int (*each)(void *arg, const char *catalog, const char *pattern,
		    int (*found)(void *found_arg, const struct digest_name *name), void *found_arg);
	void *arg;
};

/*
 * Does the glob(7) PATTERN cover NAME? `*`, `?` and `[` do not match a slash, so that each component of the pattern is
 * for one of the name; but a `*` that is the last component of all is for everything below: `Qwen/` and a `*` covers
 * `Qwen/Qwen3-0.6B/model.safetensors`. For whoever implements `each`.
 */
bool policy_name_matches(const char *pattern, const char *name);

/*
 * Load FILE and what it includes (a glob, sorted; at most 8 deep). Paths in a file are relative to its folder. NAMES
 * (NULL: there are no catalogs) is asked while this runs, and not kept.
 * 0, -EINVAL for a syntax error, or the -errno of a file that cannot be read; ERROR says which and where.
 */
int must_check policy_load(const char *file, const struct policy_names *names, struct policy **out,
			   struct policy_error *error);
/* The same from memory; NAME stands for the file in errors. include and file sets are resolved as files. */
int must_check policy_parse(const char *name, const char *text, size_t len,
			    const struct policy_names *names, struct policy **out,
			    struct policy_error *error);
/* "FILE:LINE:COLUMN: MESSAGE" (without the zero parts). */
void policy_error_format(const struct policy_error *error, char *out, size_t size);

/* Reference counting, any thread. */
struct policy *policy_ref(struct policy *policy);
void policy_unref(struct policy *policy); /* NULL is allowed */

/*
 * What was taken as empty: public lists that are missing or bad, catalogs that nobody knows, or not yet; and deny lines
 * that match every object, because a catalog says nothing (-EAGAIN of struct policy_names) or no name of what they are
 * about. The I-th, from 0; NULL after the last.
 */
const struct policy_error *policy_warning(const struct policy *policy, size_t i);

/*
 * What the policy was made of, to be watched for changes: the I-th path, from 0; NULL after the last. Files that were
 * read or are missing, and the folders in which an `include` with a pattern looked.
 */
const char *policy_path(const struct policy *policy, size_t i);

/*
 * The policy as text, one canonical statement a line, sets with all their digests: parsed, it decides the same. TEXT is to
 * be freed. 0 or -ENOMEM.
 */
int must_check policy_print(const struct policy *policy, char **text);

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
	/* NULL: not known, not root's alone, or policy_needs_cgroup() is false. */
	const char *cgroup; /* absolute, in its hierarchy: "/system.slice/translator.service" */
	const char *unit;   /* the systemd unit that it runs in: "translator.service" */
};

/* Does a `gid` line exist, so that the caller's groups have to be found out? A `cgroup` or `unit` line? */
bool policy_needs_groups(const struct policy *policy);
bool policy_needs_cgroup(const struct policy *policy);

/* The caller's origin, valid as long as the policy; NULL if none. WHERE (may be NULL): the line. */
const char *policy_origin_of(const struct policy *policy, const struct policy_caller *caller,
			     struct policy_where *where);

/*
 * Is CALLER a broker: may it look up views of any origin of its own uid? (Root may, of any uid.) WHERE (may be NULL):
 * the line.
 */
bool policy_is_broker(const struct policy *policy, const struct policy_caller *caller,
		      struct policy_where *where);

enum policy_verdict {
	POLICY_DENY,
	POLICY_ALLOW,
	POLICY_ASK, /* whoever the view belongs to has to say */
};

struct policy_decision {
	enum policy_verdict verdict;
	bool cached; /* may open what is complete here; fetches nothing */
	bool list;   /* readdir shows it */
	bool shared; /* it is in a set marked `shared`: whoever may open it may have it from others' fetches */
	bool named;  /* it is in a set, or the line names its digest: the policy does not only mean whatever there is */
	uint64_t quota; /* bytes that the origin may have in use; 0: any number */
	int64_t wait_ms; /* POLICY_ASK: how long a look-up waits for an answer; 0: not at all */
	struct policy_where where;
};

/*
 * May ORIGIN (canonical; NULL, which has none, is denied) open the object known as DIGESTS? One whose
 * SHA-256 is not known matches every deny line that names SHA-256 digests, and no allow or ask line through them.
 */
struct policy_decision policy_decide(const struct policy *policy, const char *origin,
				     const struct digest_pair *digests);

/*
 * The quota of ORIGIN (canonical; NULL has none): that of the first line that may match it and has one. For what is
 * said about an origin as a whole; an open has the quota of the line that decides. 0: none.
 */
uint64_t policy_quota(const struct policy *policy, const char *origin);

/* How many objects that it did not fetch itself an origin may look for in so much time. COUNT 0: any number. */
struct policy_probes {
	unsigned int count;
	int64_t window_ms;
};
/* Of the first line that may match ORIGIN and has a budget, like policy_quota(). */
struct policy_probes policy_probes(const struct policy *policy, const char *origin);

/*
 * Has any allow or ask line that may match ORIGIN (canonical; NULL has none) `list`? If not, policy_decide() lists
 * nothing for it, whatever the object. If so, it may still list none: a line before that one may match all that it does.
 */
bool policy_lists(const struct policy *policy, const char *origin);

/*
 * Is there an allow or ask line that may match ORIGIN (canonical; NULL has none), and is reached? If not, whatever there is is
 * denied to it.
 */
bool policy_opens(const struct policy *policy, const char *origin);

/* Is there a set called SET; does it hold the object? */
bool policy_has_set(const struct policy *policy, const char *set);
bool policy_set_holds(const struct policy *policy, const char *set,
		      const struct digest_pair *digests);

/*
 * The digests of all sets that are `shared`, each once, by kind and digest, those behind AFTER, until FOUND returns other than 0,
 * which is passed on; else 0.
 */
int policy_each_shared(const struct policy *policy, const struct digest_name *after,
		       int (*found)(void *arg, const struct digest_name *name), void *arg);

/* ---- explaining ---- */

/* A line that was looked at, because it is about the origin: in order, the last one decides if MATCHED. */
struct policy_step {
	struct policy_where where;
	const char *statement; /* canonical; valid during the call */
	bool matched;	       /* else the object is not among its targets */
};
/* Calls STEP for each line until one decides, or until it returns other than 0, which is passed on; else 0 or -ENOMEM. */
int must_check policy_explain(const struct policy *policy, const char *origin,
			      const struct digest_pair *digests,
			      int (*step)(void *arg, const struct policy_step *step), void *arg);

#endif
