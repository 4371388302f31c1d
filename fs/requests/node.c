/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cipher of node ids: Speck64/128 (Beaulieu et al., "The SIMON and SPECK Families of Lightweight Block Ciphers", 2013), a
 * permutation of 64-bit numbers that takes some nanoseconds. OpenSSL has none of that size.
 */
#include "fs/requests/node.h"

#include <errno.h>
#include <sys/random.h>
#include "fs/requests/node-cipher.h"

static uint32_t round_keys[NODE_CIPHER_ROUNDS];

int node_make_key(void)
{
	uint32_t key[4];
	ssize_t n = getrandom(key, sizeof(key), 0);

	if (n != (ssize_t)sizeof(key))
		return n < 0 ? -errno : -EIO;
	node_cipher_expand(key, round_keys);
	return 0;
}

/*
 * The kernel means the root by 1, and nothing by 0. What would be enciphered to one of them is enciphered again: as neither
 * is ever a number here, that stays a permutation of all others.
 */
#define RESERVED 1

uint64_t node_id(struct node node)
{
	uint64_t id = node_pack(node);

	if (id <= RESERVED)
		return id;
	do
		id = node_encipher(round_keys, id);
	while (id <= RESERVED);
	return id;
}

struct node node_from_id(uint64_t id)
{
	if (id <= RESERVED)
		return node_unpack(id);
	do
		id = node_decipher(round_keys, id);
	while (id <= RESERVED);
	return node_unpack(id);
}
