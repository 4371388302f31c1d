/* SPDX-License-Identifier: Apache-2.0 */
/* What a source may answer, and what is made of it; without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "fetch/internal.h"

static void test_content_range(void **state)
{
	static const char *const bad[] = {
		"",
		"bytes",
		"bytes ",
		"bytes 0-0",
		"bytes 0-0/",
		"bytes 1-0/5",
		"bytes 0-5/5",
		"bytes -1/5",
		"bytes 0-/5",
		"bytes 0-1/5x",
		"bytes  0-1/5",
		"bytes */*",
		"bytes */",
		"items 0-1/5",
		"0-1/5",
		"bytes=0-1/5",
		"bytes 0-1/99999999999999999999",
		"bytes 18446744073709551616-18446744073709551617/18446744073709551618",
		"bytes +0-1/5",
	};
	struct content_range range;

	assert_int_equal(content_range_parse("bytes 2-5/9", &range), 0);
	assert_true(range.satisfied && range.complete_known);
	assert_true(range.first == 2 && range.last == 5 && range.complete == 9);
	assert_int_equal(content_range_parse("Bytes 2-5/*", &range), 0);
	assert_true(range.satisfied && !range.complete_known);
	assert_int_equal(content_range_parse("bytes */0", &range), 0);
	assert_true(!range.satisfied && range.complete == 0);
	assert_int_equal(content_range_parse("bytes 0-0/9223372036854775799", &range), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (content_range_parse(bad[i], &range) != -EINVAL)
			fail_msg("\"%s\" passes", bad[i]);
}

static void test_retry_after(void **state)
{
	const int64_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */

	assert_int_equal(retry_after_parse("0", now), 0);
	assert_int_equal(retry_after_parse("7", now), 7000);
	assert_int_equal(retry_after_parse("3600", now), 60000);
	assert_int_equal(retry_after_parse("99999999999999999999999", now), 60000);
	assert_int_equal(retry_after_parse("Sun, 06 Nov 1994 08:49:42 GMT", now), 5000);
	assert_int_equal(retry_after_parse("Sun, 06 Nov 1994 09:49:37 GMT", now), 60000);
	assert_int_equal(retry_after_parse("Sun, 06 Nov 1994 08:49:37 GMT", now), 0);
	assert_int_equal(retry_after_parse("Sun, 06 Nov 1993 08:49:37 GMT", now), 0);
	assert_int_equal(retry_after_parse("soon", now), 0);
	assert_int_equal(retry_after_parse("", now), 0);
	assert_int_equal(retry_after_parse("-5", now), 0);
}

static const struct ask ask_size = {FETCH_SIZE, 0, 0, 0};
static const struct ask ask_front = {FETCH_FRONT, 0, 99, 100};
static const struct ask ask_part = {FETCH_CHUNKS, 100, 199, 300};
static const struct ask ask_whole = {FETCH_CHUNKS, 0, 299, 300};

/* LINES: a header block, lines ended by \n. */
static struct verdict judge(const struct ask *ask, const char *lines)
{
	struct reply *reply = calloc(1, sizeof(*reply));
	struct verdict verdict;

	assert_non_null(reply);
	while (*lines) {
		size_t len = strcspn(lines, "\n") + 1;

		reply_line(reply, lines, len);
		lines += len;
	}
	assert_true(reply->ended);
	reply_check(reply, ask, &verdict);
	free(reply);
	return verdict;
}

#define PART(range) "HTTP/1.1 206 x\nContent-Range: " range "\n"

