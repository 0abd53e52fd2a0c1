#include "actors/conference_state.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/group.h"

#define TABLE_MAX (1u << 16)

/* ---- the states of a worker ---- */

struct conference_state *conference_state_make(struct im *im, struct slice canonical, struct slice entity)
{
	struct conference_state *state = calloc(1, sizeof(*state) + canonical.n + entity.n);

	if (!state)
		return NULL;
	state->im = im;
	TAILQ_INIT(&state->users);
	TAILQ_INIT(&state->gone);
	LIST_INIT(&state->watchers);
	state->canonical_n = canonical.n;
	state->entity_n = entity.n;
	if (canonical.n)
		memcpy(state->text, canonical.p, canonical.n);
	memcpy(state->text + canonical.n, entity.p, entity.n);
	LIST_INSERT_HEAD(&im->conference_states->all, state, link);
	if (canonical.n)
		chains_add(&im->conference_states->by_group, state);
	return state;
}

struct conference_state *conference_state_of_group(struct im *im, struct slice canonical)
{
	struct conference_states *states = im->conference_states;
	struct conference_state *state = chains_first(&states->by_group, siphash(&states->key, canonical));

	while (state && !slice_eq(conference_state_canonical(state), canonical))
		state = state->next_by_group;
	return state;
}

struct conference_state *conference_state_of_session(struct im *im, struct slice session_user)
{
	struct conference_states *states = im->conference_states;
	struct conference_state *state = chains_first(&states->by_session, siphash(&states->key, session_user));

	while (state && !slice_eq(slice_of(state->session_user, sizeof(state->session_user)), session_user))
		state = state->next_by_session;
	return state;
}

static void forget_gone(struct conference_state *state, struct conference_gone *gone)
{
	TAILQ_REMOVE(&state->gone, gone, link);
	state->gone_count--;
	free(gone);
}

void conference_state_free(struct conference_state *state)
{
	worker_forget_task(state->im->worker, &state->review);
	LIST_REMOVE(state, link);
	while (!TAILQ_EMPTY(&state->gone))
		forget_gone(state, TAILQ_FIRST(&state->gone));
	group_drop(state->group);
	free(state);
}

void conference_state_forget_if_empty(struct conference_state *state)
{
	if (state->has_conference || !LIST_EMPTY(&state->watchers))
		return;
	if (state->canonical_n && !state->is_over)
		chains_remove(&state->im->conference_states->by_group, state);
	conference_state_free(state);
}

/* ---- who may see ---- */

bool conference_state_permits(const struct conference_state *state, const struct identity *who)
{
	const struct conference_user *user;

	if (state->canonical_n)
		return state->group && group_permits(state->group, GROUP_SEE_STATE, who);
	TAILQ_FOREACH(user, &state->users, link)
		if (user->status == CONFERENCE_CONNECTED && slice_eq(user->canonical, slice_of(who->canonical, who->canonical_n)))
			return true;
	return false;
}

/* Who may not see any more, of those in question, does so no more.  The state may be gone afterwards, unless it has a
 * conference. */
static void review(struct conference_state *state)
{
	struct conference_watcher *w, *next;

	for (w = LIST_FIRST(&state->watchers); w; w = next) {
		next = LIST_NEXT(w, link);
		if (!w->is_in_question)
			continue;
		w->is_in_question = false;
		if (!conference_state_permits(state, &w->who))
			notifier_end(&w->notifier, "noresource");
		else if (w->notifier.state == NOTIFIER_ACTIVE && w->told != state->change)
			notifier_changed(&w->notifier);
	}
}

static void on_review(struct worker *worker, struct worker_task *task)
{
	(void)worker;
	review((struct conference_state *)((char *)task - offsetof(struct conference_state, review)));
}

/* Whether he may still see is known when the turn ends: another leg may take the place of this one. */
static void question(struct conference_state *state, struct slice canonical)
{
	struct conference_watcher *w;

	LIST_FOREACH(w, &state->watchers, link)
		if (slice_eq(conference_watcher_canonical(w), canonical)) {
			w->is_in_question = true;
			state->review.run = on_review;
			worker_at_turn_end(state->im->worker, &state->review);
		}
}

static void end_all(struct conference_state *state, const char *reason)
{
	struct conference_watcher *w, *next;

	for (w = LIST_FIRST(&state->watchers); w; w = next) {
		next = LIST_NEXT(w, link);
		notifier_end(&w->notifier, reason);
	}
}

void conference_state_hold_group(struct conference_state *state, struct group *group)
{
	struct group *before = state->group;

	state->group = group_hold(group);
	group_drop(before);
}

/* ---- who is there ---- */

/* None of them goes by being told so, for none is ending. */
static void tell_all(struct conference_state *state)
{
	struct conference_watcher *w;

	LIST_FOREACH(w, &state->watchers, link)
		if (w->notifier.state == NOTIFIER_ACTIVE && !w->is_in_question)
			notifier_changed(&w->notifier);
}

/* Who comes back has not gone. */
static void recall(struct conference_state *state, struct slice entity)
{
	struct conference_gone *gone;

	TAILQ_FOREACH(gone, &state->gone, link)
		if (slice_eq(slice_of(gone->entity, gone->entity_n), entity)) {
			forget_gone(state, gone);
			return;
		}
}

void conference_state_changed(struct conference_state *state, struct conference_user *user,
	enum conference_status status)
{
	if (user->changed)
		TAILQ_REMOVE(&state->users, user, link);
	user->changed = ++state->change;
	user->status = status;
	TAILQ_INSERT_TAIL(&state->users, user, link);
	recall(state, user->entity);
	tell_all(state);
}

