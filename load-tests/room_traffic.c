/*
 * Messages in rooms: each of a sender goes once to everybody else in his room, in the order in which he sent them.
 * Pairs stand for members here, with the user who calls or the one who is called.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load-tests/flood.h"

/* What one member has of one sender. */
struct copies {
	uint32_t next;     /* the sequence that has to come */
	uint32_t received; /* octets of it */
};

static bool is_on(const struct flood *f)
{
	return f->run.options->workload == WORKLOAD_CONFERENCE;
}

static uint32_t senders_n(const struct flood *f)
{
	return f->run.options->rooms * f->run.options->senders;
}

static struct pair *member(struct flood *f, uint32_t room, uint32_t number)
{
	return &f->pairs[room * f->run.options->members + number];
}

/* The last of a room send, who called among them.  `number` of all senders; false: he only listens. */
static bool is_sender(const struct flood *f, const struct pair *p, uint32_t *number)
{
	const struct flood_options *o = f->run.options;
	uint32_t at = p->index % o->members, first = o->members - o->senders;

	*number = p->index / o->members * o->senders + (at >= first ? at - first : 0);
	return at >= first;
}

static struct pair *sender(struct flood *f, uint32_t number)
{
	const struct flood_options *o = f->run.options;

	return member(f, number / o->senders, o->members - o->senders + number % o->senders);
}

static struct msrp_endpoint *endpoint(const struct flood *f, struct pair *p)
{
	return options_role(f->run.options, p->index) == 'a' ? &p->a : &p->b;
}

static struct slot *slot_of(struct flood *f, struct pair *p, uint32_t sequence)
{
	return &p->slots[sequence % f->run.options->outstanding];
}

/* How many get what he sends. */
static uint32_t listeners(const struct flood *f, const struct pair *p)
{
	return f->rooms.up[p->index / f->run.options->members] - 1;
}

/* ---- sending ---- */

static bool begin_message(struct flood *f, struct pair *p, uint32_t number)
{
	struct slot *slot = slot_of(f, p, p->begun);
	uint64_t due_ns = f->run.loop.now_ns;
	bool is_open = !f->run.options->is_closed;

	if (slot->is_busy || f->run.phase < RUN_WARMUP || f->run.phase >= RUN_DRAIN || p->state != PAIR_UP)
		return false;
	if (is_open) {
		if (p->begun >= pacer_session_due(&f->rooms.pacer, number))
			return false;
		due_ns = pacer_session_due_ns(&f->rooms.pacer, number, p->begun);
	} else if (f->run.phase == RUN_BACKLOG) {
		return false;
	}
	*slot = (struct slot){ .due_ns = due_ns, .sequence = p->begun++, .is_busy = true };
	f->run.under_way++;
	if (!is_open)
		run_due(&f->run, LOAD_COPY, due_ns);
	if (run_is_measured(&f->run, due_ns)) /* one of them is counted already */
		f->run.report->loads[LOAD_COPY].due += listeners(f, p) - 1;
	return true;
}

bool room_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct pair *p = e->user;
	uint32_t size = f->run.options->size, number;

	if (!is_sender(f, p, &number) || !f->rooms.up[p->index / f->run.options->members] || !listeners(f, p) ||
	    !begin_message(f, p, number))
		return false;
	*out = (struct msrp_outgoing){ .sequence = p->begun - 1, .octets = size, .total = size };
	return true;
}

static void finish_if_done(struct flood *f, struct pair *p, struct slot *slot)
{
	if (slot->received < listeners(f, p) || !(slot->answers || f->run.options->wants_no_answers))
		return;
	slot->is_busy = false;
	f->run.under_way--;
	msrp_want_send(endpoint(f, p));
}

/* ---- what comes ---- */

static void on_copy(struct flood *f, struct pair *from, struct copies *c)
{
	struct slot *slot = slot_of(f, from, c->next);

	if (slot->is_busy && slot->sequence == c->next) {
		slot->received++;
		run_done(&f->run, LOAD_COPY, slot->due_ns);
		finish_if_done(f, from, slot);
	} else {
		report_error(f->run.report, FLOOD_FOREIGN, "a copy of a message not under way");
	}
	c->next++;
	c->received = 0;
}

void room_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	const struct flood_options *o = f->run.options;
	struct pair *p = e->user, *from = &f->pairs[chunk->session];
	uint32_t number;

	if (from->index / o->members != p->index / o->members || from == p || !is_sender(f, from, &number)) {
		report_error(f->run.report, FLOOD_FOREIGN, from == p ? "one's own message" : "a message of another room");
		return;
	}
	struct copies *c = &f->rooms.copies[(size_t)p->index * o->senders + number % o->senders];
	if (chunk->sequence < c->next || (chunk->sequence == c->next && chunk->offset < c->received)) {
		report_error(f->run.report, FLOOD_DUPLICATE, "a copy, or part of one, that had come before");
		return;
	}
	if (chunk->sequence > c->next) { /* those between are missing, or come too late */
		report_error(f->run.report, FLOOD_ORDER, "a copy before that of an earlier message");
		*c = (struct copies){ .next = chunk->sequence };
	}
	if (chunk->offset != c->received || chunk->octets > o->size - c->received ||
	    (chunk->total && chunk->total != o->size)) {
		report_error(f->run.report, FLOOD_ORDER, "range or total");
		return;
	}
	c->received += chunk->octets;
	if (chunk->flag != '$')
		return;
	if (c->received != o->size)
		report_error(f->run.report, FLOOD_ORDER, "message shorter than announced");
	else
		on_copy(f, from, c);
}

