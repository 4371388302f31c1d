/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of fetch/ that need no network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "fetch/internal.h"

#define AB8  "abababababababab"
#define AB32 AB8 AB8 AB8 AB8

static void test_template_check(void **state)
{
	static const struct {
		const char *text;
		bool http;
		const char *reason; /* NULL: good */
	} cases[] = {
		{"https://h.example/{sha256}", false, NULL},
		{"https://h.example/{sha256:2}/{sha256}?x={fsverity:2}{fsverity}", false, NULL},
		{"HTTPS://h.example:8443/one", false, NULL},
		{"http://h.example/{sha256}", true, NULL},
		{"http://h.example/{sha256}", false, "http is not allowed (allow-http = no)"},
		{"https://h.example/{md5}", false,
		 "\"{md5}\" is none of {sha256}, {sha256:2}, {fsverity}, {fsverity:2}"},
		{"https://h.example/{sha256", false,
		 "\"{sha256\" is none of {sha256}, {sha256:2}, {fsverity}, {fsverity:2}"},
		{"https://h.example/}", false,
		 "\"}\" is none of {sha256}, {sha256:2}, {fsverity}, {fsverity:2}"},
		{"https://h.example/{{sha256}}", false,
		 "\"{{sha256}\" is none of {sha256}, {sha256:2}, {fsverity}, {fsverity:2}"},
		{"{sha256}", false, "not an absolute URL"},
		{"/blobs/{sha256}", false, "not an absolute URL"},
		{"h.example/{sha256}", false, "not an absolute URL"},
		{"", false, "not an absolute URL"},
		{"https://", false, "not an absolute URL"},
		{"https://h.example/\n{sha256}", false, "not an absolute URL"},
		{"ftp://h.example/{sha256}", true, "the scheme is neither https nor http"},
		{"file:///etc/{sha256}", true, "the scheme is neither https nor http"},
		{"https://me:secret@h.example/{sha256}", false,
		 "the URL has credentials in it (they belong in header-file)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char message[FETCH_MESSAGE_SIZE] = "";
		int r = fetch_template_check(cases[i].text, cases[i].http, message);

		assert_int_equal(r, cases[i].reason ? -EINVAL : 0);
		assert_string_equal(message, cases[i].reason ? cases[i].reason : "");
	}
}

static void test_template_expand(void **state)
{
	struct digest_pair digests = {.has_sha256 = true};
	char message[FETCH_MESSAGE_SIZE];
	struct template template;
	char *url;

	memset(digests.sha256.bytes, 0xab, DIGEST_SIZE);
	assert_int_equal(
		template_parse("https://h/{sha256:2}/{sha256}.x", false, &template, message), 0);
	assert_true(template_applies(&template, &digests));
	url = template_expand(&template, &digests);
	assert_string_equal(url, "https://h/ab/" AB32 ".x");
	free(url);
	free(template.text);

	assert_int_equal(template_parse("https://h/{fsverity}", false, &template, message), 0);
	assert_false(template_applies(&template, &digests));
	digests.has_fsverity = true;
	assert_true(template_applies(&template, &digests));
	digests.has_sha256 = false;
	assert_true(template_applies(&template, &digests));
	free(template.text);
	template.text = NULL;
	assert_false(template_applies(&template, &digests));
}

static bool is_public(const char *text)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address = {0};
	bool result;

	address.any.sa_family = AF_INET;
	if (inet_pton(AF_INET, text, &address.in.sin_addr) != 1) {
		address.any.sa_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &address.in6.sin6_addr), 1);
	}
	result = address_is_public(&address.any);
	assert_int_equal(address_text_is_public(text), result);
	return result;
}

