/* Settings that are published and mailboxes that are watched, with a store that answers late and fails now and then. */
#include "tests/sim/scenario.h"

/* ---- settings ---- */

/* A device as its owner knows it: what it published last. */
struct device {
	struct request *last; /* with the tag; NULL: nothing of it is there */
	enum barring barring;
	unsigned changed; /* when */
};

static bool is_barred(const struct device devices[2])
{
	const struct device *decisive = NULL;

	for (unsigned i = 0; i < 2; i++)
		if (devices[i].last && devices[i].barring != BARRING_UNSAID &&
		    (!decisive || devices[i].changed > decisive->changed))
			decisive = &devices[i];
	return decisive && decisive->barring == BARRING_ON;
}

static void publish(struct world *w, struct ua *bob, struct device *device, unsigned now)
{
	enum barring barring = (enum barring)world_below(w, 3);
	bool refreshes = device->last && world_chance(w, 30), removes = device->last && !refreshes && world_chance(w, 30);
	struct request *r = ua_publish(bob, device->last, refreshes || removes ? NULL : &barring, removes ? 0 : 600);

	expect_final(r);
	if (r->status == 503) /* nothing of it is true */
		return;
	if (r->status != 200) {
		world_miss(w, "PUBLISH gets %u", r->status);
		return;
	}
	device->last = removes ? NULL : r;
	if (refreshes || removes)
		return;
	device->barring = barring;
	device->changed = now;
}

static void live_with_settings(struct world *w)
{
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_registered_at_last(w, "bob");
	struct device devices[2] = { 0 };

	bob->manners.refuse = 486;
	for (unsigned i = 0; i < 16; i++) {
		publish(w, bob, &devices[world_below(w, 2)], i);
		if (world_chance(w, 60))
			expect_refused(ua_invite(alice, bob), is_barred(devices) ? 480 : 486);
	}
}

SCENARIO(settings, "two devices that publish, refresh and remove", .is_calm = true)
{
	live_with_settings(w);
}

SCENARIO(settings_store_fails, "the same with a store that loses a fifth of its groups", .store_fails = 200)
{
	live_with_settings(w);
}

SCENARIO(settings_burst, "PUBLISHs of one user close together, some of which the store loses", .store_fails = 200)
{
	static const enum barring on = BARRING_ON;
	struct ua *bob = ua_new(w, "bob");
	struct request *all[12];

	for (unsigned i = 0; i < 12; i++) {
		all[i] = ua_publish(bob, NULL, &on, world_chance(w, 70) ? 600 : 0);
		world_moment(w, 20000);
	}
	for (unsigned i = 0; i < 12; i++) {
		expect_final(all[i]);
		if (all[i]->status != 200 && all[i]->status != 503) /* the store, or too many of them wait */
			world_miss(w, "PUBLISH gets %u", all[i]->status);
	}
}

SCENARIO(settings_expire, "publications that nobody refreshes")
{
	static const enum barring on = BARRING_ON, off = BARRING_OFF;
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");

	bob->manners.refuse = 486;
	expect_status(ua_publish(bob, NULL, &on, 200), 200);
	expect_status(ua_publish(bob, NULL, &off, 60), 200);
	expect_refused(ua_invite(alice, bob), 486);
	world_ms(w, 61000);
	expect_refused(ua_invite(alice, bob), 480);
	world_ms(w, 140000);
	expect_refused(ua_invite(alice, bob), 486);
}

/* ---- the summary of a mailbox ---- */

struct watch {
	struct world *w;
	struct ua *ua;
};

static bool knows_all(void *arg)
{
	struct watch *watch = arg;

	return watch->ua->summary == world_stored_count(watch->w, watch->ua->name);
}

/* D2-27: one for each SUBSCRIBE, and else one a second. */
static void expect_paced(struct world *w, const struct ua *ua, unsigned asked, uint64_t since_ms)
{
	uint64_t most = asked + (world_now_ms(w) - since_ms) / 1000 + 1;

	if (ua->notifies > most)
		world_miss(w, "%u NOTIFYs, where %llu are permitted", ua->notifies, (unsigned long long)most);
}

static void watch_mailbox(struct world *w)
{
	uint64_t since_ms = world_now_ms(w);
	unsigned asked = 1;
	struct ua *alice = ua_registered_at_last(w, "alice"), *bob = ua_new(w, "bob");
	struct watch watch = { w, bob };
	struct request *first = ua_subscribe(bob, NULL, 60);

	expect_final(first);
	for (unsigned i = 0; i < 10 && first->status == 200; i++) {
		struct request *more = world_chance(w, 30) ? ua_subscribe(bob, first, 60) : NULL;
		expect_final(ua_pager(alice, bob, 1 + world_below(w, 300))->request);
		world_moment(w, 2000000);
		if (more)
			expect_final(more);
		asked += more != NULL;
		expect_paced(w, bob, asked, since_ms);
	}
	if (first->status != 200) {
		if (first->status != 503)
			world_miss(w, "SUBSCRIBE gets %u", first->status);
		return;
	}
	if (!world_until(w, knows_all, &watch, 30000) && world_is_strict(w))
		world_miss(w, "bob knows of %llu messages of %u", (unsigned long long)bob->summary,
			world_stored_count(w, "bob"));
	expect_final(ua_subscribe(bob, first, 0));
	world_ms(w, 20000);
	if (!bob->is_unsubscribed && world_is_strict(w))
		world_miss(w, "no last NOTIFY");
}

SCENARIO(summary, "a mailbox that is watched while it fills", .is_calm = true, .may_repeat = true)
{
	watch_mailbox(w);
}

SCENARIO(summary_store_fails, "the same with a store that loses a tenth of its groups", .store_fails = 100, .may_repeat = true)
{
	watch_mailbox(w);
}

SCENARIO(summary_nobody, "subscribers who refuse a NOTIFY, do not answer, or leave", .may_repeat = true)
{
	struct ua *alice = ua_registered(w, "alice"), *bob = ua_new(w, "bob");

	for (unsigned i = 0; i < 6; i++) {
		bob->manners.ignores_notify = world_chance(w, 30);
		bob->manners.refuse_notify = world_chance(w, 50) ? 481 : 0;
		ua_subscribe(bob, NULL, world_chance(w, 30) ? 0 : 1 + world_below(w, 60));
		world_moment(w, 3000000);
		if (world_chance(w, 50))
			ua_pager(alice, bob, 10);
		if (world_chance(w, 20))
			ua_reset_sip(bob);
		world_moment(w, 3000000);
	}
}

SCENARIO(summary_drain, "a server that stops says so to its subscribers", .is_calm = true)
{
	struct ua *bob = ua_new(w, "bob");

	expect_status(ua_subscribe(bob, NULL, 600), 200);
	world_moment(w, 2000000);
	world_drain(w);
	world_ms(w, 5000);
	if (!bob->is_unsubscribed)
		world_miss(w, "no last NOTIFY");
}
