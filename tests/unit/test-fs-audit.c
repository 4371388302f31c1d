/* SPDX-License-Identifier: Apache-2.0 */
/* The audit: lines that parse whatever was asked for, limited in rate, and nobody who waits for the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "common/clock.h"
#include "common/io.h"
#include "common/stats.h"
#include "fs/origins/audit.h"

#define MANY 1000

static char base[] = "/tmp/weightfs-audit-XXXXXX";
static char file[64], other[64];

static int setup(void **state)
{
	memcpy(base + sizeof(base) - 7, "XXXXXX", 6);
	if (!mkdtemp(base))
		return -1;
	snprintf(file, sizeof(file), "%s/audit.log", base);
	snprintf(other, sizeof(other), "%s/audit.log.1", base);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	unlink(other);
	return rmdir(base);
}

static struct audit *start(const char *path, unsigned int rate)
{
	struct audit_options options = { .file = path, .rate = rate };
	struct audit *audit;

	assert_int_equal(audit_new(&options, &audit), 0);
	return audit;
}

static struct audit_record a_record(void)
{
	return (struct audit_record){
		.operation = "lookup",
		.decision = "deny",
		.uid = 1000,
		.pid = 4711,
		.origin = "local",
		.digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
		.file = "/etc/weightfs/policy",
		.line = 7,
	};
}

/* The lines of PATH, each parsed, as an array. */
static json_t *lines_of(const char *path)
{
	_cleanup_free_ char *text = NULL;
	json_t *lines = json_array();
	char *rest, *line;
	size_t len;

	assert_int_equal(io_read_file(path, 1 << 20, &text, &len), 0);
	assert_true(len == 0 || text[len - 1] == '\n');
	rest = text;
	while ((line = strsep(&rest, "\n")) && *line) {
		json_t *parsed = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(parsed);
		json_array_append_new(lines, parsed);
	}
	return lines;
}

static const char *text_of(const json_t *line, const char *key)
{
	return json_string_value(json_object_get(line, key));
}

static json_int_t number_of(const json_t *line, const char *key)
{
	return json_integer_value(json_object_get(line, key));
}

static json_int_t sum_of_counts(json_t *lines)
{
	json_int_t sum = 0;
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line) sum += number_of(line, "count");
	return sum;
}

static void test_a_line(void **state)
{
	struct audit *audit = start(file, 10);
	struct audit_record record = a_record();
	unsigned int year, month, day, hour, minute, second, ms;
	struct stat st;
	char end;
	json_t *lines, *line;

	assert_true(audit_admits(audit, 1000));
	audit_add(audit, &record);
	audit_free(audit);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	lines = lines_of(file);
	assert_int_equal(json_array_size(lines), 1);
	line = json_array_get(lines, 0);
	assert_int_equal(sscanf(text_of(line, "time"), "%4u-%2u-%2uT%2u:%2u:%2u.%3u%c", &year, &month,
				&day, &hour, &minute, &second, &ms, &end), 8);
	assert_int_equal(end, 'Z');
	assert_string_equal(text_of(line, "event"), "refused");
	assert_string_equal(text_of(line, "operation"), "lookup");
	assert_int_equal(number_of(line, "uid"), 1000);
	assert_int_equal(number_of(line, "pid"), 4711);
	assert_string_equal(text_of(line, "origin"), "local");
	assert_string_equal(text_of(line, "digest"), record.digest);
	assert_null(json_object_get(line, "directory"));
	assert_string_equal(text_of(line, "decision"), "deny");
	assert_string_equal(text_of(line, "file"), "/etc/weightfs/policy");
	assert_int_equal(number_of(line, "line"), 7);
	assert_int_equal(number_of(line, "count"), 1);
	json_decref(lines);
}

