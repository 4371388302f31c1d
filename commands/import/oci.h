/* SPDX-License-Identifier: Apache-2.0 */
/* What users bring to registries of images: credentials that other programs left behind. */
#ifndef COMMANDS_IMPORT_OCI_H
#define COMMANDS_IMPORT_OCI_H

#include "registry/oci.h"

struct oci_user {
	char *authorization; /* value of an Authorization header; NULL: there is none */
	char *file;	     /* where it is from */
	char problem[REGISTRY_PROBLEM_SIZE]; /* why there is none although somebody logged in; "" */
};

/*
 * For REFERENCE's registry: of REGISTRY_AUTH_FILE, or of $XDG_RUNTIME_DIR/containers/auth.json (podman, skopeo) and
 * $DOCKER_CONFIG/config.json or ~/.docker/config.json. What cannot be read is logged, and left out. 0 or -ENOMEM.
 */
int must_check oci_user_init(const struct oci_reference *reference, struct oci_user *out);
void oci_user_release(struct oci_user *user);

#endif
