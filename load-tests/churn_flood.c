#include "load-tests/churn_flood.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "load-tests/server_process.h"
#include "load-tests/session_setup.h"

#define SECOND_NS 1000000000u
#define TURN_NS   (50u * 1000000) /* the longest sleep: set-up timers and progress wait for it */
#define END_NS    (25ull * SECOND_NS) /* how long what is under way at the end may take        */

/* What a pair does; its slot tells how far the message is. */
struct round {
	uint64_t began_ns; /* the INVITE of the first round goes out after two REGISTERs */
	bool is_registered, has_arrived, is_confirmed;
};

struct churn {
	const struct flood_options *options;
	struct flood_report *report;
	struct event_loop loop;
	struct prng prng;
	struct msrp_network network;
	struct session_setup setup;
	struct pair *pairs;
	struct round *rounds;
	uint32_t under_way;
	bool is_measured, is_ending;
	struct server_process server;
	uint64_t tick_ns, progress_ns, progress_rounds, rounds_ever;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = 1;
}

static struct churn *churn_of(struct msrp_network *n)
{
	return (struct churn *)((char *)n - offsetof(struct churn, network));
}

static struct churn *churn_of_setup(struct session_setup *s)
{
	return (struct churn *)((char *)s - offsetof(struct churn, setup));
}

/* ---- one round: called from SIP and from the endpoints ---- */

static void begin_round(struct churn *f, struct pair *p)
{
	struct round *r = &f->rounds[p->index];

	*p = (struct pair){ .index = p->index };
	*r = (struct round){ .began_ns = loop_clock(&f->loop), .is_registered = r->is_registered };
	f->under_way++;
	setup_start(&f->setup, p);
}

static void end_round(struct churn *f, struct pair *p)
{
	p->state = PAIR_OVER;
	msrp_disconnect(&p->a);
	msrp_disconnect(&p->b);
	f->under_way--;
	if (!f->is_ending && !interrupted)
		begin_round(f, p);
}

static void hang_up_if_done(struct churn *f, struct pair *p)
{
	struct round *r = &f->rounds[p->index];

	if (p->state != PAIR_UP || !r->has_arrived || !r->is_confirmed)
		return;
	setup_release(&f->setup, p);
	if (p->state == PAIR_OVER)
		end_round(f, p);
}

static void up_if_bound(struct churn *f, struct pair *p)
{
	bool a = p->a_waits ? p->a_empty : p->a_bound, b = p->b_waits ? p->b_empty : p->b_bound;
	struct round *r = &f->rounds[p->index];

	if (p->state != PAIR_SETUP || !a || !b)
		return;
	p->state = PAIR_UP;
	if (f->is_measured && r->is_registered)
		histogram_record(&f->report->arrival, loop_clock(&f->loop) - r->began_ns);
	msrp_want_send(&p->a);
}

static bool next_chunk(struct msrp_endpoint *e, struct msrp_outgoing *out)
{
	struct churn *f = churn_of(e->network);
	struct pair *p = e->user;

	if (e->role != 'a' || p->state != PAIR_UP || p->begun)
		return false;
	p->begun = 1;
	*out = (struct msrp_outgoing){ .octets = f->options->size, .total = f->options->size };
	return true;
}

static void on_chunk(struct msrp_endpoint *e, const struct msrp_incoming *chunk)
{
	struct churn *f = churn_of(e->network);
	struct pair *p = e->user;
	struct round *r = &f->rounds[p->index];

	if (e->role != 'b' || r->has_arrived)
		report_error(f->report, FLOOD_DUPLICATE, "of the one message of a session");
	else if (chunk->offset || chunk->octets != f->options->size || chunk->flag != '$')
		report_error(f->report, FLOOD_ORDER, "not the whole message");
	r->has_arrived = true;
	hang_up_if_done(f, p);
}

static void on_response(struct msrp_endpoint *e, uint32_t sequence, uint32_t chunk, unsigned status)
{
	struct churn *f = churn_of(e->network);
	struct pair *p = e->user;
	char text[32];

	snprintf(text, sizeof(text), "SEND: %u", status);
	if (status != 200)
		report_error(f->report, FLOOD_STATUS, text);
	f->rounds[p->index].is_confirmed = true;
	hang_up_if_done(f, p);
}

static void on_bound(struct msrp_endpoint *e, unsigned status)
{
	struct churn *f = churn_of(e->network);
	struct pair *p = e->user;
	char text[48];

	snprintf(text, sizeof(text), "empty SEND of %c: %u", e->role, status);
	if (status != 200)
		report_error(f->report, FLOOD_STATUS, text);
	*(e->role == 'a' ? &p->a_bound : &p->b_bound) = true;
	up_if_bound(f, p);
}

static void on_empty(struct msrp_endpoint *e)
{
	struct pair *p = e->user;

	*(e->role == 'a' ? &p->a_empty : &p->b_empty) = true;
	up_if_bound(churn_of(e->network), p);
}

static void on_answered(struct session_setup *s, struct pair *p)
{
	up_if_bound(churn_of_setup(s), p);
}

/* The error is reported; the call is over. */
static void on_failed(struct session_setup *s, struct pair *p)
{
	struct churn *f = churn_of_setup(s);

	if (p->state != PAIR_SETUP)
		return;
	p->state = PAIR_OVER;
	f->under_way--; /* this pair begins no other: a server that refuses is not hammered */
	report_error(f->report, FLOOD_SETUP, "no answer in time, or refused");
}

