/* SPDX-License-Identifier: Apache-2.0 */
/* Why an object's bytes would be trusted, and from where they may come. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "catalogs/catalogs.h"
#include "fetch/document.h"
#include "fs/objects/knowledge.h"
#include "fs/operations/explaining.h"

/* "models.example:8443" of URL; to be freed, NULL if there is none. What else is in a URL may be somebody's secret. */
static char *host_of(const char *url)
{
	const char *begin = strstr(url, "://"), *at;
	size_t len;

	if (!begin)
		return NULL;
	begin += 3;
	len = strcspn(begin, "/?#");
	at = memrchr(begin, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - begin);
		begin = at + 1;
	}
	return strndup(begin, len);
}

static int say_place(struct operation *operation, const struct catalog *catalog, const char *what,
		     const char *url)
{
	_cleanup_free_ char *resolved = NULL, *host = NULL;

	if (fetch_url_resolve(catalog->base ? catalog->base : url, url, &resolved) < 0)
		return 0;
	host = host_of(resolved);
	if (!host)
		return 0;
	return explain_say(operation, "place",
			   json_pack("{s:s, s:s, s:s}", "host", host, "what", what, "catalog", catalog->name),
			   "%s (%s, by %s)", host, what, catalog->name);
}

static int say_places(struct operation *operation, const struct catalog *catalog,
		      const struct verify_object *object)
{
	char url[VERIFY_URL_MAX + 1];
	int r = 0;

	for (unsigned int i = 0; i < object->n_urls && r == 0; i++)
		r = say_place(operation, catalog, "object",
			      verify_object_url(catalog->entries, object, i, url));
	if (r == 0 && object->has_tree)
		r = say_place(operation, catalog, "tree", verify_object_tree(catalog->entries, object, url));
	return r;
}

static int say_signed(struct operation *operation, const struct catalog *catalog,
		      const struct verify_object *object)
{
	const struct verify_catalog_info *info = verify_catalog_info(catalog->entries);
	bool expired = catalog_has_expired(catalog), attests = object->digests.has_fsverity;
	char key[VERIFY_KEY_ID_SIZE];

	verify_key_id(&info->key, key);
	return explain_say(operation, "catalog",
			   json_pack("{s:s, s:I, s:s, s:b, s:b, s:I}", "catalog", catalog->name, "serial",
				     (json_int_t)info->serial, "key", key, "attests", attests, "expired",
				     expired, "size", (json_int_t)object->size),
			   "%s, serial %" PRIu64 ", signed with key %s%s: %" PRIu64 " bytes, %s",
			   catalog->name, info->serial, key, expired ? ", expired" : "", object->size,
			   attests ? "attested" : "unattested");
}

static int say_import(struct operation *operation, const struct catalog *catalog,
		      const struct verify_object *object)
{
	bool everybodys = catalog->owner == CATALOG_EVERYBODY;

	return explain_say(operation, "import",
			   json_pack("{s:s, s:s, s:I}", "import", catalog->name, "owner",
				     everybodys ? "everybody" : "user", "size", (json_int_t)object->size),
			   "%s, of %s: %" PRIu64 " bytes, unattested", catalog->name,
			   everybodys ? "everybody" : "this user", object->size);
}

/* By either digest; one of a catalog is told once. */
static int say_catalog(struct explaining *explaining, const struct catalog *catalog,
		       const struct digest_pair *digests)
{
	struct digest_name names[] = { { DIGEST_SHA256, digests->sha256 },
				       { DIGEST_FSVERITY, digests->fsverity } };
	bool known[] = { digests->has_sha256, digests->has_fsverity };
	struct operation *operation = explaining->operation;
	struct verify_object object;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!known[i] || verify_catalog_find(catalog->entries, &names[i], &object) < 0)
			continue;
		r = catalog->kind == CATALOG_SIGNED ? say_signed(operation, catalog, &object) :
						      say_import(operation, catalog, &object);
		return r == 0 ? say_places(operation, catalog, &object) : r;
	}
	return 0;
}

static int say_check(struct explaining *explaining)
{
	const struct store_info *info = &explaining->info;
	const char *check = NULL, *text = NULL;

	if (explaining->known && info->complete && !info->told) {
		check = "computed";
		text = "all of it was hashed here";
	} else if (explaining->name.kind == DIGEST_FSVERITY) {
		check = "name";
		text = "its name certifies itself: each chunk is checked against it";
	} else if (explaining->known && info->told) {
		check = "told";
		text = "each chunk is checked against the fs-verity digest that a catalog gave, all of it when it is complete";
	} else if (!explaining->found.digests.has_fsverity) {
		check = "whole";
		text = "unattested: all of it is hashed before it opens";
	}
	if (!text)
		return 0;
	return explain_say(explaining->operation, "trust", json_pack("{s:s}", "check", check), "%s", text);
}

int explain_trust(struct explaining *explaining)
{
	struct operation *operation = explaining->operation;
	struct catalogs *catalogs = operation_catalogs(operation);
	struct catalog_set *set = catalogs ? catalogs_get(catalogs) : NULL;
	struct digest_pair digests = explaining->known ? explaining->info.digests :
							 digest_pair_of(&explaining->name);
	uid_t uid = explaining->caller.uid;
	int r = -ENOENT;

	if (set)
		r = catalog_set_find(set, uid, &explaining->name, &explaining->found);
	explaining->told = r == 0 && !explaining->found.expired;
	if (r == 0 && !explaining->known)
		digests = explaining->found.digests;
	r = r == -EBADMSG ? explain_say(operation, "contradiction", NULL,
					"catalogs contradict each other about it: none is believed") :
			    0;
	if (r == 0)
		r = say_check(explaining);
	for (size_t i = 0; set && i < catalog_set_count(set) && r == 0; i++) {
		if (catalog_is_for(catalog_set_get(set, i), uid))
			r = say_catalog(explaining, catalog_set_get(set, i), &digests);
	}
	if (r == 0 && explain_is_gated(explaining))
		r = explain_say(operation, "gated", json_pack("{s:b}", "gated", 1),
				"it came with a credential, or needs one: it is for who fetched it, and whom the policy names it");
	catalog_set_unref(set);
	return r;
}

bool explain_is_gated(const struct explaining *explaining)
{
	if (explaining->known && (explaining->info.gated || explaining->info.complete))
		return explaining->info.gated;
	return explaining->told && explaining->found.gated;
}
