/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "commands/publish/publish.h"
#include "common/log.h"
#include "common/number.h"

#define DEFAULT_EXPIRES "90d"
#define JOBS_MAX	64

/* What is said with options, as text. */
struct wanted {
	const char *key_file, *sign_with, *prefix, *serial, *expires, *jobs;
	const char *publics[CATALOG_KEYS_MAX];
	size_t n_publics;
	bool unsigned_;
};

enum option_code {
	OPTION_URL = 256,
	OPTION_KEY,
	OPTION_PUBLIC,
	OPTION_SIGN_WITH,
	OPTION_UNSIGNED,
	OPTION_NAME,
	OPTION_PREFIX,
	OPTION_SERIAL,
	OPTION_EXPIRES,
	OPTION_REVISION,
	OPTION_IN_PLACE,
	OPTION_KEEP,
	OPTION_JOBS,
	OPTION_JSON,
};

static const struct option options[] = {
	{ "out", required_argument, NULL, 'o' },
	{ "url", required_argument, NULL, OPTION_URL },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "public", required_argument, NULL, OPTION_PUBLIC },
	{ "sign-with", required_argument, NULL, OPTION_SIGN_WITH },
	{ "unsigned", no_argument, NULL, OPTION_UNSIGNED },
	{ "name", required_argument, NULL, OPTION_NAME },
	{ "prefix", required_argument, NULL, OPTION_PREFIX },
	{ "serial", required_argument, NULL, OPTION_SERIAL },
	{ "expires", required_argument, NULL, OPTION_EXPIRES },
	{ "revision", required_argument, NULL, OPTION_REVISION },
	{ "in-place", no_argument, NULL, OPTION_IN_PLACE },
	{ "keep", no_argument, NULL, OPTION_KEEP },
	{ "jobs", required_argument, NULL, OPTION_JOBS },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ 0 },
};

static bool take_text(int code, struct publish *publish, struct wanted *wanted)
{
	const struct {
		int code;
		const char **text;
	} texts[] = {
		{ 'o', &publish->out },
		{ OPTION_URL, &publish->url },
		{ OPTION_NAME, &publish->name },
		{ OPTION_REVISION, &publish->revision },
		{ OPTION_KEY, &wanted->key_file },
		{ OPTION_SIGN_WITH, &wanted->sign_with },
		{ OPTION_PREFIX, &wanted->prefix },
		{ OPTION_SERIAL, &wanted->serial },
		{ OPTION_EXPIRES, &wanted->expires },
		{ OPTION_JOBS, &wanted->jobs },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].code == code) {
			*texts[i].text = optarg;
			return true;
		}
	return false;
}

static bool take_option(int code, struct publish *publish, struct wanted *wanted)
{
	switch (code) {
	case OPTION_UNSIGNED:
		wanted->unsigned_ = true;
		return true;
	case OPTION_IN_PLACE:
		publish->in_place = true;
		return true;
	case OPTION_KEEP:
		publish->keep = true;
		return true;
	case OPTION_JSON:
		publish->json = true;
		return true;
	case OPTION_PUBLIC:
		if (wanted->n_publics == CATALOG_KEYS_MAX)
			return false;
		wanted->publics[wanted->n_publics++] = optarg;
		return true;
	default:
		return take_text(code, publish, wanted);
	}
}

/* ---- values ---- */

static int refuse(const char *option, const char *value, const char *what)
{
	log_error("%s %s: %s", option, value, what);
	return -EINVAL;
}

/* "90d" from now on, "2027-01-01", "2027-01-01T00:00:00Z". */
static int parse_expires(const char *text, int64_t *out)
{
	int64_t now = time(NULL), ms, seconds;
	char date[VERIFY_DATE_SIZE];

	if (number_time(text, &ms) == 0) {
		seconds = ms / 1000 < INT64_MAX - now ? now + ms / 1000 : INT64_MAX;
	} else {
		snprintf(date, sizeof(date), "%.*s%s", VERIFY_DATE_SIZE - 12, text,
			 strlen(text) == strlen("2027-01-01") ? "T00:00:00Z" : "");
		if (verify_date_parse(date, strlen(date), &seconds) < 0)
			return refuse("--expires", text, "neither a time like 90d nor a day like 2027-01-01");
	}
	if (seconds <= now || verify_date_format(seconds, date) < 0)
		return refuse("--expires", text, "is past, or too far away");
	*out = seconds;
	return 0;
}

static int parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
			uint64_t *out)
{
	const char *rest = text;
	uint64_t number;

	if (!text)
		return 0;
	if (number_digits(&rest, &number) < 0 || *rest || number < min || number > max)
		return refuse(option, text, "no such number is possible");
	*out = number;
	return 0;
}

static int parse_names(struct publish *publish, const struct wanted *wanted, char **prefix)
{
	const char *refused = verify_label_refused(publish->name);
	const char *given = wanted->prefix ? wanted->prefix : "";
	size_t len = strlen(given);

	if (refused)
		return refuse("--name", publish->name, refused);
	if (publish->revision && (strpbrk(publish->revision, "/@") ||
				  verify_name_refused(publish->revision, strlen(publish->revision))))
		return refuse("--revision", publish->revision, "cannot be a part of a name");
	if (len > 0 && given[len - 1] == '/')
		len--;
	refused = len > 0 ? verify_name_refused(given, len) : NULL;
	if (refused)
		return refuse("--prefix", given, refused);
	if (asprintf(prefix, "%.*s%s", (int)len, given, len > 0 ? "/" : "") < 0) {
		*prefix = NULL;
		return log_error_errno(-ENOMEM, "--prefix");
	}
	publish->prefix = *prefix;
	return 0;
}

