/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The on-disk format of meta/, version 5: keys and values in RocksDB's default column family.
 *
 * The first byte of a key is its type; integers are big-endian, so that keys sort by number. The
 * first byte of every value but the bare ones is the version of its layout. Digests are raw.
 *
 *	key                             value
 *	V                               u32 version of the whole format (STORE_FORMAT)
 *	S kind:u8                       u64 the first id that was never reserved ('o' objects, 'v' views)
 *	o id:u64                        1, flags:u8, name:u8, more flags:u8, size:u64, sha256[32], fsverity[32]
 *	a kind:u8 digest[32] id:u64     empty: object ID has this digest
 *	f id:u64                        1, the front of the tree
 *	p id:u64 chunk:u64              boot id[16]: the chunk was written in that boot
 *	t id:u64                        1, i64 last open, seconds since the epoch; before that: when it took its room
 *	u id:u64 view:u32               1, i64 last open by that view, which uses the object: as long as it is charged for it
 *	v view:u32                      1, uid:u32, origin
 *	w uid:u32 origin                1, view:u32
 *	d kind:u8 digest[32]            empty: the file of that name is being removed
 *	h view:u32 kind:u8 digest[32]   1, id:u64: the view itself fetched all of that object, which it calls so
 *
 * a  Several objects can turn out to have one digest: they were first known by different names, and
 *    only the whole bytes told that they are the same. Each has its own entry and takes away only
 *    its own, so nothing is read, changed and written back. A look-up takes the complete one, then the
 *    older one. The other stays as it is, found by its own name only until a complete one has that
 *    digest too, then by id, until it is removed.
 * p  One tiny key a chunk: putting one needs no lock and reads nothing. All go with one range delete.
 * d  Written in the batch that deletes the record, deleted after the file is. What a crash leaves is
 *    finished at the next open.
 * h  Counts only together with `u`: what is released or removed is not owned any more. What that leaves behind goes at the
 *    next open.
 *
 * When the database was damaged, what could be read of it is in a new one, but nothing about files and chunks: records
 * of files are made again from objects/, as doubtful (store/adopt.c). Types of keys that are not known there are copied
 * as they are.
 *
 * A reader refuses versions that it does not know: the whole format with -EPROTO, a value with -EIO. What an older
 * one wrote is brought up to date when it is opened.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"
#include "common/digest.h"

#define STORE_FORMAT	   5 /* 2: records may be pinned; 3: doubtful, or without their front; 4: gated, or told; 5: claimed */
#define STORE_BOOT_ID_SIZE 16
#define STORE_ORIGIN_MAX   1024 /* bytes of an origin's name; longer ones are refused */

enum schema_type {
	SCHEMA_FORMAT = 'V',
	SCHEMA_SEQUENCE = 'S',
	SCHEMA_OBJECT = 'o',
	SCHEMA_ALIAS = 'a',
	SCHEMA_FRONT = 'f',
	SCHEMA_PRESENCE = 'p',
	SCHEMA_OPENED = 't',
	SCHEMA_USER = 'u',
	SCHEMA_VIEW = 'v',
	SCHEMA_VIEW_OF = 'w',
	SCHEMA_DOOMED = 'd',
	SCHEMA_OWN = 'h',
};

struct schema_key {
	size_t len;
	uint8_t bytes[1 + 4 + STORE_ORIGIN_MAX];
};

/* A key, or the prefix of a range of keys: a type, then what is added to it. */
struct schema_key schema_key(enum schema_type type);
struct schema_key schema_key_id(enum schema_type type, uint64_t id);
struct schema_key schema_key_digest(enum schema_type type, const struct digest_name *name);
/* Its kind and the digest. */
void schema_key_name(struct schema_key *key, const struct digest_name *name);
void schema_key_u8(struct schema_key *key, uint8_t value);
void schema_key_u32(struct schema_key *key, uint32_t value);
void schema_key_u64(struct schema_key *key, uint64_t value);
/* -ENAMETOOLONG */
int must_check schema_key_text(struct schema_key *key, const char *text);
/* The first key behind all that begin with the LEN bytes of PREFIX do; the type bytes are letters, so there is one. */
void schema_key_after(const struct schema_key *prefix, size_t len, struct schema_key *out);

uint32_t schema_get_u32(const uint8_t bytes[4]);
uint64_t schema_get_u64(const uint8_t bytes[8]);
void schema_put_u32(uint8_t bytes[4], uint32_t value);
void schema_put_u64(uint8_t bytes[8], uint64_t value);

/* What an object's record says. */
struct record {
	uint64_t size;
	struct digest_pair digests;
	enum digest_kind name; /* which of the digests it was first known by */
	bool complete;
	bool file; /* it takes room: set before its file is made */
	bool pinned; /* never evicted */
	bool doubtful;	  /* nobody looked at its file since the database was lost; nothing is present */
	bool lacks_front; /* a source has to give it (again). Of an fs-verity digest, not complete */
	bool told;	  /* both digests are somebody's word: the SHA-256 was not compared with the bytes yet */
	bool gated;	  /* it came with somebody's credential: its file says so, too (store/file.c) */
	bool claimed;	  /* its size is the word of somebody whom not all believe */
};

#define SCHEMA_RECORD_SIZE (4 + 8 + 2 * DIGEST_SIZE)
void schema_put_record(uint8_t bytes[SCHEMA_RECORD_SIZE], const struct record *record);
/* -EIO for what no version of this program wrote. */
int must_check schema_get_record(const void *value, size_t len, struct record *out);

#define SCHEMA_TIME_SIZE (1 + 8)
void schema_put_time(uint8_t bytes[SCHEMA_TIME_SIZE], int64_t seconds);
int must_check schema_get_time(const void *value, size_t len, int64_t *out);

#define SCHEMA_VALUE_VERSION 1

/* -EIO for a key or value that cannot be understood. Unknown types are none of ours. */
int must_check schema_check(const uint8_t *key, size_t key_len, const uint8_t *value, size_t len);

#endif
