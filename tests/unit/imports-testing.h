/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of imports share: a store that is a folder, and requests as text. */
#ifndef TESTS_UNIT_IMPORTS_TESTING_H
#define TESTS_UNIT_IMPORTS_TESTING_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "catalogs/imports.h"
#include "common/io.h"
#include "common/log.h"

#define A	 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B	 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C	 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define HF	 "https://hf.example/"
#define OBJECT(hash, size, urls, names) \
	"{\"sha256\":\"" hash "\",\"size\":" size ",\"urls\":[" urls "],\"names\":[" names "]}\n"
#define UID 1000

static char store[64];

static inline void make_store(void)
{
	strcpy(store, "/tmp/test-imports-XXXXXX");
	if (!mkdtemp(store))
		abort();
	log_set_level(LOG_EMERG);
}

static inline void remove_store(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -rf %s", store);
	if (system(command))
		abort();
}

/* A catalog named hf with OBJECTS in it; to be closed. */
static inline int catalog_of(const char *objects)
{
	static const char header[] = "{\"weightfs-catalog\":1,\"name\":\"hf\",\"serial\":7,"
				     "\"expires\":\"2020-01-01T00:00:00Z\"}\n";
	int fd = memfd_create("catalog", MFD_CLOEXEC);

	if (fd < 0 || io_write(fd, header, strlen(header)) < 0 || io_write(fd, objects, strlen(objects)) < 0)
		abort();
	return fd;
}

static size_t added;
static struct verify_problem problem;

static inline int add_with(struct import_request request, const char *objects, const char *refs)
{
	json_t *json = refs ? json_loads(refs, 0, NULL) : NULL;
	int r;

	request.name = "hf";
	request.owner = request.owner ? request.owner : UID;
	request.fd = catalog_of(objects);
	request.refs = json;
	problem = (struct verify_problem){ 0 };
	r = imports_add(store, &request, &added, &problem);
	close(request.fd);
	json_decref(json);
	return r;
}

static inline int add(const char *objects)
{
	return add_with((struct import_request){ 0 }, objects, NULL);
}

/*
 * All that UID has, as one text: "SHA-256's first digit:size[name name…](url …)" for each object, then refs, gated and
 * hosts where there are any.
 */
static inline const char *show(uid_t uid)
{
	static char text[4096];
	struct import *imports;
	FILE *out = fmemopen(text, sizeof(text), "w");
	size_t n;

	if (imports_load(store, uid, &imports, &n) < 0 || !out)
		return "error";
	for (size_t i = 0; i < n; i++) {
		size_t objects = verify_catalog_info(imports[i].entries)->n_objects;

		for (size_t j = 0; j < objects; j++) {
			char hex[DIGEST_HEX_SIZE], url[VERIFY_URL_MAX + 1];
			struct verify_object object;

			verify_catalog_object(imports[i].entries, j, &object);
			digest_to_hex(&object.digests.sha256, hex);
			fprintf(out, "%c:%d[", hex[0], (int)object.size);
			for (unsigned int k = 0; k < object.n_names; k++)
				fprintf(out, "%s%s", k ? " " : "", verify_object_name(imports[i].entries, &object, k));
			fprintf(out, "](");
			for (unsigned int k = 0; k < object.n_urls; k++)
				fprintf(out, "%s%s", k ? " " : "", verify_object_url(imports[i].entries, &object, k, url));
			fprintf(out, ")%s", object.digests.has_fsverity ? "!" : "");
		}
		if (imports[i].refs) {
			char *refs = json_dumps(imports[i].refs, JSON_COMPACT | JSON_SORT_KEYS);

			fprintf(out, " %s", refs);
			free(refs);
		}
		for (size_t j = 0; j < imports[i].n_gated; j++)
			fprintf(out, " gated=%s", imports[i].gated[j]);
		for (size_t j = 0; j < imports[i].n_hosts; j++)
			fprintf(out, " %s=%s%s", imports[i].hosts[j].host,
				imports[i].hosts[j].authorization ? imports[i].hosts[j].authorization : "",
				imports[i].hosts[j].token_challenge ? "!" : "");
	}
	fputc('\0', out);
	fclose(out);
	imports_free(imports, n);
	return text;
}

#endif
