/* Those who are in a conference: how they come, what their dialogs bring, how they go. */
#include "actors/conference_internal.h"

#include <stdlib.h>

#include "actors/group.h"
#include "actors/pager_list.h"
#include "actors/policy.h"
#include "actors/refer.h"
#include "actors/session_sdp.h"

static const char *const state_names[] = {
#define X(name, what) #name,
	PARTICIPANT_STATES(X)
#undef X
};

struct participant *conference_participant(const struct conference *c, struct slice canonical)
{
	uint64_t hash = minted_hash(canonical);
	struct participant *p;

	TAILQ_FOREACH(p, &c->participants, link)
		if (p->hash == hash && slice_eq(participant_canonical(p), canonical))
			return p;
	return NULL;
}

static bool is_connected(const struct participant *p)
{
	return p->state == PARTICIPANT_CONNECTED || p->state == PARTICIPANT_JOINING;
}

bool conference_permits_anonymity(const struct conference *c, const struct identity *who)
{
	return c->im->config->policy.allow_anonymity && (!c->group || group_permits(c->group, GROUP_BE_ANONYMOUS, who));
}

bool conference_is_participant(const struct conference *c, struct slice canonical)
{
	const struct participant *p = conference_participant(c, canonical);

	return p && is_connected(p);
}

/* ---- counting ---- */

static void discount(struct participant *p)
{
	struct conference *c = p->conference;

	c->kept -= p->state == PARTICIPANT_LEFT;
	if (p->is_recorder)
		return;
	c->connected -= is_connected(p);
	c->present -= p->state != PARTICIPANT_LEFT;
}

static void recount(struct participant *p)
{
	struct conference *c = p->conference;

	c->kept += p->state == PARTICIPANT_LEFT;
	if (p->is_recorder)
		return;
	c->connected += is_connected(p);
	c->present += p->state != PARTICIPANT_LEFT;
	if (c->connected >= 2)
		c->is_armed = true;
}

static void tell_watchers(struct participant *p)
{
	switch (p->state) {
	case PARTICIPANT_ALERTING:
		conference_state_changed(p->conference->state, &p->seen, CONFERENCE_ALERTING);
		break;
	case PARTICIPANT_CONNECTED:
		conference_state_changed(p->conference->state, &p->seen, CONFERENCE_CONNECTED);
		break;
	case PARTICIPANT_LEFT:
		conference_state_left(p->conference->state, &p->seen);
		break;
	case PARTICIPANT_INVITED:
	case PARTICIPANT_JOINING: /* not there yet */
		break;
	}
}

void participant_enter(struct participant *p, enum participant_state next, const char *why)
{
	/* whose phone rings may still answer as nobody */
	struct slice name = p->is_anonymous || next == PARTICIPANT_ALERTING ? SLICE_EMPTY : participant_canonical(p);
	const char *quote = strchr(why, ' ') ? "\"" : ""; /* what a BYE says is words */

	LOG(INFO, p->conference->im->worker, "conference", p->conference->actor.id,
		"participant=%u%s%.*s state=%s from=%s why=%s%s%s", p->number, name.n ? " user=" : "", SLICE_ARG(name),
		state_names[next], state_names[p->state], quote, why, quote);
	discount(p);
	p->state = next;
	recount(p);
	tell_watchers(p);
}

/* ---- memory ---- */

static void see(struct participant *p)
{
	p->seen.canonical = participant_canonical(p);
	p->seen.entity = p->pseudonym ? slice_str(p->pseudonym) : participant_uri(p);
	p->seen.display_text = p->nickname  ? slice_str(p->nickname) :
			       p->pseudonym ? SLICE_EMPTY :
					      participant_display(p);
}

void conference_rename(struct participant *p, char *nickname)
{
	char *before = p->nickname;

	p->nickname = nickname;
	see(p);
	tell_watchers(p);
	free(before);
}

bool participant_hide(struct participant *p)
{
	char text[64];

	if (p->pseudonym)
		return true;
	snprintf(text, sizeof(text), "sip:anonymous%u@anonymous.invalid", p->number);
	char *pseudonym = strdup(text);
	if (!pseudonym)
		return false;
	if (p->state == PARTICIPANT_ALERTING || p->state == PARTICIPANT_CONNECTED)
		conference_state_left(p->conference->state, &p->seen);
	p->pseudonym = pseudonym;
	p->is_anonymous = true;
	see(p);
	return true;
}

