/*
 * Whom a pager message to many is for: the entries of its list (RFC 5365), the members of a group, the participants of
 * a session.  The order of checks is that of 8.3.1.1 (F23).
 */
#include <errno.h>
#include <stdlib.h>

#include "actors/conference.h"
#include "actors/pager_list_internal.h"
#include "actors/uri_list.h"
#include "core/log.h"
#include "sip/owner.h"

/* D2-17: an anonymous From asks for it too. */
static bool is_anonymity_refused(const struct pager_list *list)
{
	return list->sender.is_anonymous && !list->im->config->policy.allow_anonymity;
}

static void refuse_no_memory(struct pager_list *list)
{
	pager_list_refuse(list, 503, REASON_NO_MEMORY, NULL);
}

/* ---- groups ---- */

/* Who may begin or join a session of the group may write to it: the ruleset has no action of its own for that. */
static bool may_write(const struct group *group, const struct identity *sender)
{
	return group_permits(group, GROUP_INITIATE, sender) || group_permits(group, GROUP_JOIN, sender);
}

static bool hides_against_rules(const struct group *group, const struct identity *sender)
{
	return sender->is_anonymous && !group_permits(group, GROUP_BE_ANONYMOUS, sender);
}

/* All but the sender (D2-41).  What among them is a group or the factory is left out when it is its turn. */
static int add_members(struct pager_list *list, const struct sip_message *m, const struct group *group)
{
	for (unsigned i = 0; i < group->member_count; i++) {
		const struct group_member *member = &group->members[i];
		if (identity_is(list->im, m, &list->sender, member->canonical))
			continue;
		int err = recipients_add(&list->recipients, member->uri, member->canonical);
		if (err)
			return err;
	}
	return 0;
}

