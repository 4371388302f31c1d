/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as an origin, a pattern and a directory's name. Each origin has one canonical spelling and one
 * directory, each directory one origin.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
	if (!good)
		abort();
}

static bool only(const char *text, const char *accepted)
{
	return text[strspn(text, accepted)] == '\0';
}

#define LETTERS "abcdefghijklmnopqrstuvwxyz0123456789-_."

/* The registrable domain is a part of the host that begins behind a dot, and its own one. */
static void check_site(const char *origin)
{
	char host[POLICY_HOST_SIZE];
	const char *domain;

	if (!policy_host(origin, host)) {
		must(!policy_origin_is_web(origin) || strstr(origin, "://[") ||
		     only(strstr(origin, "://") + 3, "0123456789.:"));
		return;
	}
	must(only(host, LETTERS));
	domain = policy_registrable(host);
	if (!domain)
		return;
	must(domain == host || (domain > host && domain < host + strlen(host) && domain[-1] == '.'));
	must(policy_registrable(domain) == domain && !policy_is_suffix(domain));
}

/* What was accepted is canonical: read again it is the same, also in capitals. */
static void check_origin(const char *origin)
{
	char again[POLICY_ORIGIN_SIZE], dir[POLICY_ORIGIN_SIZE], capitals[POLICY_ORIGIN_SIZE];

	must(strlen(origin) < POLICY_ORIGIN_SIZE);
	must(policy_origin_parse(origin, again) == 0 && strcmp(again, origin) == 0);
	must(policy_origin_to_dir(origin, dir) == 0);
	must(only(dir, LETTERS "[]") && dir[0] != '.' && dir[0]);
	must(policy_origin_from_dir(dir, again) == 0 && strcmp(again, origin) == 0);
	must(policy_origin_is_web(origin) == (strstr(origin, "://") != NULL));
	check_site(origin);
	if (!policy_origin_is_web(origin))
		return;
	for (size_t i = 0; i <= strlen(origin); i++)
		capitals[i] = (char)(origin[i] >= 'a' && origin[i] <= 'z' ? origin[i] - 'a' + 'A'
									   : origin[i]);
	must(policy_origin_parse(capitals, again) == 0 && strcmp(again, origin) == 0);
}

static void check_text(const char *text)
{
	char origin[POLICY_ORIGIN_SIZE], dir[POLICY_ORIGIN_SIZE];
	const char *reason = NULL;
	int r = policy_origin_explain(text, origin, &reason);

	must(r == 0 || r == -ENOMEM || (r == -EINVAL && reason && *reason));
	if (r == 0)
		check_origin(origin);
	else
		must(policy_origin_to_dir(text, dir) < 0);
	/* As a directory's name: no other one is that origin's. */
	if (policy_origin_from_dir(text, origin) == 0) {
		must(policy_origin_to_dir(origin, dir) == 0 && strcmp(dir, text) == 0);
		check_origin(origin);
	}
	if (strstr(text, "://*.") && policy_origin_below(text, origin, &reason) == 0) {
		must(policy_origin_is_web(origin));
		check_origin(origin);
	}
}

/* The text as it is; as the host of an origin, of a pattern, of a directory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const frames[][2] = {{"", ""},	    {"https://", ""},
						{"http://*.", ":8080"}, {"https_", "_0"},
						{"https://", ".example"}};
	char text[2 * POLICY_ORIGIN_TEXT_SIZE];

	if (size > POLICY_ORIGIN_TEXT_SIZE + 16)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		size_t len = strlen(frames[i][0]);
		_cleanup_free_ char *exact = NULL;

		memcpy(text, frames[i][0], len);
		memcpy(text + len, data, size);
		strcpy(text + len + size, frames[i][1]);
		/* Of its own length, so that a read beyond it is seen. */
		exact = strdup(text);
		must(exact);
		check_text(exact);
	}
	return 0;
}
