#include "actors/large_spool.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "actors/large_upload.h"

enum {
	SPOOL_FIRST = 2048,   /* memory for a small message; doubled up to a piece   */
	SPOOL_IN_FLIGHT = 2,  /* pieces that large_upload.h has                      */
	SPOOL_WAITING = 128,  /* pieces that wait for it: what a receive that is stopped still brings, 8 MiB */
};

struct spool_piece {
	STAILQ_ENTRY(spool_piece) link;
	uint64_t offset;
	size_t n;
	char octets[];
};

struct large_spool {
	struct im *im;
	const struct large_spool_events *events;
	void *arg;
	uint64_t most, size;       /* size: so far                                   */
	char *memory;              /* the last octets, at most a piece: from `at` on */
	size_t memory_n, room;
	uint64_t at;
	struct large_upload *upload;
	STAILQ_HEAD(, spool_piece) waiting;
	unsigned waiting_n, in_flight;
	bool is_ended, has_failed;
};

static void on_taken(void *arg);
static void on_stored(void *arg);
static void on_failed(int err, void *arg);
static const struct large_upload_events upload_events = { on_taken, on_stored, on_failed };

struct large_spool *large_spool_open(struct im *im, uint64_t most, const struct large_spool_events *events, void *arg)
{
	struct large_spool *spool = calloc(1, sizeof(*spool));

	if (!spool)
		return NULL;
	spool->im = im;
	spool->most = most;
	spool->events = events;
	spool->arg = arg;
	STAILQ_INIT(&spool->waiting);
	return spool;
}

/* False: all together have what they may. */
static bool charge(struct large_spool *spool, size_t n)
{
	if (spool->im->large_spool_octets + n > spool->im->config->limits.queued_bytes)
		return false;
	spool->im->large_spool_octets += n;
	return true;
}

static void free_piece(struct large_spool *spool, struct spool_piece *piece)
{
	spool->im->large_spool_octets -= piece->n;
	free(piece);
}

static void drop_waiting(struct large_spool *spool)
{
	struct spool_piece *piece;

	while ((piece = STAILQ_FIRST(&spool->waiting))) {
		STAILQ_REMOVE_HEAD(&spool->waiting, link);
		free_piece(spool, piece);
	}
	spool->waiting_n = 0;
}

void large_spool_drop(struct large_spool *spool)
{
	if (!spool)
		return;
	if (spool->upload)
		large_upload_drop(spool->upload);
	drop_waiting(spool);
	spool->im->large_spool_octets -= spool->room;
	free(spool->memory);
	free(spool);
}

void large_spool_abandon(struct large_spool *spool)
{
	spool->upload = NULL; /* large_uploads_free() has it */
	large_spool_drop(spool);
}

/* ---- to the store ---- */

/* Nobody's mailbox: user names of it have a domain. */
static bool open_upload(struct large_spool *spool)
{
	char id[DEFERRED_ID_CHARS];
	struct store_deferred message = { .type = STORE_LARGE, .size = spool->most, .expires_at_s = UINT32_MAX };

	deferred_make_id(spool->im->worker, id);
	message.id = slice_of(id, sizeof(id));
	spool->upload = large_upload_begin(spool->im, &(struct large_upload_start){ .mailbox = SLICE("spool"),
		.message = &message, .is_spool = true, .events = &upload_events, .arg = spool });
	return spool->upload != NULL;
}

static bool hand_on(struct large_spool *spool)
{
	struct spool_piece *piece;

	while (spool->in_flight < SPOOL_IN_FLIGHT && (piece = STAILQ_FIRST(&spool->waiting))) {
		if (!large_upload_put(spool->upload, piece->offset, slice_of(piece->octets, piece->n)))
			return false;
		STAILQ_REMOVE_HEAD(&spool->waiting, link);
		free_piece(spool, piece);
		spool->waiting_n--;
		spool->in_flight++;
	}
	return true;
}

