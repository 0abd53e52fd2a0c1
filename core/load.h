/*
 * How busy a worker is: the share of time in which it had something to do.
 *
 * Time counts as idle only while the worker sleeps in its ring with nothing to submit and nothing that is
 * complete.  What others take from it in the middle of a turn (a CPU that it shares, a hypervisor) counts as
 * busy: a worker that gets a third of a CPU and never sleeps has as much to do as it can, and its CPU time would
 * say 33 %.  Time before it gets the CPU after a wake is idle, because then nobody can tell that from sleep; a
 * worker with more to do than it can does not sleep.
 *
 * Measured over intervals of at least LOAD_INTERVAL_US; one that sleeps ends its interval when it wakes.
 *
 * Thread: owning worker only.
 */
#ifndef CORE_LOAD_H
#define CORE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_INTERVAL_US 100000
/* What a worker with nothing to do may still show; it does not wake to say less. */
#define LOAD_NOTHING 5

struct load {
	uint64_t began_us;      /* the interval */
	uint64_t busy_us;       /* of it so far */
	unsigned thousandths;   /* busy, of the last whole interval */
	uint64_t interval_us;   /* its length */
	bool must_go_on;        /* somebody looks at each interval, also of an idle worker */
};

void load_init(struct load *load, uint64_t now_us);

/* A turn from `began_us` to `now_us`, of which the worker slept `waited_us`.  True: an interval has ended. */
bool load_turn(struct load *load, uint64_t began_us, uint64_t waited_us, uint64_t now_us);

/* How long the worker may sleep: what it shows must not stay what it was before it fell asleep. */
uint64_t load_wait_us(const struct load *load, uint64_t wait_us);

#endif
