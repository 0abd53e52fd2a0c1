/*
 * Who watches a conference, and what he is told (RFC 4575 as 7.2.2.10 to 7.2.2.12 limit it; F1, D1-23, D1-24, D1-39):
 * a conference state is the list of those who are in one conference, or ring, with a number for each change, and the
 * subscriptions to it.  A subscription knows the number up to which it was told: what came after goes out as one
 * partial document, at most every 5 s; the first NOTIFY and the one after each SUBSCRIBE bring all.  The state of a
 * group is there while the group has a conference or a watcher, any other while its conference is.
 *
 * Thread: the worker of the conference; for groups that of rule 3 (design.md 2).  Nothing here waits for a watcher.
 */
#ifndef ACTORS_CONFERENCE_EVENT_H
#define ACTORS_CONFERENCE_EVENT_H

#include <sys/queue.h>

#include "actors/conference_info.h"
#include "actors/identity.h"

#define CONFERENCE_EVENT "conference"

#define CONFERENCE_WATCHERS_MAX         65536 /* of one worker: 503 */
#define CONFERENCE_WATCHERS_OF_USER_MAX 8     /* of one user in one conference: 403 (7.2.2.10, local policy) */

struct conference_state;
struct sip_dialog;

/*
 * One participant, embedded in what his owner keeps of him and zeroed at first.  The slices are the owner's and stay
 * as they are while he is listed, or are written anew right before conference_state_changed().
 */
struct conference_user {
	TAILQ_ENTRY(conference_user) link;
	uint64_t changed; /* number of his last change; 0: he is not listed */
	enum conference_status status;
	struct slice canonical;    /* who he is: may watch while connected, and is never told to others */
	struct slice entity;       /* URI that others see (7.2.2.11): sip:anonymous1@anonymous.invalid */
	struct slice display_text; /* his nickname (D1-38); empty: none */
};

/* ---- for the focus ---- */

struct conference_state_start {
	struct slice entity;       /* URI: of the group, else the session identity (D1-23) */
	struct slice group;        /* canonical URI of the group; empty: ad-hoc or 1-1 */
	struct slice session_user; /* user part of the session identity, for Contact and to be found by */
};

/* A conference begins; who watched its idle group goes on with it.  The slices are copied.  NULL: no memory. */
struct conference_state *conference_state_begin(struct im *im, const struct conference_state_start *start);

/* CONNECTED or ALERTING, for the first time or again; also when his display text has changed.  Where his entity
 * changes conference_state_left() comes before.  Cannot fail. */
void conference_state_changed(struct conference_state *state, struct conference_user *user,
	enum conference_status status);

/* He has left, or did not answer: others are told "disconnected", and his struct is forgotten.  What he watched himself
 * ends (noresource) at the end of the turn, unless he is in it again by then or the group lets him see all the same.
 * Nothing happens when he was not listed. */
void conference_state_left(struct conference_state *state, struct conference_user *user);

/* The conference is over: every subscription ends with noresource (7.2.2.12), of a group too; the pointer is dead.
 * Who is still listed is taken as gone: his struct must be there. */
void conference_state_end(struct conference_state *state);

/* SUBSCRIBE outside dialogs, to `target` (canonical): a group, or a session identity or its user part minted here.
 * Answers it, in the order of 7.2.2.10, for a group perhaps later. */
void conference_subscribe(struct im *im, struct sip_server *server, const struct sip_message *m, struct slice target,
	const struct identity *who);

/* SUBSCRIBE in the dialog of a participant's INVITE; answers it, also where it is for another package (489).  The
 * subscription outlives that INVITE's session (RFC 5057) where he may still see. */
void conference_subscribe_in_dialog(struct conference_state *state, struct sip_dialog *dialog,
	const struct conference_user *user, struct sip_server *server, const struct sip_message *m);

/* ---- per worker ---- */

int conference_events_init(struct im *im); /* 0 or ENOMEM; after groups_init() */
/* Those of idle groups, when the conferences have been released: deactivated. */
void conference_events_drain(struct im *im);
/* The process ends; before the conferences go, whose states are not looked at any more. */
void conference_events_free(struct im *im);

#endif
