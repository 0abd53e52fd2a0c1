/*
 * The recipients of a large message to many (9.3.2.1): each is looked for, and
 * called or counted as away, independently of the others; what the sender is
 * answered follows from all of them (F19, D1-19).
 */
#include "actors/large_list_internal.h"

#include <stdlib.h>

#include "actors/policy.h"
#include "actors/store_actor.h"
#include "core/store_deferred.h"
#include "sip/header.h"
#include "sip/owner.h"
#include "sip/write.h"

static const char *const state_names[] = {
#define X(name, what) #name,
	LARGE_LEG_STATES(X)
#undef X
};

static const struct virtual_user_agent_events leg_events;

/* The only place where one changes state. */
void large_leg_enter(struct large_leg *leg, enum large_leg_state next, const char *why)
{
	struct large_list *l = leg->list;
	bool was_pending = leg->state <= LARGE_LEG_CALLED;

	LOG(DEBUG, l->im->worker, "large_list", l->actor.id, "recipient=%.*s state=%s from=%s why=%s",
		SLICE_ARG(large_leg_canonical(leg)), state_names[next], state_names[leg->state], why);
	l->looking += (next == LARGE_LEG_LOOKING) - (leg->state == LARGE_LEG_LOOKING);
	leg->state = next;
	if (was_pending && next > LARGE_LEG_CALLED)
		l->pending--;
}

void large_leg_hang_up(struct large_leg *leg, const char *reason)
{
	struct virtual_user_agent *agent = leg->agent;

	deferred_reader_stop(&leg->reader);
	leg->is_sending = false;
	leg->agent = NULL;
	if (agent)
		virtual_user_agent_end(agent, reason);
}

/* ---- the sender's answer ---- */

/* D1-19: the lowest, of equal ones the first. */
static unsigned lowest_status(const struct large_list *l, bool *is_any_away)
{
	unsigned lowest = 0;

	*is_any_away = false;
	for (unsigned i = 0; i < l->recipients.count; i++) {
		const struct large_leg *leg = &l->legs[i];
		if (leg->state == LARGE_LEG_DEFERRED)
			*is_any_away = true;
		else if (leg->state == LARGE_LEG_FAILED && (!lowest || leg->status < lowest))
			lowest = leg->status;
	}
	return lowest ? lowest : 480; /* who was there has left before he could be answered */
}

/* `said` NULL: all who will get it are away. */
static void accept_sender(struct large_list *l, const struct session_peer *said)
{
	struct virtual_user_agent_media media = { .direction = SDP_RECVONLY, .accept_types = l->types,
		.max_size = l->max_octets, .is_switched = true };
	struct virtual_user_agent *sender = l->sender;
	char types[SESSION_SDP_MAX];
	struct buffer out = buffer_over(types, sizeof(types) - 1);

	if (said && policy_common_types(slice_str(l->types), said->media->accept_types, &out)) { /* D1-22 */
		types[out.n] = 0;
		l->answer_types = strdup(types);
		media.accept_types = l->answer_types ? l->answer_types : l->types; /* without memory: all that was offered */
	}
	l->is_accepted = true;
	if (!virtual_user_agent_accept(sender, &media, SLICE_EMPTY, NULL)) {
		l->sender = NULL;
		l->is_leaving = true;
	} else if (msrp_room_add(l->room, virtual_user_agent_leg(sender), &(struct msrp_room_member){ .sends = true }) != 0) {
		l->sender = NULL;
		l->is_leaving = true;
		virtual_user_agent_end(sender, reason_label(REASON_NO_MEMORY));
	}
	large_list_heard(l);
	large_list_settle(l);
}

void large_list_conclude(struct large_list *l)
{
	bool is_any_away;

	if (l->is_accepted || l->pending || !l->sender)
		return;
	unsigned status = lowest_status(l, &is_any_away);
	if (is_any_away)
		accept_sender(l, NULL);
	else
		large_list_refuse(l, status, REASON_REJECTED, NULL);
}

void large_leg_fail(struct large_leg *leg, unsigned status, enum reason why)
{
	struct large_list *l = leg->list;

	REFUSED(&l->im->worker->counters, why);
	LOG(INFO, l->im->worker, "large_list", l->actor.id, "not reached recipient=%.*s status=%u reason=%s",
		SLICE_ARG(large_leg_canonical(leg)), status, reason_label(why));
	leg->status = status;
	large_leg_enter(leg, LARGE_LEG_FAILED, reason_label(why));
	large_leg_give_up(leg, status);
	large_list_settle(l);
}

/* ---- the call ---- */

/* Who asks for it, and what of his INVITE is said to them too. */
static void write_lines(const struct large_list *l, struct buffer *out, const struct sip_message *invite)
{
	if (!identity_hides_sender(l->im, &l->who))
		buffer_printf(out, "Referred-By: <sip:%.*s>\r\n", (int)l->who.canonical_n, l->who.canonical);
	identity_write(out, l->im, &l->who, invite);
	if (!identity_hides_sender(l->im, &l->who)) /* RFC 3323 5.3 */
		sip_copy_headers(out, invite, SIP_HDR_SUBJECT);
	sip_copy_headers(out, invite, SIP_HDR_PRIORITY);
	sip_copy_headers(out, invite, SIP_HDR_DATE);
	sip_copy_headers(out, invite, SIP_HDR_EXPIRES);
}

