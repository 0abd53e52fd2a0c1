/* Inviting into a conference (7.2.2.1, 7.2.2.2, F24-3): the INVITE of each who is wanted, and what comes of it. */
#include "actors/conference_internal.h"

#include <stdlib.h>

#include "actors/group.h"
#include "actors/user.h"
#include "sip/owner.h"

/* ---- what the INVITE says ---- */

struct inviting {
	struct conference *conference;
	const struct conference_invitation *invitation;
	struct slice display; /* the inviter's nickname (D1-38), as it is written; empty: none */
	bool hides;           /* nothing may name him */
};

/* D1-38: the group's name of him, else the one that he came with. */
static struct slice nickname_of(const struct inviting *i, char *text, size_t size)
{
	const struct identity *who = i->invitation->inviter;
	const struct group *group = i->conference->group;
	const struct group_member *member =
		group ? group_find_member(group, slice_of(who->canonical, who->canonical_n)) : NULL;
	struct sip_address address;
	struct buffer quoted = buffer_over(text, size);

	if (i->hides)
		return SLICE("\"Anonymous\"");
	if (member && member->display_name.n) {
		buffer_char(&quoted, '"');
		for (size_t k = 0; k < member->display_name.n; k++) {
			char c = member->display_name.p[k];
			if (c == '"' || c == '\\')
				buffer_char(&quoted, '\\');
			if ((unsigned char)c >= ' ' && c != 127)
				buffer_char(&quoted, c);
		}
		buffer_char(&quoted, '"');
		if (!quoted.overflow)
			return buffer_slice(&quoted);
	}
	struct sip_items asserted = sip_items_of(i->invitation->request, SIP_HDR_P_ASSERTED_IDENTITY);
	if (i->conference->im->config->core.mode == MODE_IMS && sip_address_next(&asserted, &address) == SIP_ITEM_OK &&
	    address.display.n)
		return address.display;
	if (sip_address_decode(sip_header_value(i->invitation->request, SIP_HDR_FROM), &address))
		return address.display;
	return SLICE_EMPTY;
}

static void write_name_addr(struct buffer *out, struct slice display, struct slice uri)
{
	if (display.n) {
		sip_write_text(out, display);
		buffer_char(out, ' ');
	}
	buffer_char(out, '<');
	sip_write_text(out, uri);
	buffer_char(out, '>');
}

static void write_inviter(const struct inviting *i, struct buffer *out)
{
	const struct identity *who = i->invitation->inviter;
	struct sip_items items = sip_items_of(i->invitation->request, SIP_HDR_P_ASSERTED_IDENTITY);
	struct sip_address address;

	if (i->conference->im->config->core.mode == MODE_IMS && sip_address_next(&items, &address) == SIP_ITEM_OK)
		sip_write_text(out, address.uri);
	else
		buffer_printf(out, "sip:%.*s", (int)who->canonical_n, who->canonical);
}

/* From: himself; of one who hides nobody (RFC 3323). */
static void write_from(const struct inviting *i, struct buffer *out)
{
	char text[CONFERENCE_URI_MAX];
	struct buffer uri = buffer_over(text, sizeof(text));

	if (i->hides)
		buffer_lit(&uri, "sip:anonymous@anonymous.invalid");
	else
		write_inviter(i, &uri);
	write_name_addr(out, i->display, buffer_slice(&uri));
	out->overflow |= uri.overflow;
}

/* 7.2.2.1 step 5: the inviter, or the group.  In standalone mode there is no core to take an anonymous one's away. */
static void write_asserted(const struct inviting *i, struct buffer *out)
{
	char text[CONFERENCE_URI_MAX];
	struct buffer uri = buffer_over(text, sizeof(text));

	if (i->conference->group)
		buffer_put(&uri, i->conference->group->uri);
	else if (i->hides && i->conference->im->config->core.mode == MODE_STANDALONE)
		return;
	else
		write_inviter(i, &uri);
	write_name_addr(out, i->display, buffer_slice(&uri));
	out->overflow |= uri.overflow;
}

/* Referred-By names the inviter (7.2.2.1 step 6), unless he hides: nobody takes it out on the way (D1-14). */
static void write_headers(const struct inviting *i, struct buffer *out)
{
	if (!i->hides) {
		buffer_lit(out, "Referred-By: <");
		write_inviter(i, out);
		buffer_lit(out, ">\r\n");
	}
	if (i->hides) /* step 10 */
		buffer_lit(out, "Privacy: id\r\n");
	if (i->invitation->request->method == SIP_INVITE && /* RFC 3323 5.3, where we are the privacy service */
	    !identity_hides_sender(i->conference->im, i->invitation->inviter))
		sip_copy_headers(out, i->invitation->request, SIP_HDR_SUBJECT);
}

static struct conference_invited_one *keep(const struct inviting *i, struct slice uri)
{
	char texts[4][2048];
	struct buffer local = buffer_over(texts[0], sizeof(texts[0])), asserted = buffer_over(texts[1], sizeof(texts[1])),
		      headers = buffer_over(texts[2], sizeof(texts[2])), all;
	const struct conference_invitation *invitation = i->invitation;
	struct conference_invited_one *kept;

