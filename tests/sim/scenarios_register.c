/* Registrations in the simulator, with a store that answers late and fails now and then. */
#include "core/store.h"
#include "tests/sim/scenario.h"

/* What was answered with 200 is so, what with 503 changed nothing. */
SCENARIO(register_store_fails, "a store that loses a third of its groups", .store_fails = 300,
	.set = { "policy.offline_pager=reject" })
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_new(w, "bob");
	bool is_registered = false;

	for (unsigned i = 0; i < 8; i++) {
		unsigned expires_s = world_chance(w, 50) ? 600 : 0;
		struct request *r = ua_register(bob, expires_s);
		expect_final(r);
		if (r->status == 200)
			is_registered = expires_s > 0;
		else if (r->status != 503)
			world_miss(w, "REGISTER gets %u", r->status);
		expect_pager(ua_pager(alice, bob, 20), is_registered ? 200 : 480);
	}
}

/* On time, not before; a refresh moves it. What expired leaves the store too (settle() looks). */
SCENARIO(register_expires, "registrations that are refreshed, and that are not",
	.set = { "policy.offline_pager=reject" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");
	unsigned expires_s = 60 + world_below(w, 30);

	expect_status(ua_register(bob, expires_s), 200);
	uint64_t since_ms = world_now_ms(w);
	world_ms(w, 40000);
	expect_pager(ua_pager(alice, bob, 20), 200);
	if (world_chance(w, 50)) {
		expect_status(ua_register(bob, expires_s), 200);
		since_ms = world_now_ms(w);
		world_ms(w, 45000);
		expect_pager(ua_pager(alice, bob, 20), 200);
	}
	if (world_now_ms(w) < since_ms + expires_s * 1000)
		world_ms(w, since_ms + expires_s * 1000 - world_now_ms(w));
	expect_pager(ua_pager(alice, bob, 20), 480);
}

SCENARIO(register_burst, "REGISTERs of one user close together, some of which the store loses", .store_fails = 200)
{
	struct ua *bob = ua_new(w, "bob");
	struct request *all[12];

	for (unsigned i = 0; i < 12; i++) {
		all[i] = ua_register(bob, world_chance(w, 70) ? 600 : 0);
		world_moment(w, 20000);
	}
	for (unsigned i = 0; i < 12; i++) {
		expect_final(all[i]);
		/* 500: a later one was faster; 503: the store, or too many of them wait */
		if (all[i]->status != 200 && all[i]->status != 500 && all[i]->status != 503)
			world_miss(w, "REGISTER gets %u", all[i]->status);
	}
}

SCENARIO(register_stream_ends, "clients whose connections end while they register", .tcp = ON, .may_lose = true)
{
	struct ua *alice = ua_new(w, "alice"), *bob = ua_new(w, "bob");

	for (unsigned i = 0; i < 6; i++) {
		struct ua *one = world_chance(w, 50) ? alice : bob;
		ua_register(one, 600);
		world_moment(w, 60000);
		if (world_chance(w, 50))
			ua_reset_sip(one);
		expect_final(ua_pager(one == alice ? bob : alice, one, 10)->request);
	}
}
