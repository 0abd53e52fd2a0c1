/*
 * Reliable provisional responses, the server's side (RFC 3262 3): numbered,
 * repeated until their PRACK, one at a time.  While one waits, only the newest
 * of those that follow is held: it says all that the others would have said,
 * because none of ours carries a session description.  For the same reason no
 * 2xx has to wait for a PRACK.
 */
#include <assert.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/server_internal.h"

struct sip_reliable {
	uint32_t rseq;   /* of the last one sent      */
	bool is_waiting; /* for the PRACK of that one */
	char *held;      /* what follows it, as sent; NULL: nothing */
	size_t held_n;
};

void server_reliable_free(struct sip_server *s)
{
	if (!s->reliable)
		return;
	free(s->reliable->held);
	free(s->reliable);
	s->reliable = NULL;
}

static bool begin(struct sip_server *s)
{
	uint32_t random;

	s->reliable = calloc(1, sizeof(*s->reliable));
	if (!s->reliable)
		return false;
	worker_random(s->layer->worker, &random, sizeof(random));
	s->reliable->rseq = random >> 2; /* the first number is 1 to 2^31 - 1 (RFC 3262 3) */
	server_enter_tag_table(s);
	return true;
}

static void send_next(struct sip_server *s, struct slice wire)
{
	s->reliable->rseq++;
	s->reliable->is_waiting = true;
	server_transmit(s, wire);
	server_store_response(s, wire, false);
	server_begin_repeating(s);
	server_wait(s, 64 * s->layer->options->t1_ms);
}

/* The newest takes the place of the one before it. */
static bool hold(struct sip_reliable *r, struct slice wire)
{
	char *copy = malloc(wire.n);

	if (!copy)
		return false;
	memcpy(copy, wire.p, wire.n);
	free(r->held);
	r->held = copy;
	r->held_n = wire.n;
	return true;
}

void server_respond_reliably(struct sip_server *s, const struct sip_reply *reply)
{
	char text[64];
	struct buffer more = buffer_over(text, sizeof(text));

	assert(s->method == SIP_INVITE && !s->had_to_tag && reply->body.n == 0);
	s->state = SERVER_PROCEEDING;
	if (!s->reliable && !begin(s)) {
		REFUSED(&s->layer->worker->counters, REASON_NO_MEMORY); /* he hears the next one, or the answer */
		return;
	}
	buffer_printf(&more, "Require: 100rel\r\nRSeq: %u\r\n", s->reliable->rseq + 1);
	struct slice wire = server_compose(s, reply, buffer_slice(&more));
	if (!s->reliable->is_waiting)
		send_next(s, wire);
	else if (!hold(s->reliable, wire))
		REFUSED(&s->layer->worker->counters, REASON_NO_MEMORY);
}

static void stop(struct sip_server *s)
{
	worker_disarm(s->layer->worker, &s->repeat);
	worker_disarm(s->layer->worker, &s->life);
}

void server_reliable_is_over(struct sip_server *s)
{
	if (!s->reliable)
		return;
	stop(s);
	free(s->reliable->held);
	s->reliable->held = NULL; /* the one that waits may still get its PRACK: 200 */
}

void server_reliable_timed_out(struct sip_server *s)
{
	stop(s);
	s->reliable->is_waiting = false;
	REFUSED(&s->layer->worker->counters, REASON_NO_PRACK);
	if (s->events && s->events->on_unpracked)
		s->events->on_unpracked(s, s->arg);
}

static void acknowledged(struct sip_server *s)
{
	struct sip_reliable *r = s->reliable;
	char *held = r->held;

	r->is_waiting = false;
	if (s->state != SERVER_PROCEEDING)
		return;
	stop(s);
	r->held = NULL;
	if (held)
		send_next(s, slice_of(held, r->held_n));
	free(held);
}

void sip_server_prack(struct worker *worker, struct sip_server *prack, const struct sip_message *m)
{
	struct sip_layer *layer = sip_layer_of(worker);
	struct sip_address to;
	struct sip_rack rack;

	if (!sip_rack_decode(sip_header_value(m, SIP_HDR_RACK), &rack) ||
	    !sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to)) {
		sip_server_refuse(prack, 400, REASON_SYNTAX);
		return;
	}
	struct sip_server *s = server_find_by_tag(layer, to.tag, rack.cseq);
	if (!s || !s->reliable || !s->reliable->is_waiting || s->reliable->rseq != rack.rseq ||
	    sip_method_of(rack.method) != SIP_INVITE) {
		sip_server_refuse(prack, 481, REASON_PRACK_UNKNOWN);
		return;
	}
	sip_server_respond(prack, &(struct sip_reply){ .status = 200 });
	acknowledged(s);
}
