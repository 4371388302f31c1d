/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API of huggingface.co, as its own libraries use it: what to ask for, and what was answered. See registry.h.
 *
 *	GET ENDPOINT/api/models/REPO/revision/REVISION				a model: which commit is meant
 *	GET ENDPOINT/api/models/REPO/tree/COMMIT?recursive=true&expand=false	its files, in pages (Link: rel="next")
 *	GET ENDPOINT/api/models/REPO/auth-check					may I read it?
 *	GET ENDPOINT/REPO/resolve/COMMIT/PATH					a file
 */
#ifndef REGISTRY_HF_H
#define REGISTRY_HF_H

#include "registry/registry.h"

/* "ORG/REPO[@REVISION][/PATH]" */
struct hf_spec {
	char *repo;
	char *revision; /* "main" if it was not said */
	char *path;	/* a file, or a folder; NULL: all */
};

int must_check hf_spec_parse(const char *text, struct hf_spec *out,
			     char problem[REGISTRY_PROBLEM_SIZE]);
void hf_spec_clear(struct hf_spec *spec);

struct hf_model {
	char commit[65];
	bool restricted; /* private, or gated: not everybody may read it */
};

/* All URLs are to be freed; NULL: no memory. */
char *hf_model_url(const char *endpoint, const struct hf_spec *spec);
char *hf_tree_url(const char *endpoint, const struct hf_spec *spec, const struct hf_model *model);
char *hf_check_url(const char *endpoint, const struct hf_spec *spec);
char *hf_file_url(const char *endpoint, const struct hf_spec *spec, const struct hf_model *model,
		  const char *path);

/* -EINVAL with PROBLEM, or -ENOMEM. */
int must_check hf_model_parse(const char *json, size_t len, struct hf_model *out,
			      char problem[REGISTRY_PROBLEM_SIZE]);
/*
 * A page of the tree: its files, behind those that are in FILES, without URLs. Files in LFS have a SHA-256, others the id of a
 * git blob. -EINVAL, -E2BIG with PROBLEM, or -ENOMEM; then FILES may have some of the page.
 */
int must_check hf_tree_parse(const char *json, size_t len, struct registry_files *files,
			     char problem[REGISTRY_PROBLEM_SIZE]);

#endif
