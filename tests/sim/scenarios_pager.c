/* Pager mode in the simulator. */
#include "tests/sim/scenario.h"

SCENARIO(pager, "pager messages both ways, each delivered once")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct message *first = ua_pager(alice, bob, 1 + world_below(w, 1000));
	struct message *second = ua_pager(bob, alice, 1 + world_below(w, 1000));
	struct message *third = ua_pager(alice, bob, 1 + world_below(w, 1000));

	expect_pager(first, 200);
	expect_pager(second, 200);
	expect_pager(third, 200);
}

SCENARIO(pager_little_credit, "workers that may hardly send each other anything", .workers_min = 2, .credit = 1)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct message *messages[12];

	for (unsigned i = 0; i < 12; i++)
		messages[i] = ua_pager(i % 2 ? alice : bob, i % 2 ? bob : alice, 1 + world_below(w, 1000));
	for (unsigned i = 0; i < 12; i++)
		expect_pager(messages[i], 200);
}

SCENARIO(pager_absent, "pager messages to nobody and to one who leaves", .may_lose = true,
	.set = { "policy.offline_pager=reject" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *nobody = ua_new(w, "nobody");
	struct message *to_nobody = ua_pager(alice, nobody, 10), *to_bob = ua_pager(alice, bob, 10);

	ua_reset_sip(bob);
	ua_register(bob, 0);
	expect_final(to_nobody->request);
	expect_final(to_bob->request);
	if (to_nobody->request->status / 100 == 2)
		world_miss(w, "a message to nobody is accepted");
}
