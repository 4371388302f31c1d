/* SPDX-License-Identifier: Apache-2.0 */
/* Until fetch/ and fs/imports.c have them: goes with the first merge of either. */
#include <string.h>
#include "common/cleanup.h"
#include "fetch/document.h"
#include "fs/imports.h"

#define WEAK __attribute__((weak))

struct fetch_group {
	atomic_uint references;
};

WEAK int fetch_group_new(const struct fetch_group_options *options, struct fetch_group **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	atomic_init(&(*out)->references, 1);
	return 0;
}

WEAK struct fetch_group *fetch_group_ref(struct fetch_group *group)
{
	atomic_fetch_add(&group->references, 1);
	return group;
}

WEAK void fetch_group_unref(struct fetch_group *group)
{
	if (group && atomic_fetch_sub(&group->references, 1) == 1)
		free(group);
}

WEAK int fetch_places_new(const struct fetch_place *places, size_t n, struct fetch_places **out)
{
	return -ENOSYS;
}

WEAK int fetch_url_resolve(const char *base, const char *reference, char **out)
{
	*out = strdup(reference);
	return *out ? 0 : -ENOMEM;
}

WEAK int fetch_document_get(const struct fetch_document_request *request, struct fetch_document *out,
			    char message[FETCH_MESSAGE_SIZE])
{
	strcpy(message, "not supported yet");
	return -ENOSYS;
}

WEAK void fetch_document_release(struct fetch_document *document)
{
}

WEAK int imports_owners(const char *path, uid_t **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	return 0;
}

WEAK int imports_load(const char *path, uid_t owner, struct import **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	return 0;
}

WEAK void imports_free(struct import *imports, size_t n)
{
}

WEAK bool import_is_gated(const struct import *import, const char *name)
{
	return false;
}
