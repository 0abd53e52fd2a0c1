/* What those who watch a conference are told (7.2.2.11), and how their subscriptions live. */
#include "actors/conference_state.h"

#include <stdlib.h>

#include "core/log.h"
#include "sip/owner.h"

#define PACE_T1 10 /* D1-39: 5 s, as RFC 4575 3.9 has it */

static struct conference_watcher *of(const struct notifier *n)
{
	return (struct conference_watcher *)((char *)n - offsetof(struct conference_watcher, notifier));
}

/* ---- documents ---- */

/* The first of those who have changed after that number; NULL: nobody has. */
static const struct conference_user *first_after(const struct conference_state *state, uint64_t after)
{
	const struct conference_user *user = TAILQ_LAST(&state->users, conference_users), *first = NULL;

	for (; user && user->changed > after; user = TAILQ_PREV(user, conference_users, link))
		first = user;
	return first;
}

static size_t octets_of(const struct conference_state *state, uint64_t after)
{
	size_t n = conference_info_octets(conference_state_entity(state));
	const struct conference_gone *gone;

	for (const struct conference_user *user = first_after(state, after); user; user = TAILQ_NEXT(user, link))
		n += conference_info_user_octets(user->entity, user->display_text);
	TAILQ_FOREACH(gone, &state->gone, link)
		n += conference_info_user_octets(slice_of(gone->entity, gone->entity_n), SLICE_EMPTY);
	return n;
}

/* What has changed after that number; full: everybody who is there. */
static void write_document(struct buffer *out, const struct conference_watcher *w, uint64_t after, bool is_full)
{
	const struct conference_state *state = w->state;
	const struct conference_gone *gone;

	conference_info_head(out, conference_state_entity(state), w->version + 1, is_full);
	TAILQ_FOREACH(gone, &state->gone, link)
		if (!is_full && gone->changed > after)
			conference_info_user(out, slice_of(gone->entity, gone->entity_n), SLICE_EMPTY,
				CONFERENCE_DISCONNECTED);
	for (const struct conference_user *user = first_after(state, after); user; user = TAILQ_NEXT(user, link))
		conference_info_user(out, user->entity, user->display_text, user->status);
	conference_info_end(out);
}

static void on_due(struct notifier *n)
{
	struct conference_watcher *w = of(n);
	bool is_full = w->wants_full || w->told < w->state->forgotten;
	uint64_t after = is_full ? 0 : w->told;
	size_t room = octets_of(w->state, after);
	char *text = malloc(room);
	struct buffer body = buffer_over(text, room);
	bool is_last = n->state == NOTIFIER_ENDING;

	if (!text) {
		REFUSED(&n->im->worker->counters, REASON_NO_MEMORY);
		w->wants_full = true;
		notifier_has_nothing(n);
		return;
	}
	write_document(&body, w, after, is_full);
	w->version++;
	w->told = w->state->change;
	w->wants_full = false;
	if (is_full)
		COUNT(&n->im->worker->counters, conference_documents_full);
	else
		COUNT(&n->im->worker->counters, conference_documents_partial);
	notifier_tell(n, buffer_slice(&body)); /* the last one may be the end of him */
	free(text);
	if (is_last || n->notify)
		return;
	w->version--; /* it did not go: asked again, he knows nothing of it */
	w->wants_full = true;
}

static void on_refresh(struct notifier *n)
{
	of(n)->wants_full = true;
}

/* 7.2.2.10 step 9 (D1-21: the group, else the factory) and 10. */
static void write_answer(const struct notifier *n, struct buffer *out)
{
	const struct conference_state *state = of(n)->state;
	struct slice factory = slice_str(n->im->config->domain.factory);

	buffer_printf(out, "P-Asserted-Identity: <%.*s>\r\nSupported: norefersub\r\n",
		SLICE_ARG(state->canonical_n ? conference_state_entity(state) : factory));
}

static void count(struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_conference_watchers, pool_used(&im->conference_states->watchers));
}

static void forget(struct conference_watcher *w)
{
	struct im *im = w->state->im;
	struct conference_state *state = w->state;

	LIST_REMOVE(w, link);
	pool_give(&im->conference_states->watchers, w);
	count(im);
	conference_state_forget_if_empty(state);
}

static void on_over(struct notifier *n, enum reason why, unsigned status)
{
	struct conference_watcher *w = of(n);

	LOG(INFO, n->im->worker, "subscription", 0, "ended user=%.*s event=" CONFERENCE_EVENT " entity=%.*s status=%u reason=%s",
		SLICE_ARG(conference_watcher_canonical(w)), SLICE_ARG(conference_state_entity(w->state)), status,
		why == REASON_COUNT ? n->end_reason : reason_label(why));
	forget(w);
}

const struct notifier_package conference_package = { .event = CONFERENCE_EVENT, .type = CONFERENCE_INFO_TYPE,
	.contact = "isfocus", .pace_t1 = PACE_T1, .on_due = on_due, .on_refresh = on_refresh, .write_answer = write_answer,
	.on_over = on_over };

/* ---- watchers ---- */

/* The session's name where there is a session, else the group's own: whatever is sent there reaches the focus. */
static struct slice contact_of(const struct conference_state *state)
{
	if (state->has_conference)
		return slice_of(state->session_user, sizeof(state->session_user));
	return sip_canonical_user(conference_state_canonical(state));
}

void conference_watch(struct conference_state *state, struct sip_server *server, const struct sip_message *m,
	const struct identity *who, struct sip_dialog *dialog, uint32_t expires_s)
{
	struct im *im = state->im;
	struct conference_watcher *w = pool_take(&im->conference_states->watchers);

	if (!w) {
		notifier_refuse_for_want_of_room(im, server, REASON_POOL_EXHAUSTED);
		conference_state_forget_if_empty(state);
		return;
	}
	w->state = state;
	w->who = *who;
	w->wants_full = true;
	LIST_INSERT_HEAD(&state->watchers, w, link);
	count(im);
	if (!notifier_open(&w->notifier, im, &conference_package,
		    &(struct notifier_start){ .server = server, .m = m, .dialog = dialog, .contact = contact_of(state) })) {
		forget(w);
		return;
	}
	LOG(INFO, im->worker, "subscription", 0, "began user=%.*s event=" CONFERENCE_EVENT " entity=%.*s expires=%u",
		SLICE_ARG(conference_watcher_canonical(w)), SLICE_ARG(conference_state_entity(state)), expires_s);
	notifier_accept(&w->notifier, server, expires_s);
}

void conference_watcher_free(struct conference_watcher *w)
{
	w->notifier.notify = NULL;
	notifier_close(&w->notifier);
	forget(w);
}
