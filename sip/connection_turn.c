/*
 * Streams take turns.  What begins something new takes the worker a hundred times as long to do as it takes a peer to
 * send, and a full socket holds thousands of them; so one turn of the worker looks at so much of them as sessions can
 * wait for.  What is left of a stream waits for the next turn, unread beyond the block that has been received, behind
 * the streams that wait already.  Whoever sends little does not stand behind those that send much: some new requests
 * of a stream that does not wait are looked at in any case.  Only new requests make a stream wait: responses and what
 * belongs to dialogs are looked at as they come.
 *
 * Under overload a stream that brought new work rests for a moment: to be read and answered for a single request costs
 * more than to refuse it (measured: 64 streams, 1 us for each of the calls).
 */
#include "sip/connection_internal.h"

/* Of the turn: what a request that is refused takes is 1. */
#define TURN          512 /* some 0.6 ms of CPU time */
#define TURN_NEW      8
#define TURN_REFUSED  1
#define TURN_OTHER    3
#define NEW_AT_ONCE   8   /* new requests of a stream, although others wait */

#define REST_MS       8
#define REST_OCTETS   8192 /* more than that: there is more to be had */

static struct sip_turns *turns_of(const struct sip_connection *c)
{
	struct sip_turns *turns = &c->layer->turns;
	uint64_t number = c->layer->worker->counters.values[COUNTER_worker_turns];

	if (turns->number != number) {
		turns->number = number;
		turns->used = 0;
	}
	return turns;
}

bool sip_connection_had_turn(const struct sip_connection *c)
{
	const struct sip_turns *turns = turns_of(c);

	if (turns->used < TURN && (turns->is_going_on || !turns->first))
		return false;
	return turns->is_going_on || (c->turn == turns->number && c->turn_new >= NEW_AT_ONCE);
}

void sip_connection_use_turn(struct sip_connection *c, bool begins, bool is_refused)
{
	struct sip_turns *turns = turns_of(c);

	if (c->turn != turns->number)
		c->turn_new = 0;
	c->turn = turns->number;
	c->turn_new += begins;
	turns->used += !begins ? TURN_OTHER : is_refused ? TURN_REFUSED : TURN_NEW;
}

void sip_connection_wait_for_turn(struct sip_connection *c)
{
	struct sip_turns *turns = turns_of(c);

	stream_set_receive(c->stream, STREAM_PAUSED);
	c->is_waiting = c->waits_for_turn = true;
	c->next_waiting = NULL;
	*turns->end = c;
	turns->end = &c->next_waiting;
	worker_in_next_turn(c->layer->worker, &turns->next);
	COUNT(&c->layer->worker->counters, sip_turns_waited);
}

static struct sip_connection **link_to(struct sip_connection **link, const struct sip_connection *c)
{
	while (*link != c)
		link = &(*link)->next_waiting;
	return link;
}

static void take_out(struct sip_turns *turns, struct sip_connection *c)
{
	struct sip_connection **link = link_to(&turns->first, c);

	*link = c->next_waiting;
	if (!*link)
		turns->end = link;
	turns->was_empty |= !turns->first;
	c->is_waiting = c->waits_for_turn = false;
}

void sip_connection_forget_turn(struct sip_connection *c)
{
	struct sip_turns *turns = &c->layer->turns;

	if (c->waits_for_turn)
		take_out(turns, c);
	if (c->rests)
		*link_to(&turns->resting, c) = c->next_waiting;
	if (c->rests)
		c->is_waiting = c->rests = false;
}

static void on_next_turn(struct worker *worker, struct worker_task *task)
{
	struct sip_layer *layer = sip_layer_of(worker);
	struct sip_turns *turns = &layer->turns;
	struct sip_connection *c;

	turns->is_going_on = true;
	while ((c = turns->first) && turns_of(c)->used < TURN) {
		take_out(turns, c);
		sip_connection_go_on(c);
	}
	turns->is_going_on = false;
	if (turns->first)
		worker_in_next_turn(worker, task);
}

bool sip_turns_are_late(struct sip_layer *layer)
{
	struct sip_turns *turns = &layer->turns;
	bool are_late = turns->first && !turns->was_empty;

	turns->was_empty = !turns->first;
	return are_late;
}

/* ---- a moment's rest ---- */

static void on_rested(struct timer *timer)
{
	struct sip_turns *turns = (struct sip_turns *)((char *)timer - offsetof(struct sip_turns, rest));
	struct sip_connection *c;

	while ((c = turns->resting)) { /* nobody begins to rest before something has been read of him */
		turns->resting = c->next_waiting;
		c->is_waiting = c->rests = false;
		sip_connection_go_on(c);
	}
}

void sip_connection_may_rest(struct sip_connection *c, size_t octets)
{
	struct sip_turns *turns = turns_of(c);

	if (octets > REST_OCTETS || c->is_waiting || c->is_paused_for_writing || c->is_half_closed ||
	    c->turn != turns->number || !c->turn_new)
		return;
	stream_set_receive(c->stream, STREAM_PAUSED);
	c->is_waiting = c->rests = true;
	c->next_waiting = turns->resting;
	turns->resting = c;
	if (!timer_is_armed(&turns->rest))
		worker_arm(c->layer->worker, &turns->rest, REST_MS, on_rested);
}

void sip_turns_init(struct sip_layer *layer)
{
	layer->turns.end = &layer->turns.first;
	layer->turns.next.run = on_next_turn;
}
