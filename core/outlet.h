/*
 * A thread of its own for what workers want written where writing may wait: call detail records to a file,
 * copies of SIP messages to a collector.  A worker hands a copy over and goes on.
 *
 * What waits is bounded in octets; what does not fit, or what no target took by the end, is lost and
 * counted, never silently: one line a minute on the log says how much.
 *
 * Thread: outlet_put() any; outlet_ops the outlet's own; the rest the main thread.  Owner: who made it; workers
 * must be gone before outlet_free().
 */
#ifndef CORE_OUTLET_H
#define CORE_OUTLET_H

#include "core/counters.h"
#include "core/slice.h"

#define OUTLET_BATCH 64 /* pieces that are written by one call */

struct outlet;

struct outlet_ops {
	const char *subject; /* of its lines on the log */
	/*
	 * Writes pieces from the first on; how many are done with.  Fewer than `count`: it cannot go on now (the
	 * log knows why) and is asked again in a second, or when the target has changed.
	 */
	unsigned (*write)(void *arg, const struct slice *pieces, unsigned count);
	void (*turn_to)(void *arg, void *target); /* what is written from now on goes there; takes it over */
	void (*discard)(void *target);            /* another one came before it was used */
	void (*lost)(void *arg, uint64_t count); /* to be counted */
};

/* 0 or ENOMEM.  Nothing runs and nothing is taken before outlet_turn_to(). */
int outlet_make(struct outlet **out, const struct outlet_ops *ops, void *arg, size_t queue_octets);

/* Makes sure that the thread runs: 0 or its errno.  The turn itself then cannot fail; `target` is never NULL, also
 * one that is nowhere has a struct.  What is not written yet goes to the new one; with `is_on` false nothing
 * more is taken, and what is queued still goes to the target of before. */
int outlet_start(struct outlet *outlet);
void outlet_turn_to(struct outlet *outlet, void *target, bool is_on);

/* The one look that it costs while it is off. */
bool outlet_is_on(const struct outlet *outlet);

/* False: no room or no memory, which the caller counts. */
bool outlet_put(struct outlet *outlet, struct slice piece);

/* Writes what is queued, as far as the target takes it now. */
void outlet_free(struct outlet *outlet);

#endif