/* Takes `found`; NULL: by core.next_hop. */
static void call(struct large_leg *leg, struct user_find *found)
{
	struct large_list *l = leg->list;
	char from_text[1024], to_text[1024], lines_text[2048];
	struct buffer from = buffer_over(from_text, sizeof(from_text)), to = buffer_over(to_text, sizeof(to_text)),
		      lines = buffer_over(lines_text, sizeof(lines_text));
	struct slice uri = large_leg_uri(leg);
	struct sip_message invite;

	bool is_read = large_list_read(l, &invite); /* cannot fail: it was read before */
	if (is_read) {
		identity_write_from(&from, l->im, &l->who, &invite);
		buffer_lit(&to, "<");
		sip_write_text(&to, uri);
		buffer_lit(&to, ">");
		write_lines(l, &lines, &invite);
	}
	if (!is_read || from.overflow || to.overflow || lines.overflow) {
		free(found);
		large_leg_fail(leg, 513, REASON_TOO_LARGE);
		return;
	}
	struct virtual_user_agent_call start = { .uri = uri, .local = buffer_slice(&from), .remote = buffer_slice(&to),
		.user = large_leg_canonical(leg), .found = found, .accept_contact = "*;" IM_FEATURE_TAG ";explicit",
		.peer_refreshes = true, .headers = buffer_slice(&lines), .attributes = slice_str(l->attributes),
		.parts = l->content ? &l->parts : NULL,
		.face = { .user = slice_of(l->user, MINTED_CHARS), .is_focus = true },
		.media = { .direction = SDP_SENDONLY, .accept_types = l->types }, .is_secure = l->is_secure,
		.events = &leg_events, .arg = leg };
	if (!found)
		start.target = im_next_hop(l->im);
	if (virtual_user_agent_call(&leg->agent, l->im, &start))
		large_leg_enter(leg, LARGE_LEG_CALLED, "called");
	else
		large_leg_fail(leg, 503, REASON_POOL_EXHAUSTED);
}

static void on_leg_ringing(struct virtual_user_agent *agent, unsigned status, void *arg)
{
	struct large_list *l = ((struct large_leg *)arg)->list;

	if (l->sender && !l->is_accepted && status == 180)
		virtual_user_agent_progress(l->sender, 180);
}

static void on_leg_answered(struct virtual_user_agent *agent, const struct session_peer *said, void *arg)
{
	struct large_leg *leg = arg;
	struct large_list *l = leg->list;

	if (large_leg_join(leg) != 0) {
		large_leg_hang_up(leg, reason_label(REASON_NO_MEMORY));
		large_leg_fail(leg, 503, REASON_NO_MEMORY);
		return;
	}
	if (l->sender && !l->is_accepted)
		accept_sender(l, said);
	large_list_settle(l);
}

static void on_leg_refused(struct virtual_user_agent *agent, const struct virtual_user_agent_refusal *refusal, void *arg)
{
	struct large_leg *leg = arg;

	leg->agent = NULL;
	large_leg_fail(leg, refusal->status, REASON_REJECTED);
}

static void on_leg_lost(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	/* a member: the room has dropped him, or waits for his new connection; from the spool: told by the sender of it */
}

static void on_leg_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct large_leg *leg = arg;
	struct large_list *l = leg->list;

	deferred_reader_stop(&leg->reader);
	leg->is_sending = false;
	leg->agent = NULL;
	if (leg->state == LARGE_LEG_CALLED) { /* answered, with what could not be */
		large_leg_fail(leg, 480, why);
		return;
	}
	if (leg->state == LARGE_LEG_LATE)
		large_leg_give_up(leg, 408);
	large_leg_enter(leg, LARGE_LEG_GONE, reason_label(why));
	large_list_settle(l);
}

static const struct virtual_user_agent_events leg_events = { .on_lost = on_leg_lost, .on_ended = on_leg_ended,
	.on_ringing = on_leg_ringing, .on_answered = on_leg_answered, .on_refused = on_leg_refused };

/* ---- who is away (10.3.2.2) ---- */

static struct large_leg *find_leg(struct large_list *l, struct slice canonical)
{
	for (unsigned i = 0; i < l->recipients.count; i++)
		if (l->legs[i].state == LARGE_LEG_LOOKING && slice_eq(large_leg_canonical(&l->legs[i]), canonical))
			return &l->legs[i];
	return NULL;
}

static bool has_room(const struct large_list *l, const struct store_deferred_counts *counts)
{
	const struct deferred_options *options = &l->im->config->deferred;
	uint64_t room = options->quota_bytes > counts->octets ? options->quota_bytes - counts->octets : 0;

	return (!options->quota_messages || counts->messages < options->quota_messages) &&
	       (!options->quota_bytes || (l->has_size ? l->size <= room : room > 0));
}

