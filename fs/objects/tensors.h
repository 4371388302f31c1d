/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the tensors of a model file lie, as its header says: safetensors, and GGUF of version 2 and 3.
 *
 * Only a hint for prefetch, from bytes that a stranger may have written: whatever is odd about a header means
 * that there are no tensors, and nothing else.
 */
#ifndef FS_OBJECTS_TENSORS_H
#define FS_OBJECTS_TENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "common/cleanup.h"

#define TENSORS_MAX 100000 /* of more nothing is known; 16 bytes each */

/* Bytes of the file: [begin, end), never empty. */
struct tensor {
	uint64_t begin, end;
};

struct tensors; /* immutable: any thread */

/* LEN bytes at OFFSET, inside the file. 0, -ENODATA if they are not here yet, or another -errno. */
typedef int tensors_read(void *arg, uint64_t offset, void *buf, size_t len);

/*
 * Parse the header of a file of SIZE bytes. Reads from its front on, in pieces, nothing twice.
 *
 * 0: *OUT, to be freed. -ENODATA from READ: call it again when the first *NEED bytes are here (an estimate
 * for GGUF, which does not say how long its header is; never more than SIZE). -EBADMSG: no header of a known
 * format, or not one to believe. -ENOMEM; other errors are READ's.
 */
int must_check tensors_parse(uint64_t size, tensors_read *read, void *arg, struct tensors **out,
			     uint64_t *need);
void tensors_free(struct tensors *tensors); /* NULL is allowed */

size_t tensors_count(const struct tensors *tensors);
const struct tensor *tensors_at(const struct tensors *tensors, size_t index); /* in file order */
/* The tensor that OFFSET lies in, or NULL. */
const struct tensor *tensors_find(const struct tensors *tensors, uint64_t offset);
/* The last tensor that begins in [FROM, TO), or NULL. */
const struct tensor *tensors_beginning(const struct tensors *tensors, uint64_t from, uint64_t to);

#endif