static bool set_text(struct participant *p, const struct participant_start *start)
{
	struct slice display = start->display.n <= CONFERENCE_DISPLAY_MAX ? start->display : SLICE_EMPTY;
	size_t n = start->canonical.n + start->uri.n + display.n;
	struct buffer text;

	if (start->canonical.n > IM_CANONICAL_MAX || start->uri.n > UINT16_MAX)
		return false;
	p->text = malloc(n ? n : 1);
	if (!p->text)
		return false;
	text = buffer_over(p->text, n);
	buffer_put(&text, start->canonical);
	buffer_put(&text, start->uri);
	buffer_put(&text, display);
	p->canonical_n = (uint16_t)start->canonical.n;
	p->uri_n = (uint16_t)start->uri.n;
	p->display_n = (uint16_t)display.n;
	return true;
}

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_participants, pool_used(&im->participants));
}

struct participant *participant_add(struct conference *c, const struct participant_start *start)
{
	struct participant *p = pool_take(&c->im->participants);

	if (!p)
		return NULL;
	p->conference = c;
	p->number = ++c->next_number;
	p->hash = minted_hash(start->canonical);
	p->state = start->state;
	if (!set_text(p, start) || (start->is_anonymous && !participant_hide(p))) {
		free(p->text);
		pool_give(&c->im->participants, p);
		return NULL;
	}
	see(p);
	TAILQ_INSERT_TAIL(&c->participants, p, link);
	recount(p);
	count(c->im);
	return p;
}

void participant_free(struct participant *p)
{
	struct conference *c = p->conference;

	discount(p);
	if (c->originator == p)
		c->originator = NULL;
	TAILQ_REMOVE(&c->participants, p, link);
	free(p->invitation);
	free(p->nickname);
	free(p->pseudonym);
	free(p->text);
	pool_give(&c->im->participants, p);
	count(c->im);
}

/* ---- leaving ---- */

/* Ad-hoc: he was invited, and may come back (7.2.2.9), as long as there is room for his name. */
static void keep(struct participant *p)
{
	struct conference *c = p->conference;
	struct participant *other;

	TAILQ_REMOVE(&c->participants, p, link);
	TAILQ_INSERT_TAIL(&c->participants, p, link);
	if (c->kept <= CONFERENCE_KEPT_MAX)
		return;
	TAILQ_FOREACH(other, &c->participants, link)
		if (other->state == PARTICIPANT_LEFT)
			break;
	participant_free(other);
}

void participant_leave(struct participant *p, const char *why)
{
	struct conference *c = p->conference;

	if (p->in_room)
		msrp_room_remove(c->room, virtual_user_agent_leg(p->agent));
	p->agent = NULL;
	p->in_room = false;
	if (c->originator == p)
		c->originator = NULL;
	participant_enter(p, PARTICIPANT_LEFT, why);
	if (c->kind == CONFERENCE_GROUP || p->is_recorder)
		participant_free(p);
	else
		keep(p);
}

bool conference_remove(struct participant *p, const char *reason)
{
	struct conference *c = p->conference;
	struct virtual_user_agent *agent = p->agent;

	if (p->state == PARTICIPANT_INVITED || p->state == PARTICIPANT_ALERTING) {
		p->agent = NULL;
		if (agent)
			virtual_user_agent_end(agent, NULL); /* CANCEL */
		return conference_on_final(p, 487, SLICE_EMPTY);
	}
	participant_leave(p, reason ? reason : "refer-bye");
	if (agent)
		virtual_user_agent_end(agent, reason);
	return conference_check_release(c);
}

/* ---- what is said in a session ---- */

struct virtual_user_agent_face conference_face(const struct conference *c)
{
	return (struct virtual_user_agent_face){ .user = slice_of(c->user, MINTED_CHARS), .is_focus = true,
		.methods = CONFERENCE_ALLOW };
}

