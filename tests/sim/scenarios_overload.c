/* Overload in the simulator, where turns take no time: the share of new work that is taken is set, and comes back by
 * itself.  What is refused at which moment is the seed's. */
#include "tests/sim/scenario.h"

static void shed(struct world *w)
{
	world_shed(w, 1 + world_below(w, 60)); /* none at all is never what a worker comes to */
}

static bool was_refused(const struct request *request)
{
	return request->status == 503 && !request->is_own_verdict;
}

/* Taken or refused, and nothing else. */
static void expect_either(struct world *w, struct request *request)
{
	expect_final(request);
	if (request->status != 200 && !was_refused(request) && world_is_strict(w))
		world_miss(w, "%s: %u", request->method, request->status);
}

static bool is_shedding(void *arg)
{
	return world_is_shedding(arg);
}

static bool is_not_shedding(void *arg)
{
	return !is_shedding(arg);
}

SCENARIO(overload, "new work is refused again and again while a session goes on, and all is taken when it is over")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *carol = ua_registered(w, "carol");
	struct call *call = ua_invite(alice, bob);
	unsigned refused = 0, rounds = 3 + world_below(w, 4);

	expect_bound(call);
	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned i = 0; i < rounds; i++) {
		struct message *messages[8];
		shed(w);
		ua_send(call, 1 + world_below(w, 3000));
		ua_send(call->far, 1 + world_below(w, 3000));
		struct call *later = ua_invite(carol, bob);
		for (unsigned k = 0; k < 8; k++) {
			messages[k] = ua_pager(k % 2 ? alice : carol, bob, 1 + world_below(w, 500));
			world_moment(w, 20000);
		}
		struct request *change = ua_change(call, world_chance(w, 50)); /* never refused */
		if (change)
			expect_status(change, 200);
		for (unsigned k = 0; k < 8; k++) {
			expect_either(w, messages[k]->request);
			refused += was_refused(messages[k]->request);
		}
		expect_either(w, later->invite);
		if (later->invite->status != 200)
			continue;
		expect_bound(later);
		shed(w);
		if (later->far)
			ua_bye(world_chance(w, 50) ? later : later->far);
		expect_over(later);
	}
	if (refused > world_refused(w, REASON_OVERLOAD))
		world_miss(w, "%u refused, %llu counted", refused, (unsigned long long)world_refused(w, REASON_OVERLOAD));
	expect_delivered(call);
	expect_delivered(call->far);
	shed(w);
	ua_bye(call);
	expect_over(call);
	if (!world_until(w, is_not_shedding, w, 60000))
		world_miss(w, "it is refused for ever");
	expect_pager(ua_pager(alice, bob, 100), 200);
}

SCENARIO(overload_burst, "more by one stream than a turn looks at, part of it refused", .tcp = ON)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *carol = ua_registered(w, "carol");
	struct message *messages[160], *one;

	if (world_chance(w, 70))
		shed(w);
	for (unsigned i = 0; i < 160; i++)
		messages[i] = ua_pager(alice, bob, 1 + world_below(w, 50));
	one = ua_pager(carol, bob, 10);
	if (world_chance(w, 20)) {
		world_moment(w, 2000);
		ua_reset_sip(alice); /* while they wait */
	}
	expect_final(one->request);
	for (unsigned i = 0; i < 160; i++)
		expect_final(messages[i]->request);
}
