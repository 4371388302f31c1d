/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/origins/grants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

struct answer {
	struct store_about about;
	bool refused;
	int64_t made, until; /* wall clock; until 0: for ever */
	int64_t until_boot;  /* by the clock that nobody sets */
	atomic_bool over;    /* it was seen to be, and stays so */
};

/* In the order of digests first, by kind, then sets. */
struct answers {
	size_t n_digests, n;
	bool refuses_sha256, refuses_fsverity; /* there are refusals that name a digest of that kind */
	struct answer items[];
};

struct grants {
	pthread_rwlock_t lock;
	struct answers *answers; /* protected by lock; NULL: none */
	uint64_t begun, loaded;	 /* protected by lock: loads: the last one, and the one that holds */
};

struct grants_time grants_now(void)
{
	struct timespec wall, boot;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	return (struct grants_time){wall.tv_sec, boot.tv_sec};
}

int grants_new(struct grants **out)
{
	struct grants *grants = calloc(1, sizeof(*grants));

	if (!grants)
		return -ENOMEM;
	pthread_rwlock_init(&grants->lock, NULL);
	*out = grants;
	return 0;
}

void grants_free(struct grants *grants)
{
	if (!grants)
		return;
	free(grants->answers);
	pthread_rwlock_destroy(&grants->lock);
	free(grants);
}

/* ---- loading ---- */

static int compare(const void *left, const void *right)
{
	const struct store_about *a = left, *b = right;

	if (*a->set || *b->set)
		return strcmp(a->set, b->set);
	return digest_name_compare(&a->digest, &b->digest);
}

static int compare_grants(const void *left, const void *right)
{
	const struct store_grant *a = left, *b = right;

	return compare(&a->about, &b->about);
}

bool grants_is_over(const struct store_grant *grant, int64_t wall)
{
	return grant->until != 0 && (grant->until <= wall || (!grant->refused && grant->made > wall));
}

static void set_answer(struct answer *answer, const struct store_grant *grant, struct grants_time now)
{
	answer->about = grant->about;
	answer->refused = grant->refused;
	answer->made = grant->made;
	answer->until = grant->until;
	answer->until_boot = now.boot + (grant->until > now.wall ? grant->until - now.wall : 0);
	atomic_init(&answer->over, false);
}

/* Those of GRANTS, which is spoiled, that are for ORIGIN: there may be many views of a user. NULL: no memory. */
static struct answers *make(struct store_grant *grants, size_t n, const char *origin,
			    struct grants_time now)
{
	struct answers *answers;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(grants[i].origin, origin))
			grants[kept++] = grants[i];
	}
	answers = calloc(1, sizeof(*answers) + kept * sizeof(answers->items[0]));
	if (!answers)
		return NULL;
	/* An empty name of a set is the least: digests come first. */
	qsort(grants, kept, sizeof(*grants), compare_grants);
	for (; answers->n < kept; answers->n++) {
		const struct store_grant *grant = &grants[answers->n];
		bool of_digest = !*grant->about.set;

		set_answer(&answers->items[answers->n], grant, now);
		answers->n_digests += of_digest;
		if (of_digest && grant->refused && grant->about.digest.kind == DIGEST_SHA256)
			answers->refuses_sha256 = true;
		else if (of_digest && grant->refused)
			answers->refuses_fsverity = true;
	}
	return answers;
}

/* What is known of an answer that NEW has, too: that it is over, and for how long it was to hold. */
static void keep_ends(const struct answers *old, struct answers *new)
{
	for (size_t i = 0, j = 0; old && i < old->n && j < new->n;) {
		const struct answer *was = &old->items[i];
		struct answer *is = &new->items[j];
		int order = compare(&was->about, &is->about);

		if (order == 0 && was->made == is->made && was->until == is->until) {
			atomic_store(&is->over, atomic_load(&was->over));
			is->until_boot = was->until_boot < is->until_boot ? was->until_boot : is->until_boot;
		}
		i += order <= 0;
		j += order >= 0;
	}
}

int grants_load(struct grants *grants, struct store *store, uid_t uid, const char *origin,
		struct grants_time now)
{
	_cleanup_free_ struct store_grant *found = NULL;
	struct answers *made = NULL, *old;
	uint64_t number;
	size_t n;
	int r;

