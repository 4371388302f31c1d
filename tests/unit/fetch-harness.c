/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fetch-harness.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/io.h"

struct world world;

/* --- the server --- */

void server_start(struct server *server, const char *const args[])
{
	const char *argv[16] = {"python3", NULL, "--root", world.root};
	char script[512], line[64] = "";
	int in[2], out[2];
	size_t n = 4;

	snprintf(script, sizeof(script), "%s/tests/tools/hostile.py",
		 getenv("srcdir") ? getenv("srcdir") : "..");
	argv[1] = script;
	while (*args)
		argv[n++] = *args++;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execvp("python3", (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	server->in = in[1];
	server->out = out[0];
	for (size_t len = 0; !strchr(line, '\n'); len = strlen(line)) {
		struct pollfd ready = {.fd = server->out, .events = POLLIN};

		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		assert_int_equal(read(server->out, line + len, 1), 1);
		line[len + 1] = '\0';
		assert_true(len + 2 < sizeof(line));
	}
	assert_memory_equal(line, "port ", 5);
	snprintf(server->base, sizeof(server->base), "%s://127.0.0.1:%d",
		 n > 4 && !strcmp(argv[4], "--cert") ? "https" : "http", atoi(line + 5));
}

void server_stop(struct server *server)
{
	if (server->pid <= 0)
		return;
	close(server->in);
	close(server->out);
	waitpid(server->pid, NULL, 0);
	server->pid = 0;
}

struct text {
	char *bytes;
	size_t len;
};

static size_t append(char *data, size_t one, size_t len, void *arg)
{
	struct text *text = arg;

	text->bytes = realloc(text->bytes, text->len + len + 1);
	assert_non_null(text->bytes);
	memcpy(text->bytes + text->len, data, len);
	text->len += len;
	text->bytes[text->len] = '\0';
	return len;
}

static char *command(const struct server *server, const char *path, bool post)
{
	struct text text = {calloc(1, 1), 0};
	CURL *easy = curl_easy_init();
	char url[128];

	snprintf(url, sizeof(url), "%s%s", server->base, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)DEADLINE_MS);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, append);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &text);
	if (post)
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
	assert_int_equal(curl_easy_perform(easy), CURLE_OK);
	curl_easy_cleanup(easy);
	return text.bytes;
}

char *server_log(const struct server *server)
{
	return command(server, "/log", false);
}

unsigned int server_count(const struct server *server, const char *what)
{
	char *log = server_log(server);
	unsigned int n = 0;

	for (const char *p = log; (p = strstr(p, what)); p++)
		n++;
	free(log);
	return n;
}

void server_reset(const struct server *server)
{
	free(command(server, "/reset", true));
}

/* --- the world --- */

static char *write_file(const char *name, size_t size, unsigned int seed)
{
	char path[128], *bytes = malloc(size);
	FILE *file;

	assert_non_null(bytes);
	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (char)(seed >> 24);
	}
	snprintf(path, sizeof(path), "%s/%s", world.root, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return bytes;
}

