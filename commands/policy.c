/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "catalogs/catalogs.h"
#include "commands/commands.h"
#include "common/log.h"
#include "common/number.h"
#include "policy/policy.h"

#define MESSAGE_SIZE (sizeof(struct policy_error) + 32)

/* What was taken as empty is said, but no error. */
static int load(const char *file, const struct policy_names *names, struct policy **out)
{
	char message[MESSAGE_SIZE];
	const struct policy_error *warning;
	struct policy_error error;
	int r;

	r = policy_load(file, names, out, &error);
	if (r < 0) {
		policy_error_format(&error, message, sizeof(message));
		log_error("%s", message);
		return r;
	}
	for (size_t i = 0; (warning = policy_warning(*out, i)); i++) {
		policy_error_format(warning, message, sizeof(message));
		log_warning("%s; the set is taken as empty", message);
	}
	return 0;
}

static int check(const char *file, const struct policy_names *names)
{
	struct policy *policy;

	if (load(file, names, &policy) < 0)
		return EXIT_FAILED;
	policy_unref(policy);
	printf("%s: good\n", file);
	return EXIT_DONE;
}

static int print(const char *file, const struct policy_names *names)
{
	_cleanup_free_ char *text = NULL;
	struct policy *policy;
	int r;

	if (load(file, names, &policy) < 0)
		return EXIT_FAILED;
	r = policy_print(policy, &text);
	policy_unref(policy);
	if (r < 0) {
		log_error_errno(r, "%s", file);
		return EXIT_FAILED;
	}
	fputs(text, stdout);
	return EXIT_DONE;
}

static void print_decision(const struct policy_decision *decision,
			   const struct policy_probes *probes)
{
	static const char *const verdicts[] = {"deny", "allow", "ask"};
	const char *before = " with ";
	char time[NUMBER_TEXT_SIZE];

	printf("%s ", verdicts[decision->verdict]);
	if (decision->where.file)
		printf("%s:%u", decision->where.file, decision->where.line);
	else
		printf("(no rule matches)");
	if (decision->wait_ms) {
		number_time_format(decision->wait_ms, time);
		printf("%swait=%s", before, time);
		before = ",";
	}
	if (decision->cached) {
		printf("%scached", before);
		before = ",";
	}
	if (decision->list) {
		printf("%slist", before);
		before = ",";
	}
	if (decision->quota) {
		printf("%squota=%" PRIu64, before, decision->quota);
		before = ",";
	}
	if (decision->verdict != POLICY_DENY && probes->count) {
		number_time_format(probes->window_ms, time);
		printf("%sprobes=%u/%s", before, probes->count, time);
	}
	printf("%s\n", decision->shared ? ", shared" : "");
}

static int test(const char *file, const struct policy_names *names, const char *origin_text,
		const char *digest_text)
{
	char origin[POLICY_ORIGIN_SIZE];
	struct policy_decision decision;
	struct policy_probes probes;
	struct digest_name name;
	struct digest_pair pair;
	struct policy *policy;

	if (policy_origin_parse(origin_text, origin) < 0) {
		log_error("not an origin: %s", origin_text);
		return EXIT_USAGE;
	}
	if (digest_name_parse(digest_text, &name) < 0) {
		log_error("not a digest: %s", digest_text);
		return EXIT_USAGE;
	}
	if (load(file, names, &policy) < 0)
		return EXIT_FAILED;
	pair = digest_pair_of(&name);
	decision = policy_decide(policy, origin, &pair);
	probes = policy_probes(policy, origin);
	print_decision(&decision, &probes);
	policy_unref(policy);
	return decision.verdict == POLICY_ALLOW ? EXIT_DONE : EXIT_FAILED;
}

static int run(const struct command *command, int argc, char **argv, const struct policy_names *names)
{
	if (argc == 2 && !strcmp(argv[0], "check"))
		return check(argv[1], names);
	if (argc == 2 && !strcmp(argv[0], "print"))
		return print(argv[1], names);
	if (argc == 4 && !strcmp(argv[0], "test"))
		return test(argv[1], names, argv[2], argv[3]);
	return command_usage(command);
}

int command_policy(const struct command *command, int argc, char **argv)
{
	struct settings settings = {0};
	struct catalogs_later catalogs;
	struct config config;
	int status;

	status = command_begin(command, argc, argv, &settings, &config, NULL);
	if (status != EXIT_DONE)
		return status;
	/* Of the store that is meant: what the policy names is looked up in them. */
	catalogs_later_init(&catalogs, &config, settings.store);
	status = run(command, argc - optind, argv + optind, &catalogs.names);
	catalogs_later_release(&catalogs);
	return command_end(&settings, &config, status);
}
