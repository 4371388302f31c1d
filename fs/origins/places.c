/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/places.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LINKS_MAX 40 /* as the kernel */

static void drop_name(struct place *place, struct name *name)
{
	HASH_DEL(place->names, name);
	free(name->text);
	free(name);
}

void places_drop_names(struct place *place)
{
	struct name *name, *next;

	HASH_ITER(hh, place->names, name, next) {
		if (!name->seen)
			drop_name(place, name);
	}
}

void places_drop(struct place **places, struct place *place)
{
	struct name *name, *next;

	HASH_ITER(hh, place->names, name, next)
		drop_name(place, name);
	HASH_DEL(*places, place);
	free(place->path);
	free(place);
}

void places_forget_marks(struct place *places)
{
	for (struct place *place = places; place; place = place->hh.next) {
		place->seen = place->all = place->bytes = false;
		for (struct name *name = place->names; name; name = name->hh.next)
			name->seen = false;
	}
}

size_t places_count(const struct place *places)
{
	size_t n = HASH_COUNT(places);

	for (const struct place *place = places; place; place = place->hh.next)
		n += HASH_COUNT(place->names);
	return n;
}

/* NULL: no memory. */
static struct place *note_place(struct place **places, const char *path, bool folder)
{
	struct place *place;

	HASH_FIND_STR(*places, path, place);
	if (!place) {
		place = calloc(1, sizeof(*place));
		if (!place || !(place->path = strdup(path))) {
			free(place);
			return NULL;
		}
		place->wd = -1;
		HASH_ADD_KEYPTR(hh, *places, place->path, strlen(place->path), place);
	}
	place->folder = folder;
	place->seen = true;
	return place;
}

/* LAST: it is what is read, or would be. */
static int note_name(struct place **places, const char *folder, const char *text, bool last)
{
	struct place *place = note_place(places, folder, true);
	struct name *name;

	if (!place)
		return -ENOMEM;
	place->bytes |= last;
	HASH_FIND_STR(place->names, text, name);
	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name || !(name->text = strdup(text))) {
			free(name);
			return -ENOMEM;
		}
		HASH_ADD_KEYPTR(hh, place->names, name->text, strlen(name->text), name);
	}
	name->seen = true;
	return 0;
}

/* What a path leads to in the end. */
static int note_end(struct place **places, const char *path)
{
	struct place *place;
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0; /* gone in between: there will be an event */
	place = note_place(places, path, S_ISDIR(st.st_mode));
	if (place && S_ISDIR(st.st_mode))
		place->all = place->bytes = true;
	return place ? 0 : -ENOMEM;
}

/* The next of the words between slashes, cut off; NULL after the last. */
static char *next_word(char **rest)
{
	char *word;

	do
		word = strsep(rest, "/");
	while (word && !*word);
	return word;
}

static void leave_folder(char *at)
{
	char *slash = strrchr(at, '/');

	slash[slash == at] = '\0';
}

/* AT, a folder, with NAME behind it. */
static int enter(char at[PATH_MAX], const char *name)
{
	size_t len = strlen(at);
	int n = snprintf(at + len, PATH_MAX - len, "%s%s", len > 1 ? "/" : "", name);

	return (size_t)n < PATH_MAX - len ? 0 : -ENAMETOOLONG;
}

static bool is_last(const char *rest)
{
	return !rest || rest[strspn(rest, "/")] == '\0';
}

int places_trace(struct place **places, const char *path)
{
	char at[PATH_MAX] = "/", text[2 * PATH_MAX], link[PATH_MAX], *rest = text, *word;
	unsigned int links = 0;
	int r = 0;

	if (snprintf(text, sizeof(text), "%s", path) >= PATH_MAX)
		return -ENAMETOOLONG;
	while (r == 0 && (word = next_word(&rest))) {
		ssize_t n;

		if (!strcmp(word, "."))
			continue;
		if (!strcmp(word, "..")) {
			leave_folder(at);
			continue;
		}
		r = note_name(places, at, word, is_last(rest));
		if (r == 0)
			r = enter(at, word);
		n = r == 0 ? readlink(at, link, sizeof(link) - 1) : -1;
		if (r == 0 && n < 0 && errno != EINVAL)
			return 0; /* nothing there: the way ends, and its folder tells when it goes on */
		if (n < 0)
			continue;
		link[n] = '\0';
		if (++links > LINKS_MAX)
			return 0;
		/* The way goes on where the link leads, and then with what is left. */
		if (link[0] == '/')
			snprintf(at, sizeof(at), "/");
		else
			leave_folder(at);
		if (enter(link, rest ? rest : "") < 0)
			return -ENAMETOOLONG;
		snprintf(text, sizeof(text), "%s", link);
		rest = text;
	}
	return r == 0 ? note_end(places, at) : r;
}
