/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registries as the OCI distribution specification has them (version 1.1; Docker's registry API before it, and Ollama's):
 * what to ask for, and what was answered. See registry.h.
 *
 *	GET BASE/v2/NAME/manifests/TAG|DIGEST	a manifest, or an index of such; named by the SHA-256 of its bytes
 *	GET BASE/v2/NAME/blobs/DIGEST		a layer
 *
 * A layer is a file, under its title where it has one; layers that are archives stay archives. The config is none.
 */
#ifndef REGISTRY_OCI_H
#define REGISTRY_OCI_H

#include "registry/registry.h"

#define OCI_MANIFEST_MAX ((uint64_t)4 << 20) /* what a registry has to take, and most do not exceed */
#define OCI_NAME_MAX	 255		     /* of registry and name together */
#define OCI_INDEX_DEPTH	 3		     /* of indexes in indexes that should be followed */

/* For the Accept header. */
#define OCI_ACCEPT                                                                                 \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "    \
	"application/vnd.docker.distribution.manifest.v2+json, "                                   \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                              \
	"application/vnd.oci.artifact.manifest.v1+json"

/* ---- oci-reference.c ---- */

struct oci_reference {
	char *registry; /* "ghcr.io", "127.0.0.1:5000", in lower case */
	char *name;	/* "org/model" */
	char *tag;	/* NULL: there is only a digest */
	bool has_digest;
	struct digest digest; /* of the manifest or index */
	char *base;	      /* who is asked: "https://ghcr.io" */
	char *folder;	      /* where it belongs among names, its digest left out: "ghcr.io/org/model" */
};

/*
 * "REGISTRY/NAME[:TAG][@sha256:…]", the tag is "latest" without either. On Docker Hub, docker.io/NAME is library/NAME. -EINVAL
 * with PROBLEM, or -ENOMEM.
 */
int must_check oci_reference_parse(const char *text, struct oci_reference *out,
				   char problem[REGISTRY_PROBLEM_SIZE]);
/*
 * "[HOST/][NAMESPACE/]NAME[:TAG]" as Ollama has it: registry.ollama.ai, library, latest. BASE: who is asked instead of
 * registry.ollama.ai; NULL.
 */
int must_check ollama_reference_parse(const char *text, const char *base, struct oci_reference *out,
				      char problem[REGISTRY_PROBLEM_SIZE]);
void oci_reference_clear(struct oci_reference *reference);

/* To be freed; NULL: no memory. DIGEST: that one, NULL: what the reference is for. */
char *oci_manifest_url(const struct oci_reference *reference, const struct digest *digest);
char *oci_blob_url(const struct oci_reference *reference, const struct digest *digest);

/* ---- oci.c ---- */

struct oci_reply {
	const char *body;
	size_t len;
	const char *content_type;      /* of the reply; NULL */
	const char *content_digest;    /* Docker-Content-Digest; NULL */
	const struct digest *expected; /* what was asked for by its digest; NULL */
};

struct oci_manifest {
	struct digest digest; /* of its bytes */
	bool index;
	struct digest next;	     /* of an index: the manifest in it that is meant, to be asked for by its digest */
	struct registry_files files; /* of a manifest, without an index: its layers, with size, SHA-256 and URL */
};

/*
 * What REFERENCE stands for. OUT->files is to be cleared. -EBADMSG: it has another digest than it should; -EINVAL, -E2BIG, each with
 * PROBLEM; -ENOMEM.
 */
int must_check oci_manifest_parse(const struct oci_reply *reply, const struct oci_reference *reference,
				  struct oci_manifest *out, char problem[REGISTRY_PROBLEM_SIZE]);

/* ---- oci-credentials.c ---- */

/*
 * The value of an Authorization header for REFERENCE's registry, of JSON, Docker's config.json or the auth.json of podman and
 * skopeo; to be wiped and freed. -ENOENT: it has none, with PROBLEM if it refers to a place that is not read here, else
 * PROBLEM is ""; -EINVAL with PROBLEM; -ENOMEM.
 */
int must_check oci_credentials_find(const char *json, size_t len,
				    const struct oci_reference *reference, char **out,
				    char problem[REGISTRY_PROBLEM_SIZE]);

#endif
