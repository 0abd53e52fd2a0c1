/*
 * INVITEs to a group or to a session identity: one handler for beginning, joining and coming back (D1-09), in its
 * order of checks: isfocus in Contact 403 with Warning (groups), initiation policy 403 (no active session), joining
 * policy 403, participants 486 with Warning, anonymity 403, description 488.
 */
#include "actors/conference_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/group.h"
#include "actors/refer.h"
#include "actors/session_sdp.h"

enum { JOINING_LOOKUP_MS = 15000 };

/* An INVITE to a group without session: its document is asked for. */
struct conference_joining {
	struct actor actor;
	LIST_ENTRY(conference_joining) link;
	struct im *im;
	struct sip_server *server; /* NULL: it was taken back */
	struct timer deadline;
	struct identity who;
	bool may_leave;
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	size_t request_n;
	char request[];
};

/* ---- checks ---- */

static bool is_focus(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_address address;
	struct sip_uri uri;

	if (sip_address_next(&items, &address) != SIP_ITEM_OK)
		return false;
	return sip_params_have_feature(address.params, "isfocus") ||
	       (sip_uri_parse(address.uri, &uri) && sip_uri_param(&uri, "isfocus", NULL));
}

/* 7.2.2.9 */
static bool may_join(const struct conference *c, const struct group *group, const struct identity *who)
{
	if (group)
		return group_permits(group, GROUP_JOIN, who);
	return conference_participant(c, slice_of(who->canonical, who->canonical_n)) != NULL;
}

static bool is_full(const struct conference *c, const struct identity *who)
{
	const struct participant *p = conference_participant(c, slice_of(who->canonical, who->canonical_n));

	return (!p || p->state == PARTICIPANT_LEFT) && c->present >= conference_places(c);
}

/* `c` NULL: it would begin.  False: refused. */
static bool is_permitted(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start, const struct conference *c, const struct group *group)
{
	const struct identity *who = start->who;

	if (start->kind == CONTROLLING_GROUP && is_focus(m)) {
		im_refuse_with_warning(im, server, 403, REASON_IS_FOCUS, "isfocus already assigned");
		return false;
	}
	if ((!c && !group_permits(group, GROUP_INITIATE, who)) || !may_join(c, group, who)) {
		sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
		return false;
	}
	if (c ? is_full(c, who) : group->max_participants == 0) {
		conference_refuse_too_many(im, server);
		return false;
	}
	if (who->is_anonymous && !(im->config->policy.allow_anonymity && (!group || group_permits(group, GROUP_BE_ANONYMOUS, who)))) {
		sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
		return false;
	}
	return true;
}

/* ---- joining ---- */

/* His old leg goes, whatever it was (D1-09).  True: the conference went with it. */
static bool replace(struct participant *p, struct virtual_user_agent *old)
{
	bool was_invited = p->state == PARTICIPANT_INVITED || p->state == PARTICIPANT_ALERTING;

	if (p->in_room)
		msrp_room_remove(p->conference->room, virtual_user_agent_leg(old));
	p->in_room = false;
	p->agent = NULL; /* what follows may be the end of the conference, which ends the agents that it has */
	if (old)
		virtual_user_agent_end(old, NULL);
	bool is_first = was_invited && p->invitation && p->invitation->is_first;
	conference_tell_result(p, 200, SLICE_EMPTY);
	return is_first && conference_setup_result(p->conference, 0);
}

static void refuse_types(struct im *im, struct virtual_user_agent *agent)
{
	char line[512];
	struct buffer headers = buffer_over(line, sizeof(line));

	im_write_warning(im, &headers, 305, "no common accept-types");
	virtual_user_agent_refuse(agent, 488, REASON_SDP, buffer_slice(&headers));
}

/* 200 to him.  False: refused, nothing has changed. */
static bool answer(struct participant *p, struct virtual_user_agent *agent, const struct session_peer *said)
{
	struct conference *c = p->conference;

	if (!conference_narrow_types(c, said->media->accept_types)) {
		refuse_types(c->im, agent);
		return false;
	}
	struct virtual_user_agent_media media = conference_media(c, said);
	return virtual_user_agent_accept(agent, &media, SLICE_EMPTY, NULL);
}

