/* What is said in a conference: who may, what, to whom, under which name (RFC 7701, D2-63). */
#include "actors/conference_internal.h"

#include <stdlib.h>
#include <strings.h>

#include "actors/policy.h"
#include "msrp/accept.h"
#include "msrp/chunk.h"
#include "sip/owner.h"

#define NICKNAME_MAX 64 /* octets */

/* A leg that cannot go on: his BYE says why (design.md 13). */
static void on_dropped(struct msrp_room *room, struct msrp_leg *leg, enum reason why, void *member_arg, void *arg)
{
	struct participant *p = member_arg;
	struct conference *c = arg;

	COUNT(&c->im->worker->counters, conference_drops);
	(void)conference_remove(p, reason_label(why));
}

/* ---- what may be said ---- */

static bool is_agreed(const struct conference *c, struct slice type)
{
	struct slice rest = slice_str(c->accept_types ? c->accept_types : ""), entry, family;

	while (rest.n) {
		entry = slice_cut(slice_trim(rest), ' ', &rest);
		if (slice_eq(entry, SLICE("*")) || slice_case_eq(entry, type))
			return true;
		family = slice_cut(entry, '/', NULL);
		if (entry.n == family.n + 2 && entry.p[entry.n - 1] == '*' && slice_case_eq(slice_cut(type, '/', NULL), family))
			return true;
	}
	return false;
}

/* 0, or the status; `*why` says under which reason. */
static unsigned refusal_of(const struct conference *c, const struct msrp_head *head, enum reason *why)
{
	struct slice type = msrp_accept_type(head->content_type);
	uint64_t most = c->im->config->limits.max_size_1tom, total = head->byte_range.total;

	*why = REASON_MSRP_CONTENT_TYPE;
	if (type.n && !policy_permits_type(c->im->config, type))
		return 403;
	if (type.n && !is_agreed(c, type))
		return 415;
	*why = REASON_MSRP_TOO_LARGE;
	return most && total != MSRP_RANGE_UNKNOWN && total > most ? 413 : 0;
}

/* ---- to whom ---- */

/* The URI of a CPIM header's value (RFC 3862 2.1): `Name <URI>`. */
static struct slice uri_of(struct slice value)
{
	struct slice rest;

	(void)slice_cut(value, '<', &rest);
	return rest.n ? slice_trim(slice_cut(rest, '>', NULL)) : slice_trim(value);
}

/* The only header of that name of a CPIM block; `*count` says how many there are. */
static struct slice cpim_header(struct slice block, struct slice name, unsigned *count)
{
	struct slice line, found = SLICE_EMPTY;

	*count = 0;
	while (block.n) {
		line = slice_trim(slice_cut(block, '\n', &block));
		if (!line.n)
			break;
		if (line.n <= name.n || line.p[name.n] != ':' || !slice_case_starts(line, name))
			continue;
		if (!*count)
			found = slice_skip(line, name.n + 1);
		(*count)++;
	}
	return uri_of(found);
}

/* By the URI under which the others see him. */
static struct participant *find_seen(const struct conference *c, struct slice uri)
{
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct participant *p;
	struct sip_uri parsed;

	TAILQ_FOREACH(p, &c->participants, link)
		if (p->in_room && p->pseudonym && slice_case_eq(slice_str(p->pseudonym), uri))
			return p;
	if (!sip_uri_parse(uri, &parsed) || !sip_uri_canonical(&canonical, &parsed, &c->im->server->sip.home))
		return NULL;
	p = conference_participant(c, buffer_slice(&canonical));
	return p && p->in_room && !p->pseudonym ? p : NULL;
}

/* The room itself: the group, a session (in ims mode a client may know another name of this one) or a function. */
static bool is_room(const struct conference *c, struct slice uri)
{
	const struct sip_options *sip = &c->im->server->sip;
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_uri parsed;

	if (!sip_uri_parse(uri, &parsed) || !sip_uri_canonical(&canonical, &parsed, &sip->home))
		return false;
	struct slice user = sip_canonical_user(buffer_slice(&canonical));
	return minted_worker(parsed.user) >= 0 ||
	       (sip_uri_is_home(&parsed, &sip->home) && (sip_name_is_function(user, sip) || sip_name_is_group(user, sip)));
}

