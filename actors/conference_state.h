/* A conference state as its files share it: conference_state.c (who is in it, who watches), conference_event.c (SUBSCRIBE)
 * and conference_notify.c (what is told).  Private to them. */
#ifndef ACTORS_CONFERENCE_STATE_H
#define ACTORS_CONFERENCE_STATE_H

#include "actors/conference_event.h"
#include "actors/notifier.h"
#include "core/chains.h"
#include "core/siphash.h"

#define CONFERENCE_GONE_MAX 128 /* who left and may still be told of; beyond that a full document goes out */

struct group;

struct conference_gone {
	TAILQ_ENTRY(conference_gone) link;
	uint64_t changed;
	size_t entity_n;
	char entity[];
};

struct conference_watcher {
	struct notifier notifier;
	LIST_ENTRY(conference_watcher) link;
	struct conference_state *state;
	uint64_t told;      /* number of the last change that he knows */
	uint32_t version;   /* of the document before */
	bool wants_full;
	bool is_in_question; /* whether he may still see is looked at when the turn ends */
	struct identity who;
};

struct conference_state {
	struct im *im;
	LIST_ENTRY(conference_state) link; /* of all */
	struct conference_state *next_by_group, *next_by_session;
	TAILQ_HEAD(conference_users, conference_user) users; /* the last changed is the last */
	TAILQ_HEAD(, conference_gone) gone; /* likewise */
	unsigned gone_count;
	uint64_t change;     /* number of the last one */
	uint64_t forgotten;  /* up to which not everybody who has gone is known any more */
	LIST_HEAD(, conference_watcher) watchers;
	struct worker_task review;
	bool has_conference;
	bool is_over;        /* nobody new; only last NOTIFYs are under way */
	struct group *group; /* held; NULL: none, or nobody has asked yet */
	char session_user[MINTED_CHARS]; /* with a conference */
	size_t canonical_n, entity_n;
	char text[];         /* canonical URI of the group, and entity */
};

struct conference_states {
	LIST_HEAD(, conference_state) all;
	LIST_HEAD(, conference_question) questions;
	struct chains by_group, by_session;
	struct siphash_key key;
	struct pool watchers;
};

/* Empty: of no group. */
static inline struct slice conference_state_canonical(const struct conference_state *state)
{
	return slice_of(state->text, state->canonical_n);
}

static inline struct slice conference_state_entity(const struct conference_state *state)
{
	return slice_of(state->text + state->canonical_n, state->entity_n);
}

static inline struct slice conference_watcher_canonical(const struct conference_watcher *w)
{
	return slice_of(w->who.canonical, w->who.canonical_n);
}

/* ---- conference_state.c ---- */

/* With nobody in it.  NULL: no memory. */
struct conference_state *conference_state_make(struct im *im, struct slice canonical, struct slice entity);
/* NULL: there is none. */
struct conference_state *conference_state_of_group(struct im *im, struct slice canonical);
struct conference_state *conference_state_of_session(struct im *im, struct slice session_user);
/* Nobody watches it and it has no conference: it goes. */
void conference_state_forget_if_empty(struct conference_state *state);
void conference_state_free(struct conference_state *state);
/* What its rules are from here on. */
void conference_state_hold_group(struct conference_state *state, struct group *group);
/* 7.2.2.10: the group's rule, else whoever is connected. */
bool conference_state_permits(const struct conference_state *state, const struct identity *who);

/* ---- conference_event.c ---- */

void conference_questions_free(struct im *im);

/* ---- conference_notify.c ---- */

extern const struct notifier_package conference_package;
/* A SUBSCRIBE that may be: 200 and the first NOTIFY, or 503, 400, 513; the state may be gone afterwards.  `dialog` as
 * in struct notifier_start. */
void conference_watch(struct conference_state *state, struct sip_server *server, const struct sip_message *m,
	const struct identity *who, struct sip_dialog *dialog, uint32_t expires_s);
/* Without a word: the process ends. */
void conference_watcher_free(struct conference_watcher *w);

#endif
