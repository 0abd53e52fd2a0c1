/*
 * What is done in conferences: users are added by REFER, one or several, in a dialog or outside; leave by BYE, by
 * REFER or by losing their connections; come back; watch who is there; and documents of groups change meanwhile.  In
 * the end everybody who is there hears everybody, who watches knows who is there, who referred knows what came of it,
 * and nothing is left (settle() of world.c).
 */
#include <stdlib.h>

#include "tests/sim/group_sim.h"
#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

enum { USERS = 6, STEPS = 40, WAIT_MS = 400000, CALM_MS = 60000 };

struct stage {
	struct world *w;
	struct ua *users[USERS + 1]; /* the first is alice, who begins */
	struct call *began;
	struct group_sim group;      /* with a name: it is one of a group */
	bool is_member[USERS + 1];
};

/* ---- who is there ---- */

static bool is_in(const struct call *call)
{
	return call->is_answered && call->is_acked && !call->is_over && ua_leg_is_bound(call) && !ua_leg_is_lost(call);
}

/* The user's last call in this conference that goes on; NULL: none. */
static struct call *call_of(const struct stage *s, const struct ua *user)
{
	for (struct call *call = user->host->calls; call; call = call->next)
		if (call->ua == user && call->conference == s->began && is_in(call))
			return call;
	return NULL;
}

static struct call *somebody(const struct stage *s)
{
	unsigned first = world_below(s->w, USERS + 1);

	for (unsigned i = 0; i <= USERS; i++) {
		struct call *call = call_of(s, s->users[(first + i) % (USERS + 1)]);
		if (call)
			return call;
	}
	return NULL;
}

static bool all_is_over(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < w->group.count; i++)
		if (pool_used(&im_of(w->group.workers[i])->conferences))
			return false;
	return true;
}

static void draw_manners(struct world *w, struct ua *ua)
{
	static const unsigned refusals[] = { 486, 480, 603 };

	ua->manners.refuse = 0;
	ua->manners.never_answers = false;
	ua->manners.answers_after_ms = world_chance(w, 40) ? 0 : world_below(w, 2000);
	if (world_chance(w, 15))
		ua->manners.refuse = refusals[world_below(w, 3)];
	else if (world_chance(w, 5))
		ua->manners.never_answers = true;
}

/* ---- what they do ---- */

static void refer(struct stage *s)
{
	struct call *by = somebody(s);
	struct ua *to[USERS];
	struct referring what = { .to = to, .is_outside = world_chance(s->w, 30), .is_silent = world_chance(s->w, 15),
		.is_bye = world_chance(s->w, 20) };
	unsigned first = world_below(s->w, USERS);

	what.count = world_chance(s->w, 60) ? 1 : 1 + world_below(s->w, USERS);
	for (unsigned i = 0; i < what.count; i++)
		to[i] = s->users[1 + (first + i) % USERS];
	if (by)
		(void)ua_refer(by, &what);
}

static struct watching *watch_of(const struct call *call)
{
	for (struct watching *watch = call->ua->host->watches; watch; watch = watch->next)
		if (watch->ua == call->ua && !watch->is_refer && !watch->is_over && watch->request &&
		    watch->request->status / 100 <= 2)
			return watch;
	return NULL;
}

static void watch(struct stage *s)
{
	struct call *by = somebody(s);
	struct watching *there = by ? watch_of(by) : NULL;

	if (there)
		ua_watch_again(there, world_chance(s->w, 30) ? 0 : 600);
	else if (by)
		(void)ua_watch(by, world_chance(s->w, 50), world_chance(s->w, 15) ? 0 : 600);
}

/* By the name of the session, or of the group. */
static void come(struct stage *s)
{
	struct ua *user = s->users[world_below(s->w, USERS + 1)];
	struct call *by = somebody(s);

	if (s->group.uri[0])
		(void)ua_join(user, s->began, s->group.uri);
	else if (by)
		(void)ua_join(user, s->began, by->target);
}

static unsigned count_there(const struct stage *s)
{
	unsigned there = 0;

	for (unsigned i = 0; i <= USERS; i++)
		there += call_of(s, s->users[i]) != NULL;
	return there;
}

