/* A MESSAGE to a list in the simulator: members who take it, refuse it, are silent, away or lose their connection.  What
 * was accepted reaches each of them, or the store (ua_check()). */
#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

#define FACTORY  "sip:factory@example.com"
#define MOST     100
#define WAIT_MS  400000 /* a hundred silent ones, 32 at a time, and a slow network */

static bool all_is_sent(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < w->group.count; i++)
		if (pool_used(&im_of(w->group.workers[i])->pager_lists))
			return false;
	return true;
}

static struct ua *new_member(struct world *w, unsigned i)
{
	static const unsigned refusals[] = { 486, 603, 488 };
	struct ua *member;
	char name[16];

	snprintf(name, sizeof(name), "u%u", i);
	if (world_chance(w, 20))
		return ua_new(w, name); /* away */
	member = ua_registered_at_last(w, name);
	if (world_chance(w, 15))
		member->manners.refuse_pager = refusals[world_below(w, 3)];
	else if (world_chance(w, 10))
		member->manners.holds_pagers = true; /* it shows it and says nothing: it is stored too */
	return member;
}

static void play(struct world *w, unsigned count, unsigned lists)
{
	struct ua *alice = ua_registered(w, "alice"), *members[MOST];
	struct message *messages[4];

	for (unsigned i = 0; i < count; i++)
		members[i] = new_member(w, i);
	for (unsigned i = 0; i < lists; i++) {
		messages[i] = ua_pager_list(alice, FACTORY, members, 1 + world_below(w, count), 1 + world_below(w, 3000));
		world_moment(w, 200000);
		if (world_chance(w, 30))
			ua_reset_sip(members[world_below(w, count)]);
	}
	for (unsigned i = 0; i < lists; i++) {
		expect_final(messages[i]->request);
		if (messages[i]->request->status != 202)
			world_miss(w, "a message to a list gets %u", messages[i]->request->status);
	}
	if (!world_until(w, all_is_sent, w, WAIT_MS))
		world_fail(w, "copies are under way for ever");
	for (unsigned i = 0; i < count; i++)
		ua_release_pagers(members[i]);
	world_ms(w, 2000);
}

SCENARIO(list, "messages to a few, some of whom refuse, are silent or away", .may_repeat = true, .is_calm = true)
{
	play(w, 1 + world_below(w, 6), 1 + world_below(w, 3));
}

SCENARIO(list_of_a_hundred, "the same to a hundred", .may_repeat = true, .is_calm = true, .one_seed_in = 10,
	.set = { "limits.max_adhoc_group=101" })
{
	play(w, MOST, 2);
}

SCENARIO(list_fails, "a store that loses a fifth of its groups, connections that are lost: nothing hangs, nobody gets what is"
	" not his", .may_repeat = true, .may_lose = true, .store_fails = 200)
{
	struct ua *alice = ua_registered(w, "alice"), *members[8];

	for (unsigned i = 0; i < 8; i++) {
		members[i] = new_member(w, i);
		members[i]->manners.refuse_pager = 603; /* none of them need have it */
	}
	members[0]->manners.refuse_pager = 480;
	members[1]->manners.refuse_pager = 503;
	expect_final(ua_pager_list(alice, FACTORY, members, 8, 1 + world_below(w, 1000))->request);
	ua_reset_sip(members[world_below(w, 8)]);
	if (!world_until(w, all_is_sent, w, WAIT_MS))
		world_fail(w, "copies are under way for ever");
}
