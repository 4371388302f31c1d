/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits for revisions that have none: the front of the SHA-256 of all paths and digests. They are worked out by whoever
 * asks first, and hold as long as the set of catalogs.
 */
#include "fs/names/hub.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

#define KEPT_MAX 16384

struct summing {
	EVP_MD_CTX *md;
	size_t prefix; /* of names: what they are all below */
	size_t n;
};

static int add(void *arg, const char *name, const struct verify_object *object)
{
	struct summing *summing = arg;
	struct digest_name digest = digest_pair_name(&object->digests);
	char text[DIGEST_NAME_SIZE];

	if (++summing->n > HUB_FILES_MAX)
		return -E2BIG;
	digest_name_format(&digest, text);
	name += summing->prefix;
	/* Each with its NUL: no two lists of files are one text. */
	return EVP_DigestUpdate(summing->md, name, strlen(name) + 1) == 1 &&
			       EVP_DigestUpdate(summing->md, text, strlen(text) + 1) == 1 ?
		       0 :
		       -ENOMEM;
}

int hub_make_commit(const struct verify_catalog *entries, const char *path, const struct verify_span *names,
		    char out[HUB_COMMIT_SIZE])
{
	struct summing summing = { .md = EVP_MD_CTX_new(), .prefix = strlen(path) + 1 };
	struct digest digest;
	char hex[DIGEST_HEX_SIZE];
	int r = -ENOMEM;

	if (summing.md && EVP_DigestInit_ex(summing.md, EVP_sha256(), NULL) == 1)
		r = verify_catalog_each(entries, names, add, &summing);
	if (r == 0 && EVP_DigestFinal_ex(summing.md, digest.bytes, NULL) != 1)
		r = -ENOMEM;
	EVP_MD_CTX_free(summing.md);
	if (r < 0)
		return r;
	digest_to_hex(&digest, hex);
	snprintf(out, HUB_COMMIT_SIZE, "%.*s", HUB_COMMIT_SIZE - 1, hex);
	return 0;
}

/* ---- what was worked out ---- */

struct made {
	int result;
	char commit[HUB_COMMIT_SIZE];
	UT_hash_handle hh;
	char key[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* protected by lock: of the set GENERATION, by catalog and the place of the names */
static struct made *kept;
static uint64_t generation;

/* With the lock held. */
static void forget_all(void)
{
	struct made *made, *next;

	HASH_ITER(hh, kept, made, next) {
		HASH_DELETE(hh, kept, made);
		free(made);
	}
}

static bool find(uint64_t of, const char *key, char out[HUB_COMMIT_SIZE], int *result)
{
	struct made *made = NULL;

	pthread_mutex_lock(&lock);
	if (of == generation)
		HASH_FIND_STR(kept, key, made);
	if (made) {
		memcpy(out, made->commit, HUB_COMMIT_SIZE);
		*result = made->result;
	}
	pthread_mutex_unlock(&lock);
	return made;
}

static void keep(uint64_t of, const char *key, const char *commit, int result)
{
	size_t len = strlen(key) + 1;
	struct made *made = calloc(1, sizeof(*made) + len), *there;

	if (!made)
		return;
	made->result = result;
	snprintf(made->commit, sizeof(made->commit), "%s", commit);
	memcpy(made->key, key, len);
	pthread_mutex_lock(&lock);
	/* A set that is looked at for long may be older than others'. */
	if (of > generation || HASH_COUNT(kept) >= KEPT_MAX) {
		forget_all();
		generation = of;
	}
	HASH_FIND_STR(kept, key, there);
	if (of == generation && !there)
		HASH_ADD_STR(kept, key, made);
	else
		free(made);
	pthread_mutex_unlock(&lock);
}

int hub_commit_of(const struct catalog_set *set, const struct catalog *catalog, const char *path,
		  const struct verify_span *names, char out[HUB_COMMIT_SIZE])
{
	uint64_t of = catalog_set_generation(set);
	char key[64], commit[HUB_COMMIT_SIZE] = "";
	int r;

	/* The address of CATALOG is as good as a name, as long as its set is there. */
	snprintf(key, sizeof(key), "%p %zu %zu", (const void *)catalog, names->first, names->n);
	if (!find(of, key, commit, &r)) {
		r = hub_make_commit(catalog->entries, path, names, commit);
		if (r != -ENOMEM)
			keep(of, key, commit, r);
	}
	if (r == 0)
		memcpy(out, commit, HUB_COMMIT_SIZE);
	return r;
}

void hub_free(void)
{
	pthread_mutex_lock(&lock);
	forget_all();
	generation = 0;
	pthread_mutex_unlock(&lock);
}
