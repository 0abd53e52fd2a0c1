/*
 * What comes by a SIP connection: framing, keepalives, and its share of credit (RFC 3261 18.3, RFC 5626
 * 3.5.1, design.md 2).
 */
#include "sip/connection_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/trace.h"

/* What a verdict that loses the stream is answered with; 0: with nothing. */
static unsigned status_of(enum sip_verdict verdict, enum reason *why)
{
	switch (verdict) {
	case SIP_PARSE_BAD_400:
		*why = REASON_FRAMING;
		return 400;
	case SIP_PARSE_TOO_LARGE_413:
		*why = REASON_TOO_LARGE;
		return 413;
	case SIP_PARSE_TOO_LARGE_513:
	case SIP_PARSE_HEADERS_513:
		*why = REASON_TOO_LARGE;
		return 513;
	case SIP_PARSE_VERSION_505:
		*why = REASON_SYNTAX;
		return 505;
	case SIP_PARSE_OK:
	case SIP_PARSE_MORE:
	case SIP_PARSE_KEEPALIVE:
	case SIP_PARSE_PING:
	case SIP_PARSE_DROP:
		break;
	}
	*why = REASON_FRAMING;
	return 0;
}

static void whole_came(struct sip_connection *c)
{
	c->is_partial = false;
	if (c->is_half_closed) /* what was held of it is worked off, under the deadline of its answers */
		return;
	worker_disarm(c->layer->worker, &c->stall);
}

static void valid_came(struct sip_connection *c)
{
	c->has_spoken = true;
	if (c->is_outgoing)
		sip_connection_leave_count(c); /* an answer's: whoever the Via named is there */
	whole_came(c);
}

static void wait_for_credit(struct sip_connection *c)
{
	whole_came(c); /* the owner is slow, not the peer */
	stream_set_receive(c->stream, STREAM_PAUSED);
	if (c->is_waiting)
		return;
	c->is_waiting = true;
	c->next_waiting = c->layer->waiting_for_credit;
	c->layer->waiting_for_credit = c;
	COUNT(&c->layer->worker->counters, mailbox_credit_waits);
}

enum eaten { EATEN_ALL, EATEN_WAIT, EATEN_TURN, EATEN_GONE };

/* Without a readable Via nobody can (RFC 3261 8.2.6.2): a half-closed connection must not wait for that. */
static bool can_be_answered(const struct sip_message *m)
{
	struct sip_via via;

	return m->is_request && m->method != SIP_ACK && sip_via_decode(sip_header_value(m, SIP_HDR_VIA), &via, NULL);
}

/* Takes whole messages off `in`; *left is what remains.  GONE: the connection was closed, or the stream lost. */
static enum eaten eat(struct sip_connection *c, struct slice in, struct slice *left)
{
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);
	struct sip_message m;
	struct sip_flow flow;
	enum reason why;
	bool is_asking, begins;
	uint64_t refused;
	size_t used;

	for (;;) {
		*left = in;
		if (in.n == 0)
			return EATEN_ALL;
		if (!c->framer.scanned && !c->framer.need && (used = sip_overload_glance(layer, c, in))) {
			c->framer = (struct sip_framer){ 0 };
			valid_came(c);
			in = slice_skip(in, used);
			continue;
		}
		struct sip_framer before = c->framer;
		enum sip_verdict verdict = sip_stream_parse(&c->framer, &m, in, &layer->limits, &used);
		switch (verdict) {
		case SIP_PARSE_MORE:
			return EATEN_ALL;
		case SIP_PARSE_PING:
			/* by the same way as all others: who pings and does not read is stopped too */
			if (sip_connection_write(c, SLICE("\r\n"), (struct sip_client_name){ 0 }) != 0)
				REFUSED(&layer->worker->counters, REASON_NO_MEMORY);
			break;
		case SIP_PARSE_KEEPALIVE:
			break;
		case SIP_PARSE_OK:
			begins = sip_overload_may_begin(&m);
			if (begins && sip_connection_had_turn(c) && sip_overload_is_new(&m)) {
				c->framer = before;
				return EATEN_TURN;
			}
			refused = layer->overload.refused;
			sip_connection_flow(c, &flow);
			is_asking = can_be_answered(&m);
			c->unanswered += is_asking; /* before: the answer may come within */
			if (!sip_transport_dispatch(layer, &m, &flow, true)) {
				c->unanswered -= is_asking;
				c->framer = before;
				return EATEN_WAIT;
			}
			if (!sip_connection_find(layer, slot, generation))
				return EATEN_GONE;
			sip_connection_use_turn(c, begins, layer->overload.refused > refused);
			valid_came(c);
			break;
		case SIP_PARSE_BAD_400:
		case SIP_PARSE_TOO_LARGE_413:
		case SIP_PARSE_TOO_LARGE_513:
		case SIP_PARSE_HEADERS_513:
		case SIP_PARSE_VERSION_505:
		case SIP_PARSE_DROP: {
			unsigned status = status_of(verdict, &why);
			sip_connection_flow(c, &flow);
			if (verdict != SIP_PARSE_DROP)
				sip_trace_received(layer->worker, &flow, &m);
			if (status)
				sip_transport_answer_bad(layer, &m, &flow, status, why);
			if (m.framed && verdict != SIP_PARSE_TOO_LARGE_413) { /* its body is not read */
				if (!status)
					REFUSED(&layer->worker->counters, why);
				if (c->has_spoken)
					whole_came(c);
				break;
			}
			sip_connection_lose(c, why);
			return EATEN_GONE;
		}
		}
		in = slice_skip(in, used);
	}
}