int world_set_up(void **state)
{
	static const char *const none[] = {NULL};

	signal(SIGPIPE, SIG_IGN);
	/* Settings that must not matter: everything would fail if they did. */
	setenv("http_proxy", "http://127.0.0.1:9", 1);
	setenv("https_proxy", "http://127.0.0.1:9", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	snprintf(world.root, sizeof(world.root), "/tmp/test-fetch-XXXXXX");
	assert_non_null(mkdtemp(world.root));
	world.object = write_file("object", OBJECT_SIZE, 1);
	world.tree = write_file("object.tree", TREE_SIZE, 2);
	free(write_file("empty", 0, 0));
	world.digests.has_sha256 = true;
	memset(world.digests.sha256.bytes, 0xab, DIGEST_SIZE);
	server_start(&world.server, none);
	return 0;
}

static void make_certificates(void)
{
	char line[1024];

	snprintf(line, sizeof(line),
		 "cd '%s' && exec >/dev/null 2>&1 && "
		 "openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 "
		 "-subj '/CN=test CA' -addext keyUsage=keyCertSign && "
		 "openssl req -newkey rsa:2048 -nodes -keyout key.pem -out server.csr -subj /CN=x "
		 "&& "
		 "echo subjectAltName=IP:127.0.0.1 >ext && "
		 "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
		 "-out cert.pem -days 2 -extfile ext",
		 world.root);
	assert_int_equal(system(line), 0);
}

int world_set_up_tls(void **state)
{
	const char *args[] = {"--cert", NULL, "--key", NULL, NULL};
	char cert[128], key[128];

	world_set_up(state);
	make_certificates();
	snprintf(cert, sizeof(cert), "%s/cert.pem", world.root);
	snprintf(key, sizeof(key), "%s/key.pem", world.root);
	args[1] = cert;
	args[3] = key;
	server_start(&world.tls, args);
	return 0;
}

int world_tear_down(void **state)
{
	char line[128];

	server_stop(&world.server);
	server_stop(&world.tls);
	snprintf(line, sizeof(line), "rm -r '%s'", world.root);
	assert_int_equal(system(line), 0);
	free(world.object);
	free(world.tree);
	curl_global_cleanup();
	return 0;
}

/* --- a fetch --- */

void bed_init(struct bed *bed, size_t pool)
{
	memset(bed, 0, sizeof(*bed));
	assert_int_equal(pool_new(CHUNK_SIZE, pool, &bed->pool), 0);
	bed->options = (struct fetch_options){
		.connections = 4,
		.connect_timeout_ms = 500,
		.stall_timeout_ms = 500,
		.pool = bed->pool,
	};
}

struct fetch_source *bed_add(struct bed *bed, const struct server *server, const char *manner)
{
	static const char *const names[] = {"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"};
	struct fetch_source *source = &bed->sources[bed->n];
	const char *query = strchr(manner, '?');
	int len = query ? (int)(query - manner) : (int)strlen(manner);

	snprintf(bed->urls[bed->n], sizeof(bed->urls[0]), "%s/%.*s/object%s", server->base, len,
		 manner, query ? query : "");
	snprintf(bed->trees[bed->n], sizeof(bed->trees[0]), "%s/%.*s/object.tree%s", server->base,
		 len, manner, query ? query : "");
	*source = (struct fetch_source){
		.name = names[bed->n],
		.url = bed->urls[bed->n],
		.tree = bed->trees[bed->n],
		.allow_http = true,
		.allow_private = true,
	};
	bed->n++;
	return source;
}

void bed_start(struct bed *bed)
{
	bed->options.sources = bed->sources;
	bed->options.n_sources = bed->n;
	assert_int_equal(fetch_new(&bed->options, &bed->fetch), 0);
}

void bed_end(struct bed *bed)
{
	fetch_free(bed->fetch);
	assert_int_equal(pool_available(bed->pool), pool_count(bed->pool));
	pool_free(bed->pool);
}

/* --- a request --- */

static struct sink *sink_of(struct fetch_request *request)
{
	return container_of(request, struct sink, request);
}

static void on_chunk(struct fetch_request *request, uint64_t index, void *buffer, size_t len,
		     unsigned int source)
{
	struct sink *sink = sink_of(request);

	pthread_mutex_lock(&sink->lock);
	/* In order, each once, of the right length. */
	sink->wrong += index != request->first + sink->chunks;
	sink->wrong += len != chunk_length(request->size, index);
	sink->wrong += sink->done;
	memcpy(sink->bytes + (index - request->first) * CHUNK_SIZE, buffer, len);
	sink->chunks++;
	sink->per_source[source]++;
	if (sink->keep)
		sink->kept[sink->n_kept++] = buffer;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->lock);
	if (!sink->keep)
		pool_put(sink->bed->pool, buffer);
}

static bool on_wanted(struct fetch_request *request)
{
	struct sink *sink = sink_of(request);
	bool wanted;

	pthread_mutex_lock(&sink->lock);
	sink->asked++;
	wanted = !sink->unwanted;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->lock);
	return wanted;
}

static void on_done(struct fetch_request *request, const struct fetch_result *result)
{
	struct sink *sink = sink_of(request);

	pthread_mutex_lock(&sink->lock);
	sink->wrong += sink->done;
	sink->result = *result;
	snprintf(sink->message, sizeof(sink->message), "%s", result->message);
	if (result->front)
		sink->front_right = result->front_len <= TREE_SIZE &&
				    !memcmp(result->front, world.tree, result->front_len);
	sink->done = true;
	pthread_cond_broadcast(&sink->changed);
	pthread_mutex_unlock(&sink->lock);
}

