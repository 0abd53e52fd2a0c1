/*
 * Large messages to somebody who never comes: clients that end well or in any
 * other way, a store that fails.  What had its 200 is in the store, octet by
 * octet (ua_check()); what is there is whole.
 */
#include "tests/sim/scenario.h"

#define SESSIONS 6

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

static size_t some_size(struct world *w)
{
	static const size_t exact[] = { 65535, 65536, 65537, 131072, 131073 };

	if (world_chance(w, 30))
		return exact[world_below(w, 5)];
	return 1 + world_below(w, world_chance(w, 50) ? 3000 : 300000);
}

/* What was announced, or less, or more. */
static struct message *send_some(struct world *w, struct call *call, size_t announced)
{
	size_t n = world_chance(w, 80) ? announced : some_size(w);

	return ua_send(call, n);
}

/* Until the message has its answer; meanwhile a refresh where the connection stays what it is, or a request of no use
 * here (no message: the session is over). */
static void stay(struct world *w, struct call *call, struct message *m)
{
	if (world_chance(w, 30) && !w->scenario->may_lose)
		(void)ua_change(call, world_chance(w, 50));
	if (world_chance(w, 20))
		(void)ua_inside(call, world_chance(w, 50) ? "OPTIONS" : "MESSAGE");
	if (!world_until(w, is_answered, m, 60000) && world_is_strict(w))
		world_miss(w, "a large message has no answer");
}

static void talk(struct world *w, struct call *call, size_t announced)
{
	struct message *m = send_some(w, call, announced);

	switch (world_below(w, 8)) {
	case 0: /* hangs up in the middle */
		world_moment(w, 200000);
		break;
	case 1: /* its connection breaks, and that is that */
		world_moment(w, 200000);
		ua_reset_msrp(call);
		world_ms(w, world_below(w, 15000));
		break;
	case 2: /* its connection breaks, and it comes back */
		world_moment(w, 200000);
		ua_reset_msrp(call);
		world_ms(w, 100);
		ua_come_back(call);
		(void)world_until(w, is_bound_or_over, call, 5000); /* or not */
		m = send_some(w, call, announced);
		if (!world_until(w, is_answered, m, 60000) && ua_leg_is_bound(call) && world_is_strict(w))
			world_miss(w, "a large message has no answer after its sender came back");
		break;
	case 3: /* says nothing more for a long time */
		world_ms(w, 200000);
		break;
	case 4: /* several in one session */
		(void)world_until(w, is_answered, m, 60000); /* or refused */
		m = send_some(w, call, announced);
		stay(w, call, m);
		break;
	default:
		stay(w, call, m);
	}
}

static void deposit(struct world *w)
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_new(w, "bob");

	for (unsigned i = 0; i < SESSIONS; i++) {
		size_t announced = alice->manners.announces = some_size(w);
		alice->manners.never_acks = world_chance(w, 10);
		struct call *call = ua_invite(alice, bob);
		if (world_chance(w, 10))
			ua_cancel(call);
		expect_final(call->invite);
		if (call->invite->status == 200 && world_until(w, is_bound_or_over, call, 8000) && !call->is_over)
			talk(w, call, announced);
		else if (call->invite->status != 200 && call->invite->status != 503 && call->invite->status != 487 &&
			 world_is_strict(w))
			world_miss(w, "a large message gets %u", call->invite->status);
		ua_bye(call);
		world_moment(w, 1000000);
	}
	world_ms(w, 30000); /* a BYE waits for the commit of what it has overtaken */
}

SCENARIO(large, "large messages to somebody who is away")
{
	deposit(w);
}

SCENARIO(large_store_fails, "the same with a store that loses a tenth of its groups", .store_fails = 100)
{
	deposit(w);
}

SCENARIO(large_lossy, "the same with connections that break by themselves", .may_lose = true)
{
	deposit(w);
}

SCENARIO(large_all_stored, "without any trouble every message is stored", .is_calm = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");

	for (unsigned i = 0; i < 4; i++) {
		alice->manners.announces = some_size(w);
		struct call *call = ua_invite(alice, bob);
		expect_status(call->invite, 200);
		if (!world_until(w, is_bound_or_over, call, 8000) || call->is_over)
			continue; /* there was no memory for it */
		struct message *m = ua_send(call, alice->manners.announces);
		(void)world_until(w, is_answered, m, 60000); /* or there was no memory */
		if (m->wants_no_answer)
			world_ms(w, 10000); /* with its BYE the client closes, whatever it has not sent yet */
		ua_bye(call);
		if (call->bye) /* it may have been ended for want of memory */
			expect_final(call->bye);
	}
	if (world_stored_count(w, "bob") != 4)
		world_miss(w, "%u of 4 are stored", world_stored_count(w, "bob"));
}

SCENARIO(large_drained, "a server that stops while large messages come")
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");
	struct call *calls[4];

	for (unsigned i = 0; i < 4; i++) {
		alice->manners.announces = some_size(w);
		calls[i] = ua_invite(alice, bob);
		expect_final(calls[i]->invite);
		if (!calls[i]->is_over && world_until(w, is_bound_or_over, calls[i], 8000) && !calls[i]->is_over)
			ua_send(calls[i], alice->manners.announces);
	}
	world_moment(w, 300000);
	world_drain(w);
	world_ms(w, 60000);
	for (unsigned i = 0; i < 4; i++)
		ua_bye(calls[i]);
}
