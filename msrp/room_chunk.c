#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "msrp/binding.h"
#include "msrp/room_internal.h"
#include "msrp/transaction.h"

/* ---- beginning and end ---- */

static void free_chunk(struct room_chunk *chunk)
{
	struct msrp_room_message *m = chunk->message;
	struct msrp_room *room = m->room;

	TAILQ_REMOVE(chunk->ended_ms ? &room->chunks : &room->open_chunks, chunk, link);
	room->chunk_count--;
	msrp_transaction_close_room(room->endpoint, chunk->name);
	free(chunk);
	m->chunks--;
	room_message_settle(m);
	room_message_release(m);
}

static void free_if_answered(struct room_chunk *chunk)
{
	if (chunk->ended_ms && !chunk->unanswered)
		free_chunk(chunk);
}

/* Who lets the table grow to its end does not answer: the others go on. */
static void look_at_table(struct msrp_room *room)
{
	const struct pool *pool = &room->endpoint->transactions;
	bool is_scarce = pool_used(pool) >= pool->max - pool->max / 4;
	struct room_chunk *oldest = TAILQ_FIRST(&room->chunks);

	if (!oldest || room->chunk_count < (is_scarce ? ROOM_CHUNKS_SCARCE : ROOM_CHUNKS))
		return;
	ROOM_SET_EACH(slot, oldest->waits, oldest->words)
		room_drop(room->seats[slot], REASON_QUEUE_FULL);
}

int room_chunk_open(struct room_chunk **out, struct msrp_room_message *m, enum msrp_failure_report wish, char id[MSRP_ID_CHARS])
{
	struct msrp_room *room = m->room;
	struct room_chunk *chunk;

	*out = NULL;
	if (wish == MSRP_FAILURE_NO) {
		msrp_transaction_make_id(room->endpoint, UINT32_MAX, id);
		return 0;
	}
	look_at_table(room);
	chunk = calloc(1, sizeof(*chunk) + m->words * sizeof(chunk->waits[0]));
	if (!chunk)
		return ENOMEM;
	chunk->name = msrp_transaction_open_room(room->endpoint, chunk, id);
	if (!chunk->name) {
		free(chunk);
		return ENOMEM;
	}
	chunk->message = m;
	chunk->is_partial = wish == MSRP_FAILURE_PARTIAL;
	chunk->words = m->words;
	m->holds++;
	m->chunks++;
	room->chunk_count++;
	TAILQ_INSERT_TAIL(&room->open_chunks, chunk, link);
	*out = chunk;
	return 0;
}

void room_chunk_waits(struct room_chunk *chunk, struct msrp_seat *seat)
{
	if (!chunk)
		return;
	room_set_add(chunk->waits, seat->slot);
	chunk->unanswered++;
	if (seat->unanswered++ == 0)
		seat->heard_ms = 0; /* his silence before that was none */
	if (chunk->message->parts && !chunk->is_partial)
		chunk->message->parts[seat->slot]++;
}

/* He does not owe an answer to it any more. */
static bool take_off(struct room_chunk *chunk, struct msrp_seat *seat)
{
	if (!room_set_take(chunk->waits, chunk->words, seat->slot))
		return false;
	chunk->unanswered--;
	seat->unanswered--;
	if (chunk->message->parts && !chunk->is_partial)
		chunk->message->parts[seat->slot]--;
	return true;
}

/* ---- silence ---- */

static uint64_t patience_ms(const struct msrp_room *room)
{
	return room->endpoint->options->msrp_transaction_ms;
}

/* Who answers other chunks is there; but nobody is waited for twice. */
static void look_at_silence(struct msrp_room *room, struct room_chunk *chunk, uint64_t now_ms)
{
	uint64_t most_ms = patience_ms(room);

	ROOM_SET_EACH(slot, chunk->waits, chunk->words) {
		struct msrp_seat *seat = room->seats[slot];
		if (now_ms - chunk->ended_ms < 2 * most_ms && seat->heard_ms && now_ms - seat->heard_ms < most_ms)
			continue;
		if (!seat->is_dropped) {
			LOG(WARN, room_worker(room), "leg", pool_slot(seat->leg), "member silent reason=%s", reason_label(REASON_TIMEOUT));
			room_drop(seat, REASON_TIMEOUT);
		}
	}
}

