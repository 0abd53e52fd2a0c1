/* INVITEs to the factory: the list, the invitations, the originator's answer (7.2.1.2, F24).  Groups and those who
 * come later: conference_join.c. */
#include "actors/conference_internal.h"

#include <stdlib.h>

#include "actors/group.h"
#include "actors/policy.h"
#include "actors/session_sdp.h"
#include "actors/uri_list.h"
#include "sip/owner.h"

/* ---- the originator ---- */

void conference_refuse_too_many(struct im *im, struct sip_server *server)
{
	im_refuse_with_warning(im, server, 486, REASON_CONFERENCE_FULL, "Too many participants");
}

static struct slice display_of(const struct sip_message *m, bool hides)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_P_ASSERTED_IDENTITY);
	struct sip_address address;

	if (hides)
		return SLICE_EMPTY;
	if (sip_address_next(&items, &address) == SIP_ITEM_OK && address.display.n)
		return sip_unquote(address.display);
	return sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &address) ? sip_unquote(address.display) : SLICE_EMPTY;
}

struct slice conference_nickname_of(const struct conference *c, const struct sip_message *m, const struct identity *who)
{
	struct slice canonical = slice_of(who->canonical, who->canonical_n);
	const struct group_member *member = c->group ? group_find_member(c->group, canonical) : NULL;

	if (member && member->display_name.n && !who->is_anonymous)
		return member->display_name;
	return display_of(m, who->is_anonymous);
}

bool conference_ring(struct participant *p, struct virtual_user_agent **out, struct sip_server *server,
	const struct sip_message *m)
{
	struct conference *c = p->conference;
	char text[CONFERENCE_URI_MAX];
	struct buffer asserted = buffer_over(text, sizeof(text));

	conference_write_asserted(c, &asserted);
	return virtual_user_agent_ring(out, c->im, &(struct virtual_user_agent_answer){ .server = server, .invite = m,
		.user = participant_canonical(p), .asserted = buffer_slice(&asserted), .face = conference_face(c),
		.events = &conference_agent_events, .arg = p }, NULL);
}

/* What he says of his side, for everybody's. */
static bool keep_offer(struct conference *c, const struct sdp_media *media)
{
	char lines[4096];
	struct buffer attributes = buffer_over(lines, sizeof(lines)), types;
	size_t size = 4096 + media->accept_types.n;

	c->offered_types = malloc(size);
	if (!c->offered_types)
		return false;
	types = buffer_over(c->offered_types, size - 1);
	if (!policy_permitted_types(c->im->config, media->accept_types, &types))
		return false;
	c->offered_types[types.n] = '\0';
	virtual_user_agent_copy_attributes(&attributes, media, c->im->config->limits.max_size_1tom);
	c->attributes = attributes.overflow ? NULL : slice_to_string(buffer_slice(&attributes));
	return c->attributes != NULL;
}

static void on_expired(struct timer *timer)
{
	struct conference_setup *setup = (struct conference_setup *)((char *)timer - offsetof(struct conference_setup, deadline));

	const struct participant *originator = setup->conference->originator;

	if (originator && originator->state == PARTICIPANT_JOINING) /* else a group's session goes on without him */
		(void)conference_refuse_originator(setup->conference, 487, REASON_TIMEOUT, NULL);
}

static void arm(struct conference *c, const struct sip_message *m)
{
	uint32_t expires_s;

	if (sip_seconds_of(m, SIP_HDR_EXPIRES, &expires_s))
		worker_arm(c->im->worker, &c->setup->deadline, expires_s * 1000ull, on_expired);
}

bool conference_ring_originator(struct conference *c, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	char text[IM_CANONICAL_MAX + 8];
	struct buffer uri = buffer_over(text, sizeof(text));
	struct slice canonical = slice_of(start->who->canonical, start->who->canonical_n);
	const struct sdp_media *media;
	struct sdp offer;

	buffer_printf(&uri, "sip:%.*s", SLICE_ARG(canonical));
	c->setup = calloc(1, sizeof(*c->setup));
	c->originator = c->setup ? participant_add(c, &(struct participant_start){ canonical, buffer_slice(&uri),
					   conference_nickname_of(c, m, start->who), start->who->is_anonymous,
					   PARTICIPANT_JOINING }) :
				   NULL;
	if (!c->originator) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		conference_discard(c);
		return false;
	}
	c->originator->is_originator = true;
	c->setup->conference = c;
	c->setup->who = *start->who;
	c->setup->may_leave = start->may_leave;
	if (!conference_ring(c->originator, &c->originator->agent, server, m)) {
		conference_discard(c);
		return false;
	}
	if (session_sdp_read(m, &offer, &media) != SDP_ACCEPTED || !keep_offer(c, media)) {
		/* an INVITE without offer: nobody could be offered anything either */
		(void)conference_refuse_originator(c, 488, REASON_SDP, NULL);
		return false;
	}
	arm(c, m);
	return true;
}

