/*
 * A day in the life of a server: sessions that come, talk and go, sessions that nobody talks in and that are kept by
 * refreshes, legs that are lost and come back, users who register again.  After each hour the server holds as much as
 * after the first: not one object more of any kind, and no memory for them.
 */
#include <stdlib.h>

#include "tests/sim/memory.h"
#include "tests/sim/scenario.h"

#define HOUR_MS  (3600 * 1000)
#define STEPS    12   /* of an hour: five minutes each, and a pause in which all timers of SIP run out */
#define STEP_MS  (280 * 1000)
#define IDLE     4    /* sessions that last all day */
#define VISITORS 3
#define KEPT_MIN  4096           /* nothing else that comes and goes is that large */
#define MOST_KEPT (2048 * 1024)
#define SLACK     256

struct day {
	struct ua *users[2 * IDLE], *visitors[2 * VISITORS];
	struct call *idle[IDLE];
};

/* What the server holds; slabs of pools and buffers for what is sent are kept for the next time and counted apart: they
 * follow the most that was ever used at once. */
struct figures {
	size_t pieces, octets, all_octets;
	struct counters counters;
};

static void register_all(struct world *w, struct day *day)
{
	for (unsigned i = 0; i < 2 * IDLE; i++)
		expect_status(ua_register(day->users[i], 7200), 200);
	for (unsigned i = 0; i < 2 * VISITORS; i++)
		expect_status(ua_register(day->visitors[i], 7200), 200);
}

static void talk(struct world *w, struct call *call)
{
	if (!call->far)
		return;
	for (unsigned i = 0; i < 3; i++) {
		ua_send(call, 1 + world_below(w, i ? 3000 : 60000));
		ua_send(call->far, 1 + world_below(w, i ? 3000 : 60000));
	}
	expect_delivered(call);
	expect_delivered(call->far);
}

/* The caller refreshes on his side; the server keeps the other one. */
static void refresh(struct world *w, struct day *day)
{
	for (unsigned i = 0; i < IDLE; i++) {
		struct request *change = day->idle[i]->far ? ua_change(day->idle[i], world_chance(w, 50)) : NULL;
		if (change)
			expect_status(change, 200);
		world_moment(w, 100000);
	}
}

static void visit(struct world *w, struct day *day)
{
	unsigned pair = world_below(w, VISITORS);
	struct call *call = ua_invite(day->visitors[2 * pair], day->visitors[2 * pair + 1]);

	expect_bound(call);
	talk(w, call);
	ua_bye(call->far && world_chance(w, 50) ? call->far : call);
	expect_over(call);
}

/* Several at a time, always as many: what is kept for the next one is then the same each hour. */
static void rush(struct world *w, struct day *day)
{
	struct call *calls[VISITORS];

	for (unsigned i = 0; i < VISITORS; i++)
		calls[i] = ua_invite(day->visitors[2 * i], day->visitors[2 * i + 1]);
	for (unsigned i = 0; i < VISITORS; i++)
		expect_bound(calls[i]);
	for (unsigned i = 0; i < VISITORS; i++)
		talk(w, calls[i]);
	for (unsigned i = 0; i < VISITORS; i++)
		ua_bye(calls[i]);
	for (unsigned i = 0; i < VISITORS; i++)
		expect_over(calls[i]);
}

/* A leg is lost: its client comes back with another path in time. */
static void lose_for_a_while(struct world *w, struct call *call, bool is_far)
{
	struct call *victim = is_far ? call->far : call;

	if (!call->far)
		return;
	ua_reset_msrp(victim);
	world_ms(w, 1000 + world_below(w, 4000));
	ua_come_back(victim);
	expect_bound(call);
	talk(w, call);
}

/* Or not at all. */
static void lose_for_good(struct world *w, struct day *day)
{
	struct call *gone = ua_invite(day->visitors[0], day->visitors[1]);

	expect_bound(gone);
	ua_reset_msrp(gone);
	expect_over(gone);
}

static void hour_passes(struct world *w, struct day *day, unsigned hour)
{
	uint64_t end_ms = world_now_ms(w) + HOUR_MS;

	register_all(w, day);
	for (unsigned step = 0; step < STEPS && !w->is_memory_short; step++) {
		if (step % 3 == 0)
			refresh(w, day);
		if (step == 2)
			rush(w, day);
		else if (step == 5)
			lose_for_a_while(w, day->idle[hour % IDLE], hour / IDLE % 2);
		else if (step == 8)
			lose_for_good(w, day);
		else
			visit(w, day);
		expect_pager(ua_pager(day->visitors[0], day->visitors[1], 1 + world_below(w, 1000)), 200);
		world_ms(w, STEP_MS);
	}
	if (world_now_ms(w) < end_ms)
		world_ms(w, end_ms - world_now_ms(w));
}

