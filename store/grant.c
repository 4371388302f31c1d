/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What users answered to rules that ask: grants/<uid>, a text file each.
 *
 *	weightfs grants 1
 *	grant MADE UNTIL ORIGIN digest NAME        seconds since the epoch; UNTIL 0: for ever
 *	refuse MADE UNTIL ORIGIN set NAME
 *	crc32 XXXXXXXX                             of all lines before
 *
 * They are not in the database, because of a damaged one old values come back: what was deleted, and, where the block
 * with the newer value is lost, what was overwritten, so that a grant that was taken back would hold again, however
 * that is recorded. A file is replaced as a whole: it has what was acknowledged last, or cannot be
 * understood. Of one that cannot nothing counts: its user is asked again. What was refused or taken back, and could not be
 * written, holds in memory.
 */
#include "store/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include "common/io.h"
#include "common/log.h"

#define FIRST_LINE "weightfs grants 1"
#define FILE_MAX   ((size_t)4 << 20) /* more than STORE_GRANTS_MAX lines of the greatest length */
#define NAME_SIZE  32

struct list {
	struct store_grant *items;
	size_t n;
};

static void list_free(struct list *list)
{
	free(list->items);
}

/* That of zip and Ethernet, four bits at a time. */
static uint32_t crc32_of(const char *data, size_t len)
{
	static const uint32_t steps[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= (uint8_t)data[i];
		crc = crc >> 4 ^ steps[crc & 15];
		crc = crc >> 4 ^ steps[crc & 15];
	}
	return ~crc;
}

/* ---- reading ---- */

static bool is_word(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return len > 0 && len < size;
}

static int parse_time(const char *text, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno || *end || end == text || *out < 0 ? -EUCLEAN : 0;
}

/* LINE is taken apart. */
static int parse_line(char *line, struct store_grant *out)
{
	enum { ANSWER, MADE, UNTIL, ORIGIN, KIND, NAME, WORDS };
	char *words[WORDS] = {NULL};
	size_t n = 0;

	while (line && n < WORDS)
		words[n++] = strsep(&line, " ");
	if (n < WORDS || line || parse_time(words[MADE], &out->made) < 0 ||
	    parse_time(words[UNTIL], &out->until) < 0)
		return -EUCLEAN;
	out->refused = !strcmp(words[ANSWER], "refuse");
	if (!out->refused && strcmp(words[ANSWER], "grant") != 0)
		return -EUCLEAN;
	if (!is_word(words[ORIGIN], sizeof(out->origin)))
		return -EUCLEAN;
	snprintf(out->origin, sizeof(out->origin), "%s", words[ORIGIN]);
	if (!strcmp(words[KIND], "digest"))
		return digest_name_parse(words[NAME], &out->about.digest) < 0 ? -EUCLEAN : 0;
	if (strcmp(words[KIND], "set") != 0 || !is_word(words[NAME], sizeof(out->about.set)))
		return -EUCLEAN;
	snprintf(out->about.set, sizeof(out->about.set), "%s", words[NAME]);
	return 0;
}

/* Everything but the last line, if that says so. TEXT is cut there. */
static int check_sum(char *text, size_t len)
{
	char expected[32];
	char *last;

	if (strlen(text) != len || len < 2 || text[len - 1] != '\n')
		return -EUCLEAN;
	last = memrchr(text, '\n', len - 1);
	if (!last)
		return -EUCLEAN;
	last++;
	snprintf(expected, sizeof(expected), "crc32 %08" PRIx32 "\n",
		 crc32_of(text, (size_t)(last - text)));
	if (strcmp(last, expected) != 0)
		return -EUCLEAN;
	*last = '\0';
	return 0;
}

/* TEXT is taken apart. */
static int parse(uid_t uid, char *text, size_t len, struct list *list)
{
	char *line;
	int r = check_sum(text, len);

	if (r < 0 || !(line = strsep(&text, "\n")) || strcmp(line, FIRST_LINE) != 0)
		return -EUCLEAN;
	while ((line = strsep(&text, "\n")) && *line) {
		struct store_grant *grant = &list->items[list->n];

		if (list->n == STORE_GRANTS_MAX)
			return -EUCLEAN;
		*grant = (struct store_grant){.uid = uid};
		r = parse_line(line, grant);
		if (r < 0)
			return r;
		list->n++;
	}
	return 0;
}