static int parse_url(struct publish *publish, char **url)
{
	const char *refused;
	size_t len;

	if (!publish->url)
		return 0;
	refused = !strstr(publish->url, "://")	? "is not absolute: https://HOST/PATH" :
		  strpbrk(publish->url, "?#") ? "has a query or a fragment, which paths cannot follow" :
						verify_url_refused(publish->url);
	if (refused)
		return refuse("--url", publish->url, refused);
	*url = strdup(publish->url);
	if (!*url)
		return log_error_errno(-ENOMEM, "--url");
	len = strlen(*url);
	while (len > 0 && (*url)[len - 1] == '/')
		(*url)[--len] = '\0';
	publish->url = *url;
	return 0;
}

static int parse_values(struct publish *publish, const struct wanted *wanted, char **prefix,
			char **url)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t jobs = processors < 1 ? 1 : processors > JOBS_MAX ? JOBS_MAX : (uint64_t)processors;
	int r = parse_number("--jobs", wanted->jobs, 1, JOBS_MAX, &jobs);

	publish->jobs = (unsigned int)jobs;
	if (r == 0)
		r = parse_number("--serial", wanted->serial, 1, INT64_MAX, &publish->serial);
	if (r == 0)
		r = parse_expires(wanted->expires, &publish->expires);
	if (r == 0)
		r = parse_names(publish, wanted, prefix);
	return r < 0 ? r : parse_url(publish, url);
}

/* ---- doing it ---- */

static int publish_all(struct publish *publish)
{
	int r = publish_catalog_begin(publish);

	if (r == 0)
		r = publish_state_open(publish);
	if (r == 0)
		r = publish_scan(publish);
	if (r == 0)
		r = publish_objects(publish);
	if (r == 0)
		r = publish_catalog_end(publish);
	return r < 0 ? r : publish_state_write(publish);
}

static void print(const struct publish *publish)
{
	size_t n_cloned = atomic_load(&publish->n_cloned), n_copied = atomic_load(&publish->n_copied);
	char date[VERIFY_DATE_SIZE];
	json_t *json;

	if (verify_date_format(publish->expires, date) < 0)
		return;
	if (!publish->json) {
		printf("%s: serial %llu, expires %s, %zu object%s, %zu name%s%s\n",
		       publish->catalog_path, (unsigned long long)publish->serial, date,
		       publish->n_objects, command_plural((json_int_t)publish->n_objects), publish->n_names,
		       command_plural((json_int_t)publish->n_names),
		       publish->signer.key_file ? "" : ", not signed");
		printf("%zu file%s hashed, %zu known; %zu object%s cloned, %zu copied\n",
		       publish->n_hashed, command_plural((json_int_t)publish->n_hashed), publish->n_files - publish->n_hashed, n_cloned,
		       command_plural((json_int_t)n_cloned), n_copied);
		return;
	}
	json = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
			 "catalog", publish->catalog_path, "name", publish->name,
			 "serial", (json_int_t)publish->serial, "expires", date,
			 "objects", (json_int_t)publish->n_objects, "names", (json_int_t)publish->n_names,
			 "hashed", (json_int_t)publish->n_hashed,
			 "known", (json_int_t)(publish->n_files - publish->n_hashed),
			 "cloned", (json_int_t)n_cloned, "copied", (json_int_t)n_copied,
			 "hidden", (json_int_t)publish->n_skipped,
			 "signed", publish->signer.key_file != NULL);
	command_print_json(json);
	json_decref(json);
}

static void release(struct publish *publish)
{
	for (size_t i = 0; i < publish->n_files; i++) {
		free(publish->files[i].path);
		free(publish->files[i].real);
		free(publish->files[i].name);
	}
	free(publish->files);
	publish_state_free(publish->state);
	verify_catalog_unref(publish->old);
	verify_secret_wipe(&publish->signer.secret);
	free(publish->real_dir);
	free(publish->work_dir);
	free(publish->catalog_path);
	free(publish->signature_path);
	if (publish->lock >= 0)
		close(publish->lock);
	pthread_cond_destroy(&publish->changed);
	pthread_mutex_destroy(&publish->mutex);
}

int command_publish(const struct command *command, int argc, char **argv)
{
	struct publish publish = { .name = "catalog", .lock = -1 };
	struct wanted wanted = { .expires = DEFAULT_EXPIRES };
	_cleanup_free_ char *prefix = NULL, *url = NULL;
	const char *missing;
	int code, r;

	optind = 1;
	while ((code = getopt_long(argc, argv, "o:", options, NULL)) != -1)
		if (!take_option(code, &publish, &wanted))
			return command_usage(command);
	/* In place there is no telling where the models are from the catalog. */
	missing = optind + 1 != argc			       ? "one folder has to be named" :
		  !publish.out				       ? "-o says where to" :
		  publish.in_place && !publish.url	       ? "--in-place needs --url, which says where the folder is served" :
		  wanted.unsigned_ == (wanted.key_file != NULL) ? "either --key or --unsigned" :
								 NULL;
	if (missing) {
		log_error("publish: %s", missing);
		return command_usage(command);
	}
	publish.dir = argv[optind];
	if (parse_values(&publish, &wanted, &prefix, &url) < 0)
		return EXIT_USAGE;
	pthread_mutex_init(&publish.mutex, NULL);
	pthread_cond_init(&publish.changed, NULL);
	r = publish_signer_init(&publish.signer, wanted.key_file, wanted.sign_with, wanted.publics,
				wanted.n_publics);
	if (r == 0)
		r = publish_all(&publish);
	if (r == 0)
		print(&publish);
	release(&publish);
	return r < 0 || fflush(stdout) == EOF ? EXIT_FAILED : EXIT_DONE;
}
