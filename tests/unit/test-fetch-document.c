/* SPDX-License-Identifier: Apache-2.0 */
/* One document by its URL; and references as RFC 3986 resolves them. */
#include "tests/unit/fetch-harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include "fetch/document.h"

static char url[512], message[FETCH_MESSAGE_SIZE];
static struct fetch_document document;

static struct fetch_document_request ask(const struct server *server, const char *path)
{
	snprintf(url, sizeof(url), "%s/%s", server->base, path);
	return (struct fetch_document_request){
		.url = url,
		.allow_http = true,
		.allow_private = true,
		.max = OBJECT_SIZE,
		.fd = -1,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = 5000,
	};
}

/* The error; `document` and `message` are those of the last one. */
static int get(const struct fetch_document_request *request)
{
	int r;

	fetch_document_release(&document);
	r = fetch_document_get(request, &document, message);
	/* A line for each error, and for errors only. */
	assert_int_equal(message[0] != '\0', r < 0);
	return r;
}

static int get_path(const char *path)
{
	struct fetch_document_request request = ask(&world.server, path);

	return get(&request);
}

static void test_memory(void **state)
{
	assert_int_equal(get_path("document/object"), 0);
	assert_int_equal(document.status, 200);
	assert_int_equal(document.len, OBJECT_SIZE);
	assert_memory_equal(document.body, world.object, OBJECT_SIZE);
	assert_int_equal(document.body[OBJECT_SIZE], 0);
	assert_string_equal(document.url, url);
	assert_string_equal(document.etag, "\"v1\"");
	assert_string_equal(document.content_type, "application/json");
	assert_string_equal(document.link, "<?page=2>; rel=\"next\"");
	assert_null(document.www_authenticate);

	assert_int_equal(get_path("document/empty"), 0);
	assert_int_equal(document.len, 0);
	assert_string_equal(document.body, "");
}

static void test_file(void **state)
{
	struct fetch_document_request request = ask(&world.server, "honest/object");
	char path[] = "/tmp/test-fetch-document-XXXXXX";
	char *bytes = malloc(OBJECT_SIZE);

	request.fd = mkstemp(path);
	assert_true(request.fd >= 0);
	unlink(path);
	assert_int_equal(get(&request), 0);
	assert_null(document.body);
	assert_int_equal(document.len, OBJECT_SIZE);
	assert_int_equal(lseek(request.fd, 0, SEEK_END), OBJECT_SIZE);
	assert_int_equal(pread(request.fd, bytes, OBJECT_SIZE, 0), OBJECT_SIZE);
	assert_memory_equal(bytes, world.object, OBJECT_SIZE);
	/* What explains a refusal does not get there. */
	assert_int_equal(ftruncate(request.fd, 0), 0);
	request = ask(&world.server, "missing/x");
	request.fd = open("/dev/full", O_WRONLY);
	assert_int_equal(get(&request), 0);
	assert_int_equal(document.status, 404);
	assert_string_equal(document.body, "no such file\n");
	/* A full disk. */
	snprintf(url, sizeof(url), "%s/honest/object", world.server.base);
	assert_int_equal(get(&request), -ENOSPC);
	close(request.fd);
	free(bytes);
}

static void test_not_modified(void **state)
{
	struct fetch_document_request request = ask(&world.server, "document/object");

	request.etag = "\"v1\"";
	assert_int_equal(get(&request), 0);
	assert_int_equal(document.status, 304);
	assert_int_equal(document.len, 0);
	assert_string_equal(document.etag, "\"v1\"");
	request.etag = "\"v0\"";
	assert_int_equal(get(&request), 0);
	assert_int_equal(document.status, 200);
	request.etag = "a\r\nX: b";
	assert_int_equal(get(&request), -EINVAL);
}

static void test_refusals(void **state)
{
	assert_int_equal(get_path("throttle/object?after=7"), 0);
	assert_int_equal(document.status, 429);
	assert_string_equal(document.body, "slow down\n");
	assert_int_equal(document.retry_after_ms, 7000);
	assert_int_equal(get_path("registry/object"), 0);
	assert_int_equal(document.status, 401);
	assert_memory_equal(document.www_authenticate, "Bearer realm=\"http:", 19);
	/* However long it explains itself. */
	assert_int_equal(get_path("refusal/object"), 0);
	assert_int_equal(document.status, 403);
	assert_int_equal(document.len, 64 << 10);
}

static void test_errors(void **state)
{
	static const struct {
		const char *path;
		int error;
		const char *message;
	} cases[] = {
		{"redirect-loop/object", -ELOOP, "more than 3 redirects"},
		{"redirect-file/object", -EACCES, "redirect: the scheme is neither https nor http"},
		{"gzip/object", -EPROTO, "content coding although none was asked for"},
		{"endless-headers/object", -EPROTO, "malformed header (too much of it)"},
		{"garbage/object", -EPROTO, "Received HTTP/0.9 when not allowed"},
		{"endless/object", -EFBIG, "more than 2633785 bytes"},
		{"short/object", -ENOTCONN, "the reply ended early"},
		{"reset/object", -ENOTCONN, NULL},
	};

	assert_int_equal(OBJECT_SIZE, 2633785);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = get_path(cases[i].path);

		if (r != cases[i].error ||
		    (cases[i].message && strcmp(message, cases[i].message) != 0))
			fail_msg("%s: %d %s", cases[i].path, r, message);
		assert_null(document.url);
	}
}

