/* SPDX-License-Identifier: Apache-2.0 */
/* What `import` and `pull` do with a spec: look it up (commands/import/sources.h), and give the daemon what it stands for. */
#ifndef COMMANDS_IMPORT_IMPORTING_H
#define COMMANDS_IMPORT_IMPORTING_H

#include "commands/import/sources.h"

/* What a spec came to. */
struct imported {
	char *name; /* below name/, what was asked for: "hf/Qwen/Qwen3-0.6B@<revision>/onnx" */
	char *mountpoint; /* of the daemon, or NULL */
	size_t n_files, n_new, n_failed; /* files, those of them that were new, those that could not be had */
	uint64_t size;			 /* of the files together */
};

/*
 * Look SPEC up and import it: for the user, or for EVERYBODY. 0 or -errno, logged; with n_failed the others were imported.
 * OUT is to be cleared.
 */
int must_check import_spec(const struct settings *settings, struct config *config, const char *spec,
			   bool everybody, struct imported *out);
void imported_clear(struct imported *imported);

/*
 * FOUND as a file in the format of a catalog called NAME, without a place in any folder; PROBLEM is one line. FD is to be closed.
 * -EINVAL: the files contradict each other, or are called what no file may be.
 */
int must_check import_write(const struct import_found *found, const char *name, int *fd,
			    char problem[REGISTRY_PROBLEM_SIZE]);

#endif
