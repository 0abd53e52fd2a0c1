#include "msrp/input.h"

#include "msrp/binding.h"
#include "msrp/connection.h"
#include "msrp/foreign.h"
#include "msrp/leg_internal.h"
#include "msrp/pressure.h"
#include "msrp/reading.h"
#include "msrp/switch.h"
#include "msrp/transaction.h"
#include "msrp/waiting.h"

#define BRIDGE_OCTETS 1024 /* copied behind what is held, so that parsing can go on in the block */
#define NOBODY        UINT32_MAX

/* Octets of one foreign session in a row: they travel in one message. */
struct run {
	uint32_t owner; /* NOBODY: there is none */
	size_t from;
};

static void end_run(struct msrp_connection *c, struct run *run, struct slice in, size_t to)
{
	if (run->owner != NOBODY && to > run->from && !c->is_lost &&
		msrp_foreign_send(c, run->owner, slice_of(in.p + run->from, to - run->from)) != 0)
		msrp_connection_lose(c, REASON_NO_MEMORY);
	run->owner = NOBODY;
}

static void extend_run(struct msrp_connection *c, struct run *run, struct slice in, size_t begin)
{
	uint32_t owner = c->in->way == WAY_FOREIGN ? c->in->owner : NOBODY;

	if (owner == run->owner)
		return;
	end_run(c, run, in, begin);
	run->owner = owner;
	run->from = begin;
}

/*
 * A response without transaction.  An error for the empty SEND that we begin with ends nothing: it may have overtaken the
 * SIP message that brings our path, and who does not know the session later either says so to its first chunk.
 */
static void on_stray_response(struct msrp_connection *c)
{
	const struct msrp_head *head = &c->parser->head;
	struct worker *worker = c->endpoint->worker;

	if (!msrp_transaction_is_unanswered(head->transaction_id)) {
		COUNT(&worker->counters, msrp_stray_responses);
	} else if (head->status >= 300) {
		REFUSED(&worker->counters, REASON_MSRP_PEER_REFUSED);
		LOG(INFO, worker, "msrp", pool_slot(c), "refused by the peer status=%u reason=%s", head->status,
			reason_label(REASON_MSRP_PEER_REFUSED));
	}
}

/* False: the head stays unread. */
static bool on_head(struct msrp_connection *c, struct slice piece)
{
	struct msrp_leg *leg = NULL;
	unsigned owner = 0;

	*c->in = (struct msrp_incoming){ .way = WAY_SKIP };
	if (!c->parser->head.is_request && msrp_switch_on_response(c))
		return true;
	switch (msrp_binding_find(c, &leg, &owner)) {
	case BINDING_LEG:
		msrp_switch_on_head(c, leg, piece);
		break;
	case BINDING_EARLY:
		c->in->leg = leg;
		msrp_waiting_begin(c, piece);
		break;
	case BINDING_FOREIGN:
		c->in->way = WAY_FOREIGN;
		c->in->owner = owner;
		if (c->parser->head.is_request)
			COUNT(&c->endpoint->worker->counters, msrp_foreign_chunks);
		break;
	case BINDING_LATER:
		return false;
	case BINDING_NOBODY:
		on_stray_response(c);
		break;
	case BINDING_REFUSED:
		break;
	}
	return true;
}

static void on_bad(struct msrp_connection *c)
{
	bool is_limit = c->parser->reason == MSRP_REASON_HEAD_TOO_LONG;

	LOG(WARN, c->endpoint->worker, "msrp", pool_slot(c), "not MSRP why=\"%s\"",
		msrp_reason_text(c->parser->reason));
	msrp_connection_lose(c, is_limit ? REASON_MSRP_HEAD_LIMIT : REASON_MSRP_BAD);
}

/* Those of the session that was bound here last: with one session on it, of all that comes. */
static void expect_paths(struct msrp_connection *c)
{
	const struct msrp_leg *leg = LIST_FIRST(&c->legs);

	if (leg && leg->is_bound)
		msrp_parser_usual(c->parser, msrp_leg_uri_slice(leg), msrp_leg_peer_path(leg));
	else
		msrp_parser_usual(c->parser, SLICE_EMPTY, SLICE_EMPTY);
}

