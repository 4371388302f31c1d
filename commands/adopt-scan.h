/* SPDX-License-Identifier: Apache-2.0 */
/* Between adopt-scan.c and adopt-ollama.c. */
#ifndef COMMANDS_ADOPT_SCAN_H
#define COMMANDS_ADOPT_SCAN_H

#include "commands/adopt.h"

struct adopt_scan {
	int (*found)(void *arg, struct adopt_model *model);
	void *arg;
};

void adopt_model_clear(struct adopt_model *model);
/* NAME and PATH are taken over. The file, to be filled in; NULL: no memory. */
struct adopt_file *adopt_add_file(struct adopt_model *model, char *name, char *path);
/* "A/B", or "B" if A is ""; to be freed. NULL: no memory. */
char *adopt_join(const char *a, const char *b);
/* Call EACH for each entry of PATH in order, but for hidden ones unless HIDDEN. A folder that is not there is empty. */
int must_check adopt_each_entry(const char *path, bool hidden,
				int (*each)(void *arg, const char *path, const char *name), void *arg);
/* All models of Ollama's folder. */
int must_check adopt_ollama(struct adopt_scan *scan, const char *path);

#endif
