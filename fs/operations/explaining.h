/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of `explain`: explain-caller.c says who asks, explain-view.c what else its view has to do with it. */
#ifndef FS_OPERATIONS_EXPLAINING_H
#define FS_OPERATIONS_EXPLAINING_H

#include "catalogs/catalogs.h"
#include "fs/operations/operations.h"

struct explaining {
	struct operation *operation;
	bool has_name; /* else it is only about who asks */
	struct digest_name name;
	const char *absent; /* why there is no such thing at all; NULL: there may be */
	/* As found out, in this order. */
	struct policy_caller caller; /* whose opening is explained */
	const char *origin;          /* NULL: none */
	struct store_account account; /* of the view; all 0 if it was never used */
	struct policy_decision decision; /* with what was granted */
	bool may_know;               /* what the store has */
	bool known;
	bool apart;                  /* the view has to fetch it itself, whether or not it is known */
	struct store_info info;      /* if known */
	bool told;                   /* catalogs know it, as */
	struct known found;
};

/* One line of the explanation; MORE (taken over, may be NULL) has further members. Other than 0: stop. */
int explain_say(struct operation *operation, const char *topic, json_t *more, const char *format, ...)
	printf_like(4, 5);
/* The same of what a line of the policy says. */
int explain_where(struct operation *operation, const char *topic, const char *what,
		  const struct policy_where *where);

/*
 * Who asks, as the request says ("uid", "gid", "groups"; the caller itself without), as which origin ("origin"; that of
 * the policy without). -EPERM: it is not the caller's to know.
 */
int must_check explain_caller(struct explaining *explaining);
/*
 * What PATH, below a view ("name/hub/Qwen/…"), stands for, for the caller and its origin, which are known: its name, or why it is
 * absent. (explain-name.c)
 */
int must_check explain_name(struct explaining *explaining, const char *path);
/* Where the policy asks: what the user answered about DIGESTS, folded into the decision. */
int must_check explain_grants(struct explaining *explaining, const struct digest_pair *digests);
/* Whose word it is trusted by, and which places it has. */
int must_check explain_trust(struct explaining *explaining);
/* Is it for its user alone? After that. */
bool explain_is_gated(const struct explaining *explaining);
/* Has the view, or for what is gated its user, fetched all of it? */
bool explain_owns(const struct explaining *explaining);
/* Does it share what is known? (explain-view.c, as the next) */
int must_check explain_sharing(struct explaining *explaining);
/* What the origin uses and may use, what it may look for, and whether anything is fetched. */
int must_check explain_limits(struct explaining *explaining);

#endif
