/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipfs:CID. A CID of one raw block is the SHA-256 of the file's own bytes. That of a UnixFS file is of a node that nobody
 * here reads: which bytes it stands for is what a catalog says that has it among its URLs.
 */
#include <stdio.h>
#include <string.h>
#include "catalogs/ipfs.h"
#include "commands/import/size.h"
#include "common/io.h"
#include "fs/control/control.h"

#define GATEWAY_FILE_MAX 4096

static const struct import_advice advice = {
	.unauthorized = "the gateway is not for everybody: name another in IPFS_GATEWAY",
	.forbidden = "the gateway does not give it out: name another in IPFS_GATEWAY",
	.missing = "the gateway does not find it: check the CID, or name another gateway in IPFS_GATEWAY",
};

/* ---- the gateway ---- */

/* The first line of a file in the folder of IPFS's own programs, where a local node writes its address. */
static char *gateway_of_file(void)
{
	const char *folder = getenv("IPFS_PATH"), *home = getenv("HOME");
	_cleanup_free_ char *path = NULL;
	char *text = NULL;
	size_t len;
	int n;

	if (folder && *folder)
		n = asprintf(&path, "%s/gateway", folder);
	else
		n = home ? asprintf(&path, "%s/.ipfs/gateway", home) : -1;
	if (n < 0) {
		path = NULL;
		return NULL;
	}
	if (io_read_file(path, GATEWAY_FILE_MAX, &text, &len) < 0)
		return NULL;
	text[strcspn(text, " \r\n")] = '\0';
	return text;
}

/* To be freed; USERS_OWN: the user named it. */
static int find_gateway(struct import_talk *talk, char **out, bool *users_own)
{
	const char *variable = getenv("IPFS_GATEWAY");
	char *gateway = variable && *variable ? strdup(variable) : gateway_of_file();

	*users_own = gateway && *gateway;
	if (gateway && !*gateway) {
		free(gateway);
		gateway = NULL;
	}
	if (!gateway && talk->config->ipfs.n_gateways > 0)
		gateway = strdup(talk->config->ipfs.gateways[0]);
	if (!gateway)
		return import_fail(talk, -EDESTADDRREQ,
				   "no gateway is known: name one in IPFS_GATEWAY, or as `gateway` in [ipfs] "
				   "of the configuration");
	*out = gateway;
	return 0;
}

static int locate(struct import_talk *talk, const struct ipfs_name *name, struct registry_file *file)
{
	_cleanup_free_ char *gateway = NULL;
	bool users_own = false;
	int r;

	r = find_gateway(talk, &gateway, &users_own);
	if (r < 0)
		return r;
	file->urls[0] = ipfs_gateway_url(gateway, name);
	if (!file->urls[0])
		return import_fail(talk, -ENOMEM, "no memory");
	file->n_urls = 1;
	if (!file->has_size)
		r = import_size(talk, file, users_own ? gateway : NULL, &advice);
	if (r < 0)
		return r;
	/* The daemon may know others. */
	if (asprintf(&file->urls[1], IPFS_PREFIX "%s", file->path) < 0) {
		file->urls[1] = NULL;
		return import_fail(talk, -ENOMEM, "no memory");
	}
	file->n_urls = 2;
	return 0;
}

/* ---- what a catalog says ---- */

static int take_object(void *arg, json_t *line)
{
	const char *hex = json_string_value(json_object_get(line, "sha256"));
	struct registry_file *file = arg;

	if (!hex || strlen(hex) != DIGEST_HEX_SIZE - 1 || digest_from_hex(hex, &file->sha256) < 0)
		return 0;
	file->has_sha256 = file->has_size = true;
	file->size = (uint64_t)json_integer_value(json_object_get(line, "size"));
	return 0;
}

/* Logs. */
static int ask_catalogs(struct import_talk *talk, const char *rest, struct registry_file *file)
{
	_cleanup_free_ char *url = NULL;
	int r;

	if (asprintf(&url, IPFS_PREFIX "%s", rest + (strncmp(rest, "//", 2) ? 0 : 2)) < 0) {
		url = NULL;
		return import_fail(talk, -ENOMEM, "no memory");
	}
	progress_end(&talk->progress);
	r = control_call(talk->settings, talk->config, json_pack("{s:s, s:s}", "op", "locate", "url", url),
			 -1, take_object, file);
	if (r == 0 && !file->has_sha256)
		return import_fail(talk, -ENOENT, "the catalog that has it does not say its SHA-256");
	return r;
}

/* ---- all together ---- */

/* "CID", or "CID/FOLDER/FILE". */
static int name_file(struct import_talk *talk, const struct ipfs_name *name, struct registry_file *file)
{
	char cid[REGISTRY_CID_TEXT_SIZE];

	registry_cid_format(&name->cid, cid);
	if (asprintf(&file->path, "%s%s", cid, name->path) < 0) {
		file->path = NULL;
		return import_fail(talk, -ENOMEM, "no memory");
	}
	return 0;
}

static int find(struct import_talk *talk, const char *rest, struct import_found *out)
{
	_cleanup_(registry_file_clear) struct registry_file file = { 0 };
	char problem[REGISTRY_PROBLEM_SIZE];
	struct ipfs_name name;
	int r;

	r = ipfs_name_parse(rest, &name, problem);
	if (r < 0)
		return import_fail(talk, r, "%s", problem);
	r = name_file(talk, &name, &file);
	if (r < 0)
		return r;
	if (name.cid.codec == REGISTRY_CID_RAW && !*name.path) {
		file.has_sha256 = true;
		file.sha256 = name.cid.digest;
	} else {
		r = ask_catalogs(talk, rest, &file);
	}
	if (r == 0)
		r = locate(talk, &name, &file);
	if (r == 0 && registry_files_add(&out->files, &file) < 0)
		r = import_fail(talk, -ENOMEM, "no memory");
	return r;
}

const struct import_source import_source_ipfs = {
	.scheme = "ipfs",
	.catalog = "ipfs",
	.form = "ipfs:CID[/PATH]",
	.find = find,
};
