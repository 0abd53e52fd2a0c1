#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load-tests/flood.h"

/* What a pair does between two registrations. */
struct round {
	uint64_t due_ns;
	bool is_under_way, has_arrived, is_confirmed, has_failed;
};

static struct round *round_of(struct flood *f, const struct pair *p)
{
	return &f->churn.rounds[p->index - f->run.options->sessions];
}

static bool is_used(const struct flood *f)
{
	return load_rate(f, LOAD_SESSION) > 0;
}

/* ---- one round ---- */

static void begin_round(struct flood *f, struct pair *p, uint64_t due_ns)
{
	*p = (struct pair){ .index = p->index };
	*round_of(f, p) = (struct round){ .due_ns = due_ns, .is_under_way = true };
	f->churn.under_way++;
	f->run.under_way++;
	setup_start(&f->setup, p);
}

static void begin_at_once(struct flood *f, struct pair *p)
{
	uint64_t now = loop_clock(&f->run.loop);

	run_due(&f->run, LOAD_SESSION, now);
	begin_round(f, p, now);
}

/* It may begin again: at once in a closed loop, else when its turn comes. */
static void make_free(struct flood *f, struct pair *p)
{
	struct churn *c = &f->churn;

	if (!f->run.options->is_closed)
		c->free[(c->free_first + c->free_n++) % f->run.options->pairs] = p->index;
	else if (f->run.phase < RUN_BACKLOG && !run_interrupted())
		begin_at_once(f, p);
}

static void end_round(struct flood *f, struct pair *p)
{
	struct round *r = round_of(f, p);

	if (!r->is_under_way)
		return;
	r->is_under_way = false;
	p->state = PAIR_OVER;
	msrp_disconnect(&p->a);
	msrp_disconnect(&p->b);
	f->churn.under_way--;
	f->run.under_way--;
	if (!r->has_failed)
		run_confirmed(&f->run, LOAD_SESSION, r->due_ns);
	/* in a closed loop who failed begins no other: a server that refuses is not hammered */
	if (!r->has_failed || !f->run.options->is_closed)
		make_free(f, p);
}

static void hang_up_if_done(struct flood *f, struct pair *p)
{
	const struct round *r = round_of(f, p);

	if (p->state != PAIR_UP || !r->has_arrived || !r->is_confirmed)
		return;
	setup_release(&f->setup, p);
	if (p->state == PAIR_OVER) /* nothing to be answered */
		end_round(f, p);
}

void churn_on_up(struct flood *f, struct pair *p)
{
	loop_clock(&f->run.loop);
	run_done(&f->run, LOAD_SESSION, round_of(f, p)->due_ns);
	msrp_want_send(&p->a);
}

bool churn_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct pair *p = e->user;

	if (e->role != 'a' || p->state != PAIR_UP || p->begun)
		return false;
	p->begun = 1;
	*out = (struct msrp_outgoing){ .octets = f->run.options->size, .total = f->run.options->size };
	return true;
}

void churn_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	struct pair *p = e->user;
	struct round *r = round_of(f, p);

	if (e->role != 'b' || r->has_arrived)
		report_error(f->run.report, FLOOD_DUPLICATE, "of the one message of a session");
	else if (chunk->offset || chunk->octets != f->run.options->size || chunk->flag != '$')
		report_error(f->run.report, FLOOD_ORDER, "not the whole message");
	r->has_arrived = true;
	hang_up_if_done(f, p);
}

void churn_on_response(struct flood *f, struct msrp_endpoint *e, unsigned status)
{
	struct pair *p = e->user;
	char text[32];

	snprintf(text, sizeof(text), "SEND: %u", status);
	if (status != 200)
		report_error(f->run.report, FLOOD_STATUS, text);
	round_of(f, p)->is_confirmed = true;
	hang_up_if_done(f, p);
}

/* The pair is free when its call is over, too. */
void churn_on_failed(struct flood *f, struct pair *p)
{
	struct round *r = round_of(f, p);

	if (!r->is_under_way)
		return;
	r->has_failed = true;
	if (!setup_is_over(&f->setup, p))
		setup_release(&f->setup, p);
	if (setup_is_over(&f->setup, p))
		end_round(f, p);
}

void churn_on_over(struct flood *f, struct pair *p)
{
	end_round(f, p);
}

/* ---- the part ---- */

static int churn_open(struct flood *f)
{
	uint32_t n = f->run.options->pairs;

	if (!is_used(f))
		return 0;
	f->churn.rounds = calloc(n, sizeof(*f->churn.rounds));
	f->churn.free = calloc(n, sizeof(*f->churn.free));
	return f->churn.rounds && f->churn.free ? 0 : ENOMEM;
}

static void churn_close(struct flood *f)
{
	free(f->churn.rounds);
	free(f->churn.free);
}

static void churn_begin(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	if (!is_used(f))
		return;
	if (!o->is_closed)
		pacer_start(&f->churn.pacer, f->run.loop.now_ns, load_rate(f, LOAD_SESSION), o->pairs);
	for (uint32_t i = o->sessions; i < options_pairs(o); i++)
		if (f->pairs[i].state == PAIR_IDLE) /* registered */
			make_free(f, &f->pairs[i]);
}

/* What is due and finds no free pair waits; its time counts from when it was due. */
static uint64_t churn_turn(struct flood *f, uint64_t until_ns)
{
	struct churn *c = &f->churn;
	struct pacer *pacer = &c->pacer;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns;

	if (!is_used(f) || f->run.options->is_closed || f->run.phase > RUN_BACKLOG)
		return UINT64_MAX;
	for (unsigned n = 0; n < BEGIN_MAX && f->run.phase < RUN_BACKLOG && pacer_due_ns(pacer, pacer->due) <= now; n++)
		run_due(&f->run, LOAD_SESSION, pacer_due_ns(pacer, pacer->due++));
	while (c->begun < pacer->due && c->free_n) {
		uint32_t index = c->free[c->free_first];
		c->free_first = (c->free_first + 1) % f->run.options->pairs;
		c->free_n--;
		begin_round(f, &f->pairs[index], pacer_due_ns(pacer, c->begun++));
	}
	return pacer_due_ns(pacer, pacer->due);
}

static void churn_tick(struct flood *f)
{
}

static bool churn_has_backlog(const struct flood *f)
{
	return is_used(f) && f->churn.begun < f->churn.pacer.due && (f->churn.free_n || f->churn.under_way);
}

static bool churn_is_dead(const struct flood *f)
{
	return !is_used(f) || (!f->churn.under_way && (f->run.options->is_closed || !f->churn.free_n));
}

static void churn_count_missing(struct flood *f)
{
	for (uint32_t i = 0; is_used(f) && i < f->churn.under_way; i++)
		report_error(f->run.report, FLOOD_LOST, "sessions that did not end");
	if (is_used(f))
		f->run.report->errors[FLOOD_UNSENT] += f->churn.pacer.due - f->churn.begun;
}

const struct flood_part churn_part = { churn_open,        churn_close,   churn_begin,        churn_turn, churn_tick,
				       churn_has_backlog, churn_is_dead, churn_count_missing };
