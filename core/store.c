#include "core/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/store_deferred.h"
#include "core/store_internal.h"

#define CACHE_KIB  "32768" /* pages in memory: the paths to the rows of a million messages, and a group's own */
#define BUSY_MS	       1000 /* a backup may hold the lock for a moment; longer fails the group */
#define REOPEN_MS      1000
#define RESTART_BUSY_MS   20  /* for readers of the log to end */
#define RESTART_AGAIN_MS  100
#define CHECKPOINT_FRAMES 256 /* committed since the last passive checkpoint: the next */

static const char *const statement_sql[] = {
#define X(name, sql) sql,
	STORE_STATEMENTS(X) STORE_DEFERRED_STATEMENTS(X)
#undef X
};

int store_errno(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return EUCLEAN;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return EACCES;
	default:
		return EIO;
	}
}

const char *store_name(const struct store *store)
{
	return store->path ? store->path : ":memory:";
}

static void say(const struct store *store, const char *event, int err)
{
	LOG(ERROR, NULL, "store", 0, "%s path=%s error=\"%s\" cause=\"%s\"", event, store_name(store), strerror(err),
		store->db && sqlite3_errcode(store->db) != SQLITE_OK ? sqlite3_errmsg(store->db) : "");
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct sqlite3_stmt *store_statement(struct store *store, enum store_statement which)
{
	sqlite3_clear_bindings(store->statements[which]);
	return store->statements[which];
}

static int step(struct store *store, enum store_statement which)
{
	int err = store_errno(sqlite3_step(store->statements[which]));

	sqlite3_reset(store->statements[which]);
	return err;
}

/* ---- opening ---- */

int store_run_sql(struct store *store, const char *sql)
{
	return store_errno(sqlite3_exec(store->db, sql, NULL, NULL, NULL));
}

int store_ask_number(struct store *store, const char *sql, uint64_t *number)
{
	struct sqlite3_stmt *statement;
	int err = store_errno(sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL));

	if (err)
		return err;
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*number = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return store_errno(code);
}

static int on_wal(void *arg, struct sqlite3 *db, const char *name, int frames)
{
	(void)db, (void)name;
	((struct store *)arg)->wal_frames = (uint64_t)frames;
	return SQLITE_OK;
}

static int set_pragmas(struct store *store)
{
	const char *synchronous = store->synchronous == STORE_FULL ? "PRAGMA synchronous = FULL" :
									       "PRAGMA synchronous = NORMAL";
	int err;

	sqlite3_busy_timeout(store->db, BUSY_MS);
	if ((err = store_run_sql(store, "PRAGMA temp_store = MEMORY")) ||
	    (err = store_run_sql(store, "PRAGMA cache_size = -" CACHE_KIB)) ||
	    (err = store_run_sql(store, "PRAGMA trusted_schema = OFF")) ||
	    (err = store_run_sql(store, "PRAGMA journal_mode = WAL")) || (err = store_run_sql(store, synchronous)) ||
	    /* after WAL: the hook replaces the automatic checkpoint */
	    (err = store_run_sql(store, "PRAGMA wal_autocheckpoint = 0")))
		return err;
	sqlite3_wal_hook(store->db, on_wal, store);
	return store_ask_number(store, "PRAGMA page_size", &store->page_octets);
}

static int prepare_all(struct store *store)
{
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		int code = sqlite3_prepare_v3(store->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			&store->statements[i], NULL);
		if (code != SQLITE_OK)
			return store_errno(code);
	}
	return 0;
}

static void close_database(struct store *store)
{
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		sqlite3_finalize(store->statements[i]);
		store->statements[i] = NULL;
	}
	store_checkpointer_forget(store->checkpointer);
	sqlite3_close(store->db);
	store->db = NULL;
	store->wal_frames = store->frames_told = 0;
	store->is_full = false;
}

static int open_database(struct store *store)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int err = store_errno(sqlite3_open_v2(store_name(store), &store->db, flags, NULL));

	if (!err && !(err = store_check_pages(store)) && !(err = set_pragmas(store)) &&
	    !(err = store_check_schema(store)) && !(err = prepare_all(store)))
		err = store_load_totals(store);
	if (!err)
		return 0;
	if (err == EUCLEAN)
		LOG(ERROR, NULL, "store", 0, "damaged path=%s remedy=\"restore a copy, or move the file away: "
			"then users, settings and stored messages are gone\"", store_name(store));
	say(store, "cannot-open", err);
	close_database(store);
	return err;
}