/* Parses `in`, of which the first c->parsed octets were parsed before.  How many octets at its end
 * have to be kept; c->parsed says how many of these are parsed. */
static size_t pump(struct msrp_connection *c, struct slice in)
{
	struct run run = { .owner = NOBODY };
	size_t at = c->parsed, begin = 0, used;

	expect_paths(c);
	while (!c->is_lost) {
		enum msrp_event event = msrp_parse(c->parser, slice_skip(in, at), &used);
		if (event == MSRP_MORE)
			break;
		if (event == MSRP_BAD) {
			on_bad(c);
			break;
		}
		if (event == MSRP_HEAD || c->in->way != WAY_PENDING)
			begin = at;
		at += used;
		struct slice kept = slice_of(in.p + begin, at - begin);
		if (event == MSRP_HEAD && !on_head(c, kept)) {
			msrp_parser_init(c->parser, &c->endpoint->parser_limits);
			c->in->way = WAY_NONE;
			at = begin;
			break;
		}
		extend_run(c, &run, in, begin);
		if (event == MSRP_BODY)
			msrp_switch_on_body(c, kept);
		else if (event == MSRP_END)
			msrp_switch_on_end(c, kept);
	}
	end_run(c, &run, in, at);
	c->in->head_is_parsed = false; /* its slices point into `in` */
	if (c->in->way == WAY_STREAM)
		msrp_switch_keep_head(c);
	if (c->is_lost)
		return 0;
	if (c->in->way != WAY_PENDING)
		begin = at;
	c->parsed = at - begin;
	return in.n - begin;
}

static void hold(struct msrp_connection *c, struct slice octets)
{
	if (octets.n > MSRP_HELD_MAX - c->held.n)
		msrp_connection_lose(c, REASON_QUEUE_FULL);
	else if (!msrp_pressure_may_hold(c->endpoint, octets.n))
		msrp_connection_lose(c, REASON_QUEUED_BYTES);
	else if (msrp_held_append(c->endpoint, &c->held, octets) != 0)
		msrp_connection_lose(c, REASON_NO_MEMORY);
}

static void pump_held(struct msrp_connection *c)
{
	size_t kept = pump(c, slice_of(c->held.p, c->held.n));

	msrp_held_drop(c->endpoint, &c->held, c->held.n - kept);
}

/*
 * What is held is continued with a little of what came, until all that must be kept lies within
 * what came; from there on it is parsed where it is.
 */
static struct slice cross_bridge(struct msrp_connection *c, struct slice octets)
{
	while (c->held.n && octets.n && !c->is_lost && !(c->pauses & PAUSE_REWOUND)) {
		size_t n = octets.n < BRIDGE_OCTETS ? octets.n : BRIDGE_OCTETS;

		hold(c, slice_of(octets.p, n));
		if (c->is_lost)
			break;
		size_t kept = pump(c, slice_of(c->held.p, c->held.n));
		if (kept <= n) {
			msrp_held_drop(c->endpoint, &c->held, c->held.n);
			return slice_skip(octets, n - kept);
		}
		msrp_held_drop(c->endpoint, &c->held, c->held.n - kept);
		octets = slice_skip(octets, n);
	}
	return octets;
}

void msrp_input_receive(struct msrp_connection *c, struct slice octets)
{
	if (c->is_lost)
		return;
	c->progress_ms = worker_now_ms(c->endpoint->worker);
	if (!msrp_reading_begin(c))
		return;
	if (c->held.n)
		octets = cross_bridge(c, octets);
	if (octets.n && !c->is_lost && !c->held.n && !(c->pauses & PAUSE_REWOUND)) {
		size_t kept = pump(c, octets);
		octets = slice_skip(octets, octets.n - kept);
	}
	if (octets.n && !c->is_lost)
		hold(c, octets);
	if (c->must_replay && c->in->way == WAY_NONE)
		msrp_todo(c, TODO_PUMP);
	msrp_connection_watch_for_stall(c);
	msrp_reading_end(c);
}

void msrp_input_go_on(struct msrp_connection *c)
{
	if (!msrp_reading_begin(c))
		return;
	msrp_waiting_replay(c);
	if (c->held.n && !(c->pauses & PAUSE_REWOUND))
		pump_held(c);
	msrp_connection_watch_for_stall(c);
	msrp_reading_end(c);
}