static void take_figures(struct world *w, struct figures *figures)
{
	size_t all = memory_left(&figures->all_octets);

	figures->pieces = memory_left_below(KEPT_MIN, &figures->octets);
	if (figures->pieces > all)
		world_fail(w, "%zu pieces are more than %zu", figures->pieces, all);
	world_counters(w, &figures->counters);
}

static void must_not_grow(struct world *w, const struct figures *first, const struct figures *now, unsigned hour)
{
	static const char *const gauges[] = {
#define GAUGE(name, unit, help) #name,
#include "core/counters.def"
	}, *const pools[] = {
#define POOL(name, help) #name,
#include "core/counters.def"
	};

	for (unsigned i = 0; i < GAUGE_COUNT; i++)
		if (now->counters.gauges[i] != first->counters.gauges[i])
			world_miss(w, "%lld %s after %u hours, %lld after the first", (long long)now->counters.gauges[i],
				gauges[i], hour, (long long)first->counters.gauges[i]);
	for (unsigned i = 0; i < POOL_COUNT; i++)
		if (now->counters.pools[i] != first->counters.pools[i])
			world_miss(w, "pool of %s: %lld after %u hours, %lld after the first", pools[i],
				(long long)now->counters.pools[i], hour, (long long)first->counters.pools[i]);
	/* a CSeq or a branch may have become longer */
	if (now->pieces > first->pieces || now->octets > first->octets + SLACK || now->all_octets > first->all_octets + MOST_KEPT)
		world_miss(w, "%zu octets in %zu pieces after %u hours, %zu in %zu after the first", now->octets, now->pieces,
			hour, first->octets, first->pieces);
}

static void hours(struct world *w, unsigned count)
{
	struct figures *first, *now;
	struct day day;
	char name[20];

	for (unsigned i = 0; i < 2 * IDLE; i++) {
		snprintf(name, sizeof(name), "idle%u", i);
		day.users[i] = ua_registered(w, name);
	}
	for (unsigned i = 0; i < 2 * VISITORS; i++) {
		snprintf(name, sizeof(name), "visitor%u", i);
		day.visitors[i] = ua_registered(w, name);
	}
	for (unsigned i = 0; i < IDLE; i++) {
		day.users[2 * i]->manners.chunk_max = day.users[2 * i + 1]->manners.chunk_max = 2000;
		day.idle[i] = ua_invite(day.users[2 * i], day.users[2 * i + 1]);
		expect_bound(day.idle[i]);
		if (!day.idle[i]->far)
			return;
		/* what a session gets once, when it is first needed, each has from the beginning */
		ua_send(day.idle[i], 5000);
		ua_send(day.idle[i]->far, 5000);
		expect_delivered(day.idle[i]);
		expect_delivered(day.idle[i]->far);
		lose_for_a_while(w, day.idle[i], false);
		lose_for_a_while(w, day.idle[i], true);
	}
	first = calloc(1, sizeof(*first));
	now = calloc(1, sizeof(*now));
	hour_passes(w, &day, 0);
	for (unsigned hour = 1; hour <= count && !w->is_memory_short; hour++) {
		hour_passes(w, &day, hour);
		take_figures(w, hour == 1 ? first : now);
		if (hour > 1)
			must_not_grow(w, first, now, hour);
	}
	for (unsigned i = 0; i < IDLE && !w->is_memory_short; i++) {
		if (day.idle[i]->is_over || !day.idle[i]->far || day.idle[i]->far->is_over)
			world_miss(w, "session %u did not last", i);
		talk(w, day.idle[i]);
	}
	for (unsigned i = 0; i < IDLE; i++) {
		ua_bye(day.idle[i]);
		expect_over(day.idle[i]);
	}
	free(first);
	free(now);
}

SCENARIO(some_hours, "three hours of sessions leave no more than one", .is_calm = true, .one_seed_in = 50)
{
	hours(w, 3);
}

SCENARIO(day, "24 hours of sessions leave no more than one", .is_calm = true, .one_seed_in = 1000, .is_long = true)
{
	hours(w, 24);
}
