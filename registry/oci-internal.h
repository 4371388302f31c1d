/* SPDX-License-Identifier: Apache-2.0 */
/* Inside registry/oci*.c. */
#ifndef REGISTRY_OCI_INTERNAL_H
#define REGISTRY_OCI_INTERNAL_H

#include <jansson.h>
#include "registry/internal.h"
#include "registry/oci.h"

/* A descriptor, as far as it is looked at. The strings are the JSON's. */
struct oci_descriptor {
	const char *media_type; /* "" if it has none */
	struct digest digest;
	uint64_t size;
	const json_t *annotations; /* an object, or NULL */
};

/* ---- oci-layer.c ---- */

/* The files that LAYERS are. -EINVAL with PROBLEM, -E2BIG, -ENOMEM; then FILES may have some. */
int must_check oci_layers_take(const json_t *layers, const struct oci_reference *reference,
			       struct registry_files *files, char problem[REGISTRY_PROBLEM_SIZE]);

/* ---- oci.c ---- */

/* WHAT it is, for people: "layer 3". */
int must_check oci_descriptor_take(const json_t *json, const char *what, struct oci_descriptor *out,
				   char problem[REGISTRY_PROBLEM_SIZE]);

#endif
