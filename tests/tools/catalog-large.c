/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A large catalog, and what it costs.
 *
 *	catalog-large make N FILE [SECRET-KEY]     N objects; with a key (minisign -G -W) FILE.minisig, too
 *	catalog-large measure FILE [PUBLIC-KEY]    loads it, looks up, lists; prints what that took
 */
#include <fcntl.h>
#include <inttypes.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/number.h"
#include "tests/unit/catalog-large.h"

static _Noreturn void die(const char *what, int error)
{
	fprintf(stderr, "catalog-large: %s: %s\n", what, strerror(-error));
	exit(EXIT_FAILURE);
}

static char *text_of(const char *path, size_t *len)
{
	char *text = NULL;
	int r = io_read_file(path, VERIFY_SIGNATURE_MAX, &text, len);

	if (r < 0)
		die(path, r);
	return text;
}

static char *signature_path(const char *file)
{
	char *path;

	if (asprintf(&path, "%s.minisig", file) < 0)
		die(file, -ENOMEM);
	return path;
}

static void sign_file(const char *file, const char *key)
{
	struct verify_problem problem = {0};
	struct verify_secret secret;
	size_t len;
	char *text = text_of(key, &len), *path = signature_path(file), *signature = NULL;
	int fd = open(file, O_RDONLY | O_CLOEXEC), r;
	FILE *out;

	r = verify_secret_parse(text, len, &secret, &problem);
	if (r == 0)
		r = verify_minisign_sign(&secret, fd, "a large catalog", "large", &signature,
					 &problem);
	if (r < 0)
		die(problem.text, r);
	out = fopen(path, "we");
	if (!out || fputs(signature, out) == EOF || fclose(out) == EOF)
		die(path, -errno);
	verify_secret_wipe(&secret);
	free(signature);
	free(text);
	free(path);
	close(fd);
}

static int make(const char *number, const char *file, const char *key)
{
	uint64_t n;
	FILE *out = fopen(file, "we");

	if (!out || number_digits(&number, &n) < 0 || n == 0 || large_write(out, n) < 0 ||
	    fclose(out) == EOF)
		die(file, -EIO);
	if (key)
		sign_file(file, key);
	return EXIT_SUCCESS;
}

static struct verify_catalog *load(const char *file, const char *key_file)
{
	static const char *const any[] = {""};
	const struct verify_catalog_rules rules = {.prefixes = any, .n_prefixes = 1};
	struct verify_problem problem = {0};
	struct verify_catalog *catalog = NULL;
	struct verify_key key;
	int fd = open(file, O_RDONLY | O_CLOEXEC), r;
	size_t len, signature_len;

	if (fd < 0)
		die(file, -errno);
	if (key_file) {
		char *path = signature_path(file), *signature = text_of(path, &signature_len);
		char *text = text_of(key_file, &len);

		r = verify_key_parse(text, len, &key, &problem);
		if (r == 0)
			r = verify_catalog_load(fd, signature, signature_len, &key, 1, &rules,
						&catalog, &problem);
		free(text);
		free(signature);
		free(path);
	} else {
		r = verify_catalog_load_unsigned(fd, &rules, &catalog, &problem);
	}
	if (r < 0) {
		fprintf(stderr, "%s:%u: %s\n", file, problem.line, problem.text);
		exit(EXIT_FAILURE);
	}
	close(fd);
	return catalog;
}

static void print_memory(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, "VmHWM", 5) || !strncmp(line, "VmRSS", 5))
			fputs(line, stdout);
	if (status)
		fclose(status);
}

/* What look-ups take, whatever else the machine does. */
static int64_t processor_us(void)
{
	return (int64_t)((double)clock() * 1e6 / CLOCKS_PER_SEC);
}

static void measure_find(const struct verify_catalog *catalog, enum digest_kind kind)
{
	size_t n = verify_catalog_info(catalog)->n_objects;
	struct verify_object object;
	int64_t start = processor_us(), missing = 0, took;

	for (uint64_t i = 0; i < n; i++) {
		struct digest_name name = {kind, large_digest(i * 7919 % n, kind)};

		missing += verify_catalog_find(catalog, &name, &object) != 0;
	}
	took = processor_us() - start;
	printf("find by %s: %.2f us each, %" PRId64 " not found\n",
	       kind == DIGEST_SHA256 ? "SHA-256" : "fs-verity", (double)took / (double)n, missing);
}

static int count(void *arg, const struct verify_place *place)
{
	(*(size_t *)arg)++;
	return 0;
}

static int count_match(void *arg, const char *name, const struct verify_object *object)
{
	(*(size_t *)arg)++;
	return 0;
}

static void measure_names(const struct verify_catalog *catalog)
{
	static const char *const folders[] = {"", "org-500", "tags",
					      "org-500/model-000042-instruct"};
	size_t n = verify_catalog_info(catalog)->n_objects, matched = 0;
	int64_t start = processor_us(), missing = 0;
	struct verify_place place;
	char name[128];

	for (uint64_t i = 0; i < n; i++) {
		large_name(i * 7919 % n, name);
		missing += verify_catalog_lookup(catalog, name, &place) != 0;
	}
	printf("find by name: %.2f us each, %" PRId64 " not found\n",
	       (double)(processor_us() - start) / (double)n, missing);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		size_t places = 0;
		int r;

		start = clock_us();
		r = verify_catalog_list(catalog, folders[i], NULL, count, &places);
		printf("list \"%s\": %zu places, %" PRId64 " us (%d)\n", folders[i], places,
		       clock_us() - start, r);
	}
	start = clock_us();
	if (verify_catalog_match(catalog, "org-5*/*", count_match, &matched) == 0)
		printf("match: %zu names, %" PRId64 " us\n", matched, clock_us() - start);
}

static int measure(const char *file, const char *key)
{
	int64_t start = clock_us();
	struct verify_catalog *catalog = load(file, key);
	const struct verify_catalog_info *info = verify_catalog_info(catalog);

	printf("%zu objects, %zu names: loaded in %.2f s (processor: %.2f s)\n", info->n_objects,
	       info->n_names, (double)(clock_us() - start) / 1e6,
	       (double)clock() / CLOCKS_PER_SEC);
	print_memory();
	measure_find(catalog, DIGEST_SHA256);
	measure_find(catalog, DIGEST_FSVERITY);
	measure_names(catalog);
	verify_catalog_unref(catalog);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "make"))
		return make(argv[2], argv[3], argv[4]);
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "measure"))
		return measure(argv[2], argv[3]);
	fputs("usage: catalog-large make N FILE [SECRET-KEY]\n"
	      "       catalog-large measure FILE [PUBLIC-KEY]\n",
	      stderr);
	return 2;
}