/* 0600 before sqlite sees it: the log beside it gets the same mode. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600), err = 0;

	if (fd < 0)
		return errno;
	if (fchmod(fd, 0600) != 0)
		err = errno;
	close(fd);
	return err;
}

static int lock_file(struct store *store)
{
	char path[4096 + 8];

	if (snprintf(path, sizeof(path), "%s.lock", store->path) >= (int)sizeof(path))
		return ENAMETOOLONG;
	store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (store->lock < 0)
		return errno;
	if (flock(store->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	int err = errno == EWOULDBLOCK ? EBUSY : errno;
	if (err == EBUSY)
		LOG(ERROR, NULL, "store", 0, "in-use path=%s remedy=\"another imservd has this database: stop it "
			"or give another store.path\"", store->path);
	return err;
}

static int open_all(struct store *store)
{
	int err = 0;

	if (store->path && ((err = lock_file(store)) || (err = make_file(store->path)))) {
		LOG(ERROR, NULL, "store", 0, "cannot-open path=%s error=\"%s\"", store->path, strerror(err));
		return err;
	}
	if ((err = open_database(store)))
		return err;
	if ((err = store_sweep_uploads(store))) {
		say(store, "cannot-open", err);
		return err;
	}
	store->has_garbage = true; /* perhaps */
	return !store->path ? 0 : store_checkpointer_start(&store->checkpointer, store->path);
}

int store_open(struct store **out, const char *path, const struct store_options *options)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return ENOMEM;
	/* sqlite's own statistics take a lock for each malloc(); no effect once it is in use */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	store->synchronous = options->synchronous;
	store_set_wal_limit(store, options->wal_limit);
	store->lock = -1;
	store->end = &store->first;
	int err = path && !(store->path = strdup(path)) ? ENOMEM : open_all(store);
	if (err) {
		store_close(store);
		return err;
	}
	*out = store;
	return 0;
}

void store_set_wal_limit(struct store *store, uint64_t octets)
{
	atomic_store_explicit(&store->wal_limit, octets, memory_order_relaxed);
}

void store_close(struct store *store)
{
	store_checkpointer_stop(store->checkpointer);
	store->checkpointer = NULL;
	close_database(store);
	if (store->lock >= 0)
		close(store->lock);
	free(store->path);
	free(store);
}

/* ---- a group ---- */

/* The group is lost; no more of it is executed. */
static void lose_group(struct store *store, int err)
{
	if (store->failed)
		return;
	store->failed = err;
	store->totals = store->committed;
	store->has_garbage = false; /* or its deleting would fail again at once; more garbage wakes it */
	say(store, "group-failed", err);
}

static void open_again(struct store *store)
{
	uint64_t now = now_ms();

	if (store->tried_at_ms && now - store->tried_at_ms < REOPEN_MS)
		return;
	store->tried_at_ms = now;
	if (open_database(store) == 0)
		LOG(WARN, NULL, "store", 0, "opened-again path=%s", store_name(store));
}

void store_begin(struct store *store)
{
	assert(!store->first);
	store->end = &store->first;
	store->count = 0;
	store->octets = 0;
	store->failed = 0;
	if (!store->db)
		open_again(store);
	if (!store->db) {
		store->failed = EIO;
		return;
	}
	int err = step(store, STATEMENT_BEGIN);
	if (err)
		lose_group(store, err);
}

static bool only_reads(enum store_kind kind)
{
	switch ((unsigned)kind) {
	case STORE_USER_GET:
	case STORE_USER_LIST:
	case STORE_REGISTRATION_LOAD:
	case STORE_DEFERRED_NEXT:
	case STORE_DEFERRED_FIND:
	case STORE_CONTENT_GET:
	case STORE_DOCUMENT_GET:
	case STORE_DOCUMENT_NEXT:
	case STORE_DOCUMENT_FIND:
		return true;
	}
	return false;
}

/*
 * A SAVEPOINT costs a copy of each page that is changed after it: 2 us of a put, 2.5 us of each message that is
 * removed.  These two give their verdicts before they change anything, so that there is nothing to undo.
 */
static bool checks_first(enum store_kind kind)
{
	return kind == STORE_DEFERRED_PUT || kind == STORE_DEFERRED_REMOVE;
}

static bool is_verdict(int err)
{
	return err == 0 || err == ENOENT || err == EDQUOT || err == EINVAL || err == EFBIG;
}

/* Any other error of it loses the group: once, for after that all have their SAVEPOINT.  (Damaged pages lose it
 * either way: sqlite then fails the COMMIT too.) */
static int run_bare(struct store *store, struct store_request *request)
{
	request->msg.err = store_run_request(store, request);
	if (!sqlite3_get_autocommit(store->db)) {
		if (is_verdict(request->msg.err) || only_reads(request->kind))
			return 0;
		store->is_careful = true;
	}
	return request->msg.err ? request->msg.err : EIO;
}

static int run_in_savepoint(struct store *store, struct store_request *request)
{
	struct store_totals before = store->totals;
	int err = step(store, STATEMENT_SAVEPOINT);

	if (err)
		return err;
	request->msg.err = store_run_request(store, request);
	if (sqlite3_get_autocommit(store->db))
		return request->msg.err ? request->msg.err : EIO;
	if (request->msg.err && request->msg.err != ENOENT) {
		store->totals = before;
		if ((err = step(store, STATEMENT_ROLLBACK_TO)))
			return err;
	}
	return step(store, STATEMENT_RELEASE);
}

