/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/oci.h"

#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/log.h"

#define FILE_MAX ((size_t)1 << 20)

static void wipe(char *text, size_t len)
{
	if (text)
		explicit_bzero(text, len);
	free(text);
}

void oci_user_release(struct oci_user *user)
{
	wipe(user->authorization, user->authorization ? strlen(user->authorization) : 0);
	free(user->file);
	*user = (struct oci_user){ 0 };
}

static int read_file(const char *path, const struct oci_reference *reference, struct oci_user *user)
{
	char problem[REGISTRY_PROBLEM_SIZE];
	char *text = NULL;
	size_t len = 0;
	int r;

	r = io_read_file(path, FILE_MAX, &text, &len);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0) {
		log_warning("%s: %s", path, strerror(-r));
		return 0;
	}
	r = oci_credentials_find(text, len, reference, &user->authorization, problem);
	wipe(text, len);
	if (r == -ENOMEM)
		return r;
	if (r == -EINVAL)
		log_warning("%s: %s", path, problem);
	else if (r == -ENOENT && problem[0] && !user->problem[0])
		snprintf(user->problem, sizeof(user->problem), "%s", problem);
	if (r < 0)
		return 0;
	user->file = strdup(path);
	return user->file ? 0 : -ENOMEM;
}

/* NAME in the folder that VARIABLE names; without it BEHIND (NULL: nothing) in the user's home. */
static int try_file(const char *variable, const char *behind, const char *name,
		    const struct oci_reference *reference, struct oci_user *user)
{
	const char *folder = getenv(variable), *home = getenv("HOME");
	_cleanup_free_ char *path = NULL;

	if (user->authorization || ((!folder || !*folder) && (!behind || !home)))
		return 0;
	if (folder && *folder)
		behind = "";
	else
		folder = home;
	if (asprintf(&path, "%s%s/%s", folder, behind, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return read_file(path, reference, user);
}

int oci_user_init(const struct oci_reference *reference, struct oci_user *out)
{
	const char *only = getenv("REGISTRY_AUTH_FILE");
	struct oci_user user = { 0 };
	int r;

	if (only && *only) {
		r = read_file(only, reference, &user);
	} else {
		r = try_file("XDG_RUNTIME_DIR", NULL, "containers/auth.json", reference, &user);
		if (r == 0)
			r = try_file("DOCKER_CONFIG", "/.docker", "config.json", reference, &user);
	}
	if (r < 0)
		oci_user_release(&user);
	else
		*out = user;
	return r;
}
