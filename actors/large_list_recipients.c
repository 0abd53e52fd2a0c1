/* Whom a large message is for, and whether it may be: the checks of D1-09 and 9.3.1.1 in their order. */
#include "actors/large_list_internal.h"

#include <stdlib.h>

#include "actors/policy.h"
#include "actors/session_body.h"
#include "actors/uri_list.h"
#include "sip/header.h"
#include "sip/owner.h"

extern const struct virtual_user_agent_events large_list_sender_events;

/* ---- who gets it ---- */

/* What a URI leads to. */
enum place { PLACE_USER, PLACE_GROUP, PLACE_ELSEWHERE, PLACE_NOBODY };

static enum place place_of(const struct im *im, struct slice uri, struct buffer *canonical)
{
	const struct sip_options *sip = &im->server->sip;
	struct sip_uri parsed;

	if (!sip_uri_parse(uri, &parsed) || parsed.scheme == SIP_SCHEME_OTHER ||
	    !sip_uri_canonical(canonical, &parsed, &sip->home))
		return PLACE_NOBODY;
	struct slice user = sip_canonical_user(buffer_slice(canonical));
	if (!sip_uri_is_home(&parsed, &sip->home))
		return PLACE_ELSEWHERE;
	if (!user.n || sip_name_is_function(user, sip) || minted_worker(user) >= 0)
		return PLACE_NOBODY;
	return sip_name_is_group(user, sip) ? PLACE_GROUP : PLACE_USER;
}

static bool is_sender(const struct large_list *l, struct slice canonical)
{
	return slice_eq(canonical, slice_of(l->who.canonical, l->who.canonical_n));
}

/* RFC 3261 19.1.1: no headers in a Request-URI. */
static struct slice without_headers(struct slice uri)
{
	struct sip_uri parsed;

	if (sip_uri_parse(uri, &parsed) && parsed.headers.n)
		uri.n = (size_t)(parsed.headers.p - uri.p) - 1;
	return uri;
}

static int add(struct large_list *l, struct slice uri, struct slice canonical)
{
	return is_sender(l, canonical) ? 0 : recipients_add(&l->recipients, without_headers(uri), canonical);
}

/* D1-20: a group of ours is its members, a foreign one a recipient like any; who cannot be reached fails as a leg does. */
static int add_listed(struct large_list *l, struct slice uri)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));

	switch (place_of(l->im, uri, &canonical)) {
	case PLACE_GROUP:
		return recipients_add(&l->groups, uri, buffer_slice(&canonical));
	case PLACE_NOBODY:
		return add(l, uri, without_headers(uri)); /* whatever it is: itself */
	case PLACE_USER:
	case PLACE_ELSEWHERE:
		break;
	}
	return add(l, uri, buffer_slice(&canonical));
}

/* 7.2.2.1: the first of them, as many as the group may have with the sender. */
static int add_members(struct large_list *l, const struct group *group, unsigned most)
{
	unsigned added = 0;
	int err = 0;

	for (unsigned i = 0; i < group->member_count && added < most && !err; i++) {
		const struct group_member *member = &group->members[i];
		char text[IM_CANONICAL_MAX];
		struct buffer canonical = buffer_over(text, sizeof(text));
		if (is_sender(l, member->canonical) || place_of(l->im, member->uri, &canonical) == PLACE_GROUP)
			continue; /* groups inside it: one level is all */
		err = add(l, member->uri, member->canonical);
		added++;
	}
	return err;
}

/* ---- the list ---- */

static void refuse_list(struct large_list *l, enum uri_list_verdict verdict)
{
	switch (verdict) {
	case URI_LIST_NONE:
		large_list_refuse(l, 400, REASON_SYNTAX, "A recipient list is needed");
		break;
	case URI_LIST_MALFORMED:
		large_list_refuse(l, 400, REASON_XML, "Malformed recipient list");
		break;
	case URI_LIST_TOO_MANY:
		large_list_refuse(l, 400, REASON_URI_LIST, "Too many entries in the recipient list");
		break;
	case URI_LIST_TOO_LARGE:
		large_list_refuse(l, 413, REASON_TOO_LARGE, NULL);
		break;
	case URI_LIST_OK:
	case URI_LIST_NO_MEMORY:
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
		break;
	}
}

static void ask_group(struct large_list *l, struct slice canonical)
{
	if (group_find(l->im, canonical, l->actor.id) != 0)
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
}

/* The next group of the list, or all are known. */
static void go_on(struct large_list *l)
{
	struct sip_message invite;

	if (l->next_group < l->groups.count)
		ask_group(l, recipients_canonical(&l->groups, l->next_group));
	else if (large_list_read(l, &invite))
		large_list_begin(l, &invite);
	else
		large_list_refuse(l, 400, REASON_SYNTAX, NULL); /* cannot be: it was read before */
}

static void read_list(struct large_list *l, const struct sip_message *invite)
{
	struct uri_list list = { 0 };
	enum uri_list_verdict verdict = uri_list_read(&list, invite, &l->im->config->limits);
	int err = 0;

	if (verdict != URI_LIST_OK) {
		refuse_list(l, verdict);
		return;
	}
	for (unsigned i = 0; i < list.count && !err; i++)
		err = add_listed(l, list.uris[i]);
	uri_list_free(&list);
	if (err) {
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
		return;
	}
	recipients_make_distinct(&l->groups);
	go_on(l);
}

