#include "actors/descriptors.h"

#include <sys/resource.h>

#include "core/log.h"

#define DESCRIPTORS_SPARE 256 /* listeners, rings, log, HTTP */

static bool is_told(const struct config *config, const struct config *running, uint64_t possible)
{
	return running && running->sessions_asked == config->sessions_asked && running->limits.sessions == possible;
}

void descriptors_fit(struct config *config, const struct config *running)
{
	struct rlimit limit;

	config->sessions_asked = config->limits.sessions;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* what is permitted is read back below */
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return;
	uint64_t possible = limit.rlim_cur > DESCRIPTORS_SPARE ? (limit.rlim_cur - DESCRIPTORS_SPARE) / 2 : 1;
	if (config->limits.sessions <= possible)
		return;
	if (!is_told(config, running, possible))
		LOG(WARN, NULL, "runtime", 0, "sessions-lowered limits.sessions=%u to=%llu cause=\"descriptor limit %llu\""
			" remedy=\"raise ulimit -n (systemd: LimitNOFILE)\"",
			config->limits.sessions, (unsigned long long)possible, (unsigned long long)limit.rlim_cur);
	config->limits.sessions = (unsigned)possible;
}
