#include "load-tests/flood_run.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const char *const phase_names[] = {
#define X(NAME, text) text,
	RUN_PHASES(X)
#undef X
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	interrupted = 1;
}

bool run_interrupted(void)
{
	return interrupted;
}

/* ---- what it costs ---- */

static double own_cpu_s(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

/* The second number of /proc/self/schedstat; 0 where the kernel does not count it. */
static double own_wait_s(void)
{
	unsigned long long ran, waited = 0;
	FILE *f = fopen("/proc/self/schedstat", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return (double)waited / 1e9;
}

void run_read_server(struct flood_run *r, struct server_figures *figures)
{
	*figures = (struct server_figures){ 0 };
	if (!r->options->server_pid || r->server_is_gone || server_process_read(&r->server, figures))
		return;
	r->server_is_gone = true;
	report_error(r->report, FLOOD_CLOSED, "the server process is gone");
}

static struct run_marks marks_now(struct flood_run *r)
{
	struct run_marks m = { .ns = loop_clock(&r->loop), .own_cpu_s = own_cpu_s(), .own_wait_s = own_wait_s() };

	run_read_server(r, &m.server);
	return m;
}

/* ---- what is measured ---- */

#define FRACTION_NS (SECOND_NS / 10) /* the least that a line of its own tells, where a phase ends in a second */

static void run_progress_at(struct flood_run *r, uint64_t least_ns);

bool run_is_measured(const struct flood_run *r, uint64_t due_ns)
{
	return due_ns >= r->measure_start_ns && due_ns < r->measure_end_ns;
}

void run_measure_begin(struct flood_run *r)
{
	run_progress_at(r, FRACTION_NS);
	histogram_reset(&r->times); /* of the fraction that was too short */
	r->measured = marks_now(r);
	r->phase = RUN_MEASURE;
}

void run_measure_end(struct flood_run *r)
{
	run_progress_at(r, FRACTION_NS);
	struct run_marks end = marks_now(r);

	r->phase = RUN_BACKLOG;
	r->report->measured_s = (double)(end.ns - r->measured.ns) / SECOND_NS;
	r->report->own_cpu_s = end.own_cpu_s - r->measured.own_cpu_s;
	r->report->own_wait_s = end.own_wait_s - r->measured.own_wait_s;
	r->report->has_server = r->options->server_pid != 0;
	/* of a server that died on the way nothing can be said */
	r->report->server_ended = r->server_is_gone;
	r->report->server_cpu_s = r->server_is_gone ? 0 : end.server.cpu_s - r->measured.server.cpu_s;
	r->report->server_memory_kib = end.server.memory_kib;
}

void run_due(struct flood_run *r, enum flood_load load, uint64_t due_ns)
{
	uint64_t late_ns = r->loop.now_ns > due_ns ? r->loop.now_ns - due_ns : 0;

	r->due++;
	if (late_ns > r->late_ns)
		r->late_ns = late_ns;
	if (!run_is_measured(r, due_ns))
		return;
	r->report->loads[load].due++;
	histogram_record(&r->report->lateness, late_ns);
}

void run_done(struct flood_run *r, enum flood_load load, uint64_t due_ns)
{
	struct load_figures *figures = &r->report->loads[load];
	uint64_t now = r->loop.now_ns, waited_ns = now > due_ns ? now - due_ns : 0;

	r->done++;
	/* what was left of the warm-up would show times in plots of the measured time that its table does not have */
	if (r->phase < RUN_MEASURE || due_ns >= r->measure_start_ns)
		histogram_record(&r->times, waited_ns);
	if (run_is_measured(r, due_ns))
		histogram_record(&figures->arrival, waited_ns);
	if (r->phase == RUN_MEASURE)
		figures->arrived++;
}

void run_confirmed(struct flood_run *r, enum flood_load load, uint64_t due_ns)
{
	struct load_figures *figures = &r->report->loads[load];

	if (run_is_measured(r, due_ns))
		histogram_record(&figures->confirmation, r->loop.now_ns > due_ns ? r->loop.now_ns - due_ns : 0);
	if (r->phase == RUN_MEASURE)
		figures->confirmed++;
}

/* ---- how it is told ---- */

static double quantile_us(const struct histogram *h, double quantile)
{
	return (double)histogram_quantile(h, quantile) / 1e3;
}

static void progress_line(const struct flood_run *r, double s)
{
	fprintf(stderr, "%-8s up %u  %.0f/s  under way %llu  p50 %.0f us  p99 %.0f us  max %.0f us  errors %llu\n",
		phase_names[r->phase], r->up, (double)r->done / s, (unsigned long long)r->under_way,
		quantile_us(&r->times, 0.5), quantile_us(&r->times, 0.99), (double)r->times.max / 1e3,
		(unsigned long long)report_errors(r->report));
}

static void record_line(struct flood_run *r, const struct run_marks *now, double s)
{
	FILE *f = r->record;

	fprintf(f, "{\"t\":%.2f,\"phase\":\"%s\",\"up\":%u,\"due_per_s\":%.1f,\"done_per_s\":%.1f,\"under_way\":%llu",
		(double)(now->ns - r->begun_ns) / SECOND_NS, phase_names[r->phase], r->up, (double)r->due / s,
		(double)r->done / s, (unsigned long long)r->under_way);
	if (r->times.count)
		fprintf(f, ",\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p99.9_us\":%.1f,\"max_us\":%.1f",
			quantile_us(&r->times, 0.5), quantile_us(&r->times, 0.9), quantile_us(&r->times, 0.99),
			quantile_us(&r->times, 0.999), (double)r->times.max / 1e3);
	if (r->options->server_pid && !r->server_is_gone)
		fprintf(f, ",\"server_cpu\":%.3f,\"server_memory_kib\":%llu",
			(now->server.cpu_s - r->last.server.cpu_s) / s, (unsigned long long)now->server.memory_kib);
	fprintf(f, ",\"imflood_cpu\":%.3f,\"late_us\":%.1f,\"errors\":%llu,\"refused\":%llu}\n",
		(now->own_cpu_s - r->last.own_cpu_s) / s, (double)r->late_ns / 1e3,
		(unsigned long long)report_errors(r->report), (unsigned long long)report_refused(r->report));
}

/* With at least so much time behind the last line; what is shorter than that is told with the next. */
static void run_progress_at(struct flood_run *r, uint64_t least_ns)
{
	if (r->loop.now_ns - r->last.ns < least_ns)
		return;
	struct run_marks now = { .ns = r->loop.now_ns };
	double s = (double)(now.ns - r->last.ns) / SECOND_NS;
	if (!r->options->quiet)
		progress_line(r, s);
	if (r->record) {
		now = marks_now(r);
		record_line(r, &now, s);
		(void)fflush(r->record); /* a full disk is told at the end */
	}
	r->last = now;
	r->done = r->due = r->late_ns = 0;
	histogram_reset(&r->times);
}

void run_progress(struct flood_run *r)
{
	run_progress_at(r, SECOND_NS);
}

/* ---- beginning and end ---- */

int run_open(struct flood_run *r, const struct flood_options *options, struct flood_report *report)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

	*r = (struct flood_run){ .options = options, .report = report, .prng = prng_seeded() };
	int err = loop_open(&r->loop);
	if (err)
		return err;
	if (options->server_pid && !server_process_find(&r->server, options->server_pid)) {
		fprintf(stderr, "imflood: --pid %d: there is no such process\n", (int)options->server_pid);
		return ECANCELED;
	}
	if (options->record) {
		r->record = fopen(options->record, "we");
		if (!r->record) {
			fprintf(stderr, "imflood: --record %s: %s\n", options->record, strerror(errno));
			return ECANCELED;
		}
		report_record_head(r->record, options);
	}
	(void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
	(void)sigaction(SIGTERM, &action, NULL);
	r->last = marks_now(r);
	r->begun_ns = r->last.ns;
	return 0;
}

void run_close(struct flood_run *r)
{
	if (r->record) {
		fputs("{\"report\":", r->record);
		report_json(r->record, r->report, r->options);
		fputs("}\n", r->record);
		bool failed = ferror(r->record);
		if (fclose(r->record) || failed)
			fprintf(stderr, "imflood: %s could not be written whole\n", r->options->record);
		r->record = NULL;
	}
	if (r->loop.epoll_fd > 0)
		loop_close(&r->loop);
}
