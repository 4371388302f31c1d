/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What drives a fuzz target in an ordinary build: each file of its corpus once, in TAP.
 *
 *	test-corpus-WHAT             all of tests/fuzz/corpus/WHAT
 *	test-corpus-WHAT FILE…       these, such as one that a fuzzer found
 *
 * The target aborts where something does not hold: the file is the one named last, the plan is not
 *kept.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/io.h"

#define PREFIX	  "test-corpus-"
#define INPUT_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay(const char *path, unsigned int number)
{
	_cleanup_free_ char *text = NULL, *exact = NULL;
	size_t len = 0;
	int r;

	printf("# %s\n", path);
	fflush(stdout);
	r = io_read_file(path, INPUT_MAX, &text, &len);
	/* Of its own length, so that the sanitizers see who reads past it. */
	if (r == 0 && !(exact = malloc(len ? len : 1)))
		r = -ENOMEM;
	if (r < 0) {
		printf("not ok %u - %s: %s\n", number, path, strerror(-r));
		exit(EXIT_FAILURE);
	}
	memcpy(exact, text, len);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, len);
	printf("ok %u - %s\n", number, path);
	fflush(stdout);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_input, alphasort);

	if (n <= 0) {
		printf("Bail out! %s: %s\n", folder, n < 0 ? strerror(errno) : "no file");
		return EXIT_FAILURE;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
			return EXIT_FAILURE;
		free(entries[i]);
		replay(path, (unsigned int)i + 1);
	}
	free(entries);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *folder = NULL;
	const char *what = strstr(program_invocation_short_name, PREFIX);

	if (argc > 1) {
		printf("1..%d\n", argc - 1);
		for (int i = 1; i < argc; i++)
			replay(argv[i], (unsigned int)i);
		return EXIT_SUCCESS;
	}
	if (!what || asprintf(&folder, CORPUS "/%s", what + strlen(PREFIX)) < 0) {
		printf("Bail out! %s is not called %s…\n", program_invocation_short_name, PREFIX);
		return EXIT_FAILURE;
	}
	return replay_folder(folder);
}
