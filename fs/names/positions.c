/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/names/positions.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Some replies' worth: 4 MiB at most, if all names are as long as names can be. */
#define SLOTS 16384

static struct slot {
	off_t position;
	char *name; /* NULL: it is free */
} slots[SLOTS]; /* protected by lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

off_t position_of(uint64_t folder, const char *name)
{
	unsigned char text[sizeof(folder) + NAME_MAX], digest[EVP_MAX_MD_SIZE];
	size_t len = strnlen(name, NAME_MAX);
	uint64_t position = 0;

	memcpy(text, &folder, sizeof(folder));
	memcpy(text + sizeof(folder), name, len);
	/* SHA-256, so that nobody makes two names with one. Without memory they are alike, and the listing ends. */
	if (EVP_Digest(text, sizeof(folder) + len, digest, NULL, EVP_sha256(), NULL) == 1)
		memcpy(&position, digest, sizeof(position));
	return (off_t)((position >> 2) + POSITIONS_FIRST);
}

static struct slot *slot_of(off_t position)
{
	return &slots[(uint64_t)position % SLOTS];
}

void position_told(off_t position, const char *name)
{
	struct slot *slot = slot_of(position);

	pthread_mutex_lock(&lock);
	if (!slot->name || slot->position != position) {
		free(slot->name);
		slot->name = strdup(name);
		slot->position = position;
	}
	pthread_mutex_unlock(&lock);
}

bool position_name(off_t position, char *out)
{
	struct slot *slot = slot_of(position);
	bool found;

	pthread_mutex_lock(&lock);
	found = slot->name && slot->position == position;
	if (found)
		snprintf(out, NAME_MAX + 1, "%s", slot->name);
	pthread_mutex_unlock(&lock);
	return found;
}

void positions_free(void)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < SLOTS; i++) {
		free(slots[i].name);
		slots[i].name = NULL;
	}
	pthread_mutex_unlock(&lock);
}