/* RFC 7701 6.2: who said a=chatroom may write to one alone, and what is for one alone never goes to all.  Of others To
 * means whatever it means to them. */
static void direct(struct conference *c, const struct participant *by, const struct msrp_room_begin *begin,
	struct msrp_room_verdict *verdict)
{
	static _Thread_local struct msrp_leg *only[1]; /* looked at when on_message() has returned */
	unsigned count;
	struct slice to = cpim_header(begin->content, SLICE("To"), &count);
	struct participant *p = count == 1 ? find_seen(c, to) : NULL;

	if (!by->is_chatroom || !count || (count == 1 && !p && is_room(c, to)))
		return;
	verdict->why = p || count > 1 ? REASON_CONFERENCE_POLICY : REASON_NOT_PARTICIPANT;
	if (count > 1) {
		verdict->status = 403;
	} else if (!p) {
		verdict->status = 404;
	} else if (!p->is_chatroom) {
		verdict->status = 428;
	} else {
		only[0] = virtual_user_agent_leg(p->agent);
		verdict->is_private = true;
		verdict->only = only;
		verdict->only_count = 1;
	}
}

/* Nobody speaks in another one's name. */
static bool is_forged(const struct conference *c, const struct participant *by, struct slice content)
{
	unsigned count;
	struct slice from = cpim_header(content, SLICE("From"), &count);
	const struct participant *named = count ? find_seen(c, from) : NULL;

	return count > 1 || (named && named != by);
}

static void on_message(struct msrp_room *room, const struct msrp_room_begin *begin, struct msrp_room_verdict *verdict,
	void *arg)
{
	struct conference *c = arg;
	struct participant *by = begin->member_arg;

	verdict->status = refusal_of(c, begin->head, &verdict->why);
	if (verdict->status || !begin->is_cpim)
		return;
	if (by->pseudonym)
		verdict->cpim_from = slice_str(by->pseudonym);
	if (!begin->has_cpim_head && by->is_chatroom) { /* it may be for one alone: that is not seen yet */
		verdict->status = 400;
		verdict->why = REASON_SYNTAX;
	}
	if (!begin->has_cpim_head)
		return;
	if (!by->pseudonym && is_forged(c, by, begin->content)) {
		verdict->status = 403;
		verdict->why = REASON_IDENTITY;
		return;
	}
	direct(c, by, begin, verdict);
}

static void on_sent(struct msrp_room *room, struct msrp_leg *leg, void *member_arg, void *arg)
{
	struct conference *c = arg;

	c->messages++;
}

/* ---- nicknames, RFC 7701 7 ---- */

static bool is_good_nickname(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == 127 || name.p[i] == '\\' || name.p[i] == '"')
			return false;
	return name.n <= NICKNAME_MAX;
}

static bool is_taken(const struct conference *c, const struct participant *by, struct slice name)
{
	const struct participant *p;

	TAILQ_FOREACH(p, &c->participants, link) {
		if (p == by || p->state == PARTICIPANT_LEFT)
			continue;
		struct slice has = p->nickname ? slice_str(p->nickname) : p->pseudonym ? SLICE_EMPTY : participant_display(p);
		if (slice_case_eq(has, name))
			return true;
	}
	return false;
}

static unsigned on_nickname(struct msrp_room *room, struct msrp_leg *leg, struct slice name, void *member_arg, void *arg)
{
	struct participant *p = member_arg;
	char *nickname = NULL;

	if (!is_good_nickname(name))
		return 424;
	if (name.n && is_taken(arg, p, name))
		return 425;
	if (name.n) {
		nickname = slice_to_string(name);
		if (!nickname)
			return 425;
	}
	conference_rename(p, nickname);
	return 200;
}

const struct msrp_room_events conference_room_events = { .on_dropped = on_dropped, .on_message = on_message,
	.on_nickname = on_nickname, .on_sent = on_sent };
