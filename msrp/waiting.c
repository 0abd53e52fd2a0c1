#include "msrp/waiting.h"

#include "msrp/connection.h"
#include "msrp/switch.h"

bool msrp_leg_is_ready(const struct msrp_leg *leg)
{
	return leg->pair && leg->pair->is_bound;
}

/* What waits at a leg: for the other leg, or (early) to hear whose path is the right one. */
static bool may_go_on(const struct msrp_leg *leg)
{
	return leg->waiting.n && (leg->is_bound ? msrp_leg_is_ready(leg) : leg->peer_path != NULL);
}

void msrp_waiting_add(struct msrp_connection *c, struct slice octets)
{
	struct msrp_leg *leg = c->in->leg;
	size_t most = msrp_connection_is_single(c) ? MSRP_HELD_MAX :
		c->endpoint->options->limits.leg_high;
	enum reason why = REASON_QUEUE_FULL;

	if (octets.n <= most && leg->waiting.n <= most - octets.n) {
		if (msrp_held_append(&leg->waiting, octets) == 0)
			return;
		why = REASON_NO_MEMORY;
	}
	leg->waiting.n = c->in->wait_at;
	msrp_switch_refuse(c, 408, why);
}

void msrp_waiting_begin(struct msrp_connection *c, struct slice kept)
{
	c->in->way = WAY_WAIT;
	c->in->wait_at = c->in->leg->waiting.n;
	if (msrp_connection_is_single(c))
		msrp_connection_pause(c, PAUSE_NOT_READY);
	msrp_waiting_add(c, kept);
}

static void replay_leg(struct msrp_connection *c, struct msrp_leg *leg)
{
	struct msrp_held all = leg->waiting;

	if (msrp_held_append(&all, slice_of(c->held.p, c->held.n)) != 0) {
		leg->waiting = all;
		msrp_connection_lose(c, REASON_NO_MEMORY);
		return;
	}
	leg->waiting = (struct msrp_held){ 0 };
	msrp_held_free(&c->held);
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