	write_from(i, &local);
	write_asserted(i, &asserted);
	write_headers(i, &headers);
	if (local.overflow || asserted.overflow || headers.overflow || uri.n > UINT16_MAX)
		return NULL;
	size_t n = uri.n + local.n + asserted.n + headers.n;
	kept = malloc(sizeof(*kept) + n);
	if (!kept)
		return NULL;
	*kept = (struct conference_invited_one){ .may_leave = invitation->may_leave, .on_result = invitation->on_result,
		.arg = invitation->arg, .uri_n = (uint16_t)uri.n, .local_n = (uint16_t)local.n,
		.asserted_n = (uint16_t)asserted.n, .headers_n = (uint16_t)headers.n };
	all = buffer_over(kept->text, n);
	buffer_put(&all, uri);
	buffer_put(&all, buffer_slice(&local));
	buffer_put(&all, buffer_slice(&asserted));
	buffer_put(&all, buffer_slice(&headers));
	return kept;
}

/* ---- the call ---- */

/* To his contacts, or (NULL) to core.next_hop.  False: no room. */
static bool call(struct participant *p, struct user_find *found)
{
	struct conference *c = p->conference;
	const struct conference_invited_one *kept = p->invitation;
	char text[CONFERENCE_URI_MAX + 2];
	struct buffer remote = buffer_over(text, sizeof(text));
	struct slice uri = slice_of(kept->text, kept->uri_n);
	const char *at = kept->text + kept->uri_n;

	buffer_char(&remote, '<');
	buffer_put(&remote, uri);
	buffer_char(&remote, '>');
	struct virtual_user_agent_call call = { .uri = uri, .local = slice_of(at, kept->local_n),
		.remote = buffer_slice(&remote), .asserted = slice_of(at + kept->local_n, kept->asserted_n),
		.headers = slice_of(at + kept->local_n + kept->asserted_n, kept->headers_n),
		.user = participant_canonical(p), .found = found, .accept_contact = "*;" IM_FEATURE_TAG ";explicit",
		.peer_refreshes = true, .attributes = slice_str(c->attributes ? c->attributes : ""),
		.face = conference_face(c), .media = conference_media(c, NULL), .events = &conference_agent_events, .arg = p };
	if (!found)
		call.target = im_next_hop(c->im);
	return virtual_user_agent_call(&p->agent, c->im, &call);
}

/* A user of ours: whether he wants it, and where he is (6.2.6.1). */
static unsigned status_of(const struct conference *c, const struct user_find *found)
{
	const struct policy_options *policy = &c->im->config->policy;

	switch (found->verdict) {
	case USER_BARS:
		return policy->barred_code;
	case USER_REJECTS:
		return policy->rejected_code;
	case USER_ACCEPTS:
		break;
	}
	return found->is_registered && found->contact_count ? 0 : policy->unavailable_session_code;
}

void conference_on_found(struct conference *c, struct user_find *found)
{
	struct participant *p = conference_participant(c, slice_of(found->canonical, found->canonical_n));
	unsigned status;

	if (!p || p->state != PARTICIPANT_INVITED || p->agent || !p->invitation) { /* taken back meanwhile */
		free(found);
		return;
	}
	status = status_of(c, found);
	if (status)
		free(found);
	else if (!call(p, found))
		status = 503;
	if (status)
		(void)conference_on_final(p, status, SLICE_EMPTY);
}

static unsigned look_up(struct participant *p, const struct identity *inviter)
{
	struct conference *c = p->conference;
	struct user_wanted wanted = { participant_canonical(p), false, USER_FOR_SESSION, inviter };

	return user_find_for(c->im, &wanted, c->actor.id) == 0 ? 0 : 503;
}

unsigned conference_call(struct participant *p, const struct identity *inviter)
{
	if (!p->invitation->goes_out)
		return look_up(p, inviter);
	return call(p, NULL) ? 0 : 503;
}

/* ---- who is meant ---- */

/* It becomes a header: an escaped line end must not become another one. */
static bool is_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 127)
			return false;
	return true;
}

/* The URI without what is no address: headers, and the method of a Refer-To.  `replaces`: what its headers say. */
static bool read_uri(struct slice text, struct sip_uri *uri, struct buffer *bare, struct buffer *replaces)
{
	struct slice headers, header, params;

	if (text.n >= CONFERENCE_URI_MAX || !sip_uri_parse(text, uri) || uri->scheme == SIP_SCHEME_OTHER)
		return false;
	buffer_put(bare, slice_cut(text, '?', NULL));
	for (headers = uri->headers; headers.n; headers = params) {
		header = slice_cut(headers, '&', &params);
		if (slice_case_starts(header, SLICE("Replaces=")))
			sip_unescape(replaces, slice_skip(header, 9));
	}
	return !bare->overflow && !replaces->overflow && is_text(buffer_slice(replaces));
}

static bool is_home(const struct conference *c, const struct sip_uri *uri)
{
	return sip_uri_is_home(uri, &c->im->server->sip.home);
}