static void test_addresses(void **state)
{
	static const char *const special[] = {
		"0.0.0.0",
		"0.1.2.3",
		"10.0.0.1",
		"10.255.255.255",
		"100.64.0.0",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.255.254",
		"169.254.169.254",
		"172.16.0.1",
		"172.31.255.255",
		"192.0.0.8",
		"192.0.2.1",
		"192.168.0.1",
		"198.18.0.1",
		"198.19.255.255",
		"224.0.0.1",
		"239.255.255.255",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"fc00::1",
		"fd12::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"::127.0.0.1",
		"::ffff:127.0.0.1",
		"::ffff:10.0.0.1",
		"::ffff:169.254.169.254",
		"64:ff9b::127.0.0.1",
		"64:ff9b::10.1.1.1",
		"64:ff9b:1::1",
		"2001:db8::1",
		"2001::1",
		"2002:7f00:1::1",
		"100::1",
		"4000::1",
	};
	static const char *const public[] = {
		"1.1.1.1",
		"9.255.255.255",
		"11.0.0.0",
		"100.63.255.255",
		"100.128.0.0",
		"126.255.255.255",
		"128.0.0.0",
		"169.253.255.255",
		"169.255.0.0",
		"172.15.255.255",
		"172.32.0.0",
		"192.167.255.255",
		"192.169.0.0",
		"198.17.255.255",
		"198.20.0.0",
		"223.255.255.255",
		"2606:4700::1111",
		"2a00:1450::1",
		"2001:4860:4860::8888",
		"::ffff:1.1.1.1",
		"64:ff9b::8.8.8.8",
	};
	struct sockaddr other = {.sa_family = AF_UNIX};

	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (is_public(special[i]))
			fail_msg("%s passes", special[i]);
	for (size_t i = 0; i < ARRAY_SIZE(public); i++)
		if (!is_public(public[i]))
			fail_msg("%s does not pass", public[i]);
	assert_false(address_is_public(&other));
	assert_false(address_text_is_public("localhost"));
	assert_false(address_text_is_public(""));
}

