/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of a catalog as a tree. They are sorted by components, so what is in a folder is one run of them: a folder is
 * entered, and left, by bisection.
 */
#include "verify/catalog-internal.h"

#include <fnmatch.h>
#include <string.h>

/* The end of a name first, then "/". No two alike: paths come from anybody, and may have any byte in them. */
static unsigned int rank(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : 1U + (unsigned char)c;
}

int catalog_path_compare(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (int)rank(*a) - (int)rank(*b);
}

/* A run of names that begin with the same LEN bytes: "" or a folder with its "/". */
struct span {
	size_t first, end, len;
};

static const char *name_at(const struct verify_catalog *catalog, size_t i)
{
	return catalog->strings + catalog->names[i].text;
}

/* Where NAME is compared to PATH (LEN bytes) and what is in it: before (< 0), in (0), behind (> 0). */
static int side_of(const char *name, const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] != path[i])
			return (int)rank(name[i]) - (int)rank(path[i]);
	return name[len] == '\0' || name[len] == '/' ? 0 : 1;
}

/*
 * The first name from LOW on, before HIGH, that is in PATH or behind it; with PAST, that is behind it. Steps that double
 * first: what is looked for is near.
 */
static size_t bound(const struct verify_catalog *catalog, size_t low, size_t high, const char *path,
		    size_t len, bool past)
{
	size_t step = 1;

	while (step < high - low &&
	       side_of(name_at(catalog, low + step - 1), path, len) < (past ? 1 : 0)) {
		low += step;
		step *= 2;
	}
	if (step < high - low)
		high = low + step;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (side_of(name_at(catalog, middle), path, len) < (past ? 1 : 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- places ---- */

static struct span span_all(const struct verify_catalog *catalog)
{
	return (struct span){0, catalog->info.n_names, 0};
}

/* What the first name of SPAN is, seen from there: the bytes of its next component. */
static size_t component_of(const char *name, const struct span *span, bool *folder)
{
	size_t len = strcspn(name + span->len, "/");

	*folder = name[span->len + len] == '/';
	return len;
}

/* The names in the child of SPAN that the first one is in; LEN as for a folder. */
static struct span span_child(const struct verify_catalog *catalog, const struct span *span,
			      bool *folder)
{
	const char *name = name_at(catalog, span->first);
	size_t len = component_of(name, span, folder);
	size_t end = span->first + 1;

	if (*folder)
		end = bound(catalog, end, span->end, name, span->len + len, true);
	return (struct span){span->first, end, span->len + len + 1};
}

static void place_of(const struct verify_catalog *catalog, const struct span *parent, bool folder,
		     const struct span *child, struct verify_place *out)
{
	const char *name = name_at(catalog, child->first) + parent->len;
	size_t len = child->len - parent->len - 1;

	*out = (struct verify_place){.folder = folder};
	memcpy(out->name, name, len);
	out->name[len] = '\0';
	if (!folder)
		verify_catalog_object(catalog, catalog->names[child->first].entry, &out->object);
}

/* The place PATH, and the names in it. */
static int find_path(const struct verify_catalog *catalog, const char *path,
		     struct verify_place *place, struct span *out)
{
	struct span all = span_all(catalog), parent = {0};
	size_t len = strlen(path), first;
	const char *slash, *name;
	bool folder;

	if (len == 0) {
		*place = (struct verify_place){.folder = true};
		*out = all;
		return 0;
	}
	first = bound(catalog, 0, all.end, path, len, false);
	name = first < all.end ? name_at(catalog, first) : "";
	if (first == all.end || side_of(name, path, len) != 0)
		return -ENOENT;
	slash = strrchr(path, '/');
	parent = (struct span){first, all.end, slash ? (size_t)(slash - path) + 1 : 0};
	*out = span_child(catalog, &parent, &folder);
	place_of(catalog, &parent, folder, out, place);
	return 0;
}

int verify_catalog_lookup(const struct verify_catalog *catalog, const char *path,
			  struct verify_place *out)
{
	struct span span;

	return find_path(catalog, path, out, &span);
}

int verify_catalog_list(const struct verify_catalog *catalog, const char *path, const char *after,
			int (*found)(void *arg, const struct verify_place *place), void *arg)
{
	char behind[VERIFY_NAME_MAX + VERIFY_NAME_COMPONENT_MAX + 2];
	struct verify_place place;
	struct span span, child;
	bool folder;
	int r = find_path(catalog, path, &place, &span);

	if (r < 0)
		return r;
	if (!place.folder)
		return -ENOTDIR;
	if (after) {
		size_t len = strnlen(after, VERIFY_NAME_COMPONENT_MAX + 1);

		memcpy(behind, path, span.len);
		if (span.len > 0)
			behind[span.len - 1] = '/';
		memcpy(behind + span.len, after, len);
		span.first = bound(catalog, span.first, span.end, behind, span.len + len, true);
	}
	for (; span.first < span.end && r == 0; span.first = child.end) {
		child = span_child(catalog, &span, &folder);
		place_of(catalog, &span, folder, &child, &place);
		r = found(arg, &place);
	}
	return r;
}

/* ---- patterns ---- */

struct matching {
	const struct verify_catalog *catalog;
	int (*found)(void *arg, const char *name, const struct verify_object *object);
	void *arg;
};

static int match_all(const struct matching *matching, const struct span *span)
{
	int r = 0;

	for (size_t i = span->first; i < span->end && r == 0; i++) {
		struct verify_object object;

		verify_catalog_object(matching->catalog, matching->catalog->names[i].entry,
				      &object);
		r = matching->found(matching->arg, name_at(matching->catalog, i), &object);
	}
	return r;
}

int verify_catalog_below(const struct verify_catalog *catalog, const char *path,
			 int (*found)(void *arg, const char *name, const struct verify_object *object),
			 void *arg)
{
	const struct matching matching = {catalog, found, arg};
	struct verify_place place;
	struct span span;
	int r = find_path(catalog, path, &place, &span);

	if (r < 0)
		return r;
	return place.folder ? match_all(&matching, &span) : -ENOTDIR;
}

/* Without a character that stands for others, there is nothing to try. */
static void narrow(const struct verify_catalog *catalog, const char *component, size_t len,
		   struct span *span)
{
	char path[2 * VERIFY_NAME_MAX + 2];

	if (span->first == span->end || strcspn(component, "*?[\\") < len)
		return;
	memcpy(path, name_at(catalog, span->first), span->len);
	memcpy(path + span->len, component, len);
	len += span->len;
	span->first = bound(catalog, span->first, span->end, path, len, false);
	span->end = bound(catalog, span->first, span->end, path, len, true);
}

static int match_in(const struct matching *matching, struct span span, const char *pattern);

/* REST is the components that follow the one that matched; NULL: none. */
static int match_child(const struct matching *matching, const struct span *child, bool folder,
		       const char *rest)
{
	if (folder)
		return rest ? match_in(matching, *child, rest) : 0;
	return rest ? 0 : match_all(matching, child);
}

static int match_in(const struct matching *matching, struct span span, const char *pattern)
{
	size_t len = strcspn(pattern, "/");
	const char *rest = pattern[len] ? pattern + len + 1 : NULL;
	char component[VERIFY_NAME_MAX + 1];
	struct span child;
	int r = 0;

	if (strcmp(pattern, "*") == 0)
		return match_all(matching, &span);
	memcpy(component, pattern, len);
	component[len] = '\0';
	narrow(matching->catalog, component, len, &span);
	for (; span.first < span.end && r == 0; span.first = child.end) {
		struct verify_place place;
		bool folder;

		child = span_child(matching->catalog, &span, &folder);
		place_of(matching->catalog, &span, folder, &child, &place);
		if (fnmatch(component, place.name, 0) == 0)
			r = match_child(matching, &child, folder, rest);
	}
	return r;
}

int verify_catalog_match(const struct verify_catalog *catalog, const char *pattern,
			 int (*found)(void *arg, const char *name,
				      const struct verify_object *object),
			 void *arg)
{
	const struct matching matching = {catalog, found, arg};
	size_t len = strlen(pattern);

	if (len == 0 || len > VERIFY_NAME_MAX || pattern[0] == '/' || pattern[len - 1] == '/' ||
	    strstr(pattern, "//"))
		return -EINVAL;
	return match_in(&matching, span_all(catalog), pattern);
}