/* Out of the way, for whoever wants to look. */
static void put_aside(struct store *store, const char *name)
{
	char aside[NAME_SIZE + 8];

	snprintf(aside, sizeof(aside), "%s.damaged", name);
	log_error("%s/grants/%s is damaged: nothing that this user answered counts any more (it is %s now)",
		  store->path, name, aside);
	if (renameat(store->grants_fd, name, store->grants_fd, aside) < 0)
		log_warning_errno(-errno, "%s/grants/%s stays", store->path, name);
}

/* ---- what could not be written. Claimed: answering ---- */

static const struct unwritten_grants *find_unwritten(const struct store *store, uid_t uid)
{
	const struct unwritten_grants *found = store->unwritten;

	while (found && found->uid != uid)
		found = found->next;
	return found;
}

static void forget_unwritten(struct store *store, uid_t uid)
{
	struct unwritten_grants **at = &store->unwritten, *found;

	while (*at && (*at)->uid != uid)
		at = &(*at)->next;
	found = *at;
	if (!found)
		return;
	*at = found->next;
	free(found->items);
	free(found);
}

void unwritten_grants_free(struct store *store)
{
	while (store->unwritten)
		forget_unwritten(store, store->unwritten->uid);
}

/* LIST, which is to be freed, has room for one more. Claimed: answering. */
static int read_list(struct store *store, uid_t uid, struct list *list)
{
	const struct unwritten_grants *unwritten = find_unwritten(store, uid);
	_cleanup_free_ char *path = NULL, *text = NULL;
	char name[NAME_SIZE];
	size_t len;
	int r;

	list->n = 0;
	list->items = calloc(STORE_GRANTS_MAX + 1, sizeof(*list->items));
	snprintf(name, sizeof(name), "%u", uid);
	if (!list->items || asprintf(&path, "%s/grants/%s", store->path, name) < 0)
		return -ENOMEM;
	if (unwritten) {
		memcpy(list->items, unwritten->items, unwritten->n * sizeof(*list->items));
		list->n = unwritten->n;
		return 0;
	}
	r = io_read_file(path, FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0 && r != -EFBIG)
		return log_error_errno(r, "%s cannot be read", path);
	r = r == -EFBIG ? -EUCLEAN : parse(uid, text, len, list);
	if (r < 0) {
		list->n = 0;
		put_aside(store, name);
	}
	return 0;
}

/* ---- writing ---- */

static void print(FILE *out, const struct store_grant *grant)
{
	char digest[DIGEST_NAME_SIZE];
	bool of_set = *grant->about.set;

	if (!of_set)
		digest_name_format(&grant->about.digest, digest);
	fprintf(out, "%s %" PRId64 " %" PRId64 " %s %s %s\n", grant->refused ? "refuse" : "grant",
		grant->made, grant->until, grant->origin, of_set ? "set" : "digest",
		of_set ? grant->about.set : digest);
}

static int format(const struct list *list, char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		return -ENOMEM;
	fprintf(out, FIRST_LINE "\n");
	for (size_t i = 0; i < list->n; i++)
		print(out, &list->items[i]);
	if (fflush(out) != EOF)
		fprintf(out, "crc32 %08" PRIx32 "\n", crc32_of(*text, *len));
	if (fclose(out) != EOF)
		return 0;
	free(steal_pointer(*text));
	return -ENOMEM;
}

/* Durable, or an error, after which it may have been written all the same. URGENT: see grant_file_write(). */
static int write_list(struct store *store, uid_t uid, const struct list *list, bool urgent)
{
	_cleanup_free_ char *text = NULL;
	char name[NAME_SIZE];
	size_t len;
	int r;

	r = format(list, &text, &len);
	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%u", uid);
	r = grant_file_write(store, name, text, len, urgent);
	if (r == 0)
		forget_unwritten(store, uid);
	return r;
}

/* LIST has less of grants than what is on the disk, and counts until the store closes even if it cannot be written. */
static int write_taken(struct store *store, uid_t uid, struct list *list)
{
	struct unwritten_grants *unwritten = calloc(1, sizeof(*unwritten));
	int r = unwritten ? write_list(store, uid, list, true) : -ENOMEM;

	if (r == 0 || !unwritten) {
		free(unwritten);
		return r;
	}
	forget_unwritten(store, uid);
	*unwritten = (struct unwritten_grants){uid, steal_pointer(list->items), list->n, store->unwritten};
	store->unwritten = unwritten;
	return r;
}

/* ---- what is done with them ---- */

static bool same_about(const struct store_about *a, const struct store_about *b)
{
	if (*a->set || *b->set)
		return !strcmp(a->set, b->set);
	return digest_name_compare(&a->digest, &b->digest) == 0;
}

