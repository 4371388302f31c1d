/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in mounts, as users type them and read them. */
#include <stdio.h>
#include <string.h>
#include "commands/commands.h"

const char *command_path_in_view(const char *path, char **root)
{
	static const char *const roots[] = { "name", "hub" };

	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
			size_t len = strlen(roots[i]);
			char *folder;

			if (strncmp(at, roots[i], len) != 0 || at[len] != '/')
				continue;
			folder = strndup(path, (size_t)(at - path) + len + 1);
			if (folder && settings_is_on_mount(folder)) {
				*root = folder;
				return at;
			}
			free(folder);
		}
	}
	return NULL;
}

void command_print_place(const char *mountpoint, const char *name)
{
	printf("%s%sname/%s", mountpoint ? mountpoint : "", mountpoint ? "/" : "", name);
}
