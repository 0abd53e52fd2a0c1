/*
 * Messages to users who are away, and what happens when they all come back.  While it is measured, A of each pair sends
 * MESSAGEs to a B who is not registered, each of which must get its 202.  Then every B registers within --storm
 * seconds, as an ordinary client without feature tag (with --push: with it, deferred_push.c), and must get each of his
 * messages, in their order.  One that comes again is counted as repeated: a server that keeps messages delivers them at
 * least once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load-tests/flood.h"

#define MOST_UNDER_WAY (1u << 18)
#define MOST_MESSAGES  (1u << 26) /* of one run: a bit each */
#define SECONDS_KEPT   35
#define STORM_QUIET_NS (10ull * SECOND_NS) /* nothing came for so long: nothing will */

/* ---- what was stored and what came ---- */

static bool is_set(const uint8_t *bits, uint32_t number)
{
	return bits[number / 8] >> number % 8 & 1;
}

static void set(uint8_t *bits, uint32_t number)
{
	bits[number / 8] |= (uint8_t)(1 << number % 8);
}

static bool is_used(const struct flood *f)
{
	return load_rate(f, LOAD_DEFERRED) > 0;
}

/* ---- storing ---- */

static bool send_message(struct flood *f, const struct transaction *t)
{
	static char text[PAGER_SIZE_MAX];

	return sip_calls_send_message(&f->setup.calls, t->subject, t->sequence, t->attempt + 1u,
				      pager_body(f, t->sequence, text));
}

static void begin_message(struct flood *f, uint64_t due_ns, uint32_t subject)
{
	struct transaction *t = transactions_begin(&f->deferred.transactions, due_ns, subject);

	f->run.under_way++;
	if (t->sequence >= f->deferred.most) { /* the rate and time were known before */
		report_error(f->run.report, FLOOD_UNSENT, "more messages than there is memory for");
	} else if (send_message(f, t)) {
		return;
	} else {
		report_error(f->run.report, FLOOD_LOST, "its SIP connection is gone");
	}
	transactions_end(&f->deferred.transactions, t);
	f->run.under_way--;
}

void deferred_on_response(struct flood *f, uint32_t sequence, const struct sip_text *m)
{
	struct deferred *d = &f->deferred;
	struct transaction *t = transactions_find(&d->transactions, sequence);

	if (!t || sip_text_cseq(m) != t->attempt + 1u)
		return; /* repeated */
	if (sip_calls_challenged(&f->setup.calls, t->subject, 'a', m, t->attempt)) {
		t->attempt++;
		(void)send_message(f, t); /* without a connection it is given up in time */
		return;
	}
	loop_clock(&f->run.loop);
	if (m->status < 200) {
		transactions_proceeding(&d->transactions, t);
		return;
	}
	if (m->status == 202) {
		set(d->stored, t->sequence);
		d->stored_n++;
		run_done(&f->run, LOAD_DEFERRED, t->due_ns);
	} else { /* 200: somebody has it, who is not there */
		report_refusal(f->run.report, "MESSAGE", m->status, sip_text_retry_after(m));
	}
	transactions_end(&d->transactions, t);
	f->run.under_way--;
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

	report_error(f->run.report, FLOOD_SIP_TIMEOUT, "MESSAGE");
	transactions_end(&f->deferred.transactions, t);
	f->run.under_way--;
}

/* ---- delivery ---- */

void deferred_on_request(struct flood *f, struct sip_flow *flow, const struct sip_text *m)
{
	sip_calls_respond(&f->setup.calls, flow, m, "200 OK");
	loop_clock(&f->run.loop);
	if (f->run.options->is_push)
		report_error(f->run.report, FLOOD_FOREIGN, "a MESSAGE to who is to be called");
	deferred_on_arrived(f, m);
}

