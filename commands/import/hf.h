/* SPDX-License-Identifier: Apache-2.0 */
/* What the environment says of huggingface.co, by the names that its own libraries read. */
#ifndef COMMANDS_IMPORT_HF_H
#define COMMANDS_IMPORT_HF_H

#include <stdbool.h>
#include "common/cleanup.h"

struct hf_user {
	char *endpoint;	     /* HF_ENDPOINT, without a "/" at its end */
	bool own_endpoint;   /* the user named it */
	char *authorization; /* "Bearer <token>"; NULL: there is no token */
	bool offline;	     /* HF_HUB_OFFLINE */
};

/*
 * HF_TOKEN, or the file that HF_TOKEN_PATH names, or `token` in HF_HOME, or in huggingface/ in the user's cache. A file that
 * others may read is warned about. 0 or -ENOMEM; -EINVAL, logged: there is a token that is none.
 */
int must_check hf_user_init(struct hf_user *user);
void hf_user_release(struct hf_user *user);

#endif
