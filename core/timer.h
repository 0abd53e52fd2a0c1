/*
 * A hierarchical timer wheel with a resolution of one millisecond.  Arming and
 * cancelling cost the same with ten timers and with millions: a SIP server
 * holds one per transaction for 32 s.
 *
 * Thread: owning worker only.  The wheel owns nothing; a timer lives inside the
 * object that it guards and is cancelled before that is freed.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer;
typedef void (*timer_fire)(struct timer *);

struct timer {
	struct timer *next;
	struct timer **link; /* what points at us; NULL when not armed */
	uint64_t at_ms;
	timer_fire fire;
};

#define TIMER_NEAR_BITS 8
#define TIMER_FAR_BITS  6
#define TIMER_NEAR      (1u << TIMER_NEAR_BITS)
#define TIMER_FAR       (1u << TIMER_FAR_BITS)
#define TIMER_LEVELS    4 /* beyond the near one: 256 ms << 24 = 49 days; later ones wait in the last */

struct timer_wheel {
	uint64_t now_ms;  /* all timers up to here have fired */
	size_t armed;
	uint64_t fired;   /* so far */
	uint64_t near_used[TIMER_NEAR / 64]; /* bit per slot: not empty */
	struct timer *near[TIMER_NEAR];
	struct timer *far[TIMER_LEVELS][TIMER_FAR];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/* Fires once, `after_ms` from the wheel's now; an armed timer is moved. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t after_ms, timer_fire fire);

/* Does nothing to a timer that is not armed. */
void timer_cancel(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_is_armed(const struct timer *timer)
{
	return timer->link != NULL;
}

/* Fires all that is due, in order of their milliseconds. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms);

/* When timer_wheel_advance() should be called next; UINT64_MAX: nothing is armed.  May be earlier
 * than the first timer, never later. */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

#endif