void deferred_on_arrived(struct flood *f, const struct sip_text *m)
{
	struct deferred *d = &f->deferred;
	uint32_t number;

	if (!pager_number_of(f, m->body, &number) || number >= d->most) {
		report_error(f->run.report, FLOOD_FOREIGN, "a MESSAGE that we did not send");
		return;
	}
	uint32_t subject = number % f->run.options->pairs;
	char want[16];
	snprintf(want, sizeof(want), "sip:b%06x@", options_user(f->run.options, subject));
	if (!slice_starts(m->uri, slice_str(want)))
		report_error(f->run.report, FLOOD_FOREIGN, "MESSAGE for another user");
	if (is_set(d->arrived, number)) {
		f->run.report->repeated_in++;
		return;
	}
	if (!pager_body_is_whole(f, m->body, number))
		report_error(f->run.report, FLOOD_BODY, "MESSAGE");
	if (d->last[subject] > number + 1)
		report_error(f->run.report, FLOOD_ORDER, "a stored MESSAGE overtook another");
	d->last[subject] = number + 1;
	set(d->arrived, number);
	d->heard_ns = f->run.loop.now_ns;
	if (is_set(d->stored, number))
		d->delivered_n++;
	histogram_record(&f->run.report->loads[LOAD_PUSH].arrival, f->run.loop.now_ns - d->registered_ns[subject]);
}

void deferred_on_register_response(struct flood *f, uint32_t number, const struct sip_text *m)
{
	struct deferred *d = &f->deferred;
	uint32_t subject = number / 4;
	unsigned attempt = number % 4;

	if (subject >= d->registered || attempt != d->attempts[subject] || m->status < 200)
		return;
	if (sip_calls_challenged(&f->setup.calls, subject, 'b', m, attempt)) {
		d->attempts[subject]++;
		(void)sip_calls_send_register(&f->setup.calls, subject, 'b', attempt + 2, subject * 4 + attempt + 1);
		return;
	}
	d->attempts[subject] = UINT8_MAX; /* what comes now is repeated */
	d->heard_ns = loop_clock(&f->run.loop);
	if (m->status < 300)
		sip_call_b_is_registered(&f->setup.calls, subject, attempt + 1);
	else
		report_refusal(f->run.report, "REGISTER", m->status, sip_text_retry_after(m));
}

#define REPEAT_NS (SECOND_NS / 2)

/* Over UDP: REGISTERs that nobody answered. */
static void register_again(struct flood *f)
{
	struct deferred *d = &f->deferred;
	uint64_t now = f->run.loop.now_ns;

	if (!d->transactions.is_lossy || now < d->repeat_ns)
		return;
	d->repeat_ns = now + REPEAT_NS;
	for (uint32_t i = 0; i < d->registered; i++) {
		if (d->attempts[i] == UINT8_MAX || now < d->registered_ns[i] + REPEAT_NS)
			continue;
		f->run.report->repeated++;
		(void)sip_calls_send_register(&f->setup.calls, i, 'b', d->attempts[i] + 1u, i * 4 + d->attempts[i]);
	}
}

/* Those who are due to be back by now. */
static void come_back(struct flood *f, uint64_t start_ns)
{
	struct deferred *d = &f->deferred;
	uint32_t n = f->run.options->pairs;
	double share = (double)(f->run.loop.now_ns - start_ns) / SECOND_NS / f->run.options->storm_s;
	uint32_t due = share < 1 ? (uint32_t)(share * n) : n;

	for (unsigned begun = 0; d->registered < due && begun < BEGIN_MAX; begun++) {
		uint32_t subject = d->registered++;
		d->registered_ns[subject] = f->run.loop.now_ns;
		if (f->run.options->is_push)
			deferred_push_expect(f, subject);
		if (!sip_calls_send_register(&f->setup.calls, subject, 'b', 1, subject * 4))
			report_error(f->run.report, FLOOD_LOST, "its SIP connection is gone");
	}
}

/* Somebody has to come back yet, or a message has to come or a call to end, and something came not long ago. */
static bool goes_on(const struct flood *f)
{
	const struct deferred *d = &f->deferred;

	if (run_interrupted() || setup_is_cut_off(&f->setup))
		return false;
	return d->registered < f->run.options->pairs ||
	       (f->run.loop.now_ns < d->heard_ns + STORM_QUIET_NS &&
		(d->delivered_n < d->stored_n || deferred_push_up(f)));
}