void conference_setup_free(struct conference *c)
{
	if (!c->setup)
		return;
	worker_disarm(c->im->worker, &c->setup->deadline);
	recipients_free(&c->setup->listed);
	free(c->setup);
	c->setup = NULL;
}

bool conference_refuse_originator(struct conference *c, unsigned status, enum reason why, const char *warning)
{
	struct virtual_user_agent *agent = c->originator->agent;
	char line[512];
	struct buffer headers = buffer_over(line, sizeof(line));

	if (warning)
		im_write_warning(c->im, &headers, 399, warning);
	c->originator->agent = NULL;
	virtual_user_agent_refuse(agent, status, why, buffer_slice(&headers));
	conference_release(c, reason_label(why));
	return true;
}

bool conference_accept_originator(struct conference *c)
{
	struct participant *p = c->originator;
	struct session_peer said = { 0 };
	const struct sdp_media *media;
	struct sip_message invite;
	struct sdp offer;

	if (!p || p->state != PARTICIPANT_JOINING)
		return true;
	if (!virtual_user_agent_reread(p->agent, &invite) || session_sdp_read(&invite, &offer, &media) != SDP_ACCEPTED)
		return !conference_refuse_originator(c, 488, REASON_SDP, NULL); /* cannot be: it was read before */
	said.sdp = &offer;
	said.media = media;
	struct virtual_user_agent_media ours = conference_originator_media(c, &said);
	struct participant_side side = participant_side_of(&said);
	if (!virtual_user_agent_accept(p->agent, &ours, SLICE_EMPTY, NULL)) {
		p->agent = NULL;
		participant_leave(p, "no-answer");
		return !conference_check_release(c);
	}
	worker_disarm(c->im->worker, &c->setup->deadline);
	if (!participant_connect(p, &side, "accepted"))
		return !conference_remove(p, "no memory");
	return true;
}

/* ---- the invitations ---- */

/* All that were listed have been called, or have answered: what the originator gets of it. */
static bool finish(struct conference *c)
{
	struct conference_setup *setup = c->setup;
	bool has_come = setup->has_come, is_alone = c->connected <= 1;
	unsigned lowest = setup->lowest;

	if (c->originator && c->originator->state == PARTICIPANT_JOINING) {
		if (lowest && !has_come && is_alone)
			return conference_refuse_originator(c, outgoing_final_status(lowest), REASON_CONFERENCE_INVITATION, NULL);
		if (!conference_accept_originator(c))
			return true;
	}
	conference_setup_free(c);
	if (!has_come && lowest && is_alone && c->originator) { /* 7.2.1.2, last step */
		conference_release(c, "nobody-came");
		return true;
	}
	return false;
}

bool conference_setup_result(struct conference *c, unsigned status)
{
	struct conference_setup *setup = c->setup;

	if (!setup)
		return false;
	setup->outstanding--;
	if (!status)
		setup->has_come = true;
	else if (!setup->lowest || status < setup->lowest)
		setup->lowest = status;
	if (setup->outstanding || setup->is_inviting)
		return false;
	return finish(c);
}

void conference_invite_first(struct conference *c, const struct sip_message *m, struct slice uri, struct slice display)
{
	struct conference_setup *setup = c->setup;
	unsigned status = conference_invite_as(c, &(struct conference_invitation){ .uri = uri, .display = display,
		.inviter = &setup->who, .request = m, .may_leave = setup->may_leave }, true);

	if (!status)
		setup->outstanding++;
	else if (status >= 300 && (!setup->lowest || status < setup->lowest))
		setup->lowest = status;
}

void conference_invited_all(struct conference *c)
{
	c->setup->is_inviting = false;
	if (!c->setup->outstanding)
		(void)finish(c);
}

/* ---- the list ---- */

static bool is_group_here(const struct conference *c, struct slice canonical)
{
	const struct sip_options *sip = &c->im->server->sip;
	struct slice user = sip_canonical_user(canonical);

	return user.n && slice_eq(slice_skip(canonical, user.n + 1), sip->home.home) && sip_name_is_group(user, sip);
}

/* Who is called: all but the originator, and the groups, whose members stand for them. */
static bool is_recipient(const struct conference *c, unsigned i)
{
	struct slice canonical = recipients_canonical(&c->setup->listed, i);

	return !slice_eq(canonical, participant_canonical(c->originator)) && !is_group_here(c, canonical);
}

static unsigned count_recipients(const struct conference *c)
{
	unsigned others = 0;

	for (unsigned i = 0; i < c->setup->listed.count; i++)
		others += is_recipient(c, i);
	return others;
}

/* D1-20: the originator counts.  True: refused. */
static bool is_list_too_long(struct conference *c)
{
	return count_recipients(c) + 1 > c->im->config->limits.max_adhoc_group &&
	       conference_refuse_originator(c, 486, REASON_CONFERENCE_FULL, "Too many participants");
}

