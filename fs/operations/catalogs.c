/* SPDX-License-Identifier: Apache-2.0 */
/* The configured catalogs, which are no secret to the users of the machine; and asking for them now. */
#include "catalogs/catalogs.h"

#include <string.h>
#include "fs/operations/operations.h"

int operation_list_catalogs(struct operation *operation)
{
	struct catalogs *catalogs = operation_catalogs(operation);
	json_t *list, *disagreements, *line;
	size_t index;
	int r = 0;

	if (!catalogs)
		return -ENOMEM;
	list = catalogs_status(catalogs);
	disagreements = catalogs_disagreements(catalogs);
	json_array_foreach(list, index, line) {
		r = operation->emit(operation, json_incref(line));
		if (r != 0)
			break;
	}
	if (r == 0 && json_integer_value(json_object_get(disagreements, "count")) > 0)
		r = operation->emit(operation, json_pack("{s:O}", "disagreements", disagreements));
	json_decref(list);
	json_decref(disagreements);
	return r;
}

/* Each by itself, so that who asked hears of each as soon as it is here. */
static int refresh_one(struct operation *operation, const char *name, char message[CATALOG_MESSAGE_SIZE])
{
	int r = catalogs_refresh(operation->fs->catalogs, name, message), sent;

	if (r == 0)
		sent = operation->emit(operation, json_pack("{s:s, s:b}", "name", name, "refreshed", true));
	else
		sent = operation->emit(operation, json_pack("{s:s, s:b, s:s}", "name", name, "refreshed", false, "problem",
							    message));
	return sent != 0 ? sent : r;
}

int operation_refresh_catalogs(struct operation *operation)
{
	const struct config *config = &operation->fs->config;
	const char *name = json_string_value(json_object_get(operation->request, "name"));
	char message[CATALOG_MESSAGE_SIZE] = "";
	size_t n = 0, n_failed = 0;
	int r = 0;

	for (size_t i = 0; i < config->n_catalogs; i++) {
		const char *one = config->catalogs[i].name;
		int failed;

		if (name && strcmp(name, one) != 0)
			continue;
		n++;
		failed = refresh_one(operation, one, message);
		if (failed > 0)
			return failed; /* nobody listens any more */
		if (failed < 0) {
			r = failed;
			n_failed++;
		}
	}
	if (name && n == 0)
		return operation_fail(operation, -ENOENT, "no catalog is called %.64s", name);
	if (n == 1 && r < 0)
		return operation_fail(operation, r, "%s", message);
	return r < 0 ? operation_fail(operation, r, "%zu of %zu catalogs could not be refreshed", n_failed, n) : 0;
}