static void remember_gone(struct conference_state *state, struct slice entity)
{
	struct conference_gone *gone = malloc(sizeof(*gone) + entity.n);

	if (state->gone_count == CONFERENCE_GONE_MAX) {
		state->forgotten = TAILQ_FIRST(&state->gone)->changed;
		forget_gone(state, TAILQ_FIRST(&state->gone));
	}
	if (!gone) { /* whoever has not heard of it hears how it is altogether */
		state->forgotten = state->change;
		return;
	}
	gone->changed = state->change;
	gone->entity_n = entity.n;
	memcpy(gone->entity, entity.p, entity.n);
	TAILQ_INSERT_TAIL(&state->gone, gone, link);
	state->gone_count++;
}

/* Without saying so. */
static void take_out(struct conference_state *state, struct conference_user *user)
{
	TAILQ_REMOVE(&state->users, user, link);
	user->changed = 0;
	state->change++;
	if (!LIST_EMPTY(&state->watchers))
		remember_gone(state, user->entity);
}

void conference_state_left(struct conference_state *state, struct conference_user *user)
{
	if (!user->changed)
		return;
	take_out(state, user);
	question(state, user->canonical);
	tell_all(state);
}

/* ---- the conference ---- */

struct conference_state *conference_state_begin(struct im *im, const struct conference_state_start *start)
{
	struct conference_state *state = start->group.n ? conference_state_of_group(im, start->group) : NULL;

	assert(start->session_user.n == MINTED_CHARS && !(state && state->has_conference)); /* one at a time */
	if (!state)
		state = conference_state_make(im, start->group, start->entity);
	if (!state)
		return NULL;
	state->has_conference = true;
	memcpy(state->session_user, start->session_user.p, MINTED_CHARS);
	chains_add(&im->conference_states->by_session, state);
	return state;
}

/* Everybody has gone.  Of very many one is told by a document in which nobody is. */
static void take_out_all(struct conference_state *state)
{
	struct conference_user *user;
	unsigned n = 0;

	TAILQ_FOREACH(user, &state->users, link)
		n++;
	while ((user = TAILQ_FIRST(&state->users))) {
		take_out(state, user);
		if (n > CONFERENCE_GONE_MAX)
			state->forgotten = state->change;
	}
}

void conference_state_end(struct conference_state *state)
{
	struct conference_states *states = state->im->conference_states;

	chains_remove(&states->by_session, state);
	if (state->canonical_n)
		chains_remove(&states->by_group, state);
	state->is_over = true;
	take_out_all(state);
	end_all(state, "noresource"); /* it has a conference still, and stays */
	state->has_conference = false;
	conference_state_forget_if_empty(state);
}

/* ---- per worker ---- */

static uint64_t hash_of_group(const void *state, const void *states)
{
	return siphash(&((const struct conference_states *)states)->key, conference_state_canonical(state));
}

static uint64_t hash_of_session(const void *state, const void *states)
{
	return siphash(&((const struct conference_states *)states)->key,
		slice_of(((const struct conference_state *)state)->session_user, MINTED_CHARS));
}

static int init_tables(struct conference_states *states)
{
	if (chains_init(&states->by_group, TABLE_MAX, offsetof(struct conference_state, next_by_group), hash_of_group,
		    states) != 0 ||
	    chains_init(&states->by_session, TABLE_MAX, offsetof(struct conference_state, next_by_session), hash_of_session,
		    states) != 0)
		return ENOMEM;
	return pool_init(&states->watchers, "conference_watchers", sizeof(struct conference_watcher),
		CONFERENCE_WATCHERS_MAX);
}

static void on_group(struct im *im, struct slice canonical, struct group *now)
{
	struct conference_state *state = conference_state_of_group(im, canonical);
	struct conference_watcher *w;

	if (!state)
		return;
	if (!now) { /* what runs is the focus's to release */
		end_all(state, "noresource");
		return;
	}
	conference_state_hold_group(state, now);
	LIST_FOREACH(w, &state->watchers, link)
		w->is_in_question = true;
	review(state);
}

int conference_events_init(struct im *im)
{
	struct conference_states *states = calloc(1, sizeof(*states));

	if (!states)
		return ENOMEM;
	im->conference_states = states;
	LIST_INIT(&states->all);
	LIST_INIT(&states->questions);
	worker_random(im->worker, &states->key, sizeof(states->key));
	groups_on_change(im, on_group);
	return init_tables(states);
}

void conference_events_drain(struct im *im)
{
	struct pool *pool = &im->conference_states->watchers;

	for (uint32_t slot = 0; slot < pool->made; slot++) {
		struct conference_watcher *w = pool_at(pool, slot);
		if (w)
			notifier_end(&w->notifier, "deactivated");
	}
}

void conference_events_free(struct im *im)
{
	struct conference_states *states = im->conference_states;

	if (!states)
		return;
	conference_questions_free(im);
	for (uint32_t slot = 0; slot < states->watchers.made; slot++) {
		struct conference_watcher *w = pool_at(&states->watchers, slot);
		if (w)
			conference_watcher_free(w);
	}
	while (!LIST_EMPTY(&states->all)) { /* of conferences that end with the process */
		struct conference_state *state = LIST_FIRST(&states->all);
		struct conference_user *user;
		TAILQ_FOREACH(user, &state->users, link)
			user->changed = 0;
		conference_state_free(state);
	}
	pool_free(&states->watchers);
	chains_free(&states->by_group);
	chains_free(&states->by_session);
	free(states);
	im->conference_states = NULL;
}