/* A request that fails harms no other, unless sqlite rolled all of them back (FULL, IOERR, NOMEM). */
static void execute(struct store *store, struct store_request *request)
{
	bool is_bare = only_reads(request->kind) || (checks_first(request->kind) && !store->is_careful);
	int err = is_bare ? run_bare(store, request) : run_in_savepoint(store, request);

	if (err)
		lose_group(store, err);
}

void store_execute(struct store *store, struct store_request *request)
{
	request->next = NULL;
	*store->end = request;
	store->end = &request->next;
	store->count++;
	store->octets += request->octets;
	request->msg.err = 0;
	if (!store->failed)
		execute(store, request);
}

bool store_group_has_room(const struct store *store)
{
	return !store->failed && store->count < STORE_GROUP_REQUESTS && store->octets < STORE_GROUP_OCTETS;
}

void store_fail_group(struct store *store, int err)
{
	lose_group(store, err);
}

/* Begins the log anew, when all of it is in the database and nobody reads it any more. */
static void restart_log(struct store *store)
{
	if (!store_checkpointer_pause(store->checkpointer))
		return; /* it works on it: after the next group */
	sqlite3_busy_timeout(store->db, RESTART_BUSY_MS);
	int code = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	store_checkpointer_go_on(store->checkpointer);
	if (code == SQLITE_OK) {
		store->wal_frames = store->frames_told = 0;
		return;
	}
	store->restart_at_ms = now_ms() + RESTART_AGAIN_MS;
	LOG(WARN, NULL, "store", 0, "log-not-restarted path=%s frames=%llu cause=\"%s\"", store_name(store),
		(unsigned long long)store->wal_frames, sqlite3_errmsg(store->db));
}

void store_relieve(struct store *store)
{
	uint64_t limit = atomic_load_explicit(&store->wal_limit, memory_order_relaxed);

	if (!store->db)
		return;
	if (store->wal_frames >= store->frames_told + CHECKPOINT_FRAMES) {
		store->frames_told = store->wal_frames;
		store_checkpointer_wake(store->checkpointer);
	}
	/* a passive checkpoint never begins the log anew under a busy writer, so that is done between groups */
	if (store->wal_frames * store->page_octets >= limit / 4 && now_ms() >= store->restart_at_ms)
		restart_log(store);
	bool is_full = store->wal_frames * store->page_octets >= limit;
	if (is_full && !store->is_full)
		LOG(ERROR, NULL, "store", 0, "log-full path=%s remedy=\"something reads the database and does not "
			"end: a backup, a shell\"", store_name(store));
	store->is_full = is_full;
}

/* Deleting it may fail without harm, unless that ended the transaction. */
static void collect_garbage(struct store *store)
{
	struct store_totals before = store->totals;

	if (step(store, STATEMENT_SAVEPOINT) == 0 && store_collect_garbage(store) != 0 &&
	    !sqlite3_get_autocommit(store->db)) {
		store->totals = before;
		store->has_garbage = false;
		say(store, "garbage-stays", EIO);
		(void)step(store, STATEMENT_ROLLBACK_TO); /* failing, it ends the transaction: so does COMMIT then */
	}
	(void)step(store, STATEMENT_RELEASE);
}

bool store_has_garbage(const struct store *store)
{
	return store->db && store->has_garbage && !store->is_full;
}

/* As much goes as came: who begins uploads and gives them up may not fill the disk faster than that is deleted. */
static void collect_as_written(struct store *store)
{
	int before = sqlite3_total_changes(store->db), wanted = (int)(2 * store->octets / STORE_PIECE_MAX);

	while (store_has_garbage(store) && !sqlite3_get_autocommit(store->db)) {
		collect_garbage(store);
		if (sqlite3_total_changes(store->db) - before >= wanted)
			break;
	}
}

/* The last of a group: what all of it changed. */
static int end_group(struct store *store)
{
	int err;

	collect_as_written(store);
	if (sqlite3_get_autocommit(store->db)) /* nothing is left that could be committed */
		return EIO;
	if ((err = store_write_totals(store)) || (err = step(store, STATEMENT_COMMIT)))
		return err;
	store->committed = store->totals;
	return 0;
}

struct store_request *store_commit(struct store *store)
{
	struct store_request *all = store->first;

	if (!store->failed) {
		int err = end_group(store);
		if (err)
			lose_group(store, err);
	}
	for (struct store_request *r = all; r && store->failed; r = r->next)
		r->msg.err = store->failed;
	store->first = NULL;
	if (store->failed == EBUSY && store->db && sqlite3_get_autocommit(store->db)) {
		/* somebody else had the lock when it began: nothing is lost but this group */
	} else if (store->failed && !store->path && store->db) {
		(void)store_run_sql(store, "ROLLBACK"); /* closing would forget it all */
	} else if (store->failed && store->db) { /* never again in place: what sqlite has in memory may be wrong */
		close_database(store);
		store->tried_at_ms = 0;
		open_again(store);
	} else if (store->db) {
		store_relieve(store);
	}
	return all;
}

bool store_is_full(const struct store *store)
{
	return store->is_full;
}
