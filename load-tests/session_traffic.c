#include <stddef.h>
#include <stdio.h>

#include "load-tests/session_private.h"

static struct flood *flood_of(struct msrp_network *n)
{
	return (struct flood *)((char *)n - offsetof(struct flood, network));
}

static struct slot *slot_of(struct flood *f, struct pair *p, uint32_t sequence)
{
	return &p->slots[sequence % f->options->outstanding];
}

/* Begins the next message of a pair if its window and its schedule have room. */
static bool begin_message(struct flood *f, struct pair *p)
{
	struct slot *slot = slot_of(f, p, p->begun);
	bool is_open = f->options->rate > 0;
	uint64_t due_ns = f->loop.now_ns;

	if (slot->is_busy || f->phase == PHASE_SETUP || f->phase >= PHASE_DRAIN ||
	    p->state != PAIR_UP)
		return false;
	if (is_open) {
		if (p->begun >= pacer_session_due(&f->pacer, p->index))
			return false;
		due_ns = pacer_session_due_ns(&f->pacer, p->index, p->begun);
	} else if (f->phase == PHASE_BACKLOG) {
		return false;
	}
	*slot = (struct slot){ .due_ns = due_ns,
			       .sequence = p->begun,
			       .is_busy = true,
			       .is_measured = due_ns >= f->measure_start_ns &&
					      due_ns < f->measure_end_ns };
	p->begun++;
	p->chunk = 0;
	f->in_flight++;
	if (!is_open && slot->is_measured)
		f->report->due++;
	return true;
}

static bool next_chunk(struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;
	const struct flood_options *o = f->options;

	if (e->role == 'a' && p->index >= session_ordinary(f))
		return deaf_next(&f->deaf, p, out);
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
	if (!slot->has_arrived || slot->answers != f->chunks)
		return;
	slot->is_busy = false;
	f->in_flight--;
	msrp_want_send(&p->a);
}

/* The message under way that a sequence names; otherwise it is counted as what it must be. */
static struct slot *busy_slot(struct flood *f, struct pair *p, uint32_t sequence)
{
	struct slot *slot = slot_of(f, p, sequence);

	if (slot->is_busy && slot->sequence == sequence)
		return slot;
	if (sequence < p->begun)
		report_error(f->report, FLOOD_DUPLICATE, "of a message that was complete");
	else
		report_error(f->report, FLOOD_FOREIGN, "of a message not sent yet");
	return NULL;
}

static void on_arrived(struct flood *f, struct slot *slot)
{
	uint64_t now = f->loop.now_ns, waited_ns = now > slot->due_ns ? now - slot->due_ns : 0;

	struct histogram *part = deaf_histogram(&f->deaf, slot->due_ns, &f->report->without_deaf, &f->report->with_deaf);

	slot->has_arrived = true;
	f->arrived_ever++;
	if (part)
		histogram_record(part, waited_ns);
	histogram_record(&f->progress, waited_ns);
	if (slot->is_measured)
		histogram_record(&f->report->arrival, waited_ns);
	if (f->phase == PHASE_MEASURE)
		f->report->arrived++;
}

static void on_chunk(struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;
	bool is_ordinary = p->index < session_ordinary(f);
	struct slot *slot = e->role == 'b' && is_ordinary ? busy_slot(f, p, chunk->sequence) : NULL;

	if (!is_ordinary)
		f->report->deaf_octets += chunk->octets;
	if (!slot)
		return;
	if (slot->has_arrived || chunk->offset < slot->received) {
		report_error(f->report, FLOOD_DUPLICATE,
			     "octets of a message that had come before");
		return;
	}
	if (chunk->offset > slot->received || chunk->octets > f->options->size - slot->received ||
	    (chunk->total && chunk->total != f->options->size)) {
		report_error(f->report, FLOOD_ORDER, "range or total");
		return;
	}
	slot->received += chunk->octets;
	if (chunk->flag != '$')
		return;
	if (slot->received != f->options->size) {
		report_error(f->report, FLOOD_ORDER, "message shorter than announced");
		return;
	}
	on_arrived(f, slot);
	finish_if_done(f, p, slot);
}

