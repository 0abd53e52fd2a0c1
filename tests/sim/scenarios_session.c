/* Sessions in the simulator: messages, back-pressure, connections of several workers. */
#include "tests/sim/scenario.h"

/* Its network may be slow: answers stand in line behind what else its sender sends. */
#define SLOW .set = { "timers.msrp_transaction=300s", "limits.chunk_stall=300s" }

static struct call *session(struct ua *from, struct ua *to)
{
	struct call *call = ua_invite(from, to);

	expect_bound(call);
	return call;
}

/* Most are small, some are long. */
static size_t some_octets(struct world *w)
{
	static const unsigned most[] = { 20, 3000, 40000, 400000 };

	return 1 + world_below(w, most[world_below(w, 4)]);
}

/* On a shared connection nobody is held for a slow session: that one is dropped beyond limits.leg_high. */
static size_t few_octets(struct world *w)
{
	size_t n = some_octets(w);

	return n > KB(40) ? KB(40) : n;
}

SCENARIO(session_both_ways, "messages of all sizes in chunks of all sizes, both ways", SLOW)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob);

	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned i = 0; i < 4; i++) {
		ua_send(call, some_octets(w));
		ua_send(call->far, some_octets(w));
		if (world_chance(w, 50))
			world_moment(w, 100000);
	}
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(world_chance(w, 50) ? call : call->far);
	expect_over(call);
}

SCENARIO(long_session, "a session that was acknowledged lasts longer than any transaction")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob);

	if (!call->far) /* there was no memory for it */
		return;
	world_ms(w, 40000);
	if (call->is_over || call->far->is_over)
		world_miss(w, "the session ended by itself");
	ua_send(call, some_octets(w));
	ua_send(call->far, some_octets(w));
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(world_chance(w, 50) ? call : call->far);
	expect_over(call);
}

SCENARIO(few_blocks, "workers with few receive blocks", SLOW, .blocks = 6)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob);

	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned i = 0; i < 4; i++) {
		ua_send(call, few_octets(w));
		ua_send(call->far, few_octets(w));
	}
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(call);
	expect_over(call);
}

SCENARIO(slow_reader, "who does not read holds the sender, and loses nothing", SLOW)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob);
	struct message *answer;

	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned pauses = 1 + world_below(w, 3); pauses; pauses--) {
		ua_stop_reading(call->far);
		ua_send(call, KB(300) + world_below(w, KB(1200)));
		ua_send(call, some_octets(w));
		answer = ua_send(call->far, some_octets(w));
		world_ms(w, 100 + world_below(w, 5000));
		if (world_counter(w, COUNTER_msrp_tx_bytes) > KB(8192))
			world_miss(w, "what nobody reads was sent");
		ua_resume_reading(call->far);
		expect_delivered(call);
		expect_delivered(call->far);
		if (answer->deliveries != 1)
			world_miss(w, "an answer went lost");
	}
	ua_bye(call);
	expect_over(call);
}

SCENARIO(both_stop_reading, "both sides stop reading for a while", SLOW)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob);

	if (!call->far) /* there was no memory for it */
		return;
	ua_stop_reading(call);
	ua_stop_reading(call->far);
	for (unsigned i = 0; i < 3; i++) {
		ua_send(call, KB(100) + world_below(w, KB(400)));
		ua_send(call->far, KB(100) + world_below(w, KB(400)));
	}
	world_ms(w, 100 + world_below(w, 3000));
	ua_resume_reading(call);
	world_ms(w, world_below(w, 3000));
	ua_resume_reading(call->far);
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(call->far);
	expect_over(call);
}