/* RFC 7701 8 where he knows it, and in what we offer. */
static bool knows_chatroom(const struct session_peer *said)
{
	return !said || sdp_attribute(said->media->whole, "chatroom", NULL);
}

#define CHATROOM_LINE "a=chatroom:nickname private-messages\r\n"

struct virtual_user_agent_media conference_media(const struct conference *c, const struct session_peer *said)
{
	return (struct virtual_user_agent_media){ .direction = SDP_SENDRECV, .is_switched = true,
		.accept_types = c->accept_types ? c->accept_types : c->offered_types,
		.max_size = c->im->config->limits.max_size_1tom,
		.lines = knows_chatroom(said) ? CHATROOM_LINE : NULL };
}

/* 7.2.1.2: the originator's answer has the lines of the first one's too.  False: no memory. */
static bool keep_answer(struct conference *c, const struct sdp_media *media)
{
	char lines[4096];
	struct buffer out = buffer_over(lines, sizeof(lines));

	if (c->answered)
		return true;
	buffer_lit(&out, CHATROOM_LINE); /* for who knows it */
	virtual_user_agent_copy_new_attributes(&out, media->whole, slice_str(c->attributes ? c->attributes : ""));
	c->answered = out.overflow ? strdup(CHATROOM_LINE) : slice_to_string(buffer_slice(&out));
	return c->answered != NULL;
}

struct virtual_user_agent_media conference_originator_media(const struct conference *c, const struct session_peer *said)
{
	struct virtual_user_agent_media media = conference_media(c, said);

	if (c->answered)
		media.lines = knows_chatroom(said) ? c->answered : c->answered + strlen(CHATROOM_LINE);
	return media;
}

bool conference_narrow_types(struct conference *c, struct slice said)
{
	const char *before = c->accept_types ? c->accept_types : c->offered_types;
	size_t size = strlen(before) + said.n + 2;
	char *types = malloc(size);
	struct buffer out = buffer_over(types, types ? size - 1 : 0);

	if (!types || !policy_common_types(slice_str(before), said, &out)) {
		free(types);
		return false;
	}
	if (c->accept_types) { /* set by the first: others have only to fit */
		free(types);
		return true;
	}
	types[out.n] = '\0';
	c->accept_types = types;
	return true;
}

struct participant_side participant_side_of(const struct session_peer *said)
{
	enum sdp_direction his = sdp_media_direction(said->sdp, said->media);

	return (struct participant_side){ .sends = his == SDP_SENDRECV || his == SDP_SENDONLY,
		.receives = his == SDP_SENDRECV || his == SDP_RECVONLY, .is_chatroom = knows_chatroom(said) };
}

bool participant_connect(struct participant *p, const struct participant_side *side, const char *why)
{
	struct conference *c = p->conference;

	if (msrp_room_add(c->room, virtual_user_agent_leg(p->agent), &(struct msrp_room_member){ .sends = side->sends,
		    .receives = side->receives, .arg = p }) != 0) {
		REFUSED(&c->im->worker->counters, REASON_NO_MEMORY);
		return false;
	}
	p->in_room = true;
	p->is_chatroom = side->is_chatroom;
	COUNT(&c->im->worker->counters, conference_joins);
	participant_enter(p, PARTICIPANT_CONNECTED, why);
	return true;
}

/* ---- what his dialog brings ---- */

static void on_ringing(struct virtual_user_agent *agent, unsigned status, void *arg)
{
	conference_on_provisional(arg, status);
}

/* 7.2.2.2: he answers as nobody.  False: that is not permitted here, and the policy is to let him go. */
static bool take_anonymity(struct participant *p)
{
	const struct conference *c = p->conference;
	const struct policy_options *policy = &c->im->config->policy;
	struct identity who = { .canonical_n = p->canonical_n, .is_anonymous = true, .wants_id_privacy = true };

	memcpy(who.canonical, p->text, p->canonical_n);
	if (conference_permits_anonymity(c, &who))
		return participant_hide(p);
	return policy->anonymous_invitee == ANONYMOUS_IGNORE;
}