/* The target itself.  False: refused. */
static bool take_target(struct pager_list *list, const struct sip_message *m, const struct group_find *find)
{
	const struct group *group = find->group;

	if (find->verdict == GROUP_UNREADABLE)
		pager_list_refuse(list, 503, REASON_STORE, NULL);
	else if (find->verdict == GROUP_NONE)
		pager_list_refuse(list, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
	else if (!may_write(group, &list->sender))
		pager_list_refuse(list, 403, REASON_GROUP_RULES, NULL);
	else if (is_anonymity_refused(list) || hides_against_rules(group, &list->sender))
		pager_list_refuse(list, 403, REASON_IDENTITY, "Anonymity is not allowed");
	else if (add_members(list, m, group) != 0)
		refuse_no_memory(list);
	else
		return true;
	return false;
}

/* A group that is listed: what forbids it does so to its members alone.  False: refused. */
static bool take_listed(struct pager_list *list, const struct sip_message *m, const struct group_find *find)
{
	struct slice name = recipients_canonical(&list->groups, list->next_group);

	if (find->verdict == GROUP_FOUND && may_write(find->group, &list->sender) &&
	    !hides_against_rules(find->group, &list->sender)) {
		if (add_members(list, m, find->group) == 0)
			return true;
		refuse_no_memory(list);
		return false;
	}
	list->failed++;
	if (find->verdict == GROUP_FOUND)
		pager_copy_refused(list->im, list->actor.id, name, 403, REASON_GROUP_RULES);
	else if (find->verdict == GROUP_NONE)
		pager_copy_refused(list->im, list->actor.id, name, 404, REASON_TARGET_UNKNOWN);
	else
		pager_copy_refused(list->im, list->actor.id, name, 503, REASON_STORE);
	return true;
}

/* False: there is none left to ask for, or it was refused. */
static bool ask_next_group(struct pager_list *list)
{
	if (list->next_group == list->groups.count)
		return false;
	if (group_find(list->im, recipients_canonical(&list->groups, list->next_group), list->actor.id) == 0)
		return true;
	refuse_no_memory(list);
	return true;
}

static bool reread(const struct pager_list *list, struct sip_message *m)
{
	struct sip_limits limits = { list->message_n + 1, list->message_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(list->message, list->message_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

void pager_list_on_group(struct pager_list *list, struct group_find *find)
{
	struct sip_message m;
	bool goes_on;

	if (!reread(list, &m)) {
		pager_list_refuse(list, 400, REASON_SYNTAX, NULL); /* cannot be: it was parsed before */
		group_find_free(find);
		return;
	}
	goes_on = list->kind == PAGER_LIST_GROUP ? take_target(list, &m, find) : take_listed(list, &m, find);
	group_find_free(find);
	if (!goes_on)
		return;
	list->next_group++;
	if (pager_list_is_too_long(list)) /* of many large groups not all are put together first */
		pager_list_refuse(list, 486, REASON_RECIPIENTS, "Too many participants");
	else if (!ask_next_group(list))
		pager_list_conclude(list, &m);
}

/* Their documents are asked for one after the other, then it goes on. */
static void ask_groups(struct pager_list *list, const struct sip_message *m)
{
	list->message = malloc(m->wire.n);
	if (!list->message) {
		refuse_no_memory(list);
		return;
	}
	memcpy(list->message, m->wire.p, m->wire.n);
	list->message_n = m->wire.n;
	(void)ask_next_group(list); /* there is one */
}

/* ---- the list in the message ---- */

/* One entry.  EINVAL: it is no URI. */
static int add_entry(struct pager_list *list, struct slice uri)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	enum recipient_kind kind;

	if (!pager_list_classify(list->im, uri, &kind, &canonical))
		return EINVAL;
	return recipients_add(kind == RECIPIENT_GROUP ? &list->groups : &list->recipients, uri,
		canonical.n ? buffer_slice(&canonical) : uri);
}

static void take_entries(struct pager_list *list, const struct sip_message *m, const struct uri_list *entries)
{
	for (unsigned i = 0; i < entries->count; i++) {
		switch (add_entry(list, entries->uris[i])) {
		case 0:
			break;
		case EINVAL:
			pager_list_refuse(list, 400, REASON_SYNTAX, "The recipient list has an entry that is no URI");
			return;
		default:
			refuse_no_memory(list);
			return;
		}
	}
	recipients_make_distinct(&list->groups);
	if (list->groups.count)
		ask_groups(list, m);
	else
		pager_list_conclude(list, m);
}

static void find_entries(struct pager_list *list, const struct sip_message *m)
{
	struct uri_list entries;

	if (is_anonymity_refused(list)) {
		pager_list_refuse(list, 403, REASON_IDENTITY, "Anonymity is not allowed");
		return;
	}
	switch (uri_list_read(&entries, m, &list->im->config->limits)) {
	case URI_LIST_OK:
		take_entries(list, m, &entries);
		uri_list_free(&entries);
		break;
	case URI_LIST_NONE:
		pager_list_refuse(list, 400, REASON_UNSUPPORTED_BODY, "Recipient list missing");
		break;
	case URI_LIST_MALFORMED:
		pager_list_refuse(list, 400, REASON_XML, "Malformed recipient list");
		break;
	case URI_LIST_TOO_MANY:
		pager_list_refuse(list, 400, REASON_URI_LIST, "Too many entries in the recipient list");
		break;
	case URI_LIST_TOO_LARGE:
		pager_list_refuse(list, 413, REASON_TOO_LARGE, NULL);
		break;
	case URI_LIST_NO_MEMORY:
		refuse_no_memory(list);
		break;
	}
}

/* ---- participants ---- */

/* Who writes: himself, under any of the identities that a core asserts.  NULL: he takes no part. */
static const struct participant *find_sender(struct pager_list *list, const struct sip_message *m,
	const struct conference *conference)
{
	const struct participant *p;

	TAILQ_FOREACH(p, &conference->participants, link)
		if ((p->state == PARTICIPANT_CONNECTED || p->state == PARTICIPANT_JOINING) &&
		    identity_is(list->im, m, &list->sender, participant_canonical(p)))
			return p;
	return NULL;
}

static void find_participants(struct pager_list *list, const struct sip_message *m)
{
	struct conference *conference = conference_find(list->im, sip_canonical_user(pager_list_target(list)));
	const struct participant *p, *sender;
	int err = 0;

	/* 8.3.1.1 has who may before what is known; who is in a session that nobody knows may not */
	if (!conference) {
		pager_list_refuse(list, 403, REASON_TARGET_UNKNOWN, "Session unknown");
		return;
	}
	if (!(sender = find_sender(list, m, conference))) {
		pager_list_refuse(list, 403, REASON_NOT_PARTICIPANT, NULL);
		return;
	}
	list->sender.is_anonymous |= sender->is_anonymous; /* who hides from the others does so here too */
	if (is_anonymity_refused(list) || (conference->group && hides_against_rules(conference->group, &list->sender))) {
		pager_list_refuse(list, 403, REASON_IDENTITY, "Anonymity is not allowed");
		return;
	}
	TAILQ_FOREACH(p, &conference->participants, link)
		if (!err && p->state == PARTICIPANT_CONNECTED &&
		    !identity_is(list->im, m, &list->sender, participant_canonical(p)))
			err = recipients_add(&list->recipients, participant_uri(p), participant_canonical(p));
	if (err)
		refuse_no_memory(list);
	else
		pager_list_conclude(list, m);
}

void pager_list_find_recipients(struct pager_list *list, const struct sip_message *m)
{
	struct slice target = pager_list_target(list);

	switch (list->kind) {
	case PAGER_LIST_ADHOC:
		find_entries(list, m);
		break;
	case PAGER_LIST_GROUP:
		if (recipients_add(&list->groups, target, target) != 0)
			refuse_no_memory(list);
		else
			ask_groups(list, m);
		break;
	case PAGER_LIST_SESSION:
		find_participants(list, m);
		break;
	}
}
