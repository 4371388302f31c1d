/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of which both digests are told before a byte of them is here.
 *
 *	known by neither    a record is made
 *	by the fs-verity    it learns the SHA-256: chunks that are here were checked, and count
 *	by the SHA-256      what is here of it, if it is not all, was only received: it goes, and a record is made
 *
 * What is complete was hashed, and knows better than who tells.
 */
#include "store/internal.h"

/* What is here under the one and under the other; an id of 0: nothing. */
struct here {
	struct store_info sha256, fsverity;
};

static int look(struct store *store, const struct digest_name *name, struct store_info *out)
{
	int r = store_lookup(store, name, out);

	if (r == -ENOENT)
		*out = (struct store_info){.id = 0};
	return r == -ENOENT ? 0 : r;
}

static bool contradicts(const struct store_info *info, const struct digest_pair *digests)
{
	struct digest_pair merged = info->digests;

	return info->id && record_merge(&merged, digests) < 0;
}

/* 1: it is neither there by the one nor by the other, and was made. */
static int look_or_make(struct store *store, const struct digest_pair *digests, uint64_t size,
			bool gated, bool claimed, const void *front, size_t len, struct here *here)
{
	int r = 0;

	*here = (struct here){{.id = 0}};

	store_claim(store, &store->naming);
	if (digests->has_sha256)
		r = look(store, &(struct digest_name){DIGEST_SHA256, digests->sha256}, &here->sha256);
	if (r == 0 && digests->has_fsverity)
		r = look(store, &(struct digest_name){DIGEST_FSVERITY, digests->fsverity},
			 &here->fsverity);
	if (r == 0 && !here->sha256.id && !here->fsverity.id) {
		r = record_make(store, digests, size, gated, claimed, front, len,
				digests->has_fsverity ? &here->fsverity : &here->sha256);
		r = r == 0 ? 1 : r;
	}
	store_unclaim(store, &store->naming);
	return r;
}

/* Its chunks were received, not checked. -EBUSY: it is open. PINNED: it was. */
static int drop(struct store *store, uint64_t id, bool *pinned)
{
	struct store_object *object;
	int r;

	r = store_object_open(store, id, &object);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (!evict_claim(object)) {
		store_object_close(object);
		return -EBUSY;
	}
	/* Somebody else may have been faster, in whatever. */
	if (object->record.complete || object->record.digests.has_fsverity) {
		r = -EBUSY;
	} else {
		*pinned |= object->record.pinned;
		r = object_erase(object);
	}
	evict_unclaim(object);
	store_object_close(object);
	return r == -ENOENT ? 0 : r;
}

static int learn(struct store_object *object, const struct digest_pair *digests)
{
	_cleanup_batch_ struct db_batch batch = db_batch();
	struct record record = object->record;
	int r;

	r = record_merge(&record.digests, digests);
	if (r < 0 || object->removed || object->record.digests.has_sha256 || !digests->has_sha256)
		return r;
	record.told = true;
	record_put(&batch, object->id, &record);
	r = db_write(object->store->db, &batch, false);
	if (r == 0)
		object_set_record(object, &record);
	return r;
}

/* It is known by its fs-verity digest. */
static int tell(struct store *store, const struct digest_pair *digests, bool pinned,
		struct store_info *info)
{
	struct store_object *object;
	int r;

	if ((info->digests.has_sha256 || !digests->has_sha256) && (info->pinned || !pinned))
		return 0;
	r = store_object_open(store, info->id, &object);
	if (r < 0)
		return r;
	object_claim(object);
	r = learn(object, digests);
	object_unclaim(object);
	if (r == 0 && pinned)
		r = store_object_pin(object, true);
	if (r == 0)
		store_object_info(object, info);
	store_object_close(object);
	return r;
}

/* -ENOENT: it was there, and went meanwhile. */
static int create(struct store *store, const struct digest_pair *digests, uint64_t size, bool gated,
		  bool claimed, const void *front, size_t len, struct store_info *out)
{
	bool pinned = false, open = false;
	struct here here;
	int r;

	do {
		r = look_or_make(store, digests, size, gated, claimed, front, len, &here);
		if (r < 0)
			return r;
		if (contradicts(&here.sha256, digests) || contradicts(&here.fsverity, digests))
			return -EINVAL;
		open = false;
		if (!digests->has_fsverity || !here.sha256.id || here.sha256.digests.has_fsverity)
			break;
		r = drop(store, here.sha256.id, &pinned);
		open = r == -EBUSY;
	} while (r == 0);
	if (r < 0 && !open)
		return r;
	if (!here.fsverity.id) {
		*out = here.sha256;
		return 0;
	}
	if (here.fsverity.lacks_front && (len > 0 || here.fsverity.size != size)) {
		r = doubt_refill(store, size, front, len, &here.fsverity);
		if (r < 0)
			return r;
	}
	r = tell(store, digests, pinned, &here.fsverity);
	if (r == 0)
		*out = here.fsverity;
	return r;
}

static int create_again(struct store *store, const struct digest_pair *digests, uint64_t size, bool gated, bool claimed,
			const void *front, size_t len, struct store_info *out)
{
	int r;

	if (size > (uint64_t)1 << 62)
		return -EFBIG;
	do
		r = create(store, digests, size, gated, claimed, front, len, out);
	while (r == -ENOENT);
	return r;
}

int store_create_pair(struct store *store, const struct digest_pair *digests, uint64_t size,
		      bool gated, const void *front, size_t len, struct store_info *out)
{
	return create_again(store, digests, size, gated, false, front, len, out);
}

int store_create_claimed(struct store *store, const struct digest_pair *digests, uint64_t size, bool gated,
			 struct store_info *out)
{
	return create_again(store, digests, size, gated, true, NULL, 0, out);
}
