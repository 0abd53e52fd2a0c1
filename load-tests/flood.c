#include "load-tests/flood.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SETUP_WINDOW 64u /* sessions being set up or released at a time        */
#define RELEASE_NS   (10ull * SECOND_NS)
#define INTERRUPTED_NS (2ull * SECOND_NS)
#define UNREGISTER_SILENCE_NS (5ull * SECOND_NS) /* no answer for so long: none will come */
#define TICK_NS      (10u * 1000000)

static const struct flood_part *const parts[] = { &session_traffic_part, &churn_part, &pager_part, &refreshes_part,
						   &deferred_part, &room_traffic_part };
#define PARTS_N (sizeof(parts) / sizeof(parts[0]))

/* ---- what comes from the endpoints ---- */

static bool next_chunk(struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct flood *f = flood_of(e->network);

	if (f->rooms.up)
		return room_next_chunk(f, e, out);
	return is_standing(f, e->user) ? session_next_chunk(f, e, out) : churn_next_chunk(f, e, out);
}

static void on_chunk(struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	struct flood *f = flood_of(e->network);

	if (f->rooms.up)
		room_on_chunk(f, e, chunk);
	else if (is_standing(f, e->user))
		session_on_chunk(f, e, chunk);
	else
		churn_on_chunk(f, e, chunk);
}

static void on_response(struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk, unsigned status)
{
	struct flood *f = flood_of(e->network);

	if (f->rooms.up)
		room_on_response(f, e, sequence, status);
	else if (is_standing(f, e->user))
		session_on_response(f, e, sequence, chunk, status);
	else
		churn_on_response(f, e, status);
}

/* Who would have called the others did not get through. */
static void room_failed(struct flood *f, struct pair *caller)
{
	uint32_t members = f->run.options->members, first = caller->index / members * members;

	for (uint32_t i = first; i < first + members && !f->run.options->group; i++)
		if (f->pairs[i].state == PAIR_SETUP) {
			f->pairs[i].state = PAIR_OVER;
			f->in_setup--;
		}
}

static void setup_failed(struct flood *f, struct pair *p)
{
	if (f->run.options->is_push)
		return; /* who was called is hung up on, and what he did not get is told in the end */
	if (!is_standing(f, p)) {
		churn_on_failed(f, p);
	} else if (p->state == PAIR_SETUP) {
		p->state = PAIR_OVER;
		f->in_setup--;
		if (f->run.options->workload == WORKLOAD_CONFERENCE && options_role(f->run.options, p->index) == 'a')
			room_failed(f, p);
	}
}

static void up_if_bound(struct flood *f, struct pair *p)
{
	bool a = p->a_waits ? p->a_empty : p->a_bound, b = p->b_waits ? p->b_empty : p->b_bound;

	if (p->state != PAIR_SETUP || !a || !b)
		return;
	p->state = PAIR_UP;
	if (f->run.options->is_push)
		return;
	if (!is_standing(f, p)) {
		churn_on_up(f, p);
		return;
	}
	f->in_setup--;
	f->run.up++;
}

static void on_bound(struct msrp_endpoint *e, unsigned status)
{
	struct flood *f = flood_of(e->network);
	struct pair *p = e->user;
	bool *bound = e->role == 'a' ? &p->a_bound : &p->b_bound;

	if (status != 200) {
		char text[48];
		snprintf(text, sizeof(text), "empty SEND of %c: %u", e->role, status);
		report_error(f->run.report, FLOOD_STATUS, text);
		setup_failed(f, p);
		return;
	}
	if (*bound) {
		report_error(f->run.report, FLOOD_DUPLICATE, "answer to the empty SEND");
		return;
	}
	*bound = true;
	up_if_bound(f, p);
}

static void on_empty(struct msrp_endpoint *e)
{
	struct pair *p = e->user;

	*(e->role == 'a' ? &p->a_empty : &p->b_empty) = true;
	up_if_bound(flood_of(e->network), p);
}

