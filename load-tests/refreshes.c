#include <errno.h>
#include <stdlib.h>

#include "load-tests/flood.h"

#define MOST_UNDER_WAY (1u << 18)

static bool has_registers(const struct flood *f)
{
	return load_rate(f, LOAD_REGISTER) > 0;
}

static bool has_reinvites(const struct flood *f)
{
	return load_rate(f, LOAD_REINVITE) > 0;
}

/* ---- REGISTER: A and B of each pair in turn ---- */

static uint32_t index_of(const struct transaction *t)
{
	return t->subject / 2;
}

static char role_of(const struct transaction *t)
{
	return t->subject % 2 ? 'b' : 'a';
}

static bool send_register(struct flood *f, const struct transaction *t)
{
	return sip_calls_send_register(&f->setup.calls, index_of(t), role_of(t), (uint32_t)t->mark, t->sequence);
}

static void end_register(struct flood *f, struct transaction *t)
{
	transactions_end(&f->refreshes.transactions, t);
	f->run.under_way--;
}

static void begin_register(struct flood *f, uint64_t due_ns, uint32_t subject)
{
	struct transaction *t = transactions_begin(&f->refreshes.transactions, due_ns, subject);

	/* a binding is not touched by a REGISTER with a lower number (RFC 3261 10.3) */
	t->mark = ++f->setup.calls.calls[index_of(t)].register_cseq[subject % 2];
	f->run.under_way++;
	if (send_register(f, t))
		return;
	report_error(f->run.report, FLOOD_LOST, "its SIP connection is gone");
	end_register(f, t);
}

void refreshes_on_register_response(struct flood *f, uint32_t sequence, const struct sip_text *m)
{
	struct transaction *t = transactions_find(&f->refreshes.transactions, sequence);

	if (!t || sip_text_cseq(m) != t->mark)
		return; /* repeated */
	if (sip_calls_challenged(&f->setup.calls, index_of(t), role_of(t), m, t->attempt)) {
		t->attempt++;
		t->mark = ++f->setup.calls.calls[index_of(t)].register_cseq[t->subject % 2];
		(void)send_register(f, t); /* without a connection it is given up in time */
		return;
	}
	if (m->status < 200) {
		transactions_proceeding(&f->refreshes.transactions, t);
		return;
	}
	loop_clock(&f->run.loop);
	if (m->status < 300)
		run_done(&f->run, LOAD_REGISTER, t->due_ns);
	else
		report_refusal(f->run.report, "REGISTER", m->status, sip_text_retry_after(m));
	end_register(f, t);
}

static void on_repeat(void *user, struct transaction *t)
{
	struct flood *f = user;

	f->run.report->repeated++;
	(void)send_register(f, t); /* without a connection it is given up in time */
}

static void on_give_up(void *user, struct transaction *t)
{
	struct flood *f = user;

	report_error(f->run.report, FLOOD_SIP_TIMEOUT, "REGISTER");
	end_register(f, t);
}

/* ---- re-INVITE: one at a time in each session ---- */

/* False: there is no session that could be refreshed now. */
static bool begin_reinvite(struct flood *f, uint64_t due_ns)
{
	struct refreshes *r = &f->refreshes;
	uint32_t n = f->run.options->sessions;

	for (uint32_t tried = 0; tried < n; tried++) {
		struct pair *p = &f->pairs[r->next_reinvite];
		r->next_reinvite = (r->next_reinvite + 1) % n;
		if (p->state != PAIR_UP || p->is_broken || !sip_call_refresh(&f->setup.calls, p->index))
			continue;
		r->reinvite_due_ns[p->index] = due_ns;
		r->reinvites_under_way++;
		f->run.under_way++;
		return true;
	}
	return false;
}

void refreshes_on_reinvited(struct flood *f, struct pair *p, unsigned status, const struct sip_text *m)
{
	uint64_t *due_ns = f->refreshes.reinvite_due_ns ? &f->refreshes.reinvite_due_ns[p->index] : NULL;

	if (!due_ns || !*due_ns)
		return;
	f->refreshes.reinvites_under_way--;
	f->run.under_way--;
	loop_clock(&f->run.loop);
	if (status >= 300)
		report_refusal(f->run.report, "re-INVITE", status, sip_text_retry_after(m));
	else if (status)
		run_done(&f->run, LOAD_REINVITE, *due_ns);
	*due_ns = 0;
}