/* The originator again, before anybody has answered: he waits in another dialog. */
static void wait_on(struct participant *p, struct virtual_user_agent *agent)
{
	virtual_user_agent_end(p->agent, NULL);
	p->agent = agent;
}

static struct participant *find_or_add(struct conference *c, const struct sip_message *m, const struct identity *who,
	bool *is_new)
{
	struct slice canonical = slice_of(who->canonical, who->canonical_n);
	struct participant *p = conference_participant(c, canonical);
	char text[IM_CANONICAL_MAX + 8];
	struct buffer uri = buffer_over(text, sizeof(text));

	*is_new = !p;
	if (p)
		return p;
	buffer_printf(&uri, "sip:%.*s", SLICE_ARG(canonical));
	return participant_add(c, &(struct participant_start){ canonical, buffer_slice(&uri),
		conference_nickname_of(c, m, who), who->is_anonymous, PARTICIPANT_LEFT });
}

static void join(struct conference *c, struct sip_server *server, const struct sip_message *m, const struct identity *who)
{
	struct virtual_user_agent *agent, *old;
	const struct sdp_media *media;
	struct participant *p;
	struct sdp offer;
	bool is_new;

	p = find_or_add(c, m, who, &is_new);
	if (!p || (who->is_anonymous && !participant_hide(p))) {
		if (p && is_new)
			participant_free(p);
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (!conference_ring(p, &agent, server, m)) {
		if (is_new)
			participant_free(p);
		return;
	}
	if (session_sdp_read(m, &offer, &media) != SDP_ACCEPTED) {
		virtual_user_agent_refuse(agent, 488, REASON_SDP, SLICE_EMPTY);
		if (is_new)
			participant_free(p);
		return;
	}
	if (p->state == PARTICIPANT_JOINING) {
		wait_on(p, agent);
		return;
	}
	struct session_peer said = { &offer, media, false, NULL, 0 };
	struct participant_side side = participant_side_of(&said);
	if (!answer(p, agent, &said)) {
		if (is_new)
			participant_free(p);
		return;
	}
	old = p->agent;
	bool is_gone = replace(p, old);
	if (is_gone) {
		virtual_user_agent_end(agent, NULL);
		return;
	}
	p->agent = agent;
	if (!participant_connect(p, &side, old ? "replaced" : "joined"))
		(void)conference_remove(p, "no memory");
	else
		(void)conference_accept_originator(c);
}

/* ---- beginning a group's session, 7.2.1.3 ---- */

static void begin(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start, struct group *group)
{
	struct conference *c = conference_open(im, CONFERENCE_GROUP, group);
	unsigned places, called = 0;

	if (!c) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (!conference_ring_originator(c, server, m, start))
		return;
	COUNT(&im->worker->counters, conferences_begun);
	LOG(INFO, im->worker, "conference", c->actor.id, "begun group=%.*s", SLICE_ARG(start->canonical));
	c->setup->is_inviting = true;
	places = conference_places(c);
	for (unsigned i = 0; group->invite_members && i < group->member_count && called + 1 < places; i++) {
		const struct group_member *member = &group->members[i];
		if (slice_eq(member->canonical, participant_canonical(c->originator)))
			continue;
		conference_invite_first(c, m, member->uri, member->display_name);
		called++;
	}
	if (!called && !conference_narrow_types(c, slice_str(c->offered_types))) /* nobody else says anything (D1-19) */
		(void)conference_refuse_originator(c, 503, REASON_NO_MEMORY, NULL);
	else
		conference_invited_all(c);
}

static void on_group(struct conference_joining *j, struct sip_server *server, const struct sip_message *m,
	const struct group_find *found)
{
	struct slice canonical = slice_of(j->canonical, j->canonical_n);
	struct conference *c = conference_find_group(j->im, canonical);
	struct controlling_start start = { .kind = CONTROLLING_GROUP, .who = &j->who, .canonical = canonical,
		.may_leave = j->may_leave };

	switch (found->verdict) {
	case GROUP_NONE:
		im_refuse_with_warning(j->im, server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
		return;
	case GROUP_UNREADABLE:
		sip_server_refuse(server, 503, REASON_STORE);
		return;
	case GROUP_FOUND:
		break;
	}
	if (!is_permitted(j->im, server, m, &start, c, c ? c->group : found->group))
		return;
	if (c) /* somebody else was faster */
		join(c, server, m, &j->who);
	else
		begin(j->im, server, m, &start, found->group);
}

/* ---- waiting for the document ---- */

static void joining_free(struct conference_joining *j)
{
	worker_disarm(j->im->worker, &j->deadline);
	if (j->server)
		sip_server_watch(j->server, NULL, NULL);
	LIST_REMOVE(j, link);
	actor_close(&j->actor);
	free(j);
}

/* The group was changed or deleted after the answer: a session of what is no more would never hear of it.  True: it is
 * asked for again, until the deadline at most. */
static bool asks_again(const struct conference_joining *j, const struct group_find *found)
{
	struct slice canonical = slice_of(j->canonical, j->canonical_n);

	return j->server && found->verdict == GROUP_FOUND && !group_is_current(j->im, canonical, found->group) &&
	       group_find(j->im, canonical, j->actor.id) == 0;
}

static void on_message(struct actor *actor, struct msg *msg)
{
	struct conference_joining *j = (struct conference_joining *)actor;
	struct group_find *found = (struct group_find *)msg;
	struct sip_limits limits = { j->request_n + 1, j->request_n + 1, 0 };
	struct sip_server *server = j->server;
	struct sip_message m;
	size_t used;

	if (asks_again(j, found)) {
		group_find_free(found);
		return;
	}
	j->server = NULL;
	if (server) {
		sip_server_watch(server, NULL, NULL);
		if (sip_message_parse(&m, slice_of(j->request, j->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
			on_group(j, server, &m, found);
		else
			sip_server_refuse(server, 400, REASON_SYNTAX); /* cannot be: it was read before */
	}
	group_find_free(found);
	joining_free(j);
}

static const struct actor_type joining_type = { "joining", on_message };

static void on_cancel(struct sip_server *server, void *arg)
{
	struct conference_joining *j = arg;

	sip_server_respond(server, &(struct sip_reply){ .status = 487 });
	j->server = NULL;
	sip_server_watch(server, NULL, NULL);
}

static void on_gone(struct sip_server *server, void *arg)
{
	struct conference_joining *j = arg;

	(void)server;
	j->server = NULL;
}

static const struct sip_server_events waiting_events = { .on_cancel = on_cancel, .on_gone = on_gone };

static void on_late(struct timer *timer)
{
	struct conference_joining *j = (struct conference_joining *)((char *)timer - offsetof(struct conference_joining, deadline));

	if (j->server) {
		struct sip_server *server = j->server;
		j->server = NULL;
		sip_server_watch(server, NULL, NULL);
		sip_server_refuse(server, 503, REASON_STORE);
	}
	joining_free(j);
}

static void look_up(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	struct conference_joining *j = calloc(1, sizeof(*j) + m->wire.n);

	if (!j || actor_open(im->worker, &j->actor, &joining_type) != 0) {
		free(j);
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	j->im = im;
	j->who = *start->who;
	j->may_leave = start->may_leave;
	memcpy(j->canonical, start->canonical.p, start->canonical.n);
	j->canonical_n = start->canonical.n;
	memcpy(j->request, m->wire.p, m->wire.n);
	j->request_n = m->wire.n;
	LIST_INSERT_HEAD(&im->joinings, j, link);
	if (group_find(im, start->canonical, j->actor.id) != 0) {
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		joining_free(j);
		return;
	}
	j->server = server;
	sip_server_watch(server, &waiting_events, j);
	worker_arm(im->worker, &j->deadline, JOINING_LOOKUP_MS, on_late);
}

void conference_joinings_free(struct im *im)
{
	struct conference_joining *j;

	while ((j = LIST_FIRST(&im->joinings))) {
		j->server = NULL;
		joining_free(j);
	}
}

void conference_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	struct conference *c;

	if (start->kind == CONTROLLING_FACTORY) {
		conference_start_adhoc(im, server, m, start);
		return;
	}
	c = start->kind == CONTROLLING_SESSION ? conference_find(im, start->target->user) :
						 conference_find_group(im, start->canonical);
	if (!c) /* a group: of sessions the door has looked */
		look_up(im, server, m, start);
	else if (is_permitted(im, server, m, start, c, c->group))
		join(c, server, m, start->who);
}
