/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at catalogs: files that somebody has, or is about to publish. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "commands/catalog-file.h"
#include "commands/commands.h"
#include "common/log.h"

#define PREFIXES_MAX 16

static const struct command subcommands[] = {
	{ "catalog verify",
	  "FILE (--key KEY... | --unsigned) [--prefix PREFIX]... [--signature FILE] [--json]",
	  "is it whole, and signed?", command_catalog_verify },
	{ "catalog show", "FILE [PATTERN | DIGEST] [--json]", "what is in it", command_catalog_show },
	{ "catalog list", "[--json]", "those of the store, and how they are", command_catalog_list },
	{ "catalog refresh", "[--json] [NAME]", "ask for them now", command_catalog_refresh },
	{ "catalog diff", "OLD NEW [--json]", "what became of it", command_catalog_diff },
};

int command_catalog(const struct command *command, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(subcommands); i++)
		if (!strcmp(strchr(subcommands[i].name, ' ') + 1, argv[1]))
			return subcommands[i].run(&subcommands[i], argc - 1, argv + 1);
	for (size_t i = 0; i < ARRAY_SIZE(subcommands); i++)
		command_usage(&subcommands[i]);
	return EXIT_USAGE;
}

/* ---- verify ---- */

struct verifying {
	const char *signature;
	struct catalog_keys keys;
	const char *prefixes[PREFIXES_MAX];
	size_t n_prefixes;
	bool unsigned_, json;
};

static const struct option verify_options[] = {
	{ "key", required_argument, NULL, 'k' },     { "prefix", required_argument, NULL, 'p' },
	{ "signature", required_argument, NULL, 's' }, { "unsigned", no_argument, NULL, 'u' },
	{ "json", no_argument, NULL, 'j' },	     { 0 },
};

/* An exit status. */
static int take_option(const struct command *command, int code, struct verifying *verifying)
{
	switch (code) {
	case 'k':
		return catalog_keys_add(&verifying->keys, optarg) < 0 ? EXIT_FAILED : EXIT_DONE;
	case 'p':
		if (verifying->n_prefixes == PREFIXES_MAX)
			return command_usage(command);
		verifying->prefixes[verifying->n_prefixes++] = optarg;
		return EXIT_DONE;
	case 's':
		verifying->signature = optarg;
		return EXIT_DONE;
	case 'u':
		verifying->unsigned_ = true;
		return EXIT_DONE;
	case 'j':
		verifying->json = true;
		return EXIT_DONE;
	default:
		return command_usage(command);
	}
}

static void print_info(const struct verify_catalog_info *info, bool json)
{
	char id[VERIFY_KEY_ID_SIZE], date[VERIFY_DATE_SIZE];
	json_t *object;

	verify_key_id(&info->key, id);
	if (verify_date_format(info->expires, date) < 0)
		strcpy(date, "?");
	if (!json) {
		printf("catalog %s\nserial %llu\nexpires %s\nobjects %zu\nnames %zu\n", info->name,
		       (unsigned long long)info->serial, date, info->n_objects, info->n_names);
		if (info->trusted_comment)
			printf("key %s\ntrusted comment %s\n", id, info->trusted_comment);
		return;
	}
	object = json_pack("{s:s, s:I, s:s, s:I, s:I, s:s?, s:s?}", "name", info->name,
			   "serial", (json_int_t)info->serial, "expires", date,
			   "objects", (json_int_t)info->n_objects, "names", (json_int_t)info->n_names,
			   "key", info->trusted_comment ? id : NULL,
			   "comment", info->trusted_comment);
	command_print_json(object);
	json_decref(object);
}

static int verify(const char *path, struct verifying *verifying)
{
	_cleanup_(cleanup_verify_catalog) struct verify_catalog *catalog = NULL;
	_cleanup_free_ char *beside = catalog_signature_path(path);
	const struct verify_catalog_info *info;
	struct verify_catalog_rules rules = { .prefixes = verifying->prefixes };

	if (!beside)
		return log_error_errno(-ENOMEM, "%s", path);
	if (verifying->n_prefixes == 0)
		verifying->prefixes[verifying->n_prefixes++] = "";
	rules.n_prefixes = verifying->n_prefixes;
	if (catalog_file_load(path, verifying->signature ? verifying->signature : beside,
			      verifying->unsigned_ ? NULL : &verifying->keys, &rules, &catalog) < 0)
		return -EINVAL;
	info = verify_catalog_info(catalog);
	print_info(info, verifying->json);
	if (info->expires > time(NULL))
		return 0;
	log_error("%s: it has expired", path);
	return -ESTALE;
}

int command_catalog_verify(const struct command *command, int argc, char **argv)
{
	struct verifying verifying = { 0 };
	int code, status = EXIT_DONE;

	optind = 1;
	while (status == EXIT_DONE && (code = getopt_long(argc, argv, "", verify_options, NULL)) != -1)
		status = take_option(command, code, &verifying);
	if (status != EXIT_DONE)
		return status;
	if (optind + 1 != argc || verifying.unsigned_ == (verifying.keys.n > 0) ||
	    (verifying.unsigned_ && verifying.signature))
		return command_usage(command);
	if (verify(argv[optind], &verifying) < 0)
		status = EXIT_FAILED;
	return fflush(stdout) == EOF ? EXIT_FAILED : status;
}

/* ---- show ---- */

static const struct option json_options[] = { { "json", no_argument, NULL, 'j' }, { 0 } };

/* [--json], and the arguments behind it: MIN to MAX. EXIT_DONE, or what to exit with. */
static int take_json(const struct command *command, int argc, char **argv, int min, int max,
		     bool *json)
{
	int code;

	optind = 1;
	while ((code = getopt_long(argc, argv, "", json_options, NULL)) != -1) {
		if (code != 'j')
			return command_usage(command);
		*json = true;
	}
	return argc - optind < min || argc - optind > max ? command_usage(command) : EXIT_DONE;
}

