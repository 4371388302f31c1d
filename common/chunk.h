/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk: 512 KiB of an object, what one level-1 block of its fs-verity tree covers
 * (128 hashes of 4096-byte blocks). The unit of verification, presence and transfer.
 */
#ifndef COMMON_CHUNK_H
#define COMMON_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_SIZE ((uint64_t)512 * 1024)

/* Chunks in an object of SIZE bytes: none in an empty one. */
static inline uint64_t chunk_count(uint64_t size)
{
	return size / CHUNK_SIZE + (size % CHUNK_SIZE != 0);
}

/* Bytes in chunk INDEX (< chunk_count(size)): the last one may be short. */
static inline size_t chunk_length(uint64_t size, uint64_t index)
{
	uint64_t left = size - index * CHUNK_SIZE;

	return (size_t)(left < CHUNK_SIZE ? left : CHUNK_SIZE);
}

#endif
