/* SPDX-License-Identifier: Apache-2.0 */
#include "common/name.h"

#include <string.h>
#include "common/utf8.h"

static const char *component_refused(const char *component, size_t len)
{
	if (len == 0)
		return "begins or ends with \"/\", or has an empty component";
	if (len > NAME_COMPONENT_MAX)
		return "has a component of more than 255 bytes";
	if (component[0] == '.' && (len == 1 || (len == 2 && component[1] == '.')))
		return "has a component \".\" or \"..\"";
	return NULL;
}

const char *name_refused(const char *name, size_t len)
{
	const char *refused = NULL;

	if (len == 0)
		return "is empty";
	if (len > NAME_BYTES_MAX)
		return "has more than 1024 bytes";
	if (!utf8_is_plain(name, len))
		return "is not UTF-8, or has control characters";
	if (memchr(name, '\\', len))
		return "has a backslash";
	for (;;) {
		const char *slash = memchr(name, '/', len);
		size_t n = slash ? (size_t)(slash - name) : len;

		refused = component_refused(name, n);
		if (refused || !slash)
			return refused;
		name += n + 1;
		len -= n + 1;
	}
}
