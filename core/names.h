/*
 * What a worker knows of names: the answers of the resolver with their TTL, and
 * who waits for those that are still to come.  A name in steady use is asked
 * again before its answer ends, so that nobody waits for it; while the DNS is
 * silent an old answer is used on.
 *
 * Thread: owning worker only.  Bounded by NAMES_MAX answers, of which the one
 * longest unused makes room, and NAMES_ASKED_MAX questions under way.
 */
#ifndef CORE_NAMES_H
#define CORE_NAMES_H

#include "core/resolver.h"

#define NAMES_MAX       512
#define NAMES_ASKED_MAX 256
#define NAMES_TTL_MIN_S 1      /* an answer is good at least for those who wait for it */
#define NAMES_TTL_MAX_S 86400
#define NAMES_UNKNOWN_S 5      /* there is no such name: asked again after that */
#define NAMES_FAILED_S  2      /* nobody could tell */
#define NAMES_STALE_S   3600   /* how long an answer is used while nobody can tell a newer one */

/* Part of whoever waits; zeroed before its first use. */
struct names_waiter {
	struct names_waiter *next, **link; /* link NULL: not waiting */
	void (*on_answer)(struct names_waiter *); /* ask again: the answer is there now */
};

/* Per worker, before it runs.  `resolver` NULL: names are never known.  0 or ENOMEM. */
int names_worker_init(struct worker *worker, struct resolver *resolver);
void names_worker_free(struct worker *worker);

/*
 * 0: *answer, good until the handler returns.  ENOENT: no such name or no such record.  EAGAIN: nobody
 * could tell.  EINPROGRESS: waiter->on_answer() comes once, unless names_forget() is called first; with
 * `waiter` NULL the question is asked and nobody told.  ENOBUFS, ENOMEM: too much is asked already.
 */
int names_find(struct worker *worker, enum name_kind kind, struct slice name, struct names_waiter *waiter,
	const struct name_question **answer);

void names_forget(struct names_waiter *waiter);

unsigned names_count(const struct worker *worker); /* for tests */

#endif
