/* The life of a conference: the table by which it is found, its beginning and its end. */
#include "actors/conference_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/cdr.h"
#include "actors/group.h"
#include "actors/refer.h"
#include "actors/user.h"
#include "core/chains.h"
#include "sip/owner.h"

#define CONFERENCES_MAX (1u << 20)

/* Two ways to find one: by the user part of S, and by the group. */
struct conference_table {
	struct chains by_user, by_canonical;
};

static uint64_t hash_of_user(const void *item, const void *arg)
{
	const struct conference *conference = item;

	(void)arg;
	return minted_hash(slice_of(conference->user, MINTED_CHARS));
}

static uint64_t hash_of_canonical(const void *item, const void *arg)
{
	const struct conference *conference = item;

	(void)arg;
	return minted_hash(slice_of(conference->canonical, conference->canonical_n));
}

struct conference *conference_find(struct im *im, struct slice user)
{
	struct conference *c = chains_first(&im->conference_table->by_user, minted_hash(user));

	while (c && !slice_eq(slice_of(c->user, MINTED_CHARS), user))
		c = c->next_by_user;
	return c;
}

struct conference *conference_find_group(struct im *im, struct slice canonical)
{
	struct conference *c = chains_first(&im->conference_table->by_canonical, minted_hash(canonical));

	while (c && !slice_eq(slice_of(c->canonical, c->canonical_n), canonical))
		c = c->next_by_canonical;
	return c;
}

/* ---- names ---- */

bool conference_write_identity(const struct conference *c, struct buffer *out)
{
	buffer_printf(out, "sip:%.*s@%s", MINTED_CHARS, c->user, c->im->config->domain.home);
	return !out->overflow;
}

bool conference_write_entity(const struct conference *c, struct buffer *out)
{
	if (!c->group)
		return conference_write_identity(c, out);
	buffer_put(out, c->group->uri);
	return !out->overflow;
}

void conference_write_asserted(const struct conference *c, struct buffer *out)
{
	buffer_char(out, '<');
	buffer_put(out, c->group ? c->group->uri : slice_str(c->im->config->domain.factory));
	buffer_char(out, '>');
}

unsigned conference_places(const struct conference *c)
{
	return c->group ? c->group->max_participants : c->im->config->limits.max_adhoc_group;
}

/* ---- the beginning ---- */

static void count(const struct im *im)
{
	gauge_set(&im->worker->counters, GAUGE_conferences, pool_used(&im->conferences));
	pool_gauge_set(&im->worker->counters, POOL_conferences, pool_used(&im->conferences));
}

static void on_message(struct actor *actor, struct msg *msg)
{
	struct conference *c = (struct conference *)actor;

	switch (msg->kind) {
	case MSG_USER_FOUND:
		conference_on_found(c, (struct user_find *)msg);
		break;
	case MSG_REPLACES_ANSWERED:
		conference_on_replaces(c, msg);
		break;
	case MSG_GROUP_FOUND:
		conference_setup_on_group(c, msg);
		break;
	default:
		free(msg);
	}
}

static const struct actor_type conference_type = { "conference", on_message };

static struct conference_state *begin_state(struct conference *c)
{
	char text[CONFERENCE_URI_MAX];
	struct buffer entity = buffer_over(text, sizeof(text));

	if (!conference_write_entity(c, &entity))
		return NULL;
	return conference_state_begin(c->im, &(struct conference_state_start){ .entity = buffer_slice(&entity),
		.group = slice_of(c->canonical, c->canonical_n), .session_user = slice_of(c->user, MINTED_CHARS) });
}

/* Whatever there is of it. */
static void free_all(struct conference *c)
{
	struct im *im = c->im;
	struct participant *p;

	while ((p = TAILQ_FIRST(&c->participants)))
		participant_free(p);
	worker_disarm(im->worker, &c->max_length);
	conference_setup_free(c);
	if (c->room)
		msrp_room_close(c->room);
	free(c->offered_types);
	free(c->accept_types);
	free(c->attributes);
	free(c->answered);
	free(c->canonical);
	group_drop(c->group);
	pool_give(&im->conferences, c);
	count(im);
}

static bool prepare(struct conference *c, struct group *group)
{
	const struct msrp_room_options options = { .members_max = MSRP_ROOM_MEMBERS_MAX };

	if (group) {
		c->group = group_hold(group);
		c->canonical = malloc(group->canonical.n + 1);
		if (!c->canonical)
			return false;
		memcpy(c->canonical, group->canonical.p, group->canonical.n);
		c->canonical_n = group->canonical.n;
	}
	if (msrp_room_open(&c->room, c->im->worker, &options, &conference_room_events, c) != 0) {
		c->room = NULL;
		return false;
	}
	c->state = begin_state(c);
	return c->state && actor_open(c->im->worker, &c->actor, &conference_type) == 0;
}

static void on_max_length(struct timer *timer)
{
	struct conference *c = (struct conference *)((char *)timer - offsetof(struct conference, max_length));

	conference_release(c, "max-length");
}

struct conference *conference_open(struct im *im, enum conference_kind kind, struct group *group)
{
	struct conference *c = pool_take(&im->conferences);

