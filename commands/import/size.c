/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/size.h"

#include <string.h>

/* The same scheme, host and port, as they are written. */
static bool is_own(const char *url, const char *own)
{
	const char *host = own ? strstr(own, "://") : NULL;
	size_t len = host ? (size_t)(host + 3 - own) + strcspn(host + 3, "/?#") : 0;

	return len > 0 && !strncmp(url, own, len) && strchr("/?#", url[len]);
}

static int ask(struct import_talk *talk, struct registry_file *file, const char *url, const char *own,
	       const struct import_advice *advice)
{
	struct fetch_document document;
	struct import_get get = {
		.url = url,
		.what = file->path,
		.users_own = is_own(url, own),
		.size_only = true,
	};
	int r;

	r = import_ask(talk, &get, &document);
	if (r < 0)
		return r;
	if (document.has_size) {
		file->has_size = true;
		file->size = document.size;
	} else if (document.status == 200 || document.status == 206) {
		r = import_fail(talk, -EPROTO, "%s does not say how large it is", url);
	} else {
		r = import_refused(talk, &get, advice, &document);
	}
	fetch_document_release(&document);
	return r;
}

int import_size(struct import_talk *talk, struct registry_file *file, const char *own,
		const struct import_advice *advice)
{
	int r = -ENOENT;

	for (size_t i = 0; i < file->n_urls && !file->has_size; i++)
		r = ask(talk, file, file->urls[i], own, advice);
	return file->has_size ? 0 : r;
}