static void on_content(struct msrp_endpoint *e, struct slice type, struct slice content)
{
	deferred_push_on_content(flood_of(e->network), e, type, content);
}

/* After its BYE a server closes connections as it likes. */
static bool may_close(const struct flood *f, const struct pair *p)
{
	if (p && f->run.options->is_push && deferred_push_may_close(p))
		return true;
	return f->run.phase >= RUN_RELEASE || (p && (p->state == PAIR_RELEASE || p->state == PAIR_OVER));
}

static void on_error(struct msrp_network *n, struct msrp_endpoint *e, enum flood_error error, const char *what)
{
	struct flood *f = flood_of(n);
	struct pair *p = e ? e->user : NULL;

	if (error == FLOOD_CLOSED && may_close(f, p))
		return;
	report_error(f->run.report, error, what);
	if (!p || (error != FLOOD_CLOSED && error != FLOOD_SYNTAX))
		return;
	if (is_standing(f, p))
		session_on_broken(f, p);
	setup_failed(f, p);
}

static const struct msrp_handlers msrp_handlers = { next_chunk, on_chunk, on_response, on_bound, on_empty, on_content, on_error };

/* ---- what comes from the calls ---- */

static void on_registered(struct session_setup *s, struct pair *p)
{
	flood_of_setup(s)->in_setup--;
}

/* While all users are registered a pair fails that is not in set-up for its part. */
static void on_setup_failed(struct session_setup *s, struct pair *p)
{
	struct flood *f = flood_of_setup(s);

	if (f->run.phase == RUN_REGISTER && p->state == PAIR_SETUP) {
		p->state = PAIR_OVER;
		f->in_setup--;
		return;
	}
	setup_failed(f, p);
}

/* The SDP answer says who connects; the server may have done so before. */
static void on_answered(struct session_setup *s, struct pair *p)
{
	up_if_bound(flood_of_setup(s), p);
}

static void on_over(struct session_setup *s, struct pair *p)
{
	struct flood *f = flood_of_setup(s);

	if (f->run.options->is_push) {
		deferred_push_on_over(f, p);
		return;
	}
	if (!is_standing(f, p)) {
		churn_on_over(f, p);
		return;
	}
	refreshes_on_reinvited(f, p, 0, NULL);
	if (f->run.phase < RUN_RELEASE && !p->is_broken) {
		p->is_broken = true;
		f->messages.broken++;
	}
}

static void on_refreshed(struct session_setup *s, struct pair *p, unsigned status, const struct sip_text *m)
{
	refreshes_on_reinvited(flood_of_setup(s), p, status, m);
}

static void on_sip_request(struct session_setup *s, struct sip_flow *flow, const struct sip_text *m)
{
	struct flood *f = flood_of_setup(s);

	if (f->run.options->workload == WORKLOAD_DEFERRED)
		deferred_on_request(f, flow, m);
	else
		pager_on_request(f, flow, m);
}

static void on_sip_response(struct session_setup *s, char kind, uint32_t number, const struct sip_text *m)
{
	struct flood *f = flood_of_setup(s);
	bool is_deferred = f->run.options->workload == WORKLOAD_DEFERRED;

	if (kind == KIND_MESSAGE)
		(is_deferred ? deferred_on_response : pager_on_response)(f, number, m);
	else
		(is_deferred ? deferred_on_register_response : refreshes_on_register_response)(f, number, m);
}

/* ---- phases ---- */

static void tick(struct flood *f)
{
	if (f->run.loop.now_ns - f->tick_ns > TICK_NS) {
		f->tick_ns = f->run.loop.now_ns;
		setup_tick(&f->setup);
		for (size_t i = 0; i < PARTS_N; i++)
			parts[i]->tick(f);
	}
	run_progress(&f->run);
}

static void turn(struct flood *f, uint64_t sleep_ns)
{
	loop_turn(&f->run.loop, msrp_flush(&f->network) ? 0 : sleep_ns < TURN_NS ? sleep_ns : TURN_NS);
	tick(f);
}

