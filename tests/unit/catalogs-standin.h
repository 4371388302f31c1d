/* SPDX-License-Identifier: Apache-2.0 */
/* What stands in for fetch/ and for imports on the disk. Included by test-catalogs.c, once. */
#ifndef TESTS_CATALOGS_STANDIN_H
#define TESTS_CATALOGS_STANDIN_H

struct fetch_group {
	char name[64];
	int references;
};

/* The places that were asked for last, as text: "GROUP URL TREE\n". */
static void *places_made;
static char places[2048];

int fetch_group_new(const struct fetch_group_options *options, struct fetch_group **out)
{
	*out = calloc(1, sizeof(**out));
	assert_non_null(*out);
	snprintf((*out)->name, sizeof((*out)->name), "%s%s%s", options->name, options->authorization ? "+" : "",
		 options->authorization ? options->authorization : "");
	(*out)->references = 1;
	return 0;
}

struct fetch_group *fetch_group_ref(struct fetch_group *group)
{
	group->references++;
	return group;
}

void fetch_group_unref(struct fetch_group *group)
{
	if (group && --group->references == 0)
		free(group);
}

int fetch_places_new(const struct fetch_place *list, size_t n, struct fetch_places **out)
{
	*places = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(places + strlen(places), sizeof(places) - strlen(places), "%s %s %s\n", list[i].group->name,
			 list[i].url ? list[i].url : "-", list[i].tree ? list[i].tree : "-");
	places_made = places;
	*out = places_made;
	return 0;
}

int fetch_url_resolve(const char *base, const char *reference, char **out)
{
	return asprintf(out, "%s%s", strstr(reference, "://") ? "" : base, reference) < 0 ? -ENOMEM : 0;
}

/* Alice imported one object, gated; everybody has another. */
static const char *imported_by_alice, *imported_by_bob, *imported_by_all;

int imports_owners(const char *path, uid_t **out, size_t *n)
{
	*out = calloc(3, sizeof(**out));
	*n = 0;
	if (imported_by_bob)
		(*out)[(*n)++] = BOB;
	if (imported_by_alice)
		(*out)[(*n)++] = ALICE;
	if (imported_by_all)
		(*out)[(*n)++] = CATALOG_EVERYBODY;
	return 0;
}

int imports_load(const char *path, uid_t owner, struct import **out, size_t *n)
{
	const char *text = owner == ALICE ? imported_by_alice : owner == BOB ? imported_by_bob : imported_by_all;

	*out = NULL;
	*n = text != NULL;
	if (!text)
		return 0;
	*out = calloc(1, sizeof(**out));
	(*out)->owner = owner;
	strcpy((*out)->name, "hf");
	return load_text(text, NULL, &(*out)->entries, NULL);
}

void imports_free(struct import *imports, size_t n)
{
	for (size_t i = 0; i < n; i++)
		verify_catalog_unref(imports[i].entries);
	free(imports);
}

bool import_is_gated(const struct import *import, const char *name)
{
	return strncmp(name, "gated/", 6) == 0;
}

const struct import_host *import_host_of(const struct import *import, const char *url)
{
	return NULL;
}

#endif
