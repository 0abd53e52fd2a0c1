#include "core/watchdog.h"

#include <string.h>

#include "core/log.h"
#include "core/notify.h"

void watchdog_init(struct watchdog *watchdog, struct worker_group *group, uint64_t now_ms)
{
	uint64_t allowed_us = notify_watchdog_us();

	memset(watchdog, 0, sizeof(*watchdog));
	watchdog->group = group;
	watchdog->next_ms = now_ms;
	if (allowed_us > 0)
		watchdog->step_ms = allowed_us / 4000 > 0 ? allowed_us / 4000 : 1;
}

/* Only when all are back: a ping is in one mailbox at a time. */
static void ask(struct watchdog *watchdog)
{
	for (unsigned i = 0; i < watchdog->group->count; i++) {
		struct worker_ping *ping = &watchdog->pings[i];
		ping->msg.kind = MSG_WORKER_PING;
		atomic_store(&ping->is_back, false);
		worker_post_from_outside(watchdog->group, i, &ping->msg);
	}
	watchdog->is_asked = true;
}

static bool are_back(struct watchdog *watchdog)
{
	for (unsigned i = 0; i < watchdog->group->count; i++)
		if (!atomic_load(&watchdog->pings[i].is_back)) {
			if (!watchdog->is_overdue)
				LOG(WARN, NULL, "service", 0, "worker-silent worker=%u ms=%llu", i,
					(unsigned long long)watchdog->step_ms);
			watchdog->is_overdue = true;
			return false;
		}
	watchdog->is_overdue = false;
	return true;
}

uint64_t watchdog_step(struct watchdog *watchdog, uint64_t now_ms)
{
	if (watchdog->step_ms == 0)
		return UINT64_MAX;
	if (now_ms < watchdog->next_ms)
		return watchdog->next_ms - now_ms;
	/* asked at one step, told at the next: what is told is never older than a quarter of what is allowed */
	if (!watchdog->is_asked)
		ask(watchdog);
	else if (are_back(watchdog))
		watchdog->is_asked = !notify_say("WATCHDOG=1");
	watchdog->next_ms = now_ms + watchdog->step_ms;
	return watchdog->step_ms;
}
