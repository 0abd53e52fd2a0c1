/* SUBSCRIBE with Event: conference (7.2.2.10, F1), in the order of its checks. */
#include "actors/conference_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/conference.h"
#include "actors/group.h"
#include "core/actor.h"
#include "sip/owner.h"

#define DEADLINE_MS 5000 /* for the group's document */

/* ---- SUBSCRIBE ---- */

static void refuse_unknown(struct im *im, struct sip_server *server)
{
	im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
}

static unsigned count_of(const struct conference_state *state, const struct identity *who)
{
	const struct conference_watcher *w;
	unsigned n = 0;

	LIST_FOREACH(w, &state->watchers, link)
		n += slice_eq(conference_watcher_canonical(w), slice_of(who->canonical, who->canonical_n));
	return n;
}

/* Of a group that nobody asked about here yet, since its conference has read it. */
static void have_group(struct conference_state *state)
{
	const struct conference *c =
		state->group ? NULL : conference_find_group(state->im, conference_state_canonical(state));

	if (c && c->group)
		conference_state_hold_group(state, c->group);
}

/* The list of 7.2.2.10 from step 3 on, but the feature tag, which was the door's. */
static void watch(struct conference_state *state, struct sip_server *server, const struct sip_message *m,
	const struct identity *who, struct sip_dialog *dialog)
{
	struct im *im = state->im;
	uint32_t expires_s;

	have_group(state);
	if (!notifier_is_for(&conference_package, m))
		im_refuse(im, server, 489, REASON_EVENT_UNKNOWN, SLICE("Allow-Events: " CONFERENCE_EVENT "\r\n"));
	else if (!conference_state_permits(state, who))
		sip_server_refuse(server, 403, REASON_CONFERENCE_STATE);
	else if (count_of(state, who) >= CONFERENCE_WATCHERS_OF_USER_MAX)
		im_refuse_with_warning(im, server, 403, REASON_CONFERENCE_STATE, "Too many subscriptions");
	else if (notifier_reads(im, &conference_package, server, m, &expires_s)) {
		conference_watch(state, server, m, who, dialog, expires_s);
		return;
	}
	conference_state_forget_if_empty(state);
}

static void refuse_for_want_of_memory(struct im *im, struct sip_server *server)
{
	notifier_refuse_for_want_of_room(im, server, REASON_NO_MEMORY);
}

void conference_subscribe_in_dialog(struct conference_state *state, struct sip_dialog *dialog,
	const struct conference_user *user, struct sip_server *server, const struct sip_message *m)
{
	struct identity who = { .canonical_n = user->canonical.n };

	assert(user->canonical.n <= sizeof(who.canonical)); /* it came out of one */
	memcpy(who.canonical, user->canonical.p, user->canonical.n);
	watch(state, server, m, &who, dialog);
}

/* ---- SUBSCRIBE to a group, whose document must be read first ---- */

struct conference_question {
	struct actor actor;
	LIST_ENTRY(conference_question) link;
	struct im *im;
	struct sip_server *server;
	struct identity who;
	struct timer deadline;
	size_t canonical_n, message_n;
	char text[]; /* canonical URI of the group, and the SUBSCRIBE as received */
};

static void question_free(struct conference_question *q)
{
	worker_disarm(q->im->worker, &q->deadline);
	LIST_REMOVE(q, link);
	actor_close(&q->actor);
	free(q);
}

/* `group` NULL: there is none of that name. */
static void subscribe_to_group(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct identity *who, struct group *group)
{
	struct conference_state *state = conference_state_of_group(im, group->canonical);

	if (!state)
		state = conference_state_make(im, group->canonical, group->uri);
	if (!state) {
		refuse_for_want_of_memory(im, server);
		return;
	}
	conference_state_hold_group(state, group);
	watch(state, server, m, who, NULL);
}

static void on_found(struct conference_question *q, const struct group_find *found)
{
	struct sip_limits limits = { q->message_n + 1, q->message_n + 1, 0 };
	struct sip_message m;
	size_t used;

	if (found->verdict == GROUP_NONE)
		refuse_unknown(q->im, q->server);
	else if (found->verdict == GROUP_UNREADABLE)
		notifier_refuse_for_want_of_room(q->im, q->server, REASON_STORE);
	else if (sip_message_parse(&m, slice_of(q->text + q->canonical_n, q->message_n), &limits, SIP_DATAGRAM, &used) ==
		 SIP_PARSE_OK)
		subscribe_to_group(q->im, q->server, &m, &q->who, found->group);
	else
		sip_server_refuse(q->server, 400, REASON_SYNTAX); /* cannot be: it was parsed before */
}

/* Changed or deleted since: the subscription would not hear of that.  True: asked for again, until the deadline. */
static bool asks_again(const struct conference_question *q, const struct group_find *found)
{
	struct slice canonical = slice_of(q->text, q->canonical_n);

	return found->verdict == GROUP_FOUND && !group_is_current(q->im, canonical, found->group) &&
	       group_find(q->im, canonical, q->actor.id) == 0;
}

static void on_question_message(struct actor *actor, struct msg *msg)
{
	struct conference_question *q = (struct conference_question *)actor;
	struct group_find *found = (struct group_find *)msg;

	assert(msg->kind == MSG_GROUP_FOUND); /* the only message that names a question */
	if (asks_again(q, found)) {
		group_find_free(found);
		return;
	}
	on_found(q, found);
	group_find_free(found);
	question_free(q);
}

static const struct actor_type question_type = { "conference-question", on_question_message };

static void on_deadline(struct timer *timer)
{
	struct conference_question *q =
		(struct conference_question *)((char *)timer - offsetof(struct conference_question, deadline));

	notifier_refuse_for_want_of_room(q->im, q->server, REASON_TIMEOUT);
	question_free(q);
}

/* 0 or ENOMEM: nothing has happened. */
static int ask(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice canonical,
	const struct identity *who)
{
	struct conference_question *q = calloc(1, sizeof(*q) + canonical.n + m->wire.n);

	if (!q)
		return ENOMEM;
	q->im = im;
	q->server = server;
	q->who = *who;
	q->canonical_n = canonical.n;
	q->message_n = m->wire.n;
	memcpy(q->text, canonical.p, canonical.n);
	memcpy(q->text + canonical.n, m->wire.p, m->wire.n);
	if (actor_open(im->worker, &q->actor, &question_type) != 0) {
		free(q);
		return ENOMEM;
	}
	LIST_INSERT_HEAD(&im->conference_states->questions, q, link);
	if (group_find(im, canonical, q->actor.id) != 0) {
		question_free(q);
		return ENOMEM;
	}
	worker_arm(im->worker, &q->deadline, DEADLINE_MS, on_deadline);
	return 0;
}

void conference_subscribe(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice target,
	const struct identity *who)
{
	struct slice user = sip_canonical_user(target);
	bool is_session = minted_worker(user.n ? user : target) >= 0;
	struct conference_state *state = is_session ? conference_state_of_session(im, user.n ? user : target) : NULL;

	if (is_session && !state)
		refuse_unknown(im, server);
	else if (state)
		watch(state, server, m, who, NULL);
	else if (ask(im, server, m, target, who) != 0)
		refuse_for_want_of_memory(im, server);
}

void conference_questions_free(struct im *im)
{
	while (!LIST_EMPTY(&im->conference_states->questions)) /* the transactions were dropped */
		question_free(LIST_FIRST(&im->conference_states->questions));
}
