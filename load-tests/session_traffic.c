#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load-tests/flood.h"

/* Those whose messages are measured. */
static uint32_t ordinary(const struct flood *f)
{
	return f->run.options->sessions - f->run.options->deaf;
}

static struct slot *slot_of(struct flood *f, struct pair *p, uint32_t sequence)
{
	return &p->slots[sequence % f->run.options->outstanding];
}

/* Begins the next message of a pair if its window and its schedule have room. */
static bool begin_message(struct flood *f, struct pair *p)
{
	struct slot *slot = slot_of(f, p, p->begun);
	bool is_open = !f->run.options->is_closed;
	uint64_t due_ns = f->run.loop.now_ns;

	if (slot->is_busy || f->run.phase == RUN_SETUP || f->run.phase >= RUN_DRAIN ||
	    p->state != PAIR_UP)
		return false;
	if (is_open) {
		if (p->begun >= pacer_session_due(&f->messages.pacer, p->index))
			return false;
		due_ns = pacer_session_due_ns(&f->messages.pacer, p->index, p->begun);
	} else if (f->run.phase == RUN_BACKLOG) {
		return false;
	}
	*slot = (struct slot){ .due_ns = due_ns, .sequence = p->begun, .is_busy = true };
	p->begun++;
	p->chunk = 0;
	f->messages.in_flight++;
	f->run.under_way++;
	if (!is_open)
		run_due(&f->run, LOAD_MESSAGE, due_ns);
	return true;
}

bool session_next_chunk(struct flood *f, struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct pair *p = e->user;
	const struct flood_options *o = f->run.options;

	if (e->role == 'a' && p->index >= ordinary(f))
		return deaf_next(&f->messages.deaf, p, out);
	if (e->role != 'a' || (p->offset == 0 && !begin_message(f, p)))
		return false;
	uint32_t left = o->size - p->offset, octets = o->chunk && o->chunk < left ? o->chunk : left;
	*out = (struct msrp_outgoing){ .sequence = p->begun - 1,
				       .chunk = p->chunk++,
				       .offset = p->offset,
				       .octets = octets,
				       .total = o->size };
	p->offset = octets == left ? 0 : p->offset + octets;
	return true;
}

static void finish_if_done(struct flood *f, struct pair *p, struct slot *slot)
{
	if (!slot->has_arrived || slot->answers != f->messages.chunks)
		return;
	slot->is_busy = false;
	f->messages.in_flight--;
	f->run.under_way--;
	msrp_want_send(&p->a);
}

/* The message under way that a sequence names; otherwise it is counted as what it must be. */
static struct slot *busy_slot(struct flood *f, struct pair *p, uint32_t sequence)
{
	struct slot *slot = slot_of(f, p, sequence);

	if (slot->is_busy && slot->sequence == sequence)
		return slot;
	if (sequence < p->begun)
		report_error(f->run.report, FLOOD_DUPLICATE, "of a message that was complete");
	else
		report_error(f->run.report, FLOOD_FOREIGN, "of a message not sent yet");
	return NULL;
}

static void on_arrived(struct flood *f, struct slot *slot)
{
	uint64_t now = f->run.loop.now_ns, waited_ns = now > slot->due_ns ? now - slot->due_ns : 0;
	struct flood_report *report = f->run.report;
	struct histogram *part =
		deaf_histogram(&f->messages.deaf, slot->due_ns, &report->without_deaf, &report->with_deaf);

	slot->has_arrived = true;
	if (part)
		histogram_record(part, waited_ns);
	run_done(&f->run, LOAD_MESSAGE, slot->due_ns);
}

void session_on_chunk(struct flood *f, struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	struct pair *p = e->user;
	bool is_ordinary = p->index < ordinary(f);
	struct slot *slot = e->role == 'b' && is_ordinary ? busy_slot(f, p, chunk->sequence) : NULL;

	if (!is_ordinary)
		f->run.report->deaf_octets += chunk->octets;
	if (!slot)
		return;
	if (slot->has_arrived || chunk->offset < slot->received) {
		report_error(f->run.report, FLOOD_DUPLICATE,
			     "octets of a message that had come before");
		return;
	}
	if (chunk->offset > slot->received || chunk->octets > f->run.options->size - slot->received ||
	    (chunk->total && chunk->total != f->run.options->size)) {
		report_error(f->run.report, FLOOD_ORDER, "range or total");
		return;
	}
	slot->received += chunk->octets;
	if (chunk->flag != '$')
		return;
	if (slot->received != f->run.options->size) {
		report_error(f->run.report, FLOOD_ORDER, "message shorter than announced");
		return;
	}
	on_arrived(f, slot);
	finish_if_done(f, p, slot);
}

