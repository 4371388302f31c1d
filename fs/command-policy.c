/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "common/log.h"
#include "fs/access.h"
#include "fs/commands.h"

static int check(const char *file)
{
	struct policy *policy;

	if (policy_load_or_builtin(file, &policy) < 0)
		return EXIT_FAILED;
	policy_unref(policy);
	printf("%s: good\n", file);
	return EXIT_DONE;
}

static void print_decision(const struct policy_decision *decision)
{
	const char *before = " with ";

	printf("%s ", decision->verdict == POLICY_ALLOW ? "allow" :
	       decision->verdict == POLICY_ASK	 ? "ask" :
						   "deny");
	if (decision->where.file)
		printf("%s:%u", decision->where.file, decision->where.line);
	else
		printf("(no rule matches)");
	if (decision->cached) {
		printf("%scached", before);
		before = ",";
	}
	if (decision->list) {
		printf("%slist", before);
		before = ",";
	}
	if (decision->quota)
		printf("%squota=%" PRIu64, before, decision->quota);
	printf("\n");
}

static int test(const char *file, const char *origin_text, const char *digest_text)
{
	char origin[POLICY_ORIGIN_SIZE];
	struct policy_decision decision;
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
	if (policy_load_or_builtin(file, &policy) < 0)
		return EXIT_FAILED;
	pair = digest_pair_of(&name);
	decision = policy_decide(policy, origin, &pair);
	print_decision(&decision);
	policy_unref(policy);
	return decision.verdict == POLICY_ALLOW ? EXIT_DONE : EXIT_FAILED;
}

int command_policy(const struct command *command, int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "test"))
		return test(argv[2], argv[3], argv[4]);
	return command_usage(command);
}