static void on_over(struct session_setup *s, struct pair *p)
{
	struct churn *f = churn_of_setup(s);

	f->rounds_ever++;
	if (f->is_measured)
		f->report->arrived++;
	f->rounds[p->index].is_registered = true;
	end_round(f, p);
}

static void on_error(struct msrp_network *n, struct msrp_endpoint *e, enum flood_error error, const char *what)
{
	struct churn *f = churn_of(n);
	struct pair *p = e ? e->user : NULL;

	/* After its BYE a server closes connections as it likes. */
	if (error == FLOOD_CLOSED && p && p->state != PAIR_SETUP && p->state != PAIR_UP)
		return;
	report_error(f->report, error, what);
	if (p && error == FLOOD_CLOSED)
		on_failed(&f->setup, p);
}

static const struct msrp_handlers handlers = { next_chunk, on_chunk, on_response, on_bound, on_empty, on_error };

/* ---- the run ---- */

static void progress_line(struct churn *f, const char *phase)
{
	uint64_t now = f->loop.now_ns;

	if (now - f->progress_ns < SECOND_NS)
		return;
	if (!f->options->quiet)
		fprintf(stderr, "%-8s %.0f sessions/s  under way %u  errors %llu\n", phase,
			(double)(f->rounds_ever - f->progress_rounds) * SECOND_NS / (double)(now - f->progress_ns),
			f->under_way, (unsigned long long)report_errors(f->report));
	f->progress_ns = now;
	f->progress_rounds = f->rounds_ever;
}

static void run_until(struct churn *f, uint64_t end_ns, const char *phase)
{
	while (f->loop.now_ns < end_ns && !interrupted && f->under_way) {
		loop_turn(&f->loop, msrp_flush(&f->network) ? 0 : TURN_NS);
		if (f->loop.now_ns - f->tick_ns > TURN_NS) {
			setup_tick(&f->setup);
			f->tick_ns = f->loop.now_ns;
		}
		progress_line(f, phase);
	}
}

static void read_server(struct churn *f, struct server_figures *figures)
{
	*figures = (struct server_figures){ 0 };
	if (f->options->server_pid && !server_process_read(&f->server, figures))
		report_error(f->report, FLOOD_CLOSED, "the server process is gone");
}

static double own_cpu_s(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void churn(struct churn *f)
{
	const struct flood_options *o = f->options;
	struct server_figures before, after;
	uint64_t begin_ns = loop_clock(&f->loop);

	for (uint32_t i = 0; i < o->sessions; i++)
		begin_round(f, &f->pairs[i]);
	run_until(f, begin_ns + (uint64_t)(o->warmup_s * SECOND_NS), "warm-up");
	read_server(f, &before);
	double own_before = own_cpu_s();
	uint64_t measure_ns = loop_clock(&f->loop);
	f->is_measured = true;
	run_until(f, measure_ns + (uint64_t)(o->duration_s * SECOND_NS), "measure");
	f->is_measured = false;
	f->report->measured_s = (double)(loop_clock(&f->loop) - measure_ns) / SECOND_NS;
	f->report->own_cpu_s = own_cpu_s() - own_before;
	read_server(f, &after);
	f->report->has_server = o->server_pid != 0;
	f->report->server_cpu_s = after.cpu_s - before.cpu_s;
	f->report->server_memory_kib = after.memory_kib;
	f->is_ending = true;
	f->report->sessions_up = f->under_way;
	run_until(f, f->loop.now_ns + END_NS, "end");
	for (uint32_t i = 0; i < f->under_way; i++)
		report_error(f->report, FLOOD_LOST, "sessions that did not end");
}

static int open_churn(struct churn *f)
{
	const struct flood_options *o = f->options;
	int err = loop_open(&f->loop);

	if (err)
		return err;
	f->prng = prng_seeded();
	err = msrp_network_open(&f->network, &f->loop, &f->prng, &handlers, o->sessions);
	if (err)
		return err;
	f->pairs = calloc(o->sessions, sizeof(*f->pairs));
	f->rounds = calloc(o->sessions, sizeof(*f->rounds));
	if (!f->pairs || !f->rounds)
		return ENOMEM;
	for (uint32_t i = 0; i < o->sessions; i++)
		f->pairs[i].index = i;
	f->setup = (struct session_setup){ .options = o, .report = f->report, .loop = &f->loop,
		.network = &f->network, .prng = &f->prng, .pairs = f->pairs, .on_failed = on_failed,
		.on_answered = on_answered, .on_over = on_over };
	err = setup_open(&f->setup);
	if (!err && o->server_pid && !server_process_find(&f->server, o->server_pid))
		err = ESRCH;
	return err;
}

int churn_flood_run(const struct flood_options *options, struct flood_report *report)
{
	struct churn *f = calloc(1, sizeof(*f));

	if (!f)
		return ENOMEM;
	f->options = options;
	f->report = report;
	int err = open_churn(f);
	if (!err) {
		struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };
		(void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
		(void)sigaction(SIGTERM, &action, NULL);
		churn(f);
	}
	setup_close(&f->setup);
	if (f->network.loop)
		msrp_network_close(&f->network);
	if (f->loop.epoll_fd > 0)
		loop_close(&f->loop);
	free(f->pairs);
	free(f->rounds);
	free(f);
	return err;
}
