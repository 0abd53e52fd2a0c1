/* How sessions begin and end in the simulator, and how they do not. */
#include "tests/sim/scenario.h"

SCENARIO(cancel_any_time, "CANCEL before, after and together with the answer: one final state")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");
	struct call *call;

	bob->manners.answers_after_ms = world_chance(w, 50) ? 0 : world_below(w, 1000);
	bob->manners.never_answers = world_chance(w, 10);
	if (world_chance(w, 10))
		bob->manners.refuse = 486;
	expect_status(ua_register(bob, 600), 200);
	call = ua_invite(alice, bob);
	world_moment(w, 1000000);
	ua_cancel(call);
	expect_over(call);
	if (call->invite->status != 200 && call->invite->status != 487 && call->invite->status != 486)
		world_miss(w, "a cancelled INVITE ends with %u", call->invite->status);
}

SCENARIO(anonymous, "a caller who says nobody is who registered by his flow; without one he is refused")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *stranger = ua_new(w, "stranger");
	struct call *call;

	alice->manners.is_anonymous = stranger->manners.is_anonymous = true;
	call = ua_invite(alice, bob);
	expect_refused(ua_invite(stranger, bob), 403);
	expect_bound(call);
	ua_send(call, 1 + world_below(w, 10000));
	expect_delivered(call);
	ua_bye(call);
	expect_over(call);
	call = ua_invite(alice, bob);
	world_moment(w, 20000); /* often while the workers are asked */
	ua_cancel(call);
	expect_over(call);
}

SCENARIO(refused, "a refusal and its ACK find each other, whichever worker they come to")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");
	struct ua *nobody = ua_new(w, "nobody");

	bob->manners.refuse = 486;
	expect_status(ua_register(bob, 600), 200);
	for (unsigned i = 0; i < 3; i++) {
		expect_refused(ua_invite(alice, bob), 486);
		expect_refused(ua_invite(alice, nobody), 480);
	}
	world_ms(w, 40000); /* timer H is over by then */
	if (world_counter(w, COUNTER_sip_transaction_timeouts))
		world_miss(w, "an ACK was not taken for what it is");
}

SCENARIO(bye_crossing, "both sides end it at about the same time")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob);

	if (world_chance(w, 50))
		expect_bound(call);
	else
		expect_status(call->invite, 200);
	if (!call->is_answered) /* there was no memory for it */
		return;
	ua_bye(call);
	world_moment(w, 50000);
	ua_bye(call->far);
	expect_over(call);
	if (call->far->bye)
		expect_final(call->far->bye);
	if (call->bye)
		expect_final(call->bye);
	if (call->bye && call->bye->status != 200 && call->bye->status != 481)
		world_miss(w, "BYE gets %u", call->bye->status);
}

SCENARIO(never_connects, "a side that never brings its connection: the session ends")
{
	struct ua *alice = ua_new(w, "alice"), *bob = ua_new(w, "bob"), *lazy = world_chance(w, 50) ? alice : bob;
	struct call *call;

	lazy->manners = (struct manners){ .never_connects = true, .setup = SETUP_ACTIVE };
	expect_status(ua_register(alice, 600), 200);
	expect_status(ua_register(bob, 600), 200);
	call = ua_invite(alice, bob);
	ua_send(call, 100);
	expect_status(call->invite, 200);
	expect_over(call);
	if (!call->got_bye || !call->far || !call->far->got_bye)
		world_miss(w, "a session without a connection ends without BYE");
}

SCENARIO(never_answers, "an INVITE without an answer is over in the end, on both sides")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");
	struct call *call;

	if (world_chance(w, 30))
		bob->manners.never_answers = true;
	else
		bob->manners.is_mute = true;
	expect_status(ua_register(bob, 600), 200);
	call = ua_invite(alice, bob);
	if (bob->manners.never_answers)
		world_ms(w, 190000);
	expect_final(call->invite);
	if (call->invite->status != 408 && call->invite->status != 480)
		world_miss(w, "INVITE without answer gets %u", call->invite->status);
	if (bob->manners.never_answers)
		expect_over(call);
}

SCENARIO(never_acks, "a caller without ACK: both sides get BYE")
{
	struct ua *alice = ua_new(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call;

	alice->manners.never_acks = true;
	expect_status(ua_register(alice, 600), 200);
	call = ua_invite(alice, bob);
	expect_status(call->invite, 200);
	expect_over(call);
	if (!call->far || !call->far->got_bye)
		world_miss(w, "the called side hears nothing of it");
}
