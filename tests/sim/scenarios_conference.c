/* Conferences of the factory in the simulator: those who are invited answer, refuse, ring for ever, never connect, leave,
 * lose their connections; the originator takes it back or goes at any moment.  Nobody stays in a session that is over,
 * and nothing of it stays (settle() of world.c). */
#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

#define MOST    8
#define WAIT_MS 400000

static bool all_is_over(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < w->group.count; i++)
		if (pool_used(&im_of(w->group.workers[i])->conferences))
			return false;
	return true;
}

static struct ua *new_member(struct world *w, unsigned i)
{
	struct ua *member;
	char name[16];

	snprintf(name, sizeof(name), "u%u", i);
	if (world_chance(w, 10))
		return ua_new(w, name); /* away */
	member = ua_registered_at_last(w, name);
	if (world_chance(w, 15))
		member->manners.refuse = 486;
	else if (world_chance(w, 10))
		member->manners.never_connects = true;
	else if (world_chance(w, 5))
		member->manners.never_answers = true;
	member->manners.answers_after_ms = world_below(w, 3000);
	return member;
}

/* Somebody does something, or time goes by. */
static void live(struct world *w, struct ua *alice, struct call *call)
{
	struct call *any;

	world_moment(w, 1000000);
	for (any = alice->host->calls; any; any = any->next) {
		if (any == call || any->far != call || any->is_over || !any->is_answered || world_chance(w, 85))
			continue;
		if (world_chance(w, 60))
			ua_bye(any);
		else
			ua_reset_msrp(any);
	}
}

static void play(struct world *w, unsigned count)
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *members[MOST];
	struct call *call;

	for (unsigned i = 0; i < count; i++)
		members[i] = new_member(w, i);
	call = ua_convene(alice, members, count);
	if (world_chance(w, 15))
		world_moment(w, 2000000);
	if (world_chance(w, 20))
		ua_cancel(call);
	for (unsigned i = 0; i < 10 && !call->is_over; i++)
		live(w, alice, call);
	if (call->is_answered)
		ua_bye(call);
	else
		ua_cancel(call);
	if (!world_until(w, all_is_over, w, WAIT_MS))
		world_miss(w, "a conference is there for ever");
	world_ms(w, 60000);
}

SCENARIO(conference, "a list of a few: they come, refuse, leave and vanish", .may_lose = true)
{
	play(w, 1 + world_below(w, MOST));
}

