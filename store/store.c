/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing; claims; sequences.
 *
 * Open: lock → RocksDB, read once from end to end, and made anew if that fails (store/meta.c) → what a crash interrupted is
 * finished (removals; tmp/ was emptied) → files without a record get one (store/adopt.c) → the sum of what objects take.
 * Of the objects' files only the names are read, whatever their number.
 */
#include "store/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include "common/io.h"
#include "common/log.h"
#include "store/bare.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

void store_claim(struct store *store, bool *claim)
{
	pthread_mutex_lock(&store->lock);
	while (*claim)
		pthread_cond_wait(&store->changed, &store->lock);
	*claim = true;
	pthread_mutex_unlock(&store->lock);
}

void store_unclaim(struct store *store, bool *claim)
{
	pthread_mutex_lock(&store->lock);
	*claim = false;
	pthread_cond_broadcast(&store->changed);
	pthread_mutex_unlock(&store->lock);
}

/*
 * Claimed: naming. A batch is on the disk, synced, before its first id is used; what a crash left
 * of one is lost. An id whose record could not be written is lost, too, as the record may come
 * back.
 */
int store_next_id(struct store *store, struct sequence *sequence, uint64_t *out)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key key = schema_key(SCHEMA_SEQUENCE);
	uint64_t until = sequence->next + sequence->batch;
	uint8_t value[9] = {SCHEMA_VALUE_VERSION};
	int r;

	if (sequence->next > sequence->last)
		return log_error_errno(-ENOSPC, "%s: all ids of kind '%c' were given out",
				       store->path, sequence->kind);
	if (sequence->next == sequence->until) {
		schema_key_u8(&key, sequence->kind);
		schema_put_u64(value + 1, until);
		db_batch_put(&batch, &key, value, sizeof(value));
		r = db_write(store->db, &batch, true);
		if (r < 0)
			return r;
		sequence->until = until;
	}
	*out = sequence->next++;
	return 0;
}

static int load_sequence(struct store *store, struct sequence *sequence)
{
	struct schema_key key = schema_key(SCHEMA_SEQUENCE);
	_cleanup_free_ uint8_t *value = NULL;
	size_t len;
	int r;

	schema_key_u8(&key, sequence->kind);
	r = db_get(store->db, &key, &value, &len);
	if (r == 0 && (len != 9 || value[0] != SCHEMA_VALUE_VERSION))
		return log_error_errno(-EIO, "%s: a sequence cannot be understood", store->path);
	if (r < 0 && r != -ENOENT)
		return r;
	sequence->next = sequence->until = r == 0 ? schema_get_u64(value + 1) : 1;
	return 0;
}

/* The 32 hex digits of a UUID. */
static int parse_boot_id(const char *text, uint8_t out[STORE_BOOT_ID_SIZE])
{
	size_t n = 0;

	memset(out, 0, STORE_BOOT_ID_SIZE);
	for (; *text && *text != '\n'; text++) {
		int digit = isdigit((unsigned char)*text)
				    ? *text - '0'
				    : tolower((unsigned char)*text) - 'a' + 10;

		if (*text == '-')
			continue;
		if (!isxdigit((unsigned char)*text) || n == (size_t)2 * STORE_BOOT_ID_SIZE)
			return -EINVAL;
		out[n / 2] = (uint8_t)(out[n / 2] << 4 | digit);
		n++;
	}
	return n == (size_t)2 * STORE_BOOT_ID_SIZE ? 0 : -EINVAL;
}

static int read_boot_id(struct store *store, const char *given)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (!given) {
		r = io_read_file(BOOT_ID_FILE, 4096, &text, &len);
		if (r < 0)
			return log_error_errno(r, BOOT_ID_FILE);
		given = text;
	}
	r = parse_boot_id(given, store->boot_id);
	return r < 0 ? log_error_errno(r, "boot id \"%s\"", given) : 0;
}

static int finish_removal(void *arg, const uint8_t *key, size_t key_len, const uint8_t *value,
			  size_t len)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct schema_key doomed;
	struct store *store = arg;
	char path[STORE_FILE_PATH_SIZE];
	struct digest_name name;
	struct record record;
	uint64_t id;
	int r;

	if (key_len != 2 + DIGEST_SIZE || key[1] > DIGEST_FSVERITY)
		return log_error_errno(-EIO, "%s: a removal cannot be understood", store->path);
	name.kind = key[1];
	memcpy(name.digest.bytes, key + 2, DIGEST_SIZE);
	r = record_find(store, &name, &id, &record);
	if (r < 0 && r != -ENOENT)
		return r;
	store_file_path(&name, path);
	/* The name may have a new owner by now. */
	if (r == -ENOENT && unlinkat(store->objects_fd, path, 0) < 0 && errno != ENOENT) {
		log_warning_errno(-errno, "%s/objects/%s stays", store->path, path);
		return 0;
	}
	doomed = schema_key_digest(SCHEMA_DOOMED, &name);
	db_batch_delete(&batch, &doomed);
	r = db_write(store->db, &batch, false);
	return r == -ENOSPC ? 0 : r;
}

static int load(struct store *store, const struct store_options *options)
{
	struct schema_key doomed = schema_key(SCHEMA_DOOMED);
	_cleanup_free_ struct census *census = calloc(1, sizeof(*census));
	bool replaced;
	int r;

	if (!census)
		return -ENOMEM;
	r = read_boot_id(store, options->boot_id);
	if (r < 0)
		return r;
	r = store_place_open(store);
	if (r < 0)
		return r;
	r = meta_open(store, census, &replaced);
	if (r < 0)
		return r;
	r = load_sequence(store, &store->object_ids);
	if (r < 0)
		return r;
	r = load_sequence(store, &store->view_ids);
	if (r < 0)
		return r;
	r = db_scan(store->db, &doomed, doomed.len, finish_removal, store);
	if (r == 0)
		r = adopt(store, census, replaced);
	return r < 0 ? r : room_load(store, options);
}

int store_open(const struct store_options *options, struct store **out)
{
	struct store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return -ENOMEM;
	store->lock_fd = store->objects_fd = store->tmp_fd = store->grants_fd = -1;
	store->keep_free = options->keep_free;
	store->object_ids = (struct sequence){.kind = 'o', .batch = 64, .last = STORE_ID_MAX};
	/* There are few views, and few numbers for them. */
	store->view_ids = (struct sequence){.kind = 'v', .batch = 1, .last = STORE_VIEW_MAX};
	pthread_mutex_init(&store->lock, NULL);
	pthread_mutex_init(&store->accounts_lock, NULL);
	pthread_cond_init(&store->changed, NULL);
	store->path = strdup(options->path);
	r = store->path ? bares_new(options, &store->bares) : -ENOMEM;
	if (r == 0)
		r = load(store, options);
	if (r < 0) {
		store_close(store);
		return r;
	}
	*out = store;
	return 0;
}

const char *store_path(const struct store *store)
{
	return store->path;
}

void store_close(struct store *store)
{
	struct filling *filling, *next;

	if (!store)
		return;
	assert(!store->objects);
	db_close(store->db);
	store_place_close(store);
	HASH_ITER (hh, store->filling, filling, next) {
		HASH_DEL(store->filling, filling);
		free(filling);
	}
	residents_free(store);
	bares_free(store->bares);
	accounts_free(store);
	users_free(store);
	unwritten_grants_free(store);
	pthread_mutex_destroy(&store->accounts_lock);
	pthread_cond_destroy(&store->changed);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store);
}
