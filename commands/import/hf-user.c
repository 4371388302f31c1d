/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/hf.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "common/io.h"
#include "common/log.h"

#define ENDPOINT  "https://huggingface.co"
#define TOKEN_MAX 4096

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* As huggingface_hub understands it. */
static bool is_set(const char *name)
{
	static const char *const yes[] = { "1", "on", "yes", "true" };
	const char *value = variable(name);

	for (size_t i = 0; value && i < ARRAY_SIZE(yes); i++)
		if (!strcasecmp(value, yes[i]))
			return true;
	return false;
}

/* Where the token would be; to be freed. NULL: no memory, or nobody knows. */
static char *token_path(void)
{
	const char *path = variable("HF_TOKEN_PATH"), *home = variable("HF_HOME"),
		   *cache = variable("XDG_CACHE_HOME"), *user = variable("HOME");
	char *out = NULL;
	int n = -1;

	if (path)
		return strdup(path);
	if (home)
		n = asprintf(&out, "%s/token", home);
	else if (cache)
		n = asprintf(&out, "%s/huggingface/token", cache);
	else if (user)
		n = asprintf(&out, "%s/.cache/huggingface/token", user);
	return n < 0 ? NULL : out;
}

static char *token_of_file(void)
{
	_cleanup_free_ char *path = token_path();
	struct stat st;
	char *text;
	size_t len;
	int r;

	if (!path)
		return NULL;
	r = io_read_regular(path, TOKEN_MAX, &text, &len, &st);
	if (r < 0) {
		if (r != -ENOENT)
			log_warning_errno(r, "%s: the token in there is not used", path);
		return NULL;
	}
	if (st.st_mode & 077)
		log_warning("%s: others may read this token; chmod 600 is for you alone", path);
	return text;
}

/* Without blanks around it; a header cannot hold anything but printable ASCII. */
static int make_authorization(char *token, char **out)
{
	size_t len;

	token += strspn(token, " \t\r\n");
	len = strlen(token);
	while (len > 0 && isspace((unsigned char)token[len - 1]))
		token[--len] = '\0';
	if (len == 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (token[i] <= ' ' || token[i] > '~') {
			log_error("the token of huggingface.co (HF_TOKEN, or its file) has "
				  "characters that no token has");
			return -EINVAL;
		}
	return asprintf(out, "Bearer %s", token) < 0 ? -ENOMEM : 0;
}

static int find_token(struct hf_user *user)
{
	const char *given = variable("HF_TOKEN");
	char *token;
	int r;

	if (!given)
		given = variable("HUGGING_FACE_HUB_TOKEN"); /* as it was called before */
	token = given ? strdup(given) : token_of_file();
	if (!token)
		return given ? -ENOMEM : 0;
	r = make_authorization(token, &user->authorization);
	explicit_bzero(token, strlen(token));
	free(token);
	return r;
}

int hf_user_init(struct hf_user *user)
{
	const char *endpoint = variable("HF_ENDPOINT");
	size_t len;

	*user = (struct hf_user){
		.endpoint = strdup(endpoint ? endpoint : ENDPOINT),
		.own_endpoint = endpoint,
		.offline = is_set("HF_HUB_OFFLINE"),
	};
	if (!user->endpoint)
		return -ENOMEM;
	for (len = strlen(user->endpoint); len > 0 && user->endpoint[len - 1] == '/'; len--)
		user->endpoint[len - 1] = '\0';
	return find_token(user);
}

void hf_user_release(struct hf_user *user)
{
	free(user->endpoint);
	if (user->authorization)
		explicit_bzero(user->authorization, strlen(user->authorization));
	free(user->authorization);
}
