/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/objects/knowledge.h"

#include <pthread.h>
#include <stdatomic.h>
#include "catalogs/catalogs.h"
#include "common/log.h"
#include "common/stats.h"
#include "fs/objects/object.h"

/* ---- what turned out to be wrong: the process's, as catalogs are ---- */

#define DISPROVED_MAX 1024 /* then the first ones are forgotten, and have to be found out again */

static struct {
	pthread_mutex_t lock;
	struct digest_pair pairs[DISPROVED_MAX]; /* protected by lock */
	atomic_uint n;				 /* ever; written with lock */
} disproved = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_disproved(const struct digest_pair *digests)
{
	bool found = false;

	if (!digests->has_sha256 || !digests->has_fsverity || atomic_load(&disproved.n) == 0)
		return false;
	pthread_mutex_lock(&disproved.lock);
	for (unsigned int i = 0; i < atomic_load(&disproved.n) && i < DISPROVED_MAX && !found; i++)
		found = digest_equal(&disproved.pairs[i].sha256, &digests->sha256) &&
			digest_equal(&disproved.pairs[i].fsverity, &digests->fsverity);
	pthread_mutex_unlock(&disproved.lock);
	return found;
}

static void disprove(const struct digest_pair *digests)
{
	unsigned int n;

	if (is_disproved(digests))
		return;
	pthread_mutex_lock(&disproved.lock);
	n = atomic_load(&disproved.n);
	disproved.pairs[n % DISPROVED_MAX] = *digests;
	atomic_store(&disproved.n, n + 1);
	pthread_mutex_unlock(&disproved.lock);
}

/* ---- an object ---- */

/* What an import may say of a size: more than files have, and so little that the map of its chunks can be had. */
#define CLAIM_MAX ((uint64_t)1 << 44)

static int find(struct weightfs *fs, uid_t uid, const struct digest_name *name, struct known *out)
{
	struct catalog_set *set = catalogs_get(fs->catalogs);
	int r = catalog_set_find(set, uid, name, out);

	catalog_set_unref(set);
	return r;
}

int knowledge_find(struct weightfs *fs, uid_t uid, const struct digest_name *name,
		   struct knowledge *out)
{
	struct known known;

	if (find(fs, uid, name, &known) < 0 || known.expired || is_disproved(&known.digests))
		return -ENOENT;
	if (known.imported && known.size > CLAIM_MAX)
		return -ENOENT;
	*out = (struct knowledge){ known.digests, known.size, known.gated, known.imported };
	return 0;
}

int knowledge_signed_size(struct weightfs *fs, const struct digest_pair *digests, uint64_t *out)
{
	struct digest_name name = digest_pair_name(digests);
	struct known known;

	if (find(fs, CATALOG_EVERYBODY, &name, &known) < 0 || known.imported)
		return -ENOENT;
	*out = known.size;
	return 0;
}

bool knowledge_is_gated(struct weightfs *fs, uid_t uid, const struct digest_name *name,
			const struct store_info *info)
{
	struct knowledge known;

	if (info && (info->gated || info->complete))
		return info->gated;
	return knowledge_find(fs, uid, name, &known) == 0 && known.gated;
}

static bool same_fsverity(const struct digest_pair *a, const struct digest_pair *b)
{
	return a->has_fsverity && b->has_fsverity && digest_equal(&a->fsverity, &b->fsverity);
}

bool knowledge_confirms(struct weightfs *fs, uid_t uid, const struct store_info *info)
{
	struct known known;

	return find(fs, uid, &info->name, &known) == 0 && known.size == info->size &&
	       same_fsverity(&known.digests, &info->digests);
}

bool knowledge_attests(struct weightfs *fs, uid_t uid, const struct store_info *info)
{
	struct knowledge known;

	return !info->complete && !info->digests.has_fsverity &&
	       knowledge_find(fs, uid, &info->name, &known) == 0 && known.digests.has_fsverity;
}

/* Does CATALOG say that they belong together? */
static bool says(const struct catalog *catalog, const struct digest_pair *digests)
{
	struct digest_name name = digest_pair_name(digests);
	struct verify_object object;

	return catalog->kind == CATALOG_SIGNED &&
	       verify_catalog_find(catalog->entries, &name, &object) == 0 &&
	       same_fsverity(&object.digests, digests);
}

void knowledge_disprove(struct weightfs *fs, const struct digest_pair *digests)
{
	struct catalog_set *set = catalogs_get(fs->catalogs);
	struct digest_name name = digest_pair_name(digests);
	char text[DIGEST_NAME_SIZE];

	digest_name_format(&name, text);
	disprove(digests);
	for (size_t i = 0; i < catalog_set_count(set); i++) {
		const struct catalog *catalog = catalog_set_get(set, i);

		if (!says(catalog, digests))
			continue;
		log_error("catalog %s, serial %llu: %s: this SHA-256 and its fs-verity digest are not those of one "
			  "file; it is not believed for it any more",
			  catalog->name,
			  (unsigned long long)verify_catalog_info(catalog->entries)->serial, text);
		stats_add(STAT_CATALOGS_WRONG, 1);
	}
	catalog_set_unref(set);
}

/* ---- places ---- */

struct fetch_places *object_places_of(struct object *object, const uid_t *uids, size_t n)
{
	struct catalog_set *set = catalogs_get(object->fs->catalogs);
	struct digest_pair digests = object_digests(object);
	struct fetch_places *places = NULL;
	int r = object->gated ? catalog_set_places(set, n > 0 ? uids[0] : CATALOG_EVERYBODY, &digests, &places) :
				catalog_set_open_places(set, uids, n, &digests, &places);

	catalog_set_unref(set);
	return r < 0 ? NULL : places;
}

struct fetch_places *object_places(struct object *object, uid_t uid)
{
	return object_places_of(object, &uid, 1);
}

uid_t object_importer(struct object *object, uid_t uid)
{
	struct catalog_set *set = catalogs_get(object->fs->catalogs);
	struct digest_pair digests = object_digests(object);
	bool has_own = catalog_set_has_own(set, uid, &digests);

	catalog_set_unref(set);
	return has_own ? uid : CATALOG_EVERYBODY;
}