static const struct fetch_ops ops = {on_chunk, on_wanted, on_done};

void sink_init(struct sink *sink, struct bed *bed, enum fetch_kind kind)
{
	memset(sink, 0, sizeof(*sink));
	pthread_mutex_init(&sink->lock, NULL);
	pthread_cond_init(&sink->changed, NULL);
	sink->bed = bed;
	sink->bytes = calloc(1, OBJECT_SIZE);
	sink->request = (struct fetch_request){
		.kind = kind,
		.ops = &ops,
		.digests = world.digests,
		.size = kind == FETCH_FRONT ? TREE_SIZE / 2 : OBJECT_SIZE,
		.count = OBJECT_CHUNKS,
	};
}

void sink_chunks(struct sink *sink, struct bed *bed, uint64_t first, uint64_t count)
{
	sink_init(sink, bed, FETCH_CHUNKS);
	sink->request.first = first;
	sink->request.count = count;
}

static void wait_until(struct sink *sink, bool done, unsigned int chunks)
{
	struct timespec deadline;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += DEADLINE_MS / 1000;
	pthread_mutex_lock(&sink->lock);
	while (r == 0 && !sink->done && (done || sink->chunks < chunks))
		r = pthread_cond_timedwait(&sink->changed, &sink->lock, &deadline);
	pthread_mutex_unlock(&sink->lock);
	if (r)
		fail_msg("no end of the request in %d ms", DEADLINE_MS);
}

void sink_wait(struct sink *sink)
{
	wait_until(sink, true, 0);
}

void sink_wait_chunks(struct sink *sink, unsigned int chunks)
{
	wait_until(sink, false, chunks);
}

void sink_release(struct sink *sink)
{
	void *buffers[64];
	unsigned int n;

	pthread_mutex_lock(&sink->lock);
	n = sink->n_kept;
	memcpy(buffers, sink->kept, sizeof(buffers));
	sink->n_kept = 0;
	pthread_mutex_unlock(&sink->lock);
	while (n > 0)
		pool_put(sink->bed->pool, buffers[--n]);
}

void sink_run(struct sink *sink)
{
	fetch_submit(sink->bed->fetch, &sink->request);
	sink_wait(sink);
	assert_int_equal(sink->wrong, 0);
}

void sink_destroy(struct sink *sink)
{
	pthread_mutex_destroy(&sink->lock);
	pthread_cond_destroy(&sink->changed);
	free(sink->bytes);
}

int bed_ask(struct bed *bed, enum fetch_kind kind, struct sink *sink)
{
	sink_init(sink, bed, kind);
	sink_run(sink);
	sink_destroy(sink);
	return sink->result.error;
}

void sink_assert_good(const struct sink *sink)
{
	const struct fetch_request *request = &sink->request;
	uint64_t last = request->first + request->count - 1;
	size_t len = (request->count - 1) * CHUNK_SIZE + chunk_length(request->size, last);

	assert_int_equal(sink->result.error, 0);
	assert_int_equal(sink->wrong, 0);
	assert_int_equal(sink->chunks, request->count);
	assert_memory_equal(sink->bytes, world.object + request->first * CHUNK_SIZE, len);
}

void bed_get_parts(struct bed *bed, size_t n)
{
	struct sink *sinks = calloc(n, sizeof(*sinks));

	assert_non_null(sinks);
	for (size_t i = 0; i < n; i++) {
		sink_chunks(&sinks[i], bed, i % 3, 3);
		fetch_submit(bed->fetch, &sinks[i].request);
	}
	for (size_t i = 0; i < n; i++) {
		sink_wait(&sinks[i]);
		sink_assert_good(&sinks[i]);
		sink_destroy(&sinks[i]);
	}
	free(sinks);
}

int bed_get(struct bed *bed, char message[FETCH_MESSAGE_SIZE])
{
	struct sink sink;

	sink_init(&sink, bed, FETCH_CHUNKS);
	sink_run(&sink);
	if (sink.result.error == 0) {
		assert_int_equal(sink.chunks, OBJECT_CHUNKS);
		assert_memory_equal(sink.bytes, world.object, OBJECT_SIZE);
	}
	if (message)
		memcpy(message, sink.message, FETCH_MESSAGE_SIZE);
	sink_destroy(&sink);
	return sink.result.error;
}
