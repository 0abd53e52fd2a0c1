/* What an operator asks first: what the server is, how much it has to do, and what it had to refuse. */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "actors/admin_internal.h"
#include "actors/reload.h"
#include "actors/settings.h"

/* Memory that is resident now, in octets; 0: the kernel does not say. */
static json_int_t resident(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long long size, pages = 0;

	if (statm && fscanf(statm, "%llu %llu", &size, &pages) != 2)
		pages = 0;
	if (statm)
		fclose(statm); /* nothing was written to it */
	return (json_int_t)(pages * (unsigned long long)sysconf(_SC_PAGESIZE));
}

/* A ratio of each worker. */
static json_t *ratios_of(const struct admin_source *source, enum ratio which)
{
	json_t *ratios = json_array();

	for (unsigned i = 0; i < source->group->count; i++) {
		uint32_t thousandths = __atomic_load_n(&source->counters[i]->ratios[which], __ATOMIC_RELAXED);
		(void)json_array_append_new(ratios, json_real((double)thousandths / 1000)); /* no memory: it is missing */
	}
	return ratios;
}

/* ---- limits ---- */

/* What one worker alone may hold is as full as in the fullest of them. */
static int64_t most_of_a_worker(const struct admin_source *source, enum gauge gauge)
{
	int64_t most = 0;

	for (unsigned i = 0; i < source->group->count; i++) {
		int64_t n = __atomic_load_n(&source->counters[i]->gauges[gauge], __ATOMIC_RELAXED);
		most = n > most ? n : most;
	}
	return most;
}

static void add_limit(json_t *limits, const char *name, uint64_t used, uint64_t limit)
{
	if (limit) /* 0: there is none */
		(void)json_array_append_new(limits, json_pack("{s:s,s:I,s:I}", "name", name, "used", (json_int_t)used,
			"limit", (json_int_t)limit)); /* no memory: shown by what is missing */
}

static json_t *limits_of(const struct admin_source *source, const struct counters *sum)
{
	struct im_server *im = source->im;
	struct im_settings *settings = settings_take(im);
	const struct limits_options *limit = &settings->config->limits;
	json_t *limits = json_array();
	struct rlimit files;

	add_limit(limits, "limits.sessions", atomic_load(&im->session_count), limit->sessions);
	add_limit(limits, "limits.queued_bytes of a worker", (uint64_t)most_of_a_worker(source, GAUGE_msrp_queued_bytes),
		limit->queued_bytes);
	/* a pool for those of servers, one for those of clients */
	add_limit(limits, "SIP transactions of a worker", (uint64_t)most_of_a_worker(source, GAUGE_sip_transactions),
		(uint64_t)im->sip.transactions_max * 2);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
		add_limit(limits, "descriptors (ulimit -n)", (uint64_t)sum->gauges[GAUGE_connections], files.rlim_cur);
	settings_drop(settings);
	return limits;
}

/* ---- refusals ---- */

struct refusal {
	enum reason reason;
	uint64_t count;
};

static int by_count(const void *a, const void *b)
{
	const struct refusal *one = a, *other = b;

	return one->count < other->count ? 1 : one->count > other->count ? -1 : (int)one->reason - (int)other->reason;
}

/* Those that happened, the most frequent first. */
static json_t *refusals_of(const struct counters *sum, uint64_t *total)
{
	struct refusal rows[REASON_COUNT];
	json_t *refused = json_object();

	*total = 0;
	for (int i = 0; i < REASON_COUNT; i++) {
		rows[i] = (struct refusal){ i, sum->refused[i] };
		*total += sum->refused[i];
	}
	qsort(rows, REASON_COUNT, sizeof(*rows), by_count);
	for (int i = 0; i < REASON_COUNT && rows[i].count; i++)
		(void)json_object_set_new(refused, reason_label(rows[i].reason), json_integer((json_int_t)rows[i].count));
	return refused;
}

/* ---- all of it ---- */

static json_t *facts_of(const struct admin *admin)
{
	const struct admin_source *source = &admin->source;
	const struct config *config = source->im->config;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return json_pack("{s:s,s:s,s:s,s:o,s:i,s:o,s:o,s:s,s:b,s:b,s:i,s:I,s:I}",
		"version", IMSERV_VERSION, "mode", config->core.mode == MODE_IMS ? "ims" : "standalone",
		"domain", config->domain.home, "config", config->file[0] ? json_string(config->file) : json_null(),
		"workers", (int)source->group->count, "busy", ratios_of(source, RATIO_worker_busy_ratio),
		"shed", ratios_of(source, RATIO_worker_shed_ratio), "io", source->io,
		"ready", (int)source->is_ready(source->arg), "draining", (int)atomic_load(&source->im->is_draining),
		"pid", (int)getpid(), "uptime_s", (json_int_t)(now.tv_sec - admin->started.tv_sec),
		"memory_bytes", resident());
}

static json_t *work_of(const struct admin_source *source)
{
	struct counters sum;
	uint64_t total;

	counters_sum(&sum, source->counters, source->counters_count);
	json_t *refused = refusals_of(&sum, &total);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}",
		"sessions", (json_int_t)sum.gauges[GAUGE_sessions],
		"conferences", (json_int_t)sum.gauges[GAUGE_conferences],
		"registrations", (json_int_t)sum.pools[POOL_registrations],
		"connections", (json_int_t)sum.gauges[GAUGE_connections],
		"msrp_legs", (json_int_t)sum.gauges[GAUGE_msrp_legs],
		"msrp_queued_bytes", (json_int_t)sum.gauges[GAUGE_msrp_queued_bytes],
		"sip_transactions", (json_int_t)sum.gauges[GAUGE_sip_transactions],
		"pager_messages", (json_int_t)sum.values[COUNTER_pager_messages],
		"refusals", (json_int_t)total, "refused", refused, "limits", limits_of(source, &sum));
}

void admin_on_status(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	json_t *status = facts_of(admin), *work = work_of(&admin->source);

	(void)request;
	if (json_object_update(status, work) != 0) { /* no memory */
		json_decref(status);
		status = NULL;
	}
	json_decref(work);
	json_t *last = reloader_last(admin->source.reloader);
	if (status && last)
		(void)json_object_set_new(status, "last_reload", last); /* no memory: shown by what is missing */
	else
		json_decref(last);
	admin_answer_json(answer, 200, status);
}