struct showing {
	const struct verify_catalog *catalog;
	bool json;
	size_t n;
};

static json_t *places_of(const struct verify_catalog *catalog, const struct verify_object *object)
{
	char url[VERIFY_URL_MAX + 1];
	json_t *urls = json_array();

	for (unsigned int i = 0; i < object->n_urls; i++)
		json_array_append_new(urls, json_string(verify_object_url(catalog, object, i, url)));
	return urls;
}

static void print_json(const struct showing *showing, const char *name,
		       const struct verify_object *object)
{
	char sha256[DIGEST_HEX_SIZE], fsverity[DIGEST_HEX_SIZE], tree[VERIFY_URL_MAX + 1];
	json_t *json;

	digest_to_hex(&object->digests.sha256, sha256);
	digest_to_hex(&object->digests.fsverity, fsverity);
	json = json_pack("{s:s?, s:s?, s:s?, s:I, s:o, s:s?}", "name", name,
			 "sha256", object->digests.has_sha256 ? sha256 : NULL,
			 "fsverity", object->digests.has_fsverity ? fsverity : NULL,
			 "size", (json_int_t)object->size,
			 "urls", places_of(showing->catalog, object),
			 "tree", object->has_tree ? verify_object_tree(showing->catalog, object, tree) :
						    NULL);
	command_print_json(json);
	json_decref(json);
}

static int show_name(void *arg, const char *name, const struct verify_object *object)
{
	struct digest_name digest = digest_pair_name(&object->digests);
	struct showing *showing = arg;
	char text[DIGEST_NAME_SIZE];

	showing->n++;
	if (showing->json) {
		print_json(showing, name, object);
		return 0;
	}
	digest_name_format(&digest, text);
	printf("%s %12llu %s\n", text, (unsigned long long)object->size, name ? name : "-");
	return 0;
}

/* All that is known of one. */
static void show_object(struct showing *showing, const struct verify_object *object)
{
	char hex[DIGEST_HEX_SIZE], url[VERIFY_URL_MAX + 1];

	for (unsigned int i = 0; showing->json && i < object->n_names; i++)
		show_name(showing, verify_object_name(showing->catalog, object, i), object);
	if (showing->json && object->n_names == 0)
		show_name(showing, NULL, object);
	showing->n = 1;
	if (showing->json)
		return;
	if (object->digests.has_sha256) {
		digest_to_hex(&object->digests.sha256, hex);
		printf("sha256 %s\n", hex);
	}
	if (object->digests.has_fsverity) {
		digest_to_hex(&object->digests.fsverity, hex);
		printf("fsverity %s\n", hex);
	}
	printf("size %llu\n", (unsigned long long)object->size);
	for (unsigned int i = 0; i < object->n_urls; i++)
		printf("url %s\n", verify_object_url(showing->catalog, object, i, url));
	if (object->has_tree)
		printf("tree %s\n", verify_object_tree(showing->catalog, object, url));
	for (unsigned int i = 0; i < object->n_names; i++)
		printf("name %s\n", verify_object_name(showing->catalog, object, i));
}

static void show_all(struct showing *showing)
{
	size_t n = verify_catalog_info(showing->catalog)->n_objects;
	struct verify_object object;

	for (size_t i = 0; i < n; i++) {
		verify_catalog_object(showing->catalog, i, &object);
		for (unsigned int k = 0; k < object.n_names; k++)
			show_name(showing, verify_object_name(showing->catalog, &object, k), &object);
		if (object.n_names == 0)
			show_name(showing, NULL, &object);
	}
}

static int show(const char *path, const char *wanted, bool json)
{
	_cleanup_(cleanup_verify_catalog) struct verify_catalog *catalog = NULL;
	struct showing showing = { .json = json };
	struct verify_object object;
	struct digest_name digest;

	if (catalog_file_load(path, NULL, NULL, NULL, &catalog) < 0)
		return -EINVAL;
	showing.catalog = catalog;
	if (!wanted) {
		show_all(&showing);
		return 0;
	}
	if (digest_name_parse(wanted, &digest) == 0) {
		if (verify_catalog_find(catalog, &digest, &object) == 0)
			show_object(&showing, &object);
	} else if (verify_catalog_match(catalog, wanted, show_name, &showing) < 0) {
		log_error("%s: not a pattern", wanted);
		return -EINVAL;
	}
	if (showing.n > 0)
		return 0;
	log_error("%s: nothing in there is %s", path, wanted);
	return -ENOENT;
}

int command_catalog_show(const struct command *command, int argc, char **argv)
{
	bool json = false;
	int status = take_json(command, argc, argv, 1, 2, &json);

	if (status != EXIT_DONE)
		return status;
	if (show(argv[optind], argv[optind + 1], json) < 0)
		status = EXIT_FAILED;
	return fflush(stdout) == EOF ? EXIT_FAILED : status;
}

/* ---- diff ---- */

int command_catalog_diff(const struct command *command, int argc, char **argv)
{
	_cleanup_(cleanup_verify_catalog) struct verify_catalog *old = NULL, *new = NULL;
	bool json = false;
	int status = take_json(command, argc, argv, 2, 2, &json);

	if (status != EXIT_DONE)
		return status;
	if (catalog_file_load(argv[optind], NULL, NULL, NULL, &old) < 0 ||
	    catalog_file_load(argv[optind + 1], NULL, NULL, NULL, &new) < 0 ||
	    catalog_diff(old, new, json) > 0)
		status = EXIT_FAILED;
	return fflush(stdout) == EOF ? EXIT_FAILED : status;
}