static void test_urls(void **state)
{
	struct fetch_document_request request = ask(&world.server, "honest/object");

	request.url = "relative/one";
	assert_int_equal(get(&request), -EINVAL);
	request.url = "ftp://127.0.0.1/x";
	assert_int_equal(get(&request), -EINVAL);
	request.url = "http://user:password@127.0.0.1/x";
	assert_int_equal(get(&request), -EINVAL);
	request.url = url;
	request.allow_http = false;
	assert_int_equal(get(&request), -EACCES);
	/* Nobody is there. */
	request = ask(&world.server, "");
	request.url = "http://127.0.0.1:1/x";
	assert_int_equal(get(&request), -ENOTCONN);
	request.url = "http://no.such.host.invalid/x";
	assert_int_equal(get(&request), -ENOTCONN);
}

/* Private addresses, asked for by name or by number: nobody hears of it. */
static void test_addresses(void **state)
{
	struct fetch_document_request request = ask(&world.server, "honest/object");
	char *log;

	server_reset(&world.server);
	request.allow_private = false;
	assert_int_equal(get(&request), -EACCES);
	assert_string_equal(message, "address 127.0.0.1 is not allowed (allow-private = no)");
	snprintf(url, sizeof(url), "http://localhost%s/honest/object",
		 strrchr(world.server.base, ':'));
	assert_int_equal(get(&request), -EACCES);
	assert_non_null(strstr(message, " is not allowed (allow-private = no)"));
	snprintf(url, sizeof(url), "http://[::ffff:127.0.0.1]%s/honest/object",
		 strrchr(world.server.base, ':'));
	assert_int_equal(get(&request), -EACCES);
	log = server_log(&world.server);
	assert_string_equal(log, "");
	free(log);
}

static void test_cap(void **state)
{
	struct fetch_document_request request = ask(&world.server, "nolength/object");

	assert_int_equal(get(&request), 0);
	assert_int_equal(document.len, OBJECT_SIZE);
	request.max--;
	assert_int_equal(get(&request), -EFBIG);
	request = ask(&world.server, "honest/object");
	request.max--;
	assert_int_equal(get(&request), -EFBIG);
}

static void test_stall(void **state)
{
	struct fetch_document_request request = ask(&world.server, "stall/object");

	request.stall_timeout_ms = 500;
	assert_int_equal(get(&request), -ETIMEDOUT);
	snprintf(url, sizeof(url), "%s/stall-head/object", world.server.base);
	assert_int_equal(get(&request), -ETIMEDOUT);
	snprintf(url, sizeof(url), "%s/slow/object", world.server.base);
	assert_int_equal(get(&request), -ETIMEDOUT);
	assert_string_equal(message, "stalled");
}

static bool not_after_the_first(void *arg, uint64_t received)
{
	unsigned int *asked = arg;

	++*asked;
	return received == 0;
}

static void test_unwanted(void **state)
{
	struct fetch_document_request request = ask(&world.server, "stall-half/object");
	unsigned int asked = 0;

	request.wanted = not_after_the_first;
	request.arg = &asked;
	assert_int_equal(get(&request), -ECANCELED);
	assert_true(asked > 0);
}

