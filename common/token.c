/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>
#include "common/bearer.h"

int bearer_token_parse(const char *body, size_t len, char **out)
{
	json_t *json = json_loadb(body, len, 0, NULL);
	const char *token = json_string_value(json_object_get(json, "token"));
	int r = -EINVAL;

	/* "for compatibility with OAuth 2.0, ... under the name access_token" */
	if (!token)
		token = json_string_value(json_object_get(json, "access_token"));
	if (token && *token && strlen(token) <= BEARER_TOKEN_MAX) {
		r = 0;
		for (const char *c = token; *c; c++)
			if (*c <= ' ' || *c > '~')
				r = -EINVAL;
	}
	if (r == 0) {
		*out = strdup(token);
		r = *out ? 0 : -ENOMEM;
	}
	json_decref(json);
	return r;
}
