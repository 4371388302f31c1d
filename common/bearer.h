/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens as registries of images give them out (the token flow of the OCI distribution specification): who says 401 names a
 * place, its realm, that is asked for a token for a scope. What is written here comes from servers. Pure functions, any
 * thread.
 */
#ifndef COMMON_BEARER_H
#define COMMON_BEARER_H

#include <stdbool.h>
#include <stddef.h>
#include "common/cleanup.h"

#define BEARER_VALUE_SIZE 2048
#define BEARER_TOKEN_MAX  16384

struct bearer_challenge {
	char realm[BEARER_VALUE_SIZE];	 /* a URL, unchecked */
	char service[BEARER_VALUE_SIZE]; /* "" if there is none, as of the scope */
	char scope[BEARER_VALUE_SIZE];
};

/*
 * The first Bearer challenge with a realm in VALUE, a WWW-Authenticate header (RFC 9110, section 11.6.1). -ENOENT: it has
 * none; -EINVAL: it is no such header, or a value is too long.
 */
int must_check bearer_challenge_parse(const char *value, struct bearer_challenge *out);
/* Is there a challenge of SCHEME ("Basic")? */
bool bearer_challenge_has(const char *value, const char *scheme);
/* What to GET: the realm with service and each scope as its query. To be freed. -EINVAL: no absolute URL; its scheme is not checked. */
int must_check bearer_token_url(const struct bearer_challenge *challenge, char **out);

/* token.c: the token in the JSON that was answered, to be freed; it may stand in a header. -EINVAL, -ENOMEM. */
int must_check bearer_token_parse(const char *body, size_t len, char **out);

#endif
