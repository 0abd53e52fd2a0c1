/* What an operator asks first: what the server is and how much it has to do. */
#include <time.h>

#include "actors/admin_internal.h"

void admin_on_status(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	const struct admin_source *source = &admin->source;
	const struct config *config = source->im->config;
	struct counters sum;
	struct timespec now;

	(void)request;
	counters_sum(&sum, source->counters, source->counters_count);
	clock_gettime(CLOCK_MONOTONIC, &now);
	admin_answer_json(answer, 200, json_pack("{s:s,s:s,s:s,s:i,s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
		"version", IMSERV_VERSION, "mode", config->core.mode == MODE_IMS ? "ims" : "standalone",
		"domain", config->domain.home, "workers", (int)source->group->count, "io", source->io,
		"ready", (int)source->is_ready(source->arg), "draining", (int)atomic_load(&source->im->is_draining),
		"uptime_s", (json_int_t)(now.tv_sec - admin->started.tv_sec),
		"sessions", (json_int_t)sum.gauges[GAUGE_sessions],
		"msrp_legs", (json_int_t)sum.gauges[GAUGE_msrp_legs],
		"connections", (json_int_t)sum.gauges[GAUGE_connections],
		"sip_transactions", (json_int_t)sum.gauges[GAUGE_sip_transactions],
		"registrations", (json_int_t)sum.pools[POOL_registrations],
		"pager_messages", (json_int_t)sum.values[COUNTER_pager_messages]));
}