static void on_counted(struct worker *worker, struct store_request *request)
{
	struct store_deferred_summary *summary = (struct store_deferred_summary *)request;
	struct large_list *l = (struct large_list *)actor_find(worker, (actor_id)(uintptr_t)request->asker);
	struct large_leg *leg = l ? find_leg(l, summary->mailbox) : NULL;

	if (leg && request->msg.err) {
		large_leg_fail(leg, 503, REASON_STORE);
	} else if (leg && !has_room(l, &summary->counts)) {
		large_leg_fail(leg, 480, REASON_QUOTA);
	} else if (leg) {
		large_leg_enter(leg, LARGE_LEG_DEFERRED, "away");
		large_list_settle(l);
	}
	free(request);
}

static bool ask_for_room(struct large_leg *leg)
{
	struct large_list *l = leg->list;
	struct store_deferred_summary *summary = store_deferred_summary_new(large_leg_canonical(leg), 0);
	struct ring *ring = l->im->worker->ring;

	if (!summary)
		return false;
	summary->now_s = ring->ops->wall_us(ring) / 1000000;
	summary->request.on_answer = on_counted;
	summary->request.asker = (void *)(uintptr_t)l->actor.id;
	(void)store_ask(l->im->worker, &summary->request); /* reads are never refused */
	return true;
}

static void on_away(struct large_leg *leg, uint64_t registration)
{
	const struct config *config = leg->list->im->config;

	leg->registration = registration;
	/* what our own functions send fails instead of coming back to where it was (design.md 7) */
	if (config->policy.offline_large != OFFLINE_DEFER ||
	    identity_is_function(leg->list->im, slice_of(leg->list->who.canonical, leg->list->who.canonical_n)))
		large_leg_fail(leg, 480, REASON_OFFLINE);
	else if (!leg->list->has_size && config->deferred.require_size)
		large_leg_fail(leg, 403, REASON_SIZE_MISSING);
	else if (!ask_for_room(leg))
		large_leg_fail(leg, 503, REASON_NO_MEMORY);
}

/* ---- looking for them ---- */

void large_list_on_found(struct large_list *l, struct user_find *found)
{
	const struct policy_options *policy = &l->im->config->policy;
	struct large_leg *leg = find_leg(l, slice_of(found->canonical, found->canonical_n));

	if (leg && found->verdict == USER_BARS) {
		large_leg_fail(leg, policy->barred_code, REASON_BARRED);
	} else if (leg && found->verdict == USER_REJECTS) {
		large_leg_fail(leg, policy->rejected_code, REASON_ACCESS_REJECTED);
	} else if (leg && !found->is_registered) {
		on_away(leg, found->registration);
	} else if (leg) {
		call(leg, found);
		found = NULL;
	}
	free(found);
}

static bool is_served(const struct large_leg *leg)
{
	const struct sip_options *sip = &leg->list->im->server->sip;
	struct slice user = sip_canonical_user(large_leg_canonical(leg));
	struct sip_uri uri;

	return sip_uri_parse(large_leg_uri(leg), &uri) && uri.scheme != SIP_SCHEME_OTHER && user.n &&
	       sip_uri_is_home(&uri, &sip->home) && !sip_name_is_function(user, sip) && !sip_name_is_group(user, sip) &&
	       minted_worker(user) < 0;
}

/* ims: whoever it is, the core knows where he is served. */
static void look_for(struct large_leg *leg)
{
	struct large_list *l = leg->list;
	struct sip_uri uri;

	bool is_uri = sip_uri_parse(large_leg_uri(leg), &uri) && uri.scheme != SIP_SCHEME_OTHER;
	bool is_home = is_uri && sip_uri_is_home(&uri, &l->im->server->sip.home);
	large_leg_enter(leg, LARGE_LEG_LOOKING, "begun");
	if (!is_uri) {
		large_leg_fail(leg, 416, REASON_SCHEME);
	} else if (is_home && !is_served(leg)) {
		large_leg_fail(leg, 404, REASON_TARGET_UNKNOWN);
	} else if (l->im->config->core.mode == MODE_IMS || (!is_home && l->may_leave && im_has_next_hop(l->im))) {
		call(leg, NULL);
	} else if (!is_home) {
		large_leg_fail(leg, 404, REASON_TARGET_UNKNOWN);
	} else if (user_find_for(l->im, &(struct user_wanted){ .canonical = large_leg_canonical(leg),
			   .is_sips = outgoing_is_sips(large_leg_uri(leg)), .purpose = USER_FOR_LARGE, .caller = &l->who },
			   l->actor.id) != 0) {
		large_leg_fail(leg, 503, REASON_NO_MEMORY);
	}
}

void large_list_call(struct large_list *l)
{
	while (l->begun < l->recipients.count && l->looking < LARGE_LIST_LOOKING)
		look_for(&l->legs[l->begun++]);
}
