/*
 * One large message on its way into the store of a user who is away (design.md 6; CR001 12.2.2.3): in one request
 * when it is small enough to be whole before the first piece is handed on, else opened with quota for its size,
 * written in pieces as they come, and visible with the commit of the last one.  Whatever goes wrong leaves nothing
 * visible, and gives the quota back.
 *
 * Thread: owning worker only.  Owner: the worker's pool; whoever began it holds a pointer until on_stored(),
 * on_failed() or large_upload_drop(), and it lives on alone until the store has answered all that it was asked.
 */
#ifndef ACTORS_LARGE_UPLOAD_H
#define ACTORS_LARGE_UPLOAD_H

#include "actors/im.h"
#include "core/store_deferred.h"

struct large_upload;

/* None comes from inside a call of the functions below. */
struct large_upload_events {
	void (*on_taken)(void *arg);           /* one piece of large_upload_put() is in the store's hands no more */
	void (*on_stored)(void *arg);          /* committed */
	void (*on_failed)(int err, void *arg); /* EDQUOT, EFBIG, EAGAIN: no room for long; ENOSPC, EIO, ... */
};

struct large_upload_start {
	struct slice mailbox;  /* canonical */
	uint64_t registration; /* of user_find, for mailbox_stored() */
	/* All that is known of it; `size` is the quota that is taken.  With content.n == size, in one request, it is
	 * whole and neither put nor close follows. */
	const struct store_deferred *message;
	const struct large_upload_events *events;
	void *arg;
	uint64_t shared;       /* large_upload_id() of another one, which has all of its content; 0: it has its own */
	bool is_spool;         /* for nobody's mailbox: no quota, never closed, read and shared until it is dropped */
};

/* NULL: no memory, or no room (EAGAIN) in the pool. */
struct large_upload *large_upload_begin(struct im *im, const struct large_upload_start *start);

/* What the store calls it; 0: it has not said so yet. */
uint64_t large_upload_id(const struct large_upload *upload);

/* The next octets, at most STORE_PIECE_MAX; copied.  False: no memory, and it has to be dropped. */
bool large_upload_put(struct large_upload *upload, uint64_t offset, struct slice piece);

/* The last ones, and what was not known before.  False: no memory, and it has to be dropped. */
struct large_upload_end {
	struct slice piece, msrp; /* msrp: as struct store_deferred has it */
	uint64_t offset, received_us, expires_at_s;
	bool is_multimedia;
};
bool large_upload_close(struct large_upload *upload, const struct large_upload_end *end);

/* Nobody waits for it any more: nothing of it becomes visible, unless its last piece is with the store already. */
void large_upload_drop(struct large_upload *upload);

/* One for each session, and as many that were given up and wait for the store. */
static inline unsigned large_uploads_max(const struct config *config)
{
	return config->limits.sessions < UINT32_MAX / 2 ? 2 * config->limits.sessions : UINT32_MAX;
}

int large_uploads_init(struct im *im);
void large_uploads_free(struct im *im);

#endif