static unsigned int count(const char *text, const char *what)
{
	unsigned int n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

/* Headers go to the host of the URL, and to no other: not even to another port of it. */
static void test_headers(void **state)
{
	static const char *const headers[] = {"Authorization: Bearer s3cret", "Accept: text/x"};
	static const char *const none[] = {NULL}, *const bad[] = {"Range: bytes=0-1"};
	struct fetch_document_request request;
	struct server other = {0};
	char path[256], *log;

	server_start(&other, none);
	server_reset(&world.server);
	snprintf(path, sizeof(path), "redirect-other/object?to=%s", other.base);
	request = ask(&world.server, path);
	request.headers = headers;
	request.n_headers = 2;
	request.etag = "\"x\"";
	assert_int_equal(get(&request), 0);
	assert_int_equal(document.len, OBJECT_SIZE);
	snprintf(path, sizeof(path), "%s/honest/object", other.base);
	assert_string_equal(document.url, path);
	log = server_log(&world.server);
	assert_int_equal(count(log, "Bearer s3cret"), 1);
	assert_int_equal(count(log, "text/x"), 1);
	free(log);
	log = server_log(&other);
	assert_int_equal(count(log, "\"method\""), 1);
	assert_int_equal(count(log, "s3cret"), 0);
	assert_int_equal(count(log, "text/x"), 0);
	assert_int_equal(count(log, "if-none-match"), 1);
	assert_int_equal(count(log, "accept-encoding"), 0);
	assert_int_equal(count(log, "referer"), 0);
	assert_int_equal(count(log, "weightfs/"), 1);
	free(log);
	server_stop(&other);

	/* To its own host also after a redirect. */
	server_reset(&world.server);
	snprintf(url, sizeof(url), "%s/redirect-relative/object", world.server.base);
	assert_int_equal(get(&request), 0);
	log = server_log(&world.server);
	assert_int_equal(count(log, "Bearer s3cret"), 2);
	free(log);
	request.headers = bad;
	request.n_headers = 1;
	assert_int_equal(get(&request), -EINVAL);
	assert_string_equal(message, "header Range: this header cannot be set");
}

static void test_tls(void **state)
{
	struct fetch_document_request request = ask(&world.tls, "honest/object");
	char ca[128], path[256];

	assert_int_equal(get(&request), -ENOTCONN);
	assert_non_null(strstr(message, "certificate"));
	snprintf(ca, sizeof(ca), "%s/ca.pem", world.root);
	request.ca_file = ca;
	assert_int_equal(get(&request), 0);
	assert_memory_equal(document.body, world.object, OBJECT_SIZE);
	/* Never down to http, although that would be allowed by itself. */
	snprintf(path, sizeof(path), "redirect-other/object?to=%s", world.server.base);
	request = ask(&world.tls, path);
	request.ca_file = ca;
	assert_int_equal(get(&request), -EACCES);
	assert_string_equal(message, "redirect: from https to http");
	request.ca_file = "/nowhere/ca.pem";
	assert_int_equal(get(&request), -EINVAL);
	assert_string_equal(message, "/nowhere/ca.pem: cannot be read");
}

/* RFC 3986, sections 5.4.1 and 5.4.2. What has no path there is written with one. */
static void test_resolve(void **state)
{
	static const char *const cases[][2] = {
		{"g", "http://a/b/c/g"},
		{"./g", "http://a/b/c/g"},
		{"g/", "http://a/b/c/g/"},
		{"/g", "http://a/g"},
		{"//g", "http://g/"},
		{"?y", "http://a/b/c/d;p?y"},
		{"g?y", "http://a/b/c/g?y"},
		{"#s", "http://a/b/c/d;p?q"}, /* fragments are the reader's: they go */
		{"g#s", "http://a/b/c/g"},
		{"g?y#s", "http://a/b/c/g?y"},
		{";x", "http://a/b/c/;x"},
		{"g;x", "http://a/b/c/g;x"},
		{"g;x?y#s", "http://a/b/c/g;x?y"},
		{"", "http://a/b/c/d;p?q"},
		{".", "http://a/b/c/"},
		{"./", "http://a/b/c/"},
		{"..", "http://a/b/"},
		{"../", "http://a/b/"},
		{"../g", "http://a/b/g"},
		{"../..", "http://a/"},
		{"../../", "http://a/"},
		{"../../g", "http://a/g"},
		{"../../../g", "http://a/g"},
		{"../../../../g", "http://a/g"},
		{"/./g", "http://a/g"},
		{"/../g", "http://a/g"},
		{"g.", "http://a/b/c/g."},
		{".g", "http://a/b/c/.g"},
		{"g..", "http://a/b/c/g.."},
		{"..g", "http://a/b/c/..g"},
		{"./../g", "http://a/b/g"},
		{"./g/.", "http://a/b/c/g/"},
		{"g/./h", "http://a/b/c/g/h"},
		{"g/../h", "http://a/b/c/h"},
		{"g;x=1/./y", "http://a/b/c/g;x=1/y"},
		{"g;x=1/../y", "http://a/b/c/y"},
		{"g?y/./x", "http://a/b/c/g?y/./x"},
		{"g?y/../x", "http://a/b/c/g?y/../x"},
		{"https://h:8443/x", "https://h:8443/x"},
	};
	static const char *const bad[] = {
		"g:h",		 "http:g", "ftp://h/x", "file:///etc/passwd", "http://u:p@h/x",
		"http://[::1/x", "a\nb",   "http://"};
	char *out = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (fetch_url_resolve("http://a/b/c/d;p?q", cases[i][0], &out))
			fail_msg("%s", cases[i][0]);
		assert_string_equal(out, cases[i][1]);
		free(out);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (fetch_url_resolve("http://a/b/c/d;p?q", bad[i], &out) != -EINVAL)
			fail_msg("%s: %s", bad[i], out);
	assert_int_equal(fetch_url_resolve("no base", "x", &out), -EINVAL);
	assert_int_equal(fetch_url_resolve("", "http://a/", &out), -EINVAL);
}

static int tear_down(void **state)
{
	fetch_document_release(&document);
	return world_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),	     cmocka_unit_test(test_file),
		cmocka_unit_test(test_not_modified), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_errors),	     cmocka_unit_test(test_urls),
		cmocka_unit_test(test_addresses),    cmocka_unit_test(test_cap),
		cmocka_unit_test(test_stall),	     cmocka_unit_test(test_unwanted),
		cmocka_unit_test(test_headers),	     cmocka_unit_test(test_tls),
		cmocka_unit_test(test_resolve),
	};

	return cmocka_run_group_tests_name("fetch-document", tests, world_set_up_tls, tear_down);
}
