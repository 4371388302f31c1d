/* SPDX-License-Identifier: Apache-2.0 */
/* What Ollama keeps: manifests/<registry>/<namespace>/<name>/<tag>, each a manifest, and blobs/sha256-<hex>. */
#include <stdio.h>
#include <string.h>
#include "commands/adopt-scan.h"
#include "common/io.h"
#include "common/log.h"
#include "registry/oci.h"
#include "verify/catalog.h"

struct ollama {
	struct adopt_scan *scan;
	const char *path;
	const char *below; /* of manifests/ */
};

static int add_layers(const struct ollama *ollama, struct registry_files *layers, struct adopt_model *model)
{
	_cleanup_free_ char *blobs = adopt_join(ollama->path, "blobs");

	for (size_t i = 0; blobs && i < layers->n; i++) {
		char hex[DIGEST_HEX_SIZE], blob[DIGEST_HEX_SIZE + 8];
		struct adopt_file *file;

		digest_to_hex(&layers->files[i].sha256, hex);
		snprintf(blob, sizeof(blob), "sha256-%s", hex);
		file = adopt_add_file(model, strdup(layers->files[i].path), adopt_join(blobs, blob));
		if (!file)
			return -ENOMEM;
		file->has_sha256 = true;
		file->sha256 = layers->files[i].sha256;
	}
	return blobs ? 0 : -ENOMEM;
}

/* The manifest in TEXT, which lies where NAME (registry/namespace/name/tag) says. */
static int take_manifest(const struct ollama *ollama, const char *path, char *name, const char *text, size_t len)
{
	struct oci_reply reply = { .body = text, .len = len };
	struct adopt_model model = { .catalog = "ollama" };
	struct oci_reference reference = { 0 };
	struct oci_manifest manifest = { 0 };
	char problem[REGISTRY_PROBLEM_SIZE] = "", hex[DIGEST_HEX_SIZE];
	int r;

	*strrchr(name, '/') = ':';
	r = ollama_reference_parse(name, NULL, &reference, problem);
	if (r == 0)
		r = oci_manifest_parse(&reply, &reference, &manifest, problem);
	if (r < 0 || manifest.index) {
		log_warning("%s: %s: left out", path, r < 0 ? problem : "is an index");
		r = r == -ENOMEM ? r : 0;
	} else {
		digest_to_hex(&manifest.digest, hex);
		if (asprintf(&model.folder, "%s@%s", reference.folder, hex) < 0)
			model.folder = NULL;
		model.refs = json_pack("{s:{s:s}}", reference.folder, reference.tag ? reference.tag : "latest", hex);
		r = model.folder && model.refs ? add_layers(ollama, &manifest.files, &model) : -ENOMEM;
		if (r == 0)
			r = ollama->scan->found(ollama->scan->arg, &model);
	}
	adopt_model_clear(&model);
	registry_files_clear(&manifest.files);
	oci_reference_clear(&reference);
	return r;
}

static int scan_manifests(void *arg, const char *folder, const char *name)
{
	const struct ollama *ollama = arg;
	_cleanup_free_ char *path = adopt_join(folder, name), *below = adopt_join(ollama->below, name), *text = NULL;
	struct stat st;
	size_t len;
	int r;

	if (!path || !below)
		return -ENOMEM;
	/* Links could lead round and round. */
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		struct ollama deeper = { ollama->scan, ollama->path, below };

		return strlen(below) < VERIFY_NAME_MAX ? adopt_each_entry(path, false, scan_manifests, &deeper) : 0;
	}
	r = io_read_regular(path, OCI_MANIFEST_MAX, &text, &len, &st);
	if (r < 0 || !strchr(below, '/')) {
		log_warning("%s: is no manifest: left out", path);
		return 0;
	}
	return take_manifest(ollama, path, below, text, len);
}

int adopt_ollama(struct adopt_scan *scan, const char *path)
{
	_cleanup_free_ char *manifests = adopt_join(path, "manifests");
	struct ollama ollama = { scan, path, "" };

	return manifests ? adopt_each_entry(manifests, false, scan_manifests, &ollama) : -ENOMEM;
}
