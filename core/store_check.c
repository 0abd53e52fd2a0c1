/*
 * The check of the pages at the opening.  A wrong answer later is worse than a start that takes longer, but a
 * start must not take as long as reading a file of gigabytes: after CHECK_MS it ends, and the log says so.
 * Given up then: damage behind what was read is not found before a request meets it, which fails (EUCLEAN).
 */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <time.h>

#include "core/log.h"
#include "core/store_internal.h"

#define CHECK_MS 1000

struct limit {
	struct sqlite3 *db;
	sem_t done;
	_Atomic bool is_over;
	pthread_t thread;
};

static void *run_limit(void *arg)
{
	struct limit *limit = arg;
	struct timespec until;
	int code;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += CHECK_MS / 1000;
	while ((code = sem_clockwait(&limit->done, CLOCK_MONOTONIC, &until)) != 0 && errno == EINTR)
		;
	if (code != 0) {
		limit->is_over = true;
		sqlite3_interrupt(limit->db); /* the one call that another thread may make; it ends the check only */
	}
	return NULL;
}

static int check(struct store *store, struct sqlite3_stmt *statement, const struct limit *limit)
{
	int code = sqlite3_step(statement);
	const char *said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;

	if (limit->is_over) { /* what it says of a part is not true of all */
		LOG(WARN, NULL, "store", 0, "checked-in-part path=%s ms=%d", store_name(store), CHECK_MS);
		return 0;
	}
	if (code != SQLITE_ROW)
		return store_errno(code);
	if (said && strcmp(said, "ok") == 0)
		return 0;
	LOG(ERROR, NULL, "store", 0, "damaged path=%s check=\"%s\"", store_name(store), said ? said : "");
	return EUCLEAN;
}

int store_check_pages(struct store *store)
{
	struct limit limit = { .db = store->db };
	struct sqlite3_stmt *statement;
	int err = store_errno(sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL));

	if (err)
		return err;
	sem_init(&limit.done, 0, 0);
	if (!(err = pthread_create(&limit.thread, NULL, run_limit, &limit))) {
		err = check(store, statement, &limit);
		sem_post(&limit.done);
		pthread_join(limit.thread, NULL);
	}
	sqlite3_finalize(statement);
	sem_destroy(&limit.done);
	return err;
}