void room_on_response(struct flood *f, struct msrp_endpoint *e, uint32_t sequence, unsigned status)
{
	struct pair *p = e->user;
	struct slot *slot = p->slots ? slot_of(f, p, sequence) : NULL;
	char text[32];

	if (!slot || !slot->is_busy || slot->sequence != sequence || slot->answers) {
		report_error(f->run.report, FLOOD_DUPLICATE, "answer");
		return;
	}
	if (status != 200) {
		snprintf(text, sizeof(text), "SEND: %u", status);
		report_error(f->run.report, FLOOD_STATUS, text);
		return;
	}
	slot->answers = 1;
	run_confirmed(&f->run, LOAD_COPY, slot->due_ns);
	finish_if_done(f, p, slot);
}

/* ---- the part ---- */

static int room_open(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	if (!is_on(f))
		return 0;
	f->rooms.slots = calloc((size_t)senders_n(f) * o->outstanding, sizeof(*f->rooms.slots));
	f->rooms.copies = calloc((size_t)o->sessions * o->senders, sizeof(*f->rooms.copies));
	f->rooms.up = calloc(o->rooms, sizeof(*f->rooms.up));
	if (!f->rooms.slots || !f->rooms.copies || !f->rooms.up)
		return ENOMEM;
	for (uint32_t i = 0; i < senders_n(f); i++)
		sender(f, i)->slots = f->rooms.slots + (size_t)i * o->outstanding;
	return 0;
}

static void room_close(struct flood *f)
{
	free(f->rooms.slots);
	free(f->rooms.copies);
	free(f->rooms.up);
}

static void room_begin(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	if (!is_on(f))
		return;
	for (uint32_t i = 0; i < o->sessions; i++)
		f->rooms.up[i / o->members] += f->pairs[i].state == PAIR_UP;
	if (!o->is_closed)
		pacer_start(&f->rooms.pacer, f->run.loop.now_ns, load_rate(f, LOAD_COPY), senders_n(f));
	for (uint32_t i = 0; o->is_closed && i < senders_n(f); i++)
		msrp_want_send(endpoint(f, sender(f, i)));
}

static uint64_t room_turn(struct flood *f, uint64_t until_ns)
{
	struct pacer *pacer = &f->rooms.pacer;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns;

	if (!is_on(f) || f->run.options->is_closed || f->run.phase >= RUN_BACKLOG)
		return UINT64_MAX;
	for (uint64_t due_ns; (due_ns = pacer_due_ns(pacer, pacer->due)) <= now; pacer->due++) {
		run_due(&f->run, LOAD_COPY, due_ns);
		msrp_want_send(endpoint(f, sender(f, (uint32_t)(pacer->due % pacer->sessions))));
	}
	return pacer_due_ns(pacer, pacer->due);
}

static void room_tick(struct flood *f)
{
}

static bool room_has_backlog(const struct flood *f)
{
	struct flood *mine = (struct flood *)f; /* nothing is changed */

	for (uint32_t i = 0; is_on(f) && !f->run.options->is_closed && i < senders_n(f); i++) {
		const struct pair *p = sender(mine, i);
		if (p->state == PAIR_UP && !p->is_broken && p->begun < pacer_session_due(&f->rooms.pacer, i))
			return true;
	}
	return false;
}

static bool room_is_dead(const struct flood *f)
{
	return !is_on(f) || f->messages.broken >= f->run.up;
}

static void room_count_missing(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	for (uint32_t i = 0; is_on(f) && i < senders_n(f); i++) {
		struct pair *p = sender(f, i);
		for (uint32_t k = 0; k < o->outstanding; k++) {
			if (!p->slots[k].is_busy)
				continue;
			uint32_t missing = listeners(f, p) - p->slots[k].received;
			f->run.report->errors[missing ? FLOOD_LOST : FLOOD_UNCONFIRMED] += missing ? missing : 1;
		}
		if (!o->is_closed && p->state == PAIR_UP)
			f->run.report->errors[FLOOD_UNSENT] += pacer_session_due(&f->rooms.pacer, i) - p->begun;
	}
}

const struct flood_part room_traffic_part = { room_open,        room_close,   room_begin,        room_turn, room_tick,
					      room_has_backlog, room_is_dead, room_count_missing };
