/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Catalogs: signed lists of objects, their digests, sizes, URLs and names. The format is weightfs-catalog(5).
 *
 * A catalog is loaded in one call, which checks the signature over the whole file before it looks at what is in there,
 * and the bytes it has looked at once more: whoever has a `struct verify_catalog` has what a key signed. It is
 * immutable and reference counted, and may be used by any thread. Strings and objects that it gives out live as long as it.
 * A million objects with two names of 60 bytes each take about 220 MiB.
 *
 * Everything returns 0 or -errno, sets outputs on success only, and logs nothing.
 */
#ifndef VERIFY_CATALOG_H
#define VERIFY_CATALOG_H

#include <stdatomic.h>
#include <stdio.h>
#include "common/digest.h"
#include "common/name.h"
#include "verify/minisign.h"

/* Bounds of what is accepted, beside VERIFY_SIGNED_MAX bytes in all and VERIFY_SIZE_MAX for objects. */
#define VERIFY_CATALOG_OBJECTS	  1000000
#define VERIFY_CATALOG_NAMES	  4000000 /* in a catalog */
#define VERIFY_CATALOG_LINE	  65536	  /* bytes of a line, its newline left out */
#define VERIFY_OBJECT_NAMES	  256
#define VERIFY_OBJECT_URLS	  16
#define VERIFY_URL_MAX		  2048 /* bytes */
#define VERIFY_NAME_MAX		  NAME_BYTES_MAX
#define VERIFY_NAME_COMPONENT_MAX NAME_COMPONENT_MAX

struct verify_catalog;

/* ---- loading ---- */

/* What a catalog has to be to be taken. */
struct verify_catalog_rules {
	const char *name; /* what its header has to say; NULL: any */
	/*
	 * Each of its names has to begin with one of these, byte by byte: end them with "/" unless a part of a component
	 * is meant. "" is any name; without a prefix no name is allowed.
	 */
	const char *const *prefixes;
	size_t n_prefixes;
	/* The highest that was seen: a catalog with a lower one is refused, with the same one it is not. */
	uint64_t min_serial;
	const atomic_bool *stop; /* when it is set, loading ends early; NULL: never */
};

/*
 * Load the catalog in FD (a regular file, from offset 0; its position does not move), which SIGNATURE (the text of its
 * .minisig file) must sign with one of KEYS. Takes seconds if it is large. PROBLEM (may be NULL) says what is wrong, with
 * the line if it is one of the catalog's.
 *	-EINVAL, -ENOKEY, -EBADMSG, -EFBIG, …   as in minisign.h; what is wrong in the catalog is -EINVAL
 *	-ESTALE   its serial is lower than RULES->min_serial
 *	-EAGAIN   somebody wrote to the file while it was read
 *	-ECANCELED   RULES->stop
 * That it has expired is no error: see verify_catalog_info().
 */
int must_check verify_catalog_load(int fd, const char *signature, size_t len,
				   const struct verify_key *keys, size_t n_keys,
				   const struct verify_catalog_rules *rules,
				   struct verify_catalog **out, struct verify_problem *problem);
/*
 * The same for what nobody signed: for a file that this program wrote itself, in a place that only it can write to, and to
 * check one before it is signed. Never for what came from elsewhere.
 */
int must_check verify_catalog_load_unsigned(int fd, const struct verify_catalog_rules *rules,
					    struct verify_catalog **out,
					    struct verify_problem *problem);

struct verify_catalog *verify_catalog_ref(struct verify_catalog *catalog);
void verify_catalog_unref(struct verify_catalog *catalog); /* NULL is allowed */

struct verify_catalog_info {
	char name[65];
	uint64_t serial;
	int64_t expires; /* seconds since 1970: from then on it stands for nothing new */
	size_t n_objects, n_names;
	struct verify_key key;	     /* what signed it; all zero if unsigned */
	const char *trusted_comment; /* NULL if unsigned */
	/* BLAKE2b-512 of the file: two catalogs with the same serial and other bytes are a publisher's mistake. */
	uint8_t hash[VERIFY_SIGNED_HASH_SIZE];
};
const struct verify_catalog_info *verify_catalog_info(const struct verify_catalog *catalog);

/* ---- objects ---- */

struct verify_object {
	size_t index;		    /* in its catalog: its line is INDEX + 2 */
	struct digest_pair digests; /* at least one; with fs-verity digest it is attested */
	uint64_t size;
	unsigned int n_names, n_urls;
	bool has_tree;
};

/* -ENOENT. A few microseconds at most. */
int must_check verify_catalog_find(const struct verify_catalog *catalog,
				   const struct digest_name *name, struct verify_object *out);
