/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/catalog-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"
#include "common/log.h"

#define KEY_FILE_MAX 16384

int catalog_problem_log(int error, const char *path, const struct verify_problem *problem)
{
	if (problem->line > 0)
		log_error("%s:%u: %s", path, problem->line, problem->text);
	else
		log_error("%s: %s", path, problem->text);
	return error;
}

int catalog_keys_add(struct catalog_keys *keys, const char *text)
{
	_cleanup_free_ char *file = NULL;
	struct verify_problem problem;
	struct verify_key key;
	struct stat st;
	size_t len;
	int r;

	if (keys->n == CATALOG_KEYS_MAX) {
		log_error("more than %d keys", CATALOG_KEYS_MAX);
		return -E2BIG;
	}
	r = verify_key_parse(text, strlen(text), &key, NULL);
	if (r < 0) {
		r = io_read_regular(text, KEY_FILE_MAX, &file, &len, &st);
		if (r < 0)
			return log_error_errno(r, "%s: neither a public key nor a file that has one",
					       text);
		r = verify_key_parse(file, len, &key, &problem);
		if (r < 0)
			return catalog_problem_log(r, text, &problem);
	}
	keys->keys[keys->n++] = key;
	return 0;
}

char *catalog_signature_path(const char *path)
{
	char *signature;

	return asprintf(&signature, "%s.minisig", path) < 0 ? NULL : signature;
}

static int load_signed(int fd, const char *path, const char *signature,
		       const struct catalog_keys *keys, const struct verify_catalog_rules *rules,
		       struct verify_catalog **out, struct verify_problem *problem)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len;
	int r = io_read_regular(signature, VERIFY_SIGNATURE_MAX, &text, &len, &st);

	if (r == -ENOENT)
		log_error("%s: not signed: there is no %s", path, signature);
	else if (r < 0)
		log_error_errno(r, "%s", signature);
	if (r < 0)
		return r;
	r = verify_catalog_load(fd, text, len, keys->keys, keys->n, rules, out, problem);
	return r < 0 ? catalog_problem_log(r, path, problem) : 0;
}

int catalog_file_load(const char *path, const char *signature, const struct catalog_keys *keys,
		      const struct verify_catalog_rules *rules, struct verify_catalog **out)
{
	static const char *const any_prefix[] = { "" };
	static const struct verify_catalog_rules any = { .prefixes = any_prefix, .n_prefixes = 1 };
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct verify_problem problem = { 0 };
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return log_error_errno(-errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return log_error_errno(S_ISDIR(st.st_mode) ? -EISDIR : -EMEDIUMTYPE, "%s", path);
	if (!rules)
		rules = &any;
	if (keys)
		return load_signed(fd, path, signature, keys, rules, out, &problem);
	r = verify_catalog_load_unsigned(fd, rules, out, &problem);
	return r < 0 ? catalog_problem_log(r, path, &problem) : 0;
}

bool catalog_same_object(const struct verify_object *a, const struct verify_object *b)
{
	const struct digest_pair *x = &a->digests, *y = &b->digests;
	bool common = (x->has_sha256 && y->has_sha256 && digest_equal(&x->sha256, &y->sha256)) ||
		      (x->has_fsverity && y->has_fsverity &&
		       digest_equal(&x->fsverity, &y->fsverity));

	return common && verify_objects_agree(a, b);
}
