/*
 * Streams take turns.  What begins something new takes the worker a hundred times as long to do as it takes a peer to
 * send, and a full socket holds thousands of them; so one turn of the worker looks at so much of them as sessions can
 * wait for.  What is left of a stream waits for the next turn, unread beyond the block that has been received, behind
 * the streams that wait already.  Whoever sends little does not stand behind those that send much: some new requests
 * of a stream that does not wait are looked at in any case.  Only new requests make a stream wait: responses and what
 * belongs to dialogs are looked at as they come.
 */
#include "sip/connection_internal.h"

/* Of the turn: what a request that is refused takes is 1. */
#define TURN          512 /* some 0.6 ms of CPU time */
#define TURN_NEW      8
#define TURN_REFUSED  1
#define TURN_OTHER    3
#define NEW_AT_ONCE   8   /* new requests of a stream, although others wait */

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

static void take_out(struct sip_turns *turns, struct sip_connection *c)
{
	struct sip_connection **link = &turns->first;

	while (*link != c)
		link = &(*link)->next_waiting;
	*link = c->next_waiting;
	if (!*link)
		turns->end = link;
	c->is_waiting = c->waits_for_turn = false;
}

void sip_connection_forget_turn(struct sip_connection *c)
{
	if (c->waits_for_turn)
		take_out(&c->layer->turns, c);
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

void sip_turns_init(struct sip_layer *layer)
{
	layer->turns.end = &layer->turns.first;
	layer->turns.next.run = on_next_turn;
}
