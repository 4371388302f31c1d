/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes on the control socket, sent at once, with a descriptor: each line is answered by lines of JSON, of which the
 * last one, and no other, says that it is over. The daemon behind it is real but for its mount, and has a store of a
 * few small objects, and no source.
 */
#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "common/log.h"
#include "fs/control/protocol.h"
#include "fs/daemon.h"
#include "fs/origins/access.h"
#include "fs/origins/pending.h"
#include "fs/origins/view.h"

#define INPUT_MAX  ((size_t)100 << 10) /* fits into the socket's buffer */
#define REPLY_MAX  ((size_t)1 << 20)
#define LINES_MAX  8    /* of a conversation: what follows is not read */
#define DAEMON_MAX 1024 /* conversations until a new one is started, on an empty store: deleted keys add up */
#define SHA256_AA  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CHUNK_DATA "these bytes do not have the digest that they are stored by"

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct weightfs fs;
static char folder[256];
static int file; /* what a client would add */

/* ---- the daemon ---- */

struct known {
	enum digest_kind kind;
	int byte; /* repeated, the digest */
	uint64_t size;
	bool partial;
	uint64_t id; /* of its last record; 0: none yet */
};

/* "aaa…", "fsverity-bbb…", "ccc…": of none of them are the right bytes anywhere. */
static struct known objects[] = {
	{ DIGEST_SHA256, 0xaa, 3 * CHUNK_SIZE, false, 0 },
	{ DIGEST_FSVERITY, 0xbb, sizeof(CHUNK_DATA), true, 0 },
	{ DIGEST_SHA256, 0xcc, sizeof(CHUNK_DATA), true, 0 },
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void stop(void)
{
	daemon_stop(&fs);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	require(out && fputs(text, out) >= 0 && fclose(out) == 0);
}

static void start(void)
{
	const char *below = getenv("TMPDIR");
	struct settings settings = { 0 };
	struct policy_slot *policy;
	struct config config;

	static const char rules[] = "caller any is local\nset ours sha256-" SHA256_AA "\n"
				    "ask https://a.example to any with list\nallow local to any with list\n";
	_cleanup_free_ char *policy_path = NULL;

	snprintf(folder, sizeof(folder), "%s/weightfs-fuzz-XXXXXX", below ? below : "/dev/shm");
	require(mkdtemp(folder));
	require(asprintf(&settings.store, "%s/store", folder) > 0);
	require(asprintf(&settings.socket, "%s/control.sock", folder) > 0);
	config_defaults(&config);
	config.fetch.memory = 16 * CHUNK_SIZE;
	config.store.size.bytes = 64 << 20;
	require(asprintf(&policy_path, "%s/policy", folder) > 0);
	write_file(policy_path, rules);
	require(policy_slot_new(policy_path, &policy) == 0);
	require(daemon_start(&fs, &settings, &config, policy) == 0);
	settings_free(&settings);
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		objects[i].id = 0;
}

static void start_if_due(void)
{
	static unsigned int conversations;

	if (conversations == 0) {
		log_set_level(LOG_EMERG);
		file = memfd_create("added", MFD_CLOEXEC);
		require(file >= 0 && pwrite(file, "added", 5, 0) == 5);
	}
	if (conversations % DAEMON_MAX == 0) {
		if (conversations > 0)
			stop();
		start();
	}
	/* Behind what RocksDB registered when it was opened first, so before it. */
	if (conversations++ == 0)
		require(atexit(stop) == 0);
}

/* What the last conversation removed is there again. */
static void make_object(struct known *known)
{
	struct digest_name name = { .kind = known->kind };
	struct store_object *object;
	struct store_info info;

	memset(&name.digest, known->byte, sizeof(name.digest));
	if (known->id && store_get(fs.store, known->id, &info) == 0)
		return;
	require(store_create(fs.store, &name, known->size, NULL, 0, &info) == 0);
	known->id = info.id;
	if (!known->partial || info.present > 0)
		return;
	require(store_object_open(fs.store, info.id, &object) == 0);
	require(store_object_put(object, 0, CHUNK_DATA, sizeof(CHUNK_DATA)) == 0);
	store_object_close(object);
}

/* Somebody asked for what was answered in the last conversation, and for what nobody knows. */
static void ask(void)
{
	struct digest_name unknown = { .kind = DIGEST_FSVERITY };
	const struct view *view;

	require(view_of(fs.views, getuid(), "https://a.example", &view) == 0);
	pending_note(fs.pendings, view->number, view->uid, &unknown, 1);
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
		struct digest_name name = { .kind = objects[i].kind };

		memset(&name.digest, objects[i].byte, sizeof(name.digest));
		pending_note(fs.pendings, view->number, view->uid, &name, 2);
	}
}

/* ---- the client's side ---- */

static void send_input(int sock, const void *data, size_t size)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} ancillary = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)data, size };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ancillary,
		.msg_controllen = sizeof(ancillary),
	};

	memcpy(CMSG_DATA(&ancillary.header), &file, sizeof(file));
	require(lseek(file, 0, SEEK_SET) == 0);
	require(sendmsg(sock, &message, MSG_NOSIGNAL) == (ssize_t)size);
	require(shutdown(sock, SHUT_WR) == 0);
}

static void check_line(const char *line, size_t len, bool last)
{
	json_t *json = json_loadb(line, len, 0, NULL);
	json_t *done = json_object_get(json, "done"), *error = json_object_get(json, "error");

	require(json_is_object(json));
	require((done || error) == last);
	if (done)
		require(json_is_true(done));
	if (error)
		require(*json_string_value(error) &&
			json_integer_value(json_object_get(json, "errno")) > 0);
	json_decref(json);
}

static void check_reply(int sock)
{
	static char reply[REPLY_MAX];
	size_t used = 0, begin = 0;
	ssize_t n;

	while ((n = recv(sock, reply + used, sizeof(reply) - used, MSG_DONTWAIT)) > 0)
		used += (size_t)n;
	require(n < 0 && errno == EAGAIN);
	require(used > 0 && used < sizeof(reply) && reply[used - 1] == '\n');
	while (begin < used) {
		const char *end = memchr(reply + begin, '\n', used - begin);
		size_t next = (size_t)(end - reply) + 1;

		check_line(reply + begin, next - 1 - begin, next == used);
		begin = next;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conversation conversation;
	int socks[2], passed, r = 0;
	const char *line;
	size_t len;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	start_if_due();
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		make_object(&objects[i]);
	ask();
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) == 0);
	send_input(socks[0], data, size);
	conversation.fs = &fs;
	conversation.fd = socks[1];
	conversation.used = conversation.taken = 0;
	for (unsigned int i = 0; i < LINES_MAX && r == 0; i++) {
		r = conversation_receive(&conversation, &line, &len, &passed);
		if (r < 0)
			break;
		conversation_serve(&conversation, line, len, passed);
		cleanup_close(&passed);
		check_reply(socks[0]);
	}
	require(r == 0 || r == -ENODATA || r == -EMSGSIZE);
	close(socks[0]);
	close(socks[1]);
	return 0;
}
