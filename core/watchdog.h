/*
 * The service manager's watchdog: WATCHDOG=1 twice within the time it allows, but only while every worker turns.  Each
 * worker gets a message, which proves by coming back that it still takes messages; a worker that hangs keeps it, nothing
 * is said any more, and the manager ends the server (systemd: WatchdogSec).
 *
 * Thread: main, while the workers run.  Owner: the caller; it must outlive the workers.
 */
#ifndef CORE_WATCHDOG_H
#define CORE_WATCHDOG_H

#include "core/worker.h"

struct watchdog {
	struct worker_group *group;
	uint64_t step_ms;    /* a quarter of what the manager allows; 0: it asks for nothing */
	uint64_t next_ms;    /* on the caller's clock */
	bool is_asked;       /* the pings are out */
	bool is_overdue;     /* one has not come back within a step: said on the log, once */
	struct worker_ping pings[WORKERS_MAX];
};

/* As notify_open() found it. */
void watchdog_init(struct watchdog *watchdog, struct worker_group *group, uint64_t now_ms);

/* Does what is due.  Returns in how many ms it wants to be called again; UINT64_MAX: never. */
uint64_t watchdog_step(struct watchdog *watchdog, uint64_t now_ms);

#endif
