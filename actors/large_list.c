/* A large message to many: its INVITE, its end, and who is done when. */
#include "actors/large_list_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/cdr.h"
#include "sip/header.h"

static void on_list_message(struct actor *actor, struct msg *msg);
static const struct actor_type large_list_type = { "large_list", on_list_message };

bool large_list_wants(const struct sip_message *invite)
{
	const struct sdp_media *media;
	struct sdp offer;

	return session_sdp_read_offer(invite, &offer, &media) == SDP_ACCEPTED &&
	       sdp_media_direction(&offer, media) == SDP_SENDONLY;
}

bool large_list_read(const struct large_list *l, struct sip_message *invite)
{
	struct sip_limits limits = { l->request_n + 1, l->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(invite, slice_of(l->request, l->request_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK;
}

/* ---- the end ---- */

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_large_lists, pool_used(&im->large_lists));
}

static void free_all(struct large_list *l)
{
	struct im *im = l->im;

	worker_disarm(im->worker, &l->timer);
	worker_disarm(im->worker, &l->settling);
	for (unsigned i = 0; l->legs && i < l->recipients.count; i++) {
		deferred_reader_stop(&l->legs[i].reader);
		if (l->legs[i].upload)
			large_upload_drop(l->legs[i].upload);
	}
	if (l->room)
		msrp_room_close(l->room);
	large_list_free_copies(l);
	recipients_free(&l->recipients);
	recipients_free(&l->groups);
	free(l->legs);
	free(l->types);
	free(l->answer_types);
	free(l->attributes);
	pager_content_drop(l->content);
	free(l->request);
	actor_close(&l->actor);
	pool_give(&im->large_lists, l);
	count(im);
}

static void finish(struct large_list *l, const char *reason)
{
	LOG(INFO, l->im->worker, "large_list", l->actor.id, "ended messages=%llu octets=%llu reason=%s",
		(unsigned long long)l->messages, (unsigned long long)l->octets, reason);
	if (cdr_is_on(l->im))
		cdr_write(l->im, &(struct cdr){ .type = "large", .id = l->actor.id, .from = cdr_from(&l->who),
			.to = slice_of(l->target, l->target_n), .start_us = l->start_us, .octets = l->octets,
			.messages = l->messages, .reason = reason });
	free_all(l);
}

/* BYE or CANCEL to everybody. */
static void hang_up_all(struct large_list *l, const char *trouble)
{
	for (unsigned i = 0; l->legs && i < l->recipients.count; i++)
		large_leg_hang_up(&l->legs[i], trouble);
	if (l->sender)
		virtual_user_agent_end(l->sender, trouble);
	l->sender = NULL;
}

void large_list_refuse(struct large_list *l, unsigned status, enum reason why, const char *warning)
{
	char text[256];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (warning)
		im_write_warning(l->im, &headers, status == 488 ? 305 : 399, warning);
	if (l->server) {
		sip_server_watch(l->server, NULL, NULL);
		im_refuse(l->im, l->server, status, why, buffer_slice(&headers));
	} else if (l->sender) {
		virtual_user_agent_refuse(l->sender, status, why, buffer_slice(&headers));
	}
	l->server = NULL;
	l->sender = NULL;
	hang_up_all(l, NULL);
	finish(l, reason_label(why));
}

/* ---- who is done when ---- */

/* The last word to him is the 200 to his BYE: it waits for commits, and for what the BYE may have overtaken. */
static bool may_go(const struct large_list *l)
{
	bool is_storing = false;

	if (l->open || (!l->has_begun && virtual_user_agent_is_bound(l->sender)))
		return false; /* on_time() decides */
	for (unsigned i = 0; i < l->recipients.count; i++)
		is_storing |= l->legs[i].state == LARGE_LEG_DEFERRED && large_leg_is_owed(&l->legs[i]);
	return !is_storing || worker_now_ms(l->im->worker) >= l->storing_until_ms;
}

/* Has he all that he gets, now that nothing more will be sent? */
static bool has_all(struct large_leg *leg)
{
	switch (leg->state) { /* no default: a new state must be thought of here */
	case LARGE_LEG_MEMBER:
		return msrp_room_is_quiet(leg->list->room, virtual_user_agent_leg(leg->agent));
	case LARGE_LEG_WAITING:
	case LARGE_LEG_LOOKING:
	case LARGE_LEG_CALLED:
	case LARGE_LEG_LATE:
	case LARGE_LEG_DEFERRED:
		return !large_leg_is_owed(leg);
	case LARGE_LEG_FAILED:
	case LARGE_LEG_GONE:
		break;
	}
	return true;
}

/* True: nobody is left. */
static bool release_legs(struct large_list *l)
{
	unsigned left = 0;

	for (unsigned i = 0; i < l->recipients.count; i++) {
		struct large_leg *leg = &l->legs[i];
		if (!has_all(leg)) {
			left++;
		} else if (leg->state != LARGE_LEG_FAILED && leg->state != LARGE_LEG_GONE) {
			large_leg_hang_up(leg, NULL);
			large_leg_enter(leg, LARGE_LEG_GONE, "complete");
		}
	}
	return left == 0;
}

static bool is_anybody_there(const struct large_list *l)
{
	for (unsigned i = 0; i < l->recipients.count; i++)
		if (l->legs[i].state != LARGE_LEG_FAILED && l->legs[i].state != LARGE_LEG_GONE)
			return true;
	return false;
}

static void let_sender_go(struct large_list *l, const char *trouble)
{
	struct virtual_user_agent *sender = l->sender;

	l->sender = NULL;
	worker_disarm(l->im->worker, &l->timer);
	virtual_user_agent_end(sender, trouble);
}

static void on_settling(struct timer *timer)
{
	struct large_list *l = (struct large_list *)((char *)timer - offsetof(struct large_list, settling));

	l->is_settling = false;
	if (!l->sender && !l->server && !l->is_accepted) {
		hang_up_all(l, NULL);
		finish(l, "cancelled");
		return;
	}
	if (l->sender || l->copies_kept)
		large_list_call(l);
	if (!l->is_accepted) {
		large_list_conclude(l); /* it may be gone */
		return;
	}
	if (!l->sender)
		large_list_end_coming(l);
	large_list_advance(l);
	if (l->sender && l->is_leaving && may_go(l))
		let_sender_go(l, NULL);
	if (l->sender && !l->is_leaving && !is_anybody_there(l))
		let_sender_go(l, "nobody is left");
	if (l->sender)
		return;
	if (release_legs(l)) {
		finish(l, l->is_leaving ? "bye" : "ended");
		return;
	}
	if (!l->is_settling) /* the answer to what was aborted is told by no event */
		worker_arm(l->im->worker, &l->settling, LARGE_LIST_LOOK_MS, on_settling);
}

void large_list_settle(struct large_list *l)
{
	if (!l->is_settling)
		worker_arm(l->im->worker, &l->settling, 1, on_settling);
	l->is_settling = true;
}

static void on_time(struct timer *timer)
{
	struct large_list *l = (struct large_list *)((char *)timer - offsetof(struct large_list, timer));

	if (l->server) {
		large_list_refuse(l, 503, REASON_TIMEOUT, NULL);
		return;
	}
	if (!l->sender)
		return;
	if (!l->is_leaving) {
		REFUSED(&l->im->worker->counters, REASON_TIMEOUT);
		l->is_leaving = true;
		let_sender_go(l, "nothing was sent");
	} else if (l->open || !l->has_begun || worker_now_ms(l->im->worker) >= l->storing_until_ms) {
		let_sender_go(l, NULL); /* whatever has begun ends for the others */
	}
	large_list_settle(l);
}

void large_list_heard(struct large_list *l)
{
	if (l->sender && l->is_accepted && !l->is_leaving)
		worker_arm(l->im->worker, &l->timer, LARGE_LIST_IDLE_MS, on_time);
	else if (l->sender && l->is_leaving)
		worker_arm(l->im->worker, &l->timer, l->open ? LARGE_LIST_LINGER_MS : l->has_begun ? LARGE_LIST_STORING_MS :
			LARGE_LIST_FIRST_MS, on_time);
}

/* ---- the sender ---- */

static void on_sender_bye(struct virtual_user_agent *agent, void *arg)
{
	struct large_list *l = arg;

	l->is_leaving = true;
	l->storing_until_ms = worker_now_ms(l->im->worker) + LARGE_LIST_STORING_MS;
	large_list_heard(l);
	large_list_settle(l);
}

static void on_sender_ended(struct virtual_user_agent *agent, enum reason why, void *arg)
{
	struct large_list *l = arg;

	LOG(INFO, l->im->worker, "large_list", l->actor.id, "sender gone reason=%s", reason_label(why));
	l->sender = NULL;
	l->is_leaving = true;
	large_list_settle(l);
}

static void on_sender_cancelled(struct virtual_user_agent *agent, void *arg)
{
	struct large_list *l = arg;

	l->sender = NULL;
	large_list_settle(l);
}

const struct virtual_user_agent_events large_list_sender_events = { .on_bye = on_sender_bye, .on_ended = on_sender_ended,
	.on_cancelled = on_sender_cancelled };

/* ---- the INVITE ---- */

static void on_list_message(struct actor *actor, struct msg *msg)
{
	struct large_list *l = (struct large_list *)actor;

	if (msg->kind == MSG_USER_FOUND) {
		large_list_on_found(l, (struct user_find *)msg);
		return;
	}
	assert(msg->kind == MSG_GROUP_FOUND); /* nothing else names a list */
	if (l->server)
		large_list_on_group(l, (struct group_find *)msg);
	else
		group_find_free((struct group_find *)msg);
}

/* While groups are asked for; then the sender's agent watches. */
static void on_cancelled(struct sip_server *server, void *arg)
{
	large_list_refuse(arg, 487, REASON_REJECTED, NULL);
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	struct large_list *l = arg;

	l->server = NULL;
	large_list_settle(l);
}

static const struct sip_server_events invite_events = { on_cancelled, NULL, NULL, on_invite_gone, NULL };

static struct large_list *make(struct im *im, const struct sip_message *invite, const struct controlling_start *start)
{
	struct large_list *l = pool_take(&im->large_lists);

	if (!l)
		return NULL;
	l->im = im;
	l->request = malloc(invite->wire.n);
	if (!l->request || actor_open(im->worker, &l->actor, &large_list_type) != 0) {
		free(l->request);
		pool_give(&im->large_lists, l);
		return NULL;
	}
	memcpy(l->request, invite->wire.p, invite->wire.n);
	l->request_n = invite->wire.n;
	TAILQ_INIT(&l->copies);
	l->kind = start->kind;
	l->who = *start->who;
	l->may_leave = start->may_leave;
	l->target_n = start->canonical.n < sizeof(l->target) ? start->canonical.n : sizeof(l->target);
	memcpy(l->target, start->canonical.p, l->target_n);
	l->start_us = cdr_now_us(im);
	minted_make(im->worker, l->user);
	count(im);
	return l;
}

void large_list_start(struct im *im, struct sip_server *server, const struct sip_message *invite,
	const struct controlling_start *start)
{
	struct large_list *l;

	if (atomic_load(&im->server->is_draining)) {
		sip_server_refuse(server, 503, REASON_DRAINING);
		return;
	}
	l = make(im, invite, start);
	if (!l) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	l->server = server;
	sip_server_watch(server, &invite_events, l);
	worker_arm(im->worker, &l->timer, LARGE_LIST_CHECK_MS, on_time);
	large_list_find_recipients(l, invite);
}

/* ---- the worker's ---- */

int large_lists_init(struct im *im)
{
	return pool_init(&im->large_lists, "large_lists", sizeof(struct large_list), im->config->limits.sessions);
}

/* The agents hear of the drain by themselves; what has no agent yet is refused. */
void large_lists_drain(struct im *im)
{
	for (uint32_t slot = 0; slot < im->large_lists.made; slot++) {
		struct large_list *l = pool_at(&im->large_lists, slot);
		if (l && !l->is_accepted && (l->server || l->sender))
			large_list_refuse(l, 503, REASON_DRAINING, NULL);
	}
}

/* The transactions below were dropped without a word. */
void large_lists_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->large_lists.made; slot++) {
		struct large_list *l = pool_at(&im->large_lists, slot);
		if (!l)
			continue;
		for (unsigned i = 0; l->legs && i < l->recipients.count; i++)
			l->legs[i].upload = NULL;
		large_list_abandon_copies(l);
		finish(l, "stopped");
	}
	pool_free(&im->large_lists);
}
