/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills a store with complete objects, as if they had been fetched, but many at a time: no sync for each.
 *
 *	store-fill STORE COUNT LENGTH
 *
 * What an object holds follows from its number; its digests are right, so that it can be read and verified. Each was
 * opened once by the first view, a second after the one before. Prints how many bytes the store has in use.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include "common/io.h"
#include "store/internal.h"
#include "verify/verify.h"

#define AT_A_TIME 1000

struct filler {
	struct store *store;
	char *bytes;
	size_t len;
	int64_t opened;
};

static int digest(const struct filler *filler, struct digest_pair *out)
{
	struct verify_stream *stream;
	struct verify_result result;
	int r;

	r = verify_stream_new(&stream);
	if (r < 0)
		return r;
	r = verify_stream_update(stream, filler->bytes, filler->len);
	if (r == 0)
		r = verify_stream_finish(stream, &result);
	verify_stream_free(stream);
	if (r < 0)
		return r;
	*out = (struct digest_pair){true, true, result.sha256, *verify_tree_fsverity(result.tree)};
	verify_tree_free(result.tree);
	return 0;
}

static int write_file(const struct filler *filler, const struct digest_name *name)
{
	char path[STORE_FILE_PATH_SIZE], dir[3] = "";
	_cleanup_close_ int fd = -1;

	store_file_path(name, path);
	memcpy(dir, path, 2);
	if (mkdirat(filler->store->objects_fd, dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(filler->store->objects_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : io_pwrite(fd, filler->bytes, filler->len, 0);
}

static int add(struct filler *filler, struct db_batch *batch)
{
	struct record record = {.size = filler->len, .name = DIGEST_SHA256, .complete = true, .file = true};
	struct schema_key opened, user;
	uint8_t value[SCHEMA_TIME_SIZE];
	struct digest_name name;
	uint64_t id;
	int r;

	r = digest(filler, &record.digests);
	if (r == 0)
		r = store_next_id(filler->store, &filler->store->object_ids, &id);
	if (r < 0)
		return r;
	name = record_name(&record);
	r = write_file(filler, &name);
	if (r < 0)
		return r;
	record_put(batch, id, &record);
	opened = schema_key_id(SCHEMA_OPENED, id);
	user = schema_key_id(SCHEMA_USER, id);
	schema_key_u32(&user, 1);
	schema_put_time(value, filler->opened++);
	db_batch_put(batch, &opened, value, sizeof(value));
	db_batch_put(batch, &user, value, sizeof(value));
	return 0;
}

static int fill_some(struct filler *filler, uint64_t first, uint64_t end)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	int r = 0;

	for (uint64_t number = first; number < end && r == 0; number++) {
		for (size_t i = 0; i + sizeof(number) <= filler->len; i += sizeof(number))
			memcpy(filler->bytes + i, &number, sizeof(number));
		r = add(filler, &batch);
	}
	return r < 0 ? r : db_write(filler->store->db, &batch, end % (100 * AT_A_TIME) == 0);
}

static int fill(struct filler *filler, uint64_t count)
{
	int r = 0;

	filler->store->object_ids.batch = 1 << 20; /* each reservation is a sync */
	for (uint64_t first = 0; first < count && r == 0; first += AT_A_TIME)
		r = fill_some(filler, first, first + AT_A_TIME < count ? first + AT_A_TIME : count);
	return r;
}

int main(int argc, char **argv)
{
	struct store_options options = {.size = UINT64_MAX / 2};
	struct filler filler = {0};
	uint64_t count;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: store-fill STORE COUNT LENGTH\n");
		return 2;
	}
	options.path = argv[1];
	count = strtoull(argv[2], NULL, 10);
	filler.len = strtoull(argv[3], NULL, 10);
	filler.opened = (int64_t)time(NULL) - (int64_t)count;
	filler.bytes = calloc(1, filler.len + 1);
	r = filler.bytes ? store_open(&options, &filler.store) : -ENOMEM;
	if (r == 0)
		r = fill(&filler, count);
	store_close(filler.store);
	free(filler.bytes);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
		return 1;
	}
	printf("%" PRIu64 "\n", count * filler.len);
	return 0;
}