static void invite_all(struct conference *c)
{
	struct conference_setup *setup = c->setup;
	char text[CONFERENCE_URI_MAX];
	struct buffer uri = buffer_over(text, sizeof(text));
	struct sip_message invite;
	unsigned others;

	if (is_list_too_long(c))
		return;
	others = count_recipients(c);
	if (!virtual_user_agent_reread(c->originator->agent, &invite) || (!others && !setup->lowest)) {
		(void)conference_refuse_originator(c, 400, REASON_RECIPIENT_LIST, "Nobody else in the recipient list");
		return;
	}
	if (others == 1)
		c->kind = CONFERENCE_ONE_TO_ONE;
	COUNT(&c->im->worker->counters, conferences_begun);
	(void)conference_write_entity(c, &uri); /* too long: as far as it fits */
	LOG(INFO, c->im->worker, "conference", c->actor.id, "begun uri=%.*s listed=%u", SLICE_ARG(buffer_slice(&uri)), others);
	setup->is_inviting = true;
	for (unsigned i = 0; i < setup->listed.count; i++)
		if (is_recipient(c, i))
			conference_invite_first(c, &invite, recipients_uri(&setup->listed, i), SLICE_EMPTY);
	conference_invited_all(c);
}

static void fail_entry(struct conference *c, unsigned status)
{
	if (!c->setup->lowest || status < c->setup->lowest)
		c->setup->lowest = status;
}

/* The next group of the list is asked for its members; when there is none any more all are invited. */
static void expand(struct conference *c)
{
	struct conference_setup *setup = c->setup;

	while (setup->next < setup->as_written) {
		struct slice canonical = recipients_canonical(&setup->listed, setup->next++);
		if (!is_group_here(c, canonical))
			continue;
		if (group_find(c->im, canonical, c->actor.id) == 0)
			return;
		fail_entry(c, 503);
	}
	recipients_make_distinct(&setup->listed);
	invite_all(c);
}

/* One level (D1-20): groups among the members are no recipients. */
static unsigned add_members(struct conference *c, const struct group *group)
{
	const struct identity *who = &c->setup->who;

	if (!group_permits(group, GROUP_INITIATE, who) ||
	    (who->is_anonymous && !group_permits(group, GROUP_BE_ANONYMOUS, who)))
		return 403;
	for (unsigned i = 0; i < group->member_count; i++)
		if (recipients_add(&c->setup->listed, group->members[i].uri, group->members[i].canonical) != 0)
			return 503;
	recipients_make_distinct(&c->setup->listed); /* those as written, each once already, stay where they are */
	return 0;
}

void conference_setup_on_group(struct conference *c, struct msg *msg)
{
	struct group_find *found = (struct group_find *)msg;
	unsigned status;

	if (c->setup) {
		status = found->verdict == GROUP_FOUND ? add_members(c, found->group) :
			 found->verdict == GROUP_NONE  ? 404 :
							 503;
		if (status)
			fail_entry(c, status);
		group_find_free(found);
		if (!is_list_too_long(c)) /* of many large groups not all are put together first */
			expand(c);
		return;
	}
	group_find_free(found);
}

static bool add_entry(struct conference *c, struct slice text)
{
	char canonical_text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(canonical_text, sizeof(canonical_text));
	struct sip_uri uri;

	if (!sip_uri_parse(text, &uri) || !sip_uri_canonical(&canonical, &uri, &c->im->server->sip.home))
		return recipients_add(&c->setup->listed, text, text) == 0; /* his leg fails */
	return recipients_add(&c->setup->listed, text, buffer_slice(&canonical)) == 0;
}

/* 0, or the status that refuses it; *warning, if any, is for a person. */
static unsigned read_list(struct conference *c, const struct sip_message *m, const char **warning)
{
	struct uri_list list;
	unsigned status = 0;

	switch (uri_list_read(&list, m, &c->im->config->limits)) {
	case URI_LIST_OK:
		break;
	case URI_LIST_NONE:
		*warning = "Recipient list missing";
		return 400;
	case URI_LIST_MALFORMED:
		*warning = "Malformed recipient list";
		return 400;
	case URI_LIST_TOO_MANY:
		*warning = "Too many entries in the recipient list";
		return 400;
	case URI_LIST_TOO_LARGE:
		return 413;
	case URI_LIST_NO_MEMORY:
		return 503;
	}
	for (unsigned i = 0; i < list.count && !status; i++)
		if (!add_entry(c, list.uris[i]))
			status = 503;
	uri_list_free(&list);
	recipients_make_distinct(&c->setup->listed);
	c->setup->as_written = c->setup->listed.count;
	return status;
}

void conference_start_adhoc(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	const char *warning = NULL;
	struct conference *c;
	unsigned status;

	if (start->who->is_anonymous && !im->config->policy.allow_anonymity) {
		sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
		return;
	}
	c = conference_open(im, CONFERENCE_ADHOC, NULL);
	if (!c) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	if (!conference_ring_originator(c, server, m, start))
		return;
	status = read_list(c, m, &warning);
	if (status)
		(void)conference_refuse_originator(c, status, status == 503 ? REASON_NO_MEMORY : REASON_RECIPIENT_LIST, warning);
	else
		expand(c);
}
