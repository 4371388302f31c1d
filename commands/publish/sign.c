/* SPDX-License-Identifier: Apache-2.0 */
/* Signing: here, with a key that has no password, or by minisign, which asks for it on the terminal. */
#include "commands/publish/publish.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include "common/io.h"
#include "common/log.h"

static int read_secret(struct publish_signer *signer, struct verify_problem *problem)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len;
	int r = io_read_regular(signer->key_file, VERIFY_SECRET_MAX, &text, &len, &st);

	if (r < 0)
		return log_error_errno(r, "%s", signer->key_file);
	r = verify_secret_parse(text, len, &signer->secret, problem);
	explicit_bzero(text, len);
	if (r < 0 && r != -EACCES)
		return catalog_problem_log(r, signer->key_file, problem);
	return r;
}

/* Of a key with a password nobody but minisign knows the other half: it is asked for, or lies beside (X.key, X.pub). */
static int add_public_beside(struct publish_signer *signer)
{
	size_t len = strlen(signer->key_file);
	_cleanup_free_ char *path = malloc(len + sizeof(".pub"));

	if (!path)
		return log_error_errno(-ENOMEM, "%s", signer->key_file);
	strcpy(path, signer->key_file);
	if (len > 4 && !strcmp(path + len - 4, ".key"))
		path[len - 4] = '\0';
	strcat(path, ".pub");
	if (access(path, F_OK) == 0)
		return catalog_keys_add(&signer->keys, path);
	log_error("%s has a password, and there is no %s: say the public key with --public",
		  signer->key_file, path);
	return -ENOKEY;
}

int publish_signer_init(struct publish_signer *signer, const char *key_file, const char *program,
			const char *const *publics, size_t n_publics)
{
	struct verify_problem problem;
	int r = 0;

	signer->key_file = key_file;
	signer->program = program;
	for (size_t i = 0; r == 0 && i < n_publics; i++)
		r = catalog_keys_add(&signer->keys, publics[i]);
	if (r < 0 || !key_file)
		return r;
	r = read_secret(signer, &problem);
	if (r == -EACCES) {
		if (!program)
			signer->program = "minisign";
		return n_publics ? 0 : add_public_beside(signer);
	}
	if (r < 0)
		return r;
	if (signer->keys.n == CATALOG_KEYS_MAX)
		signer->keys.n--;
	signer->keys.keys[signer->keys.n++] = signer->secret.key;
	return 0;
}

/* ---- signing here ---- */

static int write_signature(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : io_write(fd, text, strlen(text));

	if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
		r = -errno;
	return r < 0 ? log_error_errno(r, "%s", path) : 0;
}

static int sign_here(const struct publish *publish, const char *catalog, const char *signature,
		     const char *untrusted, const char *trusted)
{
	_cleanup_close_ int fd = open(catalog, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	struct verify_problem problem;
	int r;

	if (fd < 0)
		return log_error_errno(-errno, "%s", catalog);
	r = verify_minisign_sign(&publish->signer.secret, fd, untrusted, trusted, &text, &problem);
	return r < 0 ? catalog_problem_log(r, catalog, &problem) : write_signature(signature, text);
}

/* ---- minisign ---- */

/* What it says is for people: with --json, stdout is not. */
static int spawn(const char *program, char *const *argv, pid_t *out)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r != 0)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnp(out, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static int sign_with(const struct publish *publish, const char *catalog, const char *signature,
		     const char *untrusted, const char *trusted)
{
	const char *program = publish->signer.program;
	const char *const argv[] = { program, "-S", "-s", publish->signer.key_file, "-m", catalog,
				     "-x", signature, "-c", untrusted, "-t", trusted, NULL };
	int status, r;
	pid_t pid;

	r = spawn(program, (char *const *)argv, &pid);
	if (r < 0)
		return log_error_errno(r, "%s", program);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return log_error_errno(-errno, "%s", program);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && access(signature, F_OK) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_error("%s: it made no signature", program);
	else
		log_error("%s: it did not sign, and nothing is published; what was hashed is kept",
			  program);
	return -EKEYREJECTED;
}

static int sync_signature(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? log_error_errno(-errno, "%s", path) :
								 0;
}

int publish_sign(const struct publish *publish, const char *catalog, const char *signature)
{
	char untrusted[128], trusted[256], date[VERIFY_DATE_SIZE];
	int r;

	r = verify_date_format(publish->expires, date);
	if (r < 0)
		return log_error_errno(r, "%s", catalog);
	snprintf(untrusted, sizeof(untrusted), "signature of the catalog %s", publish->name);
	snprintf(trusted, sizeof(trusted), "catalog %s serial %llu expires %s", publish->name,
		 (unsigned long long)publish->serial, date);
	if (!publish->signer.program)
		return sign_here(publish, catalog, signature, untrusted, trusted);
	r = sign_with(publish, catalog, signature, untrusted, trusted);
	return r < 0 ? r : sync_signature(signature);
}