static void on_silence(struct timer *timer)
{
	struct msrp_room *room = (struct msrp_room *)((char *)timer - offsetof(struct msrp_room, silence));
	uint64_t now_ms = worker_now_ms(room_worker(room)), most_ms = patience_ms(room), next_ms;
	struct room_chunk *chunk, *next;

	for (chunk = TAILQ_FIRST(&room->chunks); chunk && now_ms - chunk->ended_ms >= most_ms; chunk = next) {
		next = TAILQ_NEXT(chunk, link);
		if (!chunk->is_partial) {
			look_at_silence(room, chunk, now_ms);
			continue;
		}
		ROOM_SET_EACH(slot, chunk->waits, chunk->words) /* RFC 4975 7.1.2: silence is no error for "partial" */
			take_off(chunk, room->seats[slot]);
		free_chunk(chunk);
	}
	chunk = TAILQ_FIRST(&room->chunks);
	if (!chunk)
		return;
	next_ms = chunk->ended_ms + most_ms > now_ms ? chunk->ended_ms + most_ms - now_ms : most_ms / 4;
	worker_arm(room_worker(room), &room->silence, next_ms, on_silence);
}

void room_chunk_end(struct room_chunk *chunk)
{
	struct msrp_room *room;

	if (!chunk)
		return;
	room = chunk->message->room;
	TAILQ_REMOVE(&room->open_chunks, chunk, link);
	chunk->ended_ms = worker_now_ms(room_worker(room));
	TAILQ_INSERT_TAIL(&room->chunks, chunk, link);
	if (!timer_is_armed(&room->silence))
		worker_arm(room_worker(room), &room->silence, patience_ms(room), on_silence);
	free_if_answered(chunk);
}

/* ---- leaving ---- */

static void forget_in(struct room_chunks *list, struct msrp_seat *seat, bool is_failure)
{
	struct room_chunk *chunk, *next;

	for (chunk = TAILQ_FIRST(list); chunk; chunk = next) {
		next = TAILQ_NEXT(chunk, link);
		if (!take_off(chunk, seat))
			continue;
		if (is_failure)
			room_message_error(chunk->message, 408);
		free_if_answered(chunk);
	}
}

void room_chunks_forget(struct msrp_seat *seat, bool is_failure)
{
	forget_in(&seat->room->open_chunks, seat, is_failure);
	forget_in(&seat->room->chunks, seat, is_failure);
}

void room_chunks_free(struct msrp_room *room)
{
	struct room_chunk *chunk;

	while ((chunk = TAILQ_FIRST(&room->chunks)) || (chunk = TAILQ_FIRST(&room->open_chunks)))
		free_chunk(chunk);
	worker_disarm(room_worker(room), &room->silence);
}

/* ---- answers ---- */

/* On a connection of many sessions it is the one that the response is to. */
static struct msrp_seat *seat_of(struct msrp_connection *c)
{
	struct msrp_leg *leg = LIST_FIRST(&c->legs);

	if (c->leg_count > 1)
		leg = msrp_binding_leg_of(c->endpoint, c->parser->head.to_path);
	return leg && leg->connection == c ? leg->seat : NULL;
}

static void on_refused(struct msrp_seat *seat, struct msrp_room_message *m, unsigned status)
{
	struct worker *worker = room_worker(seat->room);
	enum reason why = status == 481 ? REASON_MSRP_MEMBER_GONE : REASON_MSRP_MEMBER_REFUSED;

	LOG(INFO, worker, "leg", pool_slot(seat->leg), "member refused a message status=%u reason=%s", status,
		reason_label(why));
	if (status == 481) { /* counted there */
		room_drop(seat, why);
		room_message_error(m, 408);
	} else {
		REFUSED(&worker->counters, why);
		room_message_fail(m, seat, status);
	}
}

void msrp_room_on_response(struct msrp_connection *c, struct room_chunk *chunk, unsigned status)
{
	struct msrp_seat *seat = seat_of(c);
	struct msrp_room_message *m = chunk->message;

	/* RFC 4975 10 has no 1xx: it is no answer */
	if (!seat || seat->room != m->room || status < 200 || !take_off(chunk, seat)) {
		COUNT(&c->endpoint->worker->counters, msrp_stray_responses);
		return;
	}
	seat->heard_ms = worker_now_ms(c->endpoint->worker);
	m->holds++;
	if (status >= 300)
		on_refused(seat, m, status);
	else
		room_message_look_at_copy(m, seat);
	free_if_answered(chunk);
	room_message_release(m);
}
