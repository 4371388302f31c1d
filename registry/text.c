/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/internal.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
char *registry_url_encode(const char *text, const char *safe)
{
	char *out = malloc(3 * strlen(text) + 1), *to = out;

	if (!out)
		return NULL;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < 0x80 && isalnum(c)) || strchr("-._~", c) || strchr(safe, c))
			*to++ = (char)c;
		else
			to += sprintf(to, "%%%02X", c);
	}
	*to = '\0';
	return out;
}

/* "error": "…" (Hugging Face, Ollama), "errors": [{"message": "…"}] (OCI distribution), "message": "…". */
static const char *text_of_error(const json_t *json)
{
	const json_t *error = json_object_get(json, "error");
	const json_t *first = json_array_get(json_object_get(json, "errors"), 0);

	if (json_is_string(error))
		return json_string_value(error);
	if (json_is_object(error))
		return json_string_value(json_object_get(error, "message"));
	if (json_is_object(first))
		return json_string_value(json_object_get(first, "message"));
	return json_string_value(json_object_get(json, "message"));
}

bool registry_error_text(const char *body, size_t len, char out[REGISTRY_PROBLEM_SIZE])
{
	json_t *json = json_loadb(body, len, 0, NULL);
	const char *text = text_of_error(json);
	bool told = text && *text;

	if (told)
		registry_refuse(out, 0, "%s", text);
	json_decref(json);
	return told;
}
