#include "load-tests/session_flood.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "load-tests/session_private.h"

#define SECOND_NS    1000000000u
#define SETUP_WINDOW 64u /* sessions being set up or released at a time        */
#define RELEASE_NS   (10ull * SECOND_NS)
#define TURN_NS      (50u * 1000000) /* the longest sleep: set-up timers and progress wait for it */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = 1;
}

/* ---- phases ---- */

static uint64_t seconds_ns(double seconds)
{
	return (uint64_t)(seconds * SECOND_NS);
}

static double own_cpu_s(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void progress_line(struct flood *f, const char *phase)
{
	uint64_t now = f->loop.now_ns;

	if (now - f->progress_ns < SECOND_NS)
		return;
	double s = (double)(now - f->progress_ns) / SECOND_NS;
	if (!f->options->quiet)
		fprintf(stderr,
			"%-8s up %u  %.0f msg/s  under way %llu  p50 %.0f us  p99 %.0f us  max "
			"%.0f us  errors %llu\n",
			phase, f->up, (double)(f->arrived_ever - f->progress_arrived) / s,
			(unsigned long long)f->in_flight,
			(double)histogram_quantile(&f->progress, 0.5) / 1e3,
			(double)histogram_quantile(&f->progress, 0.99) / 1e3,
			(double)f->progress.max / 1e3,
			(unsigned long long)report_errors(f->report));
	f->progress_ns = now;
	f->progress_arrived = f->arrived_ever;
	histogram_reset(&f->progress);
}

/* Lets the sessions whose messages became due since the last call send. */
static void pace(struct flood *f, uint64_t until_ns)
{
	struct pacer *pacer = &f->pacer;
	uint64_t now = f->loop.now_ns < until_ns ? f->loop.now_ns : until_ns;

	for (uint64_t due_ns; (due_ns = pacer_due_ns(pacer, pacer->due)) <= now; pacer->due++) {
		if (due_ns >= f->measure_start_ns && due_ns < f->measure_end_ns)
			f->report->due++;
		msrp_want_send(&f->pairs[pacer->due % pacer->sessions].a);
	}
}

static void traffic_until(struct flood *f, uint64_t end_ns, const char *phase)
{
	while (f->loop.now_ns < end_ns && !interrupted) {
		uint64_t wake_ns = end_ns;
		deaf_turn(&f->deaf, f->loop.now_ns);
		if (f->options->rate > 0) {
			pace(f, end_ns);
			uint64_t due_ns = pacer_due_ns(&f->pacer, f->pacer.due);
			wake_ns = due_ns < end_ns ? due_ns : end_ns;
		}
		bool again = msrp_flush(&f->network);
		uint64_t now = loop_clock(&f->loop), sleep_ns = wake_ns > now ? wake_ns - now : 0;
		loop_turn(&f->loop, again ? 0 : sleep_ns < TURN_NS ? sleep_ns : TURN_NS);
		setup_tick(&f->setup);
		progress_line(f, phase);
	}
}

/* How many may have been begun by now. */
static uint32_t may_be_begun(const struct flood *f, uint64_t start_ns)
{
	double due = f->options->setup_rate * (double)(f->loop.now_ns - start_ns) / SECOND_NS + 1;

	return f->options->setup_rate > 0 && due < f->options->sessions ? (uint32_t)due : f->options->sessions;
}

/* `begin` with all pairs in turn, until each has come through or failed. */
static void begin_all(struct flood *f, void (*begin)(struct session_setup *, struct pair *), const char *phase)
{
	uint32_t next = 0, n = f->options->sessions;
	uint64_t start_ns = f->loop.now_ns,
		 end_ns = start_ns + seconds_ns(f->options->setup_timeout_s), tick_ns = 0;

	while ((next < n || f->in_setup) && f->loop.now_ns < end_ns && !interrupted) {
		for (uint32_t most = may_be_begun(f, start_ns); next < most && f->in_setup < SETUP_WINDOW; next++) {
			struct pair *p = &f->pairs[next];
			f->in_setup++; /* before it can fail */
			begin(&f->setup, p);
		}
		uint64_t wait_ns = f->options->setup_rate > 0 ? TURN_NS / 50 : TURN_NS;
		loop_turn(&f->loop, msrp_flush(&f->network) ? 0 : wait_ns);
		if (f->loop.now_ns - tick_ns > TURN_NS) {
			setup_tick(&f->setup);
			tick_ns = f->loop.now_ns;
		}
		progress_line(f, phase);
	}
}

static void set_up(struct flood *f)
{
	uint64_t start_ns = f->loop.now_ns;

	begin_all(f, setup_start, "set-up");
	f->report->setup_s = (double)(f->loop.now_ns - start_ns) / SECOND_NS;
	f->report->sessions_up = f->up;
	for (uint32_t i = f->up; i < f->options->sessions; i++)
		report_error(f->report, FLOOD_SETUP, "no answer in time, or refused");
}

static void read_server(struct flood *f, struct server_figures *figures)
{
	*figures = (struct server_figures){ 0 };
	if (f->options->server_pid && !server_process_read(&f->server, figures))
		report_error(f->report, FLOOD_CLOSED, "the server process is gone");
}

static void count_what_is_missing(struct flood *f)
{
	for (uint32_t i = 0; i < session_ordinary(f); i++) {
		struct pair *p = &f->pairs[i];
		for (uint32_t k = 0; k < f->options->outstanding; k++) {
			if (p->slots[k].is_busy)
				report_error(f->report,
					     p->slots[k].has_arrived ? FLOOD_UNCONFIRMED
								     : FLOOD_LOST,
					     NULL);
		}
		if (f->options->rate > 0 && p->state == PAIR_UP)
			f->report->errors[FLOOD_UNSENT] +=
				pacer_session_due(&f->pacer, i) - p->begun;
	}
}

static bool backlog_left(const struct flood *f)
{
	for (uint32_t i = 0; f->options->rate > 0 && i < session_ordinary(f); i++)
		if (f->pairs[i].state == PAIR_UP &&
		    f->pairs[i].begun < pacer_session_due(&f->pacer, i))
			return true;
	return false;
}

static void idle_turn(struct flood *f, const char *phase)
{
	loop_turn(&f->loop, msrp_flush(&f->network) ? 0 : TURN_NS);
	setup_tick(&f->setup);
	progress_line(f, phase);
}

static void traffic(struct flood *f)
{
	const struct flood_options *o = f->options;
	struct server_figures before, after;

	loop_clock(&f->loop);
	uint64_t start_ns = f->loop.now_ns;
	f->measure_start_ns = start_ns + seconds_ns(o->warmup_s);
	f->measure_end_ns = f->measure_start_ns + seconds_ns(o->duration_s);
	deaf_begin(&f->deaf, f->pairs + session_ordinary(f), o->deaf, f->measure_start_ns, f->measure_end_ns);
	f->phase = PHASE_WARMUP;
	if (o->rate > 0)
		pacer_start(&f->pacer, start_ns, o->rate, session_ordinary(f));
	else
		for (uint32_t i = 0; i < session_ordinary(f); i++)
			msrp_want_send(&f->pairs[i].a);
	traffic_until(f, f->measure_start_ns, "warm-up");

	read_server(f, &before);
	double own_before = own_cpu_s();
	uint64_t began_ns = loop_clock(&f->loop);
	f->phase = PHASE_MEASURE;
	traffic_until(f, f->measure_end_ns, "measure");
	f->phase = PHASE_BACKLOG;
	deaf_turn(&f->deaf, f->measure_end_ns);
	f->report->measured_s = (double)(loop_clock(&f->loop) - began_ns) / SECOND_NS;
	f->report->own_cpu_s = own_cpu_s() - own_before;
	read_server(f, &after);
	f->report->has_server = o->server_pid != 0;
	f->report->server_cpu_s = after.cpu_s - before.cpu_s;
	f->report->server_memory_kib = after.memory_kib;

	for (uint64_t end_ns = f->loop.now_ns + seconds_ns(o->drain_s);
	     f->loop.now_ns < end_ns && !interrupted && backlog_left(f);)
		idle_turn(f, "backlog");
	f->phase = PHASE_DRAIN;
	for (uint64_t end_ns = f->loop.now_ns + seconds_ns(o->drain_s);
	     f->loop.now_ns < end_ns && !interrupted && f->in_flight;)
		idle_turn(f, "drain");
	count_what_is_missing(f);
}

static void idle(struct flood *f)
{
	for (uint64_t end_ns = loop_clock(&f->loop) + seconds_ns(f->options->idle_s);
	     f->loop.now_ns < end_ns && !interrupted;)
		idle_turn(f, "idle");
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
	uint32_t next = 0, n = f->options->sessions, under_way = 0;
	uint64_t end_ns = loop_clock(&f->loop) + RELEASE_NS;

	f->phase = PHASE_RELEASE;
	while ((next < n || under_way) && f->loop.now_ns < end_ns) {
		for (; next < n && under_way < SETUP_WINDOW; next++) {
			setup_release(&f->setup,
				      &f->pairs[next]); /* also of one that did not come up */
			under_way += f->pairs[next].state == PAIR_RELEASE;
		}
		if (!under_way)
			continue;
		loop_turn(&f->loop, msrp_flush(&f->network) ? 0 : TURN_NS);
		setup_tick(&f->setup);
		under_way = releasing(f, next);
	}
	for (uint32_t i = releasing(f, n); i > 0; i--)
		report_error(f->report, FLOOD_SIP_TIMEOUT, "BYE");
}

/* ---- the run ---- */

static double per_session(const struct flood *f, const struct server_figures *before,
			  const struct server_figures *after)
{
	double octets = ((double)after->memory_kib - (double)before->memory_kib) * 1024;

	return f->up ? octets / f->up : 0;
}

static int open_flood(struct flood *f)
{
	const struct flood_options *o = f->options;
	int err = loop_open(&f->loop);

	if (err)
		return err;
	f->prng = prng_seeded();
	f->chunks = o->chunk ? (o->size + o->chunk - 1) / o->chunk : 1;
	err = msrp_network_open(&f->network, &f->loop, &f->prng, &session_msrp_handlers, o->sessions);
	if (err)
		return err;
	f->pairs = calloc(o->sessions, sizeof(*f->pairs));
	f->slots = calloc((size_t)o->sessions * o->outstanding, sizeof(*f->slots));
	if (!f->pairs || !f->slots)
		return ENOMEM;
	for (uint32_t i = 0; i < o->sessions; i++) {
		f->pairs[i].index = i;
		f->pairs[i].slots = f->slots + (size_t)i * o->outstanding;
	}
	f->setup = (struct session_setup){ .options = o,
					   .report = f->report,
					   .loop = &f->loop,
					   .network = &f->network,
					   .prng = &f->prng,
					   .pairs = f->pairs,
					   .on_failed = session_on_setup_failed,
					   .on_registered = session_on_registered,
					   .on_answered = session_on_setup_progress };
	err = setup_open(&f->setup);
	if (!err && o->server_pid && !server_process_find(&f->server, o->server_pid))
		err = ESRCH;
	return err;
}

static void close_flood(struct flood *f)
{
	setup_close(&f->setup);
	if (f->network.loop)
		msrp_network_close(&f->network);
	if (f->loop.epoll_fd > 0)
		loop_close(&f->loop);
	free(f->pairs);
	free(f->slots);
	free(f);
}

int session_flood_run(const struct flood_options *options, struct flood_report *report)
{
	struct flood *f = calloc(1, sizeof(*f));
	struct server_figures before, after;

	if (!f)
		return ENOMEM;
	f->options = options;
	f->report = report;
	int err = open_flood(f);
	if (!err) {
		struct sigaction action = { .sa_handler = on_interrupt,
					    .sa_flags = (int)SA_RESETHAND };
		(void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
		(void)sigaction(SIGTERM, &action, NULL);
		f->progress_ns = f->loop.now_ns;
		if (options->idle_s > 0)
			begin_all(f, setup_register, "register");
		read_server(f, &before);
		set_up(f);
		read_server(f, &after);
		report->memory_per_session = per_session(f, &before, &after);
		if (f->up && !interrupted)
			traffic(f);
		if (f->up && options->idle_s > 0) {
			idle(f);
			read_server(f, &after);
			report->idle_memory_per_session = per_session(f, &before, &after);
		}
		release(f);
	}
	close_flood(f);
	return err;
}
