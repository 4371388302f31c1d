/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers of model files from nowhere.
 *
 * Input: how many of the bytes are here (2 bytes, little-endian, in 64ths of the file: 64 and above is all),
 * how long the file is beyond that (1 byte, in 64 KiB, below 1 MiB; 2 are left over), then the front of the file.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "fs/objects/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

struct front {
	const uint8_t *data;
	size_t length;
	uint64_t size, here, at;
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

static int read_front(void *arg, uint64_t offset, void *buf, size_t len)
{
	struct front *front = arg;

	must(len > 0 && offset < front->size && len <= front->size - offset);
	if (offset + len > front->here)
		return -ENODATA;
	memset(buf, 0, len);
	if (offset < front->length)
		memcpy(buf, front->data + offset,
		       len < front->length - offset ? len : (size_t)(front->length - offset));
	return 0;
}

/* Sorted, not empty, inside the file, and found again. */
static void check(const struct tensors *tensors, uint64_t size)
{
	uint64_t end = 0;

	must(tensors_count(tensors) > 0 && tensors_count(tensors) <= TENSORS_MAX);
	for (size_t i = 0; i < tensors_count(tensors); i++) {
		const struct tensor *tensor = tensors_at(tensors, i);

		must(tensor->begin >= end && tensor->begin < tensor->end);
		end = tensor->end;
		must(tensors_find(tensors, tensor->begin) == tensor);
		must(tensors_find(tensors, tensor->end - 1) == tensor);
		must(tensors_beginning(tensors, tensor->begin, tensor->end) == tensor);
	}
	must(end <= size);
	must(!tensors_find(tensors, end));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct front front;
	struct tensors *tensors;
	uint64_t need = 0;
	int r;

	if (len < 5)
		return 0;
	front.data = input + 5;
	front.length = len - 5;
	front.size = front.length + ((uint64_t)(input[2] % 16) << 16);
	front.here = front.size / 64 * (uint64_t)(input[0] | input[1] << 8);
	if (front.here >= front.size / 64 * 64)
		front.here = front.size;
	r = tensors_parse(front.size, read_front, &front, &tensors, &need);
	must(r == 0 || r == -EBADMSG || r == -ENODATA);
	if (r == 0) {
		check(tensors, front.size);
		tensors_free(tensors);
	} else if (r == -ENODATA) {
		must(need <= front.size && need > front.here);
	}
	return 0;
}
