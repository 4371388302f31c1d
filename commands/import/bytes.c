/* SPDX-License-Identifier: Apache-2.0 */
#include "commands/import/bytes.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "common/workqueue.h"

#define AT_ONCE 6

struct hashing {
	const struct import_talk *talk;
	const struct import_get *like;
	const struct import_advice *advice;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t done; /* protected by lock */
};

struct item {
	struct work work;
	struct hashing *hashing;
	struct registry_file *file;
	int error;
};

static int hash_file(struct hashing *hashing, struct registry_file *file)
{
	struct import_talk talk = *hashing->talk; /* whose progress is nobody else's */
	struct import_get get = *hashing->like;
	struct import_advice advice = *hashing->advice;
	char problem[REGISTRY_PROBLEM_SIZE];
	struct fetch_document document;
	int r;

	talk.silent = true;
	advice.missing = NULL; /* that is about the model, which is there */
	get.url = file->urls[0];
	get.what = file->path;
	get.max = IMPORT_BYTES_MAX;
	if (file->has_size && file->size > IMPORT_BYTES_MAX)
		return import_fail(&talk, -EFBIG,
				   "%s: its SHA-256 is not known, and it is too large to be fetched for that",
				   file->path);
	r = import_get(&talk, &get, &advice, &document);
	if (r < 0)
		return r;
	r = registry_file_hash(file, document.body, document.len, problem);
	fetch_document_release(&document);
	return r < 0 ? import_fail(&talk, r, "%s", problem) : 0;
}

static void run(struct work *work)
{
	struct item *item = container_of(work, struct item, work);
	struct hashing *hashing = item->hashing;

	item->error = hash_file(hashing, item->file);
	pthread_mutex_lock(&hashing->lock);
	hashing->done++;
	pthread_cond_signal(&hashing->changed);
	pthread_mutex_unlock(&hashing->lock);
}

/* Until all N were tried. */
static void watch(struct hashing *hashing, struct import_talk *talk, size_t n)
{
	size_t done = 0;

	while (done < n) {
		pthread_mutex_lock(&hashing->lock);
		while (hashing->done == done)
			pthread_cond_wait(&hashing->changed, &hashing->lock);
		done = hashing->done;
		pthread_mutex_unlock(&hashing->lock);
		talk->progress.what = "small files";
		talk->progress.total = n;
		progress_show(&talk->progress, done);
	}
	progress_end(&talk->progress);
}

static int hash_items(struct hashing *hashing, struct import_talk *talk, struct item *items, size_t n)
{
	struct workqueue *queue;
	int r;

	r = workqueue_new(n < AT_ONCE ? (unsigned int)n : AT_ONCE, "import", &queue);
	if (r < 0)
		return import_fail(talk, r, "no threads");
	for (size_t i = 0; i < n; i++)
		workqueue_submit(queue, &items[i].work);
	watch(hashing, talk, n);
	workqueue_free(queue);
	return 0;
}

/* Those without a SHA-256 go. */
static void keep_hashed(struct import_found *found)
{
	struct registry_files *files = &found->files;
	size_t n = 0;

	for (size_t i = 0; i < files->n; i++) {
		struct registry_file file = files->files[i];

		files->files[i] = (struct registry_file){ 0 };
		if (file.has_sha256) {
			files->files[n++] = file;
		} else {
			registry_file_clear(&file);
			found->n_failed++;
		}
	}
	files->n = n;
}

int import_hash_files(struct import_talk *talk, const struct import_get *like,
		      const struct import_advice *advice, struct import_found *found)
{
	struct hashing hashing = {
		.talk = talk,
		.like = like,
		.advice = advice,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	_cleanup_free_ struct item *items = calloc(found->files.n + 1, sizeof(*items));
	size_t n = 0;
	int r;

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < found->files.n; i++) {
		if (!found->files.files[i].has_sha256)
			items[n++] = (struct item){ { .run = run }, &hashing, &found->files.files[i], 0 };
	}
	if (n == 0)
		return 0;
	r = hash_items(&hashing, talk, items, n);
	if (r < 0)
		return r;
	keep_hashed(found);
	return found->files.n > 0 ? 0 : items[0].error;
}