static void on_response(struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk, unsigned status)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;
	/* who is not read may get 408 */
	struct slot *slot = e->role == 'a' && p->index < session_ordinary(f) ? busy_slot(f, p, sequence) : NULL;

	if (!slot)
		return;
	if (status != 200) {
		/* The message stays open and counts as lost, too, unless it arrives. */
		char text[32];
		snprintf(text, sizeof(text), "SEND: %u", status);
		report_error(f->report, FLOOD_STATUS, text);
		return;
	}
	slot->answers++;
	slot->answers_sum += chunk;
	if (slot->answers < f->chunks)
		return;
	/* n answers are one for each chunk if their numbers add up; a repeated one shifts the sum.
	 */
	if (slot->answers > f->chunks ||
	    slot->answers_sum != (uint32_t)((uint64_t)f->chunks * (f->chunks - 1) / 2)) {
		report_error(f->report, FLOOD_DUPLICATE, "answer");
		return;
	}
	if (slot->is_measured)
		histogram_record(&f->report->confirmation,
				 f->loop.now_ns > slot->due_ns ? f->loop.now_ns - slot->due_ns : 0);
	if (f->phase == PHASE_MEASURE)
		f->report->confirmed++;
	finish_if_done(f, p, slot);
}

void session_on_registered(struct session_setup *s, struct pair *p)
{
	((struct flood *)((char *)s - offsetof(struct flood, setup)))->in_setup--;
}

static void setup_failed(struct flood *f, struct pair *p)
{
	if (p->state != PAIR_SETUP)
		return;
	p->state = PAIR_OVER;
	f->in_setup--;
}

static void up_if_bound(struct flood *f, struct pair *p)
{
	bool a = p->a_waits ? p->a_empty : p->a_bound, b = p->b_waits ? p->b_empty : p->b_bound;

	if (p->state != PAIR_SETUP || !a || !b)
		return;
	p->state = PAIR_UP;
	f->in_setup--;
	f->up++;
}

static void on_bound(struct msrp_endpoint *e, unsigned status)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;
	bool *bound = e->role == 'a' ? &p->a_bound : &p->b_bound;

	if (status != 200) {
		char text[48];
		snprintf(text, sizeof(text), "empty SEND of %c: %u", e->role, status);
		report_error(f->report, FLOOD_STATUS, text);
		setup_failed(f, p);
		return;
	}
	if (*bound) {
		report_error(f->report, FLOOD_DUPLICATE, "answer to the empty SEND");
		return;
	}
	*bound = true;
	up_if_bound(f, p);
}

static void on_empty(struct msrp_endpoint *e)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;

	*(e->role == 'a' ? &p->a_empty : &p->b_empty) = true;
	up_if_bound(f, p);
}

void session_on_setup_progress(struct session_setup *s, struct pair *p)
{
	up_if_bound((struct flood *)((char *)s - offsetof(struct flood, setup)), p);
}

void session_on_setup_failed(struct session_setup *s, struct pair *p)
{
	setup_failed((struct flood *)((char *)s - offsetof(struct flood, setup)), p);
}

static void on_error(struct msrp_network *n, struct msrp_endpoint *e, enum flood_error error,
		     const char *what)
{
	struct flood *f = flood_of(n);

	/* After its BYE a server closes connections as it likes. */
	if (error != FLOOD_CLOSED || f->phase != PHASE_RELEASE)
		report_error(f->report, error, what);
	if (e && error == FLOOD_CLOSED)
		setup_failed(f, e->user);
}

const struct msrp_handlers session_msrp_handlers = { next_chunk, on_chunk, on_response,
					       on_bound,   on_empty, on_error };
