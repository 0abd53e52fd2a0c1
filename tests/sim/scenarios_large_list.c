/*
 * Large messages to lists and groups: recipients who are there, answer late, are away, refuse, read slowly, lose their
 * connections or leave.  What was taken reaches everybody but those who have done something against it, by his session
 * or in the store, whole and once (ua_focus_chunk()), and nothing is left (settle() of world.c).
 */
#include <stdlib.h>

#include "tests/sim/group_sim.h"
#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

enum { MOST = 6, WAIT_MS = 400000 };

struct mailing {
	struct world *w;
	struct ua *alice, *to[MOST];
	unsigned count;
	bool is_troubled[MOST]; /* need not have it */
	struct group_sim group; /* with a name: to that, whose members they are */
	struct call *call;
};

static bool all_is_sent(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < w->group.count; i++)
		if (pool_used(&im_of(w->group.workers[i])->large_lists))
			return false;
	return true;
}

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

static bool has_final(void *arg)
{
	return ((struct request *)arg)->status != 0;
}

static void enter(struct mailing *s)
{
	static const unsigned refusals[] = { 486, 488, 603 };
	char name[16];

	s->alice = ua_registered_at_last(s->w, "alice");
	s->count = 1 + world_below(s->w, MOST);
	for (unsigned i = 0; i < s->count; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		s->to[i] = world_chance(s->w, 25) ? ua_new(s->w, name) : ua_registered_at_last(s->w, name);
		s->to[i]->manners.answers_after_ms = world_chance(s->w, 50) ? 0 : world_below(s->w, 3000);
		if (world_chance(s->w, 15))
			s->to[i]->manners.refuse = refusals[world_below(s->w, 3)];
		else if (world_chance(s->w, 5))
			s->to[i]->manners.never_answers = true;
		else if (world_chance(s->w, 5))
			s->to[i]->manners.never_connects = true;
		s->is_troubled[i] = s->to[i]->manners.refuse || s->to[i]->manners.never_answers ||
				    s->to[i]->manners.never_connects;
	}
}

/* Somebody who gets it sleeps, wakes, leaves or vanishes. */
static void disturb(struct mailing *s)
{
	unsigned who = world_below(s->w, s->count);
	struct call *call = s->alice->host->calls;

	while (call && (call->ua != s->to[who] || call->conference != s->call || call->is_over || !call->is_answered))
		call = call->next;
	if (!call || world_chance(s->w, 50))
		return;
	if (world_chance(s->w, 60)) {
		ua_stop_reading(call);
		world_ms(s->w, world_below(s->w, 3000));
		ua_resume_reading(call);
		return;
	}
	s->is_troubled[who] = true;
	if (world_chance(s->w, 50))
		ua_bye(call);
	else
		ua_reset_msrp(call);
}

static bool has_heard(const struct mailing *s, const struct ua *user, const struct message *m)
{
	for (const struct call *call = user->host->calls; call; call = call->next)
		if (call->ua == user && call->conference == s->call && ua_has_heard(call, m))
			return true;
	return false;
}

static bool is_taken(const struct message *m)
{
	for (unsigned i = 0; i < m->chunks; i++)
		if (m->statuses[i] != 200)
			return false;
	return m->is_sent && !m->wants_no_answer;
}

static void expect_everywhere(struct mailing *s, struct message *m)
{
	for (unsigned i = 0; i < s->count && is_taken(m); i++) {
		s->call->to = s->to[i]; /* in whose mailbox it is looked for */
		bool is_stored = world_is_stored(s->w, m), is_heard = has_heard(s, s->to[i], m);
		if (is_stored && is_heard)
			world_miss(s->w, "message %u is stored for %s, who has it", m->number, s->to[i]->name);
		if (!is_stored && !is_heard && !s->is_troubled[i] && world_is_strict(s->w))
			world_miss(s->w, "message %u did not reach %s", m->number, s->to[i]->name);
	}
}

static void mail(struct mailing *s)
{
	struct message *messages[2] = { 0 };
	unsigned count = 1 + world_chance(s->w, 30);

	s->alice->manners.announces = 1 + world_below(s->w, world_chance(s->w, 50) ? 3000 : 200000);
	s->call = s->group.uri[0] ? ua_join(s->alice, NULL, s->group.uri) : ua_convene(s->alice, s->to, s->count);
	if (world_chance(s->w, 8))
		ua_cancel(s->call);
	if (!world_until(s->w, has_final, s->call->invite, WAIT_MS) && world_is_strict(s->w)) /* some ring as long as they may */
		world_miss(s->w, "a large message to many has no answer");
	if (s->call->invite->status == 200 && world_until(s->w, is_bound_or_over, s->call, 8000) && !s->call->is_over)
		for (unsigned i = 0; i < count; i++) {
			messages[i] = ua_send(s->call, s->alice->manners.announces);
			for (unsigned k = 0; k < 4; k++) {
				world_moment(s->w, 200000);
				disturb(s);
			}
			if (world_chance(s->w, 95))
				(void)world_until(s->w, is_answered, messages[i], 60000);
		}
	if (world_chance(s->w, 50))
		world_moment(s->w, 5000000);
	if (world_chance(s->w, 10))
		ua_reset_msrp(s->call);
	ua_bye(s->call);
	if (!world_until(s->w, all_is_sent, s->w, WAIT_MS))
		world_fail(s->w, "a message to many is under way for ever");
	world_ms(s->w, 30000);
	for (unsigned i = 0; i < count; i++)
		if (messages[i])
			expect_everywhere(s, messages[i]);
}

static void mail_to_list(struct world *w)
{
	struct mailing s = { .w = w };

	enter(&s);
	mail(&s);
}

SCENARIO(large_list, "large messages to a list, some of whom are late, slow, away or die", .is_calm = true)
{
	mail_to_list(w);
}

SCENARIO(large_list_rough, "the same with losses and spikes")
{
	mail_to_list(w);
}

SCENARIO(large_list_lossy, "the same with connections that break and a store that loses a tenth of its groups",
	.may_lose = true, .store_fails = 100)
{
	mail_to_list(w);
}

SCENARIO(large_list_of_group, "large messages to a group, whose document may go meanwhile", .is_calm = true)
{
	struct mailing s = { .w = w, .group = { .uri = "sip:group1@example.com" } };
	struct ua *members[MOST + 1];

	enter(&s);
	memcpy(members, s.to, sizeof(s.to));
	members[s.count] = s.alice;
	group_sim_put(w, &s.group, members, s.count + 1, false);
	mail(&s);
	group_sim_remove(w, &s.group);
}
