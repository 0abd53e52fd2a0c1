/* Changes of running sessions in the simulator: alone, against each other, and against the end. */
#include "tests/sim/scenario.h"

static struct call *session(struct world *w)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob);

	expect_bound(call);
	return call;
}

static void expect_alive(struct call *call)
{
	ua_send(call, 1000);
	ua_send(call->far, 1000);
	expect_delivered(call);
	expect_delivered(call->far);
}

static void end(struct world *w, struct call *call)
{
	ua_bye(world_chance(w, 50) ? call : call->far);
	expect_over(call);
}

SCENARIO(changes, "new descriptions of either side, one after the other, while messages flow")
{
	struct call *call = session(w);

	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned i = 0; i < 4; i++) {
		struct call *by = world_chance(w, 50) ? call : call->far;
		unsigned before = by->far ? by->far->was_changed : 0;
		ua_send(call, 5000);
		ua_send(call->far, 5000);
		world_ms(w, 20000); /* an ACK that was lost is there by then: until then 491 would be right */
		struct request *change = ua_change(by, world_chance(w, 50));
		if (!change)
			return;
		expect_final(change);
		if (change->status != 200)
			world_miss(w, "a change gets %u", change->status);
		if (by->far && by->far->was_changed == before)
			world_miss(w, "nobody heard of the change");
	}
	expect_delivered(call);
	expect_delivered(call->far);
	end(w, call);
}

SCENARIO(changes_cross, "both sides change something at about the same time: 491, and later it works")
{
	struct call *call = session(w);
	struct request *one, *other;

	if (!call->far)
		return;
	world_ms(w, 5000);
	for (unsigned i = 0; i < 3; i++) {
		one = ua_change(call, world_chance(w, 70));
		world_moment(w, 100000);
		other = ua_change(call->far, world_chance(w, 70));
		if (!one || !other)
			return;
		expect_final(one);
		expect_final(other);
		if ((one->status != 200 && one->status != 491) || (other->status != 200 && other->status != 491))
			world_miss(w, "changes that cross get %u and %u", one->status, other->status);
		world_ms(w, 20000); /* as above: five repetitions of a 2xx or its ACK may be lost */
	}
	one = ua_change(world_chance(w, 50) ? call : call->far, world_chance(w, 50));
	if (!one)
		return;
	expect_final(one);
	if (one->status != 200)
		world_miss(w, "a change alone gets %u", one->status);
	expect_alive(call);
	end(w, call);
}

SCENARIO(change_and_bye, "one side changes something while the other ends the session")
{
	struct call *call = session(w);
	struct request *change;

	if (!call->far)
		return;
	world_ms(w, 5000);
	change = ua_change(call, world_chance(w, 50));
	world_moment(w, 100000);
	ua_bye(world_chance(w, 50) ? call : call->far);
	expect_over(call);
	if (!change)
		return;
	expect_final(change);
	/* 500: the BYE of the same side has overtaken it (RFC 3261 12.2.2) */
	if (change->status != 200 && change->status != 487 && change->status != 481 && change->status != 500)
		world_miss(w, "a change that meets BYE gets %u", change->status);
}

SCENARIO(sessions_that_last, "the caller refreshes, the server refreshes who was called: the session lives on",
	.set = { "timers.session_expires=90s" })
{
	struct call *call = session(w);
	struct request *refresh;

	for (unsigned i = 0; i < 6 && call->far; i++) {
		world_ms(w, 40000);
		if (call->is_over || call->far->is_over)
			world_miss(w, "a session that was refreshed ended");
		refresh = ua_change(call, world_chance(w, 50));
		if (!refresh)
			return;
		expect_final(refresh);
	}
	if (!call->far || call->is_over || call->far->is_over)
		return;
	if (call->far->was_changed < 6)
		world_miss(w, "refreshed %u times", call->far->was_changed);
	expect_alive(call);
	end(w, call);
}

SCENARIO(nobody_refreshes, "a caller who promised to refresh and does not: both sides get BYE",
	.set = { "timers.session_expires=90s" })
{
	struct call *call = session(w);

	if (!call->far)
		return;
	world_ms(w, 100000);
	expect_over(call);
	if (!call->got_bye || !call->far->got_bye)
		world_miss(w, "a session that nobody refreshed ends without BYE");
}

SCENARIO(inside, "requests of other methods cross the session both ways, and its end")
{
	static const char *const methods[] = { "INFO", "REFER", "PUBLISH" };
	struct call *call = session(w);
	struct request *asked[6] = { NULL };

	if (!call->far)
		return;
	world_ms(w, 5000);
	bool ends = world_chance(w, 50);
	for (unsigned i = 0; i < 6; i++) {
		asked[i] = ua_inside(world_chance(w, 50) ? call : call->far, methods[world_below(w, 3)]);
		if (ends && world_chance(w, 20))
			ua_bye(world_chance(w, 50) ? call : call->far);
		world_moment(w, 100000);
	}
	for (unsigned i = 0; i < 6; i++) {
		if (!asked[i])
			continue;
		expect_final(asked[i]);
		/* 500: a later one has overtaken it (RFC 3261 12.2.2) */
		if (asked[i]->status != 200 && asked[i]->status != 500 && !(ends && asked[i]->status == 481))
			world_miss(w, "%s inside the session gets %u", asked[i]->method, asked[i]->status);
	}
	if (!ends && !call->is_over && !call->far->is_over)
		expect_alive(call);
	end(w, call);
	world_ms(w, 310000); /* the subscriptions of REFERs that nobody ended */
}
