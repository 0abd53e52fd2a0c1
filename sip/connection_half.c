/*
 * A SIP connection whose peer sends no more and may still read (RFC 9293 3.6): it gets its answers, and if
 * nobody turns out to be there they go where the Via says (RFC 3261 18.2.2).
 */
#include "sip/connection_internal.h"

#include <errno.h>
#include <stdlib.h>

#define HALF_CLOSED_MS 32000 /* for the answers to a peer that sends no more: 64*T1           */
#define ANSWERED_MS    200   /* after the last of them: then a peer that is gone has said so  */

bool sip_is_final_response(struct slice wire)
{
	return slice_starts(wire, SLICE("SIP/2.0 ")) && wire.n > 8 && wire.p[8] >= '2';
}

/* RFC 3261 18.2.2: nobody was there, so the answers go where the Via says. */
void sip_connection_answer_elsewhere(struct sip_layer *layer, enum sip_protocol protocol, struct kept_answer *answer)
{
	for (struct kept_answer *next; answer; answer = next) {
		next = answer->next;
		struct sip_connection *c = sip_connection_to_answer(layer, protocol, &answer->fallback);
		if (!c || sip_connection_write(c, slice_of(answer->wire, answer->n), (struct sip_client_name){ 0 }) != 0)
			REFUSED(&layer->worker->counters, REASON_SEND_FAILED);
		free(answer);
	}
}

/* Who closed both ways refused with a reset what was sent, who closed one way has it by now. */
static void on_answered(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	sip_connection_on_end(c->stream, stream_is_alive(c->stream) ? 0 : ECONNRESET);
}

void sip_connection_finish(struct sip_connection *c)
{
	if (!c->is_half_closed || c->unanswered || c->is_waiting || stream_queued(c->stream))
		return;
	if (c->answers)
		worker_arm(c->layer->worker, &c->stall, ANSWERED_MS, on_answered);
	else
		sip_connection_on_end(c->stream, 0);
}

/* What comes later goes where its Via says. */
static void on_answers_late(struct timer *timer)
{
	struct sip_connection *c = (struct sip_connection *)((char *)timer - offsetof(struct sip_connection, stall));

	sip_connection_give_up(c, REASON_PEER_CLOSED, false);
}

void sip_connection_on_finished(struct stream *stream)
{
	struct sip_connection *c = stream->owner;

	if (c->held_n && !c->is_waiting) {
		REFUSED(&c->layer->worker->counters, REASON_PEER_CLOSED); /* half a message */
		(void)sip_connection_hold(c, SLICE_EMPTY); /* gives memory back, and takes none */
	}
	sip_connection_tell_users(c); /* no answer will come by it */
	c->is_half_closed = true;
	worker_arm(c->layer->worker, &c->stall, HALF_CLOSED_MS, on_answers_late);
	sip_connection_finish(c);
}

bool sip_connection_is_half_closed(const struct sip_connection *c)
{
	return c->is_half_closed;
}

int sip_connection_answer(struct sip_connection *c, struct slice wire, const struct sockaddr_storage *fallback)
{
	struct kept_answer *answer, **end = &c->answers;

	if (c->is_half_closed && fallback->ss_family && sip_is_final_response(wire) &&
	    (answer = malloc(sizeof(*answer) + wire.n))) { /* without memory it has this one chance */
		*answer = (struct kept_answer){ .fallback = *fallback, .n = wire.n };
		memcpy(answer->wire, wire.p, wire.n);
		while (*end)
			end = &(*end)->next;
		*end = answer;
	}
	return sip_connection_write(c, wire, (struct sip_client_name){ 0 });
}
