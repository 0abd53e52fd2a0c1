#include "msrp/waiting.h"

#include <assert.h>

#include "msrp/connection.h"
#include "msrp/pressure.h"
#include "msrp/switch.h"

bool msrp_leg_is_ready(const struct msrp_leg *leg)
{
	return leg->seat || (leg->pair && leg->pair->is_bound);
}

/* What waits at a leg: for the other leg, or (early) to hear whose path is the right one. */
static bool may_go_on(const struct msrp_leg *leg)
{
	return leg->waiting.n && (leg->is_bound ? msrp_leg_is_ready(leg) : leg->peer_path != NULL);
}

/* Nobody knows yet whether it is our peer who sends: he is answered as any stranger would be. */
static void refuse_early(struct msrp_connection *c, struct slice kept, enum reason why)
{
	struct worker *worker = c->endpoint->worker;
	const struct msrp_head *head = &c->parser->head;
	struct msrp_parser parser;
	size_t used;

	REFUSED(&worker->counters, why);
	COUNT(&worker->counters, msrp_dropped);
	LOG(WARN, worker, "leg", pool_slot(c->in->leg), "chunk given up status=408 reason=%s", reason_label(why));
	if (kept.n) { /* its head came earlier, and content after it */
		msrp_parser_init(&parser, &(struct msrp_limits){ kept.n + 1 }); /* limits.header_bytes may be lower by now */
		if (msrp_parse(&parser, kept, &used) != MSRP_HEAD)
			assert(!"it was a head before");
		head = &parser.head;
	}
	msrp_connection_answer(c, head, 408);
	c->in->way = WAY_SKIP;
	c->in->leg = NULL;
}

/* Why so much more may not wait; REASON_COUNT: it may. */
static enum reason what_forbids(const struct msrp_connection *c, size_t n)
{
	size_t waiting = c->in->leg->waiting.n;
	size_t most = msrp_connection_is_single(c) ? MSRP_HELD_MAX : c->endpoint->options->limits.leg_high;

	if (!msrp_pressure_may_hold(c->endpoint, n))
		return REASON_QUEUED_BYTES;
	return n > most || waiting > most - n ? REASON_QUEUE_FULL : REASON_COUNT;
}

void msrp_waiting_add(struct msrp_connection *c, struct slice octets)
{
	struct msrp_leg *leg = c->in->leg;
	/* The end-line of a chunk without content always may: a head without an octet behind it is none to the parser. */
	bool is_end = !c->parser->head.has_body && octets.n <= MSRP_END_LINE_MAX;
	enum reason why = is_end ? REASON_COUNT : what_forbids(c, octets.n);

	if (why == REASON_COUNT) {
		if (msrp_held_append(c->endpoint, &leg->waiting, octets) == 0)
			return;
		why = REASON_NO_MEMORY;
	}
	struct slice kept = slice_skip(slice_of(leg->waiting.p, leg->waiting.n), c->in->wait_at);
	leg->waiting.n = c->in->wait_at;
	if (leg->is_bound)
		msrp_switch_refuse(c, 408, why);
	else if (why == REASON_NO_MEMORY)
		msrp_connection_lose(c, why);
	else
		refuse_early(c, kept, why);
	if (leg->waiting.n == 0) /* nothing is left that would let it go on when the other leg is there */
		msrp_connection_resume(c, PAUSE_NOT_READY);
}

void msrp_waiting_begin(struct msrp_connection *c, struct slice kept)
{
	c->in->way = WAY_WAIT;
	c->in->wait_at = c->in->leg->waiting.n;
	if (msrp_connection_is_single(c))
		msrp_connection_pause(c, PAUSE_NOT_READY);
	msrp_waiting_add(c, kept);
}

void msrp_waiting_refuse(struct msrp_leg *leg, unsigned status, enum reason why)
{
	struct worker *worker = leg->endpoint->worker;
	struct msrp_connection *c = leg->connection;
	struct slice rest = slice_of(leg->waiting.p, leg->waiting.n);
	const struct msrp_head *head;
	struct msrp_parser parser;
	enum msrp_event event;
	size_t used;

	if (c->in->leg == leg && c->in->way == WAY_WAIT) { /* its head is among the rest */
		c->in->way = WAY_SKIP;
		c->in->leg = NULL;
		/* if it is the last there: a head without an octet behind it is none to the parser */
		if (msrp_held_append(leg->endpoint, &leg->waiting, SLICE("-")) != 0)
			msrp_connection_lose(c, REASON_NO_MEMORY);
		rest = slice_of(leg->waiting.p, leg->waiting.n);
	}
	msrp_parser_init(&parser, &leg->endpoint->parser_limits);
	head = &parser.head;
	while ((event = msrp_parse(&parser, rest, &used)) != MSRP_MORE && event != MSRP_BAD) {
		rest = slice_skip(rest, used);
		if (event != MSRP_HEAD)
			continue;
		REFUSED(&worker->counters, why);
		COUNT(&worker->counters, msrp_dropped);
		LOG(WARN, worker, "leg", pool_slot(leg), "chunk given up status=%u reason=%s", status, reason_label(why));
		msrp_connection_answer(c, head, status);
	}
	msrp_held_free(leg->endpoint, &leg->waiting);
}

static void replay_leg(struct msrp_connection *c, struct msrp_leg *leg)
{
	struct msrp_held all = leg->waiting;

	if (msrp_held_append(c->endpoint, &all, slice_of(c->held.p, c->held.n)) != 0) {
		leg->waiting = all;
		msrp_connection_lose(c, REASON_NO_MEMORY);
		return;
	}
	leg->waiting = (struct msrp_held){ 0 };
	msrp_held_free(c->endpoint, &c->held);
	c->held = all;
	/* Either no chunk was open, or the one that is parsed again now. */
	msrp_parser_init(c->parser, &c->endpoint->parser_limits);
	*c->in = (struct msrp_incoming){ .way = WAY_NONE };
}

void msrp_waiting_replay(struct msrp_connection *c)
{
	struct msrp_leg *leg = c->in->way == WAY_WAIT ? c->in->leg : NULL;

	c->must_replay = false;
	if (leg && may_go_on(leg))
		replay_leg(c, leg);
	LIST_FOREACH(leg, &c->legs, on_connection) {
		if (!may_go_on(leg))
			continue;
		if (c->in->way == WAY_NONE)
			replay_leg(c, leg);
		else
			c->must_replay = true; /* when the chunk of another leg is over */
	}
	if (!c->must_replay)
		msrp_connection_resume(c, PAUSE_NOT_READY);
}