/* Where it is the end of it all, not often. */
static void leave(struct stage *s)
{
	struct call *call = somebody(s);
	bool is_end = count_there(s) <= 2 || (call && call->ua == s->users[0] && !s->group.uri[0]);

	if (!call || (is_end && world_chance(s->w, 85)))
		return;
	if (world_chance(s->w, 70) || !s->w->scenario->may_lose)
		ua_bye(call);
	else if (world_chance(s->w, 70))
		ua_reset_msrp(call);
	else
		ua_reset_sip(call->ua);
}

static void speak(struct stage *s)
{
	struct call *call = somebody(s);

	if (call)
		(void)ua_send(call, 1 + world_below(s->w, world_chance(s->w, 80) ? 1000 : 20000));
}

static void change_group(struct stage *s)
{
	struct ua *members[USERS + 1];
	unsigned count = 0;

	if (!s->group.uri[0])
		return;
	for (unsigned i = 0; i <= USERS; i++) {
		s->is_member[i] = world_chance(s->w, 75);
		if (s->is_member[i])
			members[count++] = s->users[i];
	}
	if (world_chance(s->w, 15)) {
		memset(s->is_member, 0, sizeof(s->is_member));
		group_sim_remove(s->w, &s->group);
	} else {
		group_sim_put(s->w, &s->group, members, count, world_chance(s->w, 50));
	}
}

static bool is_decided(void *arg)
{
	const struct call *call = arg;

	return call->is_over || (is_in(call) && call->invite->status);
}

static void begin(struct stage *s)
{
	struct call *call;

	if (s->group.uri[0])
		call = ua_join(s->users[0], s->began, s->group.uri); /* the session of before may go on */
	else
		s->began = call = ua_convene(s->users[0], s->users + 1, 1 + world_below(s->w, 3));
	if (!s->began)
		s->began = call;
	if (world_chance(s->w, 80))
		(void)world_until(s->w, is_decided, call, 20000);
}

static void live(struct stage *s)
{
	static void (*const acts[])(struct stage *) = { refer, refer, watch, watch, come, leave, speak, speak, speak,
		change_group };

	for (unsigned i = 0; i < STEPS; i++) {
		world_moment(s->w, world_chance(s->w, 10) ? 10000000 : 300000);
		if (s->began->is_over && !somebody(s) && world_chance(s->w, 50))
			begin(s);
		acts[world_below(s->w, sizeof(acts) / sizeof(acts[0]))](s);
		if (world_chance(s->w, 20))
			draw_manners(s->w, s->users[1 + world_below(s->w, USERS)]);
	}
}

/* ---- what must be so when it is quiet ---- */

struct speech {
	struct stage *stage;
	struct message *message;
};

static bool is_heard(void *arg)
{
	const struct speech *speech = arg;
	const struct stage *s = speech->stage;

	for (struct call *call = s->users[0]->host->calls; call; call = call->next)
		if (call->conference == s->began && call != speech->message->from && is_in(call) &&
		    !ua_has_heard(call, speech->message))
			return false;
	return true;
}

static void expect_heard(struct stage *s)
{
	struct call *by = somebody(s);
	struct speech speech = { s, by ? ua_send(by, 1 + world_below(s->w, 3000)) : NULL };

	if (by && !world_until(s->w, is_heard, &speech, CALM_MS) && world_is_strict(s->w))
		world_miss(s->w, "message %u of %s did not reach everybody", speech.message->number, by->ua->name);
}

static bool knows(const struct stage *s, const struct watching *watch)
{
	unsigned there = count_there(s), known = 0;

	for (unsigned i = 0; i < watch->count; i++)
		known += watch->seen[i].is_there;
	for (unsigned i = 0; i < watch->count; i++)
		for (unsigned k = 0; k <= USERS; k++)
			if (watch->seen[i].is_there && strcmp(watch->seen[i].name, s->users[k]->name) == 0 &&
			    !call_of(s, s->users[k]))
				return false;
	return there == known;
}

static bool all_know(void *arg)
{
	const struct stage *s = arg;

	for (const struct watching *watch = s->users[0]->host->watches; watch; watch = watch->next)
		if (!watch->is_refer && !watch->is_over && watch->request->status / 100 == 2 && !knows(s, watch))
			return false;
	return true;
}

