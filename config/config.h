/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weightfs.conf: where the store is, how bytes are fetched, sources and catalogs (weightfs.conf(5)).
 *
 * A file is taken whole or refused whole, at the first mistake, with its file and line. An unknown
 * section or key is a mistake: a misspelt `allow-privat` must not pass for a default.
 *
 * Read once, at the start, before there are threads: the INI library's options are global
 * variables. Files that the configuration names are not opened here.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/cleanup.h"
#include "fetch/fetch.h"
#include "verify/minisign.h"

#define CONFIG_CONNECTIONS_MAX 128
#define CONFIG_FILE_MAX	       ((size_t)1 << 20)
#define CONFIG_CATALOGS_MAX    32
#define CONFIG_KEYS_OF_CATALOG 16
#define CONFIG_GATEWAYS_MAX    4
#define CONFIG_PREFIXES_MAX    256 /* of a catalog */

/* Bytes, or a part of the filesystem that the store lies on: PERCENT is not 0, and BYTES is. */
struct config_amount {
	uint64_t bytes;
	unsigned int percent;
};

/* One [catalog NAME]. */
struct config_catalog {
	const char *name; /* lowercase letters, digits, ".", "_", "-", as its header has it */
	const char *url;
	const char *signature; /* a URL, too */
	struct verify_key keys[CONFIG_KEYS_OF_CATALOG];
	size_t n_keys; /* 1 at least */
	const char **prefixes; /* as in struct verify_catalog_rules: "" is any name */
	size_t n_prefixes;     /* 1 at least */
	int64_t refresh_ms;    /* 0: only when somebody asks */
	int priority;
	bool allow_http, allow_private;
	const char *ca_file; /* absolute; NULL: the system's */
	const char *header_file; /* absolute; NULL: none */
};

struct config {
	struct {
		const char *path;	   /* absolute; NULL: config_default_store() */
		struct config_amount size; /* {0, 0}: half of what is free at open */
		struct config_amount keep_free;
	} store;
	struct {
		unsigned int connections;   /* 1 … CONFIG_CONNECTIONS_MAX */
		uint64_t memory;	    /* at least CHUNK_SIZE for each connection */
		int64_t read_deadline_ms;   /* 0: for ever */
		int64_t connect_timeout_ms; /* above 0, like the next */
		int64_t stall_timeout_ms;
		bool offline;
	} fetch;
	struct {
		const char *file; /* absolute; NULL: the log */
		bool none;
		bool web_origins;
		unsigned int rate; /* lines a second, above 0 */
	} audit;
	/* What users import: how it may be fetched. */
	struct {
		bool enabled;
		bool allow_http, allow_private;
		const char *ca_file; /* absolute; NULL: the system's */
	} import;
	/* Who is asked for what is named by a CID. */
	struct {
		const char *gateways[CONFIG_GATEWAYS_MAX]; /* "https://gateway.example" */
		size_t n_gateways;
		bool allow_http, allow_private;
		const char *ca_file; /* absolute; NULL: the system's */
	} ipfs;
	/* In the order of the file; at most CONFIG_CATALOGS_MAX. */
	struct config_catalog *catalogs;
	size_t n_catalogs;
	/* Ready for fetch_new(), in the order of the file; at most FETCH_SOURCES_MAX. */
	struct fetch_source *sources;
	size_t n_sources;
};

struct config_error {
	char file[512];
	unsigned int line; /* from 1; 0: the file as a whole */
	char message[256];
};

/* What holds without a file. Nothing in it has to be freed. */
void config_defaults(struct config *out);

/* 0, -EINVAL for a mistake in FILE, or the -errno of a read that failed; ERROR has the words. */
int must_check config_load(const char *file, struct config *out, struct config_error *error);
/* The same from memory. NAME stands for the file, in errors and for where relative paths start. */
int must_check config_parse(const char *name, const char *text, size_t len, struct config *out,
			    struct config_error *error);
/* Leaves the defaults behind. */
void config_free(struct config *config);

/* "FILE:LINE: MESSAGE", without a line that is 0. */
void config_error_format(const struct config_error *error, char *out, size_t size);

/*
 * Where the store of user UID is if nothing says otherwise: /var/cache/weightfs for root, else
 * weightfs in $XDG_CACHE_HOME or $HOME/.cache. OUT is to be freed. -ENOENT: neither of
 * them is an absolute path.
 */
int must_check config_default_store(uid_t uid, char **out);

/* AMOUNT in bytes, on a filesystem of TOTAL bytes. */
uint64_t config_amount_of(const struct config_amount *amount, uint64_t total);

#endif