/* The INDEX-th in the order of the file, INDEX < n_objects. */
void verify_catalog_object(const struct verify_catalog *catalog, size_t index,
			   struct verify_object *out);
/* The I-th name of it, I < n_names, in the order of the file. */
const char *verify_object_name(const struct verify_catalog *catalog,
			       const struct verify_object *object, unsigned int i);
/*
 * The I-th URL, I < n_urls, and the URL of its tree (has_tree): absolute (http or https), or relative to the URL that the
 * catalog was fetched from (RFC 3986, section 4.2; without authority). Returns OUT.
 */
const char *verify_object_url(const struct verify_catalog *catalog,
			      const struct verify_object *object, unsigned int i,
			      char out[VERIFY_URL_MAX + 1]);
const char *verify_object_tree(const struct verify_catalog *catalog,
			       const struct verify_object *object, char out[VERIFY_URL_MAX + 1]);

/*
 * Of two catalogs (or one): may these be one object? Not, if they have a digest in common and differ in size or in the
 * other digest where both know it: then neither is to be believed for it.
 */
bool verify_objects_agree(const struct verify_object *a, const struct verify_object *b);

/* ---- names ---- */

/* May a catalog have this name? What is wrong with it, or NULL. (Its prefix is not looked at.) */
const char *verify_name_refused(const char *name, size_t len);

/* A place in the tree that a catalog's names are: a file, or a folder of such. */
struct verify_place {
	char name[VERIFY_NAME_COMPONENT_MAX + 1]; /* its last component; "" for the top */
	bool folder;
	struct verify_object object; /* of a file */
};

/* PATH is a name or leading components of one; "" is the top, which is always there. -ENOENT. */
int must_check verify_catalog_lookup(const struct verify_catalog *catalog, const char *path,
				     struct verify_place *out);
/*
 * Call FOUND for each place in the folder PATH behind AFTER (NULL: all), by the bytes of their names, until it returns other
 * than 0, which is passed on. AFTER need not be there. -ENOENT, -ENOTDIR. Costs what it finds, not how
 * much is below that.
 */
int must_check verify_catalog_list(const struct verify_catalog *catalog, const char *path,
				   const char *after,
				   int (*found)(void *arg, const struct verify_place *place),
				   void *arg);
/*
 * Call FOUND for each name below the folder PATH, by the bytes of its components, until it returns other than 0, which is passed
 * on. -ENOENT, -ENOTDIR.
 */
int must_check verify_catalog_below(const struct verify_catalog *catalog, const char *path,
				    int (*found)(void *arg, const char *name,
						 const struct verify_object *object),
				    void *arg);
/*
 * Call FOUND for each name that PATTERN matches, by the bytes of its components, until it returns other than 0, which is passed on.
 * A pattern is components with "/" between them, each a glob(7) for one component of a name. A last one that is "*" alone
 * covers everything below: it is what `set NAME name CATALOG:PATTERN` means in a policy. -EINVAL for a pattern with an
 * empty component (a "/" at its begin or end makes one), or of more than VERIFY_NAME_MAX bytes.
 */
int must_check verify_catalog_match(const struct verify_catalog *catalog, const char *pattern,
				    int (*found)(void *arg, const char *name,
						 const struct verify_object *object),
				    void *arg);

/* ---- writing ---- */

/* A line as it is to be. */
struct verify_catalog_line {
	struct digest_pair digests;
	uint64_t size;
	const char *const *urls;
	size_t n_urls;
	const char *tree; /* NULL: none */
	const char *const *names;
	size_t n_names;
};

/*
 * A line and its newline to OUT: the header first, then the objects. -EINVAL for what loading would refuse in it,
 * -EFBIG for what has no room in a line; PROBLEM says what it is. What is wrong between lines (a digest or a name twice, too
 * many of them) shows when the whole is loaded.
 */
int must_check verify_catalog_write_header(FILE *out, const char *name, uint64_t serial,
					   int64_t expires, struct verify_problem *problem);
int must_check verify_catalog_write_object(FILE *out, const struct verify_catalog_line *line,
					   struct verify_problem *problem);

/* What is wrong with the name of a catalog, or with a URL in one; NULL: nothing. */
const char *verify_label_refused(const char *name);
const char *verify_url_refused(const char *url);

/* Times as headers have them: "2027-01-01T00:00:00Z". -EINVAL. */
#define VERIFY_DATE_SIZE 32
int must_check verify_date_parse(const char *text, size_t len, int64_t *out);
int must_check verify_date_format(int64_t seconds, char out[VERIFY_DATE_SIZE]);

#endif
