/*
 * Users who fetch what waits for them, by each name of the store, and vanish after some, refuse, fall silent, cancel or
 * hang up: each message is delivered at least once, with the same content inside, or still stored (ua_check()).
 */
#include "tests/sim/scenario.h"

#define ROUNDS 6

static void store_some(struct world *w, struct ua *alice, struct ua *bob)
{
	expect_final(ua_register(bob, 0));
	for (unsigned n = 1 + world_below(w, 6); n > 0; n--)
		expect_final(ua_pager(alice, bob, 1 + world_below(w, 1000))->request);
	expect_final(ua_register(bob, 600));
}

static void change_manners(struct world *w, struct ua *bob)
{
	static const unsigned refusals[] = { 413, 415, 481, 400, 403, 408 };

	bob->manners = (struct manners){ .push_takes = world_below(w, 4), .push_then = world_below(w, 5),
		.push_status = refusals[world_below(w, 6)], .never_connects = world_chance(w, 10),
		.never_acks = world_chance(w, 10) };
}

/* 404: no message of that name; 403: the account of somebody who is there. */
static struct call *fetch_some(struct world *w, struct ua *bob)
{
	static const struct {
		const char *uri;
		unsigned status;
	} targets[] = { { "sip:Deferred@store.example.com", 200 }, { "sip:deferred@example.com", 200 },
		{ "sip:bob@store.example.com", 200 }, { "sip:alice@store.example.com", 403 },
		{ "sip:aaaaaaaaaaaaaaaaaaaaaaaaaa@store.example.com", 404 }, { "sip:x%40y@store.example.com", 404 } };
	unsigned which = world_below(w, 6);
	struct call *call = ua_fetch(bob, targets[which].uri);
	bool is_cancelled = world_chance(w, 15);

	if (is_cancelled)
		ua_cancel(call);
	expect_final(call->invite);
	if (call->invite->status != targets[which].status && world_is_strict(w) && !is_cancelled &&
	    call->invite->status != 503)
		world_miss(w, "%s gets %u", targets[which].uri, call->invite->status);
	return call;
}

static bool is_over(void *arg)
{
	const struct call *call = arg;

	return call->is_over;
}

static bool is_empty(void *arg)
{
	return world_stored_count(arg, "bob") == 0;
}

/* However he has behaved: at last all of it comes. */
static void fetch_all(struct world *w, struct ua *bob)
{
	bob->manners = (struct manners){ 0 };
	for (unsigned i = 0; i < 12; i++) {
		struct call *call = ua_fetch(bob, "sip:Deferred@store.example.com");
		expect_final(call->invite);
		bool has_ended = world_until(w, is_over, call, 60000);
		if (!has_ended && world_is_strict(w))
			world_miss(w, "a retrieval does not end");
		ua_bye(call);
		if (world_until(w, is_empty, w, 2000))
			return;
	}
	if (world_is_strict(w))
		world_miss(w, "%u messages are still stored", world_stored_count(w, "bob"));
}

static void retrieve(struct world *w)
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_registered_at_last(w, "bob");
	struct call *calls[2];

	for (unsigned i = 0; i < ROUNDS; i++) {
		store_some(w, alice, bob);
		change_manners(w, bob);
		for (unsigned j = 0; j < 2; j++) /* the second while the first holds some of it */
			calls[j] = fetch_some(w, bob);
		world_ms(w, world_below(w, world_chance(w, 50) ? 1000 : 60000));
		for (unsigned j = 0; j < 2; j++)
			ua_bye(calls[j]);
	}
	world_ms(w, 40000);
	fetch_all(w, bob);
}

#define FETCHED "deferred.push_on_register=false", "timers.msrp_transaction=5s"

SCENARIO(retrieval, "users of every kind who fetch what waits for them", .may_repeat = true, .set = { FETCHED })
{
	retrieve(w);
}

SCENARIO(retrieval_store_fails, "the same with a store that loses a tenth of its groups", .may_repeat = true,
	.store_fails = 100, .set = { FETCHED })
{
	retrieve(w);
}

SCENARIO(retrieval_lossy, "the same with connections that break by themselves", .may_repeat = true, .may_lose = true,
	.set = { FETCHED })
{
	retrieve(w);
}

SCENARIO(retrieval_drained, "a server that stops while they fetch", .may_repeat = true, .set = { FETCHED })
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_registered_at_last(w, "bob");

	store_some(w, alice, bob);
	change_manners(w, bob);
	ua_fetch(bob, "sip:Deferred@store.example.com");
	ua_fetch(bob, "sip:bob@store.example.com");
	world_moment(w, 300000);
	world_drain(w);
	world_ms(w, 60000);
}