void large_list_find_recipients(struct large_list *l, const struct sip_message *invite)
{
	switch (l->kind) {
	case CONTROLLING_FACTORY:
		read_list(l, invite);
		break;
	case CONTROLLING_GROUP:
		ask_group(l, slice_of(l->target, l->target_n));
		break;
	case CONTROLLING_SESSION: /* a conference is no list: messages to its participants are sent in it */
		large_list_refuse(l, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
		break;
	}
}

/* ---- groups ---- */

static bool is_focus(const struct sip_message *invite)
{
	struct sip_address contact;

	return sip_address_decode(sip_header_value(invite, SIP_HDR_CONTACT), &contact) &&
	       sip_param_find(contact.params, "isfocus", NULL);
}

/* D1-09, as far as it is about the group. */
static bool check_group(struct large_list *l, const struct group *group)
{
	struct sip_message invite;

	if (!large_list_read(l, &invite))
		large_list_refuse(l, 400, REASON_SYNTAX, NULL); /* cannot be: it was read before */
	else if (is_focus(&invite))
		large_list_refuse(l, 403, REASON_REJECTED, "isfocus already assigned");
	else if (!group_permits(group, GROUP_INITIATE, &l->who) || !group_permits(group, GROUP_JOIN, &l->who))
		large_list_refuse(l, 403, REASON_ACCESS_REJECTED, NULL);
	else if (l->who.is_anonymous && !group_permits(group, GROUP_BE_ANONYMOUS, &l->who))
		large_list_refuse(l, 403, REASON_IDENTITY, NULL);
	else
		return true;
	return false;
}

static void take_target(struct large_list *l, const struct group *group)
{
	if (!check_group(l, group))
		return;
	if (add_members(l, group, group->max_participants > 0 ? group->max_participants - 1 : 0) != 0)
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
	else
		go_on(l);
}

/* D1-20: the sender counts. */
static bool are_too_many(struct large_list *l)
{
	recipients_make_distinct(&l->recipients);
	return l->kind == CONTROLLING_FACTORY && l->recipients.count + 1 > l->im->config->limits.max_adhoc_group;
}

static void refuse_too_many(struct large_list *l)
{
	large_list_refuse(l, 486, REASON_RECIPIENTS, "Too many participants");
}

/* Who may not initiate a session of it may not by a list either, nor who hides where that is not permitted: then it is a
 * leg that fails. */
static bool may_expand(const struct large_list *l, const struct group *group)
{
	return group_permits(group, GROUP_INITIATE, &l->who) &&
	       (!l->who.is_anonymous || group_permits(group, GROUP_BE_ANONYMOUS, &l->who));
}

void large_list_on_group(struct large_list *l, struct group_find *find)
{
	bool is_target = l->kind == CONTROLLING_GROUP;
	int err = 0;

	if (find->verdict == GROUP_UNREADABLE) {
		large_list_refuse(l, 503, REASON_STORE, NULL);
	} else if (is_target && find->verdict == GROUP_NONE) {
		large_list_refuse(l, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
	} else if (is_target) {
		take_target(l, find->group);
	} else {
		struct slice uri = recipients_uri(&l->groups, l->next_group);
		if (find->verdict == GROUP_FOUND && may_expand(l, find->group))
			err = add_members(l, find->group, UINT32_MAX);
		else
			err = add(l, uri, recipients_canonical(&l->groups, l->next_group));
		l->next_group++;
		if (err)
			large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
		else if (are_too_many(l)) /* of many large groups not all are put together first */
			refuse_too_many(l);
		else
			go_on(l);
	}
	group_find_free(find);
}

/* ---- all are known ---- */

/* 9.3.1.1-1; F22.  False: refused. */
static bool check_recipients(struct large_list *l)
{
	const struct config *config = l->im->config;

	if (are_too_many(l))
		refuse_too_many(l);
	else if (!l->recipients.count && l->kind == CONTROLLING_FACTORY)
		large_list_refuse(l, 400, REASON_SYNTAX, "A recipient list is needed");
	else if (!l->recipients.count)
		large_list_refuse(l, 480, REASON_OFFLINE, "The group has no other member");
	else if (l->kind == CONTROLLING_FACTORY && l->who.is_anonymous && !config->policy.allow_anonymity)
		large_list_refuse(l, 403, REASON_IDENTITY, NULL);
	else
		return true;
	return false;
}

/* Of the description as one part: it would be that of another. */
static bool says_length(struct slice headers)
{
	while (headers.n) {
		struct slice line = slice_cut(headers, '\n', &headers);
		if (slice_case_eq(slice_trim(slice_cut(line, ':', NULL)), SLICE("Content-Length")))
			return true;
	}
	return false;
}

/* What else is in the body, above all the icon that a=file-icon names (FT-5), goes to each recipient: not the list, and
 * nothing of who hides, because it may name him.  False: no memory. */
static bool keep_parts(struct large_list *l, const struct sip_message *invite)
{
	const struct config *config = l->im->config;
	struct session_body body;

	if (l->who.is_anonymous || session_body_read(invite, &body) != BODY_HAS_SDP || body.is_alone || says_length(body.headers))
		return true;
	enum pager_content_verdict made = pager_content_make(&l->content, invite, l->kind == CONTROLLING_FACTORY,
		config->limits.mime_depth);
	if (made != PAGER_CONTENT_OK) {
		l->content = NULL;
		return made != PAGER_CONTENT_NO_MEMORY;
	}
	struct slice whole = l->content->body;
	const char *at = whole.n > body.sdp.n ? memmem(whole.p, whole.n, body.sdp.p, body.sdp.n) : NULL;
	if (!at) { /* nothing else was there */
		pager_content_drop(l->content);
		l->content = NULL;
		return true;
	}
	const char *behind = at + body.sdp.n;
	l->parts = (struct virtual_user_agent_parts){ .content_type = l->content->type,
		.before = slice_of(whole.p, (size_t)(at - whole.p)),
		.after = slice_of(behind, (size_t)(whole.p + whole.n - behind)) };
	return true;
}

/* Its announced size and kind (D2-11, D2-12); what our offers say. False: refused, or no memory. */
static bool read_offer(struct large_list *l, const struct sip_message *invite)
{
	const struct limits_options *limits = &l->im->config->limits;
	char types[SESSION_SDP_MAX], attributes[SESSION_SDP_MAX];
	struct buffer out = buffer_over(types, sizeof(types) - 1), lines = buffer_over(attributes, sizeof(attributes) - 1);
	const struct sdp_media *media;
	struct sdp offer;

	if (session_sdp_read_offer(invite, &offer, &media) != SDP_ACCEPTED) {
		large_list_refuse(l, 488, REASON_SDP, NULL); /* cannot be: it was read before */
		return false;
	}
	l->max_octets = session_sdp_is_file(&offer, media) ? limits->max_size_file : limits->max_size_1tom;
	l->has_size = session_sdp_size(media, &l->size);
	l->is_secure = session_sdp_is_secure(media);
	if (l->max_octets && l->size > l->max_octets) {
		large_list_refuse(l, 403, REASON_TOO_LARGE, NULL);
		return false;
	}
	virtual_user_agent_copy_attributes(&lines, media, l->max_octets);
	if (policy_permits_every_type(l->im->config))
		buffer_put(&out, slice_trim(media->accept_types));
	else
		(void)policy_permitted_types(l->im->config, media->accept_types, &out);
	if (!out.n) {
		large_list_refuse(l, 488, REASON_SDP, "no common accept-types"); /* D1-22 */
		return false;
	}
	types[out.n] = attributes[lines.n] = 0;
	if (out.overflow || lines.overflow || !(l->types = strdup(types)) || !(l->attributes = strdup(attributes)) ||
	    !keep_parts(l, invite)) {
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
		return false;
	}
	return true;
}

/* Our name in what the sender gets (D1-21). */
static void write_asserted(const struct large_list *l, struct buffer *out)
{
	if (l->kind == CONTROLLING_GROUP)
		buffer_printf(out, "sip:%.*s", (int)l->target_n, l->target);
	else
		buffer_str(out, l->im->config->domain.factory);
}

/* Checks of the INVITE itself: session timer, description, where we may connect. */
static bool ring(struct large_list *l, const struct sip_message *invite)
{
	char text[IM_CANONICAL_MAX + 8];
	struct buffer asserted = buffer_over(text, sizeof(text));
	struct sip_server *server = l->server;

	write_asserted(l, &asserted);
	l->server = NULL;
	return virtual_user_agent_ring(&l->sender, l->im, &(struct virtual_user_agent_answer){ .server = server,
		.invite = invite, .user = slice_of(l->who.canonical, l->who.canonical_n), .asserted = buffer_slice(&asserted),
		.is_judged = true, .face = { .user = slice_of(l->user, MINTED_CHARS), .is_focus = true },
		.events = &large_list_sender_events, .arg = l }, NULL);
}

void large_list_begin(struct large_list *l, const struct sip_message *invite)
{
	if (!check_recipients(l))
		return;
	worker_disarm(l->im->worker, &l->timer); /* from here on the agents' times count */
	if (!ring(l, invite)) {
		l->sender = NULL;
		large_list_settle(l);
		return;
	}
	if (!read_offer(l, invite))
		return;
	l->legs = calloc(l->recipients.count, sizeof(*l->legs));
	if (!l->legs || large_list_open_room(l) != 0) {
		large_list_refuse(l, 503, REASON_NO_MEMORY, NULL);
		return;
	}
	for (unsigned i = 0; i < l->recipients.count; i++)
		l->legs[i].list = l;
	l->pending = l->recipients.count;
	COUNT(&l->im->worker->counters, large_lists);
	LOG(INFO, l->im->worker, "large_list", l->actor.id, "begun to=%.*s recipients=%u octets=%llu", (int)l->target_n,
		l->target, l->recipients.count, (unsigned long long)l->size);
	large_list_call(l);
}
