/* SPDX-License-Identifier: Apache-2.0 */
/* An object that only counts its references, for tests that have no store. To be included once in a program. */
#ifndef TESTS_UNIT_OBJECT_STANDIN_H
#define TESTS_UNIT_OBJECT_STANDIN_H

#include <string.h>
#include "fs/objects/object.h"

struct object *object_ref(struct object *object)
{
	atomic_fetch_add(&object->references, 1);
	return object;
}

void object_put(struct object *object)
{
	atomic_fetch_sub(&object->references, 1);
}

void object_name(struct object *object, char out[DIGEST_NAME_SIZE])
{
	strcpy(out, "test");
}

/* Nobody waits for all of it. */
void object_news(struct object *object, int error)
{
}

#endif