static void test_urls(void **state)
{
	static const struct {
		const char *base, *location, *result;
	} cases[] = {
		{"https://h.example/a/b?q", "c", "https://h.example/a/c"},
		{"https://h.example/a/b", "/c?d=e%20f", "https://h.example/c?d=e%20f"},
		{"https://h.example/a/b", "//other.example/c", "https://other.example/c"},
		{"https://h.example/a/b", "http://x.example/#f", "http://x.example/"},
		{"https://h.example/a/b", "", NULL},
		{"https://h.example/a/b", "http://", NULL},
		{"https://h.example/a/b", "http://a b/", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *url = url_resolve(cases[i].base, cases[i].location);

		if (cases[i].result)
			assert_string_equal(url, cases[i].result);
		else
			assert_null(url);
		free(url);
	}
	assert_true(url_same_host("https://h.example/a", "https://H.example:443/b?c"));
	assert_false(url_same_host("https://h.example/a", "http://h.example/a"));
	assert_false(url_same_host("https://h.example/a", "https://h.example:444/a"));
	assert_false(url_same_host("https://h.example/a", "https://h.example.evil/a"));
	assert_false(url_same_host("https://h.example/a", "nonsense"));
}

static void test_backoff(void **state)
{
	struct source source = {0};

	assert_int_equal(backoff_limit(1), 200);
	assert_int_equal(backoff_limit(2), 400);
	assert_int_equal(backoff_limit(6), 6400);
	assert_int_equal(backoff_limit(7), 10000);
	assert_int_equal(backoff_limit(UINT32_MAX), 10000);
	for (unsigned int i = 0; i < 1000; i++)
		assert_in_range(backoff_delay(3), 0, 800);

	assert_true(source_stumble(&source, 1000, 0));
	assert_in_range(source.retry_at, 1000, 1200);
	source.retry_at = 1100;
	/* Others fail at the same time: one stumble. */
	assert_false(source_stumble(&source, 1050, 0));
	assert_int_equal(source.streak, 1);
	assert_int_equal(source_ready_at(&source, 1050), 1100);
	assert_int_equal(source_ready_at(&source, 1100), 1100);
	/* One at a time tries a source that stumbled. */
	source.active = 1;
	assert_true(source_ready_at(&source, 1100) == INT64_MAX);
	source_progress(&source);
	assert_int_equal(source_ready_at(&source, 1100), 0);
	/* Progress of a transfer does not lift what Retry-After imposed. */
	source_stumble(&source, 2000, 5000);
	source_progress(&source);
	assert_int_equal(source_ready_at(&source, 2000), 7000);
}

static void test_order(void **state)
{
	struct fetch_group ten = {.priority = 10}, one = {.priority = 1};
	struct source high = {.group = &ten}, low = {.group = &one}, same = {.group = &one};

	assert_true(source_before(&high, &low, 0));
	assert_false(source_before(&low, &high, 0));
	assert_false(source_before(&same, &low, 0)); /* the one that stands first stays first */
	assert_false(source_before(&low, &same, 0));
	high.streak = 1;
	assert_true(source_before(&low, &high, 0));
	high.streak = 0;
	high.demoted_until = 500;
	assert_true(source_before(&low, &high, 499));
	assert_true(source_before(&high, &low, 500));
	/* A lie weighs more than a failure. */
	low.demoted_until = 500;
	source_lied(&high, 1000);
	assert_true(source_before(&low, &high, 0));
	assert_int_equal(high.alone_until, 0);
	source_lied(&high, 1000);
	assert_int_equal(high.alone_until, 0);
	source_lied(&high, 1000);
	assert_int_equal(high.alone_until, 1000 + 600000);
}

static int read_headers(const char *text, struct curl_slist **out)
{
	char path[] = "/tmp/test-fetch-headers-XXXXXX";
	int fd = mkstemp(path);
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = headers_read(path, out);
	unlink(path);
	return r;
}

static void test_header_file(void **state)
{
	static const char *const bad[] = {
		"nonsense",   ": v",	   "A B: c",
		"A:",	      "A: ",	   "Range: bytes=0-1",
		"host: x",    "A: b\x01",  "User-Agent: x",
		"Referer: x", "A: b\n\nB", "Accept-Encoding: gzip",
	};
	struct curl_slist *list = NULL;

	assert_int_equal(read_headers("# mine\n\nAuthorization: Bearer x\r\nX-Team: y  ", &list),
			 0);
	assert_string_equal(list->data, "Authorization: Bearer x");
	assert_string_equal(list->next->data, "X-Team: y");
	assert_null(list->next->next);
	curl_slist_free_all(list);
	assert_int_equal(read_headers("", &list), 0);
	assert_null(list);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (read_headers(bad[i], &list) != -EINVAL)
			fail_msg("\"%s\" passes", bad[i]);
	assert_int_equal(headers_read("/nonexistent", &list), -ENOENT);
}

static void test_kept_redirects(void **state)
{
	struct source source = {0};
	char url[32];

	assert_null(redirect_find(&source, 0, "a"));
	redirect_keep(&source, 0, "a", "x");
	redirect_keep(&source, 0, "a", "y");
	assert_string_equal(redirect_find(&source, 0, "a"), "y");
	assert_null(redirect_find(&source, 7, "a")); /* what others asked for does not show */
	redirect_keep(&source, 7, "a", "w");
	redirect_forget(&source, 7, "a");
	assert_string_equal(redirect_find(&source, 0, "a"), "y");
	for (int i = 0; i < FETCH_REDIRECTS_KEPT; i++) {
		snprintf(url, sizeof(url), "u%d", i);
		redirect_keep(&source, 0, url, "z");
	}
	assert_null(redirect_find(&source, 0, "a")); /* the oldest made room */
	assert_string_equal(redirect_find(&source, 0, "u0"), "z");
	redirect_forget(&source, 0, "u0");
	assert_null(redirect_find(&source, 0, "u0"));
	redirect_forget_all(&source);
	assert_null(redirect_find(&source, 0, "u1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_template_check), cmocka_unit_test(test_template_expand),
		cmocka_unit_test(test_addresses),      cmocka_unit_test(test_urls),
		cmocka_unit_test(test_backoff),	       cmocka_unit_test(test_order),
		cmocka_unit_test(test_header_file),    cmocka_unit_test(test_kept_redirects),
	};

	return cmocka_run_group_tests_name("fetch-pure", tests, NULL, NULL);
}