	pthread_rwlock_wrlock(&grants->lock);
	number = ++grants->begun;
	pthread_rwlock_unlock(&grants->lock);
	r = store_grants(store, uid, &found, &n);
	if (r == 0) {
		made = make(found, n, origin, now);
		r = made ? 0 : -ENOMEM;
	}
	pthread_rwlock_wrlock(&grants->lock);
	old = made;
	/* One that began later, and so read what is newer, may have overtaken this one. */
	if (number > grants->loaded) {
		old = grants->answers;
		if (made)
			keep_ends(old, made);
		grants->answers = made;
		grants->loaded = number;
	}
	pthread_rwlock_unlock(&grants->lock);
	free(old);
	return r;
}

/* ---- deciding: all but the last with the lock held ---- */

/* Its time has come, by either clock; it may have been seen to be over before. */
static bool has_ended(const struct answer *answer, struct grants_time now)
{
	return answer->until != 0 && (answer->until <= now.wall || answer->until_boot <= now.boot);
}

static bool is_over(struct answer *answer, struct grants_time now, struct grants_said *said)
{
	if (has_ended(answer, now) && !atomic_exchange(&answer->over, true))
		said->expired = (struct store_grant){
			.about = answer->about,
			.refused = answer->refused,
			.made = answer->made,
			.until = answer->until,
		};
	return atomic_load(&answer->over) || (!answer->refused && answer->made > now.wall);
}

/* ANSWER is about the object: what is said is that, too. No goes before yes. */
static void add(struct answer *answer, struct grants_time now, struct grants_said *said)
{
	int64_t seconds = 0;

	if (answer->until != 0) {
		if (is_over(answer, now, said))
			return;
		seconds = answer->until - now.wall;
		if (answer->until_boot - now.boot < seconds)
			seconds = answer->until_boot - now.boot;
	}
	if (answer->refused)
		said->answer = GRANTS_NO;
	else if (said->answer == GRANTS_NONE)
		said->answer = GRANTS_YES;
	if (seconds && (said->seconds == 0 || seconds < said->seconds))
		said->seconds = seconds;
}

static void add_digest(struct answers *answers, enum digest_kind kind, const struct digest *digest,
		       struct grants_time now, struct grants_said *said)
{
	struct store_about about = {.digest = {kind, *digest}};
	struct answer *answer =
		bsearch(&about, answers->items, answers->n_digests, sizeof(answers->items[0]), compare);

	if (answer)
		add(answer, now, said);
}

static void add_sets(struct answers *answers, const struct policy *policy,
		     const struct digest_pair *digests, struct grants_time now, struct grants_said *said)
{
	for (size_t i = answers->n_digests; i < answers->n; i++) {
		if (policy_set_holds(policy, answers->items[i].about.set, digests))
			add(&answers->items[i], now, said);
	}
}

/* Is there a digest of KIND that was refused, and still is? */
static bool refuses_any(const struct answers *answers, enum digest_kind kind, struct grants_time now)
{
	for (size_t i = 0; i < answers->n_digests; i++) {
		const struct answer *answer = &answers->items[i];

		if (answer->refused && answer->about.digest.kind == kind && !atomic_load(&answer->over) &&
		    !has_ended(answer, now))
			return true;
	}
	return false;
}

/* Could one of the refusals be about the object, by a digest that is not known of it? */
static bool may_be_refused(const struct answers *answers, const struct digest_pair *digests,
			   struct grants_time now)
{
	return (answers->refuses_sha256 && !digests->has_sha256 &&
		refuses_any(answers, DIGEST_SHA256, now)) ||
	       (answers->refuses_fsverity && !digests->has_fsverity &&
		refuses_any(answers, DIGEST_FSVERITY, now));
}

struct grants_said grants_ask(struct grants *grants, const struct policy *policy,
			      const struct digest_pair *digests, struct grants_time now)
{
	struct grants_said said = {.answer = GRANTS_NONE};
	struct answers *answers;

	/* A call of policy/ with a lock held, but one that takes none itself. */
	pthread_rwlock_rdlock(&grants->lock);
	answers = grants->answers;
	if (answers && digests->has_sha256)
		add_digest(answers, DIGEST_SHA256, &digests->sha256, now, &said);
	if (answers && digests->has_fsverity)
		add_digest(answers, DIGEST_FSVERITY, &digests->fsverity, now, &said);
	if (answers && said.answer == GRANTS_NONE) {
		add_sets(answers, policy, digests, now, &said);
		/* Else a no to one name would be evaded by the other. */
		if (said.answer == GRANTS_YES && may_be_refused(answers, digests, now))
			said.answer = GRANTS_NONE;
	}
	pthread_rwlock_unlock(&grants->lock);
	return said;
}