/* Neither function nor session: nobody who could be invited. */
static bool is_callable(const struct conference *c, const struct sip_uri *uri, struct slice canonical, bool may_leave)
{
	const struct im *im = c->im;

	if (im->config->core.mode == MODE_IMS)
		return true;
	if (!is_home(c, uri))
		return may_leave && im_has_next_hop(im);
	return uri->user.n && !sip_name_is_function(sip_canonical_user(canonical), &im->server->sip) &&
	       !sip_name_is_group(sip_canonical_user(canonical), &im->server->sip) && minted_worker(uri->user) < 0;
}

static struct participant *add(struct conference *c, const struct participant_start *start)
{
	struct participant *p = conference_participant(c, start->canonical);

	if (!p)
		return participant_add(c, start);
	participant_enter(p, PARTICIPANT_INVITED, "invited-again");
	return p;
}

unsigned conference_invite_as(struct conference *c, const struct conference_invitation *invitation, bool is_first)
{
	char bare_text[CONFERENCE_URI_MAX], canonical_text[IM_CANONICAL_MAX], replaces_text[512], display_text[300];
	struct buffer bare = buffer_over(bare_text, sizeof(bare_text)),
		      canonical = buffer_over(canonical_text, sizeof(canonical_text)),
		      replaces = buffer_over(replaces_text, sizeof(replaces_text));
	struct inviting inviting = { .conference = c, .invitation = invitation, .hides = invitation->inviter->is_anonymous };
	struct participant *p;
	struct sip_uri uri;

	if (!read_uri(invitation->uri, &uri, &bare, &replaces) ||
	    !sip_uri_canonical(&canonical, &uri, &c->im->server->sip.home) ||
	    !is_callable(c, &uri, buffer_slice(&canonical), invitation->may_leave))
		return 404;
	p = conference_participant(c, buffer_slice(&canonical));
	if (p && p->state != PARTICIPANT_LEFT)
		return 200;
	inviting.display = nickname_of(&inviting, display_text, sizeof(display_text));
	struct conference_invited_one *kept = keep(&inviting, buffer_slice(&bare));
	p = kept ? add(c, &(struct participant_start){ buffer_slice(&canonical), buffer_slice(&bare), invitation->display,
			   false, PARTICIPANT_INVITED }) :
		   NULL;
	if (!p) {
		free(kept);
		return 503;
	}
	kept->is_first = is_first;
	p->invitation = kept;
	kept->goes_out = c->im->config->core.mode == MODE_IMS || !is_home(c, &uri);
	unsigned status = replaces.n ? conference_call_replacing(p, invitation->inviter, buffer_slice(&replaces)) :
				       conference_call(p, invitation->inviter);
	if (status) {
		free(p->invitation);
		p->invitation = NULL;
		participant_leave(p, "no-room");
	} else {
		COUNT(&c->im->worker->counters, conference_invitations);
	}
	return status;
}

unsigned conference_invite(struct conference *c, const struct conference_invitation *invitation)
{
	return conference_invite_as(c, invitation, false);
}

/* ---- what comes of it ---- */

void conference_forget(struct conference *c, void *arg)
{
	struct participant *p;

	TAILQ_FOREACH(p, &c->participants, link)
		if (p->invitation && p->invitation->arg == arg)
			p->invitation->on_result = NULL;
}

void conference_on_provisional(struct participant *p, unsigned status)
{
	struct conference *c = p->conference;
	struct participant *originator = c->originator;

	if (status == 180 && p->state == PARTICIPANT_INVITED)
		participant_enter(p, PARTICIPANT_ALERTING, "rings");
	if (status == 180 && originator && originator->state == PARTICIPANT_JOINING)
		virtual_user_agent_progress(originator->agent, 180); /* once: it sees to that */
	if (p->invitation && p->invitation->on_result)
		p->invitation->on_result(p->invitation->arg, status, SLICE_EMPTY);
}

void conference_tell_result(struct participant *p, unsigned status, struct slice warning)
{
	struct conference_invited_one *invitation = p->invitation;

	p->invitation = NULL;
	if (invitation && invitation->on_result)
		invitation->on_result(invitation->arg, status, warning);
	free(invitation);
}

bool conference_on_final(struct participant *p, unsigned status, struct slice warning)
{
	struct conference *c = p->conference;
	bool is_first = p->invitation && p->invitation->is_first;
	bool has_come = status >= 200 && status < 300;

	conference_tell_result(p, status, warning);
	if (!has_come) {
		REFUSED(&c->im->worker->counters, REASON_CONFERENCE_INVITATION);
		LOG(INFO, c->im->worker, "conference", c->actor.id, "not-joined participant=%u status=%u reason=%s", p->number,
			status, reason_label(REASON_CONFERENCE_INVITATION));
		participant_leave(p, "refused");
	}
	if (is_first && conference_setup_result(c, has_come ? 0 : status))
		return true;
	if (has_come)
		return !conference_accept_originator(c);
	return conference_check_release(c);
}
