#include "actors/metrics.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ms(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void write_ms(uint64_t ms, FILE *out)
{
	fprintf(out, "%" PRIu64 ".%03u\n", ms / 1000, (unsigned)(ms % 1000));
}

/* ---- the server ---- */

static void write_server(const struct metrics_source *source, FILE *out)
{
	enum server_state state = source->state(source->arg);
	uint64_t uptime_ms = clock_ms(CLOCK_MONOTONIC) - source->started_ms;

	fprintf(out,
		"# TYPE imserv_build info\n"
		"# HELP imserv_build what runs here\n"
		"imserv_build_info{version=\"%s\",mode=\"%s\",io=\"%s\"} 1\n"
		"# TYPE imserv_ready gauge\n"
		"# HELP imserv_ready 1 while /readyz answers 200\n"
		"imserv_ready %d\n"
		"# TYPE imserv_draining gauge\n"
		"# HELP imserv_draining 1 while new work is refused because the server is about to stop\n"
		"imserv_draining %d\n"
		"# TYPE imserv_uptime_seconds gauge\n"
		"# UNIT imserv_uptime_seconds seconds\n"
		"# HELP imserv_uptime_seconds time since the start\n"
		"imserv_uptime_seconds ",
		IMSERV_VERSION, source->mode, source->io, state == SERVER_READY, state == SERVER_DRAINING);
	write_ms(uptime_ms, out);
	if (source->sessions_limit)
		fprintf(out,
			"# TYPE imserv_sessions_limit gauge\n"
			"# HELP imserv_sessions_limit IM sessions that may exist: limits.sessions\n"
			"imserv_sessions_limit %u\n", source->sessions_limit(source->arg));
}

/* ---- the process: the names that Prometheus' own clients use ---- */

static uint64_t resident_octets(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long long size, resident = 0;

	if (!statm)
		return 0;
	if (fscanf(statm, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(statm); /* nothing was written to it */
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t milliseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_usec / 1000;
}

static void write_process(const struct metrics_source *source, FILE *out)
{
	uint64_t resident = resident_octets();
	uint64_t start_ms = clock_ms(CLOCK_REALTIME) - (clock_ms(CLOCK_MONOTONIC) - source->started_ms);
	struct rusage usage = { 0 };
	struct rlimit limit;

	(void)getrusage(RUSAGE_SELF, &usage); /* it cannot fail so */
	fputs("# TYPE process_cpu_seconds counter\n"
	      "# UNIT process_cpu_seconds seconds\n"
	      "# HELP process_cpu_seconds user and system CPU time of all threads\n"
	      "process_cpu_seconds_total ", out);
	write_ms(milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime), out);
	fputs("# TYPE process_start_time_seconds gauge\n"
	      "# UNIT process_start_time_seconds seconds\n"
	      "# HELP process_start_time_seconds when it started, in seconds since 1970\n"
	      "process_start_time_seconds ", out);
	write_ms(start_ms, out);
	if (resident)
		fprintf(out,
			"# TYPE process_resident_memory_bytes gauge\n"
			"# UNIT process_resident_memory_bytes bytes\n"
			"# HELP process_resident_memory_bytes memory that is resident\n"
			"process_resident_memory_bytes %" PRIu64 "\n", resident);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		fprintf(out,
			"# TYPE process_max_fds gauge\n"
			"# HELP process_max_fds descriptors that it may have open\n"
			"process_max_fds %" PRIu64 "\n", (uint64_t)limit.rlim_cur);
}

/* ---- each worker ---- */

static void write_worker_cpu(const struct metrics_source *source, FILE *out)
{
	bool is_first = true;

	for (unsigned i = 0; source->worker_cpu_us && i < source->workers; i++) {
		uint64_t us;
		if (!source->worker_cpu_us(source->arg, i, &us))
			continue;
		if (is_first)
			fputs("# TYPE imserv_worker_cpu_seconds counter\n"
			      "# UNIT imserv_worker_cpu_seconds seconds\n"
			      "# HELP imserv_worker_cpu_seconds CPU time of each worker\n", out);
		is_first = false;
		fprintf(out, "imserv_worker_cpu_seconds_total{worker=\"%u\"} %" PRIu64 ".%06u\n", i, us / 1000000,
			(unsigned)(us % 1000000));
	}
}

void metrics_write(const struct metrics_source *source, FILE *out)
{
	struct counters sum;

	counters_sum(&sum, source->counters, source->counters_count);
	write_server(source, out);
	write_process(source, out);
	write_worker_cpu(source, out);
	counters_write_ratios(source->counters, source->workers, out);
	counters_write_workers(source->counters, source->workers, out);
	counters_write(&sum, out);
}
