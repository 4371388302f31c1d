/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kept: landed flights whose buffers nobody needs to hold any more, of all objects, in the order in which
 * they came. They answer readers as long as there is memory: whenever fewer than `spare` buffers of the
 * pool are free, the oldest goes. So transfers always find buffers, and an idle daemon keeps what it has.
 *
 * Any thread. Locks: its own, a leaf; a flight in the list is alive, and who takes it out owns its end.
 */
#ifndef FS_OBJECTS_KEPT_H
#define FS_OBJECTS_KEPT_H

#include <stdint.h>
#include "common/cleanup.h"
#include "common/pool.h"

struct flight;
struct kept;
struct object;

int must_check kept_new(struct pool *pool, size_t spare, struct kept **out);
/* Lets all go. Nothing may be added any more. NULL is allowed. */
void kept_free(struct kept *kept);

/* FLIGHT, kept from now on, is the newest. */
void kept_add(struct kept *kept, struct flight *flight);
/* While memory is short, the oldest go. */
void kept_trim(struct kept *kept);
/* CHUNK of OBJECT, which is only compared and may be gone, was read to its end: it goes. */
void kept_consumed(struct kept *kept, const struct object *object, uint64_t chunk);
/* Nobody has OBJECT open: all of it goes. NULL: of every object. */
void kept_drop(struct kept *kept, const struct object *object);

#endif
