/* Conferences that are called together: who answers is in, and in the end nobody is. */
#include "tests/sim/scenario.h"

#define INVITEES 4

static void draw_manners(struct world *w, struct ua *ua)
{
	static const unsigned refusals[] = { 486, 480, 415, 405, 603 };

	ua->manners.answers_after_ms = world_chance(w, 40) ? 0 : world_below(w, 400);
	if (world_chance(w, 20))
		ua->manners.refuse = refusals[world_below(w, 5)];
	else if (world_chance(w, 10))
		ua->manners.never_answers = true;
	else if (world_chance(w, 5))
		ua->manners.is_mute = true;
	else if (world_chance(w, 10))
		ua->manners.never_connects = true;
}

static struct call *convene(struct world *w)
{
	struct ua *to[INVITEES], *alice = ua_registered(w, "alice");
	unsigned count = 1 + world_below(w, INVITEES);

	for (unsigned i = 0; i < count; i++) {
		char name[16];
		snprintf(name, sizeof(name), "bob%u", i);
		to[i] = ua_registered(w, name);
		draw_manners(w, to[i]);
	}
	return ua_convene(alice, to, count);
}

SCENARIO(participants, "whoever answers is in the conference, and when its originator leaves nobody is")
{
	struct call *call = convene(w);

	world_moment(w, 600000);
	if (world_chance(w, 30))
		ua_cancel(call);
	world_ms(w, 240000); /* somebody may ring for ever */
	expect_final(call->invite);
	if (call->invite->status == 200)
		ua_bye(call);
	world_ms(w, 40000);
	expect_all_over(call);
}