/* Those of ORIGIN, about ABOUT if that is not NULL, go. How many that were. */
static size_t take_out(struct list *list, const char *origin, const struct store_about *about)
{
	size_t kept = 0, before = list->n;

	for (size_t i = 0; i < before; i++) {
		const struct store_grant *grant = &list->items[i];

		if (strcmp(grant->origin, origin) != 0 || (about && !same_about(&grant->about, about)))
			list->items[kept++] = *grant;
	}
	list->n = kept;
	return before - kept;
}

static bool has(const struct list *list, const struct store_grant *wanted)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct store_grant *grant = &list->items[i];

		if (!strcmp(grant->origin, wanted->origin) && same_about(&grant->about, &wanted->about))
			return grant->made == wanted->made && grant->until == wanted->until;
	}
	return false;
}

/* What is over by the clock is not there any more once a list is written, wherever the clock goes then. */
static void take_out_expired(struct list *list)
{
	int64_t now = time(NULL);
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].until == 0 || list->items[i].until > now)
			list->items[kept++] = list->items[i];
	}
	list->n = kept;
}

int store_grant_put(struct store *store, const struct store_grant *grant)
{
	_cleanup_(list_free) struct list list = {NULL};
	int r;

	if (!is_word(grant->origin, sizeof(grant->origin)) || grant->made < 0 || grant->until < 0 ||
	    (*grant->about.set && !is_word(grant->about.set, sizeof(grant->about.set))))
		return -EINVAL;
	store_claim(store, &store->answering);
	r = read_list(store, grant->uid, &list);
	if (r == 0) {
		take_out_expired(&list);
		take_out(&list, grant->origin, &grant->about);
		if (list.n < STORE_GRANTS_MAX)
			list.items[list.n++] = *grant;
		else
			r = -E2BIG;
	}
	if (r == 0)
		r = grant->refused ? write_taken(store, grant->uid, &list) :
				     write_list(store, grant->uid, &list, false);
	store_unclaim(store, &store->answering);
	return r;
}

/* AS (may be NULL): only if it was answered then, and for as long. */
static int drop(struct store *store, uid_t uid, const char *origin, const struct store_about *about,
		const struct store_grant *as, size_t *dropped)
{
	_cleanup_(list_free) struct list list = {NULL};
	size_t n = 0;
	int r;

	store_claim(store, &store->answering);
	r = read_list(store, uid, &list);
	if (r == 0 && (!as || has(&list, as)))
		n = take_out(&list, origin, about);
	if (n > 0) {
		take_out_expired(&list);
		r = write_taken(store, uid, &list);
	}
	store_unclaim(store, &store->answering);
	if (r == 0)
		*dropped = n;
	return r;
}

int store_grant_drop(struct store *store, uid_t uid, const char *origin,
		     const struct store_about *about, size_t *dropped)
{
	return drop(store, uid, origin, about, NULL, dropped);
}

int store_grant_end(struct store *store, const struct store_grant *grant)
{
	size_t dropped;

	return drop(store, grant->uid, grant->origin, &grant->about, grant, &dropped);
}

int store_grants(struct store *store, uid_t uid, struct store_grant **out, size_t *n)
{
	_cleanup_(list_free) struct list list = {NULL};
	int r;

	store_claim(store, &store->answering);
	r = read_list(store, uid, &list);
	store_unclaim(store, &store->answering);
	if (r < 0)
		return r;
	*n = list.n;
	*out = steal_pointer(list.items);
	return 0;
}

int store_grant_users(struct store *store, uid_t **out, size_t *n)
{
	int fd = openat(store->grants_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	_cleanup_free_ uid_t *uids = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return log_error_errno(-errno, "%s/grants cannot be read", store->path);
	while (r == 0 && (entry = readdir(dir))) {
		char name[NAME_SIZE];
		unsigned long uid = strtoul(entry->d_name, NULL, 10);

		snprintf(name, sizeof(name), "%lu", uid);
		if (strcmp(name, entry->d_name) != 0)
			continue; /* a damaged one */
		if (count == capacity) {
			uid_t *more = realloc(uids, (capacity + 64) * sizeof(*uids));

			r = more ? 0 : -ENOMEM;
			uids = more ? more : uids;
			capacity += more ? 64 : 0;
		}
		if (r == 0)
			uids[count++] = (uid_t)uid;
	}
	closedir(dir);
	if (r == 0) {
		*n = count;
		*out = steal_pointer(uids);
	}
	return r;
}
