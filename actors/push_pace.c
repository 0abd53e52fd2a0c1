#include "actors/push_pace.h"

#include <assert.h>

/* What a worker that slept, or fires its timers late, may make good for. */
#define LATE_US 2000

void push_pace_init(struct push_pace *pace, struct im *im)
{
	pace->im = im;
	TAILQ_INIT(&pace->waiting);
}

void push_pace_free(struct push_pace *pace)
{
	worker_disarm(pace->im->worker, &pace->timer);
	assert(TAILQ_EMPTY(&pace->waiting));
}

/* The next place of the server's clock. */
static uint64_t draw(const struct push_pace *pace, unsigned rate)
{
	atomic_uint_least64_t *clock = &pace->im->server->push_next_us;
	uint64_t now_us = pace->im->worker->now_us, earliest_us = now_us > LATE_US ? now_us - LATE_US : 0;
	uint64_t next_us = atomic_load(clock), mine_us;

	do
		mine_us = next_us > earliest_us ? next_us : earliest_us;
	while (!atomic_compare_exchange_weak(clock, &next_us, mine_us + 1000000 / rate));
	return mine_us;
}

/* May one message go now?  Else the timer says when. */
static bool may_go(struct push_pace *pace);

static void on_time(struct timer *timer)
{
	struct push_pace *pace = (struct push_pace *)((char *)timer - offsetof(struct push_pace, timer));
	struct push_turn *turn;

	while ((turn = TAILQ_FIRST(&pace->waiting)) && may_go(pace)) {
		push_pace_leave(pace, turn);
		turn->on_turn(turn);
	}
}

static bool may_go(struct push_pace *pace)
{
	unsigned rate = pace->im->config->deferred.push_rate;
	uint64_t now_us = pace->im->worker->now_us;

	if (!rate) {
		pace->next_us = 0;
		return true;
	}
	if (!pace->next_us)
		pace->next_us = draw(pace, rate);
	if (pace->next_us > now_us) {
		worker_arm(pace->im->worker, &pace->timer, (pace->next_us - now_us + 999) / 1000, on_time);
		return false;
	}
	pace->next_us = 0;
	return true;
}

bool push_pace_take(struct push_pace *pace, struct push_turn *turn)
{
	assert(!turn->is_waiting);
	if (!pace->count && may_go(pace))
		return true;
	turn->is_waiting = true;
	pace->count++;
	TAILQ_INSERT_TAIL(&pace->waiting, turn, link);
	return false;
}

void push_pace_leave(struct push_pace *pace, struct push_turn *turn)
{
	if (!turn->is_waiting)
		return;
	turn->is_waiting = false;
	pace->count--;
	TAILQ_REMOVE(&pace->waiting, turn, link);
}
