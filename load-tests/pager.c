#include <stdio.h>
#include <stdlib.h>

#include "load-tests/flood.h"

#define MOST_UNDER_WAY (1u << 20)
#define SECONDS_KEPT   35 /* a little longer than timer F: so long one that is not answered keeps its place */

static bool is_used(const struct flood *f)
{
	return load_rate(f, LOAD_PAGER) > 0;
}

static struct pair *pair_of(struct flood *f, uint32_t subject)
{
	return &f->pairs[f->run.options->sessions + subject];
}

/* ---- what is sent ---- */

/* "imflood RUN NUMBER " and then the pattern, from a place that its number makes. */
#define MARK_OCTETS 26

struct slice pager_body(struct flood *f, uint32_t number, char text[PAGER_SIZE_MAX])
{
	uint32_t size = f->run.options->size;
	char mark[MARK_OCTETS + 1];

	snprintf(mark, sizeof(mark), "imflood %.8s %08x ", f->setup.calls.run, number);
	memcpy(text, mark, MARK_OCTETS);
	memcpy(text + MARK_OCTETS, msrp_pattern_at(&f->network, number), size - MARK_OCTETS);
	return slice_of(text, size);
}

static bool send_message(struct flood *f, const struct transaction *t)
{
	static char text[PAGER_SIZE_MAX];

	return sip_calls_send_message(&f->setup.calls, pair_of(f, t->subject)->index, t->sequence,
				      t->attempt + 1u, pager_body(f, t->sequence, text));
}

/* False: it cannot be sent; the pair is silent from then on. */
static bool begin_message(struct flood *f, uint64_t due_ns, uint32_t subject)
{
	struct transaction *t = transactions_begin(&f->pager.transactions, due_ns, subject);

	f->run.under_way++;
	if (send_message(f, t))
		return true;
	report_error(f->run.report, FLOOD_LOST, "its SIP connection is gone");
	transactions_end(&f->pager.transactions, t);
	f->run.under_way--;
	return false;
}

static void begin_at_once(struct flood *f, uint32_t subject)
{
	uint64_t now = loop_clock(&f->run.loop);

	run_due(&f->run, LOAD_PAGER, now);
	(void)begin_message(f, now, subject); /* the loss is counted */
}

static void end_message(struct flood *f, struct transaction *t)
{
	uint32_t subject = t->subject;

	transactions_end(&f->pager.transactions, t);
	f->run.under_way--;
	if (f->run.options->is_closed && f->run.phase < RUN_BACKLOG && !run_interrupted())
		begin_at_once(f, subject);
}

/* ---- what comes back ---- */

static void finish_if_done(struct flood *f, struct transaction *t)
{
	if (t->status >= 300 || (t->status && t->has_arrived))
		end_message(f, t);
	else if (t->status)
		transactions_answered(&f->pager.transactions, t); /* accepted: it must come yet */
}

void pager_on_response(struct flood *f, uint32_t sequence, const struct sip_text *m)
{
	struct transaction *t = transactions_find(&f->pager.transactions, sequence);

	if (!t || t->status || sip_text_cseq(m) != t->attempt + 1u)
		return; /* repeated */
	if (sip_calls_challenged(&f->setup.calls, pair_of(f, t->subject)->index, 'a', m, t->attempt)) {
		t->attempt++;
		(void)send_message(f, t); /* without a connection it is given up in time */
		return;
	}
	loop_clock(&f->run.loop);
	if (m->status < 200) {
		transactions_proceeding(&f->pager.transactions, t);
		return;
	}
	t->status = (uint16_t)m->status;
	if (m->status < 300)
		run_confirmed(&f->run, LOAD_PAGER, t->due_ns);
	else
		report_refusal(f->run.report, "MESSAGE", m->status, sip_text_retry_after(m));
	finish_if_done(f, t);
}

/* So that a MESSAGE that comes twice can be told from one that is repeated: FNV-1a. */
static uint64_t branch_of(const struct sip_text *m)
{
	struct slice via = sip_text_header(m, "Via", 'v', 0);
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < via.n; i++)
		hash = (hash ^ (uint8_t)via.p[i]) * 1099511628211u;
	return hash;
}

/* The number in the body; false: not a message of this run. */
bool pager_number_of(const struct flood *f, struct slice body, uint32_t *number)
{
	char text[9] = "", *end;

	if (body.n < MARK_OCTETS || memcmp(body.p, "imflood ", 8) != 0 ||
	    memcmp(body.p + 8, f->setup.calls.run, 8) != 0)
		return false;
	memcpy(text, body.p + 17, 8);
	*number = (uint32_t)strtoul(text, &end, 16);
	return *end == 0;
}

bool pager_body_is_whole(struct flood *f, struct slice body, uint32_t number)
{
	return body.n == f->run.options->size &&
	       memcmp(body.p + MARK_OCTETS, msrp_pattern_at(&f->network, number), body.n - MARK_OCTETS) == 0;
}