void session_on_response(struct flood *f, struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk, unsigned status)
{
	struct pair *p = e->user;
	/* who is not read may get 408 */
	struct slot *slot = e->role == 'a' && p->index < ordinary(f) ? busy_slot(f, p, sequence) : NULL;

	if (!slot)
		return;
	if (status != 200) {
		/* The message stays open and counts as lost, too, unless it arrives. */
		char text[32];
		snprintf(text, sizeof(text), "SEND: %u", status);
		report_error(f->run.report, FLOOD_STATUS, text);
		return;
	}
	slot->answers++;
	slot->answers_sum += chunk;
	if (slot->answers < f->messages.chunks)
		return;
	/* n answers are one for each chunk if their numbers add up; a repeated one shifts the sum.
	 */
	if (slot->answers > f->messages.chunks ||
	    slot->answers_sum != (uint32_t)((uint64_t)f->messages.chunks * (f->messages.chunks - 1) / 2)) {
		report_error(f->run.report, FLOOD_DUPLICATE, "answer");
		return;
	}
	run_confirmed(&f->run, LOAD_MESSAGE, slot->due_ns);
	finish_if_done(f, p, slot);
}

void session_on_broken(struct flood *f, struct pair *p)
{
	if (p->is_broken || p->state != PAIR_UP)
		return;
	p->is_broken = true;
	f->messages.broken++;
}

/* ---- the part ---- */

static int traffic_open(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	f->messages.chunks = o->chunk ? (o->size + o->chunk - 1) / o->chunk : 1;
	f->messages.slots = o->sessions ? calloc((size_t)o->sessions * o->outstanding, sizeof(struct slot)) : NULL;
	if (o->sessions && !f->messages.slots)
		return ENOMEM;
	for (uint32_t i = 0; i < o->sessions; i++)
		f->pairs[i].slots = f->messages.slots + (size_t)i * o->outstanding;
	return 0;
}

static void traffic_close(struct flood *f)
{
	free(f->messages.slots);
}

static bool sends_by_schedule(const struct flood *f)
{
	return !f->run.options->is_closed && load_rate(f, LOAD_MESSAGE) > 0 && ordinary(f);
}

static void traffic_begin(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	deaf_begin(&f->messages.deaf, f->pairs + ordinary(f), o->deaf, f->run.measure_start_ns, f->run.measure_end_ns);
	if (sends_by_schedule(f))
		pacer_start(&f->messages.pacer, f->run.loop.now_ns, load_rate(f, LOAD_MESSAGE), ordinary(f));
	else if (o->is_closed)
		for (uint32_t i = 0; i < ordinary(f); i++)
			msrp_want_send(&f->pairs[i].a);
}

/* Lets the sessions whose messages became due since the last call send. */
static uint64_t traffic_turn(struct flood *f, uint64_t until_ns)
{
	struct pacer *pacer = &f->messages.pacer;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns;

	deaf_turn(&f->messages.deaf, f->run.loop.now_ns);
	if (!sends_by_schedule(f) || f->run.phase >= RUN_BACKLOG)
		return UINT64_MAX;
	for (uint64_t due_ns; (due_ns = pacer_due_ns(pacer, pacer->due)) <= now; pacer->due++) {
		run_due(&f->run, LOAD_MESSAGE, due_ns);
		msrp_want_send(&f->pairs[pacer->due % pacer->sessions].a);
	}
	return pacer_due_ns(pacer, pacer->due);
}

static void traffic_tick(struct flood *f)
{
}

static bool traffic_has_backlog(const struct flood *f)
{
	for (uint32_t i = 0; sends_by_schedule(f) && i < ordinary(f); i++)
		if (f->pairs[i].state == PAIR_UP && !f->pairs[i].is_broken &&
		    f->pairs[i].begun < pacer_session_due(&f->messages.pacer, i))
			return true;
	return false;
}

static bool traffic_is_dead(const struct flood *f)
{
	return f->messages.broken >= f->run.up;
}

static void count_pair(struct flood *f, struct pair *p)
{
	for (uint32_t k = 0; k < f->run.options->outstanding; k++)
		if (p->slots[k].is_busy)
			report_error(f->run.report, p->slots[k].has_arrived ? FLOOD_UNCONFIRMED : FLOOD_LOST, NULL);
	if (sends_by_schedule(f) && p->state == PAIR_UP)
		f->run.report->errors[FLOOD_UNSENT] += pacer_session_due(&f->messages.pacer, p->index) - p->begun;
}

static void traffic_count_missing(struct flood *f)
{
	for (uint32_t i = 0; i < ordinary(f); i++)
		count_pair(f, &f->pairs[i]);
}

const struct flood_part session_traffic_part = { traffic_open,        traffic_close,   traffic_begin,        traffic_turn, traffic_tick,
						 traffic_has_backlog, traffic_is_dead, traffic_count_missing };
