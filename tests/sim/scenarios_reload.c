/* Reloads in the simulator: what is in force changes under everything that is under way. */
#include "tests/sim/scenario.h"

/* Other values for what a message meets on its way; none of them may harm one that is allowed by all. */
static void reload(struct world *w)
{
	static const char *const changes[] = {
		"limits.header_bytes=4KiB", "limits.header_bytes=64KiB", "limits.leg_high=512KiB", "limits.leg_high=130KiB",
		"limits.leg_low=1KiB", "limits.queued_bytes=64MiB", "limits.sessions=32", "limits.sessions=4000",
		"limits.max_size_pager=1MiB", "limits.conns_per_ip=0", "limits.reattach=60s", "core.trusted=[10.0.0.0/8]",
		"policy.content_types=['text/*', 'message/*', 'application/*']", "policy.feature_tag=never",
		"timers.session_expires=3600s", "timers.msrp_transaction=400s", "store.group_commit=0", "core.users=open",
	};
	const char *set[6];
	unsigned count = 1 + world_below(w, 6);

	for (unsigned i = 0; i < count; i++)
		set[i] = changes[world_below(w, sizeof(changes) / sizeof(changes[0]))];
	world_reload(w, set, count);
}

#define SLOW .set = { "timers.msrp_transaction=300s", "limits.chunk_stall=300s" }

SCENARIO(reloads, "the configuration changes again and again under sessions and pager messages", SLOW)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob"), *carol = ua_registered(w, "carol");
	struct call *call = ua_invite(alice, bob), *later;
	unsigned rounds = 4 + world_below(w, 9);

	reload(w);
	expect_bound(call);
	if (!call->far) /* there was no memory for it */
		return;
	for (unsigned i = 0; i < rounds; i++) {
		ua_send(call, 1 + world_below(w, i % 8 ? 3000 : 40000));
		ua_send(call->far, 1 + world_below(w, 3000));
		world_moment(w, 20000);
		reload(w);
		if (world_chance(w, 20))
			reload(w); /* before all have heard of the one before */
		if (i % 4 == 0) {
			struct message *message = ua_pager(alice, carol, 1 + world_below(w, 500));
			reload(w);
			expect_pager(message, 200);
		}
	}
	later = ua_invite(carol, alice);
	reload(w);
	expect_bound(later);
	expect_delivered(call);
	expect_delivered(call->far);
	ua_bye(call);
	reload(w);
	expect_over(call);
	if (later->far) {
		ua_bye(later->far);
		expect_over(later);
	}
}

SCENARIO(reload_lowers_sessions, "limits.sessions below what there is: no session ends, no other begins", .set = { "policy.feature_tag=never" })
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob);

	expect_bound(call);
	if (!call->far)
		return;
	world_reload(w, (const char *[]){ "limits.sessions=1" }, 1);
	world_ms(w, 1000); /* all workers have heard of it */
	expect_refused(ua_invite(bob, alice), 503);
	ua_send(call, 1000);
	expect_delivered(call);
	world_reload(w, (const char *[]){ "limits.sessions=64" }, 1);
	world_ms(w, 1000);
	struct call *other = ua_invite(bob, alice);
	expect_bound(other);
	ua_bye(call);
	expect_over(call);
	if (other->far) {
		ua_bye(other);
		expect_over(other);
	}
}

SCENARIO(many_reloads, "ten thousand of them: each is freed once all have changed over", .one_seed_in = 20, .is_long = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");
	struct call *call = ua_invite(alice, bob);

	expect_bound(call);
	for (unsigned i = 0; i < 10000; i++) {
		reload(w);
		if (i % 100 == 0 && call->far)
			ua_send(call, 100);
		world_us(w, 500);
	}
	if (!call->far)
		return;
	expect_delivered(call);
	ua_bye(call);
	expect_over(call);
}
