/*
 * How much of the new work a worker takes when there is more than it can do (overload.high_water, D2-55): a share,
 * changed once each interval of core/load.h so that the worker's busy time comes to the high-water mark (the
 * "occupancy" law of Cyr, Kaufman and Lee, RFC 6357 5.3), not all or nothing.
 *
 * Being busy is no overload: a worker that switches large messages, or whose clients each wait for an answer before
 * they ask again, never sleeps and still keeps up.  So it begins only when for ADMISSION_PATIENCE intervals the worker
 * was busier than the mark and work waited all the same (the caller knows queues); a mark below
 * ADMISSION_KEEPS_UP percent is an operator's wish for idle time, and holds without a queue.  Once begun, busy time
 * alone counts: it is held at the mark, or, for a high one, at two thirds of the way from it to 100 %, as refusing
 * takes time as well and what is idle serves nobody.  The share does not swing: it falls by the ratio of that and the
 * busy time, or, when that is all of it, by 3 % while nothing waits and 15 % when something does; it grows by 4 % an
 * interval, or more with much time to spare.  With a backlog of more than half a second it falls far at once, to refuse
 * what is late in any case, and comes back in a second to somewhat less than was too much.
 *
 * Who is taken is a matter of chance: neither the order nor the kind of what comes makes a difference.  Some are
 * always taken, so that a worker that is busy with its sessions alone can be reached.  Newest or oldest first is
 * not asked here: what is not taken is refused at once, so that nothing new waits at all.
 *
 * Refusing takes time from serving, and three requests for each one that can be served take all of it if each is
 * refused that cannot be.  So what stands in a stream is refused only while that takes no more than ADMISSION_PART of
 * what serving takes; beyond it the request is taken, the worker reads the stream at the pace of its work, and the
 * rest waits with its sender (RFC 7339 calls for less to be sent; TCP does it).  The share then is what comes of that.
 * Not so with a mark below ADMISSION_KEEPS_UP, which is kept at any price.
 *
 * No I/O, no clock.  Thread: owning worker only.
 */
#ifndef CORE_ADMISSION_H
#define CORE_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_PATIENCE 4  /* intervals */
#define ADMISSION_KEEPS_UP 80 /* percent */
#define ADMISSION_ALWAYS   4  /* requests of an interval that are taken in any case */
#define ADMISSION_PART     0.2   /* of the time that serving takes, for refusals in streams ... */
#define ADMISSION_SAVED    20000 /* ... of which so many may be saved up: less than a tenth of a second */
#define ADMISSION_LEAST    0.1  /* less would be spent on refusing: the rest waits in streams, or is dropped */
#define ADMISSION_LEAST_LATE 0.05 /* for the moment that it takes to refuse what has queued up */

struct admission {
	double share;     /* of new work that is taken; 1 unless it is shedding */
	unsigned over;    /* intervals, less those that were not */
	unsigned taken;   /* in this interval */
	double known;     /* so far it comes back quickly after it fell */
	bool is_shedding, is_falling;
	/* ---- of what can wait ---- */
	double may_refuse; /* so many times */
	bool is_bounded;   /* a mark from ADMISSION_KEEPS_UP on */
	unsigned refused;  /* in this interval, and ... */
	bool was_forced;   /* ... something was taken only because refusing had had its part */
};

struct admission_interval {
	uint64_t us;          /* its length */
	unsigned busy;        /* thousandths */
	unsigned high_water;  /* percent; 100: nobody can be busier */
	bool is_waiting;      /* work stood in a queue, ... */
	uint64_t backlog_us;  /* ... in streams: so long until it is read */
};

enum admission_change { ADMISSION_SAME, ADMISSION_BEGINS, ADMISSION_ENDS };

void admission_init(struct admission *a);

enum admission_change admission_step(struct admission *a, const struct admission_interval *interval);

/* True: take it.  `share` is ->share, or less where somebody else has a say; `random` 64 random bits. */
bool admission_take(struct admission *a, double share, uint64_t random);
/* The same for what stands in a stream, whose sender can wait, in two steps: one of the latter two is to follow. */
bool admission_would_refuse(struct admission *a, double share, uint64_t random);
void admission_refused(struct admission *a);
void admission_took(struct admission *a, unsigned earns); /* what serving it takes, in refusals */

#endif