	if (!c)
		return NULL;
	c->im = im;
	c->kind = kind;
	c->start_us = cdr_now_us(im);
	TAILQ_INIT(&c->participants);
	minted_make(im->worker, c->user);
	if (!prepare(c, group)) {
		if (c->state)
			conference_state_end(c->state);
		free_all(c);
		return NULL;
	}
	chains_add(&im->conference_table->by_user, c);
	if (c->canonical)
		chains_add(&im->conference_table->by_canonical, c);
	if (im->config->policy.session_max_length_ms)
		worker_arm(im->worker, &c->max_length, im->config->policy.session_max_length_ms, on_max_length);
	count(im);
	return c;
}

/* ---- the end ---- */

static void close_all(struct conference *c)
{
	struct im *im = c->im;

	chains_remove(&im->conference_table->by_user, c);
	if (c->canonical)
		chains_remove(&im->conference_table->by_canonical, c);
	conference_state_end(c->state);
	actor_close(&c->actor);
	free_all(c);
}

void conference_discard(struct conference *c)
{
	close_all(c);
}

static void write_record(const struct conference *c, const char *why)
{
	char text[CONFERENCE_URI_MAX];
	struct buffer to = buffer_over(text, sizeof(text));

	if (!cdr_is_on(c->im))
		return;
	if (c->canonical)
		buffer_put(&to, slice_of(c->canonical, c->canonical_n));
	else
		buffer_printf(&to, "%.*s@%s", MINTED_CHARS, c->user, c->im->config->domain.home);
	cdr_write(c->im, &(struct cdr){ .type = "conference", .id = c->actor.id, .to = buffer_slice(&to),
		.start_us = c->start_us, .messages = c->messages, .reason = why });
}

void conference_release(struct conference *c, const char *why)
{
	struct participant *p;

	if (c->is_releasing)
		return;
	c->is_releasing = true;
	LOG(INFO, c->im->worker, "conference", c->actor.id, "released participants=%u messages=%u reason=%s", c->present,
		c->messages, why);
	COUNT(&c->im->worker->counters, conferences_released);
	referrals_on_release(c);
	TAILQ_FOREACH(p, &c->participants, link) {
		struct virtual_user_agent *agent = p->agent;
		conference_tell_result(p, 487, SLICE_EMPTY);
		p->agent = NULL;
		if (agent)
			virtual_user_agent_end(agent, NULL);
	}
	write_record(c, why);
	close_all(c);
}

/* 7.2.2.8; NULL: it goes on. */
static const char *end_of(const struct conference *c)
{
	const struct policy_options *policy = &c->im->config->policy;
	unsigned least = c->kind == CONFERENCE_ONE_TO_ONE ? 1 : c->kind == CONFERENCE_GROUP ? 0 : policy->remaining_participants;

	if (!c->originator && (c->kind != CONFERENCE_GROUP || policy->auto_release))
		return "originator-left";
	if (c->connected == 0) /* who is only invited would come to an empty room */
		return "empty";
	if (c->is_armed && c->present <= least)
		return "few-participants";
	return NULL;
}

bool conference_check_release(struct conference *c)
{
	const char *why = c->is_releasing ? NULL : end_of(c);

	if (why)
		conference_release(c, why);
	return why != NULL;
}

/* ---- of the worker ---- */

/* A group's document has changed (7.2.2.8 1f and 2a). */
static void on_group(struct im *im, struct slice canonical, struct group *now)
{
	struct conference *c = conference_find_group(im, canonical);
	struct participant *p, *next;

	if (!c)
		return;
	if (!now) {
		conference_release(c, "group-deleted");
		return;
	}
	group_drop(c->group);
	c->group = group_hold(now);
	for (p = TAILQ_FIRST(&c->participants); p; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->state == PARTICIPANT_LEFT || p->is_recorder || group_permits_user(now, GROUP_JOIN, participant_canonical(p)))
			continue;
		COUNT(&im->worker->counters, conference_members_barred);
		if (conference_remove(p, "not permitted by the group any more"))
			return;
	}
}

int conferences_init(struct im *im)
{
	struct conference_table *table = im->conference_table = calloc(1, sizeof(*table));

	if (!table)
		return ENOMEM;
	if (chains_init(&table->by_user, CONFERENCES_MAX, offsetof(struct conference, next_by_user), hash_of_user, NULL) != 0 ||
	    chains_init(&table->by_canonical, CONFERENCES_MAX, offsetof(struct conference, next_by_canonical),
		    hash_of_canonical, NULL) != 0)
		return ENOMEM;
	groups_on_change(im, on_group);
	conference_replaces_register(im->worker);
	return pool_init(&im->conferences, "conferences", sizeof(struct conference), im->config->limits.sessions) != 0 ?
		       ENOMEM :
		       pool_init(&im->participants, "participants", sizeof(struct participant), im->config->limits.sessions);
}

void conferences_drain(struct im *im)
{
	for (uint32_t slot = 0; slot < im->conferences.made; slot++) {
		struct conference *c = pool_at(&im->conferences, slot);
		if (c)
			conference_release(c, "draining");
	}
}

/* Their states and agents are forgotten: nobody is told anything any more. */
void conferences_free(struct im *im)
{
	conference_joinings_free(im);
	for (uint32_t slot = 0; slot < im->conferences.made; slot++) {
		struct conference *c = pool_at(&im->conferences, slot);
		if (c) {
			actor_close(&c->actor);
			free_all(c);
		}
	}
	pool_free(&im->participants);
	pool_free(&im->conferences);
	chains_free(&im->conference_table->by_user);
	chains_free(&im->conference_table->by_canonical);
	free(im->conference_table);
}