/* Nobody does anything any more, and what was under way has come to its end. */
static void expect_all_well(struct stage *s)
{
	world_ms(s->w, CALM_MS);
	expect_heard(s);
	if (!world_until(s->w, all_know, s, CALM_MS) && world_is_strict(s->w))
		world_miss(s->w, "somebody who watches does not know who is there");
	for (unsigned i = 0; i <= USERS && s->group.uri[0]; i++)
		if (!s->is_member[i] && call_of(s, s->users[i]) && world_is_strict(s->w))
			world_miss(s->w, "%s is there, whom the group does not permit", s->users[i]->name);
}

static void end(struct stage *s)
{
	for (struct call *call = s->users[0]->host->calls; call; call = call->next) {
		if (call->is_caller && !call->is_answered)
			ua_cancel(call);
		else
			ua_bye(call);
	}
	if (!world_until(s->w, all_is_over, s->w, WAIT_MS))
		world_miss(s->w, "a conference is there for ever");
	world_ms(s->w, CALM_MS);
	for (struct watching *watch = s->users[0]->host->watches; watch; watch = watch->next)
		if (watch->request && !watch->is_over)
			ua_watch_again(watch, 0); /* of a group without session */
	world_ms(s->w, CALM_MS);
	if (world_is_strict(s->w))
		ua_focus_check(s->users[0]->host);
	free(s->group.content);
}

static void enter_users(struct stage *s)
{
	char name[16];

	s->users[0] = ua_registered_at_last(s->w, "alice");
	for (unsigned i = 1; i <= USERS; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		s->users[i] = world_chance(s->w, 10) ? ua_new(s->w, name) : ua_registered_at_last(s->w, name);
		draw_manners(s->w, s->users[i]);
	}
}

static void confer(struct world *w)
{
	struct stage s = { .w = w };

	enter_users(&s);
	begin(&s);
	live(&s);
	expect_all_well(&s);
	end(&s);
}

SCENARIO(focus, "a conference to which users are referred, which they watch, leave and come back to", .is_calm = true)
{
	confer(w);
}

SCENARIO(focus_rough, "the same with losses and spikes")
{
	confer(w);
}

SCENARIO(focus_lossy, "the same with connections that break", .may_lose = true)
{
	confer(w);
}

static void gather(struct world *w)
{
	struct stage s = { .w = w, .group = { .uri = "sip:group1@example.com" } };

	enter_users(&s);
	group_sim_put(w, &s.group, s.users, USERS + 1, world_chance(w, 50));
	memset(s.is_member, 1, sizeof(s.is_member));
	begin(&s);
	live(&s);
	expect_all_well(&s);
	end(&s);
}

SCENARIO(group, "a group whose document changes and goes while its members come", .is_calm = true)
{
	gather(w);
}

SCENARIO(group_rough, "the same with losses and spikes")
{
	gather(w);
}

SCENARIO(group_lossy, "the same with connections that break", .may_lose = true)
{
	gather(w);
}

static bool is_call_decided(void *arg)
{
	const struct world *w = arg;

	for (const struct call *call = w->clients->calls; call; call = call->next)
		if (!call->is_over)
			return false;
	return true;
}

/* Whoever came when it was there, in whatever order that was noticed, is not in it afterwards. */
SCENARIO(group_gone, "a group that goes in the moment in which many come to it", .is_calm = true)
{
	struct stage s = { .w = w, .group = { .uri = "sip:group1@example.com" } };

	enter_users(&s);
	for (unsigned round = 0; round < 4; round++) {
		group_sim_put(w, &s.group, s.users, USERS + 1, world_chance(w, 30));
		world_ms(w, 10);
		for (unsigned i = 0; i <= USERS; i++) {
			struct call *call = ua_join(s.users[i], s.began, s.group.uri);
			s.began = s.began ? s.began : call;
			world_us(w, world_below(w, 300));
		}
		world_us(w, world_below(w, 1500));
		group_sim_remove(w, &s.group);
		if (!world_until(w, is_call_decided, w, WAIT_MS))
			world_miss(w, "somebody is in the session of a group that is no more");
	}
	free(s.group.content);
}

SCENARIO(focus_drain, "a server that stops in the midst of a conference: everybody gets his BYE, nobody is told twice", .is_calm = true)
{
	struct stage s = { .w = w };

	enter_users(&s);
	begin(&s);
	live(&s);
	world_drain(w);
	if (!world_until(w, all_is_over, w, 30000))
		world_miss(w, "a conference outlives the drain");
	if (!world_until(w, is_call_decided, w, WAIT_MS))
		world_miss(w, "somebody has no BYE");
}