static void on_first(struct flood *f, struct transaction *t, const struct sip_text *m)
{
	char want[16];

	snprintf(want, sizeof(want), "sip:b%06x@", options_user(f->run.options, pair_of(f, t->subject)->index));
	if (!slice_starts(m->uri, slice_str(want)))
		report_error(f->run.report, FLOOD_FOREIGN, "MESSAGE for another user");
	if (!pager_body_is_whole(f, m->body, t->sequence))
		report_error(f->run.report, FLOOD_BODY, "MESSAGE");
	t->has_arrived = true;
	t->mark = branch_of(m);
	run_done(&f->run, LOAD_PAGER, t->due_ns);
	finish_if_done(f, t);
}

void pager_on_request(struct flood *f, struct sip_flow *flow, const struct sip_text *m)
{
	uint32_t number;

	sip_calls_respond(&f->setup.calls, flow, m, "200 OK");
	loop_clock(&f->run.loop);
	if (!pager_number_of(f, m->body, &number)) {
		report_error(f->run.report, FLOOD_FOREIGN, "a MESSAGE that we did not send");
		return;
	}
	struct transaction *t = transactions_find(&f->pager.transactions, number);
	if (t && !t->has_arrived) {
		on_first(f, t, m);
		return;
	}
	/* Over TCP nobody repeats; and what has ended long ago cannot be told from what is repeated late. */
	if (!f->pager.transactions.is_lossy || (t && t->mark != branch_of(m)))
		report_error(f->run.report, FLOOD_DUPLICATE, "MESSAGE");
	else
		f->run.report->repeated_in++;
}

static void on_repeat(void *user, struct transaction *t)
{
	struct flood *f = user;

	f->run.report->repeated++;
	(void)send_message(f, t); /* without a connection it is given up in time */
}

static void on_give_up(void *user, struct transaction *t)
{
	struct flood *f = user;

	if (t->status)
		report_error(f->run.report, FLOOD_LOST, "accepted, but not delivered");
	else
		report_error(f->run.report, FLOOD_SIP_TIMEOUT, "MESSAGE");
	end_message(f, t);
}

/* ---- the part ---- */

static int pager_open(struct flood *f)
{
	const struct flood_options *o = f->run.options;
	double most = o->is_closed ? (double)o->pairs * o->outstanding : load_rate(f, LOAD_PAGER) * SECONDS_KEPT;

	if (!is_used(f))
		return 0;
	f->pager.transactions = (struct transactions){
		.loop = &f->run.loop, .is_lossy = !o->tcp, .user = f, .repeat = on_repeat, .give_up = on_give_up
	};
	return transactions_open(&f->pager.transactions, most < MOST_UNDER_WAY ? (uint64_t)most : MOST_UNDER_WAY);
}

static void pager_close(struct flood *f)
{
	transactions_close(&f->pager.transactions);
}

static void pager_begin(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	if (!is_used(f))
		return;
	if (!o->is_closed) {
		pacer_start(&f->pager.pacer, f->run.loop.now_ns, load_rate(f, LOAD_PAGER), o->pairs);
		return;
	}
	for (uint32_t i = 0; i < o->pairs * o->outstanding; i++)
		begin_at_once(f, i % o->pairs);
}

static uint64_t pager_turn(struct flood *f, uint64_t until_ns)
{
	struct pager *p = &f->pager;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns;

	if (!is_used(f) || f->run.options->is_closed || f->run.phase > RUN_BACKLOG)
		return UINT64_MAX;
	for (unsigned n = 0;
	     n < BEGIN_MAX && f->run.phase < RUN_BACKLOG && pacer_due_ns(&p->pacer, p->pacer.due) <= now; n++)
		run_due(&f->run, LOAD_PAGER, pacer_due_ns(&p->pacer, p->pacer.due++));
	for (unsigned n = 0; n < BEGIN_MAX && p->begun < p->pacer.due && transactions_have_room(&p->transactions); n++) {
		uint32_t subject = (uint32_t)(p->begun % p->pacer.sessions);
		if (!sip_calls_have_room(&f->setup.calls, pair_of(f, subject)->index))
			break; /* the server reads no faster; its time counts from when it was due */
		uint64_t i = p->begun++;
		(void)begin_message(f, pacer_due_ns(&p->pacer, i), subject); /* counted */
	}
	return pacer_due_ns(&p->pacer, p->pacer.due);
}

static void pager_tick(struct flood *f)
{
	transactions_tick(&f->pager.transactions);
}

static bool pager_has_backlog(const struct flood *f)
{
	return is_used(f) && f->pager.begun < f->pager.pacer.due;
}

static bool pager_is_dead(const struct flood *f)
{
	return !is_used(f) || (f->run.options->is_closed && !f->pager.transactions.under_way);
}

static void pager_count_missing(struct flood *f)
{
	struct transactions *t = &f->pager.transactions;

	if (!is_used(f))
		return;
	for (uint32_t i = 0; i < t->size; i++) {
		const struct transaction *x = &t->ring[i];
		if (x->is_busy)
			report_error(f->run.report, x->has_arrived ? FLOOD_UNCONFIRMED : FLOOD_LOST, NULL);
	}
	f->run.report->errors[FLOOD_UNSENT] += f->pager.pacer.due - f->pager.begun;
}

const struct flood_part pager_part = { pager_open,        pager_close,   pager_begin,        pager_turn, pager_tick,
				       pager_has_backlog, pager_is_dead, pager_count_missing };
