/* SPDX-License-Identifier: Apache-2.0 */
/* What is logged is for people, whoever wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/log.h"

/* One line, and nothing that a terminal would obey. */
static void test_log_printable(void **state)
{
	char text[256] = "";
	int ends[2], kept = dup(STDERR_FILENO);

	unsetenv("JOURNAL_STREAM");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	log_error("%s", "a\033]0;x\007\r\nb\x7f \xc2\x9b" "31m \xc3\xa9\xc2");
	assert_true(dup2(kept, STDERR_FILENO) >= 0);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "weightfs: a?]0;x???b? ??31m \xc3\xa9\xc2\n");
	close(ends[0]);
	close(ends[1]);
	close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
