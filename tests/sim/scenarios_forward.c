/* What is passed on outside dialogs, in the simulator. */
#include "tests/sim/scenario.h"

/* Without memory for it a Contact is not known afterwards: 404. */
static void expect_passed_on(struct world *w, struct request *request)
{
	expect_final(request);
	if (request->status != 200 && !w->is_memory_short)
		world_fail(w, "%s is not passed on: %u", request->method, request->status);
}

SCENARIO(forward, "SUBSCRIBE and REFER to a user and to the Contact of a session, while it lives and after it")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *carl = ua_registered(w, "carl");
	struct call *call = ua_invite(alice, bob);

	expect_bound(call);
	struct request *requests[] = {
		ua_outside(alice, "SUBSCRIBE", "sip:bob@example.com", NULL),
		ua_outside(alice, "REFER", "sip:carl@example.com", call->target),
		ua_outside(carl, "SUBSCRIBE", call->target, NULL),
		ua_outside(alice, "REFER", call->target, call->target),
	};
	for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		expect_passed_on(w, requests[i]);
	ua_bye(call);
	expect_over(call);
	expect_passed_on(w, ua_outside(alice, "SUBSCRIBE", call->target, NULL));
	expect_passed_on(w, ua_outside(alice, "REFER", "sip:carl@example.com", call->target));
}

SCENARIO(forward_absent, "to nobody, and to one who leaves", .may_lose = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct request *to_nobody = ua_outside(alice, "SUBSCRIBE", "sip:nobody@example.com", NULL),
		       *to_bob = ua_outside(alice, "REFER", "sip:bob@example.com", "sip:x@y.invalid");

	ua_reset_sip(bob);
	ua_register(bob, 0);
	expect_final(to_nobody);
	expect_final(to_bob);
	if (to_nobody->status / 100 == 2)
		world_miss(w, "a SUBSCRIBE to nobody is accepted");
}
