/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which chunks of an object are there: two bits each.
 *
 * A chunk's bytes are in the file before it is set PRESENT or HINT (release); who sees that
 * (acquire) may read them. The sums follow the bits a moment later: whoever stakes something on an object's being full
 * looks at the bits.
 */
#include "store/internal.h"

#define PER_WORD 32
#define MASK	 ((uint64_t)3)

int map_new(uint64_t size, struct map **out)
{
	uint64_t chunks = chunk_count(size);
	uint64_t words = (chunks + PER_WORD - 1) / PER_WORD;
	struct map *map;

	if (words > SIZE_MAX / (2 * sizeof(map->words[0])))
		return -ENOMEM;
	map = calloc(1, sizeof(*map) + (size_t)words * sizeof(map->words[0]));
	if (!map)
		return -ENOMEM;
	map->size = size;
	map->chunks = chunks;
	*out = map;
	return 0;
}

void map_free(struct map *map)
{
	while (map) {
		struct map *before = map->retired;

		free(map);
		map = before;
	}
}

enum store_presence map_get(const struct map *map, uint64_t chunk)
{
	uint64_t word;

	if (chunk >= map->chunks)
		return STORE_ABSENT;
	word = atomic_load_explicit(&map->words[chunk / PER_WORD], memory_order_acquire);
	return (enum store_presence)(word >> 2 * (chunk % PER_WORD) & MASK);
}

/* What was there before. IF_ONLY: nothing is changed when that is not BEFORE. */
static enum store_presence change(struct map *map, uint64_t chunk, bool if_only,
				  enum store_presence before, enum store_presence presence)
{
	_Atomic uint64_t *word = &map->words[chunk / PER_WORD];
	unsigned int shift = 2 * (unsigned int)(chunk % PER_WORD);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	size_t len = chunk_length(map->size, chunk);

	do {
		if (if_only && (enum store_presence)(old >> shift & MASK) != before)
			return (enum store_presence)(old >> shift & MASK);
	} while (!atomic_compare_exchange_weak_explicit(
		word, &old, (old & ~(MASK << shift)) | (uint64_t)presence << shift,
		memory_order_acq_rel, memory_order_relaxed));
	before = (enum store_presence)(old >> shift & MASK);
	if (before == STORE_ABSENT && presence != STORE_ABSENT)
		atomic_fetch_add(&map->recorded, len);
	if (before != STORE_ABSENT && presence == STORE_ABSENT)
		atomic_fetch_sub(&map->recorded, len);
	if (before != STORE_PRESENT && presence == STORE_PRESENT)
		atomic_fetch_add(&map->n_present, 1);
	if (before == STORE_PRESENT && presence != STORE_PRESENT)
		atomic_fetch_sub(&map->n_present, 1);
	return before;
}

enum store_presence map_set(struct map *map, uint64_t chunk, enum store_presence presence)
{
	return change(map, chunk, false, presence, presence);
}

bool map_change(struct map *map, uint64_t chunk, enum store_presence from, enum store_presence to)
{
	return chunk < map->chunks && change(map, chunk, true, from, to) == from;
}

bool map_is_full(const struct map *map)
{
	for (uint64_t chunk = 0; chunk < map->chunks; chunk++) {
		if (map_get(map, chunk) != STORE_PRESENT)
			return false;
	}
	return true;
}

void map_fill(struct map *map, enum store_presence presence)
{
	for (uint64_t chunk = 0; chunk < map->chunks; chunk++)
		map_set(map, chunk, presence);
}
