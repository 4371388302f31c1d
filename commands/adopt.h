/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `adopt`: models that other programs keep on the disk come into the store. adopt-scan.c (and adopt-ollama.c) finds them, adopt.c brings
 * them in, adopt-move.c puts links in the place of the originals.
 */
#ifndef COMMANDS_ADOPT_H
#define COMMANDS_ADOPT_H

#include <jansson.h>
#include <sys/stat.h>
#include "common/cleanup.h"
#include "common/digest.h"

/* ---- what is there ---- */

struct adopt_file {
	char *name; /* below the model's folder */
	char *path; /* where its bytes are: no symlink, but for one into a mount, which stands for what was moved */
	bool has_sha256, has_git_blob; /* what its bytes have to be, by where it lies */
	struct digest sha256;
	uint8_t git_blob[20]; /* as in struct registry_file */
};

struct adopt_model {
	const char *catalog; /* "hf", "ollama", "local" */
	char *folder;	     /* below that; "Qwen/Qwen3-0.6B@<revision>" */
	json_t *refs;	     /* as in struct import_request; NULL: none */
	struct adopt_file *files;
	size_t n;
};

/*
 * Call FOUND for each model in PATH, until it returns other than 0: Hugging Face's cache (or one model of it), Ollama's folder,
 * or any other folder or file, which is one model. What is not understood is logged and left out. 0 or -errno, logged.
 */
int must_check adopt_scan(const char *path, int (*found)(void *arg, struct adopt_model *model), void *arg);
/*
 * open(2) for what was found there: no component of PATH may be a link by now (-ELOOP), as who may write to a folder on the way
 * could have root read another file. The descriptor, or -errno.
 */
int must_check adopt_open(const char *path, int flags);
/* Does the link at PATH lead into a mount, to the object HEX? */
bool adopt_is_moved(const char *path, char hex[DIGEST_HEX_SIZE]);

/* ---- links in the place of files ---- */

/*
 * From now on nobody writes to FD (a file at PATH) without being noticed. -EMLINK: it has other names, which would keep the
 * disk taken; -ETXTBSY: somebody has it open for writing; each logged. ST is what it is.
 */
int must_check adopt_hold(int fd, const char *path, const struct stat *st);
/*
 * A link to TARGET, which has to have the digest HEX when it is read, in the place of PATH, which FD holds. Whatever fails, and
 * whenever it ends, PATH is the file or the link. 0 or -errno, logged.
 */
int must_check adopt_replace(const char *path, int fd, const struct stat *st, const char *target, const char *hex);
/* What an adopt_replace() that was interrupted left beside PATH, which is a link already, goes. */
void adopt_clean(const char *path, const char *hex);

#endif