/* What is in memory goes on its way. */
static bool flush(struct large_spool *spool)
{
	if (!spool->upload && !open_upload(spool))
		return false;
	if (spool->waiting_n >= SPOOL_WAITING)
		return false;
	if (!charge(spool, spool->memory_n))
		return false;
	struct spool_piece *piece = malloc(sizeof(*piece) + spool->memory_n);
	if (!piece) {
		spool->im->large_spool_octets -= spool->memory_n;
		return false;
	}
	piece->offset = spool->at;
	piece->n = spool->memory_n;
	memcpy(piece->octets, spool->memory, spool->memory_n);
	STAILQ_INSERT_TAIL(&spool->waiting, piece, link);
	spool->waiting_n++;
	spool->at += spool->memory_n;
	spool->memory_n = 0;
	return hand_on(spool);
}

static void fail(struct large_spool *spool, int err)
{
	spool->has_failed = true;
	drop_waiting(spool);
	spool->events->on_failed(err, spool->arg); /* it may be gone */
}

static bool is_done(const struct large_spool *spool)
{
	return spool->is_ended && !spool->waiting_n && !spool->in_flight && !spool->has_failed;
}

static void on_taken(void *arg)
{
	struct large_spool *spool = arg;

	spool->in_flight--;
	if (spool->has_failed)
		return;
	if (!hand_on(spool))
		fail(spool, ENOMEM);
	else if (is_done(spool))
		spool->events->on_ready(spool->arg);
	else
		spool->events->on_taken(spool->arg);
}

static void on_stored(void *arg)
{
	(void)arg; /* cannot be: it is never closed */
}

static void on_failed(int err, void *arg)
{
	struct large_spool *spool = arg;

	spool->upload = NULL;
	fail(spool, err);
}

/* ---- octets come ---- */

static bool make_room(struct large_spool *spool, size_t n)
{
	size_t room = spool->room ? spool->room : SPOOL_FIRST;

	while (room < spool->memory_n + n && room < STORE_PIECE_MAX)
		room *= 2;
	if (room == spool->room)
		return true;
	if (!charge(spool, room - spool->room))
		return false;
	char *larger = realloc(spool->memory, room);
	if (!larger) {
		spool->im->large_spool_octets -= room - spool->room;
		return false;
	}
	spool->memory = larger;
	spool->room = room;
	return true;
}

static bool give_up(struct large_spool *spool)
{
	spool->has_failed = true;
	return false;
}

bool large_spool_put(struct large_spool *spool, struct slice octets)
{
	if (spool->has_failed || spool->size + octets.n > spool->most)
		return give_up(spool);
	while (octets.n) {
		if (spool->memory_n == STORE_PIECE_MAX && !flush(spool))
			return give_up(spool);
		if (!make_room(spool, octets.n))
			return give_up(spool);
		size_t n = spool->room - spool->memory_n < octets.n ? spool->room - spool->memory_n : octets.n;
		memcpy(spool->memory + spool->memory_n, octets.p, n);
		spool->memory_n += n;
		spool->size += n;
		octets = slice_skip(octets, n);
	}
	return true;
}

bool large_spool_is_full(const struct large_spool *spool)
{
	return spool->waiting_n > 0 && !spool->has_failed;
}

bool large_spool_end(struct large_spool *spool)
{
	spool->is_ended = true;
	if (!spool->upload)
		return !spool->has_failed;
	if (spool->memory_n && !flush(spool))
		give_up(spool);
	return is_done(spool);
}

/* ---- what it has ---- */

bool large_spool_has_failed(const struct large_spool *spool)
{
	return spool->has_failed;
}

uint64_t large_spool_size(const struct large_spool *spool)
{
	return spool->size;
}

struct slice large_spool_content(const struct large_spool *spool, bool *is_stored)
{
	*is_stored = spool->upload != NULL;
	return *is_stored ? SLICE_EMPTY : slice_of(spool->memory, spool->memory_n);
}

uint64_t large_spool_upload(const struct large_spool *spool)
{
	return spool->upload ? large_upload_id(spool->upload) : 0;
}