/* Set up or released at a time: who is called waits for the one who calls. */
static uint32_t window(const struct flood *f)
{
	return SETUP_WINDOW + f->run.options->members;
}

/* How many may have been begun by now. */
static uint32_t may_be_begun(const struct flood *f, uint64_t start_ns, uint32_t n)
{
	double due = f->run.options->setup_rate * (double)(f->run.loop.now_ns - start_ns) / SECOND_NS + 1;

	return f->run.options->setup_rate > 0 && due < n ? (uint32_t)due : n;
}

/* `begin` with the first n pairs in turn, until each has come through or failed. */
static void begin_all(struct flood *f, void (*begin)(struct session_setup *, struct pair *), uint32_t n)
{
	uint32_t next = 0;
	uint64_t start_ns = loop_clock(&f->run.loop), end_ns = start_ns + seconds_ns(f->run.options->setup_timeout_s);

	while ((next < n || f->in_setup) && f->run.loop.now_ns < end_ns && !run_interrupted()) {
		for (uint32_t most = may_be_begun(f, start_ns, n); next < most && f->in_setup < window(f); next++) {
			struct pair *p = &f->pairs[next];
			f->in_setup++; /* before it can fail */
			begin(&f->setup, p);
		}
		turn(f, f->run.options->setup_rate > 0 ? TURN_NS / 50 : TURN_NS);
	}
}

/* Users of pairs without a session of their own, and all users where memory is told of sessions alone.  False: there
 * is nobody to load the server with. */
static bool register_users(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	f->run.phase = RUN_REGISTER;
	if (o->pairs || o->idle_s > 0 || o->workload == WORKLOAD_CONFERENCE)
		begin_all(f, setup_register, options_pairs(o));
	if (!o->pairs)
		return true;
	uint32_t failed = 0;
	for (uint32_t i = 0; i < options_pairs(o); i++) {
		failed += f->pairs[i].state != PAIR_IDLE;
		if (f->pairs[i].state == PAIR_SETUP) /* of one that is over the reason was reported */
			report_error(f->run.report, FLOOD_SETUP, "users who got no answer to REGISTER in time");
	}
	return failed < options_pairs(o);
}

static void set_up(struct flood *f)
{
	uint64_t start_ns = loop_clock(&f->run.loop);

	f->run.phase = RUN_SETUP;
	begin_all(f, setup_start, f->run.options->sessions);
	f->run.report->setup_s = (double)(f->run.loop.now_ns - start_ns) / SECOND_NS;
	f->run.report->sessions_up = f->run.up;
	for (uint32_t i = 0; i < f->run.options->sessions; i++)
		if (f->pairs[i].state == PAIR_SETUP || f->pairs[i].state == PAIR_IDLE) /* as above */
			report_error(f->run.report, FLOOD_SETUP, "no answer in time");
}

/* Messages in sessions need no SIP; everything else does. */
static bool all_dead(const struct flood *f)
{
	if (setup_is_cut_off(&f->setup))
		return session_traffic_part.is_dead(f);
	for (size_t i = 0; i < PARTS_N; i++)
		if (!parts[i]->is_dead(f))
			return false;
	return true;
}

static bool any_backlog(const struct flood *f)
{
	for (size_t i = 0; i < PARTS_N; i++)
		if (parts[i]->has_backlog(f))
			return true;
	return false;
}

static bool may_still_come(const struct flood *f)
{
	uint64_t in_sessions = session_traffic_part.is_dead(f) ? 0 : f->messages.in_flight;

	return in_sessions || (f->run.under_way > f->messages.in_flight && !setup_is_cut_off(&f->setup));
}

static void loads_turn(struct flood *f, uint64_t end_ns)
{
	uint64_t wake_ns = end_ns;

	for (size_t i = 0; i < PARTS_N; i++) {
		uint64_t next_ns = parts[i]->turn(f, end_ns);
		wake_ns = next_ns < wake_ns ? next_ns : wake_ns;
	}
	bool again = msrp_flush(&f->network);
	uint64_t now = loop_clock(&f->run.loop);
	turn(f, again || wake_ns <= now ? 0 : wake_ns - now);
}