void deferred_storm(struct flood *f, void (*turn)(struct flood *, uint64_t sleep_ns))
{
	struct deferred *d = &f->deferred;
	struct server_figures before, after;
	uint64_t start_ns = loop_clock(&f->run.loop);

	if (!is_used(f) || run_interrupted())
		return;
	f->run.phase = RUN_STORM;
	run_read_server(&f->run, &before);
	d->heard_ns = start_ns;
	while (goes_on(f)) {
		come_back(f, start_ns);
		register_again(f);
		turn(f, TURN_NS / 50);
	}
	run_read_server(&f->run, &after);
	f->run.report->storm_s = (double)(d->heard_ns - start_ns) / SECOND_NS;
	f->run.report->storm_cpu_s = after.cpu_s - before.cpu_s;
	f->run.report->stored = d->stored_n;
	f->run.report->delivered = d->delivered_n;
	if (d->delivered_n < d->stored_n && !run_interrupted())
		f->run.report->errors[FLOOD_LOST] += d->stored_n - d->delivered_n;
	for (uint32_t i = run_interrupted() ? 0 : deferred_push_up(f); i > 0; i--)
		report_error(f->run.report, FLOOD_SIP_TIMEOUT, "BYE of the server");
}

/* ---- the part ---- */

static int deferred_open(struct flood *f)
{
	const struct flood_options *o = f->run.options;
	struct deferred *d = &f->deferred;
	double rate = load_rate(f, LOAD_DEFERRED), all = rate * (o->warmup_s + o->duration_s) + o->pairs;

	if (!is_used(f))
		return 0;
	d->transactions = (struct transactions){
		.loop = &f->run.loop, .is_lossy = !o->tcp, .user = f, .repeat = on_repeat, .give_up = on_give_up
	};
	d->most = all < MOST_MESSAGES ? (uint32_t)all : MOST_MESSAGES;
	d->stored = calloc(d->most / 8 + 1, 1);
	d->arrived = calloc(d->most / 8 + 1, 1);
	d->last = calloc(o->pairs, sizeof(*d->last));
	d->registered_ns = calloc(o->pairs, sizeof(*d->registered_ns));
	d->attempts = calloc(o->pairs, 1);
	if (!d->stored || !d->arrived || !d->last || !d->registered_ns || !d->attempts)
		return ENOMEM;
	double most = rate * SECONDS_KEPT;
	return transactions_open(&d->transactions, most < MOST_UNDER_WAY ? (uint64_t)most + 1 : MOST_UNDER_WAY);
}

static void deferred_close(struct flood *f)
{
	struct deferred *d = &f->deferred;

	transactions_close(&d->transactions);
	free(d->stored);
	free(d->arrived);
	free(d->last);
	free(d->registered_ns);
	free(d->attempts);
}

static void deferred_begin(struct flood *f)
{
	if (is_used(f))
		pacer_start(&f->deferred.pacer, f->run.loop.now_ns, load_rate(f, LOAD_DEFERRED), f->run.options->pairs);
}

static uint64_t deferred_turn(struct flood *f, uint64_t until_ns)
{
	struct deferred *d = &f->deferred;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns;

	if (!is_used(f) || f->run.phase > RUN_BACKLOG)
		return UINT64_MAX;
	for (unsigned n = 0;
	     n < BEGIN_MAX && f->run.phase < RUN_BACKLOG && pacer_due_ns(&d->pacer, d->pacer.due) <= now; n++)
		run_due(&f->run, LOAD_DEFERRED, pacer_due_ns(&d->pacer, d->pacer.due++));
	for (unsigned n = 0; n < BEGIN_MAX && d->begun < d->pacer.due && transactions_have_room(&d->transactions); n++) {
		uint32_t subject = (uint32_t)(d->begun % d->pacer.sessions);
		if (!sip_calls_have_room(&f->setup.calls, subject))
			break; /* the server reads no faster; its time counts from when it was due */
		uint64_t i = d->begun++;
		begin_message(f, pacer_due_ns(&d->pacer, i), subject);
	}
	return pacer_due_ns(&d->pacer, d->pacer.due);
}

static void deferred_tick(struct flood *f)
{
	if (is_used(f))
		transactions_tick(&f->deferred.transactions);
}

static bool deferred_has_backlog(const struct flood *f)
{
	return is_used(f) && f->deferred.begun < f->deferred.pacer.due;
}

static bool deferred_is_dead(const struct flood *f)
{
	return !is_used(f);
}

static void deferred_count_missing(struct flood *f)
{
	if (is_used(f))
		f->run.report->errors[FLOOD_UNSENT] += f->deferred.pacer.due - f->deferred.begun;
}

const struct flood_part deferred_part = { deferred_open, deferred_close,       deferred_begin,   deferred_turn,
					  deferred_tick, deferred_has_backlog, deferred_is_dead, deferred_count_missing };
