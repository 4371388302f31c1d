/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line says about where things are; the same for `mount -o` and the other commands.
 */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "config/config.h"
#include "store/store.h"

/* All strings are the structure's own; NULL: not given. */
struct settings {
	char *conf;   /* the configuration file */
	char *policy; /* the policy file */
	char *store;  /* the store's directory */
	char *origin; /* canonical: the whole mount is this origin's view */
	bool offline, nopassthrough;
	/* Set by settings_resolve(): the control socket, and the one to try next (NULL: none). */
	char *socket, *system_socket;
	bool default_store; /* nobody named one, nor a configuration */
	bool daemon_only; /* there is a daemon to be asked, and nothing else will do */
};

void settings_free(struct settings *settings);

/*
 * NAME=VALUE (VALUE NULL: a bare word). 0; -ENOENT: no such setting; -EINVAL: a bad value, logged.
 */
int must_check settings_set(struct settings *settings, const char *name, const char *value);

/*
 * Read the configuration (if there is one) into CONFIG and fill in what was not given:
 * policy: the file `policy` beside the configuration, if it is there; store: the configuration's, else
 * the user's default. Paths become absolute. 0 or -errno, logged.
 */
int must_check settings_resolve(struct settings *settings, struct config *config);
/* Whose view a path is in. */
struct settings_view {
	char *origin; /* to be freed; NULL: nobody's in particular */
	int64_t uid;  /* -1 then */
};
/* Does FOLDER, or where it is in a mount, tell its daemon? Only where settings_follow() can lead. */
bool settings_is_on_mount(const char *folder);
/* Mean the daemon whose mount PATH is on; VIEW is set. 0 or -errno, logged. */
int must_check settings_follow(struct settings *settings, const char *path, struct settings_view *view);
/* The configuration that commands use when none is named: the system's, for root, if it is there. */
int must_check settings_use_default_conf(struct settings *settings);

/* How to open the store: percentages are of the filesystem that it is on. PATH is borrowed. */
int must_check settings_store_options(const struct settings *settings, const struct config *config,
				      struct store_options *out);

#endif