static void loads_until(struct flood *f, uint64_t end_ns)
{
	while (f->run.loop.now_ns < end_ns && !run_interrupted() && !all_dead(f))
		loads_turn(f, end_ns);
}

/* Begins the last of what was due, BEGIN_MAX at a time; a run may have ended before its time. */
static void last_turns(struct flood *f)
{
	uint64_t end_ns = f->run.loop.now_ns < f->run.measure_end_ns ? f->run.loop.now_ns : f->run.measure_end_ns;

	for (size_t i = 0; i < PARTS_N; i++)
		while (parts[i]->turn(f, end_ns) < end_ns)
			;
}

/* An interrupt leaves what is under way a moment to come: it is not lost for that somebody is impatient. */
static bool is_time_up(const struct flood *f, uint64_t *end_ns)
{
	uint64_t now = f->run.loop.now_ns;

	if (run_interrupted() && *end_ns > now + INTERRUPTED_NS)
		*end_ns = now + INTERRUPTED_NS;
	return now >= *end_ns;
}

static void traffic(struct flood *f)
{
	const struct flood_options *o = f->run.options;

	f->run.measure_start_ns = loop_clock(&f->run.loop) + seconds_ns(o->warmup_s);
	f->run.measure_end_ns = f->run.measure_start_ns + seconds_ns(o->duration_s);
	f->run.phase = RUN_WARMUP;
	for (size_t i = 0; i < PARTS_N; i++)
		parts[i]->begin(f);
	loads_until(f, f->run.measure_start_ns);

	run_measure_begin(&f->run);
	loads_until(f, f->run.measure_end_ns);
	last_turns(f);
	run_measure_end(&f->run);
	deaf_turn(&f->messages.deaf, f->run.measure_end_ns);

	for (uint64_t end_ns = f->run.loop.now_ns + seconds_ns(o->drain_s);
	     !is_time_up(f, &end_ns) && any_backlog(f) && !all_dead(f);)
		loads_turn(f, f->run.loop.now_ns + TURN_NS);
	f->run.phase = RUN_DRAIN;
	for (uint64_t end_ns = f->run.loop.now_ns + seconds_ns(o->drain_s);
	     !is_time_up(f, &end_ns) && may_still_come(f);)
		turn(f, TURN_NS);
	for (size_t i = 0; i < PARTS_N; i++)
		parts[i]->count_missing(f);
}

static void idle(struct flood *f)
{
	f->run.phase = RUN_IDLE;
	for (uint64_t end_ns = loop_clock(&f->run.loop) + seconds_ns(f->run.options->idle_s);
	     f->run.loop.now_ns < end_ns && !run_interrupted();)
		turn(f, TURN_NS);
}

static uint32_t releasing(const struct flood *f, uint32_t until)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < until; i++)
		n += f->pairs[i].state == PAIR_RELEASE;
	return n;
}

static void release(struct flood *f)
{
	uint32_t next = 0, n = f->run.options->sessions, under_way = 0;
	uint64_t end_ns = loop_clock(&f->run.loop) + RELEASE_NS;

	f->run.phase = RUN_RELEASE;
	while ((next < n || under_way) && f->run.loop.now_ns < end_ns && !f->run.server_is_gone) {
		for (; next < n && under_way < window(f); next++) {
			setup_release(&f->setup, &f->pairs[next]); /* also of one that did not come up */
			under_way += f->pairs[next].state == PAIR_RELEASE;
		}
		if (!under_way)
			continue;
		turn(f, TURN_NS);
		under_way = releasing(f, next);
	}
	for (uint32_t i = releasing(f, n); i > 0; i--)
		report_error(f->run.report, FLOOD_SIP_TIMEOUT, "BYE");
}

