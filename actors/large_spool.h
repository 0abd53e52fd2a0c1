/*
 * The content of one message to many, kept for those who get it later: who
 * answers when it has begun, and who is away.  A small one stays in memory; what
 * is beyond STORE_PIECE_MAX octets is written to invisible rows of the store in
 * pieces (design.md 5), once, however many will get it.
 *
 * Thread: owning worker only.  Owner: who opened it, until large_spool_drop().
 */
#ifndef ACTORS_LARGE_SPOOL_H
#define ACTORS_LARGE_SPOOL_H

#include "actors/deferred_reader.h"
#include "actors/im.h"

struct large_spool;

/* None comes from inside a call of the functions below. */
struct large_spool_events {
	void (*on_taken)(void *arg);           /* a piece is in the store: large_spool_is_full() may say otherwise now */
	void (*on_ready)(void *arg);           /* after large_spool_end(): all of it can be read */
	void (*on_failed)(int err, void *arg); /* the store or memory said no: it is of no use any more */
};

/* `most`: octets that it may become, at most.  NULL: no memory. */
struct large_spool *large_spool_open(struct im *im, uint64_t most, const struct large_spool_events *events, void *arg);

/* The next octets.  False: no memory, more than may wait for the store, or than limits.queued_bytes permits all of the
 * worker's together to have in memory; it is of no use any more. */
bool large_spool_put(struct large_spool *spool, struct slice octets);
/* Whoever can should wait before he puts more. */
bool large_spool_is_full(const struct large_spool *spool);
/* That was all.  True: it is ready at once, and on_ready() does not come. */
bool large_spool_end(struct large_spool *spool);
/* It is of no use any more. */
bool large_spool_has_failed(const struct large_spool *spool);

uint64_t large_spool_size(const struct large_spool *spool);
/* When it is ready: all of it, where it is in memory; else SLICE_EMPTY with `is_stored`. */
struct slice large_spool_content(const struct large_spool *spool, bool *is_stored);
/* When it is ready and stored: its name for large_upload_start.shared and deferred_reader_ask_upload(). */
uint64_t large_spool_upload(const struct large_spool *spool);

void large_spool_drop(struct large_spool *spool); /* NULL is allowed */
/* The process ends: the store is not asked any more. */
void large_spool_abandon(struct large_spool *spool);

#endif
