/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges as they are answered here: what to ask, and what to send then. */
#include "common/bearer.h"
#include "fetch/exchange.h"

#include <stdio.h>
#include <string.h>

char *challenge_url(const char *challenge)
{
	struct bearer_challenge parsed;
	char *url;

	return bearer_challenge_parse(challenge, &parsed) == 0 && bearer_token_url(&parsed, &url) == 0 ? url : NULL;
}

char *challenge_header(const char *body, size_t len)
{
	char *token, *header;
	int n;

	if (bearer_token_parse(body, len, &token) < 0)
		return NULL;
	n = asprintf(&header, "Authorization: Bearer %s", token);
	free(token);
	return n < 0 ? NULL : header;
}