SCENARIO(shared_connection, "sessions of several workers on one connection of the caller", SLOW)
{
	struct ua *alice = ua_new(w, "alice"), *users[3];
	struct call *calls[3];

	alice->manners.setup = SETUP_ACTIVE;
	expect_status(ua_register(alice, 600), 200);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "bob", "carol", "dave" };
		users[i] = ua_registered(w, names[i]);
		calls[i] = ua_invite(alice, users[i]);
		if (i)
			ua_share_connection(calls[i], calls[0]);
		expect_bound(calls[i]);
		if (!calls[i]->far)
			return;
	}
	for (unsigned i = 0; i < 9; i++) {
		ua_send(calls[i % 3], few_octets(w));
		ua_send(calls[i % 3]->far, few_octets(w));
		if (world_chance(w, 30))
			world_moment(w, 50000);
	}
	if (world_chance(w, 50)) {
		struct call *reader = calls[world_below(w, 3)]->far;
		ua_stop_reading(reader);
		world_ms(w, world_below(w, 3000));
		ua_resume_reading(reader);
	}
	for (unsigned i = 0; i < 3; i++) {
		expect_delivered(calls[i]);
		expect_delivered(calls[i]->far);
	}
	ua_bye(calls[world_below(w, 3)]); /* the others go on */
	for (unsigned i = 0; i < 3; i++)
		if (!calls[i]->is_over)
			ua_send(calls[i], few_octets(w));
	for (unsigned i = 0; i < 3; i++) {
		if (!calls[i]->is_over)
			expect_delivered(calls[i]);
		ua_bye(calls[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		expect_over(calls[i]);
}

SCENARIO(msrp_reset, "a connection of either side is reset at a random moment", .may_lose = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob);

	world_moment(w, 200000);
	for (unsigned i = 0; i < 3; i++) {
		ua_send(call, some_octets(w));
		if (call->far)
			ua_send(call->far, some_octets(w));
	}
	world_moment(w, 300000);
	if (world_chance(w, 50))
		ua_reset_sip(world_chance(w, 50) ? alice : bob);
	if (call->far && world_chance(w, 50))
		ua_reset_msrp(call->far);
	else
		ua_reset_msrp(call);
	world_ms(w, world_below(w, 20000));
	ua_bye(call);
	world_ms(w, 40000);
}

SCENARIO(drain, "the server goes down in the middle")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob), *late;
	bool waits = world_chance(w, 50);

	if (waits)
		expect_bound(call);
	else
		world_moment(w, 200000);
	ua_send(call, some_octets(w));
	if (call->far)
		ua_send(call->far, some_octets(w));
	world_moment(w, 100000);
	world_drain(w);
	late = ua_invite(bob, alice);
	expect_refused(late, 503);
	if (waits)
		expect_over(call);
	else
		ua_bye(call); /* it may have been set up after that */
	expect_over(call);
}

SCENARIO(noise, "clients that talk nonsense disturb nobody", SLOW)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct ua *mallory = ua_new(w, "mallory");
	struct call *call;
	struct message *pager;

	ua_make_noise(mallory, world_chance(w, 50));
	call = session(alice, bob);
	if (!call->far) /* there was no memory for it */
		return;
	pager = ua_pager(alice, bob, 1 + world_below(w, 1000));
	for (unsigned i = 0; i < 6; i++) {
		ua_make_noise(mallory, world_chance(w, 50));
		if (i % 2)
			ua_send(call, few_octets(w));
		else
			ua_send(call->far, few_octets(w));
		world_moment(w, 50000);
	}
	expect_pager(pager, 200);
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(call);
	expect_over(call);
}

SCENARIO(garbled_session, "nonsense on a session's connection: it may end, and leaves nothing",
	.may_lose = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = session(alice, bob), *victim;

	if (!call->far)
		return;
	victim = world_chance(w, 50) ? call : call->far;
	ua_send(call, some_octets(w));
	world_moment(w, 50000);
	ua_garble_msrp(victim);
	ua_send(call, few_octets(w));
	ua_send(call->far, few_octets(w));
	world_ms(w, world_below(w, 20000));
	ua_bye(call);
	world_ms(w, 40000);
}
