/* Users with several clients: who gets the session, and that nobody else keeps one. */
#include "tests/sim/scenario.h"

#define PHONES 3

static void draw_manners(struct world *w, struct ua *phone)
{
	static const unsigned refusals[] = { 486, 480, 404, 500, 603 };

	phone->manners.answers_after_ms = world_chance(w, 40) ? 0 : world_below(w, 400);
	if (world_chance(w, 20))
		phone->manners.refuse = refusals[world_below(w, 5)];
	else if (world_chance(w, 10))
		phone->manners.never_answers = true;
	else if (world_chance(w, 5))
		phone->manners.is_mute = true;
}

/* Three clients, by the seed of one q or of several; a third of them may have none. */
static struct ua *bob_with_phones(struct world *w, struct ua *phones[])
{
	bool is_parallel = world_chance(w, 60);

	for (unsigned i = 0; i < PHONES; i++) {
		unsigned q = is_parallel ? 500 : 900 - 300 * i;
		phones[i] = i ? ua_phone(w, phones[0], q) : ua_new(w, "bob");
		phones[i]->q = q;
		draw_manners(w, phones[i]);
		expect_status(ua_register(phones[i], 600), 200);
	}
	return phones[0];
}

/* Somebody says nothing at all, or rings for ever: the server waits for him. */
static bool is_patient(struct ua *phones[])
{
	for (unsigned i = 0; i < PHONES; i++)
		if (phones[i]->manners.is_mute || phones[i]->manners.never_answers)
			return true;
	return false;
}

SCENARIO(one_of_several_phones, "whoever answers first has the session, all others are out of it")
{
	struct ua *phones[PHONES], *alice = ua_registered(w, "alice"), *bob = bob_with_phones(w, phones);
	struct call *call = ua_invite(alice, bob);

	if (is_patient(phones))
		world_ms(w, 240000);
	expect_final(call->invite);
	if (call->invite->status == 200) {
		world_ms(w, 40000); /* what crossed is ended by then */
		if (!ua_winner(call)) {
			world_miss(w, "a session with nobody");
			return;
		}
		expect_bound(call);
		ua_send(call, 1 + world_below(w, KB(20))); /* an empty one is no message */
		expect_delivered(call);
		ua_bye(call);
	}
	expect_all_over(call);
}

SCENARIO(cancel_of_several, "CANCEL at any time: no phone keeps a session that the caller does not have")
{
	struct ua *phones[PHONES], *alice = ua_registered(w, "alice"), *bob = bob_with_phones(w, phones);
	struct call *call = ua_invite(alice, bob);

	world_moment(w, 600000);
	ua_cancel(call);
	expect_final(call->invite);
	world_ms(w, 40000);
	if (call->invite->status == 200)
		ua_bye(call); /* it crossed */
	expect_all_over(call);
}

SCENARIO(phones_that_vanish, "connections of the called clients end in the middle of the call", .tcp = ON)
{
	struct ua *phones[PHONES], *alice = ua_registered(w, "alice"), *bob = bob_with_phones(w, phones);
	struct call *call = ua_invite(alice, bob);

	for (unsigned i = 0; i < PHONES; i++) {
		world_moment(w, 200000);
		if (world_chance(w, 50))
			ua_reset_sip(phones[i]);
	}
	if (is_patient(phones))
		world_ms(w, 240000);
	expect_final(call->invite);
	if (call->invite->status == 200)
		ua_bye(call);
}
