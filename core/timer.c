/*
 * One near level of 256 slots of a millisecond and four far ones of 64 slots:
 * each time the near level wraps, one slot of the next level is dealt out
 * again.  A timer is moved at most once per level.
 */
#include "core/timer.h"

#include <assert.h>
#include <string.h>

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->now_ms = now_ms;
}

static void link_in(struct timer **slot, struct timer *timer)
{
	timer->next = *slot;
	if (timer->next)
		timer->next->link = &timer->next;
	timer->link = slot;
	*slot = timer;
}

static bool is_near(const struct timer_wheel *wheel, const struct timer **link)
{
	return link >= (const struct timer **)wheel->near && link < (const struct timer **)(wheel->near + TIMER_NEAR);
}

static void place(struct timer_wheel *wheel, struct timer *timer)
{
	uint64_t distance = timer->at_ms - wheel->now_ms;

	if (distance < TIMER_NEAR) {
		unsigned slot = timer->at_ms & (TIMER_NEAR - 1);
		link_in(&wheel->near[slot], timer);
		wheel->near_used[slot / 64] |= 1ull << (slot % 64);
		return;
	}
	unsigned shift = TIMER_NEAR_BITS;
	unsigned level = 0;
	while (level + 1 < TIMER_LEVELS && distance >= 1ull << (shift + TIMER_FAR_BITS)) {
		shift += TIMER_FAR_BITS;
		level++;
	}
	uint64_t at = timer->at_ms;
	if (distance >= 1ull << (shift + TIMER_FAR_BITS)) /* waits in the last slot and is dealt again */
		at = wheel->now_ms + (1ull << (shift + TIMER_FAR_BITS)) - 1;
	link_in(&wheel->far[level][(at >> shift) & (TIMER_FAR - 1)], timer);
}

void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t after_ms, timer_fire fire)
{
	timer_cancel(wheel, timer);
	timer->fire = fire;
	/* the slot of "now" has been fired already: the earliest is the next millisecond */
	timer->at_ms = wheel->now_ms + (after_ms ? after_ms : 1);
	place(wheel, timer);
	wheel->armed++;
}

static void unlink_timer(struct timer_wheel *wheel, struct timer *timer)
{
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	else if (is_near(wheel, (const struct timer **)timer->link) && !*timer->link) {
		unsigned slot = (unsigned)(timer->link - wheel->near);
		wheel->near_used[slot / 64] &= ~(1ull << (slot % 64));
	}
	timer->link = NULL;
	timer->next = NULL;
}

void timer_cancel(struct timer_wheel *wheel, struct timer *timer)
{
	if (!timer->link)
		return;
	unlink_timer(wheel, timer);
	wheel->armed--;
}

static void deal_out(struct timer_wheel *wheel, struct timer **slot)
{
	struct timer *timer = *slot;

	*slot = NULL;
	while (timer) {
		struct timer *next = timer->next;
		place(wheel, timer);
		timer = next;
	}
}

/* `wheel->now_ms` has reached a multiple of 256: the next slot of each level that wraps is due. */
static void cascade(struct timer_wheel *wheel)
{
	unsigned shift = TIMER_NEAR_BITS;

	for (unsigned level = 0; level < TIMER_LEVELS; level++, shift += TIMER_FAR_BITS) {
		unsigned slot = (wheel->now_ms >> shift) & (TIMER_FAR - 1);
		deal_out(wheel, &wheel->far[level][slot]);
		if (slot != 0)
			break;
	}
}

static void fire_slot(struct timer_wheel *wheel, unsigned slot)
{
	struct timer *timer;

	/* what a handler arms lands in a later slot, so this ends */
	while ((timer = wheel->near[slot])) {
		assert(timer->at_ms == wheel->now_ms);
		unlink_timer(wheel, timer);
		wheel->armed--;
		wheel->fired++;
		timer->fire(timer);
	}
}

/* The first occupied near slot after `now`, as a distance of 1..256; 0: none. */
static unsigned near_distance(const struct timer_wheel *wheel)
{
	unsigned start = (unsigned)((wheel->now_ms + 1) & (TIMER_NEAR - 1));

	for (unsigned i = 0; i <= TIMER_NEAR / 64; i++) {
		unsigned word = (start / 64 + i) % (TIMER_NEAR / 64);
		uint64_t bits = wheel->near_used[word];
		if (i == 0)
			bits &= ~0ull << (start % 64);
		else if (i == TIMER_NEAR / 64)
			bits &= (start % 64) ? ~(~0ull << (start % 64)) : 0;
		if (bits) {
			unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
			return ((slot - start) & (TIMER_NEAR - 1)) + 1;
		}
	}
	return 0;
}

uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel)
{
	if (wheel->armed == 0)
		return UINT64_MAX;
	unsigned distance = near_distance(wheel);
	uint64_t wrap = (wheel->now_ms | (TIMER_NEAR - 1)) + 1;
	uint64_t near = distance ? wheel->now_ms + distance : UINT64_MAX;

	return near < wrap ? near : wrap;
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
	while (wheel->now_ms < now_ms) {
		uint64_t next = timer_wheel_next_ms(wheel);
		if (next > now_ms) {
			wheel->now_ms = now_ms;
			return;
		}
		wheel->now_ms = next;
		if ((next & (TIMER_NEAR - 1)) == 0)
			cascade(wheel);
		fire_slot(wheel, (unsigned)(next & (TIMER_NEAR - 1)));
	}
}
