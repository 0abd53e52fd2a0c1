/*
 * Deferred messages on their way to receivers that vanish after some, refuse, fall silent or hang up, and to others:
 * each is delivered at least once, with the same content inside, or still stored (ua_check()).
 */
#include "tests/sim/scenario.h"

#define ROUNDS 5

static void store_some(struct world *w, struct ua *alice, struct ua *bob)
{
	for (unsigned n = 1 + world_below(w, 6); n > 0; n--)
		expect_final(ua_pager(alice, bob, 1 + world_below(w, 1000))->request);
}

static bool is_bound_or_over(void *arg)
{
	const struct call *call = arg;

	return ua_leg_is_bound(call) || call->is_over;
}

static bool is_answered(void *arg)
{
	const struct message *m = arg;

	return m->from->is_over || ua_leg_is_lost(m->from) || (m->is_sent && (m->wants_no_answer || m->answered == m->chunks));
}

static void store_large(struct world *w, struct ua *alice, struct ua *bob)
{
	size_t n = alice->manners.announces = 1 + world_below(w, 200000);
	struct call *call = ua_invite(alice, bob);

	expect_final(call->invite);
	if (call->invite->status == 200 && world_until(w, is_bound_or_over, call, 8000) && !call->is_over)
		(void)world_until(w, is_answered, ua_send(call, n), 60000); /* or there was trouble */
	ua_bye(call);
	world_ms(w, 1000);
	alice->manners.announces = 0;
}

static void change_manners(struct world *w, struct ua *bob)
{
	static const unsigned refusals[] = { 413, 415, 481, 400, 403, 408 }, answers[] = { 486, 480, 603, 404 };

	bob->manners = (struct manners){ .push_takes = world_below(w, 4), .push_then = world_below(w, 5),
		.push_status = refusals[world_below(w, 6)], .never_connects = world_chance(w, 10),
		.refuse = world_chance(w, 15) ? answers[world_below(w, 4)] : 0, .is_mute = world_chance(w, 10),
		.never_answers = world_chance(w, 10), .answers_after_ms = world_below(w, 3000) };
}

static bool is_empty(void *arg)
{
	return world_stored_count(arg, "bob") == 0;
}

/* However he has behaved: at last all of it comes. */
static void come_back_well(struct world *w, struct ua *bob)
{
	bob->manners = (struct manners){ 0 };
	for (unsigned i = 0; i < 40; i++) {
		expect_final(ua_register(bob, 600));
		if (world_until(w, is_empty, w, 20000))
			return;
	}
	if (world_is_strict(w))
		world_miss(w, "%u messages are still stored", world_stored_count(w, bob->name));
}

static void push(struct world *w)
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_new(w, "bob");

	for (unsigned i = 0; i < ROUNDS; i++) {
		bob->manners = (struct manners){ 0 }; /* he may still be there, if the store did not let him go */
		store_some(w, alice, bob);
		if (world_chance(w, 40))
			store_large(w, alice, bob);
		change_manners(w, bob);
		expect_final(ua_register(bob, 600));
		if (world_chance(w, 30))
			expect_final(ua_register(bob, 600)); /* no second push beside the first */
		world_ms(w, world_below(w, world_chance(w, 50) ? 1000 : 60000));
		expect_final(ua_register(bob, 0));
	}
	come_back_well(w, bob);
}

#define PUSHES "deferred.push_on_register=true", "timers.client_answer=5s"

SCENARIO(push, "deferred messages to receivers of every kind", .may_repeat = true, .set = { PUSHES })
{
	push(w);
}

SCENARIO(push_narrow, "the same with a narrow window and a rate", .may_repeat = true,
	.set = { PUSHES, "deferred.push_window=1", "deferred.push_rate=5/s" })
{
	push(w);
}

SCENARIO(push_store_fails, "the same with a store that loses a tenth of its groups", .may_repeat = true,
	.store_fails = 100, .set = { PUSHES })
{
	push(w);
}

SCENARIO(push_lossy, "the same with connections that break by themselves", .may_repeat = true, .may_lose = true,
	.set = { PUSHES })
{
	push(w);
}

SCENARIO(push_drained, "a server that stops while it pushes", .may_repeat = true, .set = { PUSHES })
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_new(w, "bob");

	store_some(w, alice, bob);
	store_some(w, alice, bob);
	change_manners(w, bob);
	ua_register(bob, 600);
	world_moment(w, 300000);
	world_drain(w);
	world_ms(w, 60000);
}