/* Who is impatient gets what can be done in UNREGISTER_SILENCE_NS. */
static void unregister_users(struct flood *f)
{
	uint32_t next = 0, n = options_pairs(f->run.options), waiting = 0;
	uint64_t end_ns = loop_clock(&f->run.loop) + UNREGISTER_SILENCE_NS;

	if (f->run.server_is_gone)
		return; /* and its registrations with it */
	f->run.phase = RUN_UNREGISTER;
	while ((next < n || waiting) && f->run.loop.now_ns < end_ns) {
		for (; next < n && setup_unregistering(&f->setup) < SETUP_WINDOW; next++)
			setup_unregister(&f->setup, &f->pairs[next]);
		waiting = setup_unregistering(&f->setup);
		turn(f, waiting ? TURN_NS : 0);
		if (setup_unregistering(&f->setup) < waiting && !run_interrupted())
			end_ns = f->run.loop.now_ns + UNREGISTER_SILENCE_NS;
	}
	f->run.report->registrations_left = setup_registrations_left(&f->setup) + (n - next) * 2;
}

/* ---- the run ---- */

static double per_session(const struct flood *f, const struct server_figures *before, const struct server_figures *after)
{
	double octets = ((double)after->memory_kib - (double)before->memory_kib) * 1024;

	return f->run.up && !f->run.server_is_gone ? octets / f->run.up : 0;
}

static int open_flood(struct flood *f, const struct flood_options *o, struct flood_report *report)
{
	int err = run_open(&f->run, o, report);

	if (err)
		return err;
	err = msrp_network_open(&f->network, &f->run.loop, &f->run.prng, &msrp_handlers, options_pairs(o));
	if (err)
		return err;
	f->network.has_rooms = o->workload == WORKLOAD_CONFERENCE;
	f->network.collects = o->is_push;
	f->network.wants_no_answers = o->wants_no_answers;
	f->pairs = calloc(options_pairs(o), sizeof(*f->pairs));
	if (!f->pairs)
		return ENOMEM;
	for (uint32_t i = 0; i < options_pairs(o); i++)
		f->pairs[i].index = i;
	for (size_t i = 0; i < PARTS_N && !err; i++)
		err = parts[i]->open(f);
	if (err)
		return err;
	f->setup = (struct session_setup){ .options = o,
					   .report = report,
					   .loop = &f->run.loop,
					   .network = &f->network,
					   .prng = &f->run.prng,
					   .pairs = f->pairs,
					   .on_failed = on_setup_failed,
					   .on_registered = on_registered,
					   .on_answered = on_answered,
					   .on_over = on_over,
					   .on_refreshed = on_refreshed,
					   .on_sip_request = on_sip_request,
					   .on_sip_response = on_sip_response };
	return setup_open(&f->setup);
}

static void close_flood(struct flood *f)
{
	setup_close(&f->setup);
	if (f->network.loop)
		msrp_network_close(&f->network);
	for (size_t i = 0; i < PARTS_N; i++)
		parts[i]->close(f);
	run_close(&f->run);
	free(f->pairs);
	free(f);
}

static void run(struct flood *f)
{
	const struct flood_options *o = f->run.options;
	struct flood_report *report = f->run.report;
	struct server_figures before, after;

	bool any = register_users(f);
	run_read_server(&f->run, &before);
	if (any)
		set_up(f);
	run_read_server(&f->run, &after);
	report->memory_per_session = per_session(f, &before, &after);
	if (any && (f->run.up || !o->sessions) && !run_interrupted())
		traffic(f);
	if (any)
		deferred_storm(f, turn);
	if (f->run.up && o->idle_s > 0) {
		idle(f);
		run_read_server(&f->run, &after);
		report->idle_memory_per_session = per_session(f, &before, &after);
	}
	release(f);
	unregister_users(f);
	report->is_unanswered = !setup_is_heard(&f->setup);
	report->own_drops = setup_drops(&f->setup);
}

int flood(const struct flood_options *options, struct flood_report *report)
{
	struct flood *f = calloc(1, sizeof(*f));

	if (!f)
		return ENOMEM;
	int err = open_flood(f, options, report);
	if (!err)
		run(f);
	close_flood(f);
	return err;
}