static void test_reply_check(void **state)
{
	static const struct {
		const struct ask *ask;
		const char *lines;
		enum verdict_kind kind;
		const char *message;
	} cases[] = {
		{&ask_part, PART("bytes 100-199/300") "\n", VERDICT_BODY, ""},
		{&ask_part, PART("bytes 100-199/300") "content-LENGTH:100  \r\n\r\n", VERDICT_BODY,
		 ""},
		{&ask_part, "HTTP/2 206\ncontent-range: bytes 100-199/300\n\n", VERDICT_BODY, ""},
		{&ask_part, "HTTP/1.1 100 Continue\n\n" PART("bytes 100-199/300") "\n",
		 VERDICT_BODY, ""},
		{&ask_part, PART("bytes 100-199/300") "Content-Encoding: identity\n\n",
		 VERDICT_BODY, ""},
		{&ask_part, PART("bytes 100-199/300") "Content-Encoding: gzip\n\n", VERDICT_REFUSED,
		 "content coding although none was asked for"},
		{&ask_part, PART("bytes 100-199/300") "Transfer-Encoding: gzip, chunked\n\n",
		 VERDICT_REFUSED, "content coding although none was asked for"},
		{&ask_part, PART("bytes 100-199/300") "Transfer-Encoding: chunked\n\n",
		 VERDICT_BODY, ""},
		{&ask_part, PART("bytes 100-199/300") "Content-Length: 99\n\n", VERDICT_REFUSED,
		 "Content-Length is not that of the range"},
		{&ask_part, PART("bytes 100-199/300") "Content-Length: 100, 100\n\n",
		 VERDICT_REFUSED, "malformed Content-Length"},
		{&ask_part, PART("bytes 100-199/300") "Content-Length: 100\nContent-Length: 1\n\n",
		 VERDICT_REFUSED, "malformed Content-Length (there are two)"},
		{&ask_part, PART("bytes 101-200/300") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_part, PART("bytes 100-198/300") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_part, PART("bytes */300") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_part, PART("bytes 100-199/*") "\n", VERDICT_REFUSED,
		 "Content-Range does not tell the size"},
		{&ask_part, PART("bytes 100-199/301") "\n", VERDICT_REFUSED,
		 "the object has 301 bytes there instead of 300"},
		{&ask_part, PART("bytes 100-199/300") "Content-Range: bytes 100-199/300\n\n",
		 VERDICT_REFUSED, "malformed Content-Range (there are two)"},
		{&ask_part, PART("bytes one-two/300") "\n", VERDICT_REFUSED,
		 "malformed Content-Range"},
		{&ask_part, "HTTP/1.1 206 x\n\n", VERDICT_REFUSED,
		 "HTTP 206 without Content-Range"},
		{&ask_part, "HTTP/1.1 200 OK\nContent-Length: 300\n\n", VERDICT_REFUSED,
		 "ignores Range"},
		{&ask_whole, "HTTP/1.1 200 OK\nContent-Length: 300\n\n", VERDICT_BODY, ""},
		{&ask_whole, "HTTP/1.1 200 OK\n\n", VERDICT_REFUSED,
		 "HTTP 200 without Content-Length"},
		{&ask_whole, "HTTP/1.1 200 OK\nContent-Length: 301\n\n", VERDICT_REFUSED,
		 "the object has 301 bytes there instead of 300"},
		{&ask_front, PART("bytes 0-99/5000") "\n", VERDICT_BODY, ""},
		{&ask_front, PART("bytes 0-99/*") "\n", VERDICT_BODY, ""},
		{&ask_front, PART("bytes 0-98/99") "\n", VERDICT_BODY, ""},
		{&ask_front, PART("bytes 0-98/99") "Content-Length: 100\n\n", VERDICT_REFUSED,
		 "Content-Length is not that of the range"},
		{&ask_front, PART("bytes 0-98/100") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_front, PART("bytes 0-98/*") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_front, PART("bytes 0-97/99") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_front, "HTTP/1.1 416 x\nContent-Range: bytes */0\n\n", VERDICT_ENOUGH, ""},
		{&ask_front, "HTTP/1.1 416 x\nContent-Range: bytes */9\n\n", VERDICT_REFUSED,
		 "HTTP 416"},
		{&ask_front, "HTTP/1.1 200 OK\n\n", VERDICT_BODY, ""},
		{&ask_front, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", VERDICT_BODY, ""},
		{&ask_size, PART("bytes 0-0/*") "\n", VERDICT_REFUSED, "does not tell the size"},
		{&ask_size, PART("bytes 0-1/5") "\n", VERDICT_REFUSED,
		 "another Content-Range than asked for"},
		{&ask_size, PART("bytes 0-0/4611686018427387905") "\n", VERDICT_REFUSED,
		 "a size of 4611686018427387905 bytes"},
		{&ask_size, "HTTP/1.1 200 OK\n\n", VERDICT_REFUSED, "does not tell the size"},
		{&ask_size, "HTTP/1.1 416 x\nContent-Range: bytes */7\n\n", VERDICT_REFUSED,
		 "HTTP 416"},
		{&ask_part, "HTTP/1.1 416 x\nContent-Range: bytes */0\n\n", VERDICT_REFUSED,
		 "HTTP 416"},
		{&ask_part, "HTTP/1.1 404 x\n\n", VERDICT_MISSING, "HTTP 404"},
		{&ask_part, "HTTP/1.1 410 x\n\n", VERDICT_MISSING, "HTTP 410"},
		{&ask_part, "HTTP/1.1 403 x\n\n", VERDICT_REFUSED, "HTTP 403"},
		{&ask_part, "HTTP/1.1 204 x\n\n", VERDICT_REFUSED, "HTTP 204"},
		{&ask_part, "HTTP/1.1 503 x\n\n", VERDICT_TRANSIENT, "HTTP 503"},
		{&ask_part, "HTTP/1.1 429 x\n\n", VERDICT_TRANSIENT, "HTTP 429"},
		{&ask_part, "HTTP/1.1 408 x\n\n", VERDICT_TRANSIENT, "HTTP 408"},
		{&ask_part, "HTTP/1.1 425 x\n\n", VERDICT_TRANSIENT, "HTTP 425"},
		{&ask_part, "HTTP/1.1 302 x\n\n", VERDICT_REFUSED, "HTTP 302"},
		{&ask_part, "HTTP/1.1 302 x\nLocation: /y\n\n", VERDICT_REDIRECT, ""},
		{&ask_part, "HTTP/1.1 302 x\nLocation: /y\nLocation: /z\n\n", VERDICT_REFUSED,
		 "malformed Location (there are two)"},
		{&ask_part, "HTTP/1.1 xyz\n\n", VERDICT_REFUSED, "malformed status line"},
		{&ask_part, "HTTP/1.1 2066 x\n\n", VERDICT_REFUSED, "malformed status line"},
		/* A second status line within a block changes nothing. */
		{&ask_part, "HTTP/1.1 404 x\nHTTP/1.1 206 x\nContent-Range: bytes 100-199/300\n\n",
		 VERDICT_MISSING, "HTTP 404"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct verdict verdict = judge(cases[i].ask, cases[i].lines);

		if (verdict.kind != cases[i].kind || strcmp(verdict.message, cases[i].message) != 0)
			fail_msg("case %zu: %d \"%s\"", i, verdict.kind, verdict.message);
	}
}

static void test_reply_details(void **state)
{
	struct verdict verdict = judge(&ask_size, PART("bytes 0-0/4611686018427387904") "\n");

	assert_true(verdict.kind == VERDICT_ENOUGH && !verdict.close);
	assert_true(verdict.size == FETCH_SIZE_MAX);
	verdict = judge(&ask_size, "HTTP/1.1 200 OK\nContent-Length: 12\n\n");
	assert_true(verdict.kind == VERDICT_ENOUGH && verdict.size == 12 && verdict.close);
	verdict = judge(&ask_size, "HTTP/1.1 416 x\nContent-Range: bytes */0\n\n");
	assert_true(verdict.kind == VERDICT_ENOUGH && verdict.size == 0);
	verdict = judge(&ask_front, "HTTP/1.1 200 OK\nContent-Length: 101\n\n");
	assert_true(verdict.kind == VERDICT_BODY && verdict.body == 100 && verdict.close);
	verdict = judge(&ask_front, "HTTP/1.1 200 OK\nContent-Length: 100\n\n");
	assert_true(verdict.kind == VERDICT_BODY && verdict.body == 100 && !verdict.close);
	assert_false(verdict.open);
	verdict = judge(&ask_front, "HTTP/1.1 200 OK\nContent-Length: 99\n\n");
	assert_true(verdict.kind == VERDICT_BODY && verdict.body == 99 && !verdict.close);
	verdict = judge(&ask_front, "HTTP/1.1 200 OK\n\n");
	assert_true(verdict.body == 100 && verdict.close && verdict.open);
	verdict = judge(&ask_front, PART("bytes 0-98/99") "\n");
	assert_true(verdict.body == 99 && !verdict.close && !verdict.open);
	verdict = judge(&ask_part, PART("bytes 100-199/300") "\n");
	assert_true(verdict.body == 100 && !verdict.close);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_reply_check),
		cmocka_unit_test(test_reply_details),
	};

	return cmocka_run_group_tests_name("fetch-reply", tests, NULL, NULL);
}