/* ---- the part ---- */

static int refreshes_open(struct flood *f)
{
	const struct flood_options *o = f->run.options;
	double most = load_rate(f, LOAD_REGISTER) * 35;

	if (has_reinvites(f)) {
		f->refreshes.reinvite_due_ns = calloc(o->sessions, sizeof(uint64_t));
		if (!f->refreshes.reinvite_due_ns)
			return ENOMEM;
	}
	if (!has_registers(f))
		return 0;
	f->refreshes.transactions = (struct transactions){
		.loop = &f->run.loop, .is_lossy = !o->tcp, .user = f, .repeat = on_repeat, .give_up = on_give_up
	};
	return transactions_open(&f->refreshes.transactions, most < MOST_UNDER_WAY ? (uint64_t)most : MOST_UNDER_WAY);
}

static void refreshes_close(struct flood *f)
{
	transactions_close(&f->refreshes.transactions);
	free(f->refreshes.reinvite_due_ns);
}

static void refreshes_begin(struct flood *f)
{
	if (has_registers(f))
		pacer_start(&f->refreshes.registers, f->run.loop.now_ns, load_rate(f, LOAD_REGISTER), 1);
	if (has_reinvites(f))
		pacer_start(&f->refreshes.reinvites, f->run.loop.now_ns, load_rate(f, LOAD_REINVITE), 1);
}

static void make_due(struct flood *f, struct pacer *pacer, enum flood_load load, uint64_t now)
{
	for (unsigned n = 0; n < BEGIN_MAX && f->run.phase < RUN_BACKLOG && pacer_due_ns(pacer, pacer->due) <= now; n++)
		run_due(&f->run, load, pacer_due_ns(pacer, pacer->due++));
}

static uint64_t refreshes_turn(struct flood *f, uint64_t until_ns)
{
	struct refreshes *r = &f->refreshes;
	uint64_t now = f->run.loop.now_ns < until_ns ? f->run.loop.now_ns : until_ns, next_ns = UINT64_MAX;
	uint32_t users = options_pairs(f->run.options) * 2;

	if (f->run.phase > RUN_BACKLOG)
		return UINT64_MAX;
	if (has_registers(f)) {
		make_due(f, &r->registers, LOAD_REGISTER, now);
		while (r->registers_begun < r->registers.due && transactions_have_room(&r->transactions)) {
			uint64_t i = r->registers_begun++;
			begin_register(f, pacer_due_ns(&r->registers, i), (uint32_t)(i % users));
		}
		next_ns = pacer_due_ns(&r->registers, r->registers.due);
	}
	if (has_reinvites(f)) {
		make_due(f, &r->reinvites, LOAD_REINVITE, now);
		while (r->reinvites_begun < r->reinvites.due &&
		       begin_reinvite(f, pacer_due_ns(&r->reinvites, r->reinvites_begun)))
			r->reinvites_begun++;
		uint64_t due_ns = pacer_due_ns(&r->reinvites, r->reinvites.due);
		next_ns = due_ns < next_ns ? due_ns : next_ns;
	}
	return next_ns;
}

static void refreshes_tick(struct flood *f)
{
	transactions_tick(&f->refreshes.transactions);
}

static bool refreshes_has_backlog(const struct flood *f)
{
	const struct refreshes *r = &f->refreshes;

	return (has_registers(f) && r->registers_begun < r->registers.due) ||
	       (has_reinvites(f) && r->reinvites_begun < r->reinvites.due);
}

/* It keeps nothing alive: sessions and users are there for the other loads. */
static bool refreshes_is_dead(const struct flood *f)
{
	return true;
}

static void refreshes_count_missing(struct flood *f)
{
	const struct refreshes *r = &f->refreshes;

	for (uint32_t i = 0; i < r->transactions.under_way; i++)
		report_error(f->run.report, FLOOD_UNCONFIRMED, "REGISTER");
	for (uint32_t i = 0; i < r->reinvites_under_way; i++)
		report_error(f->run.report, FLOOD_UNCONFIRMED, "re-INVITE");
	f->run.report->errors[FLOOD_UNSENT] += r->registers.due - r->registers_begun + r->reinvites.due - r->reinvites_begun;
}

const struct flood_part refreshes_part = { refreshes_open, refreshes_close,       refreshes_begin,   refreshes_turn,
					   refreshes_tick, refreshes_has_backlog, refreshes_is_dead, refreshes_count_missing };
