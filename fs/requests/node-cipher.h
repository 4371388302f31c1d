/* SPDX-License-Identifier: Apache-2.0 */
/* Speck64/128, see node.c. Apart so that its published test vector can be checked. */
#ifndef FS_REQUESTS_NODE_CIPHER_H
#define FS_REQUESTS_NODE_CIPHER_H

#include <stdint.h>

#define NODE_CIPHER_ROUNDS 27

static inline uint32_t node_rotate(uint32_t word, unsigned int left)
{
	return word << left | word >> (32 - left);
}

static inline void node_round(uint32_t *x, uint32_t *y, uint32_t key)
{
	*x = (node_rotate(*x, 24) + *y) ^ key;
	*y = node_rotate(*y, 3) ^ *x;
}

static inline void node_cipher_expand(const uint32_t key[4], uint32_t round_keys[NODE_CIPHER_ROUNDS])
{
	uint32_t parts[3] = {key[1], key[2], key[3]}, word = key[0];

	for (uint32_t i = 0; i < NODE_CIPHER_ROUNDS; i++) {
		round_keys[i] = word;
		node_round(&parts[i % 3], &word, i);
	}
}

static inline uint64_t node_encipher(const uint32_t round_keys[NODE_CIPHER_ROUNDS], uint64_t number)
{
	uint32_t x = (uint32_t)(number >> 32), y = (uint32_t)number;

	for (unsigned int i = 0; i < NODE_CIPHER_ROUNDS; i++)
		node_round(&x, &y, round_keys[i]);
	return (uint64_t)x << 32 | y;
}

static inline uint64_t node_decipher(const uint32_t round_keys[NODE_CIPHER_ROUNDS], uint64_t id)
{
	uint32_t x = (uint32_t)(id >> 32), y = (uint32_t)id;

	for (unsigned int i = NODE_CIPHER_ROUNDS; i-- > 0;) {
		y = node_rotate(x ^ y, 29);
		x = node_rotate((x ^ round_keys[i]) - y, 8);
	}
	return (uint64_t)x << 32 | y;
}

#endif