/* Keeps what is not whole yet, or waits.  What is held already stays where it is: it may be a megabyte, of which one
 * message at a time goes. */
int sip_connection_hold(struct sip_connection *c, struct slice rest)
{
	if (rest.n == 0) {
		free(c->held);
		c->held = NULL;
		c->held_from = c->held_n = c->held_size = 0;
		return 0;
	}
	if (c->held_n) { /* then it is the end of that */
		c->held_from += c->held_n - rest.n;
		c->held_n = rest.n;
		return 0;
	}
	size_t size = rest.n < 2048 ? 2048 : rest.n * 2;
	char *held = malloc(size);
	if (!held)
		return ENOMEM;
	memcpy(held, rest.p, rest.n);
	c->held = held;
	c->held_from = 0;
	c->held_n = rest.n;
	c->held_size = size;
	return 0;
}

static int append(struct sip_connection *c, struct slice data)
{
	size_t n = c->held_n + data.n;

	if (c->held_from + n > c->held_size) { /* half of it is free afterwards, so each octet is copied once or twice */
		size_t size = n * 2;
		char *held = malloc(size);
		if (!held)
			return ENOMEM;
		memcpy(held, c->held + c->held_from, c->held_n);
		free(c->held);
		c->held = held;
		c->held_from = 0;
		c->held_size = size;
	}
	memcpy(c->held + c->held_from + c->held_n, data.p, data.n);
	c->held_n = n;
	return 0;
}

static struct slice held_of(const struct sip_connection *c)
{
	return slice_of(c->held + c->held_from, c->held_n);
}

static void eat_all(struct sip_connection *c, struct slice in)
{
	struct slice left;
	enum eaten eaten = eat(c, in, &left);

	if (eaten == EATEN_GONE)
		return;
	if (sip_connection_hold(c, left) != 0) {
		sip_connection_give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	if (eaten == EATEN_WAIT) {
		wait_for_credit(c);
		return;
	}
	if (eaten == EATEN_TURN) {
		whole_came(c);
		sip_connection_wait_for_turn(c);
		return;
	}
	if (left.n && !c->is_partial && !c->is_half_closed) { /* once for each message, so that its octets may not drip */
		uint64_t ms = c->layer->options->limits.chunk_stall_ms;
		c->is_partial = true;
		if (!c->has_spoken && ms > FIRST_MESSAGE_MS)
			ms = FIRST_MESSAGE_MS;
		worker_arm(c->layer->worker, &c->stall, ms, sip_connection_on_stall);
	}
}

/* Under overload no more of it than what is looked at in a turn or two: the rest stays with whoever sends it. */
static enum stream_receive how_to_read(const struct sip_connection *c)
{
	return c->layer->overload.admission.is_shedding ? STREAM_ONE_SHOT : STREAM_MULTISHOT;
}

void sip_connection_read(struct sip_connection *c)
{
	stream_set_receive(c->stream, how_to_read(c));
}

static void take_in(struct sip_connection *c, struct slice data)
{
	if (c->held_n == 0 && !c->is_waiting) {
		eat_all(c, data);
		return;
	}
	/* who rests holds nothing, and what the kernel had received by then comes all the same */
	if ((c->held_n ? append(c, data) : sip_connection_hold(c, data)) != 0) {
		sip_connection_give_up(c, REASON_NO_MEMORY, true);
		return;
	}
	if (!c->is_waiting)
		eat_all(c, held_of(c));
}

void sip_connection_on_data(struct stream *stream, struct slice data)
{
	struct sip_connection *c = stream->owner;
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);

	c->used_ms = worker_now_ms(layer->worker);
	sip_overload_read(layer, c, data.n);
	if (c->is_lost)
		return;
	if (stream->receive != STREAM_PAUSED && stream->receive != how_to_read(c))
		sip_connection_read(c);
	take_in(c, data);
	if (layer->overload.admission.is_shedding && (c = sip_connection_find(layer, slot, generation)) && !c->is_lost)
		sip_connection_may_rest(c, data.n);
}

void sip_connection_go_on(struct sip_connection *c)
{
	struct sip_layer *layer = c->layer;
	uint32_t slot = pool_slot(c), generation = pool_generation(c);

	if (c->held_n)
		eat_all(c, held_of(c));
	if (!(c = sip_connection_find(layer, slot, generation)))
		return;
	if (!c->is_waiting && !c->is_paused_for_writing)
		sip_connection_read(c);
	sip_connection_finish(c);
}

void sip_connections_credit_came(struct sip_layer *layer)
{
	struct sip_connection *c = layer->waiting_for_credit, *next;

	layer->waiting_for_credit = NULL;
	for (; c; c = next) {
		next = c->next_waiting;
		c->is_waiting = false;
		sip_connection_go_on(c);
	}
}