/* Any bytes may be asked for. */
static void test_odd_names(void **state)
{
	static const char *const names[] = { "1000/a\"b\\c\nd\x01\x7f", "1000/\xff\xfe\"", "0/\xe2\x82\xac",
					     "1/\xe2\x82", "2/{\"event\":\"granted\"}" };
	static const char *const told[] = { "1000/a\"b\\c\nd\x01\x7f", "1000/\\xff\\xfe\"", "0/\xe2\x82\xac",
					    "1/\\xe2\\x82", "2/{\"event\":\"granted\"}" };
	struct audit_record record = a_record();
	struct audit *audit = start(file, 1000);
	char longest[sizeof(record.directory)];
	json_t *lines;

	record.origin[0] = record.digest[0] = record.file[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(record.directory, sizeof(record.directory), "%s", names[i]);
		audit_add(audit, &record);
	}
	memset(longest, 0xff, sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	memcpy(record.directory, longest, sizeof(longest));
	audit_add(audit, &record);
	audit_free(audit);
	lines = lines_of(file);
	assert_int_equal(json_array_size(lines), ARRAY_SIZE(names) + 1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		json_t *line = json_array_get(lines, i);

		assert_string_equal(text_of(line, "directory"), told[i]);
		assert_true(json_is_null(json_object_get(line, "origin")));
		assert_null(json_object_get(line, "digest"));
		assert_null(json_object_get(line, "file"));
		assert_string_equal(text_of(line, "event"), "refused");
	}
	assert_int_equal(strlen(text_of(json_array_get(lines, ARRAY_SIZE(names)), "directory")),
			 4 * (sizeof(longest) - 1));
	json_decref(lines);
}

static void test_web_origins_stay_unnamed(void **state)
{
	struct audit_options options = { .file = file, .rate = 10, .web_origins = true };
	struct audit_record record = a_record(), guess = a_record();
	struct audit *audit = start(file, 10);
	json_t *lines, *line;

	snprintf(record.origin, sizeof(record.origin), "https://app.example.com");
	record.web = true;
	guess.digest[0] = '\0';
	snprintf(guess.directory, sizeof(guess.directory), "1000/https_app.example.com_0");
	guess.web_directory = true;
	audit_add(audit, &record);
	audit_add(audit, &guess);
	audit_free(audit);
	assert_int_equal(audit_new(&options, &audit), 0);
	audit_add(audit, &record);
	audit_add(audit, &guess);
	audit_free(audit);
	lines = lines_of(file);
	assert_int_equal(json_array_size(lines), 4);
	line = json_array_get(lines, 0);
	assert_string_equal(text_of(line, "origin"), "web");
	assert_null(json_object_get(line, "digest"));
	assert_string_equal(text_of(line, "file"), "/etc/weightfs/policy");
	line = json_array_get(lines, 1);
	assert_string_equal(text_of(line, "origin"), "local");
	assert_null(json_object_get(line, "directory"));
	line = json_array_get(lines, 2);
	assert_string_equal(text_of(line, "origin"), "https://app.example.com");
	assert_string_equal(text_of(line, "digest"), record.digest);
	line = json_array_get(lines, 3);
	assert_string_equal(text_of(line, "directory"), "1000/https_app.example.com_0");
	json_decref(lines);
}

/* ---- not too many, and all counted ---- */

static void test_rate(void **state)
{
	uint64_t suppressed = stats_get(STAT_AUDIT_SUPPRESSED);
	struct audit_record record = a_record();
	struct audit *audit = start(file, 10);
	int64_t begun = clock_ms(), asked = 0, admitted = 0, end;
	json_t *lines;

	for (; asked < MANY; asked++) {
		if (!audit_admits(audit, 1000))
			continue;
		admitted++;
		audit_add(audit, &record);
	}
	end = begun + (clock_ms() - begun);
	/* A second's at once; then one each 100 ms. */
	assert_true(admitted >= 10);
	assert_true(admitted <= 10 + (end - begun) / 100 + 1);
	assert_int_equal(stats_get(STAT_AUDIT_SUPPRESSED) - suppressed, (uint64_t)(asked - admitted));
	/* The next line stands for all that were left out. */
	for (; !audit_admits(audit, 1000); asked++)
		usleep(5000);
	asked++;
	audit_add(audit, &record);
	audit_free(audit);
	lines = lines_of(file);
	assert_int_equal(json_array_size(lines), admitted + 1);
	assert_int_equal(sum_of_counts(lines), asked);
	json_decref(lines);
}

/* However much one user is refused, others' refusals are recorded, a share each. */
static void test_a_flood_hides_nobody(void **state)
{
	enum { RATE = 100, SHARE = RATE / 4, OTHERS = 3 };
	unsigned int admitted[OTHERS] = {0}, flood = 0, all = 0;
	struct audit *audit = start(file, RATE);
	int64_t begun = clock_ms();

	while (all < OTHERS * SHARE) {
		for (int i = 0; i < MANY; i++)
			flood += audit_admits(audit, 7);
		for (uid_t i = 0; i < OTHERS; i++) {
			if (admitted[i] < SHARE && audit_admits(audit, 1000 + i)) {
				admitted[i]++;
				all++;
			}
		}
		/* Of one bucket for all they would have got one in a thousand. */
		assert_true(clock_ms() - begun < 20000);
	}
	assert_true(flood >= RATE - SHARE);
	assert_true(flood + all <= RATE + (clock_ms() - begun + 1) * RATE / 1000);
	audit_free(audit);
}

/* A file that takes nothing: a pipe that nobody reads. */
static void test_nobody_waits_for_the_file(void **state)
{
	uint64_t lost = stats_get(STAT_AUDIT_LOST);
	struct audit_record record = a_record();
	struct audit *audit;
	char piece[4096];
	uint64_t written = 0;
	ssize_t n;
	int pipe;

	assert_int_equal(mkfifo(file, 0600), 0);
	pipe = open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(pipe >= 0);
	assert_true(fcntl(pipe, F_SETPIPE_SZ, 4096) >= 4096);
	audit = start(file, 10000);
	/* More than the pipe and the queue take: would one wait, it would be for ever. */
	for (int i = 0; i < MANY; i++)
		audit_add(audit, &record);
	lost = stats_get(STAT_AUDIT_LOST) - lost;
	assert_true(lost > 0 && lost < MANY);
	/* Then the pipe takes the rest: what was in the queue is not lost. */
	assert_true(fcntl(pipe, F_SETPIPE_SZ, 1 << 20) > 0);
	audit_free(audit);
	while ((n = read(pipe, piece, sizeof(piece))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			written += piece[i] == '\n';
	}
	assert_int_equal(written, MANY - lost);
	close(pipe);
}

static void test_a_full_disk(void **state)
{
	uint64_t lost = stats_get(STAT_AUDIT_LOST);
	struct audit_record record = a_record();
	struct audit *audit = start("/dev/full", 10);

	audit_add(audit, &record);
	audit_add(audit, &record);
	audit_free(audit);
	assert_int_equal(stats_get(STAT_AUDIT_LOST) - lost, 2);
}

/* ---- the file, the log ---- */

static void test_renamed(void **state)
{
	struct audit *audit = start(file, 10);
	struct audit_record record = a_record();
	int64_t deadline = clock_ms() + 10000;
	json_t *lines;

	audit_add(audit, &record);
	while (stats_get(STAT_AUDIT_WRITTEN) == 0 && clock_ms() < deadline)
		usleep(1000);
	assert_int_equal(rename(file, other), 0);
	audit_reopen(audit);
	while (access(file, F_OK) < 0 && clock_ms() < deadline)
		usleep(1000);
	audit_add(audit, &record);
	audit_free(audit);
	lines = lines_of(other);
	assert_int_equal(json_array_size(lines), 1);
	json_decref(lines);
	lines = lines_of(file);
	assert_int_equal(json_array_size(lines), 1);
	json_decref(lines);
}

static void test_a_file_that_cannot_be_opened(void **state)
{
	struct audit_options options = { .file = base, .rate = 10 };
	struct audit *audit;

	assert_int_equal(audit_new(&options, &audit), -EISDIR);
	assert_false(audit_admits(NULL, 1000));
	audit_free(NULL);
}

/* A line of the log is short: what does not fit is left out, and what is there is JSON. */
static void test_to_the_log(void **state)
{
	static const char mark[] = "audit: ";
	struct audit_record record = a_record();
	_cleanup_free_ char *text = NULL;
	int terminal = dup(STDERR_FILENO);
	int log = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct audit *audit;
	json_t *line;
	size_t len;

	unsetenv("JOURNAL_STREAM");
	memset(record.directory, 0xff, sizeof(record.directory) - 1);
	memset(record.origin, 'o', sizeof(record.origin) - 1);
	memset(record.file, 'f', sizeof(record.file) - 1);
	dup2(log, STDERR_FILENO);
	audit = start(NULL, 10);
	audit_add(audit, &record);
	audit_free(audit);
	dup2(terminal, STDERR_FILENO);
	close(terminal);
	close(log);
	assert_int_equal(io_read_file(file, 1 << 20, &text, &len), 0);
	assert_non_null(strstr(text, mark));
	line = json_loads(strstr(text, mark) + strlen(mark), JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(line);
	assert_int_equal(strlen(text_of(line, "origin")), sizeof(record.origin) - 1);
	assert_string_equal(text_of(line, "digest"), record.digest);
	assert_int_equal(number_of(line, "count"), 1);
	json_decref(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_renamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_web_origins_stay_unnamed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_flood_hides_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_waits_for_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_the_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