/* D1-22: nothing in common, or no memory: BYE after the ACK, and it counts as a failure. */
static void on_answered(struct virtual_user_agent *agent, const struct session_peer *said, void *arg)
{
	struct participant *p = arg;
	struct conference *c = p->conference;
	struct participant_side side = participant_side_of(said);
	const char *trouble = NULL;

	if (virtual_user_agent_is_anonymous(agent) && !take_anonymity(p))
		trouble = "anonymity is not permitted";
	else if (!conference_narrow_types(c, said->media->accept_types))
		trouble = "no common accept-types";
	else if (!keep_answer(c, said->media) || !participant_connect(p, &side, "answered"))
		trouble = "no memory";
	if (trouble) {
		p->agent = NULL;
		virtual_user_agent_end(agent, trouble);
		(void)conference_on_final(p, 488, SLICE_EMPTY);
		return;
	}
	(void)conference_on_final(p, 200, SLICE_EMPTY);
}

static void on_refused(struct virtual_user_agent *agent, const struct virtual_user_agent_refusal *refusal, void *arg)
{
	struct participant *p = arg;

	p->agent = NULL;
	(void)conference_on_final(p, refusal->status, refusal->warning);
}

static void on_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct participant *p = arg;
	struct conference *c = p->conference;

	if (p->state == PARTICIPANT_INVITED || p->state == PARTICIPANT_ALERTING) { /* a 200 that was none */
		p->agent = NULL;
		(void)conference_on_final(p, why == REASON_DRAINING ? 503 : 488, SLICE_EMPTY);
		return;
	}
	participant_leave(p, why == REASON_PEER_CLOSED ? "bye" : reason_label(why));
	(void)conference_check_release(c);
}

/* The originator: his CANCEL takes the invitations back (7.2.2.4). */
static void on_cancelled(struct virtual_user_agent *agent, void *arg)
{
	struct participant *p = arg;
	struct conference *c = p->conference;

	participant_leave(p, "cancelled");
	(void)conference_check_release(c);
}

/* F34: what he takes from now on must leave something of what is said here. */
static bool on_offer(struct virtual_user_agent *agent, const struct session_peer *said,
	struct virtual_user_agent_media *ours, void *arg)
{
	struct participant *p = arg;
	struct participant_side side = participant_side_of(said);

	if (!conference_narrow_types(p->conference, said->media->accept_types))
		return false;
	*ours = conference_media(p->conference, said);
	if (p->in_room)
		msrp_room_set(p->conference->room, virtual_user_agent_leg(agent), side.sends, side.receives);
	return true;
}

static void on_pager(struct participant *p, struct sip_server *server, const struct sip_message *m)
{
	struct conference *c = p->conference;
	char text[IM_CANONICAL_MAX];
	struct buffer target = buffer_over(text, sizeof(text));
	struct identity who = { .canonical_n = p->canonical_n, .is_anonymous = p->is_anonymous || sip_privacy_is_wanted(m),
		.wants_id_privacy = sip_privacy_has(m, "id") };

	memcpy(who.canonical, p->text, p->canonical_n);
	buffer_printf(&target, "%.*s@%s", MINTED_CHARS, c->user, c->im->config->domain.home);
	pager_list_start(c->im, server, m, &(struct pager_list_start){ .sender = &who, .target = buffer_slice(&target) });
}

static void on_request(struct virtual_user_agent *agent, struct sip_server *server, const struct sip_message *m,
	void *arg)
{
	struct participant *p = arg;

	switch ((int)m->method) {
	case SIP_REFER:
		refer_in_dialog(p, server, m);
		break;
	case SIP_SUBSCRIBE:
		conference_subscribe_in_dialog(p->conference->state, virtual_user_agent_dialog(agent), &p->seen, server, m);
		break;
	case SIP_MESSAGE:
		on_pager(p, server, m);
		break;
	case SIP_NOTIFY:
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN); /* of no subscription of ours */
		break;
	default:
		im_refuse(p->conference->im, server, 405, REASON_METHOD_NOT_ALLOWED,
			SLICE("Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK, " CONFERENCE_ALLOW "\r\n"));
	}
}

const struct virtual_user_agent_events conference_agent_events = { .on_ringing = on_ringing, .on_answered = on_answered,
	.on_refused = on_refused, .on_ended = on_ended, .on_cancelled = on_cancelled, .on_offer = on_offer,
	.on_request = on_request };
