/*
 * The second connection (design.md 6): a thread that copies what is committed from the log into the
 * database, passively, so that the checkpoint between two groups finds little left to do.
 */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/store_internal.h"

struct store_checkpointer {
	const char *path;       /* the store's */
	pthread_t thread;
	sem_t doorbell;
	pthread_mutex_t turn;   /* held while a checkpoint runs: there is one at a time */
	_Atomic bool must_stop;
	/* ---- whoever has the turn ---- */
	struct sqlite3 *db;     /* opened when first needed; NULL again when the store opens anew */
};

static void checkpoint(struct store_checkpointer *c)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, code = SQLITE_OK;

	pthread_mutex_lock(&c->turn);
	if (!c->db && (code = sqlite3_open_v2(c->path, &c->db, flags, NULL)) == SQLITE_OK)
		(void)sqlite3_exec(c->db, "PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL); /* it never writes */
	if (code == SQLITE_OK)
		code = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code != SQLITE_OK && code != SQLITE_BUSY) { /* the store meets the same, and says what becomes of it */
		LOG(WARN, NULL, "store", 0, "checkpoint-failed path=%s error=\"%s\"", c->path, sqlite3_errmsg(c->db));
		sqlite3_close(c->db);
		c->db = NULL;
	}
	pthread_mutex_unlock(&c->turn);
}

static void *run_checkpointer(void *arg)
{
	struct store_checkpointer *c = arg;

	for (;;) {
		while (sem_wait(&c->doorbell) != 0)
			; /* a signal */
		if (c->must_stop)
			return NULL;
		checkpoint(c);
	}
}

int store_checkpointer_start(struct store_checkpointer **out, const char *path)
{
	struct store_checkpointer *c = calloc(1, sizeof(*c));

	if (!c)
		return ENOMEM;
	c->path = path;
	pthread_mutex_init(&c->turn, NULL);
	sem_init(&c->doorbell, 0, 0);
	int err = pthread_create(&c->thread, NULL, run_checkpointer, c);
	if (err)
		free(c);
	else
		*out = c;
	return err;
}

void store_checkpointer_stop(struct store_checkpointer *c)
{
	if (!c)
		return;
	c->must_stop = true;
	sem_post(&c->doorbell);
	pthread_join(c->thread, NULL);
	sqlite3_close(c->db);
	sem_destroy(&c->doorbell);
	pthread_mutex_destroy(&c->turn);
	free(c);
}

void store_checkpointer_wake(struct store_checkpointer *c)
{
	int waiting;

	if (c && sem_getvalue(&c->doorbell, &waiting) == 0 && waiting == 0)
		sem_post(&c->doorbell);
}

bool store_checkpointer_pause(struct store_checkpointer *c)
{
	return !c || pthread_mutex_trylock(&c->turn) == 0;
}

void store_checkpointer_forget(struct store_checkpointer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->turn);
	sqlite3_close(c->db);
	c->db = NULL;
	pthread_mutex_unlock(&c->turn);
}

void store_checkpointer_go_on(struct store_checkpointer *c)
{
	if (c)
		pthread_mutex_unlock(&c->turn);
}
